/* Reading a key file, which may be hostile (docs/spec.md, "Key file"). */
#include "base/file.h"
#include "base/memory.h"
#include "mark/derive.h"
#include "mark/key_file.h"
#include "mark/key_seal.h"
#include "mark/key_text.h"
#include <jansson.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

typedef struct secret_input { /* locked memory */
    char digits[WMK_SEED_DIGITS];
    uint8_t seed[WMK_SEED_BYTES];
} secret_input;

typedef struct content {
    wmk_key_options options; /* targets: owned here, names borrowed from the JSON */
    uint8_t id[WMK_KEY_ID_BYTES];
    bool is_sealed;
    wmk_seal seal;
} content;

/* ---- members of JSON objects; `where` is "key", "targets[3]" ... for messages --------------------------------------------------------- */

static wmk_status check_members(const json_t *object, const char *where, const char *const *names, size_t count)
{
    if (!json_is_object(object)) return wmk_fail(WMK_ERROR_INPUT, "%s is not a JSON object", where);
    for (size_t i = 0; i < count; i++)
        if (!json_object_get(object, names[i])) return wmk_fail(WMK_ERROR_INPUT, "%s lacks the member \"%s\"", where, names[i]);
    if (json_object_size(object) == count) return WMK_OK;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        size_t i = 0;
        while (i < count && strcmp(name, names[i]) != 0) i++;
        if (i == count) return wmk_fail(WMK_ERROR_INPUT, "%s has an unknown member \"%.64s\"", where, name);
    }
    return WMK_OK;
}
#define CHECK_MEMBERS(object, where, ...)                                                                                                            \
    check_members(object, where, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static wmk_status get_string(const char **out, const json_t *object, const char *where, const char *name)
{
    *out = json_string_value(json_object_get(object, name));
    return *out ? WMK_OK : wmk_fail(WMK_ERROR_INPUT, "%s: \"%s\" is not a string", where, name);
}

static wmk_status get_integer(int64_t *out, const json_t *object, const char *where, const char *name, int64_t low, int64_t high)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_integer(value) || json_integer_value(value) < low || json_integer_value(value) > high)
        return wmk_fail(WMK_ERROR_INPUT, "%s: \"%s\" is not a whole number from %lld to %lld", where, name, (long long)low, (long long)high);
    *out = json_integer_value(value);
    return WMK_OK;
}

static wmk_status get_hex(uint8_t *out, size_t bytes, const json_t *object, const char *where, const char *name)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_string(value) || json_string_length(value) != 2 * bytes || !wmk_unhex(out, bytes, json_string_value(value)))
        return wmk_fail(WMK_ERROR_INPUT, "%s: \"%s\" is not %zu lower-case hexadecimal digits", where, name, 2 * bytes);
    return WMK_OK;
}

static wmk_status get_word(const json_t *object, const char *where, const char *name, const char *word)
{
    const char *text;
    WMK_TRY(get_string(&text, object, where, name));
    return strcmp(text, word) == 0 ? WMK_OK : wmk_fail(WMK_ERROR_INPUT, "%s: \"%s\" is not \"%s\"", where, name, word);
}

/* ---- parts of the key ------------------------------------------------------------------------------------------------------------------ */

static wmk_status parse_target(wmk_target *target, const json_t *object, size_t index)
{
    char where[32];
    snprintf(where, sizeof where, "targets[%zu]", index);
    WMK_TRY(CHECK_MEMBERS(object, where, "name", "layout", "shape"));
    const char *layout;
    WMK_TRY(get_string(&target->name, object, where, "name"));
    WMK_TRY(get_string(&layout, object, where, "layout"));
    const json_t *shape = json_object_get(object, "shape");
    size_t rank = json_array_size(shape); /* 0 when it is no array */
    if (rank < 1 || rank > WMK_RANK_MAX) return wmk_fail(WMK_ERROR_INPUT, "%s: \"shape\" is not a list of 1 to %d numbers", where, WMK_RANK_MAX);
    if (strlen(layout) != rank) return wmk_fail(WMK_ERROR_INPUT, "%s: \"layout\" has not one letter for each of %zu axes", where, rank);
    target->rank = (uint32_t)rank;
    memcpy(target->layout, layout, rank);
    for (size_t i = 0; i < rank; i++) {
        const json_t *axis = json_array_get(shape, i);
        if (!json_is_integer(axis) || json_integer_value(axis) < 1)
            return wmk_fail(WMK_ERROR_INPUT, "%s: \"shape\"[%zu] is not a whole number from 1", where, i);
        target->shape[i] = (uint64_t)json_integer_value(axis);
    }
    return WMK_OK;
}

