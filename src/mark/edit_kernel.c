/* mark/edit_kernel.c */
#include "mark/edit_kernel.h"

#include "base/convert.h"
#include "mark/carrier.h"
#include "mark/carrier_kernel.h"

void wmk_edit_divide(float *v, const double *value, wmk_factor inverse, size_t count)
{
    for (size_t i = 0; i < count; i++) v[i] = (float)(value[i] * inverse.value[inverse.one ? 0 : i]);
}

void wmk_edit_apply(double *exact, const double *value, wmk_factor rms, const float *change, float by, size_t count)
{
    for (size_t i = 0; i < count; i++) exact[i] = value[i] + rms.value[rms.one ? 0 : i] * (double)(change[i] + by);
}

static void divide_plain(float *v, const unsigned char *from, float inverse, const float *each, size_t count)
{
    wmk_read_f32(v, from, WMK_BF16, count);
    for (size_t i = 0; i < count; i++) v[i] *= each != NULL ? inverse * each[i] : inverse;
}

static void apply_plain(unsigned char *to, const unsigned char *from, float rms, const float *each, const float *change, float by, size_t count,
                        double *distance, double *squares)
{
    float value[WMK_SQUARES_BLOCK];
    double was[WMK_SQUARES_BLOCK], stored[WMK_SQUARES_BLOCK];
    wmk_read_f32(value, from, WMK_BF16, count);
    for (size_t i = 0; i < count; i++) {
        float size = each != NULL ? rms * each[i] : rms;
        uint16_t bits = wmk_f32_to_bf16(value[i] + size * (change[i] + by));
        to[2 * i] = (unsigned char)bits;
        to[2 * i + 1] = (unsigned char)(bits >> 8);
        was[i] = (double)value[i];
        stored[i] = (double)wmk_bf16_to_f32(bits);
    }
    wmk_compare_row(was, stored, count, distance, squares);
}

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))

AVX2 static inline __m256 widen(const unsigned char *bytes)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)bytes)), 16));
}

AVX2 static void divide_avx2(float *v, const unsigned char *from, float inverse, const float *each, size_t count)
{
    const __m256 by = _mm256_set1_ps(inverse);
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m256 all = each != NULL ? _mm256_mul_ps(by, _mm256_loadu_ps(each + i)) : by;
        _mm256_storeu_ps(v + i, _mm256_mul_ps(widen(from + 2 * i), all));
    }
    divide_plain(v + i, from + 2 * i, inverse, each != NULL ? each + i : NULL, count - i);
}

/* Adds the squares of eight numbers, and of how far they are from eight others, to the sums of four at the lower places and of four at the upper ones. */
AVX2 static inline void add_squares(__m256d square[2], __m256d apart[2], __m256 x, __m256 other)
{
    __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(x)), high = _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));
    __m256d d = _mm256_sub_pd(low, _mm256_cvtps_pd(_mm256_castps256_ps128(other))),
            e = _mm256_sub_pd(high, _mm256_cvtps_pd(_mm256_extractf128_ps(other, 1)));
    square[0] = _mm256_add_pd(square[0], _mm256_mul_pd(low, low));
    square[1] = _mm256_add_pd(square[1], _mm256_mul_pd(high, high));
    apart[0] = _mm256_add_pd(apart[0], _mm256_mul_pd(d, d));
    apart[1] = _mm256_add_pd(apart[1], _mm256_mul_pd(e, e));
}

AVX2 static inline double all_of(__m256d a, __m256d b, __m256d c, __m256d d)
{
    double sum[4];
    _mm256_storeu_pd(sum, _mm256_add_pd(_mm256_add_pd(a, b), _mm256_add_pd(c, d)));
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* No change makes a finite number none, and infinity rounds to itself. */
AVX2 static void apply_avx2(unsigned char *to, const unsigned char *from, float rms, const float *each, const float *change, float by, size_t count,
                            double *distance, double *squares)
{
    const __m256 all = _mm256_set1_ps(rms), shift = _mm256_set1_ps(by);
    const __m256i half = _mm256_set1_epi32(0x7fff), one = _mm256_set1_epi32(1);
    __m256d apart[2] = {_mm256_setzero_pd(), _mm256_setzero_pd()}, square[4];
    for (int k = 0; k < 4; k++) square[k] = _mm256_setzero_pd();
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        __m256i up[2];
        for (int k = 0; k < 2; k++) {
            size_t at = i + 8 * (size_t)k;
            __m256 size = each != NULL ? _mm256_mul_ps(all, _mm256_loadu_ps(each + at)) : all;
            __m256 was = widen(from + 2 * at), moved = _mm256_add_ps(_mm256_loadu_ps(change + at), shift);
            __m256i bits = _mm256_castps_si256(_mm256_add_ps(was, _mm256_mul_ps(size, moved)));
            bits = _mm256_add_epi32(_mm256_add_epi32(bits, half), _mm256_and_si256(_mm256_srli_epi32(bits, 16), one));
            up[k] = _mm256_srli_epi32(bits, 16);
            add_squares(square + 2 * k, apart, _mm256_castsi256_ps(_mm256_slli_epi32(up[k], 16)), was);
        }
        __m256i halves = _mm256_permute4x64_epi64(_mm256_packus_epi32(up[0], up[1]), 0xd8);
        _mm256_storeu_si256((__m256i *)(void *)(to + 2 * i), halves);
    }
    double rest = 0, rest_apart = 0;
    if (i < count) apply_plain(to + 2 * i, from + 2 * i, rms, each != NULL ? each + i : NULL, change + i, by, count - i, &rest_apart, &rest);
    *squares += all_of(square[0], square[1], square[2], square[3]) + rest;
    *distance += all_of(apart[0], apart[1], _mm256_setzero_pd(), _mm256_setzero_pd()) + rest_apart;
}
#define WIDE __builtin_cpu_supports("avx2")
#else
#define WIDE 0
#define divide_avx2 divide_plain
#define apply_avx2 apply_plain
#endif

void wmk_edit_divide_bf16(float *v, const void *from, float inverse, const float *each, size_t count)
{
    (WIDE ? divide_avx2 : divide_plain)(v, from, inverse, each, count);
}

void wmk_edit_apply_bf16(void *to, const void *from, float rms, const float *each, const float *change, float by, size_t count, double *distance,
                         double *squares)
{
    (WIDE ? apply_avx2 : apply_plain)(to, from, rms, each, change, by, count, distance, squares);
}
