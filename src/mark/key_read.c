/* Reading a key file, which may be hostile (docs/spec.md, "Key file"). */
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/secret.h"
#include "mark/derive.h"
#include "mark/key_check.h"
#include "mark/key_file.h"
#include "mark/key_seal.h"
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

typedef struct content {
    wmk_key_options options;
    wmk_target *targets; /* owned; the names lie in the reader's block */
    size_t capacity;
    uint8_t *seed; /* [WMK_SEED_BYTES] a block of secrets */
    uint8_t id[WMK_KEY_ID_BYTES], original[WMK_ORIGINAL_BYTES];
    uint8_t *timestamp; /* owned; NULL: none */
    size_t timestamp_bytes;
    size_t stamp_begin, stamp_end; /* of its value in the text; without one both are where it would be inserted */
    bool is_sealed;
    wmk_seal seal;
    unsigned char *text; /* the whole file, [size] */
    char *block;         /* decoded strings, [size + 1] */
    size_t size;
} content;

/* ---- JSON objects of known members ---------------------------------------------------------------------------------------------------- */

/* Reads the value of member number `index` of a table of names. */
typedef wmk_status (*member_fn)(wmk_json *json, size_t index, content *out);

/* Every one of `names` once and no other; those of the mask `optional` may be absent. */
static wmk_status read_object(wmk_json *json, const char *where, const char *const *names, size_t count, uint32_t optional, member_fn value,
                              content *out)
{
    uint32_t seen = 0;
    WMK_TRY(wmk_json_expect(json, '{'));
    if (wmk_json_accept(json, '}')) return wmk_fail(WMK_ERROR_INPUT, "%s is empty", where);
    do {
        const char *name;
        size_t size, i = 0;
        WMK_TRY(wmk_json_string(json, &name, &size));
        while (i < count && (strlen(names[i]) != size || memcmp(name, names[i], size) != 0)) i++;
        if (i == count) return wmk_fail(WMK_ERROR_INPUT, "%s has an unknown member \"%.64s\"", where, name);
        if (seen >> i & 1) return wmk_fail(WMK_ERROR_INPUT, "%s has the member \"%s\" twice", where, name);
        seen |= 1u << i;
        WMK_TRY(wmk_json_expect(json, ':'));
        wmk_status status = value(json, i, out);
        if (status != WMK_OK) return wmk_fail_within(status, "%s: \"%s\"", where, names[i]);
    } while (wmk_json_accept(json, ','));
    WMK_TRY(wmk_json_expect(json, '}'));
    seen |= optional;
    for (size_t i = 0; i < count; i++)
        if (!(seen >> i & 1)) return wmk_fail(WMK_ERROR_INPUT, "%s lacks the member \"%s\"", where, names[i]);
    return WMK_OK;
}
#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static wmk_status read_integer(wmk_json *json, uint64_t low, uint64_t high, uint64_t *out)
{
    WMK_TRY(wmk_json_u64(json, out));
    if (*out >= low && *out <= high) return WMK_OK;
    return wmk_fail(WMK_ERROR_INPUT, "%llu, it must be %llu to %llu", (unsigned long long)*out, (unsigned long long)low, (unsigned long long)high);
}

/* A string without NUL. */
static wmk_status read_text(wmk_json *json, const char **text)
{
    size_t size;
    WMK_TRY(wmk_json_string(json, text, &size));
    return strlen(*text) == size ? WMK_OK : wmk_fail(WMK_ERROR_INPUT, "a NUL in the string");
}

static wmk_status read_word(wmk_json *json, const char *word)
{
    const char *text;
    WMK_TRY(read_text(json, &text));
    return strcmp(text, word) == 0 ? WMK_OK : wmk_fail(WMK_ERROR_INPUT, "not \"%s\"", word);
}

/* Exactly 2 * bytes lower-case digits, straight from the file's text, so that a secret is not copied about. */
static wmk_status read_hex(wmk_json *json, uint8_t *out, size_t bytes)
{
    bool good = wmk_json_accept(json, '"') && (size_t)(json->end - json->at) > 2 * bytes && json->at[2 * bytes] == '"';
    for (size_t i = 0; good && i < 2 * bytes; i++) {
        unsigned char c = json->at[i];
        int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
        good = v < 16;
        out[i / 2] = (uint8_t)(i % 2 ? out[i / 2] | v : v << 4);
    }
    if (!good) return wmk_fail(WMK_ERROR_INPUT, "not a string of %zu lower-case hexadecimal digits", 2 * bytes);
    json->at += 2 * bytes + 1;
    return WMK_OK;
}

/* ---- the parts of a key ----------------------------------------------------------------------------------------------------------------- */

