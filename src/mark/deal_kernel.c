/* mark/deal_kernel.c */
#include "mark/deal_kernel.h"

#define BODY static inline __attribute__((always_inline))

static void row_from(double (*sum)[2], const double *w, wmk_factor inverse, const uint16_t *deal, size_t i, size_t count)
{
    for (; i < count; i++) {
        double v = w[i] * inverse.value[inverse.one ? 0 : i], *to = sum[deal[i] / 2];
        to[0] += v;
        to[1] += v * v;
    }
}

static void count_from(double (*sum)[4], const double *w, wmk_factor inverse, bool zeros, const uint16_t *deal, size_t i, size_t count)
{
    for (; i < count; i++) {
        double by = inverse.value[inverse.one ? 0 : i], v = w[i] * by, *to = sum[deal[i] / 2];
        to[0] += v;
        to[1] += v * v;
        to[2] += zeros ? by != 0 : v != 0;
    }
}

/* sum [8]: of every eighth */
/* the return value: of those that are fixed */
static size_t change_from(float *change, const float *v, float gain, bool zeros, const float (*edit)[2], const uint16_t *deal, size_t i, size_t count,
                          float *sum)
{
    size_t fixed = 0;
    for (; i < count; i++) {
        const float *e = edit[deal[i] / 2];
        bool fix = !zeros && v[i] == 0;
        change[i] = fix ? 0 : (e[0] * v[i] + e[1]) * gain;
        sum[i % 8] += change[i];
        fixed += fix;
    }
    return fixed;
}

static void turn_from(uint16_t *to, size_t stride, const uint16_t *const *from, size_t row, size_t rows, size_t column, size_t columns)
{
    for (size_t c = column; c < columns; c++)
        for (size_t r = row; r < rows; r++) to[c * stride + r] = from[r][c];
}

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
#define WIDE __builtin_cpu_supports("avx2")

AVX2 BODY size_t row_body(double (*sum)[2], const double *w, const double *inverse, bool one, const uint16_t *deal, size_t count)
{
    size_t i = 0;
    __m256d by = _mm256_set1_pd(one ? *inverse : 0);
    for (; i + 4 <= count; i += 4) {
        if (!one) by = _mm256_loadu_pd(inverse + i);
        __m256d v = _mm256_mul_pd(_mm256_loadu_pd(w + i), by), squares = _mm256_mul_pd(v, v);
        __m256d even = _mm256_unpacklo_pd(v, squares), odd = _mm256_unpackhi_pd(v, squares); /* weights 0 and 2, 1 and 3 */
        double *to[4] = {*sum + deal[i], *sum + deal[i + 1], *sum + deal[i + 2], *sum + deal[i + 3]};
#define ADD(k, pair) _mm_storeu_pd(to[k], _mm_add_pd(_mm_loadu_pd(to[k]), pair))
        ADD(0, _mm256_castpd256_pd128(even));
        ADD(1, _mm256_castpd256_pd128(odd));
        ADD(2, _mm256_extractf128_pd(even, 1));
        ADD(3, _mm256_extractf128_pd(odd, 1));
#undef ADD
    }
    return i;
}

AVX2 BODY size_t count_body(double (*sum)[4], const double *w, const double *inverse, bool one, bool zeros, const uint16_t *deal, size_t count)
{
    size_t i = 0;
    __m256d by = _mm256_set1_pd(one ? *inverse : 0);
    for (; i + 4 <= count; i += 4) {
        if (!one) by = _mm256_loadu_pd(inverse + i);
        __m256d v = _mm256_mul_pd(_mm256_loadu_pd(w + i), by), squares = _mm256_mul_pd(v, v), none = _mm256_setzero_pd();
        __m256d there = _mm256_and_pd(_mm256_cmp_pd(zeros ? by : v, none, _CMP_NEQ_UQ), _mm256_set1_pd(1));
        __m256d even = _mm256_unpacklo_pd(v, squares), odd = _mm256_unpackhi_pd(v, squares);
        __m256d even_there = _mm256_unpacklo_pd(there, none), odd_there = _mm256_unpackhi_pd(there, none);
        double *to[4] = {*sum + 2 * deal[i], *sum + 2 * deal[i + 1], *sum + 2 * deal[i + 2], *sum + 2 * deal[i + 3]};
#define ADD(k, low, high, part) _mm256_store_pd(to[k], _mm256_add_pd(_mm256_load_pd(to[k]), _mm256_permute2f128_pd(low, high, part)))
        ADD(0, even, even_there, 0x20);
        ADD(1, odd, odd_there, 0x20);
        ADD(2, even, even_there, 0x31);
        ADD(3, odd, odd_there, 0x31);
#undef ADD
    }
    return i;
}

