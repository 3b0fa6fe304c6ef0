/* Keys in memory: making, redrawing, looking at, and the id. */
#include "mark/key.h"
#include "base/memory.h"
#include "base/secret.h"
#include "mark/derive.h"
#include "mark/key_check.h"
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct wmk_key_frame {
    crypto_generichash_state hash; /* of the canonical content up to the seed */
    atomic_size_t references;
    wmk_target *targets;
    char *names;
};

static const char *const scheme_names[] = {NULL, "direct", "diff", "random", "partition"};
static const char *const carrier_names[] = {NULL, "mean", "weights", "balanced"};
#define COUNT(a) (sizeof(a) / sizeof(a)[0])

const char *wmk_scheme_name(wmk_scheme scheme) { return (unsigned)scheme - 1 < COUNT(scheme_names) - 1 ? scheme_names[scheme] : "unknown"; }

const char *wmk_carrier_name(wmk_carrier carrier) { return (unsigned)carrier - 1 < COUNT(carrier_names) - 1 ? carrier_names[carrier] : "unknown"; }

wmk_status wmk_scheme_parse(wmk_scheme *out, const char *name)
{
    for (size_t i = 1; i < COUNT(scheme_names); i++)
        if (strcmp(name, scheme_names[i]) == 0) return *out = (wmk_scheme)i, WMK_OK;
    return wmk_fail(WMK_ERROR_ARGUMENT, "scheme \"%.64s\" is none of direct, diff, random, partition", name);
}

wmk_status wmk_carrier_parse(wmk_carrier *out, const char *name)
{
    for (size_t i = 1; i < COUNT(carrier_names); i++)
        if (strcmp(name, carrier_names[i]) == 0) return *out = (wmk_carrier)i, WMK_OK;
    return wmk_fail(WMK_ERROR_ARGUMENT, "carrier \"%.64s\" is none of mean, weights, balanced", name);
}

static void hash_bytes(crypto_generichash_state *hash, const void *bytes, size_t size) { crypto_generichash_update(hash, bytes, size); }
static void hash_u32(crypto_generichash_state *hash, uint32_t v)
{
    uint8_t b[4];
    wmk_store_u32(b, v);
    hash_bytes(hash, b, 4);
}
static void hash_u64(crypto_generichash_state *hash, uint64_t v)
{
    uint8_t b[8];
    wmk_store_u64(b, v);
    hash_bytes(hash, b, 8);
}

/* The canonical content without the seed (docs/spec.md, "Key id"). */
static void hash_public(crypto_generichash_state *hash, const wmk_key *key)
{
    crypto_generichash_init(hash, NULL, 0, WMK_KEY_ID_BYTES);
    hash_bytes(hash, "weightmark key 2", 16);
    const uint8_t kind[4] = {(uint8_t)key->scheme, (uint8_t)key->carrier, key->ones ? 1 : 0, 0};
    hash_bytes(hash, kind, 4);
    hash_u32(hash, key->T);
    hash_u64(hash, (uint64_t)key->created);
    hash_u64(hash, key->target_count);
    for (size_t i = 0; i < key->target_count; i++) {
        const wmk_target *target = &key->targets[i];
        size_t name_bytes = strlen(target->name);
        hash_u32(hash, (uint32_t)name_bytes);
        hash_bytes(hash, target->name, name_bytes);
        hash_u32(hash, target->rank);
        hash_bytes(hash, target->layout, target->rank);
        for (uint32_t axis = 0; axis < target->rank; axis++) hash_u64(hash, target->shape[axis]);
    }
    hash_bytes(hash, key->original, sizeof key->original);
}

static void frame_release(wmk_key_frame *frame)
{
    if (!frame || atomic_fetch_sub(&frame->references, 1) != 1) return;
    free(frame->targets);
    free(frame->names);
    wmk_free_aligned(frame);
}

/* Copies the targets; their names lie end to end. */
static wmk_status frame_create(wmk_key_frame **out, const wmk_target *targets, size_t count)
{
    wmk_key_frame *frame;
    WMK_TRY(wmk_alloc_aligned(&frame, sizeof *frame));
    atomic_init(&frame->references, 1);
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) bytes += strlen(targets[i].name) + 1;
    wmk_status status;
    WMK_TRY_GOTO(status, wmk_alloc(&frame->targets, count, sizeof *frame->targets), failed);
    WMK_TRY_GOTO(status, wmk_alloc(&frame->names, bytes, 1), failed);
    char *name = frame->names;
    for (size_t i = 0; i < count; i++) {
        wmk_target *copy = &frame->targets[i];
        bytes = strlen(targets[i].name) + 1;
        copy->name = memcpy(name, targets[i].name, bytes);
        name += bytes;
        copy->rank = targets[i].rank;
        memcpy(copy->layout, targets[i].layout, copy->rank);
        memcpy(copy->shape, targets[i].shape, copy->rank * sizeof *copy->shape);
    }
    *out = frame;
    return WMK_OK;
failed:
    frame_release(frame);
    return status;
}

