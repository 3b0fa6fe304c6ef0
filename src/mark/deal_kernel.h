/* mark/deal_kernel.h - inner loops of scheme partition over single weights: a run of weights, and what each of their columns was dealt (mark/x.h). Wider on processors with AVX2; the
 * same bits either way. */
#ifndef WMK_MARK_DEAL_KERNEL_H
#define WMK_MARK_DEAL_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A factor of each weight of a run: value[i], or value[0] for all. */
typedef struct wmk_factor {
    const double *value;
    bool one;
} wmk_factor;

/* sum[deal[i] / 2] += {v, v^2} with v = w[i] inverse[i], in order of i. sum [2 T] */
void wmk_deal_row(double (*sum)[2], const double *w, wmk_factor inverse, const uint16_t *deal, size_t count);
/* sum[deal[i] / 2] += {v, v^2, 1 where inverse[i] is not 0, 0}. sum [2 T], at a multiple of 32 bytes. */
void wmk_deal_count(double (*sum)[4], const double *w, wmk_factor inverse, const uint16_t *deal, size_t count);
/* change[i] = gain (e[0] v[i] + e[1]), e = edit[deal[i] / 2], edit [2 T]; their sum. */
double wmk_deal_change(float *change, const float *v, float gain, const float (*edit)[2], const uint16_t *deal, size_t count);
/* to[c * stride + r] = from[r][c], r in [0, rows), c in [0, columns) */
void wmk_deal_turn(uint16_t *to, size_t stride, const uint16_t *const *from, size_t rows, size_t columns);

#endif
