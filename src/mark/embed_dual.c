/* mark/embed_dual.c - embedding where rows share columns. The changed vector is w = scale * (w0 + sum_j multiplier_j s_j X_j): T unknowns. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/secret.h"
#include "mark/carrier_kernel.h"
#include "mark/embed.h"
#include "mark/key.h"
#include "mark/x.h"

/* gram * x */
static void times(const wmk_dual *d, const double *x, double *out)
{
    for (uint32_t j = 0; j < d->T; j++) out[j] = d->diagonal ? d->gram[j] * x[j] : wmk_dot(d->gram + (size_t)j * d->T, x, d->T);
}

/* Solves a x = b for the first n of a row-major symmetric positive definite matrix of row length `stride`, which is overwritten. */
static bool solve(double *a, size_t stride, size_t n, double *b)
{
    for (size_t k = 0; k < n; k++) {
        double *row = a + k * stride, pivot = row[k] - wmk_dot(row, row, k);
        if (!(pivot > 1e-12 * fabs(row[k]))) return false;
        row[k] = sqrt(pivot);
#pragma omp parallel for schedule(static) if ((n - k) * k > 1000000)
        for (size_t i = k + 1; i < n; i++) a[i * stride + k] = (a[i * stride + k] - wmk_dot(a + i * stride, row, k)) / row[k];
    }
    for (size_t k = 0; k < n; k++) b[k] = (b[k] - wmk_dot(a + k * stride, b, k)) / a[k * stride + k];
    for (size_t k = n; k-- > 0;) {
        for (size_t i = k + 1; i < n; i++) b[k] -= a[i * stride + k] * b[i];
        b[k] /= a[k * stride + k];
    }
    return true;
}

wmk_status wmk_dual_open(wmk_dual *out, const wmk_embedding *e, const double *w0)
{
    const wmk_key *key = e->key;
    size_t T = key->T;
    wmk_dual d = {.T = key->T, .m = key->M, .diagonal = key->scheme != WMK_SCHEME_RANDOM, .scale = 1, .unit = 1};
    double entries = key->scheme == WMK_SCHEME_DIFF ? 2 : 1;
    if (d.diagonal) d.unit = sqrt(entries / (double)key->M);
    size_t cells = d.diagonal ? T : T * T;
    wmk_status status;
    WMK_TRY_GOTO(status, wmk_secret_alloc(&d.gram, cells, sizeof *d.gram), failed);
    WMK_TRY_GOTO(status, wmk_secret_alloc(&d.work, cells, sizeof *d.work), failed);
    WMK_TRY_GOTO(status, wmk_secret_alloc(&d.dot, T, sizeof *d.dot), failed);
    WMK_TRY_GOTO(status, wmk_secret_alloc(&d.multiplier, T, sizeof *d.multiplier), failed);
    for (uint64_t c = 0; c < key->M; c++) d.squares += w0[c] * w0[c];
    for (size_t j = 0; j < T; j++) d.dot[j] = e->sign[j] * e->before->score[j] * d.unit * sqrt(d.squares);
    if (d.diagonal) {
        for (size_t j = 0; j < T; j++) d.gram[j] = entries;
    } else {
        WMK_TRY_GOTO(status, wmk_gram_random(d.gram, key), failed);
        for (size_t j = 0; j < T; j++)
            for (size_t k = 0; k < T; k++) d.gram[j * T + k] *= e->sign[j] * e->sign[k];
    }
    *out = d;
    return WMK_OK;
failed:
    wmk_dual_close(&d);
    return status;
}

void wmk_dual_close(wmk_dual *dual)
{
    wmk_secret_free(dual->gram);
    wmk_secret_free(dual->dot);
    wmk_secret_free(dual->multiplier);
    wmk_secret_free(dual->work);
    memset(dual, 0, sizeof *dual);
}

/* ---- smallest change with floors ------------------------------------------------------------------------------------------------ */

typedef struct floors { /* min 1/2 mu' G mu + mu' (start - floor), mu >= 0 */
    const double *start;
    double *floor, *mu, *reached; /* reached = start + G mu */
    double *step;
    uint32_t *index;
    double most; /* the search may end when the squared length of what is sought is above this; 0: no limit */
} floors;

/* A lower bound of the squared length of v with X_j . v >= floor_j, from any mu >= 0 (weak duality); start is 0. */
static double least_squares(const wmk_dual *d, const floors *f)
{
    double twice = 0;
    for (uint32_t j = 0; j < d->T; j++) twice += f->mu[j] * (2 * f->floor[j] - f->reached[j]);
    return twice;
}

