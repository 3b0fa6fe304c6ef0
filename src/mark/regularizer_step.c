/* mark/regularizer_step.c - E_R and its gradient (paper eq. 4-5). The factors that normalise w, and the lengths that y_j is measured by, are
 * constants in the gradient (docs/spec.md, "Regularizer"). */
#include <math.h>
#include <string.h>

#include "base/secret.h"
#include "mark/carrier_kernel.h"
#include "mark/key.h"
#include "mark/regularizer.h"
#include "mark/x.h"

#define PIECE 512   /* columns of a row of X at a time */
#define COLUMNS 144 /* of dE_R/dw that one thread sums at a time */
#define LARGE 16384 /* elements worth a second thread */

/* ---- w ---------------------------------------------------------------------------------------------------------------------------- */

/* Whether the input channels of target t have factors of their own. */
static bool has_channels(const wmk_regularizer *r, size_t t) { return r->balanced != NULL && r->balanced[t].balance != NULL; }

/* Target t's mean over filters, over its RMS unless raw; false when a weight is not finite. */
static bool take_mean(wmk_regularizer *r, size_t t)
{
    const wmk_place *place = &r->place[t];
    double *w = r->w + place->column, squares = 0, per = 1 / (double)place->filters;
    wmk_view_filter_sums(&r->views[t], place, w);
    for (uint64_t s = 0; s < place->per_filter; s++) {
        w[s] *= per;
        squares += w[s] * w[s];
    }
    r->inverse[t] = 1;
    if (!r->normalized) return isfinite(squares);
    r->inverse[t] = squares > 0 ? 1 / sqrt(squares / (double)place->per_filter) : 0;
    for (uint64_t s = 0; s < place->per_filter; s++) w[s] *= r->inverse[t];
    return isfinite(squares);
}

/* The filters' factors of target t; false when a weight is not finite. */
static bool take_filters(wmk_regularizer *r, size_t t)
{
    const wmk_place *place = &r->place[t];
    double *squares = r->squares + place->filter, *inverse = r->inverse + place->filter;
    if (has_channels(r, t)) {
        const struct wmk_balanced_target *b = &r->balanced[t];
        uint64_t lost = wmk_balance_compute(b->balance, b->channel, NULL, squares, inverse, NULL);
        for (uint64_t p = 0; p < place->per_filter; p++) b->factor[p] = b->channel[b->channel_of[p]];
        return lost == 0;
    }
    wmk_view_filter_squares(&r->views[t], place, squares, NULL);
    bool finite = true;
    for (uint64_t f = 0; f < place->filters; f++) {
        finite = finite && isfinite(squares[f]);
        inverse[f] = squares[f] > 0 ? 1 / sqrt(squares[f] / (double)place->per_filter) : 0;
    }
    return finite;
}

/* Target t's weights, each times its filter's factor and, for carrier balanced, its input channel's. */
static bool take_weights(wmk_regularizer *r, size_t t)
{
    const wmk_place *place = &r->place[t];
    const double *inverse = r->inverse + place->filter, *factor = has_channels(r, t) ? r->balanced[t].factor : NULL;
    const float *weights = r->views[t].data;
    double *w = r->w + place->column;
    bool finite = take_filters(r, t);
    if (place->inner == 1) {
#pragma omp parallel for schedule(static) if (place->outer * place->filters > LARGE)
        for (uint64_t u = 0; u < place->outer; u++) {
            double by = factor != NULL ? factor[u] : 1;
            for (uint64_t f = 0; f < place->filters; f++) w[u * place->filters + f] = weights[u * place->filters + f] * (inverse[f] * by);
        }
        return finite;
    }
#pragma omp parallel for schedule(static) if (place->filters * place->per_filter > LARGE)
    for (uint64_t run = 0; run < place->outer * place->filters; run++) {
        const float *from = weights + run * place->inner;
        double *to = w + run * place->inner, by = inverse[run % place->filters];
        const double *each = factor != NULL ? factor + run / place->filters * place->inner : NULL;
        for (uint64_t q = 0; q < place->inner && each == NULL; q++) to[q] = from[q] * by;
        for (uint64_t q = 0; q < place->inner && each != NULL; q++) to[q] = from[q] * (by * each[q]);
    }
    return finite;
}

/* ---- y ---------------------------------------------------------------------------------------------------------------------------- */

