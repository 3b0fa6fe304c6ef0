/* base/protobuf.h - a reader of protobuf's wire format over hostile bytes: field by field, where they lie, without a copy. It allocates nothing and knows no schema: the caller goes
 * down into a message by setting up a reader on its bytes, and limits how deep. https://protobuf.dev/programming-guides/encoding */
#ifndef WMK_BASE_PROTOBUF_H
#define WMK_BASE_PROTOBUF_H

#include <stdbool.h>
#include "base/status.h"

typedef enum wmk_wire {
    WMK_WIRE_VARINT = 0,
    WMK_WIRE_64 = 1,
    WMK_WIRE_BYTES = 2, /* bytes, text, a message, packed numbers */
    WMK_WIRE_32 = 5
} wmk_wire;

typedef struct wmk_protobuf {
    const unsigned char *at, *end;
} wmk_protobuf;

typedef struct wmk_protobuf_field {
    uint32_t number; /* 1 or more */
    wmk_wire wire;
    uint64_t value;            /* of VARINT, 64 and 32: the bits */
    const unsigned char *data; /* the value's own bytes, in the message */
    size_t size;
} wmk_protobuf_field;

/* The next field, and past it; *more is false at the end. INPUT: cut off, a varint of more than 64 bits, field number 0, a wire type that is not above (groups are history). */
wmk_status wmk_protobuf_next(wmk_protobuf *reader, wmk_protobuf_field *field, bool *more);
/* One varint. INPUT. */
wmk_status wmk_protobuf_varint(wmk_protobuf *reader, uint64_t *out);
/* The fields of the message that `field` holds. */
wmk_protobuf wmk_protobuf_enter(const wmk_protobuf_field *field);

#endif
