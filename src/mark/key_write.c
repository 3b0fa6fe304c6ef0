/* Writing a key file (docs/spec.md, "Key file"). */
#include "base/file.h"
#include "base/memory.h"
#include "mark/key_file.h"
#include "mark/key_seal.h"
#include "mark/key_text.h"
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The fewest digits, from 15, that give the same double back: 0.1 instead of 0.10000000000000001. */
static int digits_of(double value)
{
    char text[32];
    int digits = 15;
    while (digits < 17 && (snprintf(text, sizeof text, "%.*g", digits, value), strtod(text, NULL) != value)) digits++;
    return digits;
}

/* Appends `value` as JSON on one line and drops the reference. NULL: it could not be made. */
static wmk_status append_json(wmk_buffer *text, json_t *value)
{
    int digits = json_is_real(value) ? digits_of(json_real_value(value)) : 17;
    char *line = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits)) : NULL;
    json_decref(value);
    if (!line) return wmk_fail(WMK_ERROR_MEMORY, "out of memory: making a key file");
    wmk_status status = wmk_buffer_append(text, line, strlen(line));
    free(line);
    return status;
}

static wmk_status append_member(wmk_buffer *text, const char *name, json_t *value)
{
    wmk_status status = wmk_buffer_printf(text, "  \"%s\": ", name);
    if (status != WMK_OK) {
        json_decref(value);
        return status;
    }
    WMK_TRY(append_json(text, value));
    return wmk_buffer_append(text, ",\n", 2);
}

static json_t *target_json(const wmk_target *target)
{
    json_t *shape = json_array();
    for (uint32_t i = 0; shape && i < target->rank; i++)
        if (json_array_append_new(shape, json_integer((json_int_t)target->shape[i])) != 0) {
            json_decref(shape);
            return NULL;
        }
    return json_pack("{s:s, s:s, s:o}", "name", target->name, "layout", target->layout, "shape", shape); /* takes shape, also on failure */
}

static json_t *hex_json(const uint8_t *bytes, size_t size)
{
    char digits[2 * WMK_SEAL_BOX_BYTES + 1];
    return json_string(sodium_bin2hex(digits, sizeof digits, bytes, size));
}

static json_t *seal_json(const wmk_seal *seal)
{
    return json_pack("{s:s, s:I, s:I, s:o, s:s, s:o, s:o}", "kdf", "argon2id", "passes", (json_int_t)seal->passes, "memory_kib",
                     (json_int_t)seal->memory_kib, "salt", hex_json(seal->salt, sizeof seal->salt), "cipher", "xchacha20-poly1305", "nonce",
                     hex_json(seal->nonce, sizeof seal->nonce), "box", hex_json(seal->box, sizeof seal->box));
}

/* All members but the last, which holds the secret. */
static wmk_status public_text(wmk_buffer *text, const wmk_key *key)
{
    char id[WMK_KEY_ID_CHARS + 1];
    wmk_key_id(key, id);
    WMK_TRY(wmk_buffer_append(text, "{\n", 2));
    WMK_TRY(append_member(text, "format", json_string("weightmark-key")));
    WMK_TRY(append_member(text, "version", json_integer(WMK_KEY_FILE_VERSION)));
    WMK_TRY(append_member(text, "id", json_string(id)));
    WMK_TRY(append_member(text, "scheme", json_string(wmk_scheme_name(key->scheme))));
    WMK_TRY(append_member(text, "carrier", json_string(wmk_carrier_name(key->carrier))));
    WMK_TRY(append_member(text, "bits", json_integer(key->T)));
    WMK_TRY(append_member(text, "b", json_string(key->ones ? "ones" : "seed")));
    WMK_TRY(append_member(text, "lambda", json_real(key->lambda)));
    WMK_TRY(append_member(text, "created", json_integer(key->created)));
    WMK_TRY(wmk_buffer_printf(text, "  \"targets\": [\n"));
    for (size_t i = 0; i < key->target_count; i++) {
        WMK_TRY(wmk_buffer_append(text, "    ", 4));
        WMK_TRY(append_json(text, target_json(&key->targets[i])));
        WMK_TRY(wmk_buffer_append(text, ",\n", i + 1 < key->target_count ? 2 : 0));
        if (i + 1 == key->target_count) WMK_TRY(wmk_buffer_append(text, "\n", 1));
    }
    return wmk_buffer_printf(text, "  ],\n");
}

/* The seed in clear goes from locked memory to the file, through no other buffer. */
static wmk_status write_seed(wmk_output *output, const wmk_key *key)
{
    static const char before[] = "  \"seed\": \"", after[] = "\"\n}\n";
    WMK_TRY(wmk_output_write(output, before, sizeof before - 1));
    char *digits = sodium_malloc(WMK_SEED_DIGITS + 1);
    if (!digits) return wmk_fail(WMK_ERROR_MEMORY, "out of memory: locked memory was refused");
    sodium_bin2hex(digits, WMK_SEED_DIGITS + 1, key->secret->seed, WMK_SEED_BYTES);
    wmk_status status = wmk_output_write(output, digits, WMK_SEED_DIGITS);
    sodium_free(digits);
    WMK_TRY(status);
    return wmk_output_write(output, after, sizeof after - 1);
}

static wmk_status append_seal(wmk_buffer *text, const wmk_key *key, const char *passphrase, size_t passphrase_bytes, uint32_t passes,
                              uint32_t memory_kib)
{
    wmk_seal seal = {.passes = passes, .memory_kib = memory_kib};
    WMK_TRY(wmk_seal_close(&seal, key->secret->seed, key->id, passphrase, passphrase_bytes));
    WMK_TRY(wmk_buffer_printf(text, "  \"sealed\": "));
    WMK_TRY(append_json(text, seal_json(&seal)));
    return wmk_buffer_printf(text, "\n}\n");
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
