/* The digest of the weights that a key was made for: against plain loops over the specification, in every layout and type; another one for any bit that
 * is changed. */
#include "read_naive.h"

#include <omp.h>
#include <sodium.h>

#include "base/convert.h"
#include "mark/vector_json.h"

#define LEAF 65536

static void hash(uint8_t out[32], const char *personal, const unsigned char *bytes, size_t size)
{
    const uint8_t salt[16] = {0};
    crypto_generichash_blake2b_salt_personal(out, 32, bytes, size, NULL, 0, salt, (const uint8_t *)personal);
}

/* Whether 2^exponent * m with |m| below 2^digits, an integer, is v. */
static bool holds(double v, int digits, int least_exponent, double most)
{
    int exponent;
    double m = frexp(v, &exponent);
    if (v == 0 || !isfinite(v)) return true;
    if (fabs(v) > most) return false;
    int last = exponent - digits < least_exponent ? least_exponent : exponent - digits; /* the weight of the last digit */
    return ldexp(m, exponent - last) == nearbyint(ldexp(m, exponent - last));
}

/* One leaf as section 7 of docs/spec.md says it: message[1 + 8 count]. */
static void hash_leaf(uint8_t out[32], const double *value, size_t count, unsigned char *message)
{
    static const struct {
        int digits, least;
        double most;
        wmk_dtype dtype;
    } types[] = {{8, -133, 0x1.fep127, WMK_BF16}, {11, -24, 65504, WMK_F16}, {24, -149, 0x1.fffffep127, WMK_F32}, {53, -1074, INFINITY, WMK_F64}};
    int code = 0;
    for (size_t i = 0; i < count;) /* a later type need not hold what an earlier one did */
        if (holds(value[i], types[code].digits, types[code].least, types[code].most))
            i++;
        else
            code++, i = 0;
    message[0] = (unsigned char)code;
    wmk_write_f64(message + 1, types[code].dtype, value, count);
    hash(out, "weightmark leaf2", message, 1 + count * (wmk_dtype_bits(types[code].dtype) / 8));
}

static void naive_original(uint8_t out[32], const naive_set *set)
{
    static unsigned char leaves[64 * 32], message[1 + 8 * LEAF];
    size_t leaf = 0;
    for (size_t t = 0; t < set->count; t++) {
        const naive_tensor *tensor = &set->tensor[t];
        size_t n = naive_size(tensor), O = tensor->extent[4], P = n / O;
        double *value = need(malloc(n * sizeof *value));
        for (size_t k = 0; k < n; k++) value[k % O * P + k / O] = tensor->value[k];
        for (size_t at = 0; at < n; at += LEAF, leaf++) {
            assert_true(leaf < 64);
            hash_leaf(leaves + 32 * leaf, value + at, n - at < LEAF ? n - at : LEAF, message);
        }
        free(value);
    }
    hash(out, "weightmark orig2", leaves, 32 * leaf);
}

/* The library's digest of a set as it is stored. */
static void original_of(uint8_t out[32], const naive_set *set)
{
    wmk_key *key = naive_key(set, WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 1, false, 1);
    assert_ok(wmk_mark_original(out, key, set->view));
    wmk_key_free(key);
}

static void assert_original(const naive_set *set)
{
    uint8_t found[32], wanted[32];
    original_of(found, set);
    naive_original(wanted, set);
    assert_memory_equal(found, wanted, sizeof found);
}

static void every_layout_and_type(void **state)
{
    (void)state;
    static const char *const layouts[] = {"OIHW", "HWIO", "OHWI", "IOHW", "IHWO", "WHIO", "HOWI", "WOIH", "DOHWI"};
    static const wmk_dtype types[] = {WMK_F32, WMK_F64, WMK_F16, WMK_BF16};
    uint8_t first[32], found[32];
    naive_set set = {0};
    naive_add(&set, 1, 3, 3, 5, 11, "OIHW");
    naive_add(&set, 1, 1, 1, 37, 21, "OI");
    assert_original(&set);
    original_of(first, &set);
    for (size_t l = 0; l < sizeof layouts / sizeof *layouts; l++)
        for (int type = 0; type < 4; type++) {
            naive_set_layout(&set, 0, layouts[l], types[type], 0);
            naive_set_layout(&set, 1, l % 2 ? "IO" : "OI", types[3 - type], 0);
            original_of(found, &set);
            assert_memory_equal(found, first, sizeof first);
        }
    for (size_t l = 0; l < sizeof layouts / sizeof *layouts; l++) { /* a codec, as of a file of quantised blocks */
        naive_set_mixed(&set, 0, layouts[l]);
        naive_set_mixed(&set, 1, l % 2 ? "IO" : "OI");
        original_of(found, &set);
        assert_memory_equal(found, first, sizeof first);
    }
    naive_free(&set);
}

