/* Embedding with carrier balanced: margins as stored in every type, layout and scheme, factors far apart, the change that the
 * specification says. */
#include "embed_naive.h"

/* Filters and input channels of different size, no zeros: |value| is from 1/2 to 3/2 times both sizes. spread: octaves. */
static void fill_scaled(naive_tensor *t, uint64_t seed, int spread)
{
    const size_t O = t->extent[4], I = t->extent[3];
    for (size_t k = 0; k < naive_size(t); k++) {
        int size = (int)(k % O % 3) + (int)(k / O % I * 5 % (size_t)(spread + 1)) - spread / 2;
        double v = (0.5 + naive_uniform(&seed)) * (naive_random(&seed) % 2 ? 1 : -1);
        t->value[k] = ldexp(v, size - 2);
    }
}

/* Rows of one weight have the margin 1, those of two at most 1.41; on a coarse grid that is hard to hit. */
static double margin_for(wmk_scheme scheme, wmk_dtype dtype)
{
    static const double margin[] = {0, 1, 1.1, 1.5, 3};
    return scheme == WMK_SCHEME_DIFF && dtype == WMK_Q8_0 ? 0.7 : margin[scheme];
}

/* A convolution and a linear layer, of sizes that blocks of 32 fall into in either layout. */
static void add_layers(naive_set *set, const char *conv, const char *linear, wmk_dtype dtype, int spread)
{
    *set = (naive_set){0};
    naive_add(set, 1, 3, 3, 32, 32, "OIHW");
    naive_add(set, 1, 1, 1, 64, 96, "OI");
    for (size_t t = 0; t < 2; t++) {
        fill_scaled(&set->tensor[t], 7 + t, spread);
        embed_store(set, t, t ? linear : conv, dtype);
    }
}

static void every_type_and_layout(void **state)
{
    (void)state;
    static const wmk_dtype types[] = {WMK_F64, WMK_F32, WMK_F16, WMK_BF16, WMK_Q8_0};
    static const char *const layouts[][2] = {{"OIHW", "OI"}, {"HWIO", "IO"}, {"OHWI", "IO"}};
    for (int k = 0; k < 5; k++)
        for (int l = 0; l < 3; l++) {
            naive_set set;
            add_layers(&set, layouts[l][0], layouts[l][1], types[k], types[k] == WMK_Q8_0 ? 2 : 6);
            for (int s = 0; s < 4; s++)
                if (s >= 2 || l == k % 3)
                    embed_and_check(&set, schemes[s], WMK_CARRIER_BALANCED, 8, (k + l + s) % 2, margin_for(schemes[s], types[k]));
            naive_free(&set);
        }
}

/* Channels and filters of which the factors are at an end of what their type, or single precision, holds. */
static void factors_far_apart(void **state)
{
    (void)state;
    static const struct {
        wmk_dtype dtype;
        int channel, filter; /* exponents of one channel and one filter */
    } cases[] = {{WMK_BF16, -131, 0}, {WMK_BF16, -126, 0}, {WMK_BF16, 100, -60}, {WMK_BF16, 0, -126}, {WMK_BF16, -60, -60},
                 {WMK_F32, -145, 0},  {WMK_F32, 90, 0},    {WMK_F64, -500, 300}, {WMK_F64, 400, 0}};
    static const char *const layouts[][2] = {{"OIHW", "OI"}, {"HWIO", "IO"}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (int l = 0; l < 2; l++) {
            naive_set set;
            add_layers(&set, layouts[l][0], layouts[l][1], WMK_F64, 2);
            for (size_t t = 0; t < 2; t++) {
                naive_tensor *tensor = &set.tensor[t];
                const size_t O = tensor->extent[4], I = tensor->extent[3];
                for (size_t e = 0; e < naive_size(tensor); e++)
                    tensor->value[e] = ldexp(tensor->value[e], (e / O % I == 3 ? cases[k].channel : 0) + (e % O == 5 ? cases[k].filter : 0));
                embed_store(&set, t, layouts[l][t], cases[k].dtype);
            }
            embed_and_check(&set, WMK_SCHEME_PARTITION, WMK_CARRIER_BALANCED, 8, false, 3);
            naive_free(&set);
        }
}

/* Filters of more than 2^22 weights are read as carrier weights; so they are marked. */
static void filters_too_long(void **state)
{
    (void)state;
    enum { LONG = (1 << 22) + 64 };
    naive_set set = {0};
    naive_add(&set, 1, 1, 1, LONG, 1, "OI");
    naive_add(&set, 1, 1, 1, 50, 40, "OI");
    for (size_t t = 0; t < 2; t++) {
        fill_scaled(&set.tensor[t], t, 2);
        embed_store(&set, t, "OI", WMK_F16);
    }
    embed_and_check(&set, WMK_SCHEME_PARTITION, WMK_CARRIER_BALANCED, 2, true, 8);
    naive_free(&set);
}

/* ---- the change ---- */

/* Solves a x = b, n <= 16, by elimination with pivots. */
static void solve(double a[16][16], double *b, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        size_t pivot = k;
        for (size_t i = k; i < n; i++)
            if (fabs(a[i][k]) > fabs(a[pivot][k])) pivot = i;
        for (size_t i = 0; i < n; i++) {
            double swap = a[k][i];
            a[k][i] = a[pivot][i];
            a[pivot][i] = swap;
        }
        double swap = b[k];
        b[k] = b[pivot];
        b[pivot] = swap;
        for (size_t i = k + 1; i < n; i++) {
            double by = a[i][k] / a[k][k];
            for (size_t c = k; c < n; c++) a[i][c] -= by * a[k][c];
            b[i] -= by * b[k];
        }
    }
    for (size_t k = n; k-- > 0;) {
        for (size_t c = k + 1; c < n; c++) b[k] -= a[k][c] * b[c];
        b[k] /= a[k][k];
    }
}

