/* Normal rule (docs/spec.md, "Normal rule"): u, 32 bits, little-endian. Bit 31 is the sign. The other 31 bits r stand for the tail p = (r + 1/2) / 2^32 in
 * (0, 1/2); the magnitude is the x with Q(x) = p, a polynomial in s for each binary octave of p. Only IEEE float operations that are
 * rounded one by one: the same bits on every machine. The compiler must not fuse a product and a sum (-ffp-contract=off). */
#include "mark/x_normal.h"
#include "mark/x_normal_table.h"
#include <float.h>
#include <string.h>

#if FLT_EVAL_METHOD != 0
#error "float expressions must be evaluated as float: use SSE2 arithmetic, not x87"
#endif

#define Y_MAX 0x1.fffffep30f /* the largest float below 2^31: rounding never leaves the last octave */

_Static_assert(WMK_NORMAL_DEGREE == 7, "the forms below take rows of eight coefficients");

static float normal_of(uint32_t u)
{
    float y = (float)(int32_t)(u & 0x7fffffffu) + 0.5f;
    if (y > Y_MAX) y = Y_MAX;
    uint32_t bits;
    memcpy(&bits, &y, 4);
    const float *c = wmk_normal_rows[bits >> 23 & 31];
    bits = (bits & 0x007fffffu) | 0x3f800000u; /* v in [1, 2) */
    float v;
    memcpy(&v, &bits, 4);
    float s = 2.0f - v;
    float x = c[WMK_NORMAL_DEGREE];
    for (int i = WMK_NORMAL_DEGREE - 1; i >= 0; i--) {
        x = x * s;
        x = x + c[i];
    }
    memcpy(&bits, &x, 4);
    bits |= u & 0x80000000u;
    memcpy(&x, &bits, 4);
    return x;
}

static bool always(void) { return true; }

static void convert_plain(float *x, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        unsigned char b[4];
        memcpy(b, x + i, 4);
        x[i] = normal_of((uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24);
    }
}

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__clang__)
#define UNROLL
#else
#define UNROLL _Pragma("GCC unroll 8") /* at -O2 the arrays of vectors below would lie in memory */
#endif

static bool has_avx2(void) { return __builtin_cpu_supports("avx2"); }
static bool has_avx512(void) { return __builtin_cpu_supports("avx512f"); }

/* Eight values: each loads its own row of eight coefficients; the 8x8 block is transposed in registers, which is quicker than gathers. */
__attribute__((target("avx2"))) static void convert_avx2(float *x, size_t count)
{
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m256i u = _mm256_loadu_si256((const __m256i *)(const void *)(x + i));
        __m256 y = _mm256_add_ps(_mm256_cvtepi32_ps(_mm256_and_si256(u, _mm256_set1_epi32(0x7fffffff))), _mm256_set1_ps(0.5f));
        y = _mm256_min_ps(y, _mm256_set1_ps(Y_MAX));
        __m256i bits = _mm256_castps_si256(y);
        alignas(32) uint32_t n[8];
        _mm256_store_si256((__m256i *)(void *)n, _mm256_and_si256(_mm256_srli_epi32(bits, 23), _mm256_set1_epi32(31)));
        bits = _mm256_or_si256(_mm256_and_si256(bits, _mm256_set1_epi32(0x007fffff)), _mm256_set1_epi32(0x3f800000));
        __m256 s = _mm256_sub_ps(_mm256_set1_ps(2.0f), _mm256_castsi256_ps(bits));

        __m256 r[8], t[8], c[8];
        UNROLL for (int k = 0; k < 8; k++) r[k] = _mm256_load_ps(wmk_normal_rows[n[k]]);
        UNROLL for (int k = 0; k < 8; k += 2)
        {
            t[k] = _mm256_unpacklo_ps(r[k], r[k + 1]);
            t[k + 1] = _mm256_unpackhi_ps(r[k], r[k + 1]);
        }
        UNROLL for (int k = 0; k < 8; k += 4)
        {
            r[k] = _mm256_shuffle_ps(t[k], t[k + 2], 0x44);
            r[k + 1] = _mm256_shuffle_ps(t[k], t[k + 2], 0xee);
            r[k + 2] = _mm256_shuffle_ps(t[k + 1], t[k + 3], 0x44);
            r[k + 3] = _mm256_shuffle_ps(t[k + 1], t[k + 3], 0xee);
        }
        UNROLL for (int k = 0; k < 4; k++)
        {
            c[k] = _mm256_permute2f128_ps(r[k], r[k + 4], 0x20);
            c[k + 4] = _mm256_permute2f128_ps(r[k], r[k + 4], 0x31);
        }
        __m256 h = c[7];
        UNROLL for (int k = 6; k >= 0; k--) h = _mm256_add_ps(_mm256_mul_ps(h, s), c[k]);
        u = _mm256_and_si256(u, _mm256_set1_epi32((int)0x80000000u));
        _mm256_storeu_ps(x + i, _mm256_or_ps(h, _mm256_castsi256_ps(u)));
    }
    convert_plain(x + i, count - i);
}

/* Sixteen values: the whole table in registers, 32 entries a coefficient looked up by one two-register permutation, which reads
 * the low five bits of the exponent by itself. */
__attribute__((target("avx512f"))) static void convert_avx512(float *x, size_t count)
{
    __m512 low[8], high[8];
    for (int k = 0; k < 8; k++) {
        low[k] = _mm512_load_ps(wmk_normal_columns[k]);
        high[k] = _mm512_load_ps(wmk_normal_columns[k] + 16);
    }
    for (size_t i = 0; i < count; i += 16) {
        __mmask16 live = count - i >= 16 ? 0xffff : (__mmask16)((1u << (count - i)) - 1);
        __m512i u = _mm512_maskz_loadu_epi32(live, x + i);
        __m512 y = _mm512_add_ps(_mm512_cvtepi32_ps(_mm512_and_si512(u, _mm512_set1_epi32(0x7fffffff))), _mm512_set1_ps(0.5f));
        __m512i bits = _mm512_castps_si512(_mm512_min_ps(y, _mm512_set1_ps(Y_MAX)));
        __m512i n = _mm512_srli_epi32(bits, 23);
        bits = _mm512_or_si512(_mm512_and_si512(bits, _mm512_set1_epi32(0x007fffff)), _mm512_set1_epi32(0x3f800000));
        __m512 s = _mm512_sub_ps(_mm512_set1_ps(2.0f), _mm512_castsi512_ps(bits));
        __m512 h = _mm512_permutex2var_ps(low[7], n, high[7]);
        for (int k = 6; k >= 0; k--) h = _mm512_add_ps(_mm512_mul_ps(h, s), _mm512_permutex2var_ps(low[k], n, high[k]));
        u = _mm512_and_si512(u, _mm512_set1_epi32((int)0x80000000u));
        _mm512_mask_storeu_epi32(x + i, live, _mm512_or_si512(_mm512_castps_si512(h), u));
    }
}
#endif

static const wmk_normal_form forms[] = {
    {"plain", always, convert_plain},
#if defined(__x86_64__)
    {"avx2", has_avx2, convert_avx2},
    {"avx512", has_avx512, convert_avx512},
#endif
};
#define FORM_COUNT (sizeof forms / sizeof forms[0])

const wmk_normal_form *wmk_normal_form_at(size_t index) { return index < FORM_COUNT ? &forms[index] : NULL; }

const wmk_normal_form *wmk_normal_form_best(void)
{
    size_t best = FORM_COUNT - 1;
    while (!forms[best].usable()) best--;
    return &forms[best];
}
