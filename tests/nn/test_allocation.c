/* A training step allocates nothing: not our code, nor a library at our code's call. Two others may, and their blocks are counted and
 * printed: oneDNN while it executes a primitive, and the OpenMP runtime, which makes a new team where the number of threads changes.
 *
 * This program's own malloc family, and mmap, stand before the C library's for every library in the process. Under AddressSanitizer,
 * which brings its own, its hook counts instead; it does not tell who asked, so there only blocks of RUNTIME_BYTES and more are ours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <oneapi/dnnl/dnnl.h>

#include "wrn.h"

#define RUNTIME_BYTES 4096

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#endif

static volatile bool counting;
static volatile int executing; /* primitives that oneDNN executes now */
/* Allocations of our code or at its call; of oneDNN's executions; of the OpenMP runtime. volatile: compilers know that malloc changes no
 * variable. */
static volatile size_t ours, onednns, runtimes;

/* Threads of a parallel region may allocate at once. */
static void count(bool of_runtime)
{
    if (counting) __atomic_add_fetch(executing ? &onednns : of_runtime ? &runtimes : &ours, 1, __ATOMIC_RELAXED);
}

/* The linker's --wrap sends this program's calls of dnnl_primitive_execute here. */
dnnl_status_t __real_dnnl_primitive_execute(const_dnnl_primitive_t, dnnl_stream_t, int, const dnnl_exec_arg_t *);
dnnl_status_t __wrap_dnnl_primitive_execute(const_dnnl_primitive_t primitive, dnnl_stream_t stream, int nargs, const dnnl_exec_arg_t *args);
dnnl_status_t __wrap_dnnl_primitive_execute(const_dnnl_primitive_t primitive, dnnl_stream_t stream, int nargs, const dnnl_exec_arg_t *args)
{
    executing++;
    const dnnl_status_t status = __real_dnnl_primitive_execute(primitive, stream, nargs, args);
    executing--;
    return status;
}

#ifdef SANITIZED

/* Of the sanitizers' run time; its header is not everywhere. */
int __sanitizer_install_malloc_and_free_hooks(void (*allocated)(const volatile void *, size_t), void (*released)(const volatile void *));

static void hook(const volatile void *block, size_t bytes)
{
    (void)block;
    count(bytes < RUNTIME_BYTES);
}

static void hook_free(const volatile void *block) { (void)block; }

static void counters_install(void) { assert_true(__sanitizer_install_malloc_and_free_hooks(hook, hook_free) > 0); }

#else

void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t); /* glibc's own */

/* Not inlined, since the return address must be the caller's; visible, since the libraries must find them. */
#define ALLOCATOR __attribute__((noinline, visibility("default")))

static const void *runtime; /* where the OpenMP runtime is loaded */

static bool is_runtime(const void *caller)
{
    Dl_info info;
    return counting && dladdr(caller, &info) && info.dli_fbase == runtime;
}

ALLOCATOR void *malloc(size_t bytes)
{
    count(is_runtime(__builtin_return_address(0)));
    return __libc_malloc(bytes);
}

ALLOCATOR void *calloc(size_t items, size_t bytes)
{
    count(is_runtime(__builtin_return_address(0)));
    return __libc_calloc(items, bytes);
}

ALLOCATOR void *realloc(void *block, size_t bytes)
{
    count(is_runtime(__builtin_return_address(0)));
    return __libc_realloc(block, bytes);
}

void *memalign(size_t alignment, size_t bytes);
ALLOCATOR void *memalign(size_t alignment, size_t bytes)
{
    count(is_runtime(__builtin_return_address(0)));
    return __libc_memalign(alignment, bytes);
}

ALLOCATOR void *aligned_alloc(size_t alignment, size_t bytes)
{
    count(is_runtime(__builtin_return_address(0)));
    return __libc_memalign(alignment, bytes);
}

ALLOCATOR int posix_memalign(void **out, size_t alignment, size_t bytes)
{
    count(is_runtime(__builtin_return_address(0)));
    *out = __libc_memalign(alignment, bytes);
    return *out ? 0 : ENOMEM;
}

ALLOCATOR void *mmap(void *address, size_t bytes, int protection, int flags, int file, off_t offset)
{
    count(is_runtime(__builtin_return_address(0)));
    return (void *)syscall(SYS_mmap, address, bytes, protection, flags, file, offset);
}

static void counters_install(void)
{
    Dl_info info;
    assert_true(dladdr(dlsym(RTLD_DEFAULT, "omp_get_max_threads"), &info));
    runtime = info.dli_fbase;
}

#endif

/* Steps of training after two that may still start threads. */
static void step_allocates_nothing(wmk_engine engine, wmk_precision precision)
{
    if (!net_precision_works(engine, precision)) skip();
    test_wrn net;
    wmk_plan *plan;
    wmk_sgd *sgd;
    wrn_build(&net, 1, 1, 8, 10, 1);
    assert_int_equal(wrn_plan(&plan, &net, 5, engine, precision), WMK_OK);
    assert_int_equal(wmk_sgd_create(&sgd, net.graph, plan, 0.9, true, 5e-4), WMK_OK);
    wrn_feed(&net, plan, 1);
    wmk_status status = WMK_OK;
    ours = onednns = runtimes = 0;
    for (int step = 0; step < 4; ++step) {
        counting = step >= 2;
        if (status == WMK_OK) status = wmk_plan_forward(plan);
        if (status == WMK_OK) status = wmk_plan_backward(plan);
        if (status == WMK_OK) status = wmk_sgd_step(sgd, 0.1);
    }
    counting = false;
    assert_int_equal(status, WMK_OK);
    printf("two steps: %zu allocations of ours, %zu of oneDNN's executions, %zu of the OpenMP runtime\n", ours, onednns, runtimes);
    assert_int_equal(ours, 0);
    wmk_sgd_free(sgd);
    wmk_plan_free(plan);
    wmk_graph_free(net.graph);
}

static void counters_count(void **state)
{
    (void)state;
    ours = onednns = runtimes = 0;
    counting = true;
    void *volatile block = malloc(RUNTIME_BYTES);
    free(block);
    executing = 1;
    block = malloc(RUNTIME_BYTES);
    free(block);
    executing = 0;
    counting = false;
    assert_int_equal(ours, 1);
    assert_int_equal(onednns, 1);
#ifndef SANITIZED
    counting = true;
    block = strdup("by the C library, at this program's call");
    free(block);
    block = mmap(NULL, RUNTIME_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(block, RUNTIME_BYTES);
    counting = false;
    assert_int_equal(ours, 3);
#endif
}

static void reference(void **state)
{
    (void)state;
    step_allocates_nothing(WMK_ENGINE_REFERENCE, WMK_PRECISION_F32);
}

static void onednn(void **state)
{
    (void)state;
    step_allocates_nothing(WMK_ENGINE_ONEDNN, WMK_PRECISION_F32);
}

static void onednn_bf16(void **state)
{
    (void)state;
    step_allocates_nothing(WMK_ENGINE_ONEDNN, WMK_PRECISION_BF16);
}

int main(void)
{
    counters_install();
    const struct CMUnitTest tests[] = {cmocka_unit_test(counters_count), cmocka_unit_test(reference), cmocka_unit_test(onednn),
                                       cmocka_unit_test(onednn_bf16)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
