/* model/format/hdf5_object.c - object headers: the list of messages that says what an object is (IV.A.1). */
#include <stdlib.h>
#include <string.h>

#include "model/format/hdf5.h"

/* A run of messages: chunk 0, or where a continuation leads. */
typedef struct span {
    uint64_t address, bytes;
} span;

typedef struct reader {
    wmk_hdf5_image *image;
    wmk_hdf5_object *object;
    size_t capacity;
    bool version_2, creation_order;
    span *spans; /* [span_count], a queue */
    size_t span_count, span_capacity;
} reader;

static wmk_status add_span(reader *r, uint64_t address, uint64_t bytes)
{
    if (r->span_count == r->span_capacity) {
        size_t capacity = r->span_capacity ? 2 * r->span_capacity : 4;
        WMK_TRY(wmk_resize(&r->spans, capacity, sizeof *r->spans));
        r->span_capacity = capacity;
    }
    r->spans[r->span_count++] = (span){address, bytes};
    return WMK_OK;
}

static wmk_status add_message(reader *r, const wmk_hdf5_message *message)
{
    wmk_hdf5_object *object = r->object;
    if (object->count == r->capacity) {
        size_t capacity = r->capacity ? 2 * r->capacity : 16;
        WMK_TRY(wmk_resize(&object->message, capacity, sizeof *object->message));
        r->capacity = capacity;
    }
    object->message[object->count++] = *message;
    return WMK_OK;
}

/* Messages until `c` is used up; what is left is too short for one (a gap). */
static wmk_status read_messages(reader *r, wmk_hdf5_cursor c, uint64_t block, uint64_t block_bytes)
{
    const unsigned head = r->version_2 ? (r->creation_order ? 6 : 4) : 8;
    while ((size_t)(c.end - c.at) >= head) {
        wmk_hdf5_message message = {.block = block, .block_bytes = block_bytes};
        unsigned type = (unsigned)wmk_hdf5_take(&c, r->version_2 ? 1 : 2), size = (unsigned)wmk_hdf5_take(&c, 2);
        unsigned flags = (unsigned)wmk_hdf5_take(&c, 1);
        wmk_hdf5_take_bytes(&c, head - (r->version_2 ? 4 : 5));
        const unsigned char *body = wmk_hdf5_take_bytes(&c, size);
        if (!body) return wmk_fail(WMK_ERROR_INPUT, "a message of %u bytes does not fit its object header", size);
        if (type == 0 || type > 255) continue;
        message.type = (uint8_t)type;
        message.shared = flags & 2;
        message.body = (wmk_hdf5_cursor){body, body + size, false};
        if (type == WMK_HDF5_CONTINUATION) {
            wmk_hdf5_cursor at = message.body;
            uint64_t address = wmk_hdf5_take_address(r->image, &at), bytes = wmk_hdf5_take_length(r->image, &at);
            if (at.bad) return wmk_fail(WMK_ERROR_INPUT, "a continuation of the object header is cut off");
            WMK_TRY(add_span(r, address, bytes));
        } else {
            WMK_TRY(add_message(r, &message));
        }
    }
    return WMK_OK;
}

/* The prefix of version 1: 12 bytes, 4 of padding. */
static wmk_status begin_1(reader *r, uint64_t address)
{
    wmk_hdf5_cursor c;
    WMK_TRY(wmk_hdf5_claim_at(r->image, address, 16, NULL, "the object header", &c));
    wmk_hdf5_take_bytes(&c, 8);
    return add_span(r, address + 16, wmk_hdf5_take(&c, 4));
}

/* The prefix of version 2 and chunk 0, under one checksum. */
static wmk_status begin_2(reader *r, uint64_t address)
{
    wmk_hdf5_cursor c;
    WMK_TRY(wmk_hdf5_at(r->image, address, r->image->size - address, "the object header", &c));
    const unsigned char *begin = c.at;
    wmk_hdf5_take(&c, 4);
    unsigned version = (unsigned)wmk_hdf5_take(&c, 1), flags = (unsigned)wmk_hdf5_take(&c, 1);
    if (version != 2) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: object header version %u", version);
    r->creation_order = flags & 4;
    wmk_hdf5_take_bytes(&c, (flags & 32 ? 16u : 0) + (flags & 16 ? 4u : 0));
    uint64_t bytes = wmk_hdf5_take(&c, 1u << (flags & 3)), prefix = (uint64_t)(c.at - begin), all;
    if (c.bad || !wmk_add_u64(bytes, prefix + 4, &all) || all > (uint64_t)(c.end - begin))
        return wmk_fail(WMK_ERROR_INPUT, "an object header of %llu bytes does not fit the file", (unsigned long long)bytes);
    wmk_hdf5_cursor whole;
    WMK_TRY(wmk_hdf5_claim_at(r->image, address, all, "OHDR", "the object header", &whole));
    WMK_TRY(wmk_hdf5_check(r->image, begin, prefix + bytes, "the object header"));
    c.end = c.at + bytes;
    return read_messages(r, c, address, prefix + bytes);
}

static wmk_status read_span(reader *r, span at)
{
    wmk_hdf5_cursor c;
    if (!r->version_2) {
        WMK_TRY(wmk_hdf5_claim_at(r->image, at.address, at.bytes, NULL, "the object header", &c));
        return read_messages(r, c, 0, 0);
    }
    if (at.bytes < 8) return wmk_fail(WMK_ERROR_INPUT, "a continuation of the object header has %llu bytes", (unsigned long long)at.bytes);
    WMK_TRY(wmk_hdf5_claim_at(r->image, at.address, at.bytes, "OCHK", "the object header", &c));
    WMK_TRY(wmk_hdf5_check(r->image, c.at - 4, at.bytes - 4, "the object header"));
    c.end -= 4;
    return read_messages(r, c, at.address, at.bytes - 4);
}

static wmk_status read_all(reader *r, uint64_t address)
{
    wmk_hdf5_cursor c;
    WMK_TRY(wmk_hdf5_at(r->image, address, 4, "the object header", &c));
    r->version_2 = memcmp(c.at, "OHDR", 4) == 0;
    if (!r->version_2 && c.at[0] != 1) return wmk_fail(WMK_ERROR_INPUT, "no object header at byte %llu", (unsigned long long)address);
    WMK_TRY(r->version_2 ? begin_2(r, address) : begin_1(r, address));
    for (size_t i = 0; i < r->span_count; i++) WMK_TRY(read_span(r, r->spans[i]));
    return WMK_OK;
}

wmk_status wmk_hdf5_object_read(wmk_hdf5_object *out, wmk_hdf5_image *image, uint64_t address)
{
    *out = (wmk_hdf5_object){0};
    reader r = {.image = image, .object = out};
    wmk_status status = read_all(&r, address);
    free(r.spans);
    return status;
}

const wmk_hdf5_message *wmk_hdf5_object_find(const wmk_hdf5_object *object, uint8_t type)
{
    for (size_t i = 0; i < object->count; i++)
        if (object->message[i].type == type) return &object->message[i];
    return NULL;
}
