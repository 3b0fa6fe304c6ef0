/* Reads bytes as an authority's answer over "hello". What is accepted says what the seeds say, in
 * printable words: nobody here can sign another date. */
#include <string.h>

#include "mark/timestamp.h"
#include "tests/fuzz/fuzz.h"

static wmk_authorities *authorities[2];

static void check_words(const char *text, size_t size)
{
    FUZZ_CHECK(memchr(text, 0, size) && *text);
    for (; *text; text++) FUZZ_CHECK((unsigned char)*text >= ' ' && *text != 127);
}

static void check(const uint8_t *data, size_t size, const wmk_authorities *trusted)
{
    wmk_timestamp found;
    wmk_status status = wmk_timestamp_verify(&found, "hello", data, size, trusted);
    if (status != WMK_OK) {
        FUZZ_CHECK(status == WMK_ERROR_INPUT || status == WMK_ERROR_MISMATCH || status == WMK_ERROR_UNSUPPORTED);
        FUZZ_CHECK(strstr(wmk_error_message(), "time stamp: "));
        return;
    }
    FUZZ_CHECK(found.seconds == 1746791935 || found.seconds == 1741683128);
    check_words(found.signer, sizeof found.signer);
    check_words(found.serial, sizeof found.serial);
    check_words(found.policy, sizeof found.policy);
}

/* A token that was taken out once is itself. */
static void check_token(const uint8_t *data, size_t size)
{
    wmk_buffer token = {0}, again = {0};
    if (wmk_timestamp_extract(&token, data, size) == WMK_OK) {
        FUZZ_CHECK(token.size <= WMK_TIMESTAMP_BYTES_MAX);
        FUZZ_CHECK(wmk_timestamp_extract(&again, token.data, token.size) == WMK_OK);
        FUZZ_CHECK(again.size == token.size && memcmp(again.data, token.data, token.size) == 0);
    }
    wmk_buffer_free(&token);
    wmk_buffer_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {WMK_FUZZ_ANSWERS "/sigstage.pem", WMK_FUZZ_ANSWERS "/identrust.pem"};
    for (int i = 0; i < 2; i++) {
        if (!authorities[i]) FUZZ_CHECK(wmk_authorities_read(&authorities[i], names[i]) == WMK_OK);
        check(data, size, authorities[i]);
    }
    check_token(data, size);
    return 0;
}
