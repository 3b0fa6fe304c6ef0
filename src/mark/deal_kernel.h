/* mark/deal_kernel.h - inner loops of scheme partition over single weights: a run of weights, and what each of their columns was dealt (mark/x.h). Wider on processors with AVX2; the
 * same bits either way. */
#ifndef WMK_MARK_DEAL_KERNEL_H
#define WMK_MARK_DEAL_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A factor of each weight of a run: value[i], or value[0] for all. Of a block of several runs: each run's own, or the same. */
typedef struct wmk_factor {
    const double *value;
    bool one;  /* one for all */
    bool each; /* every weight of the block has its own: value goes on through all runs */
} wmk_factor;
/* The factor of what begins at weight k of a block; without `each` k is where a run begins, or of the block's only run. */
static inline wmk_factor wmk_factor_from(wmk_factor factor, size_t k) { return factor.each ? (wmk_factor){factor.value + k, false, true} : factor; }

/* sum[deal[i] / 2] += {v, v^2} with v = w[i] inverse[i], in order of i. sum [2 T] */
void wmk_deal_row(double (*sum)[2], const double *w, wmk_factor inverse, const uint16_t *deal, size_t count);
/* sum[deal[i] / 2] += {v, v^2, 1 where v is not 0 (zeros: where inverse[i] is not), 0}. sum [2 T], at a multiple of 32 bytes. */
void wmk_deal_count(double (*sum)[4], const double *w, wmk_factor inverse, bool zeros, const uint16_t *deal, size_t count);
/* change[i] = gain (e[0] v[i] + e[1]), e = edit[deal[i] / 2], edit [2 T]; 0 where v[i] is 0, unless `zeros`. */
typedef struct wmk_change {
    double sum;   /* of the changes */
    size_t fixed; /* how many are 0 because v[i] is */
} wmk_change;
wmk_change wmk_deal_change(float *change, const float *v, float gain, bool zeros, const float (*edit)[2], const uint16_t *deal, size_t count);
/* to[c * stride + r] = from[r][c], r in [0, rows), c in [0, columns) */
void wmk_deal_turn(uint16_t *to, size_t stride, const uint16_t *const *from, size_t rows, size_t columns);

#endif
