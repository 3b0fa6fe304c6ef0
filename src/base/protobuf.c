/* base/protobuf.c - tag, length, value. */
#include "base/protobuf.h"

enum { VARINT_BYTES_MAX = 10 };

wmk_status wmk_protobuf_varint(wmk_protobuf *reader, uint64_t *out)
{
    uint64_t value = 0;
    for (int i = 0; i < VARINT_BYTES_MAX; i++) {
        if (reader->at == reader->end) return wmk_fail(WMK_ERROR_INPUT, "protobuf: cut off within a number");
        unsigned char byte = *reader->at++;
        if (i == VARINT_BYTES_MAX - 1 && byte > 1) break;
        value |= (uint64_t)(byte & 0x7f) << 7 * i;
        if (byte < 0x80) {
            *out = value;
            return WMK_OK;
        }
    }
    return wmk_fail(WMK_ERROR_INPUT, "protobuf: a number of more than 64 bits");
}

static wmk_status take(wmk_protobuf *reader, wmk_protobuf_field *field, uint64_t size)
{
    size_t left = (size_t)(reader->end - reader->at);
    if (size > left)
        return wmk_fail(WMK_ERROR_INPUT, "protobuf: truncated: field %u has %llu bytes, %zu are left", field->number, (unsigned long long)size, left);
    field->data = reader->at;
    field->size = (size_t)size;
    reader->at += size;
    return WMK_OK;
}

/* A fixed number's bits, little-endian. */
static uint64_t fixed(const unsigned char *bytes, size_t size)
{
    uint64_t value = 0;
    while (size-- > 0) value = value << 8 | bytes[size];
    return value;
}

wmk_status wmk_protobuf_next(wmk_protobuf *reader, wmk_protobuf_field *field, bool *more)
{
    uint64_t tag, size;
    *more = reader->at < reader->end;
    *field = (wmk_protobuf_field){0};
    if (!*more) return WMK_OK;
    WMK_TRY(wmk_protobuf_varint(reader, &tag));
    if (tag >> 3 == 0 || tag >> 32 != 0) return wmk_fail(WMK_ERROR_INPUT, "protobuf: field number %llu", (unsigned long long)(tag >> 3));
    field->number = (uint32_t)(tag >> 3);
    field->wire = (wmk_wire)(tag & 7);
    switch (field->wire) {
    case WMK_WIRE_VARINT:
        field->data = reader->at;
        WMK_TRY(wmk_protobuf_varint(reader, &field->value));
        field->size = (size_t)(reader->at - field->data);
        return WMK_OK;
    case WMK_WIRE_BYTES:
        WMK_TRY(wmk_protobuf_varint(reader, &size));
        return take(reader, field, size);
    case WMK_WIRE_64:
    case WMK_WIRE_32:
        WMK_TRY(take(reader, field, field->wire == WMK_WIRE_64 ? 8 : 4));
        field->value = fixed(field->data, field->size);
        return WMK_OK;
    }
    return wmk_fail(WMK_ERROR_INPUT, "protobuf: field %u has wire type %u, which is a group or nothing", field->number, (unsigned)(tag & 7));
}

wmk_protobuf wmk_protobuf_enter(const wmk_protobuf_field *field) { return (wmk_protobuf){field->data, field->data + field->size}; }
