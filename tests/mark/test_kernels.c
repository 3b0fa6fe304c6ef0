/* The inner loops of scheme partition, of embedding and of carrier balanced against plain loops, bit for bit, at every
 * length around the widths of the vector forms; as this processor runs them, and as one without AVX2 does. */
#include "cmocka_wmk.h"

#include <math.h>
#include <stdlib.h>

#include "base/convert.h"
#include "kernels.h"
#include "mark/carrier.h"

enum { LENGTH = 200, T = 7, DEALS = 2 * T };

static const kernels library = KERNELS("as on this processor", wmk_);
static const kernels *const forms[] = {&library, &kernels_plain};

#define assert_bits(k, n, got, want, size)                                                                                                           \
    do {                                                                                                                                             \
        if (memcmp((got), (want), (size)) != 0) fail_msg("%s, length %zu: %s is not %s", (k)->name, (size_t)(n), #got, #want);                       \
    } while (0)

static uint64_t random_state = 1;

static uint64_t next(void) /* splitmix64 */
{
    uint64_t z = (random_state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double uniform(void) { return (double)(int64_t)next() * 0x1p-63; }

/* Zeros of both signs among the weights, and factors that are 0. */
typedef struct run {
    double w[LENGTH], inverse[LENGTH];
    uint16_t deal[LENGTH];
} run;

static void fill(run *r)
{
    for (size_t i = 0; i < LENGTH; i++) {
        r->w[i] = next() % 5 == 0 ? (next() % 2 ? 0. : -0.) : uniform();
        r->inverse[i] = next() % 5 == 0 ? 0 : 1 + uniform();
        r->deal[i] = (uint16_t)(2 * (next() % DEALS));
    }
}

/* The sum of terms in the order that carrier_kernel.h promises: sixteen lanes, and in *rest what is behind them. */
static double sum_in_lanes(const double *term, size_t count, double *rest)
{
    double lane[16] = {0}, four[4];
    size_t whole = count / 16 * 16;
    for (size_t i = 0; i < whole; i++) lane[i % 16] += term[i];
    for (size_t k = 0; k < 4; k++) four[k] = (lane[k] + lane[4 + k]) + (lane[8 + k] + lane[12 + k]);
    *rest = 0;
    for (size_t i = whole; i < count; i++) *rest += term[i];
    return (four[0] + four[1]) + (four[2] + four[3]);
}

static double sum_of(const double *term, size_t count)
{
    double rest, sum = sum_in_lanes(term, count, &rest);
    return sum + rest;
}

/* ---- scheme partition ---- */

static void check_rows(const kernels *k, const run *r, size_t n, wmk_factor factor, bool zeros)
{
    double sum[DEALS][2] = {{0}}, want[DEALS][2] = {{0}};
    static _Alignas(32) double count[DEALS][4], want_count[DEALS][4];
    memset(count, 0, sizeof count);
    memset(want_count, 0, sizeof want_count);
    k->deal_row(sum, r->w, factor, r->deal, n);
    k->deal_count(count, r->w, factor, zeros, r->deal, n);
    for (size_t i = 0; i < n; i++) {
        double by = r->inverse[factor.one ? 0 : i], v = r->w[i] * by;
        want[r->deal[i] / 2][0] += v;
        want[r->deal[i] / 2][1] += v * v;
        want_count[r->deal[i] / 2][2] += zeros ? by != 0 : v != 0;
    }
    for (size_t d = 0; d < DEALS; d++) memcpy(want_count[d], want[d], sizeof want[d]);
    assert_bits(k, n, sum, want, sizeof sum);
    assert_bits(k, n, count, want_count, sizeof count);
}

static void rows(void **state)
{
    (void)state;
    static run r;
    for (size_t f = 0; f < 2; f++)
        for (size_t n = 0; n <= LENGTH; n++)
            for (int kind = 0; kind < 8; kind++) {
                fill(&r);
                if (n % 3 == 0) r.inverse[0] = 0; /* a filter of zeros */
                check_rows(forms[f], &r, n, (wmk_factor){r.inverse, kind % 4 == 1, kind % 4 == 2}, kind >= 4);
            }
}

/* Which factors a strip has: its own from its first weight on, or those that all strips share. */
static void factors_of_strips(void **state)
{
    (void)state;
    static const double value[12];
    wmk_factor shared = wmk_factor_from((wmk_factor){value, false, false}, 4);
    assert_true(shared.value == value && !shared.one && !shared.each);
    wmk_factor one = wmk_factor_from((wmk_factor){value, true, false}, 4);
    assert_true(one.value == value && one.one && !one.each);
    wmk_factor own = wmk_factor_from((wmk_factor){value, false, true}, 4);
    assert_true(own.value == value + 4 && !own.one && own.each);
}

static void check_change(const kernels *k, const float *v, float (*edit)[2], const uint16_t *deal, size_t n, bool zeros)
{
    float change[LENGTH + 1], want[LENGTH], lane[8] = {0};
    double sum = 0;
    size_t fixed = 0;
    change[n] = 99;
    wmk_change all = k->deal_change(change, v, 1.25f, zeros, (const float(*)[2])edit, deal, n);
    for (size_t i = 0; i < n; i++) {
        const float *e = edit[deal[i] / 2];
        float scaled = e[0] * v[i], wanted = scaled + e[1];
        bool fix = !zeros && v[i] == 0;
        want[i] = fix ? 0 : wanted * 1.25f;
        lane[i % 8] += want[i];
        fixed += fix;
    }
    for (size_t i = 0; i < 8; i++) sum += (double)lane[i];
    assert_bits(k, n, change, want, n * sizeof *want);
    assert_true(change[n] == 99);
    assert_bits(k, n, &all.sum, &sum, sizeof sum);
    assert_int_equal(all.fixed, fixed);
}

/* A weight that is 0 and stays 0 changes by +0 even where its row changes by more than a float holds. */
static void changes(void **state)
{
    (void)state;
    static run r;
    float v[LENGTH], edit[DEALS][2];
    for (size_t f = 0; f < 2; f++)
        for (size_t n = 0; n <= LENGTH; n++)
            for (int zeros = 0; zeros < 2; zeros++) {
                fill(&r);
                for (size_t d = 0; d < 2 * DEALS; d++) edit[d / 2][d % 2] = (float)uniform();
                if (!zeros) edit[3][1] = INFINITY;
                for (size_t i = 0; i < LENGTH; i++) v[i] = !zeros && r.deal[i] == 6 ? 0 : (float)r.w[i];
                check_change(forms[f], v, edit, r.deal, n, zeros);
            }
}

static void turned(void **state)
{
    (void)state;
    enum { ROWS = 35, COLUMNS = 41, STRIDE = 64 };
    static uint16_t from[ROWS][COLUMNS], to[COLUMNS * STRIDE];
    const uint16_t *row[ROWS];
    for (size_t i = 0; i < ROWS; i++) {
        row[i] = from[i];
        for (size_t k = 0; k < COLUMNS; k++) from[i][k] = (uint16_t)next();
    }
    for (size_t m = 0; m <= ROWS; m++)
        for (size_t n = 0; n <= COLUMNS; n++) {
            memset(to, 0xee, sizeof to);
            forms[(m + n) % 2]->deal_turn(to, STRIDE, row, m, n);
            for (size_t c = 0; c < COLUMNS; c++)
                for (size_t r = 0; r < STRIDE; r++) assert_int_equal(to[c * STRIDE + r], r < m && c < n ? from[r][c] : 0xeeee);
        }
}

/* ---- counts of exponents ---- */

enum { NONE = 0x4000 }; /* in place of the exponent of 0 (carrier_balance.c) */

static int16_t exponent(void)
{
    switch (next() % 8) {
    case 0:
        return NONE;
    case 1:
        return (int16_t)(next() % 2047) - 1022;
    default:
        return (int16_t)(next() % 16) - 12;
    }
}

static void check_lanes(const kernels *k, const int16_t *e, size_t stride, const int16_t *a, size_t rows)
{
    int16_t most[WMK_LANES], below[WMK_LANES];
    for (size_t i = 0; i < WMK_LANES; i++) most[i] = i == 0 ? 0x2000 : i == 1 ? -0x2000 : (int16_t)(next() % 32) - 16;
    k->count_lanes(e, stride, a, rows, most, below);
    for (size_t i = 0; i < WMK_LANES; i++) {
        int want = 0;
        for (size_t r = 0; r < rows; r++) want += e[r * stride + i] - a[r] <= most[i];
        if (below[i] != want) fail_msg("%s, %zu rows, lane %zu: %d, not %d", k->name, rows, i, below[i], want);
    }
}

static void counts_by_lane(void **state)
{
    (void)state;
    enum { ROWS = 100, MOST = 32767, STRIDE = 2 * WMK_LANES };
    static int16_t e[MOST * STRIDE], a[MOST];
    for (size_t i = 0; i < MOST * STRIDE; i++) e[i] = exponent();
    for (size_t i = 0; i < MOST; i++) a[i] = (int16_t)(next() % 2047) - 1022;
    for (size_t i = 0; i < ROWS; i++) a[i] = (int16_t)(next() % 16) - 8;
    for (size_t f = 0; f < 2; f++) {
        for (size_t rows = 0; rows <= ROWS; rows++) check_lanes(forms[f], e + rows % WMK_LANES, STRIDE, a, rows);
        check_lanes(forms[f], e, STRIDE, a, MOST);
    }
    memset(e, 0, sizeof e); /* all of them are at or below: as many as a lane holds */
    memset(a, 0, sizeof a);
    for (size_t f = 0; f < 2; f++) check_lanes(forms[f], e, WMK_LANES, a, MOST);
}

static void counts_by_row(void **state)
{
    (void)state;
    enum { MOST = 1 << 15 };
    static int16_t e[MOST], b[MOST];
    for (size_t i = 0; i < MOST; i++) {
        e[i] = exponent();
        b[i] = (int16_t)(next() % 2047) - 1022;
    }
    for (size_t n = 0; n <= MOST; n = n < 512 ? n + WMK_LANES : 8 * n)
        for (int most = -20; most <= 20; most++) {
            int16_t bound = (int16_t)(most == 20 ? 0x2000 : most == -20 ? -0x2000 : most * 50);
            size_t want = 0;
            for (size_t i = 0; i < n; i++) want += e[i] - b[i] <= bound;
            for (size_t f = 0; f < 2; f++) assert_int_equal(forms[f]->count_row(e, b, n, bound), want);
        }
}

/* ---- sums ---- */

/* Sums of squares are the same bits from every type that holds the numbers. */
static void check_squares(const kernels *k, size_t n)
{
    double x[LENGTH], y[LENGTH], term[LENGTH] = {0}, apart[LENGTH];
    unsigned char f[4 * LENGTH + 1], half[2 * LENGTH + 1];
    for (size_t i = 0; i < n; i++) {
        uint16_t bits = wmk_f64_to_bf16(uniform());
        float value = wmk_bf16_to_f32(bits);
        memcpy(half + 1 + 2 * i, &bits, 2); /* at odd addresses */
        memcpy(f + 1 + 4 * i, &value, 4);
        y[i] = (double)value;
        x[i] = uniform();
        term[i] = y[i] * y[i];
        apart[i] = (y[i] - x[i]) * (y[i] - x[i]);
    }
    double want = sum_of(term, n), sum = k->squares_f64(y, n), row = k->squares_row(f + 1, n);
    double narrow = k->squares_bf16(half + 1, n), distance = 3, all = 5;
    assert_bits(k, n, &sum, &want, sizeof sum);
    assert_bits(k, n, &row, &want, sizeof sum);
    assert_bits(k, n, &narrow, &want, sizeof sum);
    k->compare_row(x, y, n, &distance, &all);
    double eight[8] = {0}, four[4], rest = 0;
    for (size_t i = 0; i < n / 16 * 16; i++) eight[i % 8] += apart[i];
    for (size_t i = 0; i < 4; i++) four[i] = eight[i] + eight[4 + i];
    for (size_t i = n / 16 * 16; i < n; i++) rest += apart[i];
    double want_all = 5 + want, want_distance = 3 + (((four[0] + four[1]) + (four[2] + four[3])) + rest);
    assert_bits(k, n, &all, &want_all, sizeof all);
    assert_bits(k, n, &distance, &want_distance, sizeof distance);
}

/* Squares that are kept, of scaled weights, and sums of such. Both zeros, and what is too small to square. */
static void check_scaled(const kernels *k, size_t n)
{
    double w[LENGTH], f[LENGTH], square[LENGTH + 1], want[LENGTH], sum[LENGTH + 1], want_sum[LENGTH];
    const double by = 1 + uniform();
    for (size_t i = 0; i < n; i++) {
        w[i] = next() % 8 == 0 ? (next() % 2 ? 0. : -0.) : uniform() * (next() % 8 == 0 ? 0x1p-540 : 1);
        f[i] = ldexp(1, (int)(next() % 9) - 4);
        double scaled = w[i] * f[i];
        want[i] = scaled * scaled;
        sum[i] = uniform();
        want_sum[i] = sum[i] + want[i] * by;
    }
    square[n] = sum[n] = 99;
    double got = k->squares_scaled(square, w, f, n), want_got = sum_of(want, n);
    assert_bits(k, n, &got, &want_got, sizeof got);
    assert_bits(k, n, square, want, n * sizeof *want);
    k->add_scaled(sum, square, by, n);
    assert_bits(k, n, sum, want_sum, n * sizeof *want);
    assert_true(square[n] == 99 && sum[n] == 99);
}

static void check_products(const kernels *k, size_t n)
{
    double w[LENGTH], y[LENGTH], term[LENGTH] = {0}, wide[LENGTH + 1], rest;
    float x[LENGTH];
    unsigned char bytes[4 * LENGTH + 1];
    for (size_t i = 0; i < n; i++) {
        w[i] = uniform();
        x[i] = (float)uniform();
        y[i] = (double)x[i];
        term[i] = y[i] * w[i];
        memcpy(bytes + 1 + 4 * i, &x[i], 4);
    }
    double want = sum_in_lanes(term, n, &rest), dot = k->dot(y, w, n), row = k->dot_row(x, w, n);
    for (size_t i = n / 16 * 16; i < n; i++) want += term[i];
    assert_bits(k, n, &dot, &want, sizeof dot);
    assert_bits(k, n, &row, &want, sizeof row);
    wide[n] = 99;
    k->widen_row(wide, bytes + 1, n);
    assert_bits(k, n, wide, y, n * sizeof *y);
    assert_true(wide[n] == 99);
}

static void check_added_rows(const kernels *k, size_t n)
{
    enum { ROWS = 9 };
    static float x[ROWS * LENGTH];
    double a[ROWS], sum[LENGTH + 1], want[LENGTH];
    for (size_t i = 0; i < ROWS * LENGTH; i++) x[i] = (float)uniform();
    for (size_t rows = 0; rows <= ROWS; rows++) {
        for (size_t j = 0; j < rows; j++) a[j] = uniform();
        for (size_t i = 0; i < n; i++) {
            want[i] = sum[i] = uniform();
            for (size_t j = 0; j < rows; j++) want[i] += (double)x[j * LENGTH + i] * a[j];
        }
        sum[n] = 99;
        k->add_rows(sum, x, LENGTH, a, rows, n);
        assert_bits(k, n, sum, want, n * sizeof *want);
        assert_true(sum[n] == 99);
    }
}

static void sums(void **state)
{
    (void)state;
    for (size_t f = 0; f < 2; f++)
        for (size_t n = 0; n < LENGTH; n++) {
            check_squares(forms[f], n);
            check_scaled(forms[f], n);
            check_products(forms[f], n);
            check_added_rows(forms[f], n);
        }
}

/* ---- embedding ---- */

static void edit(void **state)
{
    (void)state;
    static run r;
    float change[LENGTH], v[LENGTH + 1];
    double exact[LENGTH + 1];
    for (size_t f = 0; f < 2; f++)
        for (size_t n = 0; n < LENGTH; n++)
            for (int kind = 0; kind < 3; kind++) {
                const wmk_factor factor = {r.inverse, kind == 1, kind == 2};
                const float by = (float)uniform();
                fill(&r);
                for (size_t i = 0; i < n; i++) change[i] = (float)uniform();
                v[n] = 99;
                exact[n] = 99;
                forms[f]->edit_divide(v, r.w, factor, n);
                forms[f]->edit_apply(exact, r.w, factor, change, by, n);
                for (size_t i = 0; i < n; i++) {
                    double size = r.inverse[kind == 1 ? 0 : i];
                    float moved = change[i] + by, want = (float)(r.w[i] * size);
                    double want_exact = r.w[i] + size * (double)moved;
                    assert_bits(forms[f], n, &v[i], &want, sizeof want);
                    assert_bits(forms[f], n, &exact[i], &want_exact, sizeof want_exact);
                }
                assert_true(v[n] == 99 && exact[n] == 99);
            }
}

enum { MOST = WMK_SQUARES_BLOCK };

/* bfloat16 weights at an odd address, changes, and a factor of each weight. */
typedef struct narrow {
    unsigned char from[2 * MOST + 1];
    float value[MOST], change[MOST], each[MOST];
} narrow;

static void fill_narrow(narrow *x, size_t n, double size)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t bits = wmk_f64_to_bf16(0.9 * uniform() * size);
        if (next() % 16 == 0) bits = next() % 2 ? 0x8000 : 0;
        x->change[i] = (float)(0.1 * uniform());
        x->each[i] = (float)ldexp(1 + uniform() * 0.5, (int)(next() % 5) - 4);
        if (i % 7 == 0) { /* half way between two */
            bits = (uint16_t)(0x3f80 | (next() & 0x7f));
            x->change[i] = 0x1p-8f;
            x->each[i] = 1;
        }
        memcpy(x->from + 1 + 2 * i, &bits, 2);
        x->value[i] = wmk_bf16_to_f32(bits);
    }
}

static void check_apply(const kernels *k, const narrow *x, size_t n, float rms, bool own, float by)
{
    static unsigned char to[2 * MOST + 3];
    static double was[MOST], stored[MOST];
    double distance = 2, sum = 7, want_distance = 2, want_sum = 7;
    memset(to, 0xee, sizeof to);
    k->edit_apply_bf16(to + 1, x->from + 1, rms, own ? x->each : NULL, x->change, by, n, &distance, &sum);
    for (size_t i = 0; i < n; i++) {
        uint16_t bits;
        float size = own ? rms * x->each[i] : rms, moved = x->change[i] + by, step = size * moved;
        memcpy(&bits, to + 1 + 2 * i, 2);
        assert_int_equal(bits, wmk_f32_to_bf16(x->value[i] + step));
        was[i] = (double)x->value[i];
        stored[i] = (double)wmk_bf16_to_f32(bits);
    }
    assert_true(to[0] == 0xee && to[1 + 2 * n] == 0xee);
    k->compare_row(was, stored, n, &want_distance, &want_sum);
    assert_bits(k, n, &distance, &want_distance, sizeof distance);
    assert_bits(k, n, &sum, &want_sum, sizeof sum);
}

/* Straight from bytes to bytes: as single precision says, rounded to the nearest bfloat16, and the sums those of what is stored. */
static void edit_bf16(void **state)
{
    (void)state;
    static narrow x;
    static float v[MOST + 1];
    static const double sizes[] = {1, 1e-30, 1e-38, 3e38};
    for (size_t t = 0; t < 16 * 150; t++) {
        const kernels *k = forms[t % 2];
        const bool own = t / 2 % 2;
        const double size = sizes[t / 4 % 4];
        const size_t n = t / 16 < 149 ? t / 16 : MOST;
        const float by = n % 2 ? (float)(0.01 * uniform()) : 0;
        fill_narrow(&x, n, size);
        check_apply(k, &x, n, (float)size, own, by);
        v[n] = 99;
        k->edit_divide_bf16(v, x.from + 1, 0.7f, own ? x.each : NULL, n);
        for (size_t i = 0; i < n; i++) {
            float factor = own ? 0.7f * x.each[i] : 0.7f, want = x.value[i] * factor;
            assert_bits(k, n, &v[i], &want, sizeof want);
        }
        assert_true(v[n] == 99);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows),           cmocka_unit_test(factors_of_strips), cmocka_unit_test(changes), cmocka_unit_test(turned),
        cmocka_unit_test(counts_by_lane), cmocka_unit_test(counts_by_row),     cmocka_unit_test(sums),    cmocka_unit_test(edit),
        cmocka_unit_test(edit_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