AVX2 static size_t change_avx2(float *change, const float *v, float gain, bool zeros, const float (*edit)[2], const uint16_t *deal, size_t count,
                               float *sum, size_t *fixed)
{
    size_t i = 0;
    __m256 all = _mm256_setzero_ps();
    __m256i moved = _mm256_setzero_si256(); /* minus the number of weights that may change, by lane */
    const __m256i always = _mm256_set1_epi32(zeros ? -1 : 0);
    const __m256 gains = _mm256_set1_ps(gain);
    for (; i + 8 <= count; i += 8) {
/* Two entries of the table, of weights k and k + 1. */
#define LOAD2(k)                                                                                                                                     \
    _mm_loadh_pi(_mm_castsi128_ps(_mm_loadl_epi64((const __m128i *)(const void *)(*edit + deal[i + (k)]))),                                          \
                 (const __m64 *)(const void *)(*edit + deal[i + (k) + 1]))
        __m256 a = _mm256_set_m128(LOAD2(4), LOAD2(0)), b = _mm256_set_m128(LOAD2(6), LOAD2(2));
#undef LOAD2
        __m256 scale = _mm256_shuffle_ps(a, b, 0x88), add = _mm256_shuffle_ps(a, b, 0xdd);
        __m256 was = _mm256_loadu_ps(v + i), there = _mm256_or_ps(_mm256_cmp_ps(was, _mm256_setzero_ps(), _CMP_NEQ_UQ), _mm256_castsi256_ps(always));
        __m256 wanted = _mm256_and_ps(_mm256_mul_ps(_mm256_add_ps(_mm256_mul_ps(scale, was), add), gains), there);
        moved = _mm256_add_epi32(moved, _mm256_castps_si256(there));
        _mm256_storeu_ps(change + i, wanted);
        all = _mm256_add_ps(all, wanted);
    }
    _mm256_storeu_ps(sum, all);
    int32_t lane[8];
    _mm256_storeu_si256((__m256i *)(void *)lane, moved);
    *fixed = i;
    for (int k = 0; k < 8; k++) *fixed -= (size_t)-lane[k];
    return i;
}

AVX2 static size_t row_avx2(double (*sum)[2], const double *w, wmk_factor inverse, const uint16_t *deal, size_t count)
{
    return inverse.one ? row_body(sum, w, inverse.value, true, deal, count) : row_body(sum, w, inverse.value, false, deal, count);
}
AVX2 static size_t count_avx2(double (*sum)[4], const double *w, wmk_factor inverse, bool zeros, const uint16_t *deal, size_t count)
{
    if (zeros) return count_body(sum, w, inverse.value, inverse.one, true, deal, count);
    return inverse.one ? count_body(sum, w, inverse.value, true, false, deal, count) : count_body(sum, w, inverse.value, false, false, deal, count);
}
/* Eight rows of eight: pairs, then fours, then eights of one column. */
BODY void turn8(uint16_t *to, size_t stride, const uint16_t *const *from, size_t column)
{
#define LOAD(r) _mm_loadu_si128((const __m128i *)(const void *)(from[r] + column))
#define PAIR(out, a, b, bits) __m128i out##l = _mm_unpacklo_epi##bits(a, b), out##h = _mm_unpackhi_epi##bits(a, b)
#define STORE(c, v) _mm_storeu_si128((__m128i *)(void *)(to + (size_t)(c)*stride), v)
    PAIR(a, LOAD(0), LOAD(1), 16);
    PAIR(b, LOAD(2), LOAD(3), 16);
    PAIR(c, LOAD(4), LOAD(5), 16);
    PAIR(d, LOAD(6), LOAD(7), 16);
    PAIR(e, al, bl, 32); /* columns 0 1, and 2 3, of rows 0 to 3 */
    PAIR(f, ah, bh, 32);
    PAIR(g, cl, dl, 32);
    PAIR(h, ch, dh, 32);
    STORE(0, _mm_unpacklo_epi64(el, gl));
    STORE(1, _mm_unpackhi_epi64(el, gl));
    STORE(2, _mm_unpacklo_epi64(eh, gh));
    STORE(3, _mm_unpackhi_epi64(eh, gh));
    STORE(4, _mm_unpacklo_epi64(fl, hl));
    STORE(5, _mm_unpackhi_epi64(fl, hl));
    STORE(6, _mm_unpacklo_epi64(fh, hh));
    STORE(7, _mm_unpackhi_epi64(fh, hh));
#undef LOAD
#undef PAIR
#undef STORE
}

void wmk_deal_turn(uint16_t *to, size_t stride, const uint16_t *const *from, size_t rows, size_t columns)
{
    size_t whole_rows = rows / 8 * 8, whole_columns = columns / 8 * 8;
    for (size_t c = 0; c < whole_columns; c += 8)
        for (size_t r = 0; r < whole_rows; r += 8) turn8(to + c * stride + r, stride, from + r, c);
    turn_from(to, stride, from, 0, rows, whole_columns, columns);
    turn_from(to, stride, from, whole_rows, rows, 0, whole_columns);
}
#else
#define WIDE 0
#define row_avx2(...) 0
#define count_avx2(...) 0
#define change_avx2(...) 0

void wmk_deal_turn(uint16_t *to, size_t stride, const uint16_t *const *from, size_t rows, size_t columns)
{
    turn_from(to, stride, from, 0, rows, 0, columns);
}
#endif

void wmk_deal_row(double (*sum)[2], const double *w, wmk_factor inverse, const uint16_t *deal, size_t count)
{
    size_t done = WIDE ? row_avx2(sum, w, inverse, deal, count) : 0;
    row_from(sum, w, inverse, deal, done, count);
}

void wmk_deal_count(double (*sum)[4], const double *w, wmk_factor inverse, bool zeros, const uint16_t *deal, size_t count)
{
    size_t done = WIDE ? count_avx2(sum, w, inverse, zeros, deal, count) : 0;
    count_from(sum, w, inverse, zeros, deal, done, count);
}

wmk_change wmk_deal_change(float *change, const float *v, float gain, bool zeros, const float (*edit)[2], const uint16_t *deal, size_t count)
{
    float sum[8] = {0};
    size_t fixed = 0, done = WIDE ? change_avx2(change, v, gain, zeros, edit, deal, count, sum, &fixed) : 0;
    wmk_change all = {0, fixed + change_from(change, v, gain, zeros, edit, deal, done, count, sum)};
    for (int k = 0; k < 8; k++) all.sum += (double)sum[k];
    return all;
}
