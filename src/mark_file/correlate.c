/* mark_file/correlate.c - one product of two matrices: the signed sums of the rows of X, target by
 * target, and the carriers, tensor by tensor. Both are made some columns at a time and never held
 * whole. What follows from the key is made once per call for each target, not once per pair. */
#include "mark_file/correlate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/secret.h"
#include "mark/carrier.h"
#include "mark/carrier_kernel.h"
#include "mark/x.h"

enum { STEP_MOST = 4096, STEP_LEAST = 256, HELD = 1 << 17, WORTH_THREADS = 1 << 14 }; /* columns; doubles of the carriers; columns of all */

/* A column that schemes direct and diff look at. */
typedef struct pick {
    uint64_t column;
    float value; /* (2 b_j - 1) X_ji */
} pick;

struct wmk_correlation {
    const wmk_key *key;
    uint64_t *first; /* [targets] first column of X */
    float *sign;     /* [2 T] by deal (mark/x.h): what a column adds in its row, times 2 b_j - 1 */
    pick *picks;     /* [pick_count] schemes direct and diff; not sorted, as qsort keeps copies of secrets */
    size_t pick_count;
};

static wmk_status list_picks(wmk_correlation *c)
{
    uint32_t T = wmk_key_bit_count(c->key);
    bool diff = wmk_key_scheme(c->key) == WMK_SCHEME_DIFF;
    uint64_t *column;
    WMK_TRY(wmk_secret_alloc(&column, (size_t)T * 2, sizeof *column));
    wmk_status status = wmk_x_columns(c->key, column, diff ? column + T : NULL);
    c->pick_count = (size_t)T * (diff ? 2 : 1);
    if (status == WMK_OK) status = wmk_secret_alloc(&c->picks, c->pick_count, sizeof *c->picks);
    for (size_t i = 0; status == WMK_OK && i < c->pick_count; i++) c->picks[i] = (pick){column[i], i < T ? c->sign[2 * i] : c->sign[2 * (i - T) + 1]};
    wmk_secret_free(column);
    return status;
}

static wmk_status list_signs(wmk_correlation *c)
{
    uint32_t T = wmk_key_bit_count(c->key);
    uint8_t *b;
    WMK_TRY(wmk_secret_alloc(&b, T, 1));
    wmk_status status = wmk_secret_alloc(&c->sign, 2 * (size_t)T, sizeof *c->sign);
    if (status == WMK_OK) wmk_key_bits(c->key, b);
    for (size_t j = 0; status == WMK_OK && j < T; j++) {
        c->sign[2 * j] = b[j] ? 1 : -1;
        c->sign[2 * j + 1] = -c->sign[2 * j];
    }
    wmk_secret_free(b);
    return status;
}

/* The columns of one target of the carrier: all its weights, or those of one filter. */
static uint64_t columns_of(const wmk_target *target, wmk_carrier carrier)
{
    uint64_t columns = 1;
    for (uint32_t i = 0; i < target->rank; i++)
        if (carrier != WMK_CARRIER_MEAN || target->layout[i] != 'O') columns *= target->shape[i];
    return columns;
}

wmk_status wmk_correlation_begin(wmk_correlation **out, const wmk_key *key)
{
    wmk_correlation *c;
    size_t count = wmk_key_target_count(key);
    wmk_scheme scheme = wmk_key_scheme(key);
    WMK_TRY(wmk_alloc(&c, 1, sizeof *c));
    c->key = key;
    wmk_status status = wmk_alloc(&c->first, count, sizeof *c->first);
    for (size_t t = 1; status == WMK_OK && t < count; t++)
        c->first[t] = c->first[t - 1] + columns_of(wmk_key_target(key, t - 1), wmk_key_carrier(key));
    if (status == WMK_OK) status = list_signs(c);
    if (status == WMK_OK && (scheme == WMK_SCHEME_DIRECT || scheme == WMK_SCHEME_DIFF)) status = list_picks(c);
    if (status == WMK_OK)
        *out = c;
    else
        wmk_correlation_end(c);
    return status;
}

void wmk_correlation_end(wmk_correlation *c)
{
    if (!c) return;
    free(c->first);
    wmk_secret_free(c->sign);
    wmk_secret_free(c->picks);
    free(c);
}

/* ---- a: what the key adds up ---- */

/* One thread's memory for the rows of X. Secret. */
typedef struct rows_room {
    float a[STEP_MOST], x[STEP_MOST];
    uint16_t deal[STEP_MOST];
} rows_room;

