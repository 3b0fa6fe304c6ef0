/* model/format/flatbuffer.h - walks a FlatBuffer of hostile bytes, without generated code. https://flatbuffers.dev/internals: a table begins with the distance back to its vtable,
 * which holds the place of each field in the table (0: absent, the default); texts, vectors and tables are reached by distances forward. So nothing can go round in circles, but
 * parts may be shared: who walks what many may share pays for it with wmk_flatbuffer_spend.
 *
 * `what` names the thing for messages: "its name". Every INPUT of these functions means that it lies outside of the file. Fields are counted from 0 in the schema's order. */
#ifndef WMK_MODEL_FORMAT_FLATBUFFER_H
#define WMK_MODEL_FORMAT_FLATBUFFER_H

#include <stdbool.h>
#include "base/status.h"

typedef struct wmk_flatbuffer {
    const unsigned char *data;
    uint64_t size;
    uint64_t left; /* bytes that may still be spent; begins as size */
} wmk_flatbuffer;

typedef struct wmk_flatbuffer_table {
    uint64_t at, bytes;            /* of the table */
    uint64_t vtable, vtable_bytes; /* bytes 0: the table is absent */
} wmk_flatbuffer_table;

typedef struct wmk_flatbuffer_vector {
    uint64_t at;    /* of its first element */
    uint64_t count; /* 0 when it is absent */
} wmk_flatbuffer_vector;

wmk_status wmk_flatbuffer_root(const wmk_flatbuffer *buffer, wmk_flatbuffer_table *out);

/* A field of `bytes` (1, 2, 4 or 8) bytes. Absent: *value stays as it is. */
wmk_status wmk_flatbuffer_number(const wmk_flatbuffer *buffer, const wmk_flatbuffer_table *table, unsigned field, unsigned bytes, const char *what,
                                 uint64_t *value);
/* Absent: out->vtable_bytes is 0. */
wmk_status wmk_flatbuffer_subtable(const wmk_flatbuffer *buffer, const wmk_flatbuffer_table *table, unsigned field, const char *what,
                                   wmk_flatbuffer_table *out);
wmk_status wmk_flatbuffer_vector_of(const wmk_flatbuffer *buffer, const wmk_flatbuffer_table *table, unsigned field, unsigned element_bytes,
                                    const char *what, wmk_flatbuffer_vector *out);
/* A UTF-8 text with its NUL, borrowed; its length is spent. Absent: NULL. Also INPUT: no UTF-8, a NUL inside, none at its end. */
wmk_status wmk_flatbuffer_text(wmk_flatbuffer *buffer, const wmk_flatbuffer_table *table, unsigned field, const char *what, const char **out);

/* Elements of a vector; i in range. */
wmk_status wmk_flatbuffer_table_at(const wmk_flatbuffer *buffer, const wmk_flatbuffer_vector *vector, uint64_t i, const char *what,
                                   wmk_flatbuffer_table *out);
uint32_t wmk_flatbuffer_u32_at(const wmk_flatbuffer *buffer, const wmk_flatbuffer_vector *vector, uint64_t i);

/* INPUT when all that was spent is more than the file has: its parts overlap, and walking them could take for ever. */
wmk_status wmk_flatbuffer_spend(wmk_flatbuffer *buffer, uint64_t bytes, const char *what);

#endif
