/* base/memory.h - checked arithmetic on sizes, and allocation that cannot overflow. */
#ifndef WMK_BASE_MEMORY_H
#define WMK_BASE_MEMORY_H

#include <stdbool.h>
#include "base/status.h"

/* Not for users, but the training library calls these in the core one. */
#pragma GCC visibility push(default)

/* *out = a op b; false on overflow (then *out is unspecified). */
static inline bool wmk_add_u64(uint64_t a, uint64_t b, uint64_t *out) { return !__builtin_add_overflow(a, b, out); }
static inline bool wmk_mul_u64(uint64_t a, uint64_t b, uint64_t *out) { return !__builtin_mul_overflow(a, b, out); }
/* Product of shape[0..rank); 1 for rank 0; false on overflow. */
bool wmk_product_u64(const uint64_t *shape, uint32_t rank, uint64_t *out);

/* `count` zeroed objects of `size` bytes. A count or size of 0 gives a valid pointer to free. */
wmk_status wmk_alloc(void *out_pointer, size_t count, size_t size);
/* Resizes *pointer (may be NULL) to `count` objects of `size` bytes; new bytes are unspecified; on failure the old block stays. */
wmk_status wmk_resize(void *inout_pointer, size_t count, size_t size);
/* 64-byte aligned, zeroed; released with wmk_free_aligned. */
wmk_status wmk_alloc_aligned(void *out_pointer, size_t bytes);
void wmk_free_aligned(void *pointer);
wmk_status wmk_strdup(char **out, const char *text);
/* printf into a fresh string; the caller frees it. Here and in wmk_buffer_printf numbers have a point, whatever the program's locale is. */
__attribute__((format(printf, 2, 3))) wmk_status wmk_format(char **out, const char *format, ...);
/* strtod, with a point whatever the program's locale is; end == text: no number. */
double wmk_number(const char *text, char **end);

/* A growing run of bytes; {0} is empty. */
typedef struct wmk_buffer {
    unsigned char *data;
    size_t size, capacity;
} wmk_buffer;
wmk_status wmk_buffer_append(wmk_buffer *buffer, const void *bytes, size_t size);
__attribute__((format(printf, 2, 3))) wmk_status wmk_buffer_printf(wmk_buffer *buffer, const char *format, ...);
void wmk_buffer_free(wmk_buffer *buffer);

#pragma GCC visibility pop

#endif
