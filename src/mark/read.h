/* mark/read.h - reading bits from a carrier vector that is already open: for verifying many keys over the same weights. */
#ifndef WMK_MARK_READ_H
#define WMK_MARK_READ_H

#include "mark/carrier.h"

/* key: of the same targets and carrier as the vector's, any seed. */
wmk_status wmk_vector_read(wmk_reading **out, const wmk_key *key, const wmk_vector *vector);

#endif
