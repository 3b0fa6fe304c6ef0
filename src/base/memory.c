/* base/memory.c - allocation that cannot overflow, and a growing run of bytes. */
#include "base/memory.h"

#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT_BYTES = 64 };

bool wmk_product_u64(const uint64_t *shape, uint32_t rank, uint64_t *out)
{
    *out = 1;
    for (uint32_t axis = 0; axis < rank; axis++)
        if (!wmk_mul_u64(*out, shape[axis], out)) return false;
    return true;
}

/* Bytes of `count` objects, at least 1 so that the allocator's answer for 0 never matters; 0 on overflow. */
static size_t bytes_of(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) return 0;
    return bytes ? bytes : 1;
}

wmk_status wmk_alloc(void *out_pointer, size_t count, size_t size)
{
    size_t bytes = bytes_of(count, size);
    void *block = bytes ? calloc(1, bytes) : NULL;
    if (!block) return wmk_fail_memory(bytes ? bytes : SIZE_MAX);
    memcpy(out_pointer, &block, sizeof block);
    return WMK_OK;
}

wmk_status wmk_resize(void *inout_pointer, size_t count, size_t size)
{
    void *old;
    memcpy(&old, inout_pointer, sizeof old);
    size_t bytes = bytes_of(count, size);
    void *block = bytes ? realloc(old, bytes) : NULL;
    if (!block) return wmk_fail_memory(bytes ? bytes : SIZE_MAX);
    memcpy(inout_pointer, &block, sizeof block);
    return WMK_OK;
}

/* From calloc, so that a large block is pages the system zeroes when they are touched: a size that a file promises costs nothing until it is
 * believed. Its own address lies just before what the caller gets. */
wmk_status wmk_alloc_aligned(void *out_pointer, size_t bytes)
{
    size_t whole;
    if (__builtin_add_overflow(bytes, sizeof(void *) + 2 * ALIGNMENT_BYTES, &whole)) return wmk_fail_memory(bytes);
    unsigned char *block = calloc(1, whole); /* room to align, and the last vector is whole */
    if (!block) return wmk_fail_memory(bytes);
    unsigned char *aligned = block + sizeof block;
    aligned += (ALIGNMENT_BYTES - (uintptr_t)aligned % ALIGNMENT_BYTES) % ALIGNMENT_BYTES;
    memcpy(aligned - sizeof block, &block, sizeof block);
    memcpy(out_pointer, &aligned, sizeof aligned);
    return WMK_OK;
}

void wmk_free_aligned(void *pointer)
{
    void *block;
    if (!pointer) return;
    memcpy(&block, (unsigned char *)pointer - sizeof block, sizeof block);
    free(block);
}

wmk_status wmk_strdup(char **out, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = NULL;
    WMK_TRY(wmk_alloc(&copy, bytes, 1));
    memcpy(copy, text, bytes);
    *out = copy;
    return WMK_OK;
}

/* vasprintf in the C locale: what a file holds has a point, whatever the program's locale is. */
__attribute__((format(printf, 3, 0))) static wmk_status print_plain(char **out, size_t *length, const char *format, va_list arguments)
{
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!plain) return wmk_fail_memory(1);
    locale_t before = uselocale(plain);
    int printed = vasprintf(out, format, arguments);
    uselocale(before);
    freelocale(plain);
    if (printed < 0) return wmk_fail(WMK_ERROR_MEMORY, "out of memory: formatting a text");
    *length = (size_t)printed;
    return WMK_OK;
}

wmk_status wmk_format(char **out, const char *format, ...)
{
    size_t length;
    va_list arguments;
    va_start(arguments, format);
    wmk_status status = print_plain(out, &length, format, arguments);
    va_end(arguments);
    return status;
}

double wmk_number(const char *text, char **end)
{
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    *end = (char *)(uintptr_t)text;
    double value = plain ? strtod_l(text, end, plain) : 0;
    if (plain) freelocale(plain);
    return value;
}

static wmk_status reserve(wmk_buffer *buffer, size_t more)
{
    size_t need;
    if (__builtin_add_overflow(buffer->size, more, &need)) return wmk_fail_memory(SIZE_MAX);
    if (need <= buffer->capacity) return WMK_OK;
    size_t capacity = buffer->capacity < 256 ? 256 : buffer->capacity;
    while (capacity < need)
        if (__builtin_mul_overflow(capacity, 2, &capacity)) capacity = need;
    WMK_TRY(wmk_resize(&buffer->data, capacity, 1));
    buffer->capacity = capacity;
    return WMK_OK;
}

wmk_status wmk_buffer_append(wmk_buffer *buffer, const void *bytes, size_t size)
{
    if (size == 0) return WMK_OK;
    WMK_TRY(reserve(buffer, size));
    memcpy(buffer->data + buffer->size, bytes, size);
    buffer->size += size;
    return WMK_OK;
}

wmk_status wmk_buffer_printf(wmk_buffer *buffer, const char *format, ...)
{
    char *text = NULL;
    size_t length;
    va_list arguments;
    va_start(arguments, format);
    wmk_status status = print_plain(&text, &length, format, arguments);
    va_end(arguments);
    if (status != WMK_OK) return status;
    status = wmk_buffer_append(buffer, text, length);
    free(text);
    return status;
}

void wmk_buffer_free(wmk_buffer *buffer)
{
    free(buffer->data);
    *buffer = (wmk_buffer){0};
}
