/* tests/mark/vector_cases.h - the keys of the known answers: make_vectors.c writes what follows from them, test_x_vectors.c compares. */
#ifndef WMK_TESTS_VECTOR_CASES_H
#define WMK_TESTS_VECTOR_CASES_H

#include <weightmark/mark.h>

typedef struct vector_site { /* a stretch of X that is written out */
    uint32_t row;            /* scheme random */
    uint64_t column;
} vector_site;

typedef struct vector_case {
    const char *name;
    wmk_scheme scheme;
    wmk_carrier carrier;
    uint32_t bits;
    bool ones;
    int64_t created;
    uint8_t seed_first, seed_step; /* seed[i] = first + i * step, modulo 256 */
    uint8_t original;              /* original[i] = original + i, modulo 256; 0: none */
    const char *passphrase;        /* NULL: plain */
    size_t target_count;
    wmk_target targets[4];
    vector_site sites[6]; /* up to the first column that is VECTOR_NO_SITE */
    bool digest;          /* of all of X */
} vector_case;

#define VECTOR_NO_SITE UINT64_MAX
#define VECTOR_SITE_COUNT 40 /* columns written out at each site: more than two blocks of the key stream for scheme random */

static const vector_case vector_cases[] = {
    {"random-mean",
     WMK_SCHEME_RANDOM,
     WMK_CARRIER_MEAN,
     256,
     false,
     1700000000,
     0,
     1,
     0,
     NULL,
     1,
     {{"conv2.0.conv2.weight", "OIHW", 4, {64, 64, 3, 3}}},
     {{0, 0}, {1, 0}, {7, 13}, {255, 536}, {0, VECTOR_NO_SITE}},
     true},
    {"random-weights",
     WMK_SCHEME_RANDOM,
     WMK_CARRIER_WEIGHTS,
     61,
     false,
     1,
     200,
     7,
     9,
     NULL,
     4,
     {{"a \"quoted\\ name\"", "OIHW", 4, {8, 4, 3, 3}},
      {"gew\xc3\xb6hnlich", "OI", 2, {10, 32}},
      {"c", "HWIO", 4, {3, 3, 4, 8}},
      {"d", "IDHWO", 5, {2, 2, 3, 1, 5}}},
     {{60, 916}, {3, 288}, {0, VECTOR_NO_SITE}},
     true},
    {"random-large",
     WMK_SCHEME_RANDOM,
     WMK_CARRIER_WEIGHTS,
     16384,
     false,
     1800000000,
     255,
     0,
     0,
     NULL,
     1,
     {{"w", "OI", 2, {1u << 20, 1u << 20}}},
     {{16383, 0}, {16383, 68719476720}, {9, 68719476729}, {0, 1099511627736}, {0, VECTOR_NO_SITE}},
     false},
    {"partition-weights",
     WMK_SCHEME_PARTITION,
     WMK_CARRIER_WEIGHTS,
     200,
     false,
     1700000001,
     17,
     29,
     254,
     NULL,
     2,
     {{"conv", "OIHW", 4, {64, 64, 3, 3}}, {"fc", "OI", 2, {10, 256}}},
     {{0, 0}, {0, 31}, {0, 39384}, {0, VECTOR_NO_SITE}},
     true},
    {"partition-large",
     WMK_SCHEME_PARTITION,
     WMK_CARRIER_WEIGHTS,
     16384,
     false,
     1700000002,
     91,
     3,
     0,
     NULL,
     1,
     {{"w", "IO", 2, {1u << 20, 1u << 20}}},
     {{0, 0}, {0, 137438953440}, {0, 137438953465}, {0, 1099511627736}, {0, VECTOR_NO_SITE}},
     false},
    {"partition-mean",
     WMK_SCHEME_PARTITION,
     WMK_CARRIER_MEAN,
     1,
     false,
     1700000003,
     5,
     5,
     0,
     NULL,
     2,
     {{"l1", "OIHW", 4, {4, 3, 5, 5}}, {"l2", "OIHW", 4, {6, 4, 1, 1}}},
     {{0, 0}, {0, 39}, {0, VECTOR_NO_SITE}},
     true},
    {"direct-mean",
     WMK_SCHEME_DIRECT,
     WMK_CARRIER_MEAN,
     256,
     true,
     1700000004,
     128,
     11,
     0,
     NULL,
     1,
     {{"conv2.0.conv2.weight", "HWIO", 4, {3, 3, 64, 64}}},
     {{0, VECTOR_NO_SITE}},
     false},
    {"direct-large",
     WMK_SCHEME_DIRECT,
     WMK_CARRIER_WEIGHTS,
     64,
     false,
     1700000005,
     77,
     131,
     0,
     NULL,
     1,
     {{"w", "O", 1, {((uint64_t)1 << 48) - 1}}},
     {{0, VECTOR_NO_SITE}},
     false},
    {"diff-all",
     WMK_SCHEME_DIFF,
     WMK_CARRIER_WEIGHTS,
     300,
     true,
     1700000006,
     33,
     44,
     0,
     NULL,
     1,
     {{"w", "OI", 2, {30, 20}}},
     {{0, VECTOR_NO_SITE}},
     false},
    /* words are passed over at i = 8047, 12370, 27084 and 27788 of the shuffle */
    {"diff-rejection",
     WMK_SCHEME_DIFF,
     WMK_CARRIER_WEIGHTS,
     16384,
     true,
     1700000008,
     217,
     1,
     0,
     NULL,
     1,
     {{"w", "O", 1, {184467440777096}}},
     {{0, VECTOR_NO_SITE}},
     true},
    {"partition-balanced",
     WMK_SCHEME_PARTITION,
     WMK_CARRIER_BALANCED,
     20,
     false,
     1700000009,
     1,
     2,
     128,
     NULL,
     3,
     {{"conv", "OIHW", 4, {6, 5, 3, 3}}, {"fc", "IO", 2, {7, 6}}, {"depthwise", "OHW", 3, {4, 3, 3}}},
     {{0, 0}, {0, 308}, {0, VECTOR_NO_SITE}},
     true},
    {"random-balanced",
     WMK_SCHEME_RANDOM,
     WMK_CARRIER_BALANCED,
     12,
     true,
     1700000010,
     2,
     3,
     0,
     NULL,
     2,
     {{"a", "HWIO", 4, {3, 3, 4, 6}}, {"b", "OI", 2, {5, 12}}},
     {{0, 0}, {11, 236}, {0, VECTOR_NO_SITE}},
     true},
    {"sealed",
     WMK_SCHEME_DIFF,
     WMK_CARRIER_MEAN,
     100,
     false,
     1700000007,
     3,
     253,
     0,
     "correct horse \xe2\x99\x9e",
     1,
     {{"w", "OIHW", 4, {16, 40, 3, 3}}},
     {{0, VECTOR_NO_SITE}},
     false},
};
#define VECTOR_CASES (sizeof vector_cases / sizeof vector_cases[0])

static inline wmk_status vector_key(wmk_key **out, const vector_case *c)
{
    uint8_t seed[WMK_SEED_BYTES], original[WMK_ORIGINAL_BYTES];
    for (int i = 0; i < WMK_SEED_BYTES; i++) seed[i] = (uint8_t)(c->seed_first + i * c->seed_step);
    wmk_key_options options = WMK_KEY_OPTIONS_INIT;
    options.scheme = c->scheme;
    options.carrier = c->carrier;
    options.bits = c->bits;
    options.ones = c->ones;
    options.created = c->created;
    options.seed = seed;
    for (int i = 0; i < WMK_ORIGINAL_BYTES; i++) original[i] = (uint8_t)(c->original + i);
    options.original = c->original ? original : NULL;
    options.targets = c->targets;
    options.target_count = c->target_count;
    return wmk_key_create(out, &options);
}

#endif
