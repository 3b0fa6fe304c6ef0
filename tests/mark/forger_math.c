/* forger_math.c - what the forger computes with: random numbers, correlation by the fast Fourier
 * transform (radix 2, Cooley and Tukey 1965), and optimal assignment (the Hungarian method with
 * potentials, Kuhn 1955, in the O(n^3) form of Jonker and Volgenant 1987). */
#include "forger.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

uint64_t forger_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double uniform(uint64_t *state) { return ((double)(forger_random(state) >> 11) + 0.5) * 0x1p-53; }

double forger_normal(uint64_t *state)
{
    double radius = sqrt(-2 * log(uniform(state)));
    return radius * cos(6.283185307179586 * uniform(state));
}

/* Four sums of four lanes, so that no addition waits for the one before. */
double forger_dot(const float *a, const float *b, size_t count)
{
    enum { LANES = 4, SUMS = 4, STEP = LANES * SUMS, RUN = 4096 };
    typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));
    double total = 0;
    size_t i = 0;
    while (i + STEP <= count) {
        size_t end = count - i > RUN ? i + RUN : i + (count - i) / STEP * STEP;
        lanes sum[SUMS] = {{0}}, x, y;
        for (; i < end; i += STEP)
#pragma GCC unroll 4
            for (int k = 0; k < SUMS; k++) {
                memcpy(&x, a + i + LANES * k, sizeof x);
                memcpy(&y, b + i + LANES * k, sizeof y);
                sum[k] += x * y;
            }
        lanes all = sum[0] + sum[1] + (sum[2] + sum[3]);
        for (int k = 0; k < LANES; k++) total += all[k];
    }
    for (; i < count; i++) total += a[i] * b[i];
    return total;
}

/* ---- correlation ---- */

typedef struct complex_number {
    double re, im;
} complex_number;

/* z [n] in bit-reversed order. */
static void reverse_bits(complex_number *z, size_t n)
{
    for (size_t i = 1, j = 0; i < n; i++) {
        size_t bit = n >> 1;
        for (; j & bit; bit >>= 1) j ^= bit;
        j ^= bit;
        if (i >= j) continue;
        complex_number t = z[i];
        z[i] = z[j];
        z[j] = t;
    }
}

/* z [n], n a power of two, to its transform; root [n / 2]: exp(-2 pi i k / n). */
static void transform(complex_number *z, size_t n, const complex_number *root)
{
    reverse_bits(z, n);
    for (size_t half = 1; half < n; half *= 2)
        for (size_t block = 0; block < n; block += 2 * half)
            for (size_t k = 0; k < half; k++) {
                complex_number a = z[block + k], b = z[block + half + k];
                complex_number w = root[k * (n / 2 / half)];
                double re = w.re * b.re - w.im * b.im, im = w.re * b.im + w.im * b.re;
                z[block + k] = (complex_number){a.re + re, a.im + im};
                z[block + half + k] = (complex_number){a.re - re, a.im - im};
            }
}

/* root [n / 2], kept for the next call. */
static const complex_number *roots_of_unity(size_t n)
{
    static complex_number *root;
    static size_t roots;
    if (roots == n) return root;
    free(root);
    root = malloc(n / 2 * sizeof *root);
    for (size_t k = 0; k < n / 2; k++) {
        double angle = -6.283185307179586477 * (double)k / (double)n;
        root[k] = (complex_number){cos(angle), sin(angle)};
    }
    roots = n;
    return root;
}

/* z [n] = e + i w to their circular correlation, n times it, as the real part. */
static void correlate_block(complex_number *z, size_t n, const complex_number *root)
{
    transform(z, n, root);
    /* E and W are taken apart by the symmetry of a real vector's transform. Then E conj(W),
     * conjugated so that the forward transform inverts it. */
    for (size_t k = 0; k <= n / 2; k++) {
        complex_number a = z[k], b = z[(n - k) % n];
        complex_number E = {(a.re + b.re) / 2, (a.im - b.im) / 2};
        complex_number W = {(a.im + b.im) / 2, (b.re - a.re) / 2};
        double re = E.re * W.re + E.im * W.im, im = E.im * W.re - E.re * W.im;
        z[k] = (complex_number){re, -im};
        z[(n - k) % n] = (complex_number){re, im};
    }
    transform(z, n, root);
}

/* Block by block (overlap-save), so that a block of a short w fits into the cache. */
void forger_correlate(double *out, size_t lags, const float *e, const float *w, size_t count)
{
    size_t n = 2, total = lags + count;
    while (n < total && n < 8 * count) n *= 2;
    const complex_number *root = roots_of_unity(n);
    complex_number *z = malloc(n * sizeof *z);
    for (size_t first = 0, step = n - count; first < lags; first += step) {
        for (size_t i = 0; i < n; i++) z[i] = (complex_number){first + i < total ? e[first + i] : 0, i < count ? w[i] : 0};
        correlate_block(z, n, root);
        for (size_t lag = first; lag < lags && lag < first + step; lag++) out[lag] = z[lag - first].re / (double)n;
    }
    free(z);
}

