/* model/format/flatbuffer.c - every place is checked against the file before it is read; none need be aligned. */
#include "model/format/flatbuffer.h"

#include <string.h>

#include "base/json.h"

static uint64_t load(const unsigned char *at, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = bytes; i-- > 0;) value = value << 8 | at[i];
    return value;
}

static bool inside(const wmk_flatbuffer *buffer, uint64_t at, uint64_t bytes) { return at <= buffer->size && bytes <= buffer->size - at; }

static wmk_status outside(const char *what) { return wmk_fail(WMK_ERROR_INPUT, "%s lies outside of the file", what); }

static wmk_status read_table(const wmk_flatbuffer *buffer, uint64_t at, const char *what, wmk_flatbuffer_table *out)
{
    enum { HEAD_BYTES = 4 };
    if (!inside(buffer, at, HEAD_BYTES)) return outside(what);
    int64_t back = (int32_t)(uint32_t)load(buffer->data + at, 4), vtable = (int64_t)at - back; /* files have fewer than 2^63 bytes */
    if (vtable < 0 || !inside(buffer, (uint64_t)vtable, HEAD_BYTES))
        return wmk_fail(WMK_ERROR_INPUT, "the vtable of %s lies outside of the file", what);
    *out = (wmk_flatbuffer_table){at, load(buffer->data + vtable + 2, 2), (uint64_t)vtable, load(buffer->data + vtable, 2)};
    if (out->vtable_bytes < HEAD_BYTES || out->vtable_bytes % 2 != 0 || !inside(buffer, out->vtable, out->vtable_bytes))
        return wmk_fail(WMK_ERROR_INPUT, "the vtable of %s has %llu bytes", what, (unsigned long long)out->vtable_bytes);
    if (out->bytes < HEAD_BYTES || !inside(buffer, at, out->bytes)) return outside(what);
    return WMK_OK;
}

wmk_status wmk_flatbuffer_root(const wmk_flatbuffer *buffer, wmk_flatbuffer_table *out)
{
    if (!inside(buffer, 0, 4)) return outside("the root");
    return read_table(buffer, load(buffer->data, 4), "the root", out);
}

/* Where a field's bytes are; 0: absent (no field lies at 0, where the root's distance is). */
static wmk_status place_of(const wmk_flatbuffer *buffer, const wmk_flatbuffer_table *table, unsigned field, unsigned bytes, const char *what,
                           uint64_t *place)
{
    uint64_t slot = 4 + 2 * (uint64_t)field;
    *place = 0;
    if (slot + 2 > table->vtable_bytes) return WMK_OK;
    uint64_t offset = load(buffer->data + table->vtable + slot, 2);
    if (offset == 0) return WMK_OK;
    if (offset < 4 || offset + bytes > table->bytes) return wmk_fail(WMK_ERROR_INPUT, "%s lies outside of its table", what);
    *place = table->at + offset;
    return WMK_OK;
}

/* The place that a distance stored at `place` leads to. A distance of 0 would lead to itself. */
static wmk_status follow(const wmk_flatbuffer *buffer, uint64_t place, const char *what, uint64_t *target)
{
    uint64_t distance = load(buffer->data + place, 4);
    *target = place + distance;
    return distance != 0 && inside(buffer, *target, 4) ? WMK_OK : outside(what);
}

wmk_status wmk_flatbuffer_number(const wmk_flatbuffer *buffer, const wmk_flatbuffer_table *table, unsigned field, unsigned bytes, const char *what,
                                 uint64_t *value)
{
    uint64_t place;
    WMK_TRY(place_of(buffer, table, field, bytes, what, &place));
    if (place) *value = load(buffer->data + place, bytes);
    return WMK_OK;
}

wmk_status wmk_flatbuffer_subtable(const wmk_flatbuffer *buffer, const wmk_flatbuffer_table *table, unsigned field, const char *what,
                                   wmk_flatbuffer_table *out)
{
    uint64_t place, target;
    *out = (wmk_flatbuffer_table){0, 0, 0, 0};
    WMK_TRY(place_of(buffer, table, field, 4, what, &place));
    if (!place) return WMK_OK;
    WMK_TRY(follow(buffer, place, what, &target));
    return read_table(buffer, target, what, out);
}

wmk_status wmk_flatbuffer_vector_of(const wmk_flatbuffer *buffer, const wmk_flatbuffer_table *table, unsigned field, unsigned element_bytes,
                                    const char *what, wmk_flatbuffer_vector *out)
{
    uint64_t place, target;
    *out = (wmk_flatbuffer_vector){0, 0};
    WMK_TRY(place_of(buffer, table, field, 4, what, &place));
    if (!place) return WMK_OK;
    WMK_TRY(follow(buffer, place, what, &target));
    uint64_t count = load(buffer->data + target, 4);
    if (!inside(buffer, target + 4, count * element_bytes)) return outside(what);
    *out = (wmk_flatbuffer_vector){target + 4, count};
    return WMK_OK;
}

wmk_status wmk_flatbuffer_text(wmk_flatbuffer *buffer, const wmk_flatbuffer_table *table, unsigned field, const char *what, const char **out)
{
    wmk_flatbuffer_vector vector;
    *out = NULL;
    WMK_TRY(wmk_flatbuffer_vector_of(buffer, table, field, 1, what, &vector));
    if (vector.at == 0) return WMK_OK;
    WMK_TRY(wmk_flatbuffer_spend(buffer, vector.count, what));
    const unsigned char *text = buffer->data + vector.at, *end = text + vector.count;
    if (!inside(buffer, vector.at, vector.count + 1) || *end != 0) return wmk_fail(WMK_ERROR_INPUT, "%s has no NUL at its end", what);
    for (const unsigned char *at = text; at < end;) {
        size_t length = wmk_utf8_length(at, end);
        if (length == 0 || *at == 0) return wmk_fail(WMK_ERROR_INPUT, "%s is no UTF-8 text", what);
        at += length;
    }
    *out = (const char *)text;
    return WMK_OK;
}

wmk_status wmk_flatbuffer_table_at(const wmk_flatbuffer *buffer, const wmk_flatbuffer_vector *vector, uint64_t i, const char *what,
                                   wmk_flatbuffer_table *out)
{
    uint64_t target;
    WMK_TRY(follow(buffer, vector->at + 4 * i, what, &target));
    return read_table(buffer, target, what, out);
}

uint32_t wmk_flatbuffer_u32_at(const wmk_flatbuffer *buffer, const wmk_flatbuffer_vector *vector, uint64_t i)
{
    return (uint32_t)load(buffer->data + vector->at + 4 * i, 4);
}

wmk_status wmk_flatbuffer_spend(wmk_flatbuffer *buffer, uint64_t bytes, const char *what)
{
    if (bytes > buffer->left) return wmk_fail(WMK_ERROR_INPUT, "%s overlaps others: together they are longer than the file", what);
    buffer->left -= bytes;
    return WMK_OK;
}
