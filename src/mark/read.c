/* mark/read.c - y_j = X_j . w, and what it means in units of an unmarked model's deviation. */
#include "mark/read.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/secret.h"
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
    r->weights_lost = vector->weights_lost;
    /* In a marked model the bits that are read are b: one block of secrets, which begins with y. */
    wmk_status status = wmk_secret_alloc(&r->y, T, 2 * sizeof *r->y + 2);
    if (status != WMK_OK) {
        wmk_reading_free(r);
        return status;
    }
    r->score = r->y + T;
    r->bit = (uint8_t *)(r->score + T);
    r->erased = r->bit + T;
    *out = r;
    return WMK_OK;
}

void wmk_reading_free(wmk_reading *reading)
{
    if (reading == NULL) return;
    wmk_secret_free(reading->y);
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

typedef struct random_block {
    const wmk_key *key;
    uint64_t column;
    size_t count;
    const double *w;
    double *y;
} random_block;

/* y += X w over some columns, one thread's share of the rows in a parallel region. */
static void add_random_rows(void *argument)
{
    const random_block *b = argument;
#pragma omp for schedule(dynamic, 4)
    for (uint32_t j = 0; j < b->key->T; j++) {
        float x[PIECE];
        double sum = 0;
        for (size_t i = 0; i < b->count; i += PIECE) {
            size_t now = b->count - i < PIECE ? b->count - i : PIECE;
            wmk_x_normal(b->key, j, b->column + i, now, x);
            sum += wmk_dot_row(x, b->w + i, now);
        }
        b->y[j] += sum;
    }
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
#pragma omp parallel
        wmk_secret_call(add_random_rows, &(random_block){key, column, n, w, r->y});
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
    WMK_TRY(wmk_secret_alloc(&column, (size_t)r->T * 2, sizeof *column));
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
    wmk_secret_free(column);
    return status;
}

typedef double pair[2];

typedef struct deal_sums {
    pair *sum; /* [chunk][2 T] by deal */
    size_t deals;
} deal_sums;

static void visit_deal(void *payload, uint32_t chunk, const wmk_block *block)
{
    const deal_sums *to = payload;
    for (size_t s = 0; s < block->strips; s++)
        wmk_deal_row(to->sum + chunk * to->deals, block->value + s * block->length, wmk_factor_from(block->inverse, s * block->length),
                     block->deal + s * block->length, block->length);
}

typedef struct mean_call {
    pair *sum;
    const wmk_key *key;
    const wmk_vector *vector;
} mean_call;

static void deal_mean(void *argument)
{
    enum { RUN = 2048 };
    const mean_call *call = argument;
    const wmk_key *key = call->key;
    const wmk_vector *vector = call->vector;
    const double one = 1;
    uint16_t deal[RUN];
    for (uint64_t column = 0; column < vector->m; column += RUN) {
        size_t n = vector->m - column < RUN ? (size_t)(vector->m - column) : RUN;
        wmk_x_deal(key, column, n, deal);
        wmk_deal_row(call->sum, vector->mean + column, (wmk_factor){&one, true, false}, deal, n);
    }
}

void wmk_partition_fold(pair *sum, uint32_t T, const pair *by_deal)
{
    for (uint32_t j = 0; j < T; j++) {
        const pair *plus = by_deal + 2 * (size_t)j, *minus = plus + 1;
        sum[j][0] += (*plus)[0] - (*minus)[0];
        sum[j][1] += (*plus)[1] + (*minus)[1];
    }
}

wmk_status wmk_partition_sums(pair *sum, const wmk_key *key, const wmk_vector *vector)
{
    bool mean = vector->carrier == WMK_CARRIER_MEAN;
    uint32_t chunks = mean ? 1 : wmk_tiles_chunks(vector);
    deal_sums to = {.deals = 2 * (size_t)key->T};
    wmk_status status = WMK_OK;
    WMK_TRY(wmk_secret_alloc(&to.sum, chunks * to.deals, sizeof *to.sum));
    if (mean)
        wmk_secret_call(deal_mean, &(mean_call){to.sum, key, vector});
    else
        status = wmk_tiles_walk(key, vector, &(wmk_walk){.visit = visit_deal, .payload = &to, .traffic = vector->traffic});
    for (uint32_t c = 0; status == WMK_OK && c < chunks; c++) wmk_partition_fold(sum, key->T, (const pair *)to.sum + c * to.deals);
    wmk_secret_free(to.sum);
    return status;
}

wmk_status wmk_reading_of_sums(wmk_reading **out, const wmk_vector *vector, uint32_t T, pair *sum)
{
    WMK_TRY(make_reading(out, T, vector));
    for (uint32_t j = 0; j < T; j++) {
        double length = sqrt(sum[j][1]);
        settle(*out, j, sum[j][0], length, length, !vector->normalized);
    }
    return WMK_OK;
}

static wmk_status read_partition(wmk_reading **out, const wmk_key *key, const wmk_vector *vector)
{
    pair *sum = NULL;
    WMK_TRY(wmk_secret_alloc(&sum, key->T, sizeof *sum));
    wmk_status status = wmk_partition_sums(sum, key, vector);
    if (status == WMK_OK) status = wmk_reading_of_sums(out, vector, key->T, sum);
    wmk_secret_free(sum);
    return status;
}

wmk_status wmk_vector_read(wmk_reading **out, const wmk_key *key, const wmk_vector *vector)
{
    if (key->scheme == WMK_SCHEME_PARTITION) return read_partition(out, key, vector);
    wmk_reading *r = NULL;
    WMK_TRY(make_reading(&r, key->T, vector));
    wmk_status status = key->scheme == WMK_SCHEME_RANDOM ? read_random(r, key, vector) : read_columns(r, key, vector);
    if (status == WMK_OK)
        *out = r;
    else
        wmk_reading_free(r);
    return status;
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