static wmk_status read_shape(wmk_json *json, wmk_target *target)
{
    WMK_TRY(wmk_json_expect(json, '['));
    do {
        if (target->rank == WMK_RANK_MAX) return wmk_fail(WMK_ERROR_INPUT, "more than %d axes", WMK_RANK_MAX);
        WMK_TRY(read_integer(json, 1, WMK_KEY_M_MAX, &target->shape[target->rank++]));
    } while (wmk_json_accept(json, ','));
    return wmk_json_expect(json, ']');
}

static wmk_status target_member(wmk_json *json, size_t index, content *out)
{
    wmk_target *target = &out->targets[out->options.target_count];
    const char *layout;
    switch (index) {
    case 0:
        return read_text(json, &target->name);
    case 1:
        WMK_TRY(read_text(json, &layout));
        if (strlen(layout) > WMK_RANK_MAX) return wmk_fail(WMK_ERROR_INPUT, "more than %d letters", WMK_RANK_MAX);
        strcpy(target->layout, layout);
        return WMK_OK;
    default:
        return read_shape(json, target);
    }
}

static wmk_status read_targets(wmk_json *json, content *out)
{
    static const char *const names[] = {"name", "layout", "shape"};
    WMK_TRY(wmk_json_expect(json, '['));
    do {
        size_t n = out->options.target_count;
        if (n == WMK_TARGETS_MAX) return wmk_fail(WMK_ERROR_INPUT, "more than %d targets", WMK_TARGETS_MAX);
        if (n == out->capacity) {
            out->capacity = n ? 2 * n : 16;
            WMK_TRY(wmk_resize(&out->targets, out->capacity, sizeof *out->targets));
        }
        out->targets[n] = (wmk_target){0};
        wmk_status status = read_object(json, "target", names, COUNT(names), 0, target_member, out);
        if (status != WMK_OK) return wmk_fail_within(status, "number %zu", n);
        out->options.target_count++;
    } while (wmk_json_accept(json, ','));
    return wmk_json_expect(json, ']');
}

static wmk_status seal_member(wmk_json *json, size_t index, content *out)
{
    wmk_seal *seal = &out->seal;
    uint64_t value;
    switch (index) {
    case 0:
        return read_word(json, "argon2id");
    case 1:
        WMK_TRY(read_integer(json, 1, WMK_SEAL_PASSES_MAX, &value));
        return seal->passes = (uint32_t)value, WMK_OK;
    case 2:
        WMK_TRY(read_integer(json, WMK_SEAL_MEMORY_KIB_MIN, WMK_SEAL_MEMORY_KIB_MAX, &value));
        return seal->memory_kib = (uint32_t)value, WMK_OK;
    case 3:
        return read_hex(json, seal->salt, sizeof seal->salt);
    case 4:
        return read_word(json, "xchacha20-poly1305");
    case 5:
        return read_hex(json, seal->nonce, sizeof seal->nonce);
    default:
        return read_hex(json, seal->box, sizeof seal->box);
    }
}

static wmk_status read_seal(wmk_json *json, content *out)
{
    static const char *const names[] = {"kdf", "passes", "memory_kib", "salt", "cipher", "nonce", "box"};
    WMK_TRY(read_object(json, "seal", names, COUNT(names), 0, seal_member, out));
    out->is_sealed = true;
    if (wmk_seal_is_affordable(out->seal.passes, out->seal.memory_kib)) return WMK_OK;
    return wmk_fail(WMK_ERROR_INPUT, "passes * memory_kib = %llu, at most %u is allowed", (unsigned long long)out->seal.passes * out->seal.memory_kib,
                    WMK_SEAL_WORK_KIB_MAX);
}

/* Digits, or the word "none" for a key that was made before its model. */
static wmk_status read_original(wmk_json *json, content *out)
{
    wmk_json word = *json;
    if (read_word(&word, "none") == WMK_OK) return *json = word, WMK_OK;
    WMK_TRY(read_hex(json, out->original, sizeof out->original));
    if (sodium_is_zero(out->original, sizeof out->original)) return wmk_fail(WMK_ERROR_INPUT, "all zeros; a key without an original says \"none\"");
    out->options.original = out->original;
    return WMK_OK;
}

