/* mark/read.h - reading bits from a carrier vector that is already open: for verifying many keys over the same weights. */
#ifndef WMK_MARK_READ_H
#define WMK_MARK_READ_H

#include "mark/carrier.h"

/* key: of the same targets and carrier as the vector's, any seed. */
wmk_status wmk_vector_read(wmk_reading **out, const wmk_key *key, const wmk_vector *vector);
/* wmk_mark_read whose traffic somebody follows. */
wmk_status wmk_views_read(wmk_reading **out, const wmk_key *key, const wmk_tensor_view *views, const wmk_traffic *traffic);

/* What scheme partition sums up of one row: X_j . w, ||w restricted||^2, and the columns there whose filter is not all zeros. */
typedef struct wmk_row_sums {
    double dot, squares, columns;
} wmk_row_sums;
/* The reading they give. sums [T]. */
wmk_status wmk_reading_of_sums(wmk_reading **out, const wmk_vector *vector, uint32_t T, const wmk_row_sums *sums);

#endif