/* From the seed to sub-keys and id. argument: the key. */
static void derive_keys(void *argument)
{
    wmk_key *key = argument;
    crypto_generichash_state hash = key->frame->hash;
    hash_bytes(&hash, key->secret->seed, WMK_SEED_BYTES);
    crypto_generichash_final(&hash, key->id, sizeof key->id);
    sodium_memzero(&hash, sizeof hash);
    /* From the id, so that whoever changes any part of a key draws all of X and b anew. */
    wmk_key_root(key->secret->root, key->secret->seed, key->id);
    wmk_subkey(key->secret->bits, WMK_SUBKEY_BITS, key->secret->root);
    wmk_subkey(key->secret->x, WMK_SUBKEY_X + (uint64_t)key->scheme, key->secret->root);
    sodium_memzero(key->secret->root, sizeof key->secret->root);
}

/* Gives a key whose public part is set its seed, sub-keys and id. seed NULL: drawn. */
static wmk_status set_seed(wmk_key *key, const uint8_t *seed)
{
    key->secret = sodium_malloc(sizeof *key->secret);
    if (!key->secret) return wmk_fail(WMK_ERROR_MEMORY, "out of memory: %zu bytes of locked memory were refused", sizeof *key->secret);
    if (seed)
        memcpy(key->secret->seed, seed, WMK_SEED_BYTES);
    else
        randombytes_buf(key->secret->seed, WMK_SEED_BYTES);
    wmk_secret_call(derive_keys, key);
    return WMK_OK;
}

wmk_status wmk_key_create(wmk_key **out, const wmk_key_options *options)
{
    if (options->struct_size != sizeof *options)
        return wmk_fail(WMK_ERROR_ARGUMENT, "key options of %zu bytes, this library's are %zu: use WMK_KEY_OPTIONS_INIT", options->struct_size,
                        sizeof *options);
    uint64_t M;
    WMK_TRY(wmk_key_check(options, &M));
    WMK_TRY(wmk_sodium_ready());
    wmk_key *key;
    WMK_TRY(wmk_alloc(&key, 1, sizeof *key));
    wmk_status status;
    WMK_TRY_GOTO(status, frame_create(&key->frame, options->targets, options->target_count), failed);
    key->scheme = options->scheme;
    key->carrier = options->carrier;
    key->T = options->bits;
    key->M = M;
    key->ones = options->ones;
    if (options->original) memcpy(key->original, options->original, sizeof key->original);
    key->created = options->created ? options->created : (int64_t)time(NULL);
    key->targets = key->frame->targets;
    key->target_count = options->target_count;
    hash_public(&key->frame->hash, key);
    WMK_TRY_GOTO(status, set_seed(key, options->seed), failed);
    *out = key;
    return WMK_OK;
failed:
    wmk_key_free(key);
    return status;
}

wmk_status wmk_key_redraw(wmk_key **out, const wmk_key *key, const uint8_t *seed)
{
    wmk_key *drawn;
    WMK_TRY(wmk_alloc(&drawn, 1, sizeof *drawn));
    *drawn = *key;
    atomic_fetch_add(&drawn->frame->references, 1);
    drawn->secret = NULL;
    drawn->timestamp = NULL; /* it is over another id */
    drawn->timestamp_bytes = 0;
    wmk_status status = set_seed(drawn, seed);
    if (status != WMK_OK) {
        wmk_key_free(drawn);
        return status;
    }
    *out = drawn;
    return WMK_OK;
}

void wmk_key_free(wmk_key *key)
{
    if (!key) return;
    sodium_free(key->secret); /* wipes; takes NULL */
    frame_release(key->frame);
    free(key->timestamp);
    free(key);
}

wmk_scheme wmk_key_scheme(const wmk_key *key) { return key->scheme; }
wmk_carrier wmk_key_carrier(const wmk_key *key) { return key->carrier; }
uint32_t wmk_key_bit_count(const wmk_key *key) { return key->T; }
uint64_t wmk_key_m(const wmk_key *key) { return key->M; }
bool wmk_key_ones(const wmk_key *key) { return key->ones; }
int64_t wmk_key_created(const wmk_key *key) { return key->created; }

bool wmk_key_original(const wmk_key *key, uint8_t original[WMK_ORIGINAL_BYTES])
{
    memcpy(original, key->original, WMK_ORIGINAL_BYTES);
    return !sodium_is_zero(original, WMK_ORIGINAL_BYTES);
}

size_t wmk_key_target_count(const wmk_key *key) { return key->target_count; }
const wmk_target *wmk_key_target(const wmk_key *key, size_t index) { return index < key->target_count ? &key->targets[index] : NULL; }

const uint8_t *wmk_key_timestamp(const wmk_key *key, size_t *bytes)
{
    *bytes = key->timestamp_bytes;
    return key->timestamp;
}

void wmk_key_id(const wmk_key *key, char id[WMK_KEY_ID_CHARS + 1]) { sodium_bin2hex(id, WMK_KEY_ID_CHARS + 1, key->id, sizeof key->id); }
