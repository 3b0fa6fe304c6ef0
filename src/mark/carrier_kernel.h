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
/* sum_i x[i]^2, the same bits for the same numbers. x [count] floats (or bfloat16) at any address. */
double wmk_squares_row(const void *x, size_t count);
double wmk_squares_bf16(const void *x, size_t count);
double wmk_squares_f64(const double *x, size_t count);
/* *distance += sum_i (y[i] - x[i])^2, *squares += wmk_squares_f64(y) */
void wmk_compare_row(const double *x, const double *y, size_t count, double *distance, double *squares);
/* square[i] = (w[i] f[i])^2; their sum, the same bits for the same numbers. */
double wmk_squares_scaled(double *square, const double *w, const double *f, size_t count);
/* sum[i] += square[i] by */
void wmk_add_scaled(double *sum, const double *square, double by, size_t count);
/* Floats at any address as double. */
void wmk_widen_row(double *out, const void *x, size_t count);

#endif
