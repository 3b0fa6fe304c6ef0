/* op/activation.c - Sigmoid and Tanh: element by element; the gradient comes from the result. */
#include <math.h>
#include "nn/op.h"

static wmk_status shape(wmk_call *call)
{
    WMK_TRY(wmk_need_rank(call, 0, call->in_type[0].rank));
    call->out_type[0] = call->in_type[0];
    return WMK_OK;
}

static wmk_status sigmoid_forward(const wmk_call *call)
{
    const float *src = call->in[0];
    float *dst = call->out[0];
    for (size_t i = 0, count = wmk_type_count(&call->out_type[0]); i < count; i++) dst[i] = (float)(1 / (1 + exp(-(double)src[i])));
    return WMK_OK;
}

static wmk_status sigmoid_backward(const wmk_call *call)
{
    const float *dst = call->out[0];
    for (size_t i = 0, count = wmk_type_count(&call->out_type[0]); i < count; i++) call->diff_in[0][i] = call->diff_out[0][i] * dst[i] * (1 - dst[i]);
    return WMK_OK;
}

const wmk_operator wmk_op_Sigmoid = {
    .name = "Sigmoid",
    .inputs_min = 1,
    .inputs_max = 1,
    .differentiable = WMK_INPUT(0),
    .backward_reads_output = true,
    .tolerance = 1e-5,
    .shape = shape,
    .forward = sigmoid_forward,
    .backward = sigmoid_backward,
};

static wmk_status tanh_forward(const wmk_call *call)
{
    const float *src = call->in[0];
    float *dst = call->out[0];
    for (size_t i = 0, count = wmk_type_count(&call->out_type[0]); i < count; i++) dst[i] = (float)tanh((double)src[i]);
    return WMK_OK;
}

static wmk_status tanh_backward(const wmk_call *call)
{
    const float *dst = call->out[0];
    for (size_t i = 0, count = wmk_type_count(&call->out_type[0]); i < count; i++) call->diff_in[0][i] = call->diff_out[0][i] * (1 - dst[i] * dst[i]);
    return WMK_OK;
}

const wmk_operator wmk_op_Tanh = {
    .name = "Tanh",
    .inputs_min = 1,
    .inputs_max = 1,
    .differentiable = WMK_INPUT(0),
    .backward_reads_output = true,
    .tolerance = 1e-5,
    .shape = shape,
    .forward = tanh_forward,
    .backward = tanh_backward,
};
