/* mark/lane_kernel.h - counts of small integers that are at or below a bound, for medians found by halves. Wider on processors
 * with AVX2; the same counts either way. */
#ifndef WMK_MARK_LANE_KERNEL_H
#define WMK_MARK_LANE_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#define WMK_LANES 32 /* sets that are counted side by side */

/* below[k] = how many i in [0, rows) have e[i * stride + k] - a[i] <= most[k], k in [0, WMK_LANES). rows < 32768. */
void wmk_count_lanes(const int16_t *e, size_t stride, const int16_t *a, size_t rows, const int16_t most[WMK_LANES], int16_t below[WMK_LANES]);
/* How many k in [0, count) have e[k] - b[k] <= most. count is a multiple of WMK_LANES, at most 2^15. */
size_t wmk_count_row(const int16_t *e, const int16_t *b, size_t count, int16_t most);

#endif