static wmk_status parse_targets(content *out, const json_t *list)
{
    size_t count = json_array_size(list);
    if (count < 1 || count > WMK_TARGETS_MAX) return wmk_fail(WMK_ERROR_INPUT, "\"targets\" is not a list of 1 to %d targets", WMK_TARGETS_MAX);
    wmk_target *targets;
    WMK_TRY(wmk_alloc(&targets, count, sizeof *targets));
    out->options.targets = targets;
    out->options.target_count = count;
    for (size_t i = 0; i < count; i++) WMK_TRY(parse_target(&targets[i], json_array_get(list, i), i));
    return WMK_OK;
}

static wmk_status parse_seal(wmk_seal *seal, const json_t *object)
{
    static const char where[] = "sealed";
    WMK_TRY(CHECK_MEMBERS(object, where, "kdf", "passes", "memory_kib", "salt", "cipher", "nonce", "box"));
    WMK_TRY(get_word(object, where, "kdf", "argon2id"));
    WMK_TRY(get_word(object, where, "cipher", "xchacha20-poly1305"));
    int64_t passes, memory_kib;
    WMK_TRY(get_integer(&passes, object, where, "passes", 1, WMK_SEAL_PASSES_MAX));
    WMK_TRY(get_integer(&memory_kib, object, where, "memory_kib", WMK_SEAL_MEMORY_KIB_MIN, WMK_SEAL_MEMORY_KIB_MAX));
    if (!wmk_seal_is_affordable((uint64_t)passes, (uint64_t)memory_kib))
        return wmk_fail(WMK_ERROR_INPUT, "%s: passes * memory_kib = %lld, at most %u is allowed", where, (long long)(passes * memory_kib),
                        WMK_SEAL_WORK_KIB_MAX);
    seal->passes = (uint32_t)passes;
    seal->memory_kib = (uint32_t)memory_kib;
    WMK_TRY(get_hex(seal->salt, sizeof seal->salt, object, where, "salt"));
    WMK_TRY(get_hex(seal->nonce, sizeof seal->nonce, object, where, "nonce"));
    return get_hex(seal->box, sizeof seal->box, object, where, "box");
}

/* Everything but the seed. */
static wmk_status parse_content(content *out, const json_t *root)
{
    static const char where[] = "key";
    const char *format = json_string_value(json_object_get(root, "format"));
    if (!format || strcmp(format, "weightmark-key") != 0) return wmk_fail(WMK_ERROR_INPUT, "not a weightmark key");
    int64_t version, T;
    WMK_TRY(get_integer(&version, root, where, "version", 1, INT64_MAX));
    if (version != WMK_KEY_FILE_VERSION)
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: key format version %lld, this library reads version %d", (long long)version,
                        WMK_KEY_FILE_VERSION);
    out->is_sealed = json_object_get(root, "sealed") != NULL;
    WMK_TRY(CHECK_MEMBERS(root, where, "format", "version", "id", "scheme", "carrier", "bits", "b", "lambda", "created", "targets",
                          out->is_sealed ? "sealed" : "seed"));
    const char *text;
    WMK_TRY(get_hex(out->id, sizeof out->id, root, where, "id"));
    WMK_TRY(get_string(&text, root, where, "scheme"));
    WMK_TRY(wmk_scheme_parse(&out->options.scheme, text));
    WMK_TRY(get_string(&text, root, where, "carrier"));
    WMK_TRY(wmk_carrier_parse(&out->options.carrier, text));
    WMK_TRY(get_integer(&T, root, where, "bits", 1, WMK_BITS_MAX));
    out->options.bits = (uint32_t)T;
    WMK_TRY(get_string(&text, root, where, "b"));
    out->options.ones = strcmp(text, "ones") == 0;
    if (!out->options.ones && strcmp(text, "seed") != 0) return wmk_fail(WMK_ERROR_INPUT, "%s: \"b\" is neither \"seed\" nor \"ones\"", where);
    const json_t *lambda = json_object_get(root, "lambda");
    if (!json_is_number(lambda)) return wmk_fail(WMK_ERROR_INPUT, "%s: \"lambda\" is not a number", where);
    out->options.lambda = json_number_value(lambda);
    WMK_TRY(get_integer(&out->options.created, root, where, "created", 1, INT64_MAX));
    if (out->is_sealed) WMK_TRY(parse_seal(&out->seal, json_object_get(root, "sealed")));
    return parse_targets(out, json_object_get(root, "targets"));
}