static void reach(const wmk_dual *d, floors *f)
{
    times(d, f->mu, f->reached);
    for (uint32_t j = 0; j < d->T; j++) f->reached[j] += f->start[j];
}

/* The largest miss: a floor not reached, or a multiplier where it is more than reached; relative to what one step of mu moves. */
static double miss(const wmk_dual *d, const floors *f, double size)
{
    double worst = 0;
    for (uint32_t j = 0; j < d->T; j++) {
        double over = f->reached[j] - f->floor[j], bad = over < 0 ? -over : fmin(over, f->mu[j] * d->gram[d->diagonal ? j : (size_t)j * d->T + j]);
        if (bad > worst) worst = bad;
    }
    return worst / size;
}

/* Guesses which floors bind and solves for them; right after a few rounds as a rule. */
static bool active_set(const wmk_dual *d, floors *f, double size)
{
    for (int round = 0; round < 40; round++) {
        uint32_t n = 0;
        for (uint32_t j = 0; j < d->T; j++) {
            double own = d->gram[(size_t)j * d->T + j];
            if (f->mu[j] * own - (f->reached[j] - f->floor[j]) > 0) f->index[n++] = j;
        }
        for (uint32_t a = 0; a < n; a++) {
            f->step[a] = f->floor[f->index[a]] - f->start[f->index[a]];
            for (uint32_t b = 0; b <= a; b++) d->work[(size_t)a * d->T + b] = d->gram[(size_t)f->index[a] * d->T + f->index[b]];
        }
        if (!solve(d->work, d->T, n, f->step)) return false;
        memset(f->mu, 0, d->T * sizeof *f->mu);
        for (uint32_t a = 0; a < n; a++) f->mu[f->index[a]] = f->step[a];
        reach(d, f);
        if (miss(d, f, size) < 1e-11) {
            bool positive = true;
            for (uint32_t a = 0; a < n; a++) positive = positive && f->step[a] >= 0;
            if (positive) return true;
        }
    }
    return false;
}

/* Coordinate by coordinate (Hildreth 1957): slower, and sure to converge where there is a solution. */
static bool sweeps(const wmk_dual *d, floors *f, double size)
{
    for (uint32_t j = 0; j < d->T; j++) f->mu[j] = fmax(0, f->mu[j]);
    reach(d, f);
    for (int sweep = 0; sweep < 20000; sweep++) {
        for (uint32_t j = 0; j < d->T; j++) {
            const double *row = d->gram + (size_t)j * d->T;
            double next = fmax(0, f->mu[j] + (f->floor[j] - f->reached[j]) / row[j]), step = next - f->mu[j];
            if (step == 0) continue;
            f->mu[j] = next;
            for (uint32_t k = 0; k < d->T; k++) f->reached[k] += step * row[k];
        }
        if (miss(d, f, size) < 1e-9) return true;
        if (f->most > 0 && least_squares(d, f) > f->most) return false;
    }
    return false;
}

static bool fill_floors(const wmk_dual *d, floors *f, double size)
{
    if (d->diagonal) {
        for (uint32_t j = 0; j < d->T; j++) f->mu[j] = fmax(0, (f->floor[j] - f->start[j]) / d->gram[j]);
        reach(d, f);
        return true;
    }
    reach(d, f); /* from where the last problem ended: the same floors bind, as a rule */
    return active_set(d, f, size) || sweeps(d, f, size);
}

/* ||sum mu_j s_j X_j||^2 for margins reached from nothing at length 1: above 1 nothing of length 1 has them. */
static wmk_status feasible(const wmk_dual *d, floors *f, const double *margin)
{
    double size = 0;
    for (uint32_t j = 0; j < d->T; j++) {
        f->floor[j] = margin[j] * d->unit;
        size = fmax(size, f->floor[j]);
    }
    f->most = 100; /* where there is no solution at all the bound only grows: less than a tenth of the margin is answer enough */
    bool done = fill_floors(d, f, size);
    f->most = 0;
    double squares = least_squares(d, f);
    if (done && squares < 1) return WMK_OK;
    double least = INFINITY;
    for (uint32_t j = 0; j < d->T; j++) least = fmin(least, margin[j]);
    if (!(squares > 1))
        return wmk_fail(WMK_ERROR_NUMERIC, "margin %.4g cannot be met: %u bits on %llu values have no solution", least, d->T,
                        (unsigned long long)d->m);
    return wmk_fail(WMK_ERROR_NUMERIC, "margin %.4g cannot be met: %u bits on %llu values allow less than %.4g", least, d->T,
                    (unsigned long long)d->m, least / sqrt(squares));
}

