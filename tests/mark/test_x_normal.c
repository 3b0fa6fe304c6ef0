/* The normal rule: against numpy's bits and Python's quantiles (vectors/normal.json), form against form, document against table, and as a
 * distribution. */
#include "cmocka_wmk.h"

#include <jansson.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "mark/derive.h"
#include "mark/x.h"
#include "mark/x_normal.h"
#include "mark/x_normal_table.h"

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

static float normal(const wmk_normal_form *form, uint32_t u)
{
    float x;
    wmk_store_u32((uint8_t *)&x, u);
    form->convert(&x, 1);
    return x;
}

static void test_vectors(void **state)
{
    (void)state;
    json_t *rows = json_load_file(WMK_SOURCE_DIR "/tests/mark/vectors/normal.json", 0, NULL), *row;
    assert_true(json_array_size(rows) > 400);
    size_t i;
    json_array_foreach(rows, i, row)
    {
        uint32_t u = (uint32_t)json_integer_value(json_array_get(row, 0)), bits = (uint32_t)json_integer_value(json_array_get(row, 1));
        double quantile = json_number_value(json_array_get(row, 2));
        float x = normal(wmk_normal_form_at(0), u);
        if (bits_of(x) != bits) fail_msg("normal(%08x) = %a, bits %08x, not %08x", u, x, bits_of(x), bits);
        if (fabs(x - quantile) > 5e-7 * fabs(quantile)) fail_msg("normal(%08x) = %.9g, quantile %.9g", u, x, quantile);
    }
    json_decref(rows);
}

/* Every form this processor runs gives the plain form's bits: at all octave edges, at 2^20 other places, and for every length and alignment. */
static void test_forms_agree(void **state)
{
    (void)state;
    enum { EDGES = 31 * 5 * 2, RANDOM = 1 << 20, COUNT = EDGES + RANDOM };
    uint32_t *u = malloc(COUNT * sizeof *u);
    float *expected = malloc(COUNT * sizeof *expected), *x = malloc(COUNT * sizeof *x);
    assert_true(u && expected && x);
    static const uint8_t seed[randombytes_SEEDBYTES] = {1, 2, 3};
    randombytes_buf_deterministic(u, COUNT * sizeof *u, seed);
    for (int k = 0, i = 0; k < 31; k++)
        for (int d = -2; d <= 2; d++)
            for (uint32_t sign = 0; sign < 2; sign++) u[i++] = (((1u << k) + (uint32_t)d) & 0x7fffffffu) | sign << 31;
    memcpy(expected, u, COUNT * sizeof *u);
    wmk_normal_form_at(0)->convert(expected, COUNT);

    for (size_t f = 1; wmk_normal_form_at(f); f++) {
        const wmk_normal_form *form = wmk_normal_form_at(f);
        if (!form->usable()) {
            print_message("[ skipped ] form %s: not on this processor\n", form->name);
            continue;
        }
        memcpy(x, u, COUNT * sizeof *u);
        form->convert(x, COUNT);
        for (size_t i = 0; i < COUNT; i++)
            if (bits_of(x[i]) != bits_of(expected[i])) fail_msg("%s: normal(%08x) = %a, not %a", form->name, u[i], x[i], expected[i]);
        for (size_t begin = 0; begin < 17; begin++)
            for (size_t count = 0; count < 70; count++) {
                memcpy(x, u, 100 * sizeof *u);
                form->convert(x + begin, count);
                assert_memory_equal(x, u, begin * sizeof *x);
                assert_memory_equal(x + begin, expected + begin, count * sizeof *x);
                assert_memory_equal(x + begin + count, u + begin + count, (100 - begin - count) * sizeof *x);
            }
    }
    free(u);
    free(expected);
    free(x);
}

/* The best form is one of the table, and usable. */
static void test_best(void **state)
{
    (void)state;
    assert_true(wmk_normal_form_at(0)->usable());
    assert_string_equal(wmk_normal_form_at(0)->name, "plain");
    assert_true(wmk_normal_form_best()->usable());
}

/* docs/spec.md prints the table that is compiled in. */
static void test_document(void **state)
{
    (void)state;
    FILE *file = fopen(WMK_SOURCE_DIR "/docs/spec.md", "r");
    assert_non_null(file);
    char line[1024];
    int rows = 0;
    while (fgets(line, sizeof line, file)) {
        int k, used;
        if (sscanf(line, "| %d | %n", &k, &used) != 1 || !strstr(line, "0x")) continue;
        const char *p = line + used;
        for (int i = 0; i <= WMK_NORMAL_DEGREE; i++) {
            char *end;
            float c = strtof(p, &end);
            assert_true(end > p);
            assert_true(c == wmk_normal_rows[(k + 127) % 32][i]);
            assert_true(c == wmk_normal_columns[i][(k + 127) % 32]);
            p = end + 3;
        }
        rows++;
    }
    fclose(file);
    assert_int_equal(rows, 32);
}

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Moments and Kolmogorov-Smirnov over four rows of one key, and no correlation between rows; the limits are five deviations, and for KS p = 1e-3 at a fixed seed. */
static void test_distribution(void **state)
{
    (void)state;
    enum { N = 1 << 18, ROWS = 4 };
    uint8_t seed[WMK_SEED_BYTES] = {42};
    wmk_target target = {"w", "O", 1, {N}};
    wmk_key_options options = WMK_KEY_OPTIONS_INIT;
    options.carrier = WMK_CARRIER_WEIGHTS;
    options.seed = seed;
    options.created = 1;
    options.targets = &target;
    options.target_count = 1;
    wmk_key *key;
    assert_ok(wmk_key_create(&key, &options));
    float *x = malloc(ROWS * N * sizeof *x);
    assert_non_null(x);
    for (uint32_t j = 0; j < ROWS; j++) wmk_x_normal(key, j, 0, N, x + j * N);

    double sum[5] = {0}, cross = 0, lag = 0;
    for (size_t i = 0; i < ROWS * N; i++)
        for (int k = 1; k <= 4; k++) sum[k] += pow(x[i], k);
    for (size_t i = 0; i + 1 < N; i++) {
        cross += (double)x[i] * x[i + N];
        lag += (double)x[i] * x[i + 1];
    }
    const double n = ROWS * N;
    assert_true(fabs(sum[1] / n) < 5 * sqrt(1 / n));
    assert_true(fabs(sum[2] / n - 1) < 5 * sqrt(2 / n));
    assert_true(fabs(sum[3] / n) < 5 * sqrt(15 / n));
    assert_true(fabs(sum[4] / n - 3) < 5 * sqrt(96 / n));
    assert_true(fabs(cross / N) < 5 / sqrt(N));
    assert_true(fabs(lag / N) < 5 / sqrt(N));

    qsort(x, ROWS * N, sizeof *x, compare_floats);
    double distance = 0;
    for (size_t i = 0; i < ROWS * N; i++) {
        double cdf = 0.5 * erfc(-x[i] / sqrt(2)), below = (double)i / n, above = (double)(i + 1) / n;
        distance = fmax(distance, fmax(cdf - below, above - cdf));
    }
    assert_true(distance * sqrt(n) < 1.95);
    free(x);
    wmk_key_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),  cmocka_unit_test(test_forms_agree),  cmocka_unit_test(test_best),
        cmocka_unit_test(test_document), cmocka_unit_test(test_distribution),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
