/* Blocks and stacks of secrets, as the system sees them: which pages are left out of core dumps (/proc/self/smaps), and what
 * is left in a stack afterwards (/proc/self/mem). */
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/secret.h"
#include "cmocka_wmk.h"

/* Whether the page of `address` is left out of core dumps. */
static bool left_out(const void *address)
{
    char line[1024];
    unsigned long long from, to, here = (uintptr_t)address;
    bool inside = false, flag = false;
    FILE *maps = fopen("/proc/self/smaps", "r");
    assert_non_null(maps);
    while (fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%llx-%llx ", &from, &to) == 2 && strchr(line, '-') < strchr(line, ' '))
            inside = here >= from && here < to;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            flag = strstr(line, " dd") != NULL;
    }
    fclose(maps);
    return flag;
}

static bool has_flags(void)
{
    char line[1024];
    bool found = false;
    FILE *maps = fopen("/proc/self/smaps", "r");
    while (maps && !found && fgets(line, sizeof line, maps)) found = strncmp(line, "VmFlags:", 8) == 0;
    if (maps) fclose(maps);
    return found;
}

#define NEED_FLAGS                                                                                                     \
    do {                                                                                                               \
        if (!has_flags()) {                                                                                            \
            print_message("SKIPPED: no VmFlags in /proc/self/smaps\n");                                                \
            skip();                                                                                                    \
        }                                                                                                              \
    } while (0)

static void blocks_are_zeroed_and_aligned(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 64, 4000, 4096, 32 * 1024 - 64, 32 * 1024 - 63, 32 * 1024, 100000, 1 << 20};
    for (int round = 0; round < 2; round++) /* in the second small blocks are used again */
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            unsigned char *block[12] = {NULL};
            for (int k = 0; k < 12; k++) { /* more than are kept */
                assert_ok(wmk_secret_alloc(&block[k], sizes[i], 1));
                assert_int_equal((uintptr_t)block[k] % 64, 0);
                for (size_t b = 0; b < sizes[i]; b++) assert_int_equal(block[k][b], 0);
                memset(block[k], 0xa5, sizes[i]);
            }
            for (int k = 0; k < 12; k++) wmk_secret_free(block[k]);
        }
    wmk_secret_free(NULL);
}

static void impossible_sizes_are_refused(void **state)
{
    (void)state;
    char *block = NULL;
    assert_fails(wmk_secret_alloc(&block, SIZE_MAX / 2, 3), WMK_ERROR_MEMORY, "out of memory");
    assert_fails(wmk_secret_alloc(&block, SIZE_MAX - 3, 1), WMK_ERROR_MEMORY, "out of memory");
    assert_fails(wmk_secret_alloc(&block, SIZE_MAX / 4, 1), WMK_ERROR_MEMORY, "out of memory");
    assert_null(block);
}

#if !defined(__SANITIZE_ADDRESS__) /* which keeps blocks on the heap and moves stacks */

static void blocks_are_left_out_of_dumps(void **state)
{
    (void)state;
    NEED_FLAGS;
    char *small, *large, *plain = malloc(100);
    assert_ok(wmk_secret_alloc(&small, 100, 1));
    assert_ok(wmk_secret_alloc(&large, 1 << 20, 1));
    assert_true(left_out(small) && left_out(large) && left_out(large + (1 << 20) - 1));
    assert_false(left_out(plain));
    wmk_secret_free(small);
    wmk_secret_free(large);
    free(plain);
}

enum { BUFFER = 8192 };

typedef struct visit {
    bool hidden, deep_hidden, nested_hidden; /* what the callee saw */
    uintptr_t at;                            /* of its buffer */
    int nested;
} visit;

static void look(void *argument)
{
    visit *v = argument;
    unsigned char secret[BUFFER];
    memset(secret, 0x5a, sizeof secret);
    __asm__ volatile("" ::"r"(secret) : "memory");
    v->at = (uintptr_t)secret;
    v->hidden = left_out(secret) && left_out(secret + sizeof secret - 1);
    v->deep_hidden = left_out((void *)(v->at - 24 * 1024));
    if (v->nested > 0) {
        visit inner = {.nested = v->nested - 1};
        wmk_secret_call(look, &inner);
        v->nested_hidden = inner.hidden && left_out(secret);
    }
}