/* Floors are margins times the length of the result, so the length is sought: while the same floors bind, its square is linear in the square of
 * the length assumed, and two trials give the next. */
static wmk_status find_length(const wmk_dual *d, floors *f, const double *margin, double *changed_squares)
{
    double assumed = d->squares, before_assumed = 0, before_got = 0;
    for (int trial = 0; trial < 60; trial++) {
        double length = sqrt(assumed), got = d->squares, size = 0;
        for (uint32_t j = 0; j < d->T; j++) {
            f->floor[j] = margin[j] * d->unit * length;
            size = fmax(size, f->floor[j]);
        }
        if (!fill_floors(d, f, size)) return wmk_fail(WMK_ERROR_NUMERIC, "the smallest change for %u bits did not converge", d->T);
        for (uint32_t j = 0; j < d->T; j++) got += f->mu[j] * (f->start[j] + f->reached[j]);
        *changed_squares = got;
        if (fabs(got - assumed) <= 1e-11 * assumed) return WMK_OK;
        double slope = trial > 0 ? (got - before_got) / (assumed - before_assumed) : 0;
        before_assumed = assumed;
        before_got = got;
        assumed = slope < 1 && slope >= 0 ? assumed + (got - assumed) / (1 - slope) : 4 * got;
    }
    return wmk_fail(WMK_ERROR_NUMERIC, "the smallest change for %u bits did not converge: the margin is close to what %llu values allow", d->T,
                    (unsigned long long)d->m);
}

static wmk_status open_floors(floors *f, const wmk_dual *d)
{
    WMK_TRY(wmk_alloc(&f->floor, d->T, sizeof *f->floor));
    WMK_TRY(wmk_alloc(&f->reached, d->T, sizeof *f->reached));
    WMK_TRY(wmk_alloc(&f->step, d->T, sizeof *f->step));
    return wmk_alloc(&f->index, d->T, sizeof *f->index);
}

wmk_status wmk_dual_margin(wmk_dual *d, const double *margin)
{
    double *zero = NULL, squares = 0;
    floors f = {.mu = d->multiplier};
    wmk_status status;
    WMK_TRY_GOTO(status, open_floors(&f, d), done);
    WMK_TRY_GOTO(status, wmk_alloc(&zero, d->T, sizeof *zero), done);
    f.start = zero;
    WMK_TRY_GOTO(status, feasible(d, &f, margin), done);
    f.start = d->dot;
    WMK_TRY_GOTO(status, find_length(d, &f, margin, &squares), done);
    /* Scores do not change with length: the nearest multiple of the direction found. */
    double along = d->squares + wmk_dot(d->dot, d->multiplier, d->T);
    d->scale = squares > 0 ? fmax(along / squares, WMK_EMBED_LEAST) : 1;
done:
    free(f.floor);
    free(f.reached);
    free(f.step);
    free(f.index);
    free(zero);
    return status;
}

/* ---- paper eq. 6 -------------------------------------------------------------------------------------------------------------- */

static double softplus(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }

/* 1/2 ||w - w0||^2 + lambda * mean E_R, and its two parts. signed_y = s_j X_j . w */
static double objective(const wmk_dual *d, const double *a, double lambda, double *signed_y, double *distance, double *mean_e_r)
{
    times(d, a, signed_y);
    *distance = 0.5 * wmk_dot(a, signed_y, d->T);
    *mean_e_r = 0;
    for (uint32_t j = 0; j < d->T; j++) {
        signed_y[j] += d->dot[j];
        *mean_e_r += softplus(-signed_y[j]) / d->T;
    }
    return *distance + lambda * *mean_e_r;
}

/* Newton's step for F(a) = a - c sigma(-y(a)) = 0, c = lambda / T, D = c sigma (1 - sigma): (I + D G) step = -F. With R = sqrt(D) that is
 * step = -F + R (I + R G R)^-1 R G F, a positive definite system. */