/* room->a [count] = columns [column, column + count) of the signed sum of the rows. */
static void sum_rows(const wmk_correlation *c, uint64_t column, size_t count, rows_room *room)
{
    const wmk_key *key = c->key;
    wmk_scheme scheme = wmk_key_scheme(key);
    float *a = room->a;
    if (scheme == WMK_SCHEME_PARTITION) {
        wmk_x_deal(key, column, count, room->deal);
        for (size_t i = 0; i < count; i++) a[i] = c->sign[room->deal[i] / WMK_DEAL_MINUS];
        return;
    }
    memset(a, 0, count * sizeof *a);
    if (scheme == WMK_SCHEME_RANDOM) {
        for (uint32_t j = 0; j < wmk_key_bit_count(key); j++) {
            wmk_x_normal(key, j, column, count, room->x);
            float sign = c->sign[2 * j];
            for (size_t i = 0; i < count; i++) a[i] += sign * room->x[i];
        }
        return;
    }
    for (size_t i = 0; i < c->pick_count; i++)
        if (c->picks[i].column >= column && c->picks[i].column - column < count) a[c->picks[i].column - column] += c->picks[i].value;
}

/* ---- w: the carriers ---- */

/* The tensors of one call. */
typedef struct carriers {
    wmk_vector *vector;     /* [count] opened where readable; of the tensor alone */
    wmk_tensor_view *plain; /* [count] the views; of those with a codec their values as float */
    bool *readable;         /* [count] the caller's */
    double *w;              /* [count][step] the columns at hand */
    double *squares;        /* [count] of w so far */
    size_t count, step;
} carriers;

/* Codecs decode many values to give one, and w is read across their order. */
static wmk_status decode(wmk_tensor_view *view)
{
    enum { RUN = 4096 };
    uint64_t count;
    float *values;
    if (!wmk_product_u64(view->shape, view->rank, &count) || count > SIZE_MAX / sizeof *values)
        return wmk_fail(WMK_ERROR_INPUT, "tensor \"%s\": its shape overflows", view->name);
    WMK_TRY(wmk_alloc(&values, (size_t)count, sizeof *values));
#pragma omp parallel for schedule(dynamic)
    for (uint64_t at = 0; at < count; at += RUN) {
        double run[RUN];
        size_t n = count - at < RUN ? (size_t)(count - at) : RUN;
        wmk_view_read(view, at, n, run);
        for (size_t i = 0; i < n; i++) values[at + i] = (float)run[i];
    }
    view->data = values;
    view->dtype = WMK_F32;
    view->codec = NULL;
    view->data_bytes = 0;
    return WMK_OK;
}

static wmk_status open_carrier(carriers *c, size_t v, const wmk_key *alone, const wmk_tensor_view *view)
{
    c->plain[v] = *view;
    if (view->codec) WMK_TRY(decode(&c->plain[v]));
    wmk_status status = wmk_vector_open(&c->vector[v], alone, &c->plain[v], NULL);
    c->readable[v] = status == WMK_OK;
    return status == WMK_ERROR_INPUT ? WMK_OK : status;
}

static void close_carriers(carriers *c, const wmk_tensor_view *views)
{
    for (size_t v = 0; v < c->count; v++) {
        if (c->vector) wmk_vector_close(&c->vector[v]);
        if (c->plain && c->plain[v].data != views[v].data) free((void *)(uintptr_t)c->plain[v].data);
    }
    free(c->vector);
    free(c->plain);
    free(c->w);
    free(c->squares);
}

static wmk_status open_carriers(carriers *c, const wmk_key *alone, const wmk_tensor_view *views)
{
    size_t step = HELD / c->count / STEP_LEAST * STEP_LEAST;
    c->step = step < STEP_LEAST ? STEP_LEAST : step > STEP_MOST ? STEP_MOST : step;
    if (c->step > wmk_key_m(alone)) c->step = (size_t)wmk_key_m(alone);
    WMK_TRY(wmk_alloc(&c->vector, c->count, sizeof *c->vector));
    WMK_TRY(wmk_alloc(&c->plain, c->count, sizeof *c->plain));
    WMK_TRY(wmk_alloc(&c->w, c->count * c->step, sizeof *c->w));
    WMK_TRY(wmk_alloc(&c->squares, c->count, sizeof *c->squares));
    memcpy(c->plain, views, c->count * sizeof *views);
    for (size_t v = 0; v < c->count; v++) WMK_TRY(open_carrier(c, v, alone, &views[v]));
    return WMK_OK;
}

