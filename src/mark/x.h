/* mark/x.h - the elements of X, computed from the key's seed wherever they are needed (docs/spec.md, "X"). Secret. */
#ifndef WMK_MARK_X_H
#define WMK_MARK_X_H

#include "base/status.h"
#include <weightmark/mark.h>

/* Scheme random: x[i] = X[row][column + i], i in [0, count). Any alignment of column; the caller keeps within [T][M]. */
void wmk_x_normal(const wmk_key *key, uint32_t row, uint64_t column, size_t count, float *x);
/* Scheme partition: what column + i was dealt. A deal is 4 times the row in [0, T), and 2 more where the entry there is -1: half of it, in [0, 2 T), counts rows with their signs. */
void wmk_x_deal(const wmk_key *key, uint64_t column, size_t count, uint16_t *deal);
#define WMK_DEAL_MINUS 2u
#define WMK_DEAL_ROW(deal) ((deal) >> 2)
/* The same as rows, and signs +1 or -1. */
void wmk_x_partition(const wmk_key *key, uint64_t column, size_t count, uint16_t *row, int8_t *sign);
/* Schemes direct and diff: plus[j] the column of row j's +1, minus[j] of its -1 (diff only; NULL for direct). [T] each. */
wmk_status wmk_x_columns(const wmk_key *key, uint64_t *plus, uint64_t *minus);
/* Schemes other than random, where no column has two rows: each column's row, WMK_NO_ROW where it has none, and the sign there, else 0. [M] each. */
wmk_status wmk_x_rows(const wmk_key *key, uint16_t *row, int8_t *sign);
#define WMK_NO_ROW UINT16_MAX

#endif
