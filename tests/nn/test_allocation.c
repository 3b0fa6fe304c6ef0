/* A training step allocates nothing: not our code, and no library any block of scratch size. The small ones are counted and printed, not forbidden:
 * oneDNN 2.6's dnnl_primitive_execute keeps its argument list in a hash map of its own, and libgomp makes a new team where the number of threads changes.
 *
 * This program's own malloc family, and mmap, stand before the C library's for every library in the process. Under AddressSanitizer, which brings its own, its hook
 * counts instead; it does not tell who asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "wrn.h"

#define SCRATCH_BYTES 4096

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#endif

static volatile bool counting;
static volatile size_t ours, large,
    small; /* volatile: compilers know that malloc changes no variable. Allocations from this program's text; of SCRATCH_BYTES and more; the others */

/* Threads of a parallel region may allocate at once. */
static void count(size_t bytes, bool own)
{
    if (!counting) return;
    if (own)
        __atomic_add_fetch(&ours, 1, __ATOMIC_RELAXED);
    else if (bytes >= SCRATCH_BYTES)
        __atomic_add_fetch(&large, 1, __ATOMIC_RELAXED);
    else
        __atomic_add_fetch(&small, 1, __ATOMIC_RELAXED);
}

#ifdef SANITIZED

/* Of the sanitizers' run time; its header is not everywhere. */
int __sanitizer_install_malloc_and_free_hooks(void (*allocated)(const volatile void *, size_t), void (*released)(const volatile void *));

static void hook(const volatile void *block, size_t bytes)
{
    (void)block;
    count(bytes, false);
}

static void hook_free(const volatile void *block) { (void)block; }

static void counters_install(void) { assert_true(__sanitizer_install_malloc_and_free_hooks(hook, hook_free) > 0); }

#else

extern const char __executable_start[], etext[]; /* of the linker: this program, our rooms linked in */
void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t); /* glibc's own */

/* Not inlined, since the return address must be the caller's; visible, since the libraries must find them. */
#define ALLOCATOR __attribute__((noinline, visibility("default")))

static bool is_own(const void *caller) { return (const char *)caller >= __executable_start && (const char *)caller < etext; }

ALLOCATOR void *malloc(size_t bytes)
{
    count(bytes, is_own(__builtin_return_address(0)));
    return __libc_malloc(bytes);
}

ALLOCATOR void *calloc(size_t items, size_t bytes)
{
    count(items * bytes, is_own(__builtin_return_address(0)));
    return __libc_calloc(items, bytes);
}

ALLOCATOR void *realloc(void *block, size_t bytes)
{
    count(bytes, is_own(__builtin_return_address(0)));
    return __libc_realloc(block, bytes);
}

void *memalign(size_t alignment, size_t bytes);
ALLOCATOR void *memalign(size_t alignment, size_t bytes)
{
    count(bytes, is_own(__builtin_return_address(0)));
    return __libc_memalign(alignment, bytes);
}

ALLOCATOR void *aligned_alloc(size_t alignment, size_t bytes)
{
    count(bytes, is_own(__builtin_return_address(0)));
    return __libc_memalign(alignment, bytes);
}

ALLOCATOR int posix_memalign(void **out, size_t alignment, size_t bytes)
{
    count(bytes, is_own(__builtin_return_address(0)));
    *out = __libc_memalign(alignment, bytes);
    return *out ? 0 : ENOMEM;
}

ALLOCATOR void *mmap(void *address, size_t bytes, int protection, int flags, int file, off_t offset)
{
    count(bytes, is_own(__builtin_return_address(0)));
    return (void *)syscall(SYS_mmap, address, bytes, protection, flags, file, offset);
}

static void counters_install(void) {}

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
    ours = large = small = 0;
    for (int step = 0; step < 4; ++step) {
        counting = step >= 2;
        if (status == WMK_OK) status = wmk_plan_forward(plan);
        if (status == WMK_OK) status = wmk_plan_backward(plan);
        if (status == WMK_OK) status = wmk_sgd_step(sgd, 0.1);
    }
    counting = false;
    assert_int_equal(status, WMK_OK);
    printf("two steps: %zu allocations of ours, %zu of %d bytes and more, %zu small ones\n", ours, large, SCRATCH_BYTES, small);
    assert_int_equal(ours, 0);
    assert_int_equal(large, 0);
    wmk_sgd_free(sgd);
    wmk_plan_free(plan);
    wmk_graph_free(net.graph);
}

static void counters_count(void **state)
{
    (void)state;
    ours = large = small = 0;
    counting = true;
    void *volatile block = malloc(2 * SCRATCH_BYTES);
    counting = false;
    free(block);
    assert_int_equal(ours + large, 1);
    counting = true;
    block = strdup("from the C library, not from this program");
    counting = false;
    free(block);
    assert_int_equal(small, 1);
#ifndef SANITIZED
    counting = true;
    block = mmap(NULL, SCRATCH_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    counting = false;
    munmap(block, SCRATCH_BYTES);
    assert_int_equal(ours + large, 2);
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
