/* Partition rule (docs/spec.md, "Scheme partition"): u, 16 bits, little-endian. Bit 15 is the sign, the other 15 bits r give row = floor(r T / 2^15). */
#include "mark/x_deal.h"
#include <string.h>

static bool always(void) { return true; }

static void convert_plain(uint16_t *deal, size_t count, uint32_t T)
{
    for (size_t i = 0; i < count; i++) {
        unsigned char b[2];
        memcpy(b, deal + i, 2);
        uint32_t u = (uint32_t)b[0] | (uint32_t)b[1] << 8;
        deal[i] = (uint16_t)(((u & 0x7fffu) * T >> 15) * 4 + (u >> 15) * WMK_DEAL_MINUS);
    }
}

#if defined(__x86_64__)
#include <immintrin.h>

static bool has_avx2(void) { return __builtin_cpu_supports("avx2"); }

/* r T / 2^15 is the high half of (2 r) T, and 2 r is u shifted left, which drops the sign. */
__attribute__((target("avx2"))) static void convert_avx2(uint16_t *deal, size_t count, uint32_t T)
{
    const __m256i t = _mm256_set1_epi16((short)T), minus = _mm256_set1_epi16(WMK_DEAL_MINUS);
    size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        __m256i *p = (__m256i *)(void *)(deal + i);
        __m256i u = _mm256_loadu_si256(p);
        __m256i row = _mm256_mulhi_epu16(_mm256_slli_epi16(u, 1), t);
        _mm256_storeu_si256(p, _mm256_or_si256(_mm256_slli_epi16(row, 2), _mm256_and_si256(_mm256_srli_epi16(u, 14), minus)));
    }
    convert_plain(deal + i, count - i, T);
}
#endif

static const wmk_deal_form forms[] = {
    {"plain", always, convert_plain},
#if defined(__x86_64__)
    {"avx2", has_avx2, convert_avx2},
#endif
};
#define FORM_COUNT (sizeof forms / sizeof forms[0])

const wmk_deal_form *wmk_deal_form_at(size_t index) { return index < FORM_COUNT ? &forms[index] : NULL; }

const wmk_deal_form *wmk_deal_form_best(void)
{
    size_t best = FORM_COUNT - 1;
    while (!forms[best].usable()) best--;
    return &forms[best];
}