/* The parser's own message may quote the text, which may hold a secret: only its kind and place are told. */
static wmk_status parse_json(json_t **out, const char *text, size_t size)
{
    WMK_TRY(wmk_key_text_check(text, size));
    json_error_t error;
    *out = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (*out) return WMK_OK;
    const char *kind = "not JSON";
    switch (json_error_code(&error)) {
    case json_error_out_of_memory:
        return wmk_fail(WMK_ERROR_MEMORY, "out of memory: parsing %zu bytes", size);
    case json_error_premature_end_of_input:
        kind = "the JSON text ends too early";
        break;
    case json_error_duplicate_key:
        kind = "a member is named twice";
        break;
    case json_error_invalid_utf8:
        kind = "not UTF-8";
        break;
    case json_error_end_of_input_expected:
        kind = "something follows the JSON text";
        break;
    case json_error_numeric_overflow:
        kind = "a number is too large";
        break;
    default:
        break;
    }
    return wmk_fail(WMK_ERROR_INPUT, "not a weightmark key: %s (line %d, column %d)", kind, error.line, error.column);
}

/* Opens the seal or decodes the digits, makes the key, and compares its id. */
static wmk_status make_key(wmk_key **out, content *found, bool has_digits, secret_input *secret, const char *passphrase, size_t passphrase_bytes)
{
    if (found->is_sealed) {
        if (!passphrase) return wmk_fail(WMK_ERROR_SECRET, "the key is sealed: its passphrase is needed");
        WMK_TRY(wmk_seal_open(secret->seed, &found->seal, found->id, passphrase, passphrase_bytes));
    } else if (!has_digits || !wmk_unhex(secret->seed, WMK_SEED_BYTES, secret->digits)) {
        return wmk_fail(WMK_ERROR_INPUT, "key: \"seed\" is not %d lower-case hexadecimal digits", WMK_SEED_DIGITS);
    }
    found->options.seed = secret->seed;
    wmk_key *key;
    WMK_TRY(wmk_key_create(&key, &found->options));
    if (memcmp(key->id, found->id, sizeof found->id) != 0) {
        wmk_key_free(key);
        return wmk_fail(WMK_ERROR_INPUT, "the key is damaged: its content does not give its id");
    }
    *out = key;
    return WMK_OK;
}

static wmk_status read_text(wmk_key **out, char *text, size_t size, secret_input *secret, const char *passphrase, size_t passphrase_bytes)
{
    bool has_digits = wmk_key_text_take_seed(text, size, secret->digits);
    if (size == 0) return wmk_fail(WMK_ERROR_INPUT, "not a weightmark key: the file is empty");
    json_t *root = NULL;
    content found = {.options = WMK_KEY_OPTIONS_INIT};
    wmk_status status = parse_json(&root, text, size);
    if (status == WMK_OK) status = parse_content(&found, root);
    if (status == WMK_OK) status = make_key(out, &found, has_digits, secret, passphrase, passphrase_bytes);
    free((void *)(uintptr_t)found.options.targets);
    json_decref(root);
    return status == WMK_ERROR_ARGUMENT || status == WMK_ERROR_MISMATCH ? WMK_ERROR_INPUT : status; /* here the file is at fault, not the caller */
}

wmk_status wmk_key_read(wmk_key **out, const char *path, const char *passphrase, size_t passphrase_bytes)
{
    WMK_TRY(wmk_sodium_ready());
    unsigned char *text;
    size_t size;
    WMK_TRY(wmk_file_read(&text, &size, path, WMK_KEY_FILE_BYTES_MAX));
    secret_input *secret = sodium_malloc(sizeof *secret);
    wmk_status status = secret ? read_text(out, (char *)text, size, secret, passphrase, passphrase_bytes)
                               : wmk_fail(WMK_ERROR_MEMORY, "out of memory: %zu bytes of locked memory were refused", sizeof *secret);
    sodium_free(secret);
    sodium_memzero(text, size);
    free(text);
    return status == WMK_OK ? WMK_OK : wmk_fail_within(status, "%s", path);
}
