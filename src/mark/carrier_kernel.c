/* mark/carrier_kernel.c */
#include "mark/carrier_kernel.h"

typedef double d4 __attribute__((vector_size(32), aligned(8), may_alias));
typedef float f4 __attribute__((vector_size(16), aligned(1), may_alias));
typedef float f1 __attribute__((aligned(1), may_alias));

#define BODY static inline __attribute__((always_inline))

BODY void dot_body(const float *x, const double *w, size_t count, double *out)
{
    d4 a = {0}, b = {0}, c = {0}, d = {0};
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        a += __builtin_convertvector(*(const f4 *)(x + i), d4) * *(const d4 *)(w + i);
        b += __builtin_convertvector(*(const f4 *)(x + i + 4), d4) * *(const d4 *)(w + i + 4);
        c += __builtin_convertvector(*(const f4 *)(x + i + 8), d4) * *(const d4 *)(w + i + 8);
        d += __builtin_convertvector(*(const f4 *)(x + i + 12), d4) * *(const d4 *)(w + i + 12);
    }
    a = (a + b) + (c + d);
    double sum = (a[0] + a[1]) + (a[2] + a[3]);
    for (; i < count; i++) sum += (double)x[i] * w[i];
    *out = sum;
}

BODY void product_body(const double *x, const double *y, size_t count, double *out)
{
    d4 a = {0}, b = {0}, c = {0}, d = {0};
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        a += *(const d4 *)(x + i) * *(const d4 *)(y + i);
        b += *(const d4 *)(x + i + 4) * *(const d4 *)(y + i + 4);
        c += *(const d4 *)(x + i + 8) * *(const d4 *)(y + i + 8);
        d += *(const d4 *)(x + i + 12) * *(const d4 *)(y + i + 12);
    }
    a = (a + b) + (c + d);
    double sum = (a[0] + a[1]) + (a[2] + a[3]);
    for (; i < count; i++) sum += x[i] * y[i];
    *out = sum;
}

BODY void add_body(double *sum, const float *x, size_t stride, const double *a, size_t rows, size_t count)
{
    size_t j = 0;
    for (; j + 4 <= rows; j += 4) {
        const float *p = x + j * stride, *q = p + stride, *r = q + stride, *s = r + stride;
        size_t i = 0;
        for (; i + 4 <= count; i += 4) {
            d4 t = *(const d4 *)(sum + i);
            t += __builtin_convertvector(*(const f4 *)(p + i), d4) * a[j];
            t += __builtin_convertvector(*(const f4 *)(q + i), d4) * a[j + 1];
            t += __builtin_convertvector(*(const f4 *)(r + i), d4) * a[j + 2];
            t += __builtin_convertvector(*(const f4 *)(s + i), d4) * a[j + 3];
            *(d4 *)(sum + i) = t;
        }
        for (; i < count; i++) sum[i] = (((sum[i] + p[i] * a[j]) + q[i] * a[j + 1]) + r[i] * a[j + 2]) + s[i] * a[j + 3];
    }
    for (; j < rows; j++)
        for (size_t i = 0; i < count; i++) sum[i] += x[j * stride + i] * a[j];
}

BODY void squares_body(const char *x, size_t count, double *out)
{
    d4 a = {0}, b = {0}, c = {0}, d = {0};
    size_t i = 0;
    for (; i + 16 <= count; i += 16, x += 64) {
        d4 p = __builtin_convertvector(*(const f4 *)x, d4), q = __builtin_convertvector(*(const f4 *)(x + 16), d4);
        d4 r = __builtin_convertvector(*(const f4 *)(x + 32), d4), s = __builtin_convertvector(*(const f4 *)(x + 48), d4);
        a += p * p;
        b += q * q;
        c += r * r;
        d += s * s;
    }
    a = (a + b) + (c + d);
    double sum = (a[0] + a[1]) + (a[2] + a[3]);
    for (; i < count; i++, x += 4) sum += (double)*(const f1 *)x * *(const f1 *)x;
    *out = sum;
}

BODY void widen_body(double *out, const char *x, size_t count)
{
    size_t i = 0;
    for (; i + 8 <= count; i += 8, x += 32) {
        *(d4 *)(out + i) = __builtin_convertvector(*(const f4 *)x, d4);
        *(d4 *)(out + i + 4) = __builtin_convertvector(*(const f4 *)(x + 16), d4);
    }
    for (; i < count; i++, x += 4) out[i] = *(const f1 *)x;
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void product_avx2(const double *x, const double *y, size_t count, double *out)
{
    product_body(x, y, count, out);
}
__attribute__((target("avx2"))) static void squares_avx2(const char *x, size_t count, double *out) { squares_body(x, count, out); }
__attribute__((target("avx2"))) static void widen_avx2(double *out, const char *x, size_t count) { widen_body(out, x, count); }
__attribute__((target("avx2"))) static void dot_avx2(const float *x, const double *w, size_t count, double *out) { dot_body(x, w, count, out); }
__attribute__((target("avx2"))) static void add_avx2(double *sum, const float *x, size_t stride, const double *a, size_t rows, size_t count)
{
    add_body(sum, x, stride, a, rows, count);
}
#define WIDE __builtin_cpu_supports("avx2")
#else
#define WIDE 0
#define dot_avx2 dot_body
#define add_avx2 add_body
#define squares_avx2 squares_body
#define product_avx2 product_body
#define widen_avx2 widen_body
#endif

double wmk_dot_row(const float *x, const double *w, size_t count)
{
    double sum;
    if (WIDE)
        dot_avx2(x, w, count, &sum);
    else
        dot_body(x, w, count, &sum);
    return sum;
}

void wmk_add_rows(double *sum, const float *x, size_t stride, const double *a, size_t rows, size_t count)
{
    if (WIDE)
        add_avx2(sum, x, stride, a, rows, count);
    else
        add_body(sum, x, stride, a, rows, count);
}

double wmk_dot(const double *a, const double *b, size_t count)
{
    double sum;
    if (WIDE)
        product_avx2(a, b, count, &sum);
    else
        product_body(a, b, count, &sum);
    return sum;
}

double wmk_squares_row(const void *x, size_t count)
{
    double sum;
    if (WIDE)
        squares_avx2(x, count, &sum);
    else
        squares_body(x, count, &sum);
    return sum;
}

void wmk_widen_row(double *out, const void *x, size_t count)
{
    if (WIDE)
        widen_avx2(out, x, count);
    else
        widen_body(out, x, count);
}
