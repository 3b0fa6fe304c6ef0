/* base/convert.c - half precision and bfloat16: rounding by the rule of IEEE 754 (nearest, ties to even), in integers. */
#include "base/convert.h"

#include <math.h>
#include <string.h>

static uint32_t bits_of_f32(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float f32_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float wmk_f16_to_f32(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = (half >> 10) & 0x1fu, mantissa = half & 0x3ffu;
    if (exponent == 0x1f) return f32_of_bits(sign | 0x7f800000u | mantissa << 13 | (mantissa ? 0x400000u : 0));
    if (exponent) return f32_of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
    float magnitude = (float)mantissa * 0x1p-24f; /* subnormal or zero: exact */
    return f32_of_bits(sign | bits_of_f32(magnitude));
}

float wmk_bf16_to_f32(uint16_t value) { return f32_of_bits((uint32_t)value << 16); }

/* A double to a format of `mantissa_bits` stored bits, exponent bias `bias` and largest biased exponent `top` (infinity), 16 bits in all.
 * Rounded once: the 53-bit significand is shifted to the target's place, the bits that fall out decide. */
static uint16_t narrow(double value, int mantissa_bits, int bias, int top)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint16_t sign = (uint16_t)(bits >> 63 << 15);
    int exponent = (int)(bits >> 52 & 0x7ff);
    uint64_t significand = bits & ((UINT64_C(1) << 52) - 1);
    uint16_t infinity = (uint16_t)(top << mantissa_bits);
    if (exponent == 0x7ff) return (uint16_t)(sign | infinity | (significand ? 1u << (mantissa_bits - 1) : 0));
    if (exponent == 0) return sign; /* below every subnormal of the narrow formats */
    significand |= UINT64_C(1) << 52;
    int target = exponent - 1023 + bias;
    int shift = 52 - mantissa_bits;
    if (target < 1) {
        shift += 1 - target;
        target = 0;
    }
    if (shift > 54) return sign; /* less than half of the smallest subnormal */
    uint64_t kept = significand >> shift, rest = significand & ((UINT64_C(1) << shift) - 1), half = UINT64_C(1) << (shift - 1);
    kept += rest > half || (rest == half && (kept & 1));
    /* A normal number's leading one counts as one step of the exponent; a carry out of the mantissa moves into it by itself. */
    uint64_t magnitude = target ? ((uint64_t)(target - 1) << mantissa_bits) + kept : kept;
    return (uint16_t)(sign | (magnitude >= infinity ? infinity : (uint16_t)magnitude));
}

uint16_t wmk_f64_to_f16(double value) { return narrow(value, 10, 15, 31); }

uint16_t wmk_f64_to_bf16(double value) { return narrow(value, 7, 127, 255); }

uint16_t wmk_f32_to_f16(float value) { return wmk_f64_to_f16(value); }

uint16_t wmk_f32_to_bf16(float value)
{
    uint32_t bits = bits_of_f32(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static void f16_run(float *dst, const unsigned char *src, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        memcpy(&half, src + 2 * i, sizeof half);
        dst[i] = wmk_f16_to_f32(half);
    }
}

static void bf16_run(float *dst, const unsigned char *src, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t value;
        memcpy(&value, src + 2 * i, sizeof value);
        dst[i] = wmk_bf16_to_f32(value);
    }
}

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx2"))) static void bf16_run_avx2(float *dst, const unsigned char *src, size_t count)
{
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)(src + 2 * i)));
        _mm256_storeu_ps(dst + i, _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16)));
    }
    bf16_run(dst + i, src + 2 * i, count - i);
}

/* Straight to double, which is exact. */
__attribute__((target("avx2"))) static size_t bf16_to_f64_avx2(double *dst, const unsigned char *src, size_t count)
{
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m256i wide = _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)(src + 2 * i))), 16);
        _mm256_storeu_pd(dst + i, _mm256_cvtps_pd(_mm_castsi128_ps(_mm256_castsi256_si128(wide))));
        _mm256_storeu_pd(dst + i + 4, _mm256_cvtps_pd(_mm_castsi128_ps(_mm256_extracti128_si256(wide, 1))));
    }
    return i;
}

__attribute__((target("avx2,f16c"))) static size_t f16_to_f64_f16c(double *dst, const unsigned char *src, size_t count)
{
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m256 wide = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(src + 2 * i)));
        _mm256_storeu_pd(dst + i, _mm256_cvtps_pd(_mm256_castps256_ps128(wide)));
        _mm256_storeu_pd(dst + i + 4, _mm256_cvtps_pd(_mm256_extractf128_ps(wide, 1)));
    }
    return i;
}

static void bf16_read(float *dst, const unsigned char *src, size_t count)
{
    if (__builtin_cpu_supports("avx2"))
        bf16_run_avx2(dst, src, count);
    else
        bf16_run(dst, src, count);
}

__attribute__((target("avx2,f16c"))) static void f16_run_f16c(float *dst, const unsigned char *src, size_t count)
{
    size_t i = 0;
    for (; i + 8 <= count; i += 8) _mm256_storeu_ps(dst + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(src + 2 * i))));
    f16_run(dst + i, src + 2 * i, count - i);
}

