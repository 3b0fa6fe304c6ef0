/* mark/regularizer.c - making a regularizer: X in the order of the views. */
#include "mark/regularizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/secret.h"
#include "mark/key.h"
#include "mark/x.h"

#define CHUNK_SLOTS 65536
#define CHUNKS_MAX 64

/* column [m]: of each slot. */
static wmk_status map_slots(const wmk_regularizer *r, uint64_t *column)
{
    for (size_t t = 0; t < r->count; t++) {
        const wmk_place *place = &r->place[t];
        uint64_t *position = NULL, slot = place->column;
        WMK_TRY(wmk_alloc(&position, place->per_filter, sizeof *position));
        wmk_place_positions(place, position);
        for (uint64_t u = 0; u < place->outer; u++)
            for (uint64_t f = 0; f < (r->mean ? 1 : place->filters); f++)
                for (uint64_t q = 0; q < place->inner; q++) {
                    uint64_t p = position[u * place->inner + q];
                    column[slot++] = place->column + (r->mean ? p : p * place->filters + f);
                }
        free(position);
    }
    return WMK_OK;
}

static wmk_status keep_random(wmk_regularizer *r, uint64_t **column)
{
    uint64_t elements;
    if (!wmk_mul_u64(r->m, r->T, &elements) || elements > WMK_X_KEPT_MAX) {
        r->column = *column;
        *column = NULL;
        WMK_TRY(wmk_alloc(&r->w_column, r->m, sizeof *r->w_column));
        return wmk_secret_alloc(&r->diff_column, r->m, sizeof *r->diff_column);
    }
    float *row = NULL;
    WMK_TRY(wmk_secret_alloc(&r->x, elements, sizeof *r->x));
    WMK_TRY(wmk_secret_alloc(&row, r->m, sizeof *row));
    for (uint32_t j = 0; j < r->T; j++) {
        wmk_x_normal(r->key, j, 0, r->m, row);
        for (uint64_t s = 0; s < r->m; s++) r->x[j * r->m + s] = row[(*column)[s]];
    }
    wmk_secret_free(row);
    return WMK_OK;
}

static wmk_status keep_rows(wmk_regularizer *r, const uint64_t *column)
{
    uint16_t *row = NULL;
    int8_t *sign = NULL;
    uint64_t chunks = (r->m + CHUNK_SLOTS - 1) / CHUNK_SLOTS;
    r->chunks = chunks < CHUNKS_MAX ? (uint32_t)chunks : CHUNKS_MAX;
    wmk_status status;
    WMK_TRY_GOTO(status, wmk_secret_alloc(&row, r->m, sizeof *row), done);
    WMK_TRY_GOTO(status, wmk_secret_alloc(&sign, r->m, 1), done);
    WMK_TRY_GOTO(status, wmk_secret_alloc(&r->row, r->m, sizeof *r->row), done);
    WMK_TRY_GOTO(status, wmk_secret_alloc(&r->sign, r->m, 1), done);
    WMK_TRY_GOTO(status, wmk_secret_alloc(&r->sums, (size_t)r->chunks * r->T * 2, sizeof *r->sums), done);
    WMK_TRY_GOTO(status, wmk_x_rows(r->key, row, sign), done);
    for (uint64_t s = 0; s < r->m; s++) {
        r->row[s] = row[column[s]];
        r->sign[s] = sign[column[s]];
    }
done:
    wmk_secret_free(row);
    wmk_secret_free(sign);
    return status;
}

/* Room for the input channels' factors of one target. */
static wmk_status open_balanced(struct wmk_balanced_target *b, const wmk_tensor_view *view, const wmk_place *place)
{
    uint64_t *position = NULL;
    if (!wmk_balance_applies(place)) return WMK_OK;
    WMK_TRY(wmk_balance_create(&b->balance, view, place));
    WMK_TRY(wmk_alloc(&b->channel, place->channels, sizeof *b->channel));
    WMK_TRY(wmk_alloc(&b->channel_of, place->per_filter, sizeof *b->channel_of));
    WMK_TRY(wmk_alloc(&b->factor, place->per_filter, sizeof *b->factor));
    WMK_TRY(wmk_alloc(&position, place->per_filter, sizeof *position));
    wmk_place_positions(place, position);
    for (uint64_t p = 0; p < place->per_filter; p++) b->channel_of[p] = (uint32_t)(position[p] % place->channels);
    free(position);
    return WMK_OK;
}

static void close_balanced(struct wmk_balanced_target *b)
{
    wmk_balance_free(b->balance);
    free(b->channel);
    free(b->channel_of);
    free(b->factor);
}

