/* Reading against plain loops, over layouts, types, schemes and carriers. */
#include "read_naive.h"

#include <omp.h>

static const wmk_scheme schemes[] = {WMK_SCHEME_DIRECT, WMK_SCHEME_DIFF, WMK_SCHEME_RANDOM, WMK_SCHEME_PARTITION};

static void compare(const naive_set *set, const wmk_key *key)
{
    uint32_t T = wmk_key_bit_count(key);
    bool normalized = naive_is_normalized(set, wmk_key_carrier(key));
    double *w = naive_w(set, wmk_key_carrier(key), wmk_key_m(key), NULL);
    double *y = calloc(T, sizeof *y), *score = calloc(T, sizeof *score);
    uint8_t *erased = calloc(T, 1);
    naive_read(key, w, normalized, y, score, erased);
    wmk_reading *r = NULL;
    assert_ok(wmk_mark_read(&r, key, set->view));
    assert_int_equal(r->T, T);
    for (uint32_t j = 0; j < T; j++) {
        assert_int_equal(r->erased[j], erased[j]);
        if (fabs(r->score[j] - score[j]) > 1e-11 * (1 + fabs(score[j])))
            fail_msg("%s/%s row %u: score %.15g, not %.15g", wmk_scheme_name(wmk_key_scheme(key)), wmk_carrier_name(wmk_key_carrier(key)), j,
                     r->score[j], score[j]);
        if (fabs(r->y[j] - y[j]) > 1e-11 * (1 + fabs(y[j]))) fail_msg("row %u: y %.15g, not %.15g", j, r->y[j], y[j]);
        if (fabs(y[j]) > 1e-9) assert_int_equal(r->bit[j], y[j] >= 0);
    }
    wmk_reading_free(r);
    free(w);
    free(y);
    free(score);
    free(erased);
}

static void compare_all(const naive_set *set, uint32_t bits)
{
    for (int s = 0; s < 4; s++)
        for (int c = WMK_CARRIER_MEAN; c <= WMK_CARRIER_BALANCED; c++) {
            wmk_key *key = naive_key(set, schemes[s], (wmk_carrier)c, bits, false, (uint8_t)(s * 3 + c));
            compare(set, key);
            wmk_key_free(key);
        }
}

static void one_convolution_in_every_layout(void **state)
{
    (void)state;
    static const char *const layouts[] = {"OIHW", "HWIO", "OHWI", "IOHW", "IHWO", "WHIO", "HOWI", "WOIH"};
    static const wmk_dtype types[] = {WMK_F32, WMK_F64, WMK_F16, WMK_BF16};
    naive_set set = {0};
    naive_add(&set, 1, 3, 3, 5, 11, "OIHW");
    for (size_t l = 0; l < sizeof layouts / sizeof *layouts; l++) {
        naive_set_layout(&set, 0, layouts[l], types[l % 4], 0);
        compare_all(&set, 16);
    }
    naive_free(&set);
}

static void several_targets_of_every_rank(void **state)
{
    (void)state;
    naive_set set = {0};
    naive_add(&set, 1, 3, 3, 4, 9, "HWIO");
    naive_add(&set, 1, 1, 1, 37, 21, "OI");
    naive_add(&set, 2, 3, 2, 3, 6, "OIDHW");
    naive_add(&set, 1, 5, 1, 1, 8, "OH"); /* depthwise: no input axis */
    naive_add(&set, 1, 1, 3, 7, 1, "WIO");
    naive_set_layout(&set, 0, "OIHW", WMK_F32, 0);
    naive_set_layout(&set, 1, "IO", WMK_BF16, 0);
    naive_set_layout(&set, 2, "DHWIO", WMK_F16, 0);
    naive_set_layout(&set, 3, "OIHW", WMK_F64, 0); /* an axis of 1 may be there or not */
    compare_all(&set, 24);
    set.view[1].data = NULL;
    set.view[3].data = NULL;
    compare_all(&set, 24);
    naive_free(&set);
}

