/* base/secret.c - blocks and stacks that no core dump shows. */
#include "base/secret.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memory.h"

/* ---- blocks ---- */

/* Lies before the block; a multiple of the alignment. */
typedef struct header {
    alignas(64) size_t bytes; /* of both */
} header;

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1 /* as gcc has it */
#endif
#endif

#if defined(__SANITIZE_ADDRESS__)
/* From the heap instead, so that AddressSanitizer sees who goes beyond the end of a block or forgets it. */
static void *take_pages(size_t bytes)
{
    void *block = NULL;
    return wmk_alloc_aligned(&block, bytes) == WMK_OK ? block : NULL;
}
static void give_pages(void *block, size_t bytes)
{
    explicit_bzero(block, bytes);
    wmk_free_aligned(block);
}
#else
enum { SMALL = 32 * 1024, IDLE = 8 };

/* Small blocks that nobody uses: all zeros, kept for the next who needs one. Without them a key that is read from a small
 * model would cost four times as many calls of the system. Exchanged one by one, so that no lock is held when a process forks. */
static void *_Atomic idle[IDLE];

static void *take_pages(size_t bytes)
{
    for (int i = 0; bytes <= SMALL && i < IDLE; i++) {
        void *block = atomic_exchange(&idle[i], NULL);
        if (block != NULL) return block;
    }
    size_t mapped = bytes <= SMALL ? SMALL : bytes;
    void *block = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) return NULL;
    (void)madvise(block, mapped, MADV_DONTDUMP);
    if (mapped <= WMK_SECRET_LOCKED_MAX) (void)!mlock(block, mapped);
    return block;
}

static void give_pages(void *block, size_t bytes)
{
    explicit_bzero(block, bytes);
    for (int i = 0; bytes <= SMALL && i < IDLE; i++) {
        void *none = NULL;
        if (atomic_compare_exchange_strong(&idle[i], &none, block)) return;
    }
    munmap(block, bytes <= SMALL ? SMALL : bytes);
}
#endif

wmk_status wmk_secret_alloc(void *out_pointer, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || __builtin_add_overflow(bytes, sizeof(header), &bytes))
        return wmk_fail_memory(SIZE_MAX);
    header *block = take_pages(bytes);
    if (block == NULL) return wmk_fail_memory(bytes);
    block->bytes = bytes;
    void *data = block + 1;
    memcpy(out_pointer, &data, sizeof data);
    return WMK_OK;
}

void wmk_secret_free(void *pointer)
{
    if (pointer == NULL) return;
    header *block = (header *)pointer - 1;
    give_pages(block, block->bytes);
}

/* ---- registers ---- */

/* Vector registers keep what passed through them until somebody needs them, and the system and the dynamic loader copy
 * them to whatever stack is in use when a signal comes or a function is called for the first time. */
#if defined(__x86_64__)
#define LOW_16 "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

__attribute__((target("avx512f"))) static void wipe_upper_16(void)
{
#define WIPE(n) __asm__ volatile("vpxord %%zmm" #n ", %%zmm" #n ", %%zmm" #n ::: "xmm" #n)
    WIPE(16); WIPE(17); WIPE(18); WIPE(19); WIPE(20); WIPE(21); WIPE(22); WIPE(23);
    WIPE(24); WIPE(25); WIPE(26); WIPE(27); WIPE(28); WIPE(29); WIPE(30); WIPE(31);
#undef WIPE
}
__attribute__((target("avx"))) static void wipe_avx(void) { __asm__ volatile("vzeroall" ::: LOW_16); }
static void wipe_sse(void)
{
#define WIPE(n) __asm__ volatile("pxor %%xmm" #n ", %%xmm" #n ::: "xmm" #n)
    WIPE(0); WIPE(1); WIPE(2); WIPE(3); WIPE(4); WIPE(5); WIPE(6); WIPE(7);
    WIPE(8); WIPE(9); WIPE(10); WIPE(11); WIPE(12); WIPE(13); WIPE(14); WIPE(15);
#undef WIPE
}
static void wipe_registers(void)
{
    if (__builtin_cpu_supports("avx512f")) wipe_upper_16();
    if (__builtin_cpu_supports("avx"))
        wipe_avx();
    else
        wipe_sse();
}
#elif defined(__aarch64__)
static void wipe_registers(void)
{
#define WIPE(n) __asm__ volatile("movi v" #n ".2d, #0" ::: "v" #n)
    WIPE(0); WIPE(1); WIPE(2); WIPE(3); WIPE(4); WIPE(5); WIPE(6); WIPE(7);
    WIPE(16); WIPE(17); WIPE(18); WIPE(19); WIPE(20); WIPE(21); WIPE(22); WIPE(23);
    WIPE(24); WIPE(25); WIPE(26); WIPE(27); WIPE(28); WIPE(29); WIPE(30); WIPE(31); /* 8 to 15 are the caller's */
#undef WIPE
}
#else
static void wipe_registers(void) {}
#endif

