/* mark/timestamp.h - RFC 3161 time stamps, for the files of this room and their tests. */
#ifndef WMK_MARK_TIMESTAMP_H
#define WMK_MARK_TIMESTAMP_H

#include <weightmark/mark.h>
#include "base/memory.h"

#define WMK_ANSWER_BYTES_MAX (2 * WMK_TIMESTAMP_BYTES_MAX) /* of an answer's file, PEM included */
#define WMK_AUTHORITIES_BYTES_MAX ((size_t)16 * 1024 * 1024)

/* The DER of a TimeStampReq over `digest` (SHA-256), with a fresh nonce and a wish for certificates. */
#define WMK_TIMESTAMP_REQUEST_BYTES 69
void wmk_timestamp_encode_request(uint8_t request[WMK_TIMESTAMP_REQUEST_BYTES], const uint8_t digest[32]);

/* ---- with libcrypto (timestamp_libcrypto.c); UNSUPPORTED without (timestamp_absent.c) ---- */

/* What an answer over `statement` says. Statuses as wmk_timestamp_check. */
wmk_status wmk_timestamp_verify(wmk_timestamp *out, const char *statement, const void *bytes, size_t size, const wmk_authorities *authorities);
/* The bare token of an answer in DER, appended to `token`; not checked. INPUT; MEMORY. */
wmk_status wmk_timestamp_extract(wmk_buffer *token, const void *bytes, size_t size);

#endif