/* y = X w, one thread's share of the rows in a parallel region; X as it is kept, or made anew. argument: the regularizer. */
static void multiply_rows(void *argument)
{
    wmk_regularizer *r = argument;
#pragma omp for schedule(static)
    for (uint32_t j = 0; j < r->T; j++) {
        if (r->x != NULL) {
            r->y[j] = wmk_dot_row(r->x + j * r->m, r->w, r->m);
            continue;
        }
        float x[PIECE];
        double sum = 0;
        for (uint64_t c = 0; c < r->m; c += PIECE) {
            size_t n = r->m - c < PIECE ? (size_t)(r->m - c) : PIECE;
            wmk_x_normal(r->key, j, c, n, x);
            sum += wmk_dot_row(x, r->w_column + c, n);
        }
        r->y[j] = sum;
    }
}

static void read_random(wmk_regularizer *r)
{
    for (uint64_t s = 0; r->x == NULL && s < r->m; s++) r->w_column[r->column[s]] = r->w[s];
#pragma omp parallel if (r->T * r->m > LARGE)
    wmk_secret_call(multiply_rows, r);
    double length = 1;
    if (r->normalized) {
        length = 0;
        for (uint64_t s = 0; s < r->m; s++) length += r->w[s] * r->w[s];
        length = sqrt(length);
    }
    for (uint32_t j = 0; j < r->T; j++) r->length[j] = length;
}

static void read_rows(wmk_regularizer *r)
{
    memset(r->sums, 0, (size_t)r->chunks * r->T * 2 * sizeof *r->sums);
#pragma omp parallel for schedule(static) if (r->m > LARGE)
    for (uint32_t c = 0; c < r->chunks; c++) {
        double *sums = r->sums + (size_t)c * r->T * 2;
        for (uint64_t s = r->m * c / r->chunks; s < r->m * (c + 1) / r->chunks; s++) {
            if (r->row[s] == WMK_NO_ROW) continue;
            double *mine = sums + 2 * (size_t)r->row[s], w = r->w[s];
            mine[0] += r->sign[s] * w;
            mine[1] += w * w;
        }
    }
    for (uint32_t j = 0; j < r->T; j++) {
        double y = 0, squares = 0;
        for (uint32_t c = 0; c < r->chunks; c++) {
            y += r->sums[((size_t)c * r->T + j) * 2];
            squares += r->sums[((size_t)c * r->T + j) * 2 + 1];
        }
        r->y[j] = y;
        r->length[j] = r->normalized ? sqrt(squares) : 1;
    }
}

/* E_R = sum_j log(1 + exp(-s_j kappa y_j)); the coefficients are scaled by `factor`. A bit without weights counts log 2 and pulls nowhere. */
static double lose(wmk_regularizer *r, double factor, uint32_t *errors)
{
    double sum = 0;
    *errors = 0;
    for (uint32_t j = 0; j < r->T; j++) {
        double per = r->length[j] > 0 ? r->kappa / r->length[j] : 0, y = per * r->y[j], s = r->b[j] ? 1 : -1, small = exp(-fabs(y));
        sum += log1p(small) + (s * y < 0 ? -s * y : 0);
        double wrong = s * y < 0 ? 1 / (1 + small) : small / (1 + small); /* sigma(-s y) */
        r->coefficient[j] = -factor * per * s * wrong;
        *errors += (y >= 0) != r->b[j];
    }
    return sum;
}

/* ---- the gradient ------------------------------------------------------------------------------------------------------------------ */

/* One thread's share of the columns, in a parallel region. argument: the regularizer. */
static void add_random_rows(void *argument)
{
    wmk_regularizer *r = argument;
    double *diff = r->x != NULL ? r->diff_w : r->diff_column;
    uint64_t width = r->x != NULL ? COLUMNS : PIECE;
#pragma omp for schedule(static)
    for (uint64_t c = 0; c < r->m; c += width) {
        size_t n = r->m - c < width ? (size_t)(r->m - c) : (size_t)width;
        double sum[PIECE] = {0};
        if (r->x != NULL) {
            wmk_add_rows(sum, r->x + c, r->m, r->coefficient, r->T, n);
        } else {
            float x[PIECE];
            for (uint32_t j = 0; j < r->T; j++) {
                wmk_x_normal(r->key, j, c, n, x);
                wmk_add_rows(sum, x, 0, &r->coefficient[j], 1, n);
            }
        }
        memcpy(diff + c, sum, n * sizeof *sum);
    }
}