/* How many bytes of the callee's buffer are still there. */
static size_t left_behind(const visit *v)
{
    unsigned char now[BUFFER];
    size_t count = 0;
    int memory = open("/proc/self/mem", O_RDONLY);
    assert_true(memory >= 0);
    assert_int_equal(pread(memory, now, sizeof now, (off_t)v->at), BUFFER);
    close(memory);
    for (size_t i = 0; i < sizeof now; i++) count += now[i] == 0x5a;
    return count;
}

static void stacks_are_left_out_and_wiped(void **state)
{
    (void)state;
    NEED_FLAGS;
    visit v = {0};
    look(&v); /* the control: a plain call is dumped, and leaves its buffer behind */
    assert_false(v.hidden);
    assert_true(left_behind(&v) > BUFFER / 4);
    for (int i = 0; i < 3; i++) {
        v = (visit){0};
        wmk_secret_call(look, &v);
        assert_true(v.hidden && v.deep_hidden);
        assert_true(left_behind(&v) < 100);
        assert_false(left_out((void *)v.at));
    }
}

/* Calls inside calls, so many that the stack which the first one covers does not do. */
static void calls_nest(void **state)
{
    (void)state;
    NEED_FLAGS;
    visit v = {.nested = 12};
    wmk_secret_call(look, &v);
    assert_true(v.hidden && v.nested_hidden);
    assert_true(left_behind(&v) < 100);
    for (uintptr_t back = 0; back < 200 * 1024; back += 4096) assert_false(left_out((void *)(v.at - back)));
}

static void *in_thread(void *argument)
{
    wmk_secret_call(look, argument);
    visit *v = argument;
    v->nested_hidden = left_out((void *)v->at); /* afterwards */
    return NULL;
}

static void small_stacks_do(void **state)
{
    (void)state;
    NEED_FLAGS;
    static const size_t sizes[] = {40 * 1024, 64 * 1024, 1024 * 1024};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        pthread_t thread;
        pthread_attr_t attributes;
        visit v = {0};
        assert_int_equal(pthread_attr_init(&attributes), 0);
        assert_int_equal(pthread_attr_setstacksize(&attributes, sizes[i]), 0);
        assert_int_equal(pthread_create(&thread, &attributes, in_thread, &v), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        pthread_attr_destroy(&attributes);
        assert_true(v.hidden);
        assert_false(v.nested_hidden);
    }
}

/* A stack that is not the thread's own. */
static ucontext_t outside, inside;
static visit coroutine_visit;

static void coroutine(void) { wmk_secret_call(look, &coroutine_visit); }

static void coroutines_do(void **state)
{
    (void)state;
    NEED_FLAGS;
    enum { SIZE = 64 * 1024 };
    char *own = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(own != MAP_FAILED);
    coroutine_visit = (visit){0};
    assert_int_equal(getcontext(&inside), 0);
    inside.uc_stack.ss_sp = own;
    inside.uc_stack.ss_size = SIZE;
    inside.uc_link = &outside;
    makecontext(&inside, coroutine, 0);
    assert_int_equal(swapcontext(&outside, &inside), 0);
    assert_true(coroutine_visit.hidden);
    assert_true(left_behind(&coroutine_visit) < 100);
    for (size_t i = 0; i < SIZE; i += 4096) assert_false(left_out(own + i));
    munmap(own, SIZE);
}

static void the_process_stays_as_it_is(void **state)
{
    (void)state;
    struct rlimit before, after;
    visit v = {0};
    char *block;
    assert_int_equal(getrlimit(RLIMIT_CORE, &before), 0);
    int dumpable = prctl(PR_GET_DUMPABLE);
    assert_ok(wmk_secret_alloc(&block, 1, 1));
    wmk_secret_call(look, &v);
    wmk_secret_free(block);
    assert_int_equal(getrlimit(RLIMIT_CORE, &after), 0);
    assert_memory_equal(&before, &after, sizeof before);
    assert_int_equal(prctl(PR_GET_DUMPABLE), dumpable);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_zeroed_and_aligned),
        cmocka_unit_test(impossible_sizes_are_refused),
#if !defined(__SANITIZE_ADDRESS__)
        cmocka_unit_test(blocks_are_left_out_of_dumps),
        cmocka_unit_test(stacks_are_left_out_and_wiped),
        cmocka_unit_test(calls_nest),
        cmocka_unit_test(small_stacks_do),
        cmocka_unit_test(coroutines_do),
        cmocka_unit_test(the_process_stays_as_it_is),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
