/* mark/read.c - y_j = X_j . w, and what it means in units of an unmarked model's deviation. */
#include "mark/read.h"

#include <math.h>
#include <sodium.h>
#include <stdlib.h>

#include "base/memory.h"
#include "mark/carrier_kernel.h"
#include "mark/carrier_tile.h"
#include "mark/key.h"
#include "mark/x.h"

#define COLUMNS 16384 /* of w held at a time, scheme random */
#define PIECE 1024    /* of a row of X held at a time */

static wmk_status make_reading(wmk_reading **out, uint32_t T, const wmk_vector *vector)
{
    wmk_reading *r = NULL;
    WMK_TRY(wmk_alloc(&r, 1, sizeof *r));
    r->T = T;
    r->weights_read = vector->weights_read;
    r->weights_missing = vector->weights_missing;
    wmk_status status;
    WMK_TRY_GOTO(status, wmk_alloc(&r->y, T, sizeof *r->y), failed);
    WMK_TRY_GOTO(status, wmk_alloc(&r->score, T, sizeof *r->score), failed);
    WMK_TRY_GOTO(status, wmk_alloc(&r->bit, T, 1), failed);
    WMK_TRY_GOTO(status, wmk_alloc(&r->erased, T, 1), failed);
    *out = r;
    return WMK_OK;
failed:
    wmk_reading_free(r);
    return status;
}

void wmk_reading_free(wmk_reading *reading)
{
    if (reading == NULL) return;
    free(reading->y);
    free(reading->score);
    free(reading->bit);
    free(reading->erased);
    free(reading);
}

/* Below this a length has lost digits to squares that underflowed (2^48 of them, each off by 2^-1075 at most), and a score over it could be of any size. */
#define LENGTH_LEAST 0x1p-480

/* dot = X_j . w, length that of w where row j sees it, deviation of dot in a model made without the key. raw: y keeps its own units (single-target mean). */
static void settle(wmk_reading *r, uint32_t j, double dot, double length, double deviation, bool raw)
{
    bool erased = length < LENGTH_LEAST;
    r->erased[j] = erased;
    r->score[j] = erased ? 0 : dot / deviation;
    r->y[j] = erased ? 0 : raw ? dot : dot / length;
    r->bit[j] = r->y[j] >= 0;
}

static wmk_status read_random(wmk_reading *r, const wmk_key *key, const wmk_vector *vector)
{
    double *w = NULL, squares = 0;
    WMK_TRY(wmk_alloc(&w, vector->m < COLUMNS ? vector->m : COLUMNS, sizeof *w));
    for (uint64_t column = 0; column < vector->m; column += COLUMNS) {
        uint64_t there = wmk_vector_next(vector, column);
        if (there == vector->m) break;
        column = there / COLUMNS * COLUMNS; /* a missing target costs nothing: a key file may give it any size */
        size_t n = vector->m - column < COLUMNS ? (size_t)(vector->m - column) : COLUMNS;
        wmk_vector_block(vector, column, n, w);
        double here = 0;
        for (size_t i = 0; i < n; i++) here += w[i] * w[i];
        squares += here;
        if (here == 0) continue;
#pragma omp parallel for schedule(dynamic, 4)
        for (uint32_t j = 0; j < r->T; j++) {
            float x[PIECE];
            double sum = 0;
            for (size_t i = 0; i < n; i += PIECE) {
                size_t now = n - i < PIECE ? n - i : PIECE;
                wmk_x_normal(key, j, column + i, now, x);
                sum += wmk_dot_row(x, w + i, now);
            }
            sodium_memzero(x, sizeof x);
            r->y[j] += sum;
        }
    }
    free(w);
    double length = sqrt(squares);
    for (uint32_t j = 0; j < r->T; j++) settle(r, j, r->y[j], length, length, !vector->normalized);
    return WMK_OK;
}

static double mean_square(const wmk_vector *vector)
{
    double squares = 0;
    for (uint64_t c = 0; c < vector->m; c++) squares += vector->mean[c] * vector->mean[c];
    return squares / (double)vector->m;
}

