/* mark/edit_kernel.h - inner loops of embedding over single weights: from a change in units of its filter's root mean square to what is stored. Wider on processors with AVX2; the same
 * bits either way. */
#ifndef WMK_MARK_EDIT_KERNEL_H
#define WMK_MARK_EDIT_KERNEL_H

#include "mark/deal_kernel.h"

/* v[i] = value[i] inverse[i] */
void wmk_edit_divide(float *v, const double *value, wmk_factor inverse, size_t count);
/* exact[i] = value[i] + rms[i] (change[i] + by) */
void wmk_edit_apply(double *exact, const double *value, wmk_factor rms, const float *change, float by, size_t count);

/* The same for bfloat16 of one filter, straight from bytes to bytes: `from` as it was, `to` as it is stored. count: up to WMK_SQUARES_BLOCK. *distance and *squares as wmk_compare_row adds to them.
 * each: NULL, or [count] another factor of every weight. */
void wmk_edit_divide_bf16(float *v, const void *from, float inverse, const float *each, size_t count);
void wmk_edit_apply_bf16(void *to, const void *from, float rms, const float *each, const float *change, float by, size_t count, double *distance,
                         double *squares);

#endif