static void through_a_codec(void **state)
{
    (void)state;
    static const char *const layouts[] = {"OIHW", "HWIO", "IHWO"};
    naive_set set = {0};
    naive_add(&set, 1, 3, 3, 13, 21, "OIHW");
    naive_add(&set, 1, 1, 1, 37, 21, "OI");
    for (int l = 0; l < 3; l++) {
        naive_set_mixed(&set, 0, layouts[l]);
        compare_all(&set, 16);
    }
    naive_set_mixed(&set, 1, "IO");
    compare_all(&set, 16);
    set.view[1].codec = NULL; /* type "none" by itself is nothing */
    wmk_key *key = naive_key(&set, WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 8, false, 3);
    wmk_reading *r = NULL;
    assert_fails(wmk_mark_read(&r, key, set.view), WMK_ERROR_UNSUPPORTED, "layer1: values of type none");
    wmk_key_free(key);
    naive_free(&set);
}

/* Wider than a strip, larger than a tile, several chunks. */
static void many_tiles(void **state)
{
    (void)state;
    naive_set set = {0};
    naive_add(&set, 1, 3, 3, 30, 700, "OIHW");
    naive_add(&set, 1, 1, 1, 300, 130, "OI");
    static const char *const layouts[][2] = {{"OIHW", "OI"}, {"HWIO", "IO"}, {"IHOW", "OI"}};
    for (int l = 0; l < 3; l++) {
        naive_set_layout(&set, 0, layouts[l][0], WMK_F32, 0);
        naive_set_layout(&set, 1, layouts[l][1], WMK_F32, 0);
        wmk_key *key = naive_key(&set, WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 8, false, 3);
        compare(&set, key);
        wmk_key_free(key);
    }
    wmk_key *key = naive_key(&set, WMK_SCHEME_RANDOM, WMK_CARRIER_WEIGHTS, 2, false, 4);
    compare(&set, key);
    wmk_key_free(key);
    naive_free(&set);
}

static void same_bits_for_any_thread_count(void **state)
{
    (void)state;
    naive_set set = {0};
    naive_add(&set, 1, 3, 3, 30, 600, "OIHW");
    naive_add(&set, 1, 1, 1, 300, 130, "OI");
    int threads = omp_get_max_threads();
    for (int s = 0; s < 4; s++)
        for (int c = WMK_CARRIER_MEAN; c <= WMK_CARRIER_BALANCED; c++) {
            wmk_key *key = naive_key(&set, schemes[s], (wmk_carrier)c, 8, false, 3);
            wmk_reading *one = NULL, *three = NULL;
            omp_set_num_threads(1);
            assert_ok(wmk_mark_read(&one, key, set.view));
            omp_set_num_threads(3);
            assert_ok(wmk_mark_read(&three, key, set.view));
            assert_memory_equal(one->y, three->y, 8 * sizeof *one->y);
            wmk_reading_free(one);
            wmk_reading_free(three);
            wmk_key_free(key);
        }
    omp_set_num_threads(threads);
    naive_free(&set);
}

static void counts_and_erasures(void **state)
{
    (void)state;
    naive_set set = {0};
    naive_add(&set, 1, 1, 1, 20, 10, "OI");
    naive_add(&set, 1, 1, 1, 30, 10, "OI");
    wmk_key *key = naive_key(&set, WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 200, false, 1); /* rows of two or three weights */
    set.view[1].data = NULL;
    wmk_reading *r = NULL;
    assert_ok(wmk_mark_read(&r, key, set.view));
    assert_int_equal(r->weights_read, 200);
    assert_int_equal(r->weights_missing, 300);
    uint32_t erased = 0;
    for (uint32_t j = 0; j < 200; j++) erased += r->erased[j];
    assert_true(erased > 20 && erased < 180);
    wmk_reading_free(r);
    set.view[0].data = NULL;
    assert_fails(wmk_mark_read(&r, key, set.view), WMK_ERROR_MISSING, "layer0");
    wmk_key_free(key);
    naive_free(&set);
}

