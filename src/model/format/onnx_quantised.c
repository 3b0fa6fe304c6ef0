/* model/format/onnx_quantised.c - gives quantised tensors the codec that turns them back into numbers, where scales and zero points are constants that fit. */
#include <string.h>

#include "base/memory.h"
#include "model/format/onnx.h"

uint64_t wmk_onnx_count(const wmk_tensor_view *view)
{
    uint64_t count = 0;
    return wmk_product_u64(view->shape, view->rank, &count) ? count : 0;
}

/* The numbers of tensor `index` as a parameter's data. Those in pieces are unpacked for good: they are few beside their tensor's. False: they cannot be read. */
static wmk_status parameter_data(wmk_onnx *onnx, size_t index, wmk_onnx_parameter *p, bool *ok)
{
    wmk_model_tensor *tensor = &onnx->model->tensors[index];
    *ok = wmk_onnx_is_number(tensor->view.dtype) && !tensor->view.codec && (tensor->view.data || tensor->packed);
    if (!*ok) return WMK_OK;
    tensor->view.layout[0] = '\0'; /* no weight, whatever its rank */
    p->dtype = tensor->view.dtype;
    p->data = tensor->view.data;
    if (!tensor->packed) return WMK_OK;
    void *bytes;
    WMK_TRY(wmk_model_unpack(&bytes, onnx->model, index));
    p->data = bytes;
    return wmk_model_keep(onnx->model, bytes);
}

/* How the parameters of shape `of` belong to a tensor's elements: one for all, one for each place of `axis`, or one for each block of `block` elements along `axis` and each
 * place along the other axes (or for all places, where the parameters' extent is 1). False: they do not fit. */
static bool parameter_strides(const wmk_tensor_view *of, const wmk_tensor_view *view, uint32_t axis, uint64_t block, wmk_onnx_parameter *p)
{
    uint64_t stride = 1;
    if (wmk_onnx_count(of) == 1) return true;
    if (of->rank == 1 && block == 0) {
        if (axis >= view->rank || of->shape[0] != view->shape[axis]) return false;
        p->stride[axis] = 1;
        return true;
    }
    if (of->rank == 2 && view->rank == 3 && block == 0 && axis == 2 && of->shape[0] == view->shape[0] && of->shape[1] == view->shape[2]) {
        p->stride[0] = of->shape[1]; /* DynamicQuantizeLSTM: a direction's outputs */
        p->stride[2] = 1;
        return true;
    }
    if (of->rank != view->rank) return false;
    for (uint32_t k = of->rank; k-- > 0; stride *= of->shape[k]) {
        uint64_t places = k == axis && block ? view->shape[k] / block + (view->shape[k] % block != 0) : view->shape[k];
        if (of->shape[k] != places && of->shape[k] != 1) return false;
        if (of->shape[k] != 1) p->stride[k] = stride;
    }
    return true;
}

static bool can_be_scaled(const wmk_model_tensor *tensor)
{
    return wmk_onnx_is_number(tensor->view.dtype) && !wmk_dtype_is_float(tensor->view.dtype) && !tensor->view.codec &&
           (tensor->view.data || tensor->packed);
}

