/* What carrier balanced divides filters and input channels by, against plain loops: every layout, sizes around the pieces that it
 * is computed in, numbers that are none, weights that change, any number of threads, and values that are chosen to spoil it. */
#include "read_naive.h"

#include <omp.h>

#include "mark/carrier_balance.h"

typedef struct factors {
    double *channel, *channel_rms, *rms, *inverse;
    uint64_t lost;
} factors;

static factors room_for(const naive_tensor *t)
{
    const size_t O = t->extent[4], I = t->extent[3];
    return (factors){calloc(I, sizeof(double)), calloc(I, sizeof(double)), calloc(O, sizeof(double)), calloc(O, sizeof(double)), 0};
}

static void free_factors(factors *f)
{
    free(f->channel);
    free(f->channel_rms);
    free(f->rms);
    free(f->inverse);
}

static wmk_place place_of(const naive_set *set)
{
    wmk_place place;
    wmk_key *key = naive_key(set, WMK_SCHEME_PARTITION, WMK_CARRIER_BALANCED, 1, false, 1);
    assert_ok(wmk_places_make(&place, key, set->view, NULL, NULL));
    wmk_key_free(key);
    return place;
}

static factors factors_of(const naive_set *set)
{
    factors f = room_for(&set->tensor[0]);
    wmk_place place = place_of(set);
    wmk_balance *balance;
    assert_ok(wmk_balance_create(&balance, &set->view[0], &place));
    f.lost = wmk_balance_compute(balance, f.channel, f.channel_rms, f.rms, f.inverse, NULL);
    wmk_balance_free(balance);
    return f;
}

static void same(const naive_set *set, const char *what, size_t index, double got, double want)
{
    if (!(fabs(got - want) <= 1e-12 * fabs(want)))
        fail_msg("%s %llu x %llu: %s %zu is %.17g, not %.17g", set->view[0].layout, (unsigned long long)set->tensor[0].extent[4],
                 (unsigned long long)set->tensor[0].extent[3], what, index, got, want);
}

static void compare(const naive_set *set)
{
    const naive_tensor *t = &set->tensor[0];
    uint64_t none;
    naive_balance want;
    double *value = naive_finite(t, WMK_CARRIER_BALANCED, &want, &none);
    naive_factors(&want, t, value);
    factors got = factors_of(set);
    assert_int_equal(got.lost, none);
    for (size_t i = 0; i < t->extent[3]; i++) {
        same(set, "channel", i, got.channel[i], want.c[i] > 0 ? ldexp(1 / want.c[i], -want.a[i]) : 0);
        same(set, "RMS of channel", i, got.channel_rms[i], want.c[i] > 0 ? ldexp(want.c[i], want.a[i]) : 0);
    }
    for (size_t o = 0; o < t->extent[4]; o++) {
        same(set, "RMS of filter", o, got.rms[o], want.r[o]);
        same(set, "filter", o, got.inverse[o], want.r[o] > 0 ? 1 / want.r[o] : 0);
    }
    free_factors(&got);
    naive_balance_free(&want);
    free(value);
}

/* Filters and channels of all sizes, zeros, a filter and a channel of zeros, and what else the type holds. */
static void fill(naive_tensor *t, wmk_dtype dtype, uint64_t seed)
{
    const size_t O = t->extent[4], I = t->extent[3];
    const int spread = dtype == WMK_F64 ? 200 : dtype == WMK_F16 ? 4 : 40;
    for (size_t k = 0; k < naive_size(t); k++) {
        const size_t o = k % O, i = k / O % I;
        const int size = (int)(o * 7 % 5) * spread / 10 - (int)(i * 5 % 9) * spread / 10;
        double v = ldexp(nearbyint(100 * naive_normal(&seed) / (naive_uniform(&seed) + 0.1)), size - 6);
        if (fabs(v) > ldexp(127, size - 6)) v = ldexp(1, size); /* no more digits than the types hold */
        t->value[k] = naive_random(&seed) % 9 == 0 || (O > 4 && o == 2) || (I > 4 && i == 3) ? 0 : v;
    }
}

static const struct {
    uint64_t extent[5]; /* D H W I O */
    const char *layouts[6];
} shapes[] = {
    {{1, 3, 3, 5, 11}, {"OIHW", "HWIO", "OHWI", "IOHW", "IHWO", "HOWI"}},
    {{1, 3, 3, 40, 300}, {"OIHW", "HWIO", "OHWI", "IOHW"}}, /* more filters than are sampled */
    {{2, 3, 2, 3, 6}, {"OIDHW", "DHWIO", "DOHWI"}},
    {{1, 1, 1, 1, 7}, {"OI", "IO"}},
    {{1, 5, 1, 1, 9}, {"OIHW", "HWIO"}},
    {{1, 1, 1, 300, 1}, {"OI", "IO"}},
    {{1, 1, 1, 700, 130}, {"OI", "IO"}},
    {{1, 1, 1, 513, 511}, {"OI", "IO"}},
    {{1, 1, 1, 16500, 3}, {"OI", "IO"}}, /* more rows than lanes count at a time */
    {{1, 3, 3, 1, 70}, {"OIHW", "HWIO"}},
};