static void unusable_views(void **state)
{
    (void)state;
    naive_set set = {0};
    naive_add(&set, 1, 3, 3, 20, 40, "OIHW");
    wmk_reading *r = NULL;
    for (int c = WMK_CARRIER_MEAN; c <= WMK_CARRIER_BALANCED; c++) {
        wmk_key *key = naive_key(&set, WMK_SCHEME_PARTITION, (wmk_carrier)c, 4, false, 1);
        naive_set_layout(&set, 0, "OIHW", WMK_F32, 1);
        set.view[0].shape[1] = 10;
        assert_fails(wmk_mark_read(&r, key, set.view), WMK_ERROR_MISMATCH, "[40, 10, 3, 3], the key was made for OIHW [40, 20, 3, 3]");
        set.view[0].shape[1] = 20;
        set.view[0].dtype = WMK_I8;
        assert_fails(wmk_mark_read(&r, key, set.view), WMK_ERROR_UNSUPPORTED, "i8");
        set.view[0].dtype = WMK_F32;
        set.view[0].layout[0] = '\0';
        assert_fails(wmk_mark_read(&r, key, set.view), WMK_ERROR_MISMATCH, "layer0");
        wmk_key_free(key);
    }
    naive_free(&set);
}

/* A key's reading of `set`, whose values hold `lost` numbers that are none, and the plain loops' that leave them out. */
static void compare_lost(const naive_set *set, wmk_carrier carrier, uint64_t lost)
{
    for (int s = 0; s < 4; s++) {
        wmk_key *key = naive_key(set, schemes[s], carrier, 8, false, (uint8_t)(10 + s));
        wmk_reading *r = NULL;
        compare(set, key);
        assert_ok(wmk_mark_read(&r, key, set->view));
        assert_int_equal(r->weights_lost, lost);
        wmk_reading_free(r);
        wmk_key_free(key);
    }
}

/* NaN, infinities, and filters whose squares overflow count as 0, in every layout and carrier, and are counted; the rest is read as ever. */
static void numbers_that_are_none(void **state)
{
    (void)state;
    static const char *const layouts[] = {"OIHW", "HWIO", "OHWI", "IHWO"};
    for (int c = WMK_CARRIER_MEAN; c <= WMK_CARRIER_BALANCED; c++)
        for (int l = 0; l < 4; l++) {
            naive_set set = {0};
            naive_add(&set, 1, 3, 3, 6, 9, "OIHW");
            naive_add(&set, 1, 1, 1, 20, 7, "OI");
            double *value = set.tensor[0].value;
            for (size_t k = 0; k < naive_size(&set.tensor[0]); k++) value[k] += 0x1p-12; /* no zeros: all of a filter are lost with it */
            value[0] = NAN;
            value[9 + 4] = INFINITY;
            value[100] = -INFINITY;
            naive_set_layout(&set, 0, layouts[l], WMK_F32, 0);
            compare_lost(&set, (wmk_carrier)c, 3);
            value[18 + 5] = -1e200; /* filter 5, position 2 */
            naive_set_layout(&set, 0, layouts[l], WMK_F64, 0);
            compare_lost(&set, (wmk_carrier)c, 3 + (c == WMK_CARRIER_MEAN ? 9 : 54));
            set.view[1].data = NULL;
            compare_lost(&set, (wmk_carrier)c, 3 + (c == WMK_CARRIER_MEAN ? 9 : 54));
            naive_free(&set);
        }
}

/* A model that holds nothing else is refused, and told where the first of them is. */
static void nothing_but_no_numbers(void **state)
{
    (void)state;
    naive_set set = {0};
    naive_add(&set, 1, 3, 3, 5, 8, "OIHW");
    naive_add(&set, 1, 1, 1, 20, 7, "OI");
    for (size_t k = 0; k < naive_size(&set.tensor[0]); k++) set.tensor[0].value[k] = 0;
    for (size_t k = 0; k < naive_size(&set.tensor[1]); k++) set.tensor[1].value[k] = k % 3 == 1 ? NAN : 0;
    for (int t = 0; t < 2; t++) naive_set_layout(&set, (size_t)t, set.view[t].layout, WMK_F32, 0);
    for (int c = WMK_CARRIER_MEAN; c <= WMK_CARRIER_BALANCED; c++) {
        wmk_reading *r = NULL;
        wmk_key *key = naive_key(&set, WMK_SCHEME_PARTITION, (wmk_carrier)c, 4, false, 1);
        assert_fails(wmk_mark_read(&r, key, set.view), WMK_ERROR_INPUT, "layer1: element 1 is not a number");
        set.view[1].name = NULL; /* the key's name then stands in */
        assert_fails(wmk_mark_read(&r, key, set.view), WMK_ERROR_INPUT, "layer1: element 1");
        set.view[1].name = "layer1";
        set.view[1].data = NULL; /* zeros alone are no defect */
        assert_ok(wmk_mark_read(&r, key, set.view));
        assert_int_equal(r->weights_lost, 0);
        wmk_reading_free(r);
        set.view[1].data = set.tensor[1].view.data;
        wmk_key_free(key);
    }
    naive_free(&set);
}

