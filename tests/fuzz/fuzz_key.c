/* Reads bytes as a key file. What is a key is whole: its numbers are in their ranges, and written again it is the same key. A sealed one is never opened here: Argon2id is slow
 * on purpose. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <weightmark/mark.h>
#include "tests/fuzz/fuzz.h"

static char input_path[64], output_path[64];
static int input = -1;

static void clean_up(void) { unlink(output_path); }

static void set_up(void)
{
    input = memfd_create("fuzz_key", MFD_CLOEXEC);
    FUZZ_CHECK(input >= 0);
    snprintf(input_path, sizeof input_path, "/proc/self/fd/%d", input);
    snprintf(output_path, sizeof output_path, "/tmp/wmk-fuzz-key-%ld", (long)getpid());
    atexit(clean_up);
}

static void check_key(const wmk_key *key)
{
    uint32_t T = wmk_key_bit_count(key);
    FUZZ_CHECK(T >= 1 && T <= WMK_BITS_MAX);
    FUZZ_CHECK(wmk_key_m(key) >= 1 && wmk_key_target_count(key) >= 1 && wmk_key_target_count(key) <= WMK_TARGETS_MAX);
    uint8_t original[WMK_ORIGINAL_BYTES], any = 0;
    bool bound = wmk_key_original(key, original);
    for (size_t i = 0; i < sizeof original; i++) any |= original[i];
    FUZZ_CHECK(bound == (any != 0) && wmk_key_created(key) >= 1);
    FUZZ_CHECK(strcmp(wmk_scheme_name(wmk_key_scheme(key)), "unknown") != 0 && strcmp(wmk_carrier_name(wmk_key_carrier(key)), "unknown") != 0);
    for (size_t i = 0; i < wmk_key_target_count(key); i++) {
        const wmk_target *target = wmk_key_target(key, i);
        FUZZ_CHECK(target->rank <= WMK_RANK_MAX && wmk_layout_is_valid(target->layout, target->rank));
    }
    uint8_t *b = malloc(T);
    FUZZ_CHECK(b);
    wmk_key_bits(key, b);
    for (uint32_t j = 0; j < T; j++) FUZZ_CHECK(b[j] <= 1);
    free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (input < 0) set_up();
    FUZZ_CHECK(ftruncate(input, 0) == 0 && pwrite(input, data, size, 0) == (ssize_t)size);
    wmk_key *key = NULL, *again;
    wmk_status status = wmk_key_read(&key, input_path, NULL, 0);
    if (status != WMK_OK) {
        FUZZ_CHECK(status == WMK_ERROR_INPUT || status == WMK_ERROR_UNSUPPORTED || status == WMK_ERROR_SECRET);
        FUZZ_CHECK(!key && wmk_error_message()[0]);
        return 0;
    }
    check_key(key);
    char id[WMK_KEY_ID_CHARS + 1], id_again[WMK_KEY_ID_CHARS + 1];
    FUZZ_CHECK(wmk_key_write(key, output_path, NULL, 0, true) == WMK_OK && wmk_key_read(&again, output_path, NULL, 0) == WMK_OK);
    wmk_key_id(key, id);
    wmk_key_id(again, id_again);
    FUZZ_CHECK(strcmp(id, id_again) == 0);
    check_key(again);
    size_t bytes, bytes_again;
    const uint8_t *stamp = wmk_key_timestamp(key, &bytes), *stamp_again = wmk_key_timestamp(again, &bytes_again);
    FUZZ_CHECK(bytes == bytes_again && bytes <= WMK_TIMESTAMP_BYTES_MAX && !stamp == !stamp_again && !stamp == (bytes == 0));
    FUZZ_CHECK(bytes == 0 || memcmp(stamp, stamp_again, bytes) == 0);
    wmk_key_free(again);
    wmk_key_free(key);
    return 0;
}