/* Single weights as columns: w and its change in the same units, the row and sign of each, and its group for kept sums. */
typedef struct columns {
    size_t count, groups;
    double *w, *change;
    uint16_t *row;
    int8_t *sign;
    uint32_t *group;
} columns;

static columns columns_of(const embed_run *r)
{
    const uint64_t M = wmk_key_m(r->key);
    columns c = {.count = M,
                 .w = calloc(M, sizeof *c.w),
                 .change = calloc(M, sizeof *c.change),
                 .row = calloc(M, sizeof *c.row),
                 .sign = calloc(M, 1),
                 .group = calloc(M, sizeof *c.group)};
    double *divisor = calloc(M, sizeof *divisor), *w = naive_w(r->set, wmk_key_carrier(r->key), M, divisor);
    assert_ok(wmk_key_partition(r->key, 0, M, c.row, c.sign));
    size_t column = 0;
    for (size_t t = 0; t < r->set->count; t++) {
        const uint64_t *extent = r->set->tensor[t].extent;
        const size_t O = extent[4], I = extent[3];
        const bool window = extent[0] * extent[1] * extent[2] > 1;
        for (size_t k = 0; k < naive_size(&r->set->tensor[t]); k++, column++) {
            c.w[column] = w[column];
            if (divisor[column] > 0) c.change[column] = (r->new[t][k] - r->old[t][k]) / divisor[column];
            c.group[column] = (uint32_t)(c.groups + (window ? k / O % I * O + k % O : k % O));
        }
        c.groups += window ? O * I : O;
    }
    free(divisor);
    free(w);
    return c;
}

static void columns_free(columns *c)
{
    free(c->w);
    free(c->change);
    free(c->row);
    free(c->sign);
    free(c->group);
}

/* v of docs/spec.md is (A_j - 1) w + B_j X_j for each row, with two numbers that the test does not know. What is applied is
 * n / (n - 1) (v - mean of v over its group): linear in them. The best two numbers of each row leave nothing unexplained.
 * basis [2 T][M] of what 1 in each of them applies. zeros: weights that are 0 change too. */
static double unexplained(const columns *c, uint32_t T, bool sums, bool zeros)
{
    double a[16][16] = {{0}}, b[16] = {0}, rest = 0, all = 0;
    double *basis = calloc(c->count * 2 * T, sizeof *basis), *mean = calloc(c->groups, sizeof *mean), *n = calloc(c->groups, sizeof *n);
    for (size_t i = 0; i < c->count; i++) n[c->group[i]] += c->w[i] != 0 || zeros;
    for (uint32_t u = 0; u < 2 * T; u++) {
        double *v = basis + u * c->count;
        memset(mean, 0, c->groups * sizeof *mean);
        for (size_t i = 0; i < c->count; i++) {
            if (c->row[i] == u / 2 && (c->w[i] != 0 || zeros)) v[i] = u % 2 ? c->sign[i] : c->w[i];
            mean[c->group[i]] += v[i];
        }
        for (size_t i = 0; i < c->count && sums; i++) {
            double count = n[c->group[i]];
            if (count > 1 && (c->w[i] != 0 || zeros)) v[i] = (count * v[i] - mean[c->group[i]]) / (count - 1);
        }
    }
    for (uint32_t u = 0; u < 2 * T; u++) {
        for (uint32_t k = 0; k < 2 * T; k++)
            for (size_t i = 0; i < c->count; i++) a[u][k] += basis[u * c->count + i] * basis[k * c->count + i];
        for (size_t i = 0; i < c->count; i++) b[u] += basis[u * c->count + i] * c->change[i];
    }
    solve(a, b, 2 * T);
    for (size_t i = 0; i < c->count; i++) {
        double left = c->change[i];
        for (uint32_t u = 0; u < 2 * T; u++) left -= b[u] * basis[u * c->count + i];
        rest += left * left;
        all += c->change[i] * c->change[i];
    }
    free(basis);
    free(mean);
    free(n);
    return sqrt(rest / all);
}