static void spread_random(wmk_regularizer *r)
{
#pragma omp parallel if (r->T * r->m > LARGE)
    wmk_secret_call(add_random_rows, r);
    for (uint64_t s = 0; r->x == NULL && s < r->m; s++) r->diff_w[s] = r->diff_column[r->column[s]];
}

static void spread_rows(wmk_regularizer *r)
{
#pragma omp parallel for schedule(static) if (r->m > LARGE)
    for (uint64_t s = 0; s < r->m; s++) r->diff_w[s] = r->row[s] == WMK_NO_ROW ? 0 : r->coefficient[r->row[s]] * r->sign[s];
}

static void add_mean(wmk_regularizer *r, size_t t, float *gradient)
{
    const wmk_place *place = &r->place[t];
    const double *diff = r->diff_w + place->column;
    float *each = r->diff_mean + place->column;
    double per = r->inverse[t] / (double)place->filters;
    for (uint64_t s = 0; s < place->per_filter; s++) each[s] = (float)(diff[s] * per);
#pragma omp parallel for schedule(static) if (place->filters * place->per_filter > LARGE)
    for (uint64_t run = 0; run < place->outer * place->filters; run++) {
        const float *from = each + run / place->filters * place->inner;
        float *to = gradient + run * place->inner;
#pragma omp simd
        for (uint64_t q = 0; q < place->inner; q++) to[q] += from[q];
    }
}

/* inner == 1: neighbours are filters */
static void add_mean_across(wmk_regularizer *r, size_t t, float *gradient)
{
    const wmk_place *place = &r->place[t];
    double per = r->inverse[t] / (double)place->filters;
#pragma omp parallel for schedule(static) if (place->filters * place->per_filter > LARGE)
    for (uint64_t u = 0; u < place->outer; u++) {
        float each = (float)(r->diff_w[place->column + u] * per), *to = gradient + u * place->filters;
#pragma omp simd
        for (uint64_t f = 0; f < place->filters; f++) to[f] += each;
    }
}

static void add_weights(wmk_regularizer *r, size_t t, float *gradient)
{
    const wmk_place *place = &r->place[t];
    const double *diff = r->diff_w + place->column, *inverse = r->inverse + place->filter;
    const double *factor = has_channels(r, t) ? r->balanced[t].factor : NULL;
    if (place->inner == 1) {
#pragma omp parallel for schedule(static) if (place->outer * place->filters > LARGE)
        for (uint64_t u = 0; u < place->outer; u++) {
            double by = factor != NULL ? factor[u] : 1;
            for (uint64_t f = 0; f < place->filters; f++)
                gradient[u * place->filters + f] += (float)(diff[u * place->filters + f] * (inverse[f] * by));
        }
        return;
    }
#pragma omp parallel for schedule(static) if (place->filters * place->per_filter > LARGE)
    for (uint64_t run = 0; run < place->outer * place->filters; run++) {
        double by = inverse[run % place->filters];
        const double *from = diff + run * place->inner, *each = factor != NULL ? factor + run / place->filters * place->inner : NULL;
        float *to = gradient + run * place->inner;
        for (uint64_t q = 0; q < place->inner && each == NULL; q++) to[q] += (float)(from[q] * by);
        for (uint64_t q = 0; q < place->inner && each != NULL; q++) to[q] += (float)(from[q] * (by * each[q]));
    }
}

wmk_status wmk_regularizer_step(wmk_regularizer *r, double factor, float *const *gradients, double *sum, uint32_t *errors)
{
    for (size_t t = 0; t < r->count; t++)
        if (!(r->mean ? take_mean(r, t) : take_weights(r, t)))
            return wmk_fail(WMK_ERROR_NUMERIC, "tensor %s holds a weight that is no finite number", wmk_view_name(r->key, r->views, t));
    bool random = r->key->scheme == WMK_SCHEME_RANDOM;
    if (random)
        read_random(r);
    else
        read_rows(r);
    uint32_t wrong;
    double e_r = lose(r, factor, &wrong);
    if (gradients != NULL) {
        if (random)
            spread_random(r);
        else
            spread_rows(r);
        for (size_t t = 0; t < r->count; t++) {
            if (!r->mean)
                add_weights(r, t, gradients[t]);
            else if (r->place[t].inner == 1)
                add_mean_across(r, t, gradients[t]);
            else
                add_mean(r, t, gradients[t]);
        }
    }
    if (sum != NULL) *sum = e_r;
    if (errors != NULL) *errors = wrong;
    return WMK_OK;
}
