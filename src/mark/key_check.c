/* The rules of docs/spec.md, "Key". */
#include "mark/key_check.h"
#include "base/json.h"
#include "base/memory.h"
#include <stdlib.h>
#include <string.h>

/* Well-formed UTF-8 without control characters. */
static bool is_plain_utf8(const char *text)
{
    const unsigned char *at = (const unsigned char *)text, *end = at + strlen(text);
    while (at < end) {
        size_t length = wmk_utf8_length(at, end);
        if (length == 0 || *at < 0x20 || *at == 0x7f) return false;
        at += length;
    }
    return true;
}

/* Columns that one target gives: prod(shape), or for the mean prod(shape) / O. */
static wmk_status target_columns(const wmk_target *target, wmk_carrier carrier, uint64_t *columns)
{
    if (target->rank < 1 || target->rank > WMK_RANK_MAX)
        return wmk_fail(WMK_ERROR_ARGUMENT, "target %s: rank %u, it must be 1 to %d", target->name, target->rank, WMK_RANK_MAX);
    if (!memchr(target->layout, 0, sizeof target->layout) || !wmk_layout_is_valid(target->layout, target->rank))
        return wmk_fail(WMK_ERROR_ARGUMENT, "target %s: layout \"%.*s\" does not name its %u axes (O once; I, D, H, W at most once)", target->name,
                        WMK_RANK_MAX, target->layout, target->rank);
    uint64_t product = 1;
    for (uint32_t i = 0; i < target->rank; i++) {
        if (target->shape[i] == 0) return wmk_fail(WMK_ERROR_ARGUMENT, "target %s: axis %u has no elements", target->name, i);
        if (!wmk_mul_u64(product, target->shape[i], &product) || product > WMK_KEY_M_MAX)
            return wmk_fail(WMK_ERROR_ARGUMENT, "target %s: more than 2^48 weights", target->name);
    }
    *columns = carrier == WMK_CARRIER_MEAN ? product / target->shape[strchr(target->layout, 'O') - target->layout] : product;
    return WMK_OK;
}

static int compare_names(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static wmk_status check_names(const wmk_target *targets, size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        if (!targets[i].name) return wmk_fail(WMK_ERROR_ARGUMENT, "target %zu: no name", i);
        size_t bytes = strnlen(targets[i].name, WMK_KEY_NAME_BYTES_MAX + 1);
        if (bytes < 1 || bytes > WMK_KEY_NAME_BYTES_MAX)
            return wmk_fail(WMK_ERROR_ARGUMENT, "target %zu: its name must be 1 to %d bytes long", i, WMK_KEY_NAME_BYTES_MAX);
        if (!is_plain_utf8(targets[i].name)) return wmk_fail(WMK_ERROR_ARGUMENT, "target %zu: its name must be UTF-8 without control characters", i);
        total += bytes;
    }
    if (total > WMK_KEY_NAMES_BYTES_MAX)
        return wmk_fail(WMK_ERROR_ARGUMENT, "the targets' names are %zu bytes together, at most %zu are allowed", total, WMK_KEY_NAMES_BYTES_MAX);
    const char **names;
    WMK_TRY(wmk_alloc(&names, count, sizeof *names));
    for (size_t i = 0; i < count; i++) names[i] = targets[i].name;
    qsort(names, count, sizeof *names, compare_names);
    wmk_status status = WMK_OK;
    for (size_t i = 1; i < count && status == WMK_OK; i++)
        if (strcmp(names[i - 1], names[i]) == 0) status = wmk_fail(WMK_ERROR_ARGUMENT, "target %s: named twice", names[i]);
    free(names);
    return status;
}

/* Schemes direct and diff need distinct columns. */
static wmk_status check_capacity(wmk_scheme scheme, uint32_t T, uint64_t M)
{
    if (scheme == WMK_SCHEME_DIRECT && T > M)
        return wmk_fail(WMK_ERROR_MISMATCH, "scheme direct needs T <= M: T = %u bits, M = %llu", T, (unsigned long long)M);
    if (scheme == WMK_SCHEME_DIFF && 2 * (uint64_t)T > M)
        return wmk_fail(WMK_ERROR_MISMATCH, "scheme diff needs 2 T <= M: 2 T = %llu for %u bits, M = %llu", 2ull * T, T, (unsigned long long)M);
    return WMK_OK;
}

wmk_status wmk_key_check(const wmk_key_options *options, uint64_t *M)
{
    if (options->scheme < WMK_SCHEME_DIRECT || options->scheme > WMK_SCHEME_PARTITION)
        return wmk_fail(WMK_ERROR_ARGUMENT, "scheme %d is none", (int)options->scheme);
    if (options->carrier < WMK_CARRIER_MEAN || options->carrier > WMK_CARRIER_BALANCED)
        return wmk_fail(WMK_ERROR_ARGUMENT, "carrier %d is none", (int)options->carrier);
    if (options->bits < 1 || options->bits > WMK_BITS_MAX)
        return wmk_fail(WMK_ERROR_ARGUMENT, "T = %u bits, it must be 1 to %d", options->bits, WMK_BITS_MAX);
    if (options->created < 0) return wmk_fail(WMK_ERROR_ARGUMENT, "a creation time before 1970");
    if (options->target_count < 1 || options->target_count > WMK_TARGETS_MAX)
        return wmk_fail(WMK_ERROR_ARGUMENT, "%zu targets, there must be 1 to %d", options->target_count, WMK_TARGETS_MAX);
    WMK_TRY(check_names(options->targets, options->target_count));
    *M = 0;
    for (size_t i = 0; i < options->target_count; i++) {
        uint64_t columns = 0;
        WMK_TRY(target_columns(&options->targets[i], options->carrier, &columns));
        *M += columns;
        if (*M > WMK_KEY_M_MAX) return wmk_fail(WMK_ERROR_ARGUMENT, "the targets hold more than 2^48 weights together");
    }
    return check_capacity(options->scheme, options->bits, *M);
}
