/* The inner loops of scheme partition and of embedding against plain loops, bit for bit, at every length around the widths of the vector forms. */
#include "cmocka_wmk.h"

#include <math.h>
#include <stdlib.h>

#include "base/convert.h"
#include "mark/carrier.h"
#include "mark/carrier_kernel.h"
#include "mark/edit_kernel.h"
#include "mark/lane_kernel.h"

enum { LENGTH = 200, T = 7 };

static uint64_t random_state = 1;

static uint64_t next(void) /* splitmix64 */
{
    uint64_t z = (random_state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double uniform(void) { return (double)(int64_t)next() * 0x1p-63; }

typedef struct run {
    double w[LENGTH], inverse[LENGTH];
    uint16_t deal[LENGTH];
} run;

static void fill(run *r)
{
    for (size_t i = 0; i < LENGTH; i++) {
        r->w[i] = next() % 6 == 0 ? 0 : uniform();
        r->inverse[i] = next() % 5 == 0 ? 0 : 1 + uniform();
        r->deal[i] = (uint16_t)(2 * (next() % (2 * T)));
    }
}

static void rows(void **state)
{
    (void)state;
    static run r;
    for (size_t n = 0; n <= LENGTH; n++)
        for (int form = 0; form < 4; form++) {
            bool one = form % 2, zeros = form / 2;
            fill(&r);
            double sum[2 * T][2] = {{0}}, want[2 * T][3] = {{0}};
            static _Alignas(32) double count[2 * T][4];
            memset(count, 0, sizeof count);
            wmk_factor inverse = {r.inverse, one, false};
            wmk_deal_row(sum, r.w, inverse, r.deal, n);
            wmk_deal_count(count, r.w, inverse, zeros, r.deal, n);
            for (size_t i = 0; i < n; i++) {
                double by = r.inverse[one ? 0 : i], v = r.w[i] * by;
                want[r.deal[i] / 2][0] += v;
                want[r.deal[i] / 2][1] += v * v;
                want[r.deal[i] / 2][2] += (zeros ? by : v) != 0;
            }
            for (size_t d = 0; d < (size_t)(2 * T); d++) {
                assert_memory_equal(sum[d], want[d], sizeof sum[d]);
                assert_memory_equal(count[d], want[d], sizeof want[d]);
            }
        }
}

static void changes(void **state)
{
    (void)state;
    static run r;
    float v[LENGTH], change[LENGTH + 1], edit[2 * T][2];
    for (size_t k = 0; k < 2 * (LENGTH + 1); k++) {
        size_t n = k / 2, fixed = 0;
        bool zeros = k % 2;
        fill(&r);
        for (size_t d = 0; d < (size_t)(4 * T); d++) edit[d / 2][d % 2] = (float)uniform();
        for (size_t i = 0; i < n; i++) v[i] = (float)r.w[i];
        change[n] = 99;
        wmk_change all = wmk_deal_change(change, v, 1.25f, zeros, (const float(*)[2])edit, r.deal, n);
        double want_sum = 0;
        for (size_t i = 0; i < n; i++) {
            const float *e = edit[r.deal[i] / 2];
            float scaled = e[0] * v[i], wanted = scaled + e[1], want = v[i] != 0 || zeros ? wanted * 1.25f : 0;
            assert_true(change[i] == want);
            want_sum += (double)want;
            fixed += v[i] == 0 && !zeros;
        }
        assert_true(change[n] == 99);
        assert_true(fabs(all.sum - want_sum) < 1e-4);
        assert_int_equal(all.fixed, fixed);
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
            wmk_deal_turn(to, STRIDE, row, m, n);
            for (size_t c = 0; c < COLUMNS; c++)
                for (size_t r = 0; r < STRIDE; r++) assert_int_equal(to[c * STRIDE + r], r < m && c < n ? from[r][c] : 0xeeee);
        }
}

/* Sums of squares are the same bits from every type that holds the numbers. */
static void squares(void **state)
{
    (void)state;
    double x[LENGTH], y[LENGTH];
    float f[LENGTH];
    uint16_t half[LENGTH];
    for (size_t n = 0; n <= LENGTH; n++) {
        double distance = 3, all = 5, want = 0;
        for (size_t i = 0; i < n; i++) {
            half[i] = wmk_f64_to_bf16(uniform());
            f[i] = wmk_bf16_to_f32(half[i]);
            y[i] = (double)f[i];
            x[i] = uniform();
            want += y[i] * y[i];
        }
        double sum = wmk_squares_f64(y, n);
        assert_true(fabs(sum - want) <= 1e-12 * want);
        assert_true(wmk_squares_row(f, n) == sum && wmk_squares_bf16(half, n) == sum);
        wmk_compare_row(x, y, n, &distance, &all);
        assert_true(all == 5 + sum);
        for (size_t i = 0; i < n; i++) x[i] = y[i] - x[i];
        assert_true(fabs(distance - 3 - wmk_squares_f64(x, n)) < 1e-12);
    }
}

/* Straight from bytes to bytes: as single precision says, rounded to the nearest bfloat16, and the sums those of what is stored. */
static void edit_bf16(void **state)
{
    (void)state;
    enum { MOST = WMK_SQUARES_BLOCK };
    static unsigned char from[2 * MOST + 1], to[2 * MOST + 3];
    static float change[MOST], v[MOST + 1], sizes_of[MOST];
    static double was[MOST], stored[MOST];
    static const double sizes[] = {1, 1e-30, 1e-38, 3e38};
    for (size_t k = 0; k < 8 * 150; k++) {
        size_t n = k / 8 < 149 ? k / 8 : MOST;
        const float *each = k / 4 % 2 ? sizes_of : NULL;
        float rms = (float)sizes[k % 4], by = n % 2 ? (float)(0.01 * uniform()) : 0;
        for (size_t i = 0; i < n; i++) {
            uint16_t bits = next() % 16 == 0 ? 0 : wmk_f64_to_bf16(0.9 * uniform() * sizes[k % 4]);
            change[i] = (float)(0.1 * uniform());
            sizes_of[i] = next() % 9 == 0 ? 0 : ldexpf((float)uniform(), (int)(next() % 8) - 6);
            if (i % 7 == 0) { /* half way between two */
                bits = (uint16_t)(0x3f80 | (next() & 0x7f));
                change[i] = 0x1p-8f;
            }
            memcpy(from + 1 + 2 * i, &bits, 2); /* at an odd address */
            was[i] = (double)wmk_bf16_to_f32(bits);
        }
        memset(to, 0xee, sizeof to);
        double distance = 0, sum = 0, want_distance = 0, want_sum = 0;
        wmk_edit_apply_bf16(to + 1, from + 1, rms, each, change, by, n, &distance, &sum);
        for (size_t i = 0; i < n; i++) {
            uint16_t bits;
            float moved = change[i] + by, size = each ? rms * each[i] : rms, step = size * moved;
            memcpy(&bits, to + 1 + 2 * i, 2);
            assert_int_equal(bits, wmk_f32_to_bf16((float)was[i] + step));
            stored[i] = (double)wmk_bf16_to_f32(bits);
        }
        assert_true(to[0] == 0xee && to[1 + 2 * n] == 0xee);
        wmk_compare_row(was, stored, n, &want_distance, &want_sum);
        assert_memory_equal(&distance, &want_distance, sizeof distance);
        assert_memory_equal(&sum, &want_sum, sizeof sum);
        v[n] = 99;
        wmk_edit_divide_bf16(v, from + 1, 0.7f, each, n);
        for (size_t i = 0; i < n; i++) {
            float size = each ? 0.7f * each[i] : 0.7f;
            assert_true(v[i] == (float)was[i] * size);
        }
        assert_true(v[n] == 99);
    }
}

/* The same in double precision, with one factor for all or one for each, and where a block of several runs goes on. */
static void edit_rows(void **state)
{
    (void)state;
    static run r;
    static float v[LENGTH + 1], change[LENGTH];
    static double exact[LENGTH + 1];
    for (size_t n = 0; n <= LENGTH; n++)
        for (int one = 0; one < 2; one++) {
            fill(&r);
            wmk_factor by = {r.inverse, one, false}, whole = {r.inverse, one, true};
            float shift = n % 3 ? (float)uniform() : 0;
            for (size_t i = 0; i < n; i++) change[i] = (float)uniform();
            v[n] = 99;
            exact[n] = 99;
            wmk_edit_divide(v, r.w, by, n);
            wmk_edit_apply(exact, r.w, by, change, shift, n);
            for (size_t i = 0; i < n; i++) {
                double f = r.inverse[one ? 0 : i], scaled = r.w[i] * f, step = f * (double)(change[i] + shift);
                assert_true(v[i] == (float)scaled);
                assert_true(exact[i] == r.w[i] + step);
            }
            assert_true(v[n] == 99 && exact[n] == 99);
            wmk_factor later = wmk_factor_from(whole, n / 2), same = wmk_factor_from(by, n / 2);
            assert_true(later.value == r.inverse + n / 2 && !later.one && later.each && same.value == r.inverse && same.one == one);
        }
}

/* What carrier balanced adds up: squares of scaled weights, in the same order by every form, and these times a number. */
static void scaled_squares(void **state)
{
    (void)state;
    static run r;
    static double square[LENGTH + 1], sum[LENGTH + 1], same[LENGTH];
    for (size_t n = 0; n <= LENGTH; n++) {
        fill(&r);
        square[n] = sum[n] = 99;
        for (size_t i = 0; i < n; i++) sum[i] = r.inverse[i];
        double all = wmk_squares_scaled(square, r.w, r.inverse, n), want = 0;
        for (size_t i = 0; i < n; i++) {
            double scaled = r.w[i] * r.inverse[i];
            assert_true(square[i] == scaled * scaled);
            want += square[i];
        }
        assert_true(fabs(all - want) <= 1e-12 * want);
        wmk_add_scaled(sum, square, 0.3, n);
        for (size_t i = 0; i < n; i++) {
            double part = square[i] * 0.3;
            assert_true(sum[i] == r.inverse[i] + part);
            same[i] = square[i];
        }
        assert_true(wmk_squares_scaled(square, r.w, r.inverse, n) == all && memcmp(same, square, n * sizeof *same) == 0);
        assert_true(square[n] == 99 && sum[n] == 99);
    }
}

/* Counts for medians, over the whole range that exponents and their differences have; 0x4000 stands for what is none. */
static void counts_of_lanes(void **state)
{
    (void)state;
    enum { ROWS = 70, STRIDE = 3 * WMK_LANES };
    static int16_t e[ROWS * STRIDE + 1], a[ROWS], b[STRIDE];
    for (size_t k = 0; k < 200; k++) {
        int range = k % 2 ? 4 : 3000;
        size_t rows = k % (ROWS + 1), first = k % 3 * WMK_LANES;
        int16_t most[WMK_LANES], below[WMK_LANES], *at = e + k % 2; /* at any address */
        for (size_t i = 0; i < ROWS * STRIDE; i++) at[i] = next() % 7 == 0 ? 0x4000 : (int16_t)((int)(next() % (2u * (unsigned)range)) - range);
        for (size_t i = 0; i < ROWS; i++) a[i] = (int16_t)((int)(next() % (2u * (unsigned)range)) - range);
        for (size_t i = 0; i < STRIDE; i++) b[i] = (int16_t)((int)(next() % (2u * (unsigned)range)) - range);
        for (size_t i = 0; i < WMK_LANES; i++) most[i] = i % 5 == 0 ? 0x2000 : (int16_t)((int)(next() % (4u * (unsigned)range)) - 2 * range);
        wmk_count_lanes(at + first, STRIDE, a, rows, most, below);
        for (size_t lane = 0; lane < WMK_LANES; lane++) {
            int want = 0;
            for (size_t i = 0; i < rows; i++) want += at[i * STRIDE + first + lane] - a[i] <= most[lane];
            assert_int_equal(below[lane], want);
        }
        for (size_t count = 0; count <= STRIDE; count += WMK_LANES) {
            size_t want = 0;
            for (size_t i = 0; i < count; i++) want += at[i] - b[i] <= most[1];
            assert_int_equal(wmk_count_row(at, b, count, most[1]), want);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows),      cmocka_unit_test(changes),        cmocka_unit_test(turned),          cmocka_unit_test(squares),
        cmocka_unit_test(edit_bf16), cmocka_unit_test(edit_rows),      cmocka_unit_test(scaled_squares),  cmocka_unit_test(counts_of_lanes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