/* Balanced over channels and filters of very different size, in binary64: each scale by itself is a double, their product may be none. */
static void scales_far_apart(void **state)
{
    (void)state;
    static const int shift[][3] = {{0, 0, 0}, {100, 0, 0}, {0, 300, 0}, {-200, -200, 0}, {0, 0, -1030}, {0, 0, 480}, {40, 0, -1000}};
    for (size_t k = 0; k < sizeof shift / sizeof *shift; k++)
        for (int l = 0; l < 2; l++) {
            naive_set set = {0};
            naive_add(&set, 1, 3, 3, 6, 9, "OIHW");
            for (size_t e = 0; e < naive_size(&set.tensor[0]); e++) {
                size_t o = e % 9, i = e / 9 % 6;
                set.tensor[0].value[e] = ldexp(set.tensor[0].value[e], (i % 2 ? shift[k][0] : 0) + (o % 3 ? 0 : shift[k][1]) + shift[k][2]);
            }
            naive_set_layout(&set, 0, l ? "HWIO" : "OIHW", WMK_F64, 0);
            compare_lost(&set, WMK_CARRIER_BALANCED, 0);
            naive_free(&set);
        }
}

/* Missing targets of 2^46 columns before, between and behind what is there: a key's shapes are not time that a reader must spend. */
static void huge_missing_targets(void **state)
{
    (void)state;
    enum { I = 300, O = 7, T = 5 };
    const uint64_t huge = UINT64_C(1) << 46;
    static float weights[2][O * I];
    uint64_t seed = 9;
    for (int t = 0; t < 2; t++)
        for (int k = 0; k < O * I; k++) weights[t][k] = (float)naive_normal(&seed);
    wmk_target targets[5] = {
        {"a", "OI", 2, {1, huge}}, {"b", "OI", 2, {O, I}}, {"c", "OI", 2, {1, huge}}, {"d", "OI", 2, {O, I}}, {"e", "OI", 2, {1, huge}}};
    wmk_tensor_view views[5];
    for (int t = 0; t < 5; t++) {
        views[t] = (wmk_tensor_view){.name = targets[t].name, .dtype = WMK_F32, .rank = 2, .layout = "OI", .data = t % 2 ? weights[t / 2] : NULL};
        memcpy(views[t].shape, targets[t].shape, sizeof views[t].shape);
    }
    wmk_key_options options = WMK_KEY_OPTIONS_INIT;
    options.carrier = WMK_CARRIER_WEIGHTS;
    options.bits = T;
    options.targets = targets;
    options.target_count = 5;
    wmk_key *key;
    wmk_reading *reading;
    assert_ok(wmk_key_create(&key, &options));
    assert_ok(wmk_mark_read(&reading, key, views));
    assert_true(reading->weights_missing == 3 * huge && reading->weights_read == 2 * O * I);
    for (uint32_t j = 0; j < T; j++) {
        double dot = 0, squares = 0;
        for (int t = 0; t < 2; t++) {
            float x[O * I];
            assert_ok(wmk_key_x(key, j, huge * (uint64_t)(t + 1) + (uint64_t)t * O * I, O * I, x));
            for (int o = 0; o < O; o++) {
                double rms = 0;
                for (int i = 0; i < I; i++) rms += weights[t][o * I + i] * (double)weights[t][o * I + i] / I;
                for (int i = 0; i < I; i++) dot += (double)x[i * O + o] * weights[t][o * I + i] / sqrt(rms);
                squares += I;
            }
        }
        assert_true(fabs(reading->y[j] - dot / sqrt(squares)) < 1e-11);
    }
    wmk_reading_free(reading);
    wmk_key_free(key);
}

