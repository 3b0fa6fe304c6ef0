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

typedef uint16_t h4 __attribute__((vector_size(8), aligned(1), may_alias));
typedef uint32_t w4 __attribute__((vector_size(16)));

BODY void widen_bf16(d4 *out, const char *x)
{
    w4 bits = __builtin_convertvector(*(const h4 *)x, w4) << 16;
    *out = __builtin_convertvector((f4)bits, d4);
}

BODY void squares_bf16_body(const char *x, size_t count, double *out)
{
    d4 a = {0}, b = {0}, c = {0}, d = {0};
    size_t i = 0;
    for (; i + 16 <= count; i += 16, x += 32) {
        d4 p, q, r, s;
        widen_bf16(&p, x);
        widen_bf16(&q, x + 8);
        widen_bf16(&r, x + 16);
        widen_bf16(&s, x + 24);
        a += p * p;
        b += q * q;
        c += r * r;
        d += s * s;
    }
    a = (a + b) + (c + d);
    double sum = (a[0] + a[1]) + (a[2] + a[3]), rest[16];
    wmk_read_f64(rest, x, WMK_BF16, count - i);
    for (size_t k = 0; k < count - i; k++) sum += rest[k] * rest[k];
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
__attribute__((target("avx2"))) static void squares_bf16_avx2(const char *x, size_t count, double *out) { squares_bf16_body(x, count, out); }
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

void wmk_widen_row(double *out, const void *x, size_t count)
{
    if (WIDE)
        widen_avx2(out, x, count);
    else
        widen_body(out, x, count);
}

static void deal_from(double (*sum)[2], const double *w, const double *inverse, const uint16_t *row, const int8_t *sign, size_t i, size_t count)
{
    for (; i < count; i++) {
        double v = w[i] * inverse[i];
        sum[row[i]][0] += v * sign[i];
        sum[row[i]][1] += v * v;
    }
}

static void interleave_from(double *value, size_t stride, const double *const lane[8], size_t i, size_t count)
{
    for (; i < count; i++)
        for (int l = 0; l < 8; l++) value[i * stride + (size_t)l] = lane[l][i];
}

static void split_from(double *const lane[8], const double *value, size_t stride, size_t i, size_t count)
{
    for (; i < count; i++)
        for (int l = 0; l < 8; l++) lane[l][i] = value[i * stride + (size_t)l];
}

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx2"))) static size_t deal_avx2(double (*sum)[2], const double *w, const double *inverse, const uint16_t *row,
                                                        const int8_t *sign, size_t count)
{
    size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        __m256d v = _mm256_mul_pd(_mm256_loadu_pd(w + i), _mm256_loadu_pd(inverse + i));
        __m256d s = _mm256_cvtepi32_pd(_mm_cvtepi8_epi32(_mm_loadu_si32(sign + i)));
        __m256d signed_v = _mm256_mul_pd(v, s), squares = _mm256_mul_pd(v, v);
        __m256d even = _mm256_unpacklo_pd(signed_v, squares), odd = _mm256_unpackhi_pd(signed_v, squares); /* weights 0 and 2, 1 and 3 */
#define ADD(k, pair) _mm_storeu_pd(sum[row[i + (k)]], _mm_add_pd(_mm_loadu_pd(sum[row[i + (k)]]), pair))
        ADD(0, _mm256_castpd256_pd128(even));
        ADD(1, _mm256_castpd256_pd128(odd));
        ADD(2, _mm256_extractf128_pd(even, 1));
        ADD(3, _mm256_extractf128_pd(odd, 1));
#undef ADD
    }
    return i;
}

/* to[k][i] = from[i][k], i and k below 4 */
__attribute__((target("avx2"))) static inline void turn4(double *const to[4], const double *const from[4])
{
    __m256d a = _mm256_loadu_pd(from[0]), b = _mm256_loadu_pd(from[1]), c = _mm256_loadu_pd(from[2]), d = _mm256_loadu_pd(from[3]);
    __m256d ab = _mm256_unpacklo_pd(a, b), cd = _mm256_unpacklo_pd(c, d), ba = _mm256_unpackhi_pd(a, b), dc = _mm256_unpackhi_pd(c, d);
    _mm256_storeu_pd(to[0], _mm256_permute2f128_pd(ab, cd, 0x20));
    _mm256_storeu_pd(to[1], _mm256_permute2f128_pd(ba, dc, 0x20));
    _mm256_storeu_pd(to[2], _mm256_permute2f128_pd(ab, cd, 0x31));
    _mm256_storeu_pd(to[3], _mm256_permute2f128_pd(ba, dc, 0x31));
}

__attribute__((target("avx2"))) static size_t interleave_avx2(double *value, size_t stride, const double *const lane[8], size_t count)
{
    size_t i = 0;
    for (; i + 4 <= count; i += 4)
        for (int l = 0; l < 8; l += 4) {
            double *at = value + i * stride + l;
            turn4((double *const[]){at, at + stride, at + 2 * stride, at + 3 * stride},
                  (const double *const[]){lane[l] + i, lane[l + 1] + i, lane[l + 2] + i, lane[l + 3] + i});
        }
    return i;
}

__attribute__((target("avx2"))) static size_t split_avx2(double *const lane[8], const double *value, size_t stride, size_t count)
{
    size_t i = 0;
    for (; i + 4 <= count; i += 4)
        for (int l = 0; l < 8; l += 4) {
            const double *at = value + i * stride + l;
            turn4((double *const[]){lane[l] + i, lane[l + 1] + i, lane[l + 2] + i, lane[l + 3] + i},
                  (const double *const[]){at, at + stride, at + 2 * stride, at + 3 * stride});
        }
    return i;
}
#else
#define deal_avx2(...) 0
#define interleave_avx2(...) 0
#define split_avx2(...) 0
#endif

void wmk_deal_row(double (*sum)[2], const double *w, const double *inverse, const uint16_t *row, const int8_t *sign, size_t count)
{
    size_t done = WIDE ? deal_avx2(sum, w, inverse, row, sign, count) : 0;
    deal_from(sum, w, inverse, row, sign, done, count);
}

void wmk_interleave8(double *value, size_t stride, const double *const lane[8], size_t count)
{
    size_t done = WIDE ? interleave_avx2(value, stride, lane, count) : 0;
    interleave_from(value, stride, lane, done, count);
}

void wmk_split8(double *const lane[8], const double *value, size_t stride, size_t count)
{
    size_t done = WIDE ? split_avx2(lane, value, stride, count) : 0;
    split_from(lane, value, stride, done, count);
}