/* Weights' sums in each group that has kept them, over the change of the group: nothing, but where only one weight can change. */
static void check_sums(const columns *c)
{
    double *sum = calloc(c->groups, sizeof *sum), *size = calloc(c->groups, sizeof *size), *n = calloc(c->groups, sizeof *n);
    for (size_t i = 0; i < c->count; i++) {
        sum[c->group[i]] += c->change[i];
        size[c->group[i]] += fabs(c->change[i]);
        n[c->group[i]] += c->w[i] != 0;
    }
    for (size_t g = 0; g < c->groups; g++)
        if (n[g] > 1 && !(fabs(sum[g]) <= 1e-5 * size[g])) fail_msg("group %zu of %g: sum %g of %g", g, n[g], sum[g], size[g]);
    free(sum);
    free(size);
    free(n);
}

/* w' is the nearest point of its row's cone: what it moved by stands square on it. Rows that had their margin did not move. */
static void check_nearest(const columns *c, uint32_t T, double margin, const double *signs)
{
    for (uint32_t j = 0; j < T; j++) {
        double along = 0, moved = 0, length = 0, before = 0, dot = 0;
        for (size_t i = 0; i < c->count; i++) {
            if (c->row[i] != j) continue;
            double after = c->w[i] + c->change[i];
            along += after * c->change[i];
            moved += c->change[i] * c->change[i];
            length += after * after;
            before += c->w[i] * c->w[i];
            dot += signs[j] * c->sign[i] * c->w[i];
        }
        bool had = dot / sqrt(before) >= 1.1 * margin;
        if (had) assert_true(moved == 0);
        if (moved > 0 && fabs(along) > 1e-5 * sqrt(moved * length))
            fail_msg("row %u: it moved by %g, by %g along itself", j, sqrt(moved), along / sqrt(length));
    }
}

/* zeros: percent of the weights. */
static void check_specified(const char *conv, const char *linear, wmk_carrier carrier, bool sums, unsigned zeros, bool filled)
{
    const uint32_t T = 4;
    naive_set set;
    wmk_embed_options options = WMK_EMBED_OPTIONS_INIT;
    uint64_t random = zeros;
    add_layers(&set, conv, linear, WMK_F64, 4);
    for (size_t t = 0; t < 2; t++) {
        for (size_t k = 0; k < naive_size(&set.tensor[t]) && zeros > 0; k++)
            if (naive_random(&random) % 100 < zeros) set.tensor[t].value[k] = 0;
        embed_store(&set, t, t ? linear : conv, WMK_F64);
    }
    wmk_key *key = naive_key(&set, WMK_SCHEME_PARTITION, carrier, T, false, 30);
    options.margin = sums ? 4 : 1;
    options.unbalanced = !sums;
    options.fill_zeros = filled;
    embed_run r = embed_open(&set, key, &options, false);
    columns c = columns_of(&r);
    double *signs = naive_signs(key), left = unexplained(&c, T, sums, filled);
    if (left > 2e-6) fail_msg("%s, %u %% zeros: %g of the change is not what is specified", embed_words(&r), zeros, left);
    if (sums && !filled) check_sums(&c);
    if (!sums) check_nearest(&c, T, options.margin, signs);
    free(signs);
    columns_free(&c);
    embed_close(&r);
    wmk_key_free(key);
    naive_free(&set);
}

static void the_change_is_the_specified_one(void **state)
{
    (void)state;
    static const char *const layouts[][2] = {{"OIHW", "OI"}, {"OHWI", "OI"}};
    static const unsigned zeros[] = {0, 5, 50, 90};
    for (int c = WMK_CARRIER_WEIGHTS; c <= WMK_CARRIER_BALANCED; c++)
        for (int l = 0; l < 2; l++)
            for (int k = 0; k < 4; k++)
                for (int sums = 0; sums < 2; sums++)
                    for (int filled = 0; filled <= (k == 2); filled++)
                        check_specified(layouts[l][0], layouts[l][1], (wmk_carrier)c, sums, zeros[k], filled);
}
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_and_layout),
        cmocka_unit_test(factors_far_apart),
        cmocka_unit_test(filters_too_long),
        cmocka_unit_test(the_change_is_the_specified_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
