/* The inner loops of scheme partition and of embedding against plain loops, bit for bit, at every length around the widths of the vector forms. */
#include "cmocka_wmk.h"

#include <math.h>
#include <stdlib.h>

#include "base/convert.h"
#include "mark/carrier.h"
#include "mark/carrier_kernel.h"
#include "mark/edit_kernel.h"

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
        r->w[i] = uniform();
        r->inverse[i] = next() % 5 == 0 ? 0 : 1 + uniform();
        r->deal[i] = (uint16_t)(2 * (next() % (2 * T)));
    }
}

static void rows(void **state)
{
    (void)state;
    static run r;
    for (size_t n = 0; n <= LENGTH; n++)
        for (int one = 0; one < 2; one++) {
            fill(&r);
            double sum[2 * T][2] = {{0}}, want[2 * T][3] = {{0}};
            static _Alignas(32) double count[2 * T][4];
            memset(count, 0, sizeof count);
            wmk_factor inverse = {r.inverse, one};
            wmk_deal_row(sum, r.w, inverse, r.deal, n);
            wmk_deal_count(count, r.w, inverse, r.deal, n);
            for (size_t i = 0; i < n; i++) {
                double by = r.inverse[one ? 0 : i], v = r.w[i] * by;
                want[r.deal[i] / 2][0] += v;
                want[r.deal[i] / 2][1] += v * v;
                want[r.deal[i] / 2][2] += by != 0;
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
    for (size_t n = 0; n <= LENGTH; n++) {
        fill(&r);
        for (size_t d = 0; d < (size_t)(4 * T); d++) edit[d / 2][d % 2] = (float)uniform();
        for (size_t i = 0; i < n; i++) v[i] = (float)r.w[i];
        change[n] = 99;
        double sum = wmk_deal_change(change, v, 1.25f, (const float(*)[2])edit, r.deal, n), want_sum = 0;
        for (size_t i = 0; i < n; i++) {
            const float *e = edit[r.deal[i] / 2];
            float scaled = e[0] * v[i], wanted = scaled + e[1], want = wanted * 1.25f;
            assert_memory_equal(&change[i], &want, sizeof want);
            want_sum += (double)want;
        }
        assert_true(change[n] == 99);
        assert_true(fabs(sum - want_sum) < 1e-4);
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
    static float change[MOST], v[MOST + 1];
    static double was[MOST], stored[MOST];
    static const double sizes[] = {1, 1e-30, 1e-38, 3e38};
    for (size_t k = 0; k < 4 * 150; k++) {
        size_t n = k / 4 < 149 ? k / 4 : MOST;
        float rms = (float)sizes[k % 4], by = n % 2 ? (float)(0.01 * uniform()) : 0;
        for (size_t i = 0; i < n; i++) {
            uint16_t bits = next() % 16 == 0 ? 0 : wmk_f64_to_bf16(0.9 * uniform() * sizes[k % 4]);
            change[i] = (float)(0.1 * uniform());
            if (i % 7 == 0) { /* half way between two */
                bits = (uint16_t)(0x3f80 | (next() & 0x7f));
                change[i] = 0x1p-8f;
            }
            memcpy(from + 1 + 2 * i, &bits, 2); /* at an odd address */
            was[i] = (double)wmk_bf16_to_f32(bits);
        }
        memset(to, 0xee, sizeof to);
        double distance = 0, sum = 0, want_distance = 0, want_sum = 0;
        wmk_edit_apply_bf16(to + 1, from + 1, rms, change, by, n, &distance, &sum);
        for (size_t i = 0; i < n; i++) {
            uint16_t bits;
            float moved = change[i] + by, step = rms * moved;
            memcpy(&bits, to + 1 + 2 * i, 2);
            assert_int_equal(bits, wmk_f32_to_bf16((float)was[i] + step));
            stored[i] = (double)wmk_bf16_to_f32(bits);
        }
        assert_true(to[0] == 0xee && to[1 + 2 * n] == 0xee);
        wmk_compare_row(was, stored, n, &want_distance, &want_sum);
        assert_memory_equal(&distance, &want_distance, sizeof distance);
        assert_memory_equal(&sum, &want_sum, sizeof sum);
        v[n] = 99;
        wmk_edit_divide_bf16(v, from + 1, 0.5f, n);
        for (size_t i = 0; i < n; i++) assert_true(v[i] == (float)was[i] * 0.5f);
        assert_true(v[n] == 99);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows), cmocka_unit_test(changes), cmocka_unit_test(turned), cmocka_unit_test(squares),
                                       cmocka_unit_test(edit_bf16)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