/* Weights whose squares underflow say nothing, as zeros do. */
static void weights_too_small_to_square(void **state)
{
    (void)state;
    double weights[4 * 9];
    for (int i = 0; i < 4 * 9; i++) weights[i] = (i % 3 + 1) * 1e-200;
    wmk_target target = {"w", "OHW", 3, {4, 3, 3}};
    wmk_tensor_view view = {"w", WMK_F64, 3, {4, 3, 3}, "OHW", weights, NULL, NULL, 0};
    for (size_t s = 0; s < 4; s++) {
        wmk_key_options options = WMK_KEY_OPTIONS_INIT;
        options.scheme = schemes[s];
        options.bits = 4;
        options.targets = &target;
        options.target_count = 1;
        wmk_key *key;
        wmk_reading *reading;
        wmk_evidence evidence;
        assert_ok(wmk_key_create(&key, &options));
        assert_ok(wmk_mark_read(&reading, key, &view));
        for (uint32_t j = 0; j < 4; j++) {
            assert_true(reading->erased[j] && reading->y[j] == 0 && reading->score[j] == 0);
        }
        assert_ok(wmk_evidence_judge(&evidence, key, reading, 1, 64));
        assert_int_equal(evidence.bits, 0);
        assert_true(evidence.z == 0 && evidence.evidence_bits == 0);
        wmk_reading_free(reading);
        wmk_key_free(key);
    }
}

/* A length of which most squares underflow and one does not is far too short: a score over it would be evidence made of rounding. */
static void lengths_that_lost_their_digits(void **state)
{
    (void)state;
    enum { COLUMNS = 64 * 64 };
    static double weights[COLUMNS];
    for (int i = 0; i < COLUMNS; i++) weights[i] = 1.5e-162; /* squared: less than half of the smallest double */
    weights[COLUMNS / 2] = 2e-162;                           /* squared: more */
    wmk_target target = {"w", "OHW", 3, {1, 64, 64}};
    wmk_tensor_view view = {"w", WMK_F64, 3, {1, 64, 64}, "OHW", weights, NULL, NULL, 0};
    for (int seed = 0; seed < 4; seed++) {
        const uint8_t seeds[WMK_SEED_BYTES] = {(uint8_t)seed};
        wmk_key_options options = WMK_KEY_OPTIONS_INIT;
        options.bits = 64;
        options.seed = seeds;
        options.created = 1;
        options.targets = &target;
        options.target_count = 1;
        wmk_key *key;
        wmk_reading *reading;
        assert_ok(wmk_key_create(&key, &options));
        assert_ok(wmk_mark_read(&reading, key, &view));
        for (uint32_t j = 0; j < 64; j++) assert_true(reading->erased[j] && reading->y[j] == 0 && reading->score[j] == 0);
        wmk_reading_free(reading);
        for (int i = 0; i < COLUMNS; i++) weights[i] *= 0x1p130; /* all squares are doubles: read as any other */
        assert_ok(wmk_mark_read(&reading, key, &view));
        for (uint32_t j = 0; j < 64; j++) assert_true(!reading->erased[j] && fabs(reading->score[j]) < 6);
        wmk_reading_free(reading);
        for (int i = 0; i < COLUMNS; i++) weights[i] *= 0x1p-130;
        wmk_key_free(key);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_convolution_in_every_layout),
        cmocka_unit_test(several_targets_of_every_rank),
        cmocka_unit_test(through_a_codec),
        cmocka_unit_test(many_tiles),
        cmocka_unit_test(same_bits_for_any_thread_count),
        cmocka_unit_test(counts_and_erasures),
        cmocka_unit_test(unusable_views),
        cmocka_unit_test(numbers_that_are_none),
        cmocka_unit_test(nothing_but_no_numbers),
        cmocka_unit_test(scales_far_apart),
        cmocka_unit_test(huge_missing_targets),
        cmocka_unit_test(weights_too_small_to_square),
        cmocka_unit_test(lengths_that_lost_their_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
