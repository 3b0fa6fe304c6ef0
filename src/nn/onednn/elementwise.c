/* onednn/elementwise.c - Relu and Add on tensors in whatever layout they have: no primitive, one pass of our own. */
#include <string.h>
#include "nn/onednn/engine.h"
#include "nn/pointwise.h"

static wmk_status run_add(void *state, void *const *data)
{
    wmk_pointwise_add(state, data[2], data[0], data[1]);
    return WMK_OK;
}
static wmk_status run_relu(void *state, void *const *data)
{
    wmk_pointwise_relu(state, data[1], data[0]);
    return WMK_OK;
}
static wmk_status run_relu_backward(void *state, void *const *data)
{
    wmk_pointwise_relu_backward(state, data[2], data[0], data[1]);
    return WMK_OK;
}
static const wmk_step_kind add_kind = {NULL, run_add, free}, relu_kind = {NULL, run_relu, free}, relu_backward_kind = {NULL, run_relu_backward, free};

static wmk_status add_step(wmk_plan *plan, const wmk_step_kind *kind, const wmk_node *n, const wmk_type *type, wmk_md md, const wmk_use *uses,
                           uint32_t count)
{
    const bool bf16 = wmk_md_type(md) == dnnl_bf16;
    wmk_pointwise *state;
    WMK_TRY(wmk_alloc(&state, 1, sizeof *state));
    *state = (wmk_pointwise){dnnl_memory_desc_get_size(md) / (bf16 ? 2 : 4), bf16};
    return wmk_step_add(plan, kind, state, n->op->name, n->name, bf16 ? "bf16" : "f32", type, type, uses, count);
}

static wmk_status relu_forward(wmk_plan *plan, size_t node, bool *done)
{
    wmk_call call;
    wmk_call_describe(plan, node, &call);
    const wmk_tensor src = plan->values[call.node->inputs[0]].forms[0];
    if (call.in_type[0].rank > 6) return WMK_OK;
    *done = true;
    wmk_md md;
    wmk_tensor dst;
    WMK_TRY(wmk_onednn_md_of(plan, &call.in_type[0], src, &md));
    WMK_TRY(wmk_tensor_new(plan, dnnl_memory_desc_get_size(md), plan->tensors[src].layout, &dst));
    WMK_TRY(add_step(plan, &relu_kind, call.node, &call.in_type[0], md, (wmk_use[]){{src, WMK_READS}, {dst, WMK_WRITES}}, 2));
    return wmk_form_add(plan, call.node->outputs[0], dst);
}

static wmk_status relu_backward(wmk_plan *plan, size_t node, bool *done)
{
    wmk_call call;
    wmk_call_describe(plan, node, &call);
    if (call.in_type[0].rank > 6) return WMK_OK;
    *done = true;
    wmk_tensor made, diff_dst, diff_src;
    WMK_TRY(wmk_diff_take(plan, call.node->outputs[0], &made));
    if (made == WMK_TENSOR_NONE) return WMK_OK;
    const wmk_tensor dst = plan->values[call.node->outputs[0]].forms[0];
    wmk_md md, plain;
    WMK_TRY(wmk_onednn_md_of(plan, &call.in_type[0], dst, &md));
    WMK_TRY(wmk_onednn_md(wmk_onednn_of(plan), &call.in_type[0], dnnl_f32, false, &plain));
    WMK_TRY(wmk_onednn_reordered(plan, &call.in_type[0], call.node->name, made, md, &diff_dst));
    WMK_TRY(wmk_onednn_diff_place(plan, call.node->inputs[0], md, plain, &diff_src));
    WMK_TRY(add_step(plan, &relu_backward_kind, call.node, &call.in_type[0], md,
                     (wmk_use[]){{diff_dst, WMK_READS}, {dst, WMK_READS}, {diff_src, WMK_WRITES}}, 3));
    return wmk_diff_add(plan, call.node->inputs[0], diff_src);
}

const wmk_onednn_operator wmk_onednn_relu = {"Relu", relu_forward, relu_backward};

static bool same_shape(const wmk_call *call)
{
    const wmk_type *a = &call->in_type[0], *b = &call->in_type[1];
    return a->rank == b->rank && a->rank <= 6 && memcmp(a->dims, b->dims, a->rank * sizeof *a->dims) == 0;
}

static wmk_status add_forward(wmk_plan *plan, size_t node, bool *done)
{
    wmk_call call;
    wmk_call_describe(plan, node, &call);
    if (!same_shape(&call)) return WMK_OK; /* broadcasting */
    *done = true;
    const wmk_tensor a = plan->values[call.node->inputs[0]].forms[0];
    wmk_tensor b, dst;
    wmk_md md;
    WMK_TRY(wmk_onednn_md_of(plan, &call.in_type[0], a, &md));
    WMK_TRY(wmk_onednn_form(plan, call.node->inputs[1], &call.in_type[1], md, &b));
    WMK_TRY(wmk_tensor_new(plan, dnnl_memory_desc_get_size(md), plan->tensors[a].layout, &dst));
    WMK_TRY(add_step(plan, &add_kind, call.node, &call.in_type[0], md, (wmk_use[]){{a, WMK_READS}, {b, WMK_READS}, {dst, WMK_WRITES}}, 3));
    return wmk_form_add(plan, call.node->outputs[0], dst);
}

/* The gradient of a sum is that of both terms: nothing is computed or copied. */
static wmk_status add_backward(wmk_plan *plan, size_t node, bool *done)
{
    wmk_call call;
    wmk_call_describe(plan, node, &call);
    if (!same_shape(&call)) return WMK_OK;
    *done = true;
    wmk_tensor diff;
    WMK_TRY(wmk_diff_take(plan, call.node->outputs[0], &diff));
    return diff == WMK_TENSOR_NONE ? WMK_OK : wmk_diff_pass(plan, diff, call.node->inputs, 2);
}

const wmk_onednn_operator wmk_onednn_add = {"Add", add_forward, add_backward};
