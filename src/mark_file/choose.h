/* mark_file/choose.h - where only the weights can tell which tensor, or which order of axes, is a target's: the one that speaks loudest for the key, and the price. */
#ifndef WMK_MARK_FILE_CHOOSE_H
#define WMK_MARK_FILE_CHOOSE_H

#include "mark_file/match.h"

/* What was chosen among: p is to be multiplied by every factor. */
typedef struct wmk_price {
    uint64_t *factor; /* [count] owned */
    size_t count;
} wmk_price;

/* Closes what wmk_match_by_name left open. The factors are 2 for each matrix. */
wmk_status wmk_choose_orders(wmk_match *match, wmk_price *price);
/* Gives every target of a match that was begun the tensor whose shape fits and that speaks loudest; a tensor is used once. The factors are the numbers of readings that fit a target, also of those
 * that turn out to be unreadable (a NaN somewhere else in a model must not hide the mark; only when nothing can be read is that the answer). MISSING: nothing fits. */
wmk_status wmk_choose_any(wmk_match *match, wmk_price *price);

#endif
