/* Time stamps without cryptography of their own: the statement, the request, a key's date. */
#include "mark/timestamp.h"
#include "base/file.h"
#include "mark/derive.h"
#include "mark/key_file.h"
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(sizeof "weightmark key id \n" - 1 + WMK_KEY_ID_CHARS == WMK_KEY_STATEMENT_CHARS, "");

wmk_status wmk_key_statement(char statement[WMK_KEY_STATEMENT_CHARS + 1], const char *id)
{
    if (strlen(id) != WMK_KEY_ID_CHARS || strspn(id, "0123456789abcdef") != WMK_KEY_ID_CHARS)
        return wmk_fail(WMK_ERROR_ARGUMENT, "\"%.80s\" is no key id: %d digits 0-9a-f are needed", id, WMK_KEY_ID_CHARS);
    snprintf(statement, WMK_KEY_STATEMENT_CHARS + 1, "weightmark key id %s\n", id);
    return WMK_OK;
}

/* TimeStampReq (RFC 3161, 2.4.1) has a fixed size when its nonce has: version 1, SHA-256 (with NULL)
 * and the digest, INTEGER nonce, certReq TRUE. */
void wmk_timestamp_encode_request(uint8_t request[WMK_TIMESTAMP_REQUEST_BYTES], const uint8_t digest[32])
{
    static const uint8_t head[] = {0x30, 67, 2, 1, 1, 0x30, 49, 0x30, 13, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 32};
    enum { DIGEST = sizeof head, NONCE = DIGEST + 32 + 2, END = NONCE + 8 };
    static const uint8_t integer[] = {2, 8}, cert_req[] = {1, 1, 0xff};
    _Static_assert(END + sizeof cert_req == WMK_TIMESTAMP_REQUEST_BYTES, "TimeStampReq");
    memcpy(request, head, sizeof head);
    memcpy(request + DIGEST, digest, 32);
    memcpy(request + NONCE - 2, integer, sizeof integer);
    randombytes_buf(request + NONCE, 8);
    request[NONCE] = (request[NONCE] & 0x3f) | 0x40; /* positive, without a byte that DER forbids */
    memcpy(request + END, cert_req, sizeof cert_req);
}

wmk_status wmk_timestamp_request(const char *id, const char *path, bool replace)
{
    char statement[WMK_KEY_STATEMENT_CHARS + 1];
    uint8_t digest[crypto_hash_sha256_BYTES], request[WMK_TIMESTAMP_REQUEST_BYTES];
    WMK_TRY(wmk_key_statement(statement, id));
    WMK_TRY(wmk_sodium_ready());
    crypto_hash_sha256(digest, (const unsigned char *)statement, WMK_KEY_STATEMENT_CHARS);
    wmk_timestamp_encode_request(request, digest);
    wmk_output *output;
    WMK_TRY(wmk_output_begin(&output, path, 0644, replace));
    wmk_status status = wmk_output_write(output, request, sizeof request);
    if (status == WMK_OK) return wmk_output_commit(output);
    wmk_output_abort(output);
    return status;
}

wmk_status wmk_timestamp_check(wmk_timestamp *out, const char *id, const void *answer, size_t bytes, const wmk_authorities *authorities)
{
    char statement[WMK_KEY_STATEMENT_CHARS + 1];
    WMK_TRY(wmk_key_statement(statement, id));
    return wmk_timestamp_verify(out, statement, answer, bytes, authorities);
}

wmk_status wmk_key_date(wmk_timestamp *out, const wmk_key *key, const wmk_authorities *authorities)
{
    char id[WMK_KEY_ID_CHARS + 1];
    if (!key->timestamp) return wmk_fail(WMK_ERROR_MISSING, "the key has no time stamp");
    wmk_key_id(key, id);
    return wmk_timestamp_check(out, id, key->timestamp, key->timestamp_bytes, authorities);
}

wmk_status wmk_key_file_id(char id[WMK_KEY_ID_CHARS + 1], const char *path)
{
    wmk_key_public key;
    WMK_TRY(wmk_key_public_read(&key, path));
    memcpy(id, key.id, sizeof key.id);
    wmk_key_public_free(&key);
    return WMK_OK;
}

/* The file anew with `token` as its time stamp; every other byte stays. */
static wmk_status write_stamped(const char *path, const wmk_key_public *key, const wmk_buffer *token)
{
    wmk_output *output = NULL;
    wmk_buffer value = {0};
    wmk_status status = WMK_OK;
    if (!key->is_stamped) status = wmk_buffer_printf(&value, ",\n  \"timestamp\":");
    if (status == WMK_OK) status = wmk_buffer_append(&value, " ", 1);
    if (status == WMK_OK) status = wmk_append_base64(&value, token->data, token->size);
    if (status == WMK_OK && key->size + value.size > WMK_KEY_FILE_BYTES_MAX)
        status = wmk_fail(WMK_ERROR_INPUT, "%s: the key file has no room for a time stamp", path);
    if (status == WMK_OK) status = wmk_output_begin(&output, path, 0600, true);
    if (status == WMK_OK) status = wmk_output_write(output, key->text, key->stamp_begin);
    if (status == WMK_OK) status = wmk_output_write(output, value.data, value.size);
    if (status == WMK_OK) status = wmk_output_write(output, key->text + key->stamp_end, key->size - key->stamp_end);
    wmk_buffer_free(&value);
    if (status == WMK_OK) return wmk_output_commit(output);
    wmk_output_abort(output);
    return status;
}

/* The DER token of the answer in the file, checked against the key's id. */
static wmk_status read_answer(wmk_timestamp *found, wmk_buffer *token, const char *path, const char *id, const wmk_authorities *authorities)
{
    unsigned char *answer;
    size_t bytes;
    WMK_TRY(wmk_file_read(&answer, &bytes, path, WMK_ANSWER_BYTES_MAX));
    wmk_status status = wmk_timestamp_extract(token, answer, bytes);
    free(answer);
    if (status == WMK_OK) status = wmk_timestamp_check(found, id, token->data, token->size, authorities);
    return status == WMK_OK ? WMK_OK : wmk_fail_within(status, "%s", path);
}

wmk_status wmk_key_file_stamp(wmk_timestamp *out, const char *path, const char *answer, const wmk_authorities *authorities, bool replace)
{
    wmk_key_public key;
    wmk_timestamp found;
    wmk_buffer token = {0};
    WMK_TRY(wmk_key_public_read(&key, path));
    wmk_status status = WMK_OK;
    if (key.is_stamped && !replace) status = wmk_fail(WMK_ERROR_EXISTS, "%s: holds a time stamp already, which is kept", path);
    if (status == WMK_OK) status = read_answer(&found, &token, answer, key.id, authorities);
    if (status == WMK_OK) status = write_stamped(path, &key, &token);
    wmk_buffer_free(&token);
    wmk_key_public_free(&key);
    if (status == WMK_OK) *out = found;
    return status;
}
