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
    size_t size = wmk_dtype_bits(dtype) / 8;
    float run[512];
    for (size_t done = 0; done < count;) {
        size_t now = count - done < 512 ? count - done : 512;
        wmk_read_f32(run, bytes + done * size, dtype, now);
        for (size_t i = 0; i < now; i++) dst[done + i] = run[i];
        done += now;
    }
}

void wmk_write_f64(void *dst, wmk_dtype dtype, const double *src, size_t count)
{
    unsigned char *bytes = dst;
    if (dtype == WMK_F64) {
        memcpy(dst, src, count * sizeof *src);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        if (dtype == WMK_F32) {
            float value = (float)src[i];
            memcpy(bytes + 4 * i, &value, sizeof value);
        } else if (dtype == WMK_F16 || dtype == WMK_BF16) {
            uint16_t value = dtype == WMK_F16 ? wmk_f64_to_f16(src[i]) : wmk_f64_to_bf16(src[i]);
            memcpy(bytes + 2 * i, &value, sizeof value);
        }
    }
}
