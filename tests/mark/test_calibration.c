/* 10^4 strangers' keys on weights without a mark: rates of small p, for each scheme, carrier and kind of evidence. The weights are what breaks
 * careless statistics: heavy tails, neighbours alike, a mean far from zero, zeros, few distinct values. */
#include "read_naive.h"

#include "calibration.h"

enum { KEYS = 10000, FEWER = 3000 }; /* FEWER: on the second and third set */
#define OUTSIDE 0.001

static void check(const naive_set *set, wmk_scheme scheme, wmk_carrier carrier, uint32_t bits, bool ones, uint32_t keys)
{
    wmk_key *key = naive_key(set, scheme, carrier, bits, ones, 1);
    wmk_vector vector;
    assert_ok(wmk_vector_open(&vector, key, set->view, NULL));
    calibration c;
    assert_ok(calibration_run(&c, key, calibration_read, &vector, false, 0, keys));
    assert_int_equal(c.keys, keys);
    for (int k = 0; k < CALIBRATION_KINDS; k++)
        for (int l = 0; l < CALIBRATION_LEVELS; l++) {
            double low, high;
            calibration_interval(&c, k, l, OUTSIDE, &low, &high);
            if (!calibration_holds(&c, k, l, OUTSIDE))
                fail_msg("%s/%s%s, %s: %llu of %u keys have p < %g, not %.1f to %.1f", wmk_scheme_name(scheme), wmk_carrier_name(carrier),
                         ones ? " ones" : "", calibration_kind[k], (unsigned long long)c.at[k][l].below, keys, calibration_level[l], low, high);
        }
    wmk_vector_close(&vector);
    wmk_key_free(key);
}

static void check_all(const naive_set *set, uint32_t mean_bits, uint32_t weight_bits, uint32_t keys)
{
    for (int c = WMK_CARRIER_MEAN; c <= WMK_CARRIER_BALANCED; c++) {
        uint32_t bits = c == WMK_CARRIER_MEAN ? mean_bits : weight_bits;
        for (int s = WMK_SCHEME_DIRECT; s <= WMK_SCHEME_PARTITION; s++) check(set, (wmk_scheme)s, (wmk_carrier)c, bits, false, keys);
        check(set, WMK_SCHEME_RANDOM, (wmk_carrier)c, bits, true, keys);
        check(set, WMK_SCHEME_PARTITION, (wmk_carrier)c, bits, true, keys);
    }
}

static void heavy_tails(void **state)
{
    (void)state;
    naive_set set = {0};
    naive_add(&set, 1, 3, 3, 6, 8, "OIHW");
    check_all(&set, 12, 25, KEYS);
    naive_free(&set);
}

/* All weights positive and nearly alike: b cannot be guessed, whatever the sign of w. */
static void far_from_zero(void **state)
{
    (void)state;
    naive_set set = {0};
    naive_add(&set, 1, 1, 1, 40, 6, "OI");
    naive_add(&set, 1, 1, 1, 24, 5, "OI");
    for (size_t t = 0; t < 2; t++) {
        for (size_t k = 0; k < naive_size(&set.tensor[t]); k++) set.tensor[t].value[k] = 1 + set.tensor[t].value[k] / 4;
        naive_set_layout(&set, t, "OI", WMK_F32, 0);
    }
    check_all(&set, 16, 16, FEWER);
    naive_free(&set);
}

/* -1, 0 and 1, as many of each kind in every filter: y is often exactly 0, which reads as the bit 1. */
static void three_values(void **state)
{
    (void)state;
    naive_set set = {0};
    naive_add(&set, 1, 1, 1, 63, 5, "OI");
    uint64_t random = 4;
    for (size_t k = 0; k < naive_size(&set.tensor[0]); k++) set.tensor[0].value[k] = k / 5 % 3 == 0 ? 0 : (double)(naive_random(&random) % 2) * 2 - 1;
    naive_set_layout(&set, 0, "OI", WMK_F32, 0);
    check_all(&set, 16, 48, FEWER);
    naive_free(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(heavy_tails), cmocka_unit_test(far_from_zero), cmocka_unit_test(three_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