/* The narrowest type that holds a leaf, for values at the ends of each type. */
static void types_of_leaves(void **state)
{
    (void)state;
    static const double values[] = {0,
                                    -0.0,
                                    1,
                                    -1.0078125,
                                    0x1p-133,
                                    0x1p-134,
                                    0x1.fep127,
                                    0x1.ffp127,
                                    0x1.002p0,
                                    0x1.001p0,
                                    65504,
                                    65505,
                                    65536,
                                    0x1p-24,
                                    0x1p-25,
                                    0x1.8p-25,
                                    0x1p-149,
                                    0x1p-150,
                                    0x1.fffffep127,
                                    0x1p128,
                                    INFINITY,
                                    -INFINITY,
                                    0x1.0000000002p0,
                                    5e-324,
                                    0x1.4p-1022,
                                    0x1.004p-14,
                                    0x1.004p-15,
                                    2047,
                                    2049};
    enum { COUNT = sizeof values / sizeof *values };
    naive_set set = {0};
    naive_add(&set, 1, 1, 1, 4, 1, "OI");
    for (int i = 0; i < COUNT; i++)
        for (int j = 0; j < COUNT; j++) {
            const double four[] = {1, values[i], 0.5, values[j]};
            memcpy(set.tensor[0].value, four, sizeof four);
            naive_set_layout(&set, 0, j % 2 ? "OI" : "IO", WMK_F64, 0);
            assert_original(&set);
        }
    naive_free(&set);
}

/* Any one bit of the stored bytes. */
static void every_bit_counts(void **state)
{
    (void)state;
    static const wmk_dtype types[] = {WMK_F32, WMK_F64, WMK_F16, WMK_BF16};
    static const char *const layouts[] = {"OIHW", "HWIO"};
    uint8_t first[32], found[32];
    naive_set set = {0};
    naive_add(&set, 1, 2, 2, 3, 5, "OIHW");
    original_of(first, &set);
    for (int k = 0; k < 8; k++) {
        naive_set_layout(&set, 0, layouts[k / 4], types[k % 4], 0);
        unsigned char *bytes = (unsigned char *)(uintptr_t)set.view[0].data;
        for (size_t bit = 0; bit < 60 * wmk_dtype_bits(types[k % 4]); bit++) {
            bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
            original_of(found, &set);
            assert_memory_not_equal(found, first, sizeof first);
            bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
        }
        original_of(found, &set);
        assert_memory_equal(found, first, sizeof first);
    }
    naive_free(&set);
}

