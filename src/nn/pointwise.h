/* nn/pointwise.h - element-by-element loops over whole tensors of one layout, f32 or bf16. */
#ifndef WMK_NN_POINTWISE_H
#define WMK_NN_POINTWISE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct wmk_pointwise {
    size_t count; /* elements, padding included */
    bool bf16;
} wmk_pointwise;

/* dst = a + b; dst may be a or b. */
void wmk_pointwise_add(const wmk_pointwise *p, void *dst, const void *a, const void *b);
void wmk_pointwise_relu(const wmk_pointwise *p, void *dst, const void *src);
/* diff_src = dst > 0 ? diff_dst : 0; diff_src may be diff_dst. */
void wmk_pointwise_relu_backward(const wmk_pointwise *p, void *diff_src, const void *diff_dst, const void *dst);

#endif