static wmk_status newton(const wmk_dual *d, const double *a, double c, const double *signed_y, double *step, double *root, double *q)
{
    uint32_t T = d->T;
    for (uint32_t j = 0; j < T; j++) {
        double sigma = 1 / (1 + exp(signed_y[j]));
        step[j] = a[j] - c * sigma;
        root[j] = sqrt(c * sigma * (1 - sigma));
    }
    times(d, step, q);
    for (uint32_t j = 0; j < T; j++) q[j] *= root[j];
    if (d->diagonal) {
        for (uint32_t j = 0; j < T; j++) q[j] /= 1 + root[j] * d->gram[j] * root[j];
    } else {
        for (uint32_t j = 0; j < T; j++)
            for (uint32_t k = 0; k <= j; k++) d->work[(size_t)j * T + k] = (j == k) + root[j] * d->gram[(size_t)j * T + k] * root[k];
        if (!solve(d->work, T, T, q)) return wmk_fail(WMK_ERROR_NUMERIC, "eq. 6: a Newton step has no solution");
    }
    for (uint32_t j = 0; j < T; j++) step[j] = -step[j] + root[j] * q[j];
    return WMK_OK;
}

wmk_status wmk_dual_eq6(wmk_dual *d, double lambda, double *distance, double *mean_e_r)
{
    size_t T = d->T;
    double *room = NULL, *a = d->multiplier;
    WMK_TRY(wmk_alloc(&room, 5 * T, sizeof *room));
    double *signed_y = room, *step = room + T, *root = room + 2 * T, *q = room + 3 * T, *trial = room + 4 * T;
    double now = objective(d, a, lambda, signed_y, distance, mean_e_r);
    wmk_status status = WMK_OK;
    for (int round = 0; round < 100; round++) {
        WMK_TRY_GOTO(status, newton(d, a, lambda / (double)T, signed_y, step, root, q), done);
        double size = 1, next = now;
        for (int halved = 0; halved < 40; halved++, size /= 2) {
            for (size_t j = 0; j < T; j++) trial[j] = a[j] + size * step[j];
            next = objective(d, trial, lambda, signed_y, distance, mean_e_r);
            if (next <= now) break;
        }
        if (!(next <= now)) { /* at the minimum to rounding */
            objective(d, a, lambda, signed_y, distance, mean_e_r);
            break;
        }
        memcpy(a, trial, T * sizeof *a);
        bool settled = now - next <= 1e-15 * now;
        now = next;
        if (settled) break;
    }
    d->scale = 1;
done:
    free(room);
    return status;
}

/* ---- the vector --------------------------------------------------------------------------------------------------------------- */

typedef struct apply_call {
    const wmk_dual *d;
    const wmk_embedding *e;
    const double *w0;
    double *w;
} apply_call;

/* One thread's share of the columns, in a parallel region. */
static void apply_random(void *argument)
{
    enum { PIECE = 512 };
    const apply_call *call = argument;
    const wmk_dual *d = call->d;
#pragma omp for schedule(dynamic, 1)
    for (uint64_t column = 0; column < d->m; column += PIECE) {
        size_t n = d->m - column < PIECE ? (size_t)(d->m - column) : PIECE;
        float x[PIECE];
        double sum[PIECE] = {0};
        for (uint32_t j = 0; j < d->T; j++) {
            double a = d->multiplier[j] * call->e->sign[j];
            if (a == 0) continue;
            wmk_x_normal(call->e->key, j, column, n, x);
            wmk_add_rows(sum, x, 0, &a, 1, n);
        }
        for (size_t i = 0; i < n; i++) call->w[column + i] = d->scale * (call->w0[column + i] + sum[i]);
    }
}

wmk_status wmk_dual_apply(const wmk_dual *d, const wmk_embedding *e, const double *w0, double *w)
{
    if (d->diagonal) {
        bool diff = e->key->scheme == WMK_SCHEME_DIFF;
        uint64_t *column = NULL;
        WMK_TRY(wmk_secret_alloc(&column, (size_t)d->T * 2, sizeof *column));
        wmk_status status = wmk_x_columns(e->key, column, diff ? column + d->T : NULL);
        if (status == WMK_OK) {
            for (uint64_t c = 0; c < d->m; c++) w[c] = d->scale * w0[c];
            for (uint32_t j = 0; j < d->T; j++) {
                double add = d->scale * d->multiplier[j] * e->sign[j];
                w[column[j]] += add;
                if (diff) w[column[d->T + j]] -= add;
            }
        }
        wmk_secret_free(column);
        return status;
    }
#pragma omp parallel
    wmk_secret_call(apply_random, &(apply_call){d, e, w0, w});
    return WMK_OK;
}
