/* mark/embed_gram.c - inner products of all rows of scheme random, X made in blocks of columns. */
#include <string.h>

#include "base/secret.h"
#include "mark/embed.h"
#include "mark/key.h"
#include "mark/x.h"

#define COLUMNS 512 /* of X held at a time */

typedef float four __attribute__((vector_size(16)));

/* Products of two rows a with four rows b, over COLUMNS columns. In single precision: the solution is checked by reading it back. */
static void products(const float *a, const float *b, double out[2][4])
{
    four sum[2][4] = {0};
    for (int c = 0; c < COLUMNS; c += 4) {
        four x[2], y;
        for (int i = 0; i < 2; i++) memcpy(&x[i], a + i * COLUMNS + c, sizeof x[i]);
        for (int k = 0; k < 4; k++) {
            memcpy(&y, b + k * COLUMNS + c, sizeof y);
            sum[0][k] += x[0] * y;
            sum[1][k] += x[1] * y;
        }
    }
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 4; k++) out[i][k] = ((double)sum[i][k][0] + sum[i][k][1]) + ((double)sum[i][k][2] + sum[i][k][3]);
}

typedef struct gram_call {
    double *gram;
    const wmk_key *key;
    float *x; /* [rows][COLUMNS], rows a multiple of 4 */
    uint32_t rows;
} gram_call;

/* The lower triangle, one thread's share of it in a parallel region. */
static void add_products(void *argument)
{
    const gram_call *call = argument;
    const wmk_key *key = call->key;
    uint32_t T = key->T;
    float *x = call->x;
    for (uint64_t column = 0; column < key->M; column += COLUMNS) {
        size_t n = key->M - column < COLUMNS ? (size_t)(key->M - column) : COLUMNS;
#pragma omp for schedule(static)
        for (uint32_t j = 0; j < T; j++) {
            wmk_x_normal(key, j, column, n, x + (size_t)j * COLUMNS);
            memset(x + (size_t)j * COLUMNS + n, 0, (COLUMNS - n) * sizeof *x);
        }
#pragma omp for schedule(dynamic, 4)
        for (uint32_t j = 0; j < call->rows; j += 2)
            for (uint32_t k = 0; k <= j; k += 4) {
                double out[2][4];
                products(x + (size_t)j * COLUMNS, x + (size_t)k * COLUMNS, out);
                for (uint32_t a = 0; a < 2; a++)
                    for (uint32_t b = 0; b < 4; b++)
                        if (j + a < T && k + b <= j + a) call->gram[(size_t)(j + a) * T + k + b] += out[a][b];
            }
    }
}

wmk_status wmk_gram_random(double *gram, const wmk_key *key)
{
    uint32_t T = key->T, rows = (T + 3) / 4 * 4;
    float *x = NULL;
    WMK_TRY(wmk_secret_alloc(&x, (size_t)rows * COLUMNS, sizeof *x));
    memset(gram, 0, (size_t)T * T * sizeof *gram);
#pragma omp parallel
    wmk_secret_call(add_products, &(gram_call){gram, key, x, rows});
    for (uint32_t j = 0; j < T; j++)
        for (uint32_t k = 0; k < j; k++) gram[(size_t)k * T + j] = gram[(size_t)j * T + k];
    wmk_secret_free(x);
    return WMK_OK;
}
