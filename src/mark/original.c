/* mark/original.c - the digest of the weights a key was made for (docs/spec.md, "Original").
 *
 * A hash tree: leaves of 65,536 values can be hashed by several threads, and each is hashed in the narrowest type that
 * holds its values, so that a file of 16-bit weights costs two bytes per weight and a lossless change of the file's type
 * or layout gives the same digest. */
#include "mark/original.h"

#include <sodium.h>
#include <stdlib.h>

#include "base/convert.h"
#include "base/memory.h"
#include "mark/derive.h"
#include "mark/key.h"

#define LEAF 65536                    /* values per leaf */
#define PIECE 1024                    /* values converted at a time */
#define GROUP 512                     /* leaves after which a reader is told */
#define TABLE_MAX ((uint64_t)1 << 24) /* positions of a filter that are looked up in a table */
#define DIGEST_BYTES WMK_ORIGINAL_BYTES

/* The types that a leaf can be hashed in, narrowest first; the index is the leaf's first byte. */
static const wmk_dtype leaf_types[] = {WMK_BF16, WMK_F16, WMK_F32, WMK_F64};
enum { TYPES = sizeof leaf_types / sizeof leaf_types[0] };

/* One target's values in the order of the digest: filter by filter, each in canonical order. */
typedef struct sequence {
    const wmk_tensor_view *view;
    const wmk_place *place;
    uint64_t count;
    bool in_memory_order;
    uint64_t *element; /* NULL, or [per_filter] the elements of filter 0 by canonical position */
} sequence;

static void hash_begin(crypto_generichash_blake2b_state *hash, const char *personal)
{
    static const uint8_t salt[crypto_generichash_blake2b_SALTBYTES];
    /* fails only for lengths out of range */
    crypto_generichash_blake2b_init_salt_personal(hash, NULL, 0, DIGEST_BYTES, salt, (const uint8_t *)personal);
}

static bool is_in_memory_order(const wmk_place *place)
{
    uint64_t step = 1;
    for (int a = WMK_AXES; a-- > 0; step *= place->extent[a])
        if (place->extent[a] > 1 && place->stride[a] != step) return false;
    return place->filters == 1 || place->filter_stride == step;
}

static wmk_status sequence_open(sequence *s, const wmk_tensor_view *view, const wmk_place *place)
{
    *s = (sequence){view, place, place->filters * place->per_filter, is_in_memory_order(place), NULL};
    if (s->in_memory_order || place->per_filter > TABLE_MAX) return WMK_OK;
    WMK_TRY(wmk_alloc(&s->element, place->per_filter, sizeof *s->element));
    for (uint64_t p = 0; p < place->per_filter; p++) s->element[p] = wmk_place_element(place, p, 0);
    return WMK_OK;
}

static void sequence_read(const sequence *s, uint64_t at, size_t count, double *value)
{
    if (s->in_memory_order) {
        wmk_view_read(s->view, at, count, value);
        return;
    }
    const wmk_place *place = s->place;
    uint64_t filter = at / place->per_filter, p = at % place->per_filter;
    size_t size = wmk_dtype_bits(s->view->dtype) / 8;
    for (size_t i = 0; i < count; i++) {
        uint64_t element = s->element ? s->element[p] + filter * place->filter_stride : wmk_place_element(place, p, filter);
        if (s->view->codec)
            wmk_view_read(s->view, element, 1, &value[i]);
        else
            wmk_read_f64(&value[i], (const unsigned char *)s->view->data + element * size, s->view->dtype, 1);
        if (++p < place->per_filter) continue;
        p = 0;
        filter++;
    }
}

static bool fits(const double *value, size_t count, wmk_dtype type)
{
    double back[PIECE];
    uint64_t bytes[PIECE];
    wmk_write_f64(bytes, type, value, count);
    wmk_read_f64(back, bytes, type, count);
    for (size_t i = 0; i < count; i++)
        if (back[i] != value[i] && value[i] == value[i]) return false;
    return true;
}

