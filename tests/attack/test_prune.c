/* wmk_prune against a full sort: the oracle orders all weights with qsort and zeroes the first ones. */
#include "cmocka_wmk.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <weightmark/attack.h>

static int by_magnitude_then_place(const void *a, const void *b)
{
    const double *const *x = a, *const *y = b;
    if (fabs(**x) != fabs(**y)) return fabs(**x) < fabs(**y) ? -1 : 1;
    return *x < *y ? -1 : *x > *y;
}

static int by_falling_magnitude_then_place(const void *a, const void *b)
{
    const double *const *x = a, *const *y = b;
    if (fabs(**x) != fabs(**y)) return fabs(**x) > fabs(**y) ? -1 : 1;
    return *x < *y ? -1 : *x > *y;
}

static void prune_by_sorting(double *weights, size_t count, size_t zeros, int (*order)(const void *, const void *))
{
    double **places = malloc((count + 1) * sizeof *places);
    assert_non_null(places);
    for (size_t i = 0; i < count; i++) places[i] = &weights[i];
    qsort(places, count, sizeof *places, order);
    for (size_t i = 0; i < zeros; i++) *places[i] = 0;
    free(places);
}

static void fill(double *weights, size_t count, unsigned seed)
{
    srand(seed);
    for (size_t i = 0; i < count; i++) weights[i] = (rand() % 41 - 20) / 8.0; /* many ties and zeros */
}

static void same_as_sorting(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 2, 3, 17, 1000};
    static const double rates[] = {0, 0.001, 0.25, 0.5, 0.65, 0.999, 1};
    double mine[1000], sorted[1000];
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++)
        for (size_t r = 0; r < sizeof rates / sizeof rates[0]; r++)
            for (int order = WMK_PRUNE_ASCENDING; order <= WMK_PRUNE_DESCENDING; order++) {
                size_t count = counts[c], zeros = (size_t)llround(rates[r] * (double)count);
                fill(mine, count, (unsigned)(c * 100 + r));
                memcpy(sorted, mine, sizeof mine);
                assert_int_equal(wmk_prune(mine, count, rates[r], (wmk_prune_order)order, 1), WMK_OK);
                prune_by_sorting(sorted, count, zeros, order == WMK_PRUNE_ASCENDING ? by_magnitude_then_place : by_falling_magnitude_then_place);
                assert_memory_equal(mine, sorted, count * sizeof *mine);
            }
}

static size_t zeros_in(const double *weights, size_t count)
{
    size_t zeros = 0;
    for (size_t i = 0; i < count; i++) zeros += weights[i] == 0;
    return zeros;
}

/* Exactly the number asked for; the same seed the same places, another seed others; spread evenly over the array. */
static void random_order(void **state)
{
    (void)state;
    enum { COUNT = 10000 };
    static double a[COUNT], b[COUNT], c[COUNT];
    for (size_t i = 0; i < COUNT; i++) a[i] = b[i] = c[i] = (double)i + 1;
    assert_int_equal(wmk_prune(a, COUNT, 0.3, WMK_PRUNE_RANDOM, 7), WMK_OK);
    assert_int_equal(wmk_prune(b, COUNT, 0.3, WMK_PRUNE_RANDOM, 7), WMK_OK);
    assert_int_equal(wmk_prune(c, COUNT, 0.3, WMK_PRUNE_RANDOM, 8), WMK_OK);
    assert_int_equal(zeros_in(a, COUNT), 3000);
    assert_memory_equal(a, b, sizeof a);
    assert_int_not_equal(memcmp(a, c, sizeof a), 0);
    for (size_t tenth = 0; tenth < 10; tenth++) { /* hypergeometric, deviation 13.7: 6 deviations */
        size_t zeros = zeros_in(a + tenth * 1000, 1000);
        assert_in_range(zeros, 218, 382);
    }
}

static void refuses(void **state)
{
    (void)state;
    double weight = 1;
    assert_int_equal(wmk_prune(&weight, 1, -0.1, WMK_PRUNE_ASCENDING, 1), WMK_ERROR_ARGUMENT);
    assert_int_equal(wmk_prune(&weight, 1, 1.1, WMK_PRUNE_ASCENDING, 1), WMK_ERROR_ARGUMENT);
    assert_int_equal(wmk_prune(&weight, 1, NAN, WMK_PRUNE_ASCENDING, 1), WMK_ERROR_ARGUMENT);
    assert_true(weight == 1);
    double hostile[3] = {NAN, 1, INFINITY};
    assert_int_equal(wmk_prune(hostile, 3, 1.0 / 3, WMK_PRUNE_ASCENDING, 1), WMK_OK);
    assert_true(isnan(hostile[0]) && hostile[1] == 0 && isinf(hostile[2]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_as_sorting),
        cmocka_unit_test(random_order),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