static wmk_status check_views(const wmk_key *key, const wmk_tensor_view *weights)
{
    for (size_t t = 0; t < key->target_count; t++) {
        const char *name = wmk_view_name(key, weights, t);
        if (weights[t].data == NULL) return wmk_fail(WMK_ERROR_MISSING, "tensor %s is missing: training needs all of the key's targets", name);
        if (weights[t].dtype != WMK_F32)
            return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: tensor %s is %s, training weights are f32", name,
                            wmk_dtype_name(weights[t].dtype));
        if ((uintptr_t)weights[t].data % sizeof(float) != 0) return wmk_fail(WMK_ERROR_ARGUMENT, "tensor %s is not aligned to its elements", name);
    }
    return WMK_OK;
}

static wmk_status fill(wmk_regularizer *r, const wmk_tensor_view *weights)
{
    size_t T = r->T;
    uint64_t filters, *column = NULL;
    WMK_TRY(wmk_alloc(&r->views, r->count, sizeof *r->views));
    memcpy(r->views, weights, r->count * sizeof *r->views);
    WMK_TRY(wmk_alloc(&r->place, r->count, sizeof *r->place));
    WMK_TRY(wmk_places_make(r->place, r->key, r->views, &filters, NULL));
    WMK_TRY(wmk_secret_alloc(&r->b, T, 1));
    wmk_key_bits(r->key, r->b);
    WMK_TRY(wmk_secret_alloc(&r->y, T, sizeof *r->y));
    WMK_TRY(wmk_alloc(&r->length, T, sizeof *r->length));
    WMK_TRY(wmk_secret_alloc(&r->coefficient, T, sizeof *r->coefficient)); /* its signs are those of b */
    WMK_TRY(wmk_alloc_aligned(&r->w, r->m * sizeof *r->w));
    WMK_TRY(wmk_secret_alloc(&r->diff_w, r->m, sizeof *r->diff_w)); /* rows of X times the coefficients */
    if (r->mean)
        WMK_TRY(wmk_secret_alloc(&r->diff_mean, r->m, sizeof *r->diff_mean));
    else
        WMK_TRY(wmk_alloc(&r->squares, filters, sizeof *r->squares));
    WMK_TRY(wmk_alloc(&r->inverse, r->mean ? r->count : filters, sizeof *r->inverse));
    if (r->key->carrier == WMK_CARRIER_BALANCED) WMK_TRY(wmk_alloc(&r->balanced, r->count, sizeof *r->balanced));
    for (size_t t = 0; r->balanced != NULL && t < r->count; t++) WMK_TRY(open_balanced(&r->balanced[t], &r->views[t], &r->place[t]));
    WMK_TRY(wmk_alloc(&column, r->m, sizeof *column));
    wmk_status status = map_slots(r, column);
    if (status == WMK_OK) status = r->key->scheme == WMK_SCHEME_RANDOM ? keep_random(r, &column) : keep_rows(r, column);
    free(column);
    return status;
}

wmk_status wmk_regularizer_create(wmk_regularizer **out, const wmk_key *key, const wmk_tensor_view *weights, double kappa)
{
    if (!(kappa > 0) || !isfinite(kappa)) return wmk_fail(WMK_ERROR_ARGUMENT, "kappa of %g: it must be above 0", kappa);
    WMK_TRY(check_views(key, weights));
    wmk_regularizer *r = NULL;
    WMK_TRY(wmk_alloc(&r, 1, sizeof *r));
    r->key = key;
    r->T = key->T;
    r->count = key->target_count;
    r->m = key->M;
    r->mean = key->carrier == WMK_CARRIER_MEAN;
    r->normalized = !r->mean || r->count > 1;
    r->kappa = r->normalized ? kappa : 1;
    wmk_status status = fill(r, weights);
    if (status == WMK_OK)
        *out = r;
    else
        wmk_regularizer_free(r);
    return status;
}

void wmk_regularizer_free(wmk_regularizer *r)
{
    if (r == NULL) return;
    free(r->views);
    free(r->place);
    wmk_secret_free(r->b);
    wmk_free_aligned(r->w);
    wmk_secret_free(r->diff_w);
    wmk_secret_free(r->diff_mean);
    free(r->squares);
    for (size_t t = 0; r->balanced != NULL && t < r->count; t++) close_balanced(&r->balanced[t]);
    free(r->balanced);
    free(r->inverse);
    wmk_secret_free(r->y);
    free(r->length);
    wmk_secret_free(r->coefficient);
    wmk_secret_free(r->x);
    free(r->column);
    free(r->w_column);
    wmk_secret_free(r->diff_column);
    wmk_secret_free(r->row);
    wmk_secret_free(r->sign);
    wmk_secret_free(r->sums);
    free(r);
}
