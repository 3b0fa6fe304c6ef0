/* mark/carrier_kernel.c */
#include "mark/carrier_kernel.h"

#include "base/convert.h"

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

/* The sum that sixteen lanes hold, and `rest`, which is behind them: whoever sums the same numbers gets the same bits. */
BODY void sum_lanes(const d4 *a, const d4 *b, const d4 *c, const d4 *d, double rest, double *out)
{
    d4 all = (*a + *b) + (*c + *d);
    *out = ((all[0] + all[1]) + (all[2] + all[3])) + rest;
}

BODY void squares_f64_body(const double *x, size_t count, double *out)
{
    d4 a = {0}, b = {0}, c = {0}, d = {0};
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        const d4 *p = (const d4 *)(x + i);
        a += p[0] * p[0];
        b += p[1] * p[1];
        c += p[2] * p[2];
        d += p[3] * p[3];
    }
    double rest = 0;
    for (; i < count; i++) rest += x[i] * x[i];
    sum_lanes(&a, &b, &c, &d, rest, out);
}

BODY void compare_body(const double *x, const double *y, size_t count, double *distance, double *squares)
{
    d4 a = {0}, b = {0}, c = {0}, d = {0}, e = {0}, f = {0};
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        const d4 *p = (const d4 *)(y + i), *q = (const d4 *)(x + i);
        d4 r = p[0] - q[0], s = p[1] - q[1], t = p[2] - q[2], u = p[3] - q[3];
        a += p[0] * p[0];
        b += p[1] * p[1];
        c += p[2] * p[2];
        d += p[3] * p[3];
        e += r * r;
        f += s * s;
        e += t * t;
        f += u * u;
    }
    double rest = 0, rest_apart = 0, sum;
    for (; i < count; i++) {
        rest += y[i] * y[i];
        rest_apart += (y[i] - x[i]) * (y[i] - x[i]);
    }
    sum_lanes(&a, &b, &c, &d, rest, &sum);
    *squares += sum;
    a = b = (d4){0};
    sum_lanes(&e, &f, &a, &b, rest_apart, &sum);
    *distance += sum;
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
    double rest = 0;
    for (; i < count; i++, x += 4) rest += (double)*(const f1 *)x * *(const f1 *)x;
    sum_lanes(&a, &b, &c, &d, rest, out);
}

BODY void squares_bf16_body(const char *x, size_t count, double *out)
{
    double wide[16];
    d4 a = {0}, b = {0}, c = {0}, d = {0};
    size_t i = 0;
    for (; i + 16 <= count; i += 16, x += 32) {
        wmk_read_f64(wide, x, WMK_BF16, 16);
        const d4 *p = (const d4 *)wide;
        a += p[0] * p[0];
        b += p[1] * p[1];
        c += p[2] * p[2];
        d += p[3] * p[3];
    }
    double rest = 0;
    wmk_read_f64(wide, x, WMK_BF16, count - i);
    for (size_t k = 0; k < count - i; k++) rest += wide[k] * wide[k];
    sum_lanes(&a, &b, &c, &d, rest, out);
}

BODY void scaled_body(double *square, const double *w, const double *f, size_t count, double *out)
{
    d4 a = {0}, b = {0}, c = {0}, d = {0};
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        const d4 *p = (const d4 *)(w + i), *q = (const d4 *)(f + i);
        d4 *to = (d4 *)(square + i), s = p[0] * q[0], t = p[1] * q[1], u = p[2] * q[2], v = p[3] * q[3];
        a += to[0] = s * s;
        b += to[1] = t * t;
        c += to[2] = u * u;
        d += to[3] = v * v;
    }
    double rest = 0;
    for (; i < count; i++) rest += square[i] = (w[i] * f[i]) * (w[i] * f[i]);
    sum_lanes(&a, &b, &c, &d, rest, out);
}

