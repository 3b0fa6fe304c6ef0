/* tests/mark/kernels_plain.c - the inner loops once more, under other names, compiled so that they find a
 * processor without AVX2: the forms that such a processor runs are tested on every machine. */
#define __builtin_cpu_supports(name) 0
#define wmk_deal_row plain_deal_row
#define wmk_deal_count plain_deal_count
#define wmk_deal_change plain_deal_change
#define wmk_deal_turn plain_deal_turn
#define wmk_edit_divide plain_edit_divide
#define wmk_edit_apply plain_edit_apply
#define wmk_edit_divide_bf16 plain_edit_divide_bf16
#define wmk_edit_apply_bf16 plain_edit_apply_bf16
#define wmk_dot_row plain_dot_row
#define wmk_dot plain_dot
#define wmk_add_rows plain_add_rows
#define wmk_squares_row plain_squares_row
#define wmk_squares_bf16 plain_squares_bf16
#define wmk_squares_f64 plain_squares_f64
#define wmk_compare_row plain_compare_row
#define wmk_squares_scaled plain_squares_scaled
#define wmk_add_scaled plain_add_scaled
#define wmk_widen_row plain_widen_row
#define wmk_count_lanes plain_count_lanes
#define wmk_count_row plain_count_row
#include "kernels.h"

#include "mark/carrier_kernel.c"
#include "mark/deal_kernel.c"
#include "mark/edit_kernel.c"
#define row_body lane_row_body /* names that deal_kernel.c has too */
#define row_avx2 lane_row_avx2
#include "mark/lane_kernel.c"

const kernels kernels_plain = KERNELS("without AVX2", plain_);