static void f16_read(float *dst, const unsigned char *src, size_t count)
{
    if (__builtin_cpu_supports("avx2")) /* every processor with AVX2 has F16C; clang 14 cannot ask for it by name */
        f16_run_f16c(dst, src, count);
    else
        f16_run(dst, src, count);
}
#else
#define f16_read f16_run
#define bf16_read bf16_run
#endif

float wmk_f8_to_f32(uint8_t bits, wmk_dtype dtype)
{
    int mantissa_bits, bias;
    bool fnuz = dtype == WMK_F8_E4M3FNUZ || dtype == WMK_F8_E5M2FNUZ;
    switch (dtype) {
    case WMK_F8_E5M2:
        return wmk_f16_to_f32((uint16_t)(bits << 8)); /* its upper half */
    case WMK_F8_E4M3:
        mantissa_bits = 3, bias = 7;
        break;
    case WMK_F8_E4M3FNUZ:
        mantissa_bits = 3, bias = 8;
        break;
    case WMK_F8_E5M2FNUZ:
        mantissa_bits = 2, bias = 16;
        break;
    default:
        return 0;
    }
    if (fnuz ? bits == 0x80 : (bits & 0x7f) == 0x7f) return NAN;
    int exponent = (bits & 0x7f) >> mantissa_bits, mantissa = bits & ((1 << mantissa_bits) - 1);
    if (exponent > 0)
        mantissa |= 1 << mantissa_bits;
    else
        exponent = 1;
    float magnitude = ldexpf((float)mantissa, exponent - bias - mantissa_bits);
    return bits & 0x80 ? -magnitude : magnitude;
}

static void f8_read(float *dst, const unsigned char *src, wmk_dtype dtype, size_t count)
{
    float table[256];
    if (count < 64) {
        for (size_t i = 0; i < count; i++) dst[i] = wmk_f8_to_f32(src[i], dtype);
        return;
    }
    for (unsigned i = 0; i < 256; i++) table[i] = wmk_f8_to_f32((uint8_t)i, dtype);
    for (size_t i = 0; i < count; i++) dst[i] = table[src[i]];
}

void wmk_read_f32(float *dst, const void *src, wmk_dtype dtype, size_t count)
{
    const unsigned char *bytes = src;
    switch (dtype) {
    case WMK_F32:
        memcpy(dst, src, count * sizeof *dst);
        break;
    case WMK_F16:
        f16_read(dst, bytes, count);
        break;
    case WMK_BF16:
        bf16_read(dst, bytes, count);
        break;
    case WMK_F64:
        for (size_t i = 0; i < count; i++) {
            double value;
            memcpy(&value, bytes + 8 * i, sizeof value);
            dst[i] = (float)value;
        }
        break;
    case WMK_F8_E5M2:
    case WMK_F8_E4M3:
    case WMK_F8_E4M3FNUZ:
    case WMK_F8_E5M2FNUZ:
        f8_read(dst, bytes, dtype, count);
        break;
    default:
        memset(dst, 0, count * sizeof *dst);
    }
}

void wmk_read_f64(double *dst, const void *src, wmk_dtype dtype, size_t count)
{
    if (dtype == WMK_F64) {
        memcpy(dst, src, count * sizeof *dst);
        return;
    }
    const unsigned char *bytes = src;
    size_t size = wmk_dtype_bits(dtype) / 8, done = 0;
    float run[512];
#if defined(__x86_64__)
    if (dtype == WMK_BF16 && __builtin_cpu_supports("avx2")) done = bf16_to_f64_avx2(dst, bytes, count);
    if (dtype == WMK_F16 && __builtin_cpu_supports("avx2")) done = f16_to_f64_f16c(dst, bytes, count);
#endif
    while (done < count) {
        size_t now = count - done < 512 ? count - done : 512;
        wmk_read_f32(run, bytes + done * size, dtype, now);
        for (size_t i = 0; i < now; i++) dst[done + i] = run[i];
        done += now;
    }
}

/* to: wmk_f64_to_f16 or wmk_f64_to_bf16, one after the other. */
static void narrow_run(unsigned char *dst, uint16_t (*to)(double), const double *src, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t value = to(src[i]);
        memcpy(dst + 2 * i, &value, sizeof value);
    }
}

#if defined(__x86_64__)
/* Four values rounded to odd: what does not fit a float is cut off and leaves its lowest bit set. A further rounding to nearest, to two bits less at least, is then the one that
 * rounding once would be (Boldo and Melquiond 2008, "Emulation of FMA and correctly rounded sums", theorem 3). *nan: all ones where the value is none. */
