/* mark/carrier_kernel.h - inner loops over rows of X in single precision, sums in double. Wider on processors with AVX2; the same bits either way. */
#ifndef WMK_MARK_CARRIER_KERNEL_H
#define WMK_MARK_CARRIER_KERNEL_H

#include <stddef.h>

/* sum_i x[i] w[i] */
double wmk_dot_row(const float *x, const double *w, size_t count);
/* sum_i a[i] b[i] */
double wmk_dot(const double *a, const double *b, size_t count);
/* sum[i] += sum_j a[j] x[j * stride + i], rows in order of j */
void wmk_add_rows(double *sum, const float *x, size_t stride, const double *a, size_t rows, size_t count);
/* sum_i x[i]^2, and x as double. x [count] floats at any address. */
double wmk_squares_row(const void *x, size_t count);
void wmk_widen_row(double *out, const void *x, size_t count);

#endif
