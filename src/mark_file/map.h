/* mark_file/map.h - tensors that somebody names for targets, and what that choice is charged. */
#ifndef WMK_MARK_FILE_MAP_H
#define WMK_MARK_FILE_MAP_H

#include "mark_file/choose.h"

/* Gives the targets of a match that was begun the tensors that the map names, of the target's sizes or
 * of others.
 * MISSING: a name that key or model do not have. INPUT: a target or a tensor named twice. MISMATCH,
 * UNSUPPORTED: a tensor that cannot be read as the target. All name the map's line. */
wmk_status wmk_map_apply(wmk_match *match, const wmk_rename *map, size_t count);

/* Adds what the map of a complete match is charged: whoever writes it may have looked at the weights.
 *
 * k lines, of a key of n targets, name another tensor than the names lead to (wmk_find_by_name without
 * a map). For k > 0: n, times the number of ways to choose k of n, times for each such line the number
 * of tensors that it could have named: of e tensors of the target's sizes and o of other sizes, e, or
 * e + 1 where o > 0; for a tensor of other sizes (e + 1) o. The reciprocals of all maps' products sum
 * to 1 at most, so p holds for a map that was chosen after looking. MEMORY. */
wmk_status wmk_map_factors(wmk_factors *factors, const wmk_match *match);

#endif
