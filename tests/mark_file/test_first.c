/* Who was first: every condition of the rule by itself. */
#include "cmocka_wmk.h"
#include <weightmark/mark_file.h>

#define N WMK_NOT_FOUND
#define M WMK_INCONCLUSIVE
#define F WMK_FOUND

static void test_rule(void **state)
{
    (void)state;
    static const struct {
        wmk_claim claims[3]; /* dated, seconds, accuracy, original */
        size_t count;
        wmk_verdict verdicts[9];
        wmk_first_reason reason;
        size_t oldest;
    } cases[] = {
        /* The owner's original shows nothing; the thief's shows the owner's mark (attacks measured so: z 0.0 and 128.1). */
        {{{true, 1000, 0, true}, {true, 5000, 0, true}}, 2, {N, F, N, N}, WMK_FIRST_KNOWN, 0},
        {{{true, 5000, 0, true}, {true, 1000, 0, true}}, 2, {N, N, F, N}, WMK_FIRST_KNOWN, 1},
        {{{true, 1000, 0, true}, {true, 5000, 0, false}}, 2, {N, N, N, N}, WMK_FIRST_KNOWN, 0},
        {{{true, 1000, 0, true}, {false, 0, 0, true}}, 2, {N, F, N, N}, WMK_FIRST_KNOWN, 0},
        {{{false, 0, 0, true}, {false, 0, 0, true}}, 2, {N, F, N, N}, WMK_FIRST_NO_DATE, 2},
        /* Dates: cut to seconds, with the accuracies of both. */
        {{{true, 1000, 0, true}, {true, 1000, 0, true}}, 2, {N, F, N, N}, WMK_FIRST_SAME_DATE, 0},
        {{{true, 1000, 0, true}, {true, 1001, 0, true}}, 2, {N, F, N, N}, WMK_FIRST_SAME_DATE, 0},
        {{{true, 1000, 0, true}, {true, 1002, 0, true}}, 2, {N, F, N, N}, WMK_FIRST_KNOWN, 0},
        {{{true, 1000, 0, true}, {true, 1002, -1, true}}, 2, {N, F, N, N}, WMK_FIRST_SAME_DATE, 0},
        {{{true, 1000, -1, true}, {true, 1003, -1, true}}, 2, {N, F, N, N}, WMK_FIRST_SAME_DATE, 0},
        {{{true, 1000, -1, true}, {true, 1004, -1, true}}, 2, {N, F, N, N}, WMK_FIRST_KNOWN, 0},
        {{{true, 1000, 600000, true}, {true, 1002, 600000, true}}, 2, {N, F, N, N}, WMK_FIRST_SAME_DATE, 0},
        {{{true, 1000, 400000, true}, {true, 1002, 500000, true}}, 2, {N, F, N, N}, WMK_FIRST_KNOWN, 0},
        {{{true, 1000, 3600000000, true}, {true, 4600, 0, true}}, 2, {N, F, N, N}, WMK_FIRST_SAME_DATE, 0},
        {{{true, INT64_MIN, 0, true}, {true, INT64_MAX, 0, true}}, 2, {N, F, N, N}, WMK_FIRST_KNOWN, 0},
        /* The oldest key's original. */
        {{{true, 1000, 0, false}, {true, 5000, 0, true}}, 2, {N, F, N, N}, WMK_FIRST_NO_ORIGINAL, 0},
        {{{true, 1000, 0, true}, {true, 5000, 0, true}}, 2, {N, F, F, N}, WMK_FIRST_OTHER_MARK, 0},
        {{{true, 1000, 0, true}, {true, 5000, 0, true}}, 2, {N, F, M, N}, WMK_FIRST_OTHER_MARK, 0},
        {{{true, 1000, 0, true}, {true, 5000, 0, true}}, 2, {F, F, N, N}, WMK_FIRST_OWN_MARK, 0},
        {{{true, 1000, 0, true}, {true, 5000, 0, true}}, 2, {M, F, N, N}, WMK_FIRST_OWN_MARK, 0},
        /* Three. */
        {{{true, 9000, 0, true}, {true, 1000, 0, true}, {true, 5000, 0, false}}, 3, {N, N, N, F, N, F, F, N, N}, WMK_FIRST_KNOWN, 1},
        {{{true, 9000, 0, true}, {true, 1000, 0, true}, {true, 5000, 0, false}}, 3, {N, N, N, F, N, F, F, F, N}, WMK_FIRST_OTHER_MARK, 1},
        {{{true, 9000, 0, true}, {true, 1000, 0, true}, {true, 1000, 0, false}}, 3, {N, N, N, F, N, F, F, N, N}, WMK_FIRST_SAME_DATE, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t oldest;
        wmk_first_reason reason = wmk_claims_first(&oldest, cases[i].claims, cases[i].count, cases[i].verdicts);
        if (reason != cases[i].reason || oldest != cases[i].oldest) fail_msg("case %zu: %s, %zu", i, wmk_first_reason_name(reason), oldest);
    }
    assert_string_equal(wmk_first_reason_name(WMK_FIRST_OWN_MARK), "own-mark");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rule)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
