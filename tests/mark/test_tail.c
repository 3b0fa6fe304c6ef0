/* Tails against tables computed to many digits, and against sums that hold on every grid. */
#include "cmocka_wmk.h"

#include <math.h>
#include <weightmark/mark.h>

#include "tail_tables.h"

static void close_to(const char *what, double a, double b, double got, double want)
{
    if (!(fabs(got - want) <= 1e-12 * fabs(want))) fail_msg("%s(%g, %g): %.17g, not %.17g", what, a, b, got, want);
}

static void normal_tail_is_tabled(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof normal / sizeof *normal; i++)
        close_to("normal", normal[i].z, 0, wmk_log10_normal_tail(normal[i].z), normal[i].log10_tail);
    assert_true(wmk_log10_normal_tail(-INFINITY) == 0);
    assert_true(wmk_log10_normal_tail(-50) == 0); /* 1 - 1e-545 */
    assert_true(wmk_log10_normal_tail(INFINITY) == -INFINITY);
    assert_true(isnan(wmk_log10_normal_tail(NAN)));
}

static void normal_tail_falls_everywhere(void **state)
{
    (void)state;
    double last = 1;
    for (double z = -36; z < 60; z += 0x1p-9) {
        double now = wmk_log10_normal_tail(z);
        assert_true(now < last);
        last = now;
    }
}

static void binomial_tail_is_tabled(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof binomial / sizeof *binomial; i++)
        close_to("binomial", binomial[i].n, binomial[i].k, wmk_log10_binomial_tail(binomial[i].n, binomial[i].k), binomial[i].log10_tail);
    assert_true(wmk_log10_binomial_tail(5, 6) == -INFINITY);
    assert_true(wmk_log10_binomial_tail(0, 0) == 0);
}

/* P(at least k) + P(at least n - k + 1) = 1, and each step down takes the probability of one count: Pascal's rule in another form,
 * P_n(k) = (P_{n-1}(k) + P_{n-1}(k-1)) / 2. */
static void binomial_tail_obeys_its_sums(void **state)
{
    (void)state;
    for (uint32_t n = 1; n <= 120; n++)
        for (uint32_t k = 1; k <= n; k++) {
            double here = pow(10, wmk_log10_binomial_tail(n, k)), mirror = pow(10, wmk_log10_binomial_tail(n, n - k + 1));
            assert_true(fabs(here + mirror - 1) < 1e-13);
            double above = pow(10, wmk_log10_binomial_tail(n - 1, k)), beside = pow(10, wmk_log10_binomial_tail(n - 1, k - 1));
            assert_true(fabs(here - (above + beside) / 2) <= 1e-12 * here);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normal_tail_is_tabled),
        cmocka_unit_test(normal_tail_falls_everywhere),
        cmocka_unit_test(binomial_tail_is_tabled),
        cmocka_unit_test(binomial_tail_obeys_its_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
