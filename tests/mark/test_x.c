/* X by scheme: the key stream against the published answer, any stretch equal to the same stretch of a whole row, every form of the partition rule
 * against the plain one, the laws of each scheme, and the public access with its limits. */
#include "cmocka_wmk.h"

#include <math.h>
#include <sodium.h>
#include <stdlib.h>

#include "mark/derive.h"
#include "mark/x.h"
#include "mark/x_deal.h"
#include "mark/x_normal.h"

/* A key over one tensor of `M` weights. */
static wmk_key *make(wmk_scheme scheme, uint32_t bits, uint64_t M, uint8_t seed_byte)
{
    uint8_t seed[WMK_SEED_BYTES] = {seed_byte, 1};
    wmk_target target = {"w", "O", 1, {M}};
    wmk_key_options options = WMK_KEY_OPTIONS_INIT;
    options.scheme = scheme;
    options.carrier = WMK_CARRIER_WEIGHTS;
    options.bits = bits;
    options.seed = seed;
    options.created = 1;
    options.targets = &target;
    options.target_count = 1;
    wmk_key *key;
    assert_ok(wmk_key_create(&key, &options));
    return key;
}

/* Key and nonce zero: D. J. Bernstein's ChaCha20, first block (draft-strombergson-chacha-test-vectors, TC1). */
static void test_key_stream(void **state)
{
    (void)state;
    static const uint8_t expected[64] = {0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90, 0x40, 0x5d, 0x6a, 0xe5, 0x53, 0x86, 0xbd, 0x28,
                                         0xbd, 0xd2, 0x19, 0xb8, 0xa0, 0x8d, 0xed, 0x1a, 0xa8, 0x36, 0xef, 0xcc, 0x8b, 0x77, 0x0d, 0xc7,
                                         0xda, 0x41, 0x59, 0x7c, 0x51, 0x57, 0x48, 0x8d, 0x77, 0x24, 0xe0, 0x3f, 0xb8, 0xd8, 0x4a, 0x37,
                                         0x6a, 0x43, 0xb8, 0xf4, 0x15, 0x18, 0xa1, 0x1c, 0xc3, 0x87, 0xb6, 0x69, 0xb2, 0xee, 0x65, 0x86};
    uint8_t key[32] = {0}, out[256], part[64];
    wmk_key_stream(out, sizeof out, key, 0, 0);
    assert_memory_equal(out, expected, sizeof expected);
    for (uint64_t block = 0; block < 4; block++) {
        wmk_key_stream(part, sizeof part, key, 0, block);
        assert_memory_equal(part, out + 64 * block, 64);
    }
}

static void test_random_stretches(void **state)
{
    (void)state;
    enum { M = 10007 };
    wmk_key *key = make(WMK_SCHEME_RANDOM, 3, M, 7);
    float *row = malloc(M * sizeof *row), *part = malloc(M * sizeof *part);
    assert_true(row && part);
    for (uint32_t j = 0; j < 3; j++) {
        wmk_x_normal_by(wmk_normal_form_at(0), key, j, 0, M, row);
        for (size_t f = 0; wmk_normal_form_at(f); f++) {
            if (!wmk_normal_form_at(f)->usable()) continue;
            for (size_t i = 0; i < 300; i++) {
                size_t begin = i < 40 ? i : i * 7919 % M, count = i * 104729 % (M - begin + 1);
                if (i % 3) count %= 50; /* many short ones */
                part[count] = 77;
                wmk_x_normal_by(wmk_normal_form_at(f), key, j, begin, count, part);
                assert_memory_equal(part, row + begin, count * sizeof *row);
                if (count < M) assert_true(part[count] == 77);
            }
        }
        wmk_x_normal(key, j, 0, M, part);
        assert_memory_equal(part, row, M * sizeof *row);
        assert_ok(wmk_key_x(key, j, 5, M - 5, part));
        assert_memory_equal(part, row + 5, (M - 5) * sizeof *row);
    }
    assert_fails(wmk_key_x(key, 3, 0, 1, part), WMK_ERROR_ARGUMENT, "row 3");
    assert_fails(wmk_key_x(key, 0, M, 1, part), WMK_ERROR_ARGUMENT, "M = 10007");
    assert_fails(wmk_key_x(key, 0, UINT64_MAX, 2, part), WMK_ERROR_ARGUMENT, "M = 10007");
    assert_ok(wmk_key_x(key, 0, M, 0, part));
    uint16_t r;
    int8_t s;
    assert_fails(wmk_key_partition(key, 0, 1, &r, &s), WMK_ERROR_ARGUMENT, "scheme partition only, this key's is random");
    free(row);
    free(part);
    wmk_key_free(key);
}