static wmk_status read_columns(wmk_reading *r, const wmk_key *key, const wmk_vector *vector)
{
    bool diff = key->scheme == WMK_SCHEME_DIFF;
    uint64_t *column = NULL;
    WMK_TRY(wmk_alloc(&column, (size_t)r->T * 2, sizeof *column));
    wmk_status status;
    WMK_TRY_GOTO(status, wmk_x_columns(key, column, diff ? column + r->T : NULL), done);
    /* Raw: a difference of two has twice the variance of one. */
    double raw = vector->normalized ? 0 : sqrt(mean_square(vector) * (diff ? 2 : 1));
    for (uint32_t j = 0; j < r->T; j++) {
        double plus, minus = 0;
        wmk_vector_block(vector, column[j], 1, &plus);
        if (diff) wmk_vector_block(vector, column[r->T + j], 1, &minus);
        double length = diff ? sqrt(plus * plus + minus * minus) : fabs(plus);
        settle(r, j, plus - minus, length, vector->normalized ? length : raw, !vector->normalized);
    }
done:
    sodium_memzero(column, (size_t)r->T * 2 * sizeof *column);
    free(column);
    return status;
}

/* Sums of one row over the columns dealt to it: of sign * w, and of w squared. */
typedef double pair[2];

typedef struct deal_sums {
    pair *sum; /* [chunk][T] */
    uint32_t T;
} deal_sums;

static void visit_deal(void *payload, uint32_t chunk, const wmk_strip *strip)
{
    const deal_sums *to = payload;
    wmk_deal_row(to->sum + (size_t)chunk * to->T, strip->value, strip->inverse, strip->row, strip->sign, strip->count);
}

static void deal_mean(pair *sum, const wmk_key *key, const wmk_vector *vector)
{
    enum { RUN = 2048 };
    double one[RUN];
    uint16_t row[RUN];
    int8_t sign[RUN];
    for (int i = 0; i < RUN; i++) one[i] = 1;
    for (uint64_t column = 0; column < vector->m; column += RUN) {
        size_t n = vector->m - column < RUN ? (size_t)(vector->m - column) : RUN;
        wmk_x_deal(key, column, n, row, sign);
        wmk_deal_row(sum, vector->mean + column, one, row, sign, n);
    }
    sodium_memzero(row, sizeof row);
    sodium_memzero(sign, sizeof sign);
}

static wmk_status read_partition(wmk_reading *r, const wmk_key *key, const wmk_vector *vector)
{
    bool mean = vector->carrier == WMK_CARRIER_MEAN;
    uint32_t chunks = mean ? 1 : wmk_tiles_chunks(vector);
    deal_sums to = {.T = r->T};
    WMK_TRY(wmk_alloc_aligned(&to.sum, (size_t)chunks * r->T * sizeof *to.sum));
    wmk_status status = WMK_OK;
    if (mean)
        deal_mean(to.sum, key, vector);
    else
        WMK_TRY_GOTO(status, wmk_tiles_walk(key, vector, &(wmk_walk){.visit = visit_deal, .payload = &to, .traffic = vector->traffic}), done);
    for (uint32_t j = 0; j < r->T; j++) {
        pair all = {0};
        for (uint32_t c = 0; c < chunks; c++)
            for (int k = 0; k < 2; k++) all[k] += to.sum[(size_t)c * r->T + j][k];
        double length = sqrt(all[1]);
        settle(r, j, all[0], length, length, !vector->normalized);
    }
done:
    wmk_free_aligned(to.sum);
    return status;
}

wmk_status wmk_vector_read(wmk_reading **out, const wmk_key *key, const wmk_vector *vector)
{
    wmk_reading *r = NULL;
    WMK_TRY(make_reading(&r, key->T, vector));
    wmk_status status;
    switch (key->scheme) {
    case WMK_SCHEME_RANDOM:
        status = read_random(r, key, vector);
        break;
    case WMK_SCHEME_PARTITION:
        status = read_partition(r, key, vector);
        break;
    default:
        status = read_columns(r, key, vector);
    }
    if (status == WMK_OK)
        *out = r;
    else
        wmk_reading_free(r);
    return status;
}

wmk_status wmk_reading_of_sums(wmk_reading **out, const wmk_vector *vector, uint32_t T, const wmk_row_sums *sums)
{
    WMK_TRY(make_reading(out, T, vector));
    for (uint32_t j = 0; j < T; j++) {
        double length = sqrt(sums[j].squares);
        settle(*out, j, sums[j].dot, length, length, !vector->normalized);
    }
    return WMK_OK;
}

wmk_status wmk_mark_read(wmk_reading **out, const wmk_key *key, const wmk_tensor_view *views) { return wmk_views_read(out, key, views, NULL); }

wmk_status wmk_views_read(wmk_reading **out, const wmk_key *key, const wmk_tensor_view *views, const wmk_traffic *traffic)
{
    wmk_vector vector;
    WMK_TRY(wmk_vector_open(&vector, key, views, traffic));
    wmk_status status = wmk_vector_read(out, key, &vector);
    wmk_vector_close(&vector);
    return status;
}
