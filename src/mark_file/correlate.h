/* mark_file/correlate.h - how well tensors agree with a key where each is read as one of its targets. */
#ifndef WMK_MARK_FILE_CORRELATE_H
#define WMK_MARK_FILE_CORRELATE_H

#include "base/status.h"
#include <weightmark/mark.h>

/* Tensors, read as targets of one geometry, against several such targets of a key.
 *
 * The agreement of a target with a tensor is
 *     c = sum_i a_i w_i / (||w|| rms(a)),   a_i = sum_j (2 b_j - 1) X_ji,
 * i over the columns of that target, w the key's carrier of the tensor alone. It is z for scheme
 * random, and z but for the lengths of the rows for the others; in a model made without the key it
 * has mean 0 and variance 1. It serves to choose a tensor; evidence comes from a reading.
 * 0 where w or a is all zeros. */
typedef struct wmk_correlation wmk_correlation;

/* key: borrowed. MEMORY. */
wmk_status wmk_correlation_begin(wmk_correlation **out, const wmk_key *key);
/* agreement [target_count][view_count] of targets with views.
 * targets: numbers of targets of the key that have one geometry (groups.h).
 * views: the tensors as the first of these targets sees them, all with data.
 * readable [view_count]: set to false where the values cannot be read; agreement is -infinity there.
 * Only the columns of these targets are made. Memory: a few MiB, and for views with a codec their
 * values as float. Threads: all of OpenMP's; the result does not depend on their number. MEMORY. */
wmk_status wmk_correlate(wmk_correlation *correlation, const size_t *targets, size_t target_count, const wmk_tensor_view *views, size_t view_count,
                         double *agreement, bool *readable);
void wmk_correlation_end(wmk_correlation *correlation); /* NULL is allowed */

#endif
