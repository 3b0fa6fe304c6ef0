/* mark_file/find.h - which tensor of a model has a target's name, or one that means the same. */
#ifndef WMK_MARK_FILE_FIND_H
#define WMK_MARK_FILE_FIND_H

#include "mark_file/match.h"

/* Fills match->tensor, how and fit of the targets that have none yet. Tensors of the target's sizes go
 * first, whichever name leads to them.
 * exact: the tensor of the target's own name is meant whatever its sizes are, and other sizes fit
 * nowhere; else a tensor of other sizes that a name leads to is better than none. */
wmk_status wmk_find_by_name(wmk_match *match, bool exact);

#endif
