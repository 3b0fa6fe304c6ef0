/* mark_file/overlap.h - a tensor shown in the sizes of a target that it shares only some weights with. */
#ifndef WMK_MARK_FILE_OVERLAP_H
#define WMK_MARK_FILE_OVERLAP_H

#include "base/status.h"
#include <weightmark/mark.h>

/* The context of the codec. */
typedef struct wmk_overlap {
    wmk_tensor_view inner; /* in its own sizes; its data is that of the outer view */
    uint32_t axis;         /* the last axis whose sizes differ; behind it both lie the same */
    uint64_t behind;       /* elements for each index of that axis */
    wmk_codec codec;       /* reads only */
} wmk_overlap;

/* *view, whose axes have the target's letters in any order, takes the target's sizes: elements with an
 * index beyond the tensor's own sizes read as 0, weights beyond the target's sizes are left out.
 * overlap is borrowed by the view. MISMATCH: an axis that the view lacks is not of size 1 in the target.
 * weights: set to the number of weights that both have. */
wmk_status wmk_overlap_wrap(wmk_tensor_view *view, wmk_overlap *overlap, const wmk_target *target, uint64_t *weights);

#endif
