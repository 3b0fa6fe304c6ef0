/* base/secret.h - memory and stacks that hold a key's secrets: left out of core dumps, wiped after use.
 *
 * Linux leaves pages out of core dumps that are marked MADV_DONTDUMP. Nothing here changes a setting of the process:
 * only pages are marked, those of the blocks and, during a call, those of the calling thread's stack. */
#ifndef WMK_BASE_SECRET_H
#define WMK_BASE_SECRET_H

#include <stddef.h>
#include "base/status.h"

/* Blocks of up to this size are also locked in memory where the process may lock so much, so that they are never
 * swapped. Larger ones are not: the limit on locked memory belongs to the program, and it is small. */
#define WMK_SECRET_LOCKED_MAX ((size_t)64 * 1024)

/* Allocates `count` zeroed objects of `size` bytes at a multiple of 64 bytes, in pages of their own that are left out of
 * core dumps.
 * out_pointer: of a pointer of any type; unchanged on failure. A count or size of 0 gives a valid pointer to free.
 * MEMORY. Any thread. */
wmk_status wmk_secret_alloc(void *out_pointer, size_t count, size_t size);
/* Wipes the block and frees it, or keeps the empty pages for another block: up to 256 KiB per process. NULL is allowed. */
void wmk_secret_free(void *pointer);

/* Calls function(argument) so that its stack is left out of core dumps: its own frame and those of all that it calls,
 * 48 KiB together. Afterwards that part of the stack and the vector registers are wiped, and the stack is dumped again.
 * The caller's own frame is not covered: buffers of secrets belong into `function` or into a block.
 * It costs some microseconds, and next to nothing inside another such call. In a parallel region each thread needs a call
 * of its own. Where the thread's stack has less left, less is covered; on a stack that is not the thread's own (a
 * coroutine's) it is 20 KiB, which must be there. */
void wmk_secret_call(void (*function)(void *argument), void *argument);

#endif