/* ---- assignment ---- */

typedef struct assignment {
    const float *gain; /* [n][n] */
    size_t n;
    double *row_price, *column_price; /* [n + 1]; row and column 0 stand for none */
    double *slack;                    /* [n + 1] */
    size_t *row_of, *from;            /* [n + 1] by column */
    bool *done;                       /* [n + 1] by column */
} assignment;

/* Gives row `row` a column by the shortest augmenting path. Costs are -gain. */
static void augment(assignment *a, size_t row)
{
    size_t column = 0;
    a->row_of[0] = row;
    for (size_t j = 0; j <= a->n; j++) {
        a->slack[j] = INFINITY;
        a->done[j] = false;
    }
    do {
        size_t next = 0, r = a->row_of[column];
        double least = INFINITY;
        a->done[column] = true;
        for (size_t j = 1; j <= a->n; j++) {
            if (a->done[j]) continue;
            double cost = -a->gain[(r - 1) * a->n + j - 1] - a->row_price[r] - a->column_price[j];
            if (cost < a->slack[j]) {
                a->slack[j] = cost;
                a->from[j] = column;
            }
            if (a->slack[j] < least) {
                least = a->slack[j];
                next = j;
            }
        }
        for (size_t j = 0; j <= a->n; j++) {
            if (a->done[j]) {
                a->row_price[a->row_of[j]] += least;
                a->column_price[j] -= least;
            } else {
                a->slack[j] -= least;
            }
        }
        column = next;
    } while (a->row_of[column] != 0);
    for (; column != 0; column = a->from[column]) a->row_of[column] = a->row_of[a->from[column]];
}

void forger_assign(size_t *to, const float *gain, size_t n)
{
    assignment a = {.gain = gain, .n = n};
    a.row_price = calloc(3 * (n + 1), sizeof *a.row_price);
    a.column_price = a.row_price + n + 1;
    a.slack = a.column_price + n + 1;
    a.row_of = calloc(2 * (n + 1), sizeof *a.row_of);
    a.from = a.row_of + n + 1;
    a.done = calloc(n + 1, sizeof *a.done);
    for (size_t row = 1; row <= n; row++) augment(&a, row);
    for (size_t j = 1; j <= n; j++) to[a.row_of[j] - 1] = j - 1;
    free(a.row_price);
    free(a.row_of);
    free(a.done);
}

/* ---- self-test ---- */

static double sum_of(const float *gain, size_t n, const size_t *to)
{
    double sum = 0;
    for (size_t row = 0; row < n; row++) sum += gain[row * n + to[row]];
    return sum;
}

/* The greatest sum over all orders, row by row. */
static double best_of_all(const float *gain, size_t n, size_t row, unsigned taken)
{
    double best = row == n ? 0 : -INFINITY;
    for (size_t j = 0; row < n && j < n; j++) {
        if (taken >> j & 1) continue;
        best = fmax(best, gain[row * n + j] + best_of_all(gain, n, row + 1, taken | 1u << j));
    }
    return best;
}

void forger_math_check(forger *f)
{
    enum { N = 7, LAGS = 700, COUNT = 90 };
    uint64_t state = 5;
    float gain[N * N], e[LAGS + COUNT], w[COUNT];
    double correlation[LAGS];
    size_t to[N];
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < N * N; i++) gain[i] = (float)forger_normal(&state);
        forger_assign(to, gain, N);
        unsigned seen = 0;
        for (size_t i = 0; i < N; i++) seen |= 1u << to[i];
        if (seen != (1u << N) - 1 || fabs(sum_of(gain, N, to) - best_of_all(gain, N, 0, 0)) > 1e-5)
            forger_fail(f, "the assignment is not the best of all orders");
    }
    for (size_t i = 0; i < LAGS + COUNT; i++) e[i] = (float)forger_normal(&state);
    for (size_t i = 0; i < COUNT; i++) w[i] = (float)forger_normal(&state);
    forger_correlate(correlation, LAGS, e, w, COUNT);
    for (size_t lag = 0; lag < LAGS; lag++) {
        double sum = 0;
        for (size_t i = 0; i < COUNT; i++) sum += (double)e[lag + i] * w[i];
        if (fabs(sum - correlation[lag]) > 1e-9 || fabs(sum - forger_dot(e + lag, w, COUNT)) > 1e-3)
            forger_fail(f, "the correlation at lag %zu is %g, not %g", lag, correlation[lag], sum);
    }
}
