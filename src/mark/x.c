/* Where in the key stream an element of X lies, and the public access to X. */
#include "mark/x.h"
#include "base/memory.h"
#include "base/secret.h"
#include "mark/derive.h"
#include "mark/x_deal.h"
#include "mark/x_normal.h"
#include <sodium.h>
#include <string.h>

#define NORMALS_PER_BLOCK (WMK_BLOCK_BYTES / 4)
#define DEALS_PER_BLOCK (WMK_BLOCK_BYTES / 2)
#define CHUNK_BYTES 8192 /* of key stream made and converted while it is in the first-level cache; whole blocks */

typedef struct normal_call {
    const wmk_normal_form *form;
    const wmk_key *key;
    uint32_t row;
    uint64_t column;
    size_t count;
    float *x;
} normal_call;

/* The key stream is written into x itself and converted there: nothing secret is left over but x. */
static void make_normals(void *argument)
{
    const normal_call *call = argument;
    const wmk_normal_form *form = call->form;
    const uint8_t *subkey = call->key->secret->x;
    uint32_t row = call->row;
    uint64_t column = call->column;
    size_t count = call->count;
    float *x = call->x;
    size_t skip = column % NORMALS_PER_BLOCK;
    if (skip && count) { /* begins inside a block */
        float block[NORMALS_PER_BLOCK];
        wmk_key_stream((uint8_t *)block, sizeof block, subkey, row, column / NORMALS_PER_BLOCK);
        size_t n = NORMALS_PER_BLOCK - skip < count ? NORMALS_PER_BLOCK - skip : count;
        memcpy(x, block + skip, n * sizeof *x);
        form->convert(x, n);
        sodium_memzero(block, sizeof block);
        column += n, x += n, count -= n;
    }
    while (count) {
        size_t n = count < CHUNK_BYTES / 4 ? count : CHUNK_BYTES / 4;
        wmk_key_stream((uint8_t *)x, n * 4, subkey, row, column / NORMALS_PER_BLOCK);
        form->convert(x, n);
        column += n, x += n, count -= n;
    }
}

void wmk_x_normal_by(const wmk_normal_form *form, const wmk_key *key, uint32_t row, uint64_t column, size_t count, float *x)
{
    wmk_secret_call(make_normals, &(normal_call){form, key, row, column, count, x});
}

void wmk_x_normal(const wmk_key *key, uint32_t row, uint64_t column, size_t count, float *x)
{
    wmk_x_normal_by(wmk_normal_form_best(), key, row, column, count, x);
}

typedef struct deal_call {
    const wmk_deal_form *form;
    const wmk_key *key;
    uint64_t column;
    size_t count;
    uint16_t *deal;
} deal_call;

static void make_deals(void *argument)
{
    const deal_call *call = argument;
    const wmk_deal_form *form = call->form;
    const uint8_t *subkey = call->key->secret->x;
    uint64_t column = call->column;
    size_t count = call->count;
    uint16_t *deal = call->deal;
    size_t skip = column % DEALS_PER_BLOCK;
    if (skip && count) {
        uint16_t block[DEALS_PER_BLOCK];
        wmk_key_stream((uint8_t *)block, sizeof block, subkey, 0, column / DEALS_PER_BLOCK);
        size_t n = DEALS_PER_BLOCK - skip < count ? DEALS_PER_BLOCK - skip : count;
        memcpy(deal, block + skip, n * sizeof *deal);
        form->convert(deal, n, call->key->T);
        sodium_memzero(block, sizeof block);
        column += n, deal += n, count -= n;
    }
    while (count) {
        size_t n = count < CHUNK_BYTES / 2 ? count : CHUNK_BYTES / 2;
        wmk_key_stream((uint8_t *)deal, n * 2, subkey, 0, column / DEALS_PER_BLOCK);
        form->convert(deal, n, call->key->T);
        column += n, deal += n, count -= n;
    }
}

void wmk_x_deal_by(const wmk_deal_form *form, const wmk_key *key, uint64_t column, size_t count, uint16_t *deal)
{
    wmk_secret_call(make_deals, &(deal_call){form, key, column, count, deal});
}

void wmk_x_deal(const wmk_key *key, uint64_t column, size_t count, uint16_t *deal) { wmk_x_deal_by(wmk_deal_form_best(), key, column, count, deal); }

void wmk_x_partition(const wmk_key *key, uint64_t column, size_t count, uint16_t *row, int8_t *sign)
{
    wmk_x_deal(key, column, count, row);
    for (size_t i = 0; i < count; i++) {
        sign[i] = row[i] & WMK_DEAL_MINUS ? -1 : 1;
        row[i] = WMK_DEAL_ROW(row[i]);
    }
}

