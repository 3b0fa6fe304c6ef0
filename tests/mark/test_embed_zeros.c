/* Weights that are 0 stay 0 unless zeros are asked to be filled: in every carrier, scheme, type and layout. What cannot be marked
 * so, and what holds numbers that are none, is refused. */
#include "embed_naive.h"

static const wmk_dtype types[] = {WMK_F64, WMK_F32, WMK_F16, WMK_BF16, WMK_Q8_0};
static const char *const layouts[][2] = {{"OIHW", "OI"}, {"HWIO", "IO"}, {"OHWI", "OI"}};
enum { T = 4 };

static void add_layers(naive_set *set)
{
    *set = (naive_set){0};
    naive_add(set, 1, 3, 3, 32, 32, "OIHW");
    naive_add(set, 1, 1, 1, 64, 32, "OI");
}

/* Fresh values; one in `percent` of a hundred is a zero of either sign. Columns that rows of direct and diff look at are none. */
static void thin(naive_set *set, const wmk_key *key, unsigned percent, uint64_t random)
{
    const bool mean = wmk_key_carrier(key) == WMK_CARRIER_MEAN, picked = wmk_key_scheme(key) < WMK_SCHEME_RANDOM;
    const uint64_t M = wmk_key_m(key);
    float *x = malloc(M * sizeof *x);
    for (size_t t = 0; t < set->count; t++)
        for (size_t k = 0; k < naive_size(&set->tensor[t]); k++) {
            double v = (0.5 + naive_uniform(&random)) * (naive_random(&random) % 2 ? 1 : -1);
            bool zero = naive_random(&random) % 100 < percent;
            set->tensor[t].value[k] = zero ? copysign(0, v) : ldexp(v, (int)(k % 3) - 3);
        }
    for (uint32_t j = 0; j < T && picked; j++) {
        assert_ok(wmk_key_x(key, j, 0, M, x));
        for (uint64_t c = 0, first = 0, t = 0; c < M; c++) {
            const size_t O = set->tensor[t].extent[4], n = naive_size(&set->tensor[t]) / (mean ? O : 1);
            double *value = &set->tensor[t].value[(c - first) * (mean ? O : 1)];
            if (x[c] != 0 && *value == 0) *value = 0.25;
            if (c + 1 == first + n) first += n, t++;
        }
    }
    free(x);
}

static void check_thin(naive_set *set, wmk_carrier carrier, wmk_scheme scheme, int type, int layout, unsigned percent)
{
    wmk_key *key = naive_key(set, scheme, carrier, T, false, (uint8_t)(percent + scheme));
    wmk_embed_options options = WMK_EMBED_OPTIONS_INIT;
    static const double margin[] = {0, 1, 1.1, 1.5, 3};
    options.margin = margin[scheme];
    thin(set, key, percent, percent);
    for (size_t t = 0; t < 2; t++) embed_store(set, t, layouts[layout][t], types[type]);
    embed_run r = embed_open(set, key, &options, percent == 50);
    size_t zeros = 0, all = 0, kept = 0;
    for (size_t t = 0; t < 2; t++)
        for (size_t k = 0; k < naive_size(&set->tensor[t]); k++) {
            all++;
            zeros += r.old[t][k] == 0;
            kept += r.new[t][k] == 0;
        }
    assert_true(100 * zeros > (percent - 2) * all);
    assert_true(kept >= zeros && (kept == zeros || types[type] == WMK_Q8_0));
    embed_close(&r);
    wmk_key_free(key);
}

static void zeros_stay_zeros(void **state)
{
    (void)state;
    static const unsigned percent[] = {10, 50, 90};
    naive_set set;
    add_layers(&set);
    int turn = 0;
    for (int c = WMK_CARRIER_MEAN; c <= WMK_CARRIER_BALANCED; c++)
        for (int s = 0; s < 4; s++)
            for (int p = 0; p < 3; p++)
                for (int type = 0; type < (s > 1                             ? 5
                                           : s == 0 && c == WMK_CARRIER_MEAN ? 2
                                                                             : 4);
                     type++, turn++) /* a row of one value hits no coarse grid */
                    if (s == 3 || (type + s + p) % 4 < 2) check_thin(&set, (wmk_carrier)c, schemes[s], type, turn % 3, percent[p]);
    naive_free(&set);
}

/* ---- rows without a weight that can change ---- */

/* Puts 0 for all weights of the columns that row `row` looks at. */
static void clear_row(naive_set *set, const wmk_key *key, uint32_t row)
{
    const bool mean = wmk_key_carrier(key) == WMK_CARRIER_MEAN;
    const uint64_t M = wmk_key_m(key);
    float *x = malloc(M * sizeof *x);
    assert_ok(wmk_key_x(key, row, 0, M, x));
    for (uint64_t c = 0, first = 0, t = 0; c < M; c++) {
        const size_t O = set->tensor[t].extent[4], each = mean ? O : 1;
        for (size_t o = 0; o < each && x[c] != 0; o++) set->tensor[t].value[(c - first) * each + o] = 0;
        if (c + 1 == first + naive_size(&set->tensor[t]) / each) first = c + 1, t++;
    }
    free(x);
}

