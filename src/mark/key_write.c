/* Writing a key file (docs/spec.md, "Key file"). */
#include "base/file.h"
#include "base/memory.h"
#include "mark/key_file.h"
#include "mark/key_seal.h"
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* A target's name: it is UTF-8 without control characters, so only two characters need a backslash. */
static wmk_status append_string(wmk_buffer *text, const char *string)
{
    WMK_TRY(wmk_buffer_append(text, "\"", 1));
    while (*string) {
        size_t plain = strcspn(string, "\"\\");
        WMK_TRY(wmk_buffer_append(text, string, plain));
        string += plain;
        if (*string) {
            const char escaped[2] = {'\\', *string++};
            WMK_TRY(wmk_buffer_append(text, escaped, 2));
        }
    }
    return wmk_buffer_append(text, "\"", 1);
}

static wmk_status append_target(wmk_buffer *text, const wmk_target *target)
{
    WMK_TRY(wmk_buffer_printf(text, "    {\"name\": "));
    WMK_TRY(append_string(text, target->name));
    WMK_TRY(wmk_buffer_printf(text, ", \"layout\": \"%s\", \"shape\": [", target->layout));
    for (uint32_t i = 0; i < target->rank; i++) WMK_TRY(wmk_buffer_printf(text, i ? ", %llu" : "%llu", (unsigned long long)target->shape[i]));
    return wmk_buffer_append(text, "]}", 2);
}

wmk_status wmk_append_base64(wmk_buffer *text, const uint8_t *bytes, size_t size)
{
    char *encoded;
    size_t room = sodium_base64_encoded_len(size, sodium_base64_VARIANT_ORIGINAL);
    WMK_TRY(wmk_alloc(&encoded, room, 1));
    sodium_bin2base64(encoded, room, bytes, size, sodium_base64_VARIANT_ORIGINAL);
    wmk_status status = wmk_buffer_printf(text, "\"%s\"", encoded);
    free(encoded);
    return status;
}

/* All members but the last, which holds the secret. */
static wmk_status public_text(wmk_buffer *text, const wmk_key *key)
{
    char id[WMK_KEY_ID_CHARS + 1], digits[2 * WMK_ORIGINAL_BYTES + 1];
    uint8_t digest[WMK_ORIGINAL_BYTES];
    wmk_key_id(key, id);
    sodium_bin2hex(digits, sizeof digits, key->original, sizeof key->original);
    WMK_TRY(wmk_buffer_printf(text, "{\n  \"format\": \"weightmark-key\",\n  \"version\": %d,\n  \"id\": \"%s\",\n", WMK_KEY_FILE_VERSION, id));
    WMK_TRY(wmk_buffer_printf(text, "  \"scheme\": \"%s\",\n  \"carrier\": \"%s\",\n", wmk_scheme_name(key->scheme), wmk_carrier_name(key->carrier)));
    WMK_TRY(wmk_buffer_printf(text, "  \"bits\": %u,\n  \"b\": \"%s\",\n", key->T, key->ones ? "ones" : "seed"));
    WMK_TRY(wmk_buffer_printf(text, "  \"created\": %lld,\n", (long long)key->created));
    if (key->timestamp) {
        WMK_TRY(wmk_buffer_printf(text, "  \"timestamp\": "));
        WMK_TRY(wmk_append_base64(text, key->timestamp, key->timestamp_bytes));
        WMK_TRY(wmk_buffer_printf(text, ",\n"));
    }
    WMK_TRY(wmk_buffer_printf(text, "  \"original\": \"%s\",\n", wmk_key_original(key, digest) ? digits : "none"));
    WMK_TRY(wmk_buffer_printf(text, "  \"targets\": [\n"));
    for (size_t i = 0; i < key->target_count; i++) {
        WMK_TRY(append_target(text, &key->targets[i]));
        WMK_TRY(wmk_buffer_printf(text, i + 1 < key->target_count ? ",\n" : "\n"));
    }
    return wmk_buffer_printf(text, "  ],\n");
}

/* The seed in clear goes from locked memory to the file, through no other buffer. */
static wmk_status write_seed(wmk_output *output, const wmk_key *key)
{
    enum { SEED_DIGITS = 2 * WMK_SEED_BYTES };
    static const char before[] = "  \"seed\": \"", after[] = "\"\n}\n";
    WMK_TRY(wmk_output_write(output, before, sizeof before - 1));
    char *digits = sodium_malloc(SEED_DIGITS + 1);
    if (!digits) return wmk_fail(WMK_ERROR_MEMORY, "out of memory: locked memory was refused");
    sodium_bin2hex(digits, SEED_DIGITS + 1, key->secret->seed, WMK_SEED_BYTES);
    wmk_status status = wmk_output_write(output, digits, SEED_DIGITS);
    sodium_free(digits);
    WMK_TRY(status);
    return wmk_output_write(output, after, sizeof after - 1);
}

static wmk_status append_seal(wmk_buffer *text, const wmk_key *key, const char *passphrase, size_t passphrase_bytes, uint32_t passes,
                              uint32_t memory_kib)
{
    wmk_seal seal = {.passes = passes, .memory_kib = memory_kib};
    WMK_TRY(wmk_seal_close(&seal, key->secret->seed, key->id, passphrase, passphrase_bytes));
    char salt[2 * sizeof seal.salt + 1], nonce[2 * sizeof seal.nonce + 1], box[2 * sizeof seal.box + 1];
    sodium_bin2hex(salt, sizeof salt, seal.salt, sizeof seal.salt);
    sodium_bin2hex(nonce, sizeof nonce, seal.nonce, sizeof seal.nonce);
    sodium_bin2hex(box, sizeof box, seal.box, sizeof seal.box);
    return wmk_buffer_printf(text,
                             "  \"sealed\": {\"kdf\": \"argon2id\", \"passes\": %u, \"memory_kib\": %u, \"salt\": \"%s\", "
                             "\"cipher\": \"xchacha20-poly1305\", \"nonce\": \"%s\", \"box\": \"%s\"}\n}\n",
                             seal.passes, seal.memory_kib, salt, nonce, box);
}

wmk_status wmk_key_write_cost(const wmk_key *key, const char *path, const char *passphrase, size_t passphrase_bytes, bool replace, uint32_t passes,
                              uint32_t memory_kib)
{
    wmk_output *output;
    WMK_TRY(wmk_output_begin(&output, path, 0600, replace)); /* first: a place that cannot be written costs no hashing */
    wmk_buffer text = {0};
    wmk_status status;
    WMK_TRY_GOTO(status, public_text(&text, key), failed);
    if (passphrase) WMK_TRY_GOTO(status, append_seal(&text, key, passphrase, passphrase_bytes, passes, memory_kib), failed);
    WMK_TRY_GOTO(status, wmk_output_write(output, text.data, text.size), failed);
    if (!passphrase) WMK_TRY_GOTO(status, write_seed(output, key), failed);
    wmk_buffer_free(&text);
    return wmk_output_commit(output);
failed:
    wmk_buffer_free(&text);
    wmk_output_abort(output);
    return status;
}

wmk_status wmk_key_write(const wmk_key *key, const char *path, const char *passphrase, size_t passphrase_bytes, bool replace)
{
    return wmk_key_write_cost(key, path, passphrase, passphrase_bytes, replace, WMK_SEAL_PASSES, WMK_SEAL_MEMORY_KIB);
}
