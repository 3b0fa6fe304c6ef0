/* base/json.h - a strict JSON reader for hostile headers. It builds no tree and allocates nothing, so what a header can cost is bounded by its own size: decoded strings go
 * into a block that the caller provides. Strings must be valid UTF-8; nesting is limited. */
#ifndef WMK_BASE_JSON_H
#define WMK_BASE_JSON_H

#include <stdbool.h>
#include "base/status.h"

typedef struct wmk_json {
    const unsigned char *begin, *at, *end;
    char *text; /* where the next decoded string goes; a block of end - begin bytes holds every string of the document, each with its NUL */
} wmk_json;

#define WMK_JSON_DEPTH_MAX 128

/* True, and past it, when `c` comes next after white space. */
bool wmk_json_accept(wmk_json *json, char c);
/* The same, where nothing else is allowed. INPUT. */
wmk_status wmk_json_expect(wmk_json *json, char c);
/* The literal null: true, and past it, when it comes next. */
bool wmk_json_accept_null(wmk_json *json);
/* A string, decoded, with a NUL after it; size without that NUL, so that a NUL inside shows. INPUT. */
wmk_status wmk_json_string(wmk_json *json, const char **text, size_t *size);
/* A whole number in [0, 2^64). INPUT: anything else. */
wmk_status wmk_json_u64(wmk_json *json, uint64_t *out);
/* Any one value, checked and passed over. INPUT. */
wmk_status wmk_json_skip(wmk_json *json);
/* Nothing but white space is left. INPUT. */
wmk_status wmk_json_end(wmk_json *json);

/* Length of the UTF-8 sequence at `at`, 1 to 4; 0 when it is not valid (overlong, surrogate, above U+10FFFF, cut off). Not for users, but the
 * training library calls it in the core one. */
__attribute__((visibility("default"))) size_t wmk_utf8_length(const unsigned char *at, const unsigned char *end);

#endif