static void every_size_and_layout(void **state)
{
    (void)state;
    static const wmk_dtype types[] = {WMK_F32, WMK_BF16, WMK_F64, WMK_F16};
    for (size_t s = 0, turn = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t l = 0; l < 6 && shapes[s].layouts[l] != NULL; l++, turn++) {
            const uint64_t *e = shapes[s].extent;
            const wmk_dtype dtype = types[turn % 4];
            naive_set set = {0};
            naive_add(&set, e[0], e[1], e[2], e[3], e[4], shapes[s].layouts[l]);
            fill(&set.tensor[0], dtype, turn);
            naive_set_layout(&set, 0, shapes[s].layouts[l], dtype, 0);
            compare(&set);
            double *value = set.tensor[0].value;
            value[0] = NAN;
            value[naive_size(&set.tensor[0]) - 1] = -INFINITY;
            if (dtype == WMK_F64) value[naive_size(&set.tensor[0]) / 2] = 1e300;
            naive_set_layout(&set, 0, shapes[s].layouts[l], dtype == WMK_F64 ? WMK_F64 : WMK_F32, 0);
            compare(&set);
            naive_free(&set);
        }
}

/* Working memory serves again when weights have changed, and the results are bit for bit those of fresh memory and another number
 * of threads. */
static void used_again(void **state)
{
    (void)state;
    static const char *const layouts[] = {"OIHW", "HWIO", "OHWI", "IOHW"};
    const int usual = omp_get_max_threads();
    for (int l = 0; l < 4; l++) {
        naive_set set = {0};
        naive_add(&set, 1, 3, 3, 70, 90, "OIHW");
        naive_set_layout(&set, 0, layouts[l], WMK_F32, 1);
        const naive_tensor *t = &set.tensor[0];
        float *weights = (float *)(uintptr_t)set.view[0].data;
        wmk_place place = place_of(&set);
        wmk_balance *balance;
        omp_set_num_threads(3);
        assert_ok(wmk_balance_create(&balance, &set.view[0], &place));
        factors again = room_for(t);
        for (int round = 0; round < 3; round++) {
            again.lost = wmk_balance_compute(balance, again.channel, NULL, again.rms, again.inverse, NULL);
            omp_set_num_threads(round + 1);
            factors fresh = factors_of(&set);
            omp_set_num_threads(3);
            assert_memory_equal(again.channel, fresh.channel, t->extent[3] * sizeof(double));
            assert_memory_equal(again.rms, fresh.rms, t->extent[4] * sizeof(double));
            assert_memory_equal(again.inverse, fresh.inverse, t->extent[4] * sizeof(double));
            assert_int_equal(again.lost, fresh.lost);
            free_factors(&fresh);
            for (size_t e = 0; e < naive_size(t); e++) weights[e] = weights[e] * 1.5f + (float)(e % 7) * 0.01f;
            if (round == 0) weights[5] = NAN; /* and in the last round it is gone */
            if (round == 1) weights[5] = 1;
        }
        free_factors(&again);
        wmk_balance_free(balance);
        naive_free(&set);
    }
    omp_set_num_threads(usual);
}

/* ---- values that are chosen to spoil a reading ---- */

static void compare_reading(const naive_set *set)
{
    for (int s = WMK_SCHEME_RANDOM; s <= WMK_SCHEME_PARTITION; s++) {
        wmk_key *key = naive_key(set, (wmk_scheme)s, WMK_CARRIER_BALANCED, 4, false, 1);
        double *w = naive_w(set, WMK_CARRIER_BALANCED, wmk_key_m(key), NULL), y[4], score[4];
        uint8_t erased[4];
        wmk_reading *reading;
        naive_read(key, w, true, y, score, erased);
        assert_ok(wmk_mark_read(&reading, key, set->view));
        for (int j = 0; j < 4; j++) {
            assert_false(erased[j] || reading->erased[j]);
            if (!(fabs(reading->score[j] - score[j]) < 1e-11)) fail_msg("%s row %d: %g, not %g", set->view[0].layout, j, reading->score[j], score[j]);
        }
        wmk_reading_free(reading);
        free(w);
        wmk_key_free(key);
    }
}

/* A channel of the smallest numbers beside filters of two sizes, numbers so large that they are infinite when they are scaled, and
 * both in one place: what is spoilt is no more than that. */
static void spoilt_channels(void **state)
{
    (void)state;
    static const char *const layouts[] = {"OI", "IO"};
    for (int l = 0; l < 2; l++)
        for (int kind = 0; kind < 5; kind++) {
            naive_set set = {0};
            naive_add(&set, 1, 1, 1, 12, 20, "OI");
            uint64_t random = 3;
            double *value = set.tensor[0].value;
            for (size_t k = 0; k < 240; k++) {
                const bool tiny = k / 20 == 0 && kind != 2;
                value[k] = ldexp(naive_normal(&random), tiny ? -1060 : k % 2 && kind != 3 ? 9 * kind : 0);
            }
            if (kind == 2) /* one filter of them */
                for (size_t k = 5; k < 240; k += 20) value[k] = ldexp(value[k], 1012);
            if (kind > 2) value[5] = 1e200;
            naive_set_layout(&set, 0, layouts[l], WMK_F64, 0);
            compare_reading(&set);
            naive_free(&set);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_and_layout),
        cmocka_unit_test(used_again),
        cmocka_unit_test(spoilt_channels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
