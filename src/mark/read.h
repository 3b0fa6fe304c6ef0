/* mark/read.h - reading bits from a carrier vector that is already open: for verifying many keys over the same weights. */
#ifndef WMK_MARK_READ_H
#define WMK_MARK_READ_H

#include "mark/carrier.h"

/* key: of the same targets and carrier as the vector's, any seed. */
wmk_status wmk_vector_read(wmk_reading **out, const wmk_key *key, const wmk_vector *vector);
/* wmk_mark_read whose traffic somebody follows. */
wmk_status wmk_views_read(wmk_reading **out, const wmk_key *key, const wmk_tensor_view *views, const wmk_traffic *traffic);

/* Scheme partition: sum [T] += {X_j . w, ||w restricted to row j||^2}, of a vector, or of sums [2 T] by deal (wmk_deal_row); and the reading that such sums give. */
void wmk_partition_fold(double (*sum)[2], uint32_t T, const double (*by_deal)[2]);
wmk_status wmk_partition_sums(double (*sum)[2], const wmk_key *key, const wmk_vector *vector);
wmk_status wmk_reading_of_sums(wmk_reading **out, const wmk_vector *vector, uint32_t T, double (*sum)[2]);

#endif