static void read_carriers(carriers *c, uint64_t column, size_t count)
{
#pragma omp parallel for schedule(dynamic) if (c->count * count > WORTH_THREADS)
    for (size_t v = 0; v < c->count; v++) {
        double *w = c->w + v * c->step;
        if (!c->readable[v]) continue;
        wmk_vector_block(&c->vector[v], column, count, w);
        c->squares[v] += wmk_dot(w, w, count);
    }
}

/* ---- the product ---- */

typedef struct product {
    const wmk_correlation *correlation;
    const size_t *targets;
    double *sum;     /* [targets][views]: the caller's `agreement` */
    double *squares; /* [targets] of a so far */
    size_t count;
} product;

/* The columns [column, column + count) of each target. */
typedef struct columns_call {
    const product *p;
    const carriers *c;
    uint64_t column;
    size_t count;
    wmk_status status;
} columns_call;

/* Adds them to what `c` holds of the tensors, one thread's share of the targets in a parallel region. */
static void add_share(void *argument)
{
    columns_call *call = argument;
    const product *p = call->p;
    const carriers *c = call->c;
    size_t count = call->count;
    rows_room *room = NULL;
    bool there = wmk_secret_alloc(&room, 1, sizeof *room) == WMK_OK;
#pragma omp for schedule(dynamic, 4)
    for (size_t t = 0; t < p->count; t++) {
        if (!there) continue;
        sum_rows(p->correlation, p->correlation->first[p->targets[t]] + call->column, count, room);
        for (size_t i = 0; i < count; i++) p->squares[t] += (double)room->a[i] * room->a[i];
        for (size_t v = 0; v < c->count; v++)
            if (c->readable[v]) p->sum[t * c->count + v] += wmk_dot_row(room->a, c->w + v * c->step, count);
    }
    if (!there)
#pragma omp atomic write
        call->status = WMK_ERROR_MEMORY;
    wmk_secret_free(room);
}

static wmk_status add_columns(const product *p, const carriers *c, uint64_t column, size_t count)
{
    columns_call call = {p, c, column, count, WMK_OK};
#pragma omp parallel if (p->count * count > WORTH_THREADS)
    wmk_secret_call(add_share, &call);
    return call.status == WMK_OK ? WMK_OK : wmk_fail_memory(sizeof(rows_room));
}

/* A key of one target of this geometry, for what only needs carrier and shape. */
static wmk_status key_of_one(wmk_key **out, const wmk_key *key, size_t target)
{
    static const uint8_t no_seed[WMK_SEED_BYTES];
    wmk_key_options options = WMK_KEY_OPTIONS_INIT;
    options.scheme = WMK_SCHEME_PARTITION;
    options.carrier = wmk_key_carrier(key);
    options.bits = 1;
    options.seed = no_seed;
    options.created = 1;
    options.targets = wmk_key_target(key, target);
    options.target_count = 1;
    return wmk_key_create(out, &options);
}

wmk_status wmk_correlate(wmk_correlation *correlation, const size_t *targets, size_t target_count, const wmk_tensor_view *views, size_t view_count,
                         double *agreement, bool *readable)
{
    product p = {correlation, targets, agreement, NULL, target_count};
    carriers c = {.readable = readable, .count = view_count};
    wmk_key *alone = NULL;
    wmk_status status;
    memset(agreement, 0, target_count * view_count * sizeof *agreement);
    WMK_TRY_GOTO(status, key_of_one(&alone, correlation->key, targets[0]), done);
    WMK_TRY_GOTO(status, open_carriers(&c, alone, views), done);
    WMK_TRY_GOTO(status, wmk_alloc(&p.squares, target_count, sizeof *p.squares), done);
    uint64_t columns = wmk_key_m(alone);
    for (uint64_t column = 0; column < columns; column += c.step) {
        size_t count = columns - column < c.step ? (size_t)(columns - column) : c.step;
        read_carriers(&c, column, count);
        WMK_TRY_GOTO(status, add_columns(&p, &c, column, count), done);
    }
    for (size_t t = 0; t < target_count; t++)
        for (size_t v = 0; v < view_count; v++) {
            double *sum = &agreement[t * view_count + v];
            double length = sqrt(p.squares[t] / (double)columns) * sqrt(c.squares[v]);
            *sum = !readable[v] ? -INFINITY : length > 0 && isfinite(*sum / length) ? *sum / length : 0;
        }
done:
    free(p.squares);
    close_carriers(&c, views);
    wmk_key_free(alone);
    return status;
}