static void test_partition_stretches(void **state)
{
    (void)state;
    enum { M = 20011 };
    static const uint32_t Ts[] = {1, 2, 200, 256, 16383, WMK_BITS_MAX};
    uint16_t *row = malloc(M * sizeof *row), *part_row = malloc(M * sizeof *row), *deal = malloc(M * sizeof *deal);
    int8_t *sign = malloc(M), *part_sign = malloc(M);
    float *x = malloc(M * sizeof *x);
    assert_true(row && sign && part_row && part_sign && deal && x);
    for (size_t t = 0; t < sizeof Ts / sizeof *Ts; t++) {
        wmk_key *key = make(WMK_SCHEME_PARTITION, Ts[t], M, 9);
        wmk_x_deal_by(wmk_deal_form_at(0), key, 0, M, deal);
        wmk_x_partition(key, 0, M, row, sign);
        for (size_t i = 0; i < M; i++) {
            assert_true(row[i] < Ts[t] && (sign[i] == 1 || sign[i] == -1));
            assert_int_equal(deal[i], 4 * row[i] + (sign[i] < 0 ? 2 : 0));
        }
        for (size_t f = 0; wmk_deal_form_at(f); f++) {
            const wmk_deal_form *form = wmk_deal_form_at(f);
            if (!form->usable()) {
                print_message("[ skipped ] form %s: not on this processor\n", form->name);
                continue;
            }
            for (size_t i = 0; i < 200; i++) {
                size_t begin = i < 70 ? i : i * 7919 % M, count = i * 104729 % (M - begin + 1);
                if (i % 3) count %= 100;
                memset(part_row, 0xee, M * sizeof *row);
                wmk_x_deal_by(form, key, begin, count, part_row);
                assert_memory_equal(part_row, deal + begin, count * sizeof *row);
                if (count < M) assert_int_equal(part_row[count], 0xeeee);
            }
        }
        assert_ok(wmk_key_partition(key, 0, M, part_row, part_sign));
        assert_memory_equal(part_row, row, M * sizeof *row);
        assert_memory_equal(part_sign, sign, M);
        uint32_t j = Ts[t] / 2;
        assert_ok(wmk_key_x(key, j, 11, M - 11, x));
        for (size_t i = 11; i < M; i++) assert_true(x[i - 11] == (row[i] == j ? (float)sign[i] : 0.0f));
        assert_fails(wmk_key_partition(key, M - 1, 2, part_row, part_sign), WMK_ERROR_ARGUMENT, "M = 20011");
        wmk_key_free(key);
    }
    free(row);
    free(sign);
    free(part_row);
    free(part_sign);
    free(deal);
    free(x);
}

/* Pearson's chi-square of counts against equal shares, as a normal deviate (Wilson and Hilferty). */
static double chi_square_deviate(const uint32_t *counts, size_t cells, double total)
{
    double chi = 0, expected = total / (double)cells, k = (double)cells - 1;
    for (size_t i = 0; i < cells; i++) chi += (counts[i] - expected) * (counts[i] - expected) / expected;
    return (cbrt(chi / k) - (1 - 2 / (9 * k))) / sqrt(2 / (9 * k));
}