wmk_status wmk_onnx_set_scaled(wmk_onnx *onnx, size_t index, size_t scale, size_t zero, uint32_t axis, uint64_t block)
{
    wmk_model_tensor *tensors = onnx->model->tensors, *tensor = &tensors[index];
    bool ok;
    if (scale == WMK_ONNX_NONE || scale == index || zero == index || !can_be_scaled(tensor)) return WMK_OK;
    wmk_onnx_scaled q = {.stored = tensor->view.dtype, .rank = tensor->view.rank};
    memcpy(q.shape, tensor->view.shape, sizeof q.shape);
    for (uint32_t k = 0; k < WMK_RANK_MAX; k++) q.block[k] = 1;
    if (block && axis < q.rank) q.block[axis] = block;
    if (!parameter_strides(&tensors[scale].view, &tensor->view, axis, block, &q.scale)) return WMK_OK;
    if (zero != WMK_ONNX_NONE && !parameter_strides(&tensors[zero].view, &tensor->view, axis, block, &q.zero)) return WMK_OK;
    WMK_TRY(parameter_data(onnx, scale, &q.scale, &ok));
    if (ok && zero != WMK_ONNX_NONE) WMK_TRY(parameter_data(onnx, zero, &q.zero, &ok));
    if (!ok) return WMK_OK;
    wmk_onnx_scaled_join(&q);
    q.pitch = q.shape[q.rank - 1];
    wmk_onnx_scaled *kept;
    WMK_TRY(wmk_alloc(&kept, 1, sizeof *kept));
    *kept = q;
    WMK_TRY(wmk_model_keep(onnx->model, kept));
    tensor->view.codec = &wmk_onnx_scaled_codec;
    tensor->view.codec_context = kept;
    WMK_TRY(wmk_onnx_bytes(&tensor->view, &tensor->view.data_bytes));
    return WMK_OK;
}

wmk_status wmk_onnx_set_blocks(wmk_onnx *onnx, const wmk_onnx_blocks *b, bool *done)
{
    static const wmk_dtype by_bits[9] = {[2] = WMK_U2, [4] = WMK_U4, [8] = WMK_U8};
    wmk_model_tensor *tensors = onnx->model->tensors, *tensor = &tensors[b->tensor];
    uint64_t elements, row = b->k / b->block + (b->k % b->block != 0), zero_row = (row * b->bits + 7) / 8, scales, zeros;
    bool ok;
    *done = false;
    if (b->scale == WMK_ONNX_NONE || tensor->view.dtype != WMK_U8 || tensor->view.codec || !(tensor->view.data || tensor->packed)) return WMK_OK;
    if (!wmk_mul_u64(b->n, b->pitch, &elements) || elements % (8 / b->bits) != 0 || elements / (8 / b->bits) != wmk_onnx_count(&tensor->view))
        return WMK_OK;
    if (!wmk_mul_u64(b->n, row, &scales) || wmk_onnx_count(&tensors[b->scale].view) != scales) return WMK_OK;
    wmk_onnx_scaled q = {by_bits[b->bits], 2, {b->n, b->k}, {1, b->block}, b->pitch, {.stride = {row, 1}}, {.stride = {row, 1}}, b->zero_default};
    WMK_TRY(parameter_data(onnx, b->scale, &q.scale, &ok));
    if (ok && b->zero != WMK_ONNX_NONE) {
        WMK_TRY(parameter_data(onnx, b->zero, &q.zero, &ok));
        zeros = wmk_onnx_count(&tensors[b->zero].view);
        if (q.zero.dtype == WMK_U8) {
            ok = ok && zero_row != 0 && zeros % zero_row == 0 && zeros / zero_row == b->n;
            q.zero.dtype = by_bits[b->bits];
            q.zero.stride[0] = zero_row * (8 / b->bits);
        } else {
            ok = ok && zeros == scales;
        }
    }
    if (!ok || scales == 0) return WMK_OK;
    wmk_onnx_scaled *kept;
    WMK_TRY(wmk_alloc(&kept, 1, sizeof *kept));
    *kept = q;
    WMK_TRY(wmk_model_keep(onnx->model, kept));
    WMK_TRY(wmk_onnx_bytes(&tensor->view, &tensor->view.data_bytes));
    tensor->view.dtype = q.stored;
    strcpy(tensor->view.layout, "OI");
    tensor->layout_known = false; /* whatever another operator made of its bytes */
    tensor->view.rank = 2;
    tensor->view.shape[0] = b->n;
    tensor->view.shape[1] = b->k;
    tensor->view.codec = &wmk_onnx_scaled_codec;
    tensor->view.codec_context = kept;
    *done = true;
    return WMK_OK;
}
