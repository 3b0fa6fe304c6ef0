/* mark_file/choose.h - what only the weights can tell: which tensor, or which order of axes, is a
 * target's. Every such choice is charged to p. */
#ifndef WMK_MARK_FILE_CHOOSE_H
#define WMK_MARK_FILE_CHOOSE_H

#include "mark_file/match.h"

/* What was chosen among: `tries` is to be multiplied by every factor. */
typedef struct wmk_factors {
    uint64_t *factor; /* [count] owned */
    size_t count;
} wmk_factors;
wmk_status wmk_factors_add(wmk_factors *factors, uint64_t factor); /* MEMORY */
void wmk_factors_free(wmk_factors *factors);                       /* a zeroed struct is allowed */

/* Decides the order of axes of the square matrices that wmk_match_by_name left open, by the stronger
 * agreement (correlate.h). Adds the factor 2 for each. */
wmk_status wmk_choose_orders(wmk_match *match, wmk_factors *factors);

/* Told, by one thread, which share of the comparisons is done, 0 to 1. May be NULL. */
typedef void (*wmk_searched_fn)(void *payload, double share);

/* Gives the targets of a match that was begun tensors whose shapes fit. Each target keeps the 64
 * readings that agree with it most; pairs of all targets are then taken by falling agreement, of equal
 * ones by the target's and then the tensor's number, as long as target and tensor are both free.
 *
 * A reading is a tensor in one order of axes; square matrices whose letters differ have two. Adds the
 * factors of the smaller of two products: over the targets, of 1 + the readings that fit the target;
 * over the tensors, of 1 + the readings of the tensor. Each bounds the number of ways to take tensors
 * for targets, some left out. Readings whose values turn out to be unreadable count too.
 *
 * Time: pairs times columns; memory: 64 candidates per target, and what correlate.h needs.
 * MISSING: nothing fits. INPUT: nothing that fits can be read. UNSUPPORTED: more than 2^28 pairs. */
wmk_status wmk_choose_any(wmk_match *match, wmk_factors *factors, wmk_searched_fn searched, void *payload);

#endif