static void rows_of_zeros(void **state)
{
    (void)state;
    naive_set set;
    add_layers(&set);
    for (int c = WMK_CARRIER_MEAN; c <= WMK_CARRIER_BALANCED; c++)
        for (int s = 0; s < 4; s++)
            for (int filled = 0; filled < 2; filled++) {
                const int l = (s + filled) % 3;
                wmk_key *key = naive_key(&set, schemes[s], (wmk_carrier)c, T, false, 9);
                thin(&set, key, 10, 3);
                clear_row(&set, key, 2); /* of scheme random: all rows */
                for (size_t t = 0; t < 2; t++) embed_store(&set, t, layouts[l][t], types[1 + (c + s) % 3]);
                embed_run r = {.set = &set, .key = key, .options = WMK_EMBED_OPTIONS_INIT};
                r.options.margin = 1;
                r.options.fill_zeros = filled;
                assert_fails(embed_try(&r), WMK_ERROR_NUMERIC, s == 2 ? "are zeros" : "all weights of bit 2 are zeros");
                for (size_t t = 0; t < 2; t++) assert_memory_equal(r.out[t], r.before[t], embed_bytes(&set.tensor[t]));
                embed_close(&r);
                wmk_key_free(key);
            }
    naive_free(&set);
}

/* ---- zeros that are filled ---- */

/* Which weights cannot change: those of a filter of zeros and, for balanced, of an input channel of zeros. */
static bool is_fixed(const naive_set *set, wmk_carrier carrier, size_t t, size_t k)
{
    const size_t O = set->tensor[t].extent[4], I = set->tensor[t].extent[3];
    return carrier != WMK_CARRIER_MEAN && (k % O == 3 || (carrier == WMK_CARRIER_BALANCED && k / O % I == 5));
}

static void zeros_are_filled(void **state)
{
    (void)state;
    naive_set set;
    add_layers(&set);
    for (int c = WMK_CARRIER_MEAN; c <= WMK_CARRIER_BALANCED; c++)
        for (int l = 0; l < 3; l++)
            for (int s = 2; s < 4; s++) {
                wmk_key *key = naive_key(&set, schemes[s], (wmk_carrier)c, T, false, 6);
                thin(&set, key, 50, 4);
                for (size_t t = 0; t < 2; t++) {
                    const size_t O = set.tensor[t].extent[4], I = set.tensor[t].extent[3];
                    for (size_t k = 0; k < naive_size(&set.tensor[t]); k++)
                        if (k % O == 3 || k / O % I == 5) set.tensor[t].value[k] = 0;
                    embed_store(&set, t, layouts[l][t], types[l % 2]);
                }
                wmk_embed_options options = WMK_EMBED_OPTIONS_INIT;
                options.margin = 4;
                options.fill_zeros = true;
                options.unbalanced = l == 1;
                embed_run r = embed_open(&set, key, &options, false);
                for (size_t t = 0; t < 2; t++)
                    for (size_t k = 0; k < naive_size(&set.tensor[t]); k++) assert_int_equal(r.new[t][k] == 0, is_fixed(&set, (wmk_carrier)c, t, k));
                embed_close(&r);
                wmk_key_free(key);
            }
    naive_free(&set);
}

/* ---- what is no number ---- */

static void check_refused(naive_set *set, wmk_scheme scheme, wmk_carrier carrier, size_t t, size_t element, double value, bool in_place)
{
    char words[80];
    wmk_key *key = naive_key(set, scheme, carrier, T, false, 2);
    double was;
    void *bytes = (void *)(uintptr_t)set->view[t].data;
    wmk_tensor_read(&set->view[t], element, 1, &was);
    wmk_tensor_write(&set->view[t], bytes, element, 1, &value);
    snprintf(words, sizeof words, "tensor layer%zu: element %zu is %s", t, element,
             isnan(value)   ? "not a number"
             : isinf(value) ? "infinite"
                            : "1e+200: too large to square");
    embed_run r = {.set = set, .key = key, .options = WMK_EMBED_OPTIONS_INIT, .in_place = in_place};
    r.options.margin = 0.5;
    assert_fails(embed_try(&r), WMK_ERROR_INPUT, words);
    for (size_t k = 0; k < 2; k++) assert_memory_equal(r.out[k], r.before[k], embed_bytes(&set->tensor[k]));
    embed_close(&r);
    wmk_tensor_write(&set->view[t], bytes, element, 1, &was);
    wmk_key_free(key);
}

/* The first of them is named; nothing is written. */
static void numbers_that_are_none(void **state)
{
    (void)state;
    static const double values[] = {NAN, INFINITY, -INFINITY, 1e200};
    naive_set set;
    add_layers(&set);
    uint64_t random = 12;
    for (int type = 0; type < 4; type++) {
        for (size_t t = 0; t < 2; t++) {
            for (size_t k = 0; k < naive_size(&set.tensor[t]); k++) set.tensor[t].value[k] = 0.5 + naive_uniform(&random);
            embed_store(&set, t, layouts[type % 3][t], types[type]);
        }
        for (int c = WMK_CARRIER_MEAN; c <= WMK_CARRIER_BALANCED; c++)
            for (int s = 0; s < 4; s++)
                for (size_t v = 0; v < (type == 0 ? 4 : 3); v++) { /* only binary64 holds 1e200 */
                    size_t t = (size_t)(c + s) % 2, element = naive_random(&random) % naive_size(&set.tensor[t]);
                    check_refused(&set, schemes[s], (wmk_carrier)c, t, element, values[v], s % 2);
                }
    }
    naive_free(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zeros_stay_zeros),
        cmocka_unit_test(rows_of_zeros),
        cmocka_unit_test(zeros_are_filled),
        cmocka_unit_test(numbers_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