/* Base64 of a token, whose meaning is looked at when it is checked. */
static wmk_status read_timestamp(wmk_json *json, content *out)
{
    const char *text;
    size_t size;
    out->stamp_begin = (size_t)(json->at - json->begin);
    WMK_TRY(wmk_json_string(json, &text, &size));
    out->stamp_end = (size_t)(json->at - json->begin);
    if (size > sodium_base64_ENCODED_LEN(WMK_TIMESTAMP_BYTES_MAX, sodium_base64_VARIANT_ORIGINAL) - 1)
        return wmk_fail(WMK_ERROR_INPUT, "%zu characters, a time stamp has at most %d bytes", size, WMK_TIMESTAMP_BYTES_MAX);
    WMK_TRY(wmk_alloc(&out->timestamp, WMK_TIMESTAMP_BYTES_MAX, 1));
    int failed =
        sodium_base642bin(out->timestamp, WMK_TIMESTAMP_BYTES_MAX, text, size, NULL, &out->timestamp_bytes, NULL, sodium_base64_VARIANT_ORIGINAL);
    if (!failed && out->timestamp_bytes > 0) return WMK_OK;
    return wmk_fail(WMK_ERROR_INPUT, "not base64 of 1 to %d bytes", WMK_TIMESTAMP_BYTES_MAX);
}

enum { CREATED = 7, TIMESTAMP = 8, SEALED = 11, SEED = 12 };
static const char *const key_names[] = {"format",    "version",  "id",      "scheme", "carrier", "bits", "b", [CREATED] = "created",
                                        "timestamp", "original", "targets", "sealed", "seed"};

static wmk_status key_member(wmk_json *json, size_t index, content *out)
{
    wmk_key_options *options = &out->options;
    const char *text;
    uint64_t value;
    switch (index) {
    case 0:
        return read_word(json, "weightmark-key");
    case 1:
        return read_integer(json, WMK_KEY_FILE_VERSION, WMK_KEY_FILE_VERSION, &value);
    case 2:
        return read_hex(json, out->id, sizeof out->id);
    case 3:
        WMK_TRY(read_text(json, &text));
        return wmk_scheme_parse(&options->scheme, text);
    case 4:
        WMK_TRY(read_text(json, &text));
        return wmk_carrier_parse(&options->carrier, text);
    case 5:
        WMK_TRY(read_integer(json, 1, WMK_BITS_MAX, &value));
        return options->bits = (uint32_t)value, WMK_OK;
    case 6:
        WMK_TRY(read_text(json, &text));
        options->ones = strcmp(text, "ones") == 0;
        return options->ones || strcmp(text, "seed") == 0 ? WMK_OK : wmk_fail(WMK_ERROR_INPUT, "neither \"seed\" nor \"ones\"");
    case CREATED:
        WMK_TRY(read_integer(json, 1, INT64_MAX, &value));
        if (!out->timestamp) out->stamp_begin = out->stamp_end = (size_t)(json->at - json->begin);
        return options->created = (int64_t)value, WMK_OK;
    case TIMESTAMP:
        return read_timestamp(json, out);
    case 9:
        return read_original(json, out);
    case 10:
        return read_targets(json, out);
    case SEALED:
        return read_seal(json, out);
    default:
        options->seed = out->seed;
        return read_hex(json, out->seed, WMK_SEED_BYTES);
    }
}

/* A first pass: it is JSON, a key, and of a version whose members are known; they come in any order. json by value: the second pass begins anew. */
static wmk_status check_version(wmk_json json)
{
    char *block = json.text;
    bool is_key = false;
    uint64_t version = 0;
    WMK_TRY(wmk_json_expect(&json, '{'));
    do {
        const char *name, *text;
        size_t size;
        json.text = block;
        WMK_TRY(wmk_json_string(&json, &name, &size));
        WMK_TRY(wmk_json_expect(&json, ':'));
        if (strcmp(name, "format") == 0 && !is_key) {
            WMK_TRY(wmk_json_string(&json, &text, &size));
            is_key = strcmp(text, "weightmark-key") == 0;
        } else if (strcmp(name, "version") == 0 && !version) {
            WMK_TRY(wmk_json_u64(&json, &version));
        } else {
            WMK_TRY(wmk_json_skip(&json));
        }
    } while (wmk_json_accept(&json, ','));
    WMK_TRY(wmk_json_expect(&json, '}'));
    WMK_TRY(wmk_json_end(&json));
    if (!is_key) return wmk_fail(WMK_ERROR_INPUT, "its \"format\" is not \"weightmark-key\"");
    if (version == 1)
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: key format version 1, whose X did not depend on its targets, "
                                               "so that a key could be fitted to any model; make a new key and mark with that");
    if (version > WMK_KEY_FILE_VERSION)
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: key format version %llu, this library reads version %d", (unsigned long long)version,
                        WMK_KEY_FILE_VERSION);
    return WMK_OK;
}

/* ---- the whole ---------------------------------------------------------------------------------------------------------------------------- */

