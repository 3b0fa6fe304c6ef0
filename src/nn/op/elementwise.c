/* op/elementwise.c - Relu, and Add with ONNX's (numpy's) broadcasting. */
#include <string.h>
#include "nn/op.h"

static wmk_status relu_shape(wmk_call *call)
{
    WMK_TRY(wmk_need_rank(call, 0, call->in_type[0].rank));
    call->out_type[0] = call->in_type[0];
    return WMK_OK;
}

static wmk_status relu_forward(const wmk_call *call)
{
    const float *src = call->in[0];
    float *dst = call->out[0];
    for (size_t i = 0, count = wmk_type_count(&call->out_type[0]); i < count; i++) dst[i] = src[i] < 0 ? 0 : src[i]; /* NaN passes */
    return WMK_OK;
}

static wmk_status relu_backward(const wmk_call *call)
{
    const float *dst = call->out[0];
    for (size_t i = 0, count = wmk_type_count(&call->out_type[0]); i < count; i++) call->diff_in[0][i] = dst[i] > 0 ? call->diff_out[0][i] : 0;
    return WMK_OK;
}

const wmk_operator wmk_op_Relu = {
    .name = "Relu",
    .inputs_min = 1,
    .inputs_max = 1,
    .differentiable = WMK_INPUT(0),
    .backward_reads_output = true,
    .tolerance = 1e-6,
    .shape = relu_shape,
    .forward = relu_forward,
    .backward = relu_backward,
};

static wmk_status add_shape(wmk_call *call)
{
    const wmk_type *a = &call->in_type[0], *b = &call->in_type[1];
    WMK_TRY(wmk_need_rank(call, 0, a->rank));
    WMK_TRY(wmk_need_rank(call, 1, b->rank));
    const uint32_t rank = a->rank > b->rank ? a->rank : b->rank;
    int64_t dims[WMK_RANK_MAX] = {0};
    for (uint32_t i = 0; i < rank; i++) {
        const int64_t x = i < rank - a->rank ? 1 : a->dims[i - (rank - a->rank)], y = i < rank - b->rank ? 1 : b->dims[i - (rank - b->rank)];
        if (x != y && x != 1 && y != 1)
            return wmk_fail_node(WMK_ERROR_ARGUMENT, call->node, "sizes %lld and %lld of output axis %u cannot be broadcast", (long long)x,
                                 (long long)y, i);
        dims[i] = x == 1 ? y : x;
    }
    return wmk_type_make(&call->out_type[0], WMK_F32, rank, dims, call->node->name);
}

/* Element of `type` that element `index` of `out` is made from. */
static size_t broadcast_index(const wmk_type *out, const wmk_type *type, size_t index)
{
    size_t result = 0, step = 1;
    for (uint32_t i = 0; i < type->rank; i++) {
        const size_t size = (size_t)out->dims[out->rank - 1 - i], own = (size_t)type->dims[type->rank - 1 - i];
        if (own != 1) result += index % size * step; /* sizes are at least 1: NOLINT(clang-analyzer-core.DivideZero) */
        step *= own;
        index /= size; /* NOLINT(clang-analyzer-core.DivideZero) */
    }
    return result;
}

static wmk_status add_forward(const wmk_call *call)
{
    const float *a = call->in[0], *b = call->in[1];
    float *dst = call->out[0];
    for (size_t i = 0, count = wmk_type_count(&call->out_type[0]); i < count; i++)
        dst[i] = a[broadcast_index(&call->out_type[0], &call->in_type[0], i)] + b[broadcast_index(&call->out_type[0], &call->in_type[1], i)];
    return WMK_OK;
}

static wmk_status add_backward(const wmk_call *call)
{
    for (size_t k = 0; k < 2; k++) {
        float *diff = call->diff_in[k];
        if (!diff) continue;
        memset(diff, 0, wmk_type_count(&call->in_type[k]) * sizeof(float));
        for (size_t i = 0, count = wmk_type_count(&call->out_type[0]); i < count; i++)
            diff[broadcast_index(&call->out_type[0], &call->in_type[k], i)] += call->diff_out[0][i];
    }
    return WMK_OK;
}

const wmk_operator wmk_op_Add = {
    .name = "Add",
    .inputs_min = 2,
    .inputs_max = 2,
    .differentiable = WMK_INPUT(0) | WMK_INPUT(1),
    .tolerance = 1e-6,
    .shape = add_shape,
    .forward = add_forward,
    .backward = add_backward,
};
