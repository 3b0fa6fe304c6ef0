/* mark/lane_kernel.c - a comparison that holds is -1 in its lane, so counts are what is subtracted. */
#include "mark/lane_kernel.h"

#include <string.h>

typedef int16_t lane16 __attribute__((vector_size(32), aligned(2), may_alias));

#define BODY static inline __attribute__((always_inline))

BODY void lanes_body(const int16_t *e, size_t stride, const int16_t *a, size_t rows, const int16_t *most, int16_t *below)
{
    const lane16 *bound = (const lane16 *)most;
    lane16 first = {0}, second = {0};
    for (size_t i = 0; i < rows; i++, e += stride) {
        const lane16 *x = (const lane16 *)e;
        first -= x[0] - a[i] <= bound[0];
        second -= x[1] - a[i] <= bound[1];
    }
    memcpy(below, &first, sizeof first);
    memcpy(below + WMK_LANES / 2, &second, sizeof second);
}

BODY void row_body(const int16_t *e, const int16_t *b, size_t count, int16_t most, size_t *below)
{
    lane16 first = {0}, second = {0};
    for (size_t k = 0; k < count; k += WMK_LANES) {
        const lane16 *x = (const lane16 *)(e + k), *y = (const lane16 *)(b + k);
        first -= x[0] - y[0] <= most;
        second -= x[1] - y[1] <= most;
    }
    first += second;
    int sum = 0;
    for (int k = 0; k < WMK_LANES / 2; k++) sum += first[k];
    *below = (size_t)sum;
}

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2")))
AVX2 static void lanes_avx2(const int16_t *e, size_t stride, const int16_t *a, size_t rows, const int16_t *most, int16_t *below)
{
    lanes_body(e, stride, a, rows, most, below);
}
AVX2 static void row_avx2(const int16_t *e, const int16_t *b, size_t count, int16_t most, size_t *below) { row_body(e, b, count, most, below); }
#define WIDE __builtin_cpu_supports("avx2")
#else
#define WIDE 0
#define lanes_avx2 lanes_body
#define row_avx2 row_body
#endif

void wmk_count_lanes(const int16_t *e, size_t stride, const int16_t *a, size_t rows, const int16_t most[WMK_LANES], int16_t below[WMK_LANES])
{
    if (WIDE)
        lanes_avx2(e, stride, a, rows, most, below);
    else
        lanes_body(e, stride, a, rows, most, below);
}

size_t wmk_count_row(const int16_t *e, const int16_t *b, size_t count, int16_t most)
{
    size_t below;
    if (WIDE)
        row_avx2(e, b, count, most, &below);
    else
        row_body(e, b, count, most, &below);
    return below;
}