static wmk_status parse_key(content *found)
{
    wmk_json json = {found->text, found->text, found->text + found->size, found->block};
    if (found->size == 0) return wmk_fail(WMK_ERROR_INPUT, "not a weightmark key: the file is empty");
    wmk_status status = check_version(json);
    if (status == WMK_ERROR_INPUT) return wmk_fail_within(status, "not a weightmark key");
    WMK_TRY(status);
    WMK_TRY(read_object(&json, "key", key_names, COUNT(key_names), 1u << TIMESTAMP | 1u << SEALED | 1u << SEED, key_member, found));
    bool is_plain = found->options.seed != NULL;
    if (is_plain == found->is_sealed) return wmk_fail(WMK_ERROR_INPUT, "key has %s \"sealed\" and \"seed\"", is_plain ? "both" : "neither");
    for (size_t i = 0; i < found->options.target_count; i++)
        if (strlen(found->targets[i].layout) != found->targets[i].rank)
            return wmk_fail(WMK_ERROR_INPUT, "target %s: not one letter of \"layout\" for each axis of \"shape\"", found->targets[i].name);
    found->options.targets = found->targets;
    return WMK_OK;
}

/* Wipes and frees all that `content` holds; *found may be zeroed. */
static void content_free(content *found)
{
    wmk_secret_free(found->seed);
    wmk_secret_free(found->block);
    wmk_secret_free(found->text);
    free(found->targets);
    free(found->timestamp);
}

/* Here the file is at fault, and not the caller. */
static wmk_status fail_file(wmk_status status, const char *path)
{
    if (status == WMK_OK) return WMK_OK;
    return wmk_fail_within(status == WMK_ERROR_ARGUMENT || status == WMK_ERROR_MISMATCH ? WMK_ERROR_INPUT : status, "%s", path);
}

typedef struct parse_call {
    content *found;
    wmk_status status;
} parse_call;

static void parse_hidden(void *argument)
{
    parse_call *call = argument;
    call->status = parse_key(call->found);
}

/* The file's content; a seal stays closed. The caller frees it also after a failure. */
static wmk_status content_read(content *found, const char *path)
{
    *found = (content){.options = WMK_KEY_OPTIONS_INIT};
    WMK_TRY(wmk_sodium_ready());
    WMK_TRY(wmk_file_read_secret(&found->text, &found->size, path, WMK_KEY_FILE_BYTES_MAX));
    WMK_TRY(wmk_secret_alloc(&found->block, found->size + 1, 1));
    WMK_TRY(wmk_secret_alloc(&found->seed, WMK_SEED_BYTES, 1));
    parse_call call = {found, WMK_OK};
    wmk_secret_call(parse_hidden, &call);
    return fail_file(call.status, path);
}

/* Opens the seal if there is one, makes the key, and compares its id. */
static wmk_status make_key(wmk_key **out, content *found, const char *passphrase, size_t passphrase_bytes)
{
    if (found->is_sealed) {
        if (!passphrase) return wmk_fail(WMK_ERROR_SECRET, "the key is sealed: its passphrase is needed");
        WMK_TRY(wmk_seal_open(found->seed, &found->seal, found->id, passphrase, passphrase_bytes));
        found->options.seed = found->seed;
    }
    wmk_key *key;
    WMK_TRY(wmk_key_create(&key, &found->options));
    if (memcmp(key->id, found->id, sizeof found->id) != 0) {
        wmk_key_free(key);
        return wmk_fail(WMK_ERROR_INPUT, "the key is damaged: its content does not give its id");
    }
    key->timestamp = found->timestamp;
    key->timestamp_bytes = found->timestamp_bytes;
    found->timestamp = NULL;
    *out = key;
    return WMK_OK;
}

wmk_status wmk_key_read(wmk_key **out, const char *path, const char *passphrase, size_t passphrase_bytes)
{
    content found;
    wmk_status status = content_read(&found, path);
    if (status == WMK_OK) status = fail_file(make_key(out, &found, passphrase, passphrase_bytes), path);
    content_free(&found);
    return status;
}

wmk_status wmk_key_public_read(wmk_key_public *out, const char *path)
{
    content found;
    wmk_key *key = NULL;
    uint64_t M;
    wmk_status status = content_read(&found, path);
    if (status == WMK_OK) status = fail_file(found.is_sealed ? wmk_key_check(&found.options, &M) : make_key(&key, &found, NULL, 0), path);
    if (status == WMK_OK) {
        *out = (wmk_key_public){.text = found.text,
                                .size = found.size,
                                .is_sealed = found.is_sealed,
                                .is_stamped = found.stamp_begin != found.stamp_end,
                                .stamp_begin = found.stamp_begin,
                                .stamp_end = found.stamp_end};
        sodium_bin2hex(out->id, sizeof out->id, found.id, sizeof found.id);
        found.text = NULL;
    }
    wmk_key_free(key);
    content_free(&found);
    return status;
}

void wmk_key_public_free(wmk_key_public *key) { wmk_secret_free(key->text); }
