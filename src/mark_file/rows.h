/* mark_file/rows.h - a tensor shown in another shape, or with its rows in another order. */
#ifndef WMK_MARK_FILE_ROWS_H
#define WMK_MARK_FILE_ROWS_H

#include "base/status.h"
#include <weightmark/tensor.h>

/* How a tensor was before: the context of wmk_codec_rows. */
typedef struct wmk_rows {
    wmk_tensor_view inner; /* its data is that of the outer view */
    uint64_t row_elements; /* 0: rows stay where they are */
    uint64_t middle, rest; /* row (a, b, c) of [groups][middle][rest] is row (a, c, b) of the inner tensor */
    wmk_codec codec;
} wmk_rows;

/* Puts `rows`, whose members but inner and codec are set, between *view and the tensor `inner`. rows is borrowed by the view. */
void wmk_rows_wrap(wmk_tensor_view *view, wmk_rows *rows, const wmk_tensor_view *inner);

#endif