/* With T a power of two, (row, sign) is uniform over 2 T cells. */
static void test_partition_is_even(void **state)
{
    (void)state;
    enum { M = 1 << 18, T = 256 };
    static uint32_t cells[2 * T];
    memset(cells, 0, sizeof cells);
    wmk_key *key = make(WMK_SCHEME_PARTITION, T, M, 3);
    uint16_t *row = malloc(M * sizeof *row);
    int8_t *sign = malloc(M);
    assert_true(row && sign);
    wmk_x_partition(key, 0, M, row, sign);
    for (size_t i = 0; i < M; i++) cells[2 * row[i] + (sign[i] > 0)]++;
    assert_true(fabs(chi_square_deviate(cells, 2 * T, M)) < 3.5);
    free(row);
    free(sign);
    wmk_key_free(key);
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Distinct and in range, from all of [0, M) to a few of very many; the dense form is those places. */
static void test_columns(void **state)
{
    (void)state;
    static const struct {
        wmk_scheme scheme;
        uint32_t T;
        uint64_t M;
    } cases[] = {
        {WMK_SCHEME_DIRECT, 1, 1},   {WMK_SCHEME_DIRECT, 576, 576}, {WMK_SCHEME_DIRECT, 256, 2304},      {WMK_SCHEME_DIRECT, 16384, 1u << 20},
        {WMK_SCHEME_DIFF, 288, 576}, {WMK_SCHEME_DIFF, 1, 2},       {WMK_SCHEME_DIFF, 16384, 1ull << 48}};
    static uint64_t column[2 * WMK_BITS_MAX];
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        uint32_t T = cases[c].T;
        bool diff = cases[c].scheme == WMK_SCHEME_DIFF;
        wmk_key *key = make(cases[c].scheme, T, cases[c].M, 5);
        assert_ok(wmk_x_columns(key, column, diff ? column + T : NULL));
        float x[300];
        for (uint32_t j = 0; j < T; j += T / 3 + 1) {
            uint64_t begin = column[j] > 20 ? column[j] - 20 : 0, count = cases[c].M - begin < 300 ? cases[c].M - begin : 300;
            assert_ok(wmk_key_x(key, j, begin, count, x));
            for (uint64_t i = 0; i < count; i++)
                assert_true(x[i] == (begin + i == column[j] ? 1.0f : diff && begin + i == column[T + j] ? -1.0f : 0.0f));
        }
        size_t n = diff ? 2 * (size_t)T : T;
        qsort(column, n, sizeof *column, compare_u64);
        assert_true(column[n - 1] < cases[c].M);
        for (size_t i = 1; i < n; i++) assert_true(column[i - 1] < column[i]);
        wmk_key_free(key);
    }
}

/* Over many keys every order of four columns comes equally often. */
static void test_columns_are_even(void **state)
{
    (void)state;
    enum { KEYS = 4800 };
    uint32_t cells[256] = {0}, seen[24];
    wmk_key *frame = make(WMK_SCHEME_DIRECT, 4, 4, 1);
    for (int i = 0; i < KEYS; i++) {
        uint8_t seed[WMK_SEED_BYTES] = {(uint8_t)i, (uint8_t)(i >> 8), 99};
        wmk_key *key;
        assert_ok(wmk_key_redraw(&key, frame, seed));
        uint64_t a[4];
        assert_ok(wmk_x_columns(key, a, NULL));
        cells[a[0] << 6 | a[1] << 4 | a[2] << 2 | a[3]]++;
        wmk_key_free(key);
    }
    wmk_key_free(frame);
    size_t orders = 0;
    for (size_t i = 0; i < 256; i++)
        if (cells[i]) {
            assert_true(orders < 24);
            seen[orders++] = cells[i];
        }
    assert_int_equal(orders, 24);
    assert_true(fabs(chi_square_deviate(seen, 24, KEYS)) < 3.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_stream),        cmocka_unit_test(test_random_stretches), cmocka_unit_test(test_partition_stretches),
        cmocka_unit_test(test_partition_is_even), cmocka_unit_test(test_columns),          cmocka_unit_test(test_columns_are_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
