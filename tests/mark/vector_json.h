/* tests/mark/vector_json.h - what follows from a key, as JSON: the content of tests/mark/vectors/NAME.json (vectors/README.md). */
#ifndef WMK_TESTS_VECTOR_JSON_H
#define WMK_TESTS_VECTOR_JSON_H

#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mark/derive.h"
#include "mark/vector_cases.h"
#include "mark/x.h"

/* Out of memory ends a test program; there is nothing to clean up. */
static inline void *need(void *pointer)
{
    if (!pointer) abort();
    return pointer;
}

static inline json_t *hex_of(const uint8_t *bytes, size_t size)
{
    char *digits = need(malloc(2 * size + 1));
    json_t *value = json_string(sodium_bin2hex(digits, 2 * size + 1, bytes, size));
    free(digits);
    return need(value);
}

static inline json_t *normal_site(const wmk_key *key, const vector_site *site)
{
    float x[VECTOR_SITE_COUNT];
    char digits[8 * VECTOR_SITE_COUNT + 1];
    if (wmk_key_x(key, site->row, site->column, VECTOR_SITE_COUNT, x) != WMK_OK) abort();
    for (int i = 0; i < VECTOR_SITE_COUNT; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], 4);
        snprintf(digits + 8 * i, 9, "%08x", bits);
    }
    return need(json_pack("{s:I, s:I, s:s}", "row", (json_int_t)site->row, "column", (json_int_t)site->column, "bits", digits));
}

static inline json_t *deal_site(const wmk_key *key, const vector_site *site)
{
    uint16_t row[VECTOR_SITE_COUNT];
    int8_t sign[VECTOR_SITE_COUNT];
    char signs[VECTOR_SITE_COUNT + 1] = "";
    if (wmk_key_partition(key, site->column, VECTOR_SITE_COUNT, row, sign) != WMK_OK) abort();
    json_t *rows = need(json_array());
    for (int i = 0; i < VECTOR_SITE_COUNT; i++) {
        json_array_append_new(rows, json_integer(row[i]));
        signs[i] = sign[i] > 0 ? '+' : '-';
    }
    return need(json_pack("{s:I, s:o, s:s}", "column", (json_int_t)site->column, "row", rows, "sign", signs));
}

static inline json_t *sites_json(const wmk_key *key, const vector_case *c)
{
    json_t *sites = need(json_array());
    for (const vector_site *site = c->sites; site->column != VECTOR_NO_SITE; site++)
        json_array_append_new(sites, c->scheme == WMK_SCHEME_RANDOM ? normal_site(key, site) : deal_site(key, site));
    return sites;
}

/* Random: the floats, row by row, 4 bytes each. Partition: for each column its row, 2 bytes, and its sign, 1 byte. Little-endian. */
static inline json_t *digest_json(const wmk_key *key)
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, 32);
    size_t M = wmk_key_m(key);
    float *x = need(malloc(M * sizeof *x));
    uint16_t *row = need(malloc(M * sizeof *row));
    int8_t *sign = need(malloc(M));
    if (wmk_key_scheme(key) == WMK_SCHEME_RANDOM) {
        for (uint32_t j = 0; j < wmk_key_bit_count(key); j++) {
            wmk_x_normal(key, j, 0, M, x);
            crypto_generichash_update(&state, (const uint8_t *)x, M * sizeof *x);
        }
    } else {
        wmk_x_partition(key, 0, M, row, sign);
        for (size_t i = 0; i < M; i++) {
            uint8_t bytes[3] = {(uint8_t)row[i], (uint8_t)(row[i] >> 8), (uint8_t)sign[i]};
            crypto_generichash_update(&state, bytes, 3);
        }
    }
    free(x);
    free(row);
    free(sign);
    uint8_t digest[32];
    crypto_generichash_final(&state, digest, sizeof digest);
    return hex_of(digest, sizeof digest);
}

/* All of plus, then all of minus, 8 bytes each, little-endian. */
static inline json_t *columns_digest_json(const uint64_t *plus, const uint64_t *minus, uint32_t count)
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, 32);
    crypto_generichash_update(&state, (const uint8_t *)plus, count * sizeof *plus);
    if (minus) crypto_generichash_update(&state, (const uint8_t *)minus, count * sizeof *minus);
    uint8_t digest[32];
    crypto_generichash_final(&state, digest, sizeof digest);
    return hex_of(digest, sizeof digest);
}

static inline json_t *columns_json(const uint64_t *columns, uint32_t count)
{
    json_t *list = need(json_array());
    for (uint32_t j = 0; j < count; j++) json_array_append_new(list, json_integer((json_int_t)columns[j]));
    return list;
}

static inline json_t *vector_json(const wmk_key *key, const vector_case *c)
{
    static uint8_t b[WMK_BITS_MAX];
    static char digits[WMK_BITS_MAX + 1];
    static uint64_t plus[WMK_BITS_MAX], minus[WMK_BITS_MAX];
    uint32_t T = wmk_key_bit_count(key);
    json_t *root = need(json_object());
    if (c->passphrase) json_object_set_new(root, "passphrase", json_string(c->passphrase));
    json_object_set_new(root, "seed", hex_of(key->secret->seed, WMK_SEED_BYTES));
    json_object_set_new(root, "M", json_integer((json_int_t)wmk_key_m(key)));
    json_object_set_new(root, "id", hex_of(key->id, sizeof key->id));
    json_object_set_new(root, "subkey_b", hex_of(key->secret->bits, WMK_SUBKEY_BYTES));
    json_object_set_new(root, "subkey_x", hex_of(key->secret->x, WMK_SUBKEY_BYTES));
    wmk_key_bits(key, b);
    for (uint32_t j = 0; j < T; j++) digits[j] = (char)('0' + b[j]);
    digits[T] = 0;
    json_object_set_new(root, "b", json_string(digits));
    if (c->scheme == WMK_SCHEME_RANDOM || c->scheme == WMK_SCHEME_PARTITION) {
        json_object_set_new(root, c->scheme == WMK_SCHEME_RANDOM ? "x" : "partition", sites_json(key, c));
        if (c->digest) json_object_set_new(root, "digest", digest_json(key));
    } else {
        bool diff = c->scheme == WMK_SCHEME_DIFF;
        if (wmk_x_columns(key, plus, diff ? minus : NULL) != WMK_OK) abort();
        if (c->digest) {
            json_object_set_new(root, "digest", columns_digest_json(plus, diff ? minus : NULL, T));
            return root;
        }
        json_object_set_new(root, "plus", columns_json(plus, T));
        if (diff) json_object_set_new(root, "minus", columns_json(minus, T));
    }
    return root;
}

#endif