/* Sizes around a leaf's, and filters that are longer than one: the plain loops' digest, and another for one changed weight on either side of each border. */
static void borders_of_leaves(void **state)
{
    (void)state;
    static const struct {
        uint64_t h, i, o;
        const char *layout;
        wmk_dtype dtype;
    } cases[] = {{1, LEAF - 1, 1, "OI", WMK_BF16}, {1, LEAF, 1, "OI", WMK_F32},   {1, LEAF + 1, 1, "OI", WMK_F16}, {1, 1, LEAF + 1, "IO", WMK_F32},
                 {1, 257, 256, "IO", WMK_F64},     {3, 23000, 2, "HOI", WMK_F32}, {2, LEAF, 3, "IHO", WMK_BF16},   {1, 70001, 3, "OI", WMK_BF16}};
    uint8_t first[32], found[32], one[32];
    int threads = omp_get_max_threads();
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        naive_set set = {0};
        naive_add(&set, 1, cases[c].h, 1, cases[c].i, cases[c].o, cases[c].layout);
        naive_set_layout(&set, 0, cases[c].layout, cases[c].dtype, 0);
        assert_original(&set);
        original_of(first, &set);
        size_t n = naive_size(&set.tensor[0]), O = cases[c].o, P = n / O, size = wmk_dtype_bits(cases[c].dtype) / 8;
        size_t places[] = {0, LEAF - 2, LEAF - 1, LEAF, LEAF + 1, 2 * LEAF - 1, 2 * LEAF, n - 1};
        for (size_t e = 0; e < n; e++) { /* element of the view; its place in the order of the digest */
            size_t k = naive_index(&set.tensor[0], e), place = k % O * P + k / O;
            for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
                if (places[i] != place) continue;
                unsigned char *byte = (unsigned char *)(uintptr_t)set.view[0].data + e * size;
                *byte ^= 1;
                original_of(found, &set);
                assert_memory_not_equal(found, first, sizeof first);
                *byte ^= 1;
                break;
            }
        }
        omp_set_num_threads(3);
        original_of(one, &set);
        omp_set_num_threads(threads);
        assert_memory_equal(one, first, sizeof first);
        naive_free(&set);
    }
}

/* What is not to be taken for another: the order of targets, and where one ends. */
static void targets_and_their_order(void **state)
{
    (void)state;
    uint8_t ab[32], ba[32], joined[32];
    naive_set set = {0}, turned = {0}, whole = {0};
    naive_add(&set, 1, 1, 1, 6, 4, "OI");
    naive_add(&set, 1, 1, 1, 6, 5, "OI");
    naive_add(&turned, 1, 1, 1, 6, 5, "OI");
    naive_add(&turned, 1, 1, 1, 6, 4, "OI");
    naive_add(&whole, 1, 1, 1, 6, 9, "OI");
    for (size_t i = 0; i < 6; i++)
        for (size_t o = 0; o < 9; o++) {
            double value = set.tensor[o < 4 ? 0 : 1].value[o < 4 ? i * 4 + o : i * 5 + o - 4];
            turned.tensor[o < 4 ? 1 : 0].value[o < 4 ? i * 4 + o : i * 5 + o - 4] = value;
            whole.tensor[0].value[i * 9 + o] = value;
        }
    for (size_t t = 0; t < 2; t++) naive_set_layout(&turned, t, "OI", WMK_F32, 0);
    naive_set_layout(&whole, 0, "OI", WMK_F32, 0);
    assert_original(&turned);
    assert_original(&whole);
    original_of(ab, &set);
    original_of(ba, &turned);
    original_of(joined, &whole);
    assert_memory_not_equal(ab, ba, sizeof ab);
    assert_memory_not_equal(ab, joined, sizeof ab);
    naive_free(&set);
    naive_free(&turned);
    naive_free(&whole);
}

static void unusable_views(void **state)
{
    (void)state;
    uint8_t found[32];
    naive_set set = {0};
    naive_add(&set, 1, 3, 3, 4, 6, "OIHW");
    naive_add(&set, 1, 1, 1, 6, 5, "OI");
    wmk_key *key = naive_key(&set, WMK_SCHEME_PARTITION, WMK_CARRIER_BALANCED, 4, false, 1);
    assert_ok(wmk_mark_original(found, key, set.view));
    set.view[1].data = NULL;
    assert_fails(wmk_mark_original(found, key, set.view), WMK_ERROR_MISSING, "layer1");
    set.view[1] = set.tensor[1].view;
    set.view[0].shape[1] = 3;
    assert_fails(wmk_mark_original(found, key, set.view), WMK_ERROR_MISMATCH, "[6, 3, 3, 3]");
    set.view[0] = set.tensor[0].view;
    set.view[0].dtype = WMK_I8;
    assert_fails(wmk_mark_original(found, key, set.view), WMK_ERROR_UNSUPPORTED, "i8");
    wmk_key_free(key);
    naive_free(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layout_and_type), cmocka_unit_test(types_of_leaves),         cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(borders_of_leaves),     cmocka_unit_test(targets_and_their_order), cmocka_unit_test(unusable_views),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