/* The index of the narrowest type that holds the values [at, at + count). */
static int narrowest_type(const sequence *s, uint64_t at, size_t count)
{
    bool alive[TYPES] = {true, true, true, true};
    int native = TYPES - 1, first = 0; /* the view's own type holds all of them */
    for (int i = 0; !s->view->codec && i < TYPES; i++)
        if (leaf_types[i] == s->view->dtype) native = i;
    for (size_t i = 0, n; i < count && first < native; i += n) {
        double value[PIECE];
        n = count - i < PIECE ? count - i : PIECE;
        sequence_read(s, at + i, n, value);
        for (int type = first; type < native; type++) alive[type] = alive[type] && fits(value, n, leaf_types[type]);
        while (first < native && !alive[first]) first++;
    }
    return first;
}

static void hash_leaf(uint8_t digest[DIGEST_BYTES], const sequence *s, uint64_t at, size_t count)
{
    crypto_generichash_blake2b_state hash;
    int type = narrowest_type(s, at, count);
    const uint8_t first = (uint8_t)type;
    size_t size = wmk_dtype_bits(leaf_types[type]) / 8;
    hash_begin(&hash, "weightmark leaf2");
    crypto_generichash_blake2b_update(&hash, &first, 1);
    bool direct = s->in_memory_order && !s->view->codec && s->view->dtype == leaf_types[type];
    if (direct) crypto_generichash_blake2b_update(&hash, (const uint8_t *)s->view->data + at * size, count * size);
    for (size_t i = 0, n; !direct && i < count; i += n) {
        double value[PIECE];
        uint64_t bytes[PIECE];
        n = count - i < PIECE ? count - i : PIECE;
        sequence_read(s, at + i, n, value);
        wmk_write_f64(bytes, leaf_types[type], value, n);
        crypto_generichash_blake2b_update(&hash, (const uint8_t *)bytes, n * size);
    }
    crypto_generichash_blake2b_final(&hash, digest, DIGEST_BYTES);
}

static wmk_status hash_target(crypto_generichash_blake2b_state *all, const wmk_tensor_view *view, const wmk_place *place, const wmk_traffic *traffic)
{
    sequence s;
    uint8_t(*digest)[DIGEST_BYTES] = NULL;
    WMK_TRY(wmk_alloc(&digest, GROUP, sizeof *digest));
    wmk_status status = sequence_open(&s, view, place);
    uint64_t leaves = (s.count + LEAF - 1) / LEAF, bytes = wmk_view_bytes(view, place), told = 0;
    for (uint64_t from = 0; status == WMK_OK && from < leaves; from += GROUP) {
        uint64_t n = leaves - from < GROUP ? leaves - from : GROUP;
#pragma omp parallel for schedule(dynamic, 1) if (n > 1)
        for (uint64_t i = 0; i < n; i++) {
            uint64_t at = (from + i) * LEAF;
            hash_leaf(digest[i], &s, at, s.count - at < LEAF ? (size_t)(s.count - at) : LEAF);
        }
        crypto_generichash_blake2b_update(all, digest[0], n * sizeof *digest);
        uint64_t now = from + n == leaves ? bytes : bytes / leaves * (from + n);
        wmk_traffic_read(traffic, (const char *)view->data + told, now - told);
        told = now;
    }
    free(s.element);
    free(digest);
    return status;
}

wmk_status wmk_views_original(uint8_t original[WMK_ORIGINAL_BYTES], const wmk_key *key, const wmk_tensor_view *views, const wmk_traffic *traffic)
{
    wmk_place *place = NULL;
    crypto_generichash_blake2b_state all;
    WMK_TRY(wmk_sodium_ready());
    for (size_t t = 0; t < key->target_count; t++)
        if (!views[t].data)
            return wmk_fail(WMK_ERROR_MISSING, "tensor %s is missing: the digest of the original needs all targets", wmk_view_name(key, views, t));
    WMK_TRY(wmk_alloc(&place, key->target_count, sizeof *place));
    wmk_status status = wmk_places_make(place, key, views, NULL, NULL);
    hash_begin(&all, "weightmark orig2");
    for (size_t t = 0; status == WMK_OK && t < key->target_count; t++) status = hash_target(&all, &views[t], &place[t], traffic);
    crypto_generichash_blake2b_final(&all, original, WMK_ORIGINAL_BYTES);
    free(place);
    return status;
}

wmk_status wmk_mark_original(uint8_t original[WMK_ORIGINAL_BYTES], const wmk_key *key, const wmk_tensor_view *views)
{
    return wmk_views_original(original, key, views, NULL);
}
