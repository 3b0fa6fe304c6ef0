/* mark/carrier_kernel.h - inner loops over rows of X in single precision, sums in double. Wider on processors with AVX2; the same bits either way. */
#ifndef WMK_MARK_CARRIER_KERNEL_H
#define WMK_MARK_CARRIER_KERNEL_H

#include <stddef.h>
#include <stdint.h>

/* sum_i x[i] w[i] */
double wmk_dot_row(const float *x, const double *w, size_t count);
/* sum_i a[i] b[i] */
double wmk_dot(const double *a, const double *b, size_t count);
/* sum[i] += sum_j a[j] x[j * stride + i], rows in order of j */
void wmk_add_rows(double *sum, const float *x, size_t stride, const double *a, size_t rows, size_t count);
/* sum_i x[i]^2, and x as double. x [count] floats (or bfloat16) at any address. */
double wmk_squares_row(const void *x, size_t count);
double wmk_squares_bf16(const void *x, size_t count);
void wmk_widen_row(double *out, const void *x, size_t count);

/* sum[row[i]] += {sign[i] v, v^2} with v = w[i] inverse[i], in order of i. */
void wmk_deal_row(double (*sum)[2], const double *w, const double *inverse, const uint16_t *row, const int8_t *sign, size_t count);
/* value[p * stride + l] = lane[l][p], l in [0, 8) */
void wmk_interleave8(double *value, size_t stride, const double *const lane[8], size_t count);
/* The way back. */
void wmk_split8(double *const lane[8], const double *value, size_t stride, size_t count);

#endif
