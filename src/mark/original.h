/* mark/original.h - the digest of a key's unmarked weights, with traffic that somebody follows. */
#ifndef WMK_MARK_ORIGINAL_H
#define WMK_MARK_ORIGINAL_H

#include "mark/carrier.h"

/* wmk_mark_original; traffic may be NULL. */
wmk_status wmk_views_original(uint8_t original[WMK_ORIGINAL_BYTES], const wmk_key *key, const wmk_tensor_view *views, const wmk_traffic *traffic);

#endif
