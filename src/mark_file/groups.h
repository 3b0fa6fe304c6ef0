/* mark_file/groups.h - the targets of a key by geometry: what fits one target of a group fits all. */
#ifndef WMK_MARK_FILE_GROUPS_H
#define WMK_MARK_FILE_GROUPS_H

#include "base/status.h"
#include <weightmark/mark.h>

/* Targets of one group have the same shape, the same layout, and names of the same rotary kind
 * (names.h), so that one view of a tensor serves all of them. */
typedef struct wmk_groups {
    size_t *target; /* [targets of the key] group after group, within a group in the key's order */
    size_t *begin;  /* [count + 1] where each group begins in `target` */
    size_t count;
} wmk_groups;

/* MEMORY. The caller frees *out with wmk_groups_free, also after a failure. */
wmk_status wmk_groups_make(wmk_groups *out, const wmk_key *key);
void wmk_groups_free(wmk_groups *groups); /* a zeroed struct is allowed */

#endif