wmk_status wmk_x_rows(const wmk_key *key, uint16_t *row, int8_t *sign)
{
    if (key->scheme == WMK_SCHEME_PARTITION) {
        wmk_x_partition(key, 0, key->M, row, sign);
        return WMK_OK;
    }
    uint64_t *place;
    WMK_TRY(wmk_secret_alloc(&place, 2 * (size_t)key->T, sizeof *place));
    bool diff = key->scheme == WMK_SCHEME_DIFF;
    wmk_status status = wmk_x_columns(key, place, diff ? place + key->T : NULL);
    if (status == WMK_OK) {
        for (uint64_t c = 0; c < key->M; c++) row[c] = WMK_NO_ROW;
        memset(sign, 0, key->M);
        for (uint32_t j = 0; j < key->T * (diff ? 2u : 1u); j++) {
            row[place[j]] = (uint16_t)(j < key->T ? j : j - key->T);
            sign[place[j]] = j < key->T ? 1 : -1;
        }
    }
    wmk_secret_free(place);
    return status;
}

/* Scheme partition, dense: the sign where the column was dealt to this row. */
static wmk_status dense_partition(const wmk_key *key, uint32_t row, uint64_t column, size_t count, float *x)
{
    uint16_t deal[1024];
    while (count) {
        size_t n = count < 1024 ? count : 1024;
        wmk_x_deal(key, column, n, deal);
        for (size_t i = 0; i < n; i++) x[i] = WMK_DEAL_ROW(deal[i]) != row ? 0.0f : deal[i] & WMK_DEAL_MINUS ? -1.0f : 1.0f;
        column += n, x += n, count -= n;
    }
    sodium_memzero(deal, sizeof deal);
    return WMK_OK;
}

/* Schemes direct and diff, dense. */
static wmk_status dense_columns(const wmk_key *key, uint32_t row, uint64_t column, size_t count, float *x)
{
    uint64_t *place;
    WMK_TRY(wmk_secret_alloc(&place, 2 * (size_t)key->T, sizeof *place));
    bool diff = key->scheme == WMK_SCHEME_DIFF;
    wmk_status status = wmk_x_columns(key, place, diff ? place + key->T : NULL);
    if (status == WMK_OK) {
        memset(x, 0, count * sizeof *x);
        if (place[row] - column < count) x[place[row] - column] = 1.0f; /* below `column` wraps to a large number */
        if (diff && place[key->T + row] - column < count) x[place[key->T + row] - column] = -1.0f;
    }
    wmk_secret_free(place);
    return status;
}

static wmk_status check_columns(const wmk_key *key, uint64_t column, size_t count)
{
    if (column > key->M || count > key->M - column)
        return wmk_fail(WMK_ERROR_ARGUMENT, "columns %llu + %zu of X are outside M = %llu", (unsigned long long)column, count,
                        (unsigned long long)key->M);
    return WMK_OK;
}

typedef struct dense_call {
    const wmk_key *key;
    uint32_t row;
    uint64_t column;
    size_t count;
    float *x;
    wmk_status status;
} dense_call;

static void make_dense(void *argument)
{
    dense_call *c = argument;
    switch (c->key->scheme) {
    case WMK_SCHEME_RANDOM:
        wmk_x_normal(c->key, c->row, c->column, c->count, c->x);
        return;
    case WMK_SCHEME_PARTITION:
        c->status = dense_partition(c->key, c->row, c->column, c->count, c->x);
        return;
    case WMK_SCHEME_DIRECT:
    case WMK_SCHEME_DIFF:
        c->status = dense_columns(c->key, c->row, c->column, c->count, c->x);
        return;
    }
    c->status = wmk_fail(WMK_ERROR_INTERNAL, "a key of scheme %d", (int)c->key->scheme);
}

wmk_status wmk_key_x(const wmk_key *key, uint32_t row, uint64_t column, size_t count, float *x)
{
    if (row >= key->T) return wmk_fail(WMK_ERROR_ARGUMENT, "row %u of X is outside T = %u", row, key->T);
    WMK_TRY(check_columns(key, column, count));
    dense_call call = {key, row, column, count, x, WMK_OK};
    wmk_secret_call(make_dense, &call);
    return call.status;
}

wmk_status wmk_key_partition(const wmk_key *key, uint64_t column, size_t count, uint16_t *row, int8_t *sign)
{
    if (key->scheme != WMK_SCHEME_PARTITION)
        return wmk_fail(WMK_ERROR_ARGUMENT, "rows are dealt by scheme partition only, this key's is %s", wmk_scheme_name(key->scheme));
    WMK_TRY(check_columns(key, column, count));
    wmk_x_partition(key, column, count, row, sign);
    return WMK_OK;
}