BODY void add_scaled_body(double *sum, const double *square, double by, size_t count)
{
    size_t i = 0;
    for (; i + 4 <= count; i += 4) *(d4 *)(sum + i) += *(const d4 *)(square + i) * by;
    for (; i < count; i++) sum[i] += square[i] * by;
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
#include <immintrin.h>

__attribute__((target("avx2"))) static void product_avx2(const double *x, const double *y, size_t count, double *out)
{
    product_body(x, y, count, out);
}
__attribute__((target("avx2"))) static void squares_f64_avx2(const double *x, size_t count, double *out) { squares_f64_body(x, count, out); }
__attribute__((target("avx2"))) static void compare_avx2(const double *x, const double *y, size_t count, double *distance, double *squares)
{
    compare_body(x, y, count, distance, squares);
}
__attribute__((target("avx2"))) static void scaled_avx2(double *square, const double *w, const double *f, size_t count, double *out)
{
    scaled_body(square, w, f, count, out);
}
__attribute__((target("avx2"))) static void add_scaled_avx2(double *sum, const double *square, double by, size_t count)
{
    add_scaled_body(sum, square, by, count);
}
/* What the compiler makes of a conversion of four floats takes three times as long. */
#define WIDEN4(x) ((d4)_mm256_cvtps_pd(_mm_loadu_ps((const float *)(const void *)(x))))
__attribute__((target("avx2"))) static void squares_avx2(const char *x, size_t count, double *out)
{
    d4 a = {0}, b = {0}, c = {0}, d = {0};
    size_t i = 0;
    for (; i + 16 <= count; i += 16, x += 64) {
        d4 p = WIDEN4(x), q = WIDEN4(x + 16), r = WIDEN4(x + 32), s = WIDEN4(x + 48);
        a += p * p;
        b += q * q;
        c += r * r;
        d += s * s;
    }
    double rest;
    squares_body(x, count - i, &rest);
    sum_lanes(&a, &b, &c, &d, rest, out);
}
__attribute__((target("avx2"))) static void squares_bf16_avx2(const char *x, size_t count, double *out)
{
    d4 a = {0}, b = {0}, c = {0}, d = {0};
    size_t i = 0;
    for (; i + 16 <= count; i += 16, x += 32) {
        __m256i all = _mm256_loadu_si256((const __m256i *)(const void *)x);
        __m256 low = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(all)), 16));
        __m256 high = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm256_extracti128_si256(all, 1)), 16));
        d4 p = (d4)_mm256_cvtps_pd(_mm256_castps256_ps128(low)), q = (d4)_mm256_cvtps_pd(_mm256_extractf128_ps(low, 1));
        d4 r = (d4)_mm256_cvtps_pd(_mm256_castps256_ps128(high)), s = (d4)_mm256_cvtps_pd(_mm256_extractf128_ps(high, 1));
        a += p * p;
        b += q * q;
        c += r * r;
        d += s * s;
    }
    double rest;
    squares_bf16_body(x, count - i, &rest);
    sum_lanes(&a, &b, &c, &d, rest, out);
}
__attribute__((target("avx2"))) static void widen_avx2(double *out, const char *x, size_t count)
{
    size_t i = 0;
    for (; i + 8 <= count; i += 8, x += 32) {
        *(d4 *)(out + i) = WIDEN4(x);
        *(d4 *)(out + i + 4) = WIDEN4(x + 16);
    }
    widen_body(out + i, x, count - i);
}
#undef WIDEN4
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
#define squares_f64_avx2 squares_f64_body
#define compare_avx2 compare_body
#define scaled_avx2 scaled_body
#define add_scaled_avx2 add_scaled_body
#define squares_bf16_avx2 squares_bf16_body
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

double wmk_squares_bf16(const void *x, size_t count)
{
    double sum;
    if (WIDE)
        squares_bf16_avx2(x, count, &sum);
    else
        squares_bf16_body(x, count, &sum);
    return sum;
}

double wmk_squares_f64(const double *x, size_t count)
{
    double sum;
    if (WIDE)
        squares_f64_avx2(x, count, &sum);
    else
        squares_f64_body(x, count, &sum);
    return sum;
}

void wmk_compare_row(const double *x, const double *y, size_t count, double *distance, double *squares)
{
    if (WIDE)
        compare_avx2(x, y, count, distance, squares);
    else
        compare_body(x, y, count, distance, squares);
}

double wmk_squares_scaled(double *square, const double *w, const double *f, size_t count)
{
    double sum;
    if (WIDE)
        scaled_avx2(square, w, f, count, &sum);
    else
        scaled_body(square, w, f, count, &sum);
    return sum;
}

void wmk_add_scaled(double *sum, const double *square, double by, size_t count)
{
    if (WIDE)
        add_scaled_avx2(sum, square, by, count);
    else
        add_scaled_body(sum, square, by, count);
}

void wmk_widen_row(double *out, const void *x, size_t count)
{
    if (WIDE)
        widen_avx2(out, x, count);
    else
        widen_body(out, x, count);
}
