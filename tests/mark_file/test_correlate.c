/* The agreement by which tensors are chosen, against its definition, and against z of a reading. */
#include "parts.h"

#include "mark_file/correlate.h"
#include "mark_file/groups.h"

enum { TARGETS = 5, VIEWS = 4, O = 6, I = 70 };

/* w of a matrix OI alone, [column]. */
static void carrier(double *w, const float *values, wmk_carrier kind)
{
    for (size_t i = 0; i < I; i++)
        for (size_t o = 0; o < O; o++) {
            double rms = 0;
            for (size_t k = 0; k < I; k++) rms += (double)values[o * I + k] * values[o * I + k];
            rms = sqrt(rms / I);
            if (kind == WMK_CARRIER_MEAN)
                w[i] = (o ? w[i] : 0) + (double)values[o * I + i] / O;
            else
                w[i * O + o] = values[o * I + i] / rms;
        }
}

static double defined(const wmk_key *key, size_t t, const float *values)
{
    size_t columns = I * (wmk_key_carrier(key) == WMK_CARRIER_MEAN ? 1 : O);
    double w[I * O], a[I * O] = {0}, product = 0, a_squares = 0, w_squares = 0;
    float x[I * O];
    uint8_t b[64];
    carrier(w, values, wmk_key_carrier(key));
    wmk_key_bits(key, b);
    for (uint32_t j = 0; j < wmk_key_bit_count(key); j++) {
        assert_ok(wmk_key_x(key, j, t * columns, columns, x));
        for (size_t i = 0; i < columns; i++) a[i] += b[j] ? x[i] : -x[i];
    }
    for (size_t i = 0; i < columns; i++) product += a[i] * w[i], a_squares += a[i] * a[i], w_squares += w[i] * w[i];
    return a_squares > 0 ? product / sqrt(w_squares) / sqrt(a_squares / (double)columns) : 0;
}

static const part parts[TARGETS] = {
    {"0", "OI", 2, {O, I}}, {"1", "OI", 2, {O, I}}, {"2", "OI", 2, {O, I}}, {"3", "OI", 2, {O, I}}, {"4", "OI", 2, {O, I}}};

static void make_views(wmk_tensor_view *views, const float *values)
{
    for (size_t v = 0; v < VIEWS; v++)
        views[v] = (wmk_tensor_view){.name = "v", .dtype = WMK_F32, .rank = 2, .shape = {O, I}, .layout = "OI", .data = values + v * O * I};
}

static void test_definition(void **state)
{
    (void)state;
    static const size_t targets[] = {0, 2, 4};
    float *values = parts_values(parts, VIEWS, 3);
    wmk_tensor_view views[VIEWS];
    make_views(views, values);
    memset(values + 3 * O * I, 0, O * I * sizeof *values); /* all zeros agree with nothing */
    for (int s = WMK_SCHEME_DIRECT; s <= WMK_SCHEME_PARTITION; s++)
        for (int c = WMK_CARRIER_MEAN; c <= WMK_CARRIER_WEIGHTS; c++) {
            double agreement[3 * VIEWS];
            bool readable[VIEWS];
            wmk_key *key = parts_key(parts, TARGETS, (wmk_scheme)s, (wmk_carrier)c, 40, 9);
            wmk_correlation *correlation;
            assert_ok(wmk_correlation_begin(&correlation, key));
            assert_ok(wmk_correlate(correlation, targets, 3, views, VIEWS, agreement, readable));
            for (size_t t = 0; t < 3; t++)
                for (size_t v = 0; v < VIEWS; v++) {
                    double want = v == 3 ? 0 : defined(key, targets[t], views[v].data);
                    if (fabs(agreement[t * VIEWS + v] - want) > 1e-5) fail_msg("%d/%d: %.8f, not %.8f", s, c, agreement[t * VIEWS + v], want);
                    assert_true(readable[v]);
                }
            wmk_correlation_end(correlation);
            wmk_key_free(key);
        }
    free(values);
}

/* Scheme random over single weights: what a reading of that target alone gives. */
static void check_z(wmk_carrier carrier_kind)
{
    float *values = parts_values(parts, VIEWS, 4);
    wmk_tensor_view views[VIEWS], alone[TARGETS] = {{0}};
    make_views(views, values);
    wmk_key *key = parts_key(parts, TARGETS, WMK_SCHEME_RANDOM, carrier_kind, 40, 7);
    wmk_correlation *correlation;
    assert_ok(wmk_correlation_begin(&correlation, key));
    for (size_t t = 0; t < TARGETS; t++) {
        double agreement[VIEWS], rms = 0;
        bool readable[VIEWS];
        float x[O * I];
        uint8_t b[64];
        double a[O * I] = {0};
        wmk_key_bits(key, b);
        for (uint32_t j = 0; j < 40; j++) {
            assert_ok(wmk_key_x(key, j, t * O * I, O * I, x));
            for (size_t i = 0; i < O * I; i++) a[i] += b[j] ? x[i] : -x[i];
        }
        for (size_t i = 0; i < O * I; i++) rms += a[i] * a[i] / (O * I);
        assert_ok(wmk_correlate(correlation, &t, 1, views, VIEWS, agreement, readable));
        for (size_t v = 0; v < VIEWS; v++) {
            wmk_reading *reading;
            wmk_evidence evidence;
            alone[t] = views[v];
            assert_ok(wmk_mark_read(&reading, key, alone));
            assert_ok(wmk_evidence_judge(&evidence, key, reading, 1, 64));
            assert_true(fabs(evidence.z - agreement[v] * sqrt(rms / 40)) < 1e-5); /* a has the key's own length, not the expected one */
            wmk_reading_free(reading);
        }
        alone[t].data = NULL;
    }
    wmk_correlation_end(correlation);
    wmk_key_free(key);
    free(values);
}

static void test_is_z(void **state)
{
    (void)state;
    check_z(WMK_CARRIER_WEIGHTS);
    check_z(WMK_CARRIER_BALANCED);
}

static void test_groups(void **state)
{
    (void)state;
    static const part mixed[] = {{"a", "OI", 2, {4, 6}},        {"b", "OIHW", 4, {4, 6, 3, 3}},    {"c", "IO", 2, {4, 6}},
                                 {"d", "OI", 2, {4, 6}},        {"blk.0.attn_q", "OI", 2, {4, 6}}, {"blk.1.attn_q", "OI", 2, {4, 6}},
                                 {"e", "OIHW", 4, {4, 6, 3, 3}}};
    static const char *const expected[] = {"c", "a d", "blk.0.attn_q blk.1.attn_q", "b e"};
    wmk_key *key = parts_key(mixed, 7, WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 8, 1);
    wmk_groups groups;
    assert_ok(wmk_groups_make(&groups, key));
    assert_int_equal(groups.count, 4);
    for (size_t g = 0; g < 4; g++) {
        char names[128] = "";
        for (size_t i = groups.begin[g]; i < groups.begin[g + 1]; i++) {
            if (*names) strcat(names, " ");
            strcat(names, wmk_key_target(key, groups.target[i])->name);
        }
        assert_string_equal(names, expected[g]);
    }
    wmk_groups_free(&groups);
    wmk_key_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_definition), cmocka_unit_test(test_is_z), cmocka_unit_test(test_groups)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