/* ---- stacks ---- */

#define DEPTH ((uintptr_t)48 * 1024)       /* of stack that is covered */
#define DEPTH_LEAST ((uintptr_t)20 * 1024) /* what the deepest of the callers needs, measured: 18 KiB */
#define STEP ((uintptr_t)4096)             /* of stack wiped at a time; no larger than a page */
#define FRAME 256                          /* what a frame of wipe_stack needs beside its array, at most */

/* What is known of the calling thread's stack. */
static _Thread_local struct {
    bool asked;
    uintptr_t low, high; /* where it lies; low == high: unknown */
    uintptr_t reached;   /* the lowest address that was touched, 0: none. The system extends a main thread's stack when it is touched. */
    uintptr_t hidden;    /* the lowest address that is left out of dumps now; 0: none */
} stack;

/* Asked once per thread: it costs the main thread a look into /proc. */
static void ask_bounds(void)
{
    pthread_attr_t attributes;
    void *low;
    size_t bytes;
    stack.asked = true;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
    if (pthread_attr_getstack(&attributes, &low, &bytes) == 0) {
        stack.low = (uintptr_t)low;
        stack.high = (uintptr_t)low + bytes;
    }
    pthread_attr_destroy(&attributes);
}

/* Wipes the stack from this call's frame down to about `low`, a STEP per level. */
__attribute__((noinline)) static void wipe_stack(uintptr_t low)
{
    unsigned char room[STEP];
    explicit_bzero(room, sizeof room);
    if ((uintptr_t)room > low + STEP + FRAME) wipe_stack(low);
    __asm__ volatile("" ::"r"(room) : "memory"); /* so that the call above is no jump */
}

/* The lowest address to cover below `here`. */
static uintptr_t lowest(uintptr_t here, uintptr_t page)
{
    if (!stack.asked) ask_bounds();
    if (here < stack.low || here >= stack.high) return (here - DEPTH_LEAST) / page * page;
    uintptr_t end = stack.low + page, low = here - stack.low > DEPTH + page ? here - DEPTH : end;
    low = low / page * page;
    if (stack.reached == 0 || low < stack.reached) {
        wipe_stack(low);
        stack.reached = low;
    }
    return low;
}

__attribute__((noinline)) static void call_hidden(void (*function)(void *argument), void *argument, uintptr_t here)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), before = stack.hidden;
    uintptr_t low = lowest(here, page), high = (here + page) / page * page;
    if (before != 0 && high > before) high = before; /* far below another call: what lies above stays as it is */
    (void)madvise((void *)low, high - low, MADV_DONTDUMP);
    stack.hidden = low;
    function(argument);
    wipe_registers();
    wipe_stack(low);
    stack.hidden = before;
    (void)madvise((void *)low, high - low, MADV_DODUMP);
}

void wmk_secret_call(void (*function)(void *argument), void *argument)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    if (stack.hidden != 0 && here >= stack.hidden + DEPTH_LEAST)
        function(argument);
    else
        call_hidden(function, argument, here);
}