__attribute__((target("avx2"))) static inline __m128i odd_floats(const double *src, __m128i *nan)
{
    const __m256i even = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
    const __m256d sign = _mm256_set1_pd(-0.0);
    __m256d x = _mm256_loadu_pd(src);
    __m128 f = _mm256_cvtpd_ps(x);
    __m256d back = _mm256_cvtps_pd(f), inexact = _mm256_cmp_pd(back, x, _CMP_NEQ_UQ);
    __m256d beyond = _mm256_cmp_pd(_mm256_andnot_pd(sign, back), _mm256_andnot_pd(sign, x), _CMP_GT_OQ), none = _mm256_cmp_pd(x, x, _CMP_UNORD_Q);
#define HALVES(mask) _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(_mm256_castpd_si256(mask), even))
    *nan = HALVES(none);
    __m128i bits = _mm_add_epi32(_mm_castps_si128(f), HALVES(beyond));
    return _mm_or_si128(bits, _mm_and_si128(HALVES(inexact), _mm_set1_epi32(1)));
#undef HALVES
}

/* Four values rounded to the eight significant bits of a bfloat16, as floats, which then hold them exactly. *rare: ones where that may not be so: no number, below the smallest normal. */
__attribute__((target("avx2"))) static inline __m128 eight_bits(const double *src, __m256d *rare)
{
    enum { CUT = 53 - 8 };
    const __m256i half = _mm256_set1_epi64x((INT64_C(1) << (CUT - 1)) - 1), one = _mm256_set1_epi64x(1),
                  kept = _mm256_set1_epi64x(-(INT64_C(1) << CUT));
    __m256d x = _mm256_loadu_pd(src);
    __m256i bits = _mm256_castpd_si256(x), up = _mm256_add_epi64(half, _mm256_and_si256(_mm256_srli_epi64(bits, CUT), one));
    *rare = _mm256_cmp_pd(_mm256_andnot_pd(_mm256_set1_pd(-0.0), x), _mm256_set1_pd(0x1p-126), _CMP_NGE_UQ);
    return _mm256_cvtpd_ps(_mm256_castsi256_pd(_mm256_and_si256(_mm256_add_epi64(bits, up), kept)));
}

__attribute__((target("avx2"))) static void bf16_write_avx2(unsigned char *dst, const double *src, size_t count)
{
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m256d rare_low, rare_high;
        __m128 low = eight_bits(src + i, &rare_low), high = eight_bits(src + i + 4, &rare_high);
        if (_mm256_movemask_pd(_mm256_or_pd(rare_low, rare_high)) != 0) {
            const __m256d zero = _mm256_setzero_pd(); /* is right all the same */
            rare_low = _mm256_and_pd(rare_low, _mm256_cmp_pd(_mm256_loadu_pd(src + i), zero, _CMP_NEQ_UQ));
            rare_high = _mm256_and_pd(rare_high, _mm256_cmp_pd(_mm256_loadu_pd(src + i + 4), zero, _CMP_NEQ_UQ));
            if (_mm256_movemask_pd(_mm256_or_pd(rare_low, rare_high)) != 0) {
                narrow_run(dst + 2 * i, wmk_f64_to_bf16, src + i, 8);
                continue;
            }
        }
        __m128i halves = _mm_packus_epi32(_mm_srli_epi32(_mm_castps_si128(low), 16), _mm_srli_epi32(_mm_castps_si128(high), 16));
        _mm_storeu_si128((__m128i *)(void *)(dst + 2 * i), halves);
    }
    narrow_run(dst + 2 * i, wmk_f64_to_bf16, src + i, count - i);
}

__attribute__((target("avx2,f16c"))) static void f16_write_f16c(unsigned char *dst, const double *src, size_t count)
{
    const __m128i negative = _mm_set1_epi32(0x8000), quiet = _mm_set1_epi32(0x7e00);
    size_t i = 0;
    for (; i + 4 <= count; i += 4) {
        __m128i nan, bits = odd_floats(src + i, &nan);
        __m128i half = _mm_cvtps_ph(_mm_castsi128_ps(bits), _MM_FROUND_TO_NEAREST_INT);
        __m128i none = _mm_or_si128(_mm_and_si128(_mm_srli_epi32(bits, 16), negative), quiet);
        half = _mm_blendv_epi8(half, _mm_packus_epi32(none, none), _mm_packs_epi32(nan, nan));
        _mm_storel_epi64((__m128i *)(void *)(dst + 2 * i), half);
    }
    narrow_run(dst + 2 * i, wmk_f64_to_f16, src + i, count - i);
}
#endif

void wmk_write_f64(void *dst, wmk_dtype dtype, const double *src, size_t count)
{
    unsigned char *bytes = dst;
    bool wide = false;
#if defined(__x86_64__)
    wide = __builtin_cpu_supports("avx2");
    if (wide && dtype == WMK_BF16) bf16_write_avx2(bytes, src, count);
    if (wide && dtype == WMK_F16) f16_write_f16c(bytes, src, count);
#endif
    if (dtype == WMK_F64) memcpy(dst, src, count * sizeof *src);
    if (!wide && dtype == WMK_BF16) narrow_run(bytes, wmk_f64_to_bf16, src, count);
    if (!wide && dtype == WMK_F16) narrow_run(bytes, wmk_f64_to_f16, src, count);
    for (size_t i = 0; dtype == WMK_F32 && i < count; i++) {
        float value = (float)src[i];
        memcpy(bytes + 4 * i, &value, sizeof value);
    }
}
