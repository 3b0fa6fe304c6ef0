/* plain.c - a node by its operator's reference form, on plain row-major tensors. */
#include <stdlib.h>
#include <string.h>
#include "nn/plan.h"

/* Uses of a step, in this order. */
enum { USE_IN = 0, USE_OUT = WMK_NODE_INPUTS_MAX, USE_SAVED, USE_DIFF_OUT, USE_DIFF_IN, USE_COUNT = USE_DIFF_IN + WMK_NODE_INPUTS_MAX };
_Static_assert(USE_COUNT <= WMK_STEP_USES_MAX && WMK_NODE_OUTPUTS_MAX == 1, "a step has room for every tensor of a node");

static wmk_status bind(void *state, void *const *data)
{
    wmk_call *call = state;
    memcpy(call->in, data + USE_IN, sizeof call->in);
    call->out[0] = data[USE_OUT];
    call->saved = data[USE_SAVED];
    call->diff_out[0] = data[USE_DIFF_OUT];
    for (size_t i = 0; i < WMK_NODE_INPUTS_MAX; i++) call->diff_in[i] = data[USE_DIFF_IN + i];
    return WMK_OK;
}

static wmk_status run_forward(void *state, void *const *data)
{
    (void)data;
    const wmk_call *call = state;
    return call->node->op->forward(call);
}

static wmk_status run_backward(void *state, void *const *data)
{
    (void)data;
    const wmk_call *call = state;
    return call->node->op->backward(call);
}

static const wmk_step_kind forward_kind = {bind, run_forward, free}, backward_kind = {bind, run_backward, free};

wmk_status wmk_plain_forward(wmk_plan *plan, size_t node)
{
    const wmk_node *n = &plan->graph->nodes[node];
    wmk_use uses[USE_COUNT];
    for (int i = 0; i < USE_COUNT; i++) uses[i] = (wmk_use){WMK_TENSOR_NONE, WMK_READS};
    for (size_t i = 0; i < n->input_count; i++)
        if (n->inputs[i] != WMK_VALUE_NONE) WMK_TRY(wmk_form_plain(plan, n->inputs[i], &uses[USE_IN + i].tensor));
    if (n->op->is_view) return wmk_form_add(plan, n->outputs[0], uses[USE_IN].tensor);

    wmk_call *call;
    WMK_TRY(wmk_alloc(&call, 1, sizeof *call));
    wmk_call_describe(plan, node, call);
    uses[USE_OUT].access = uses[USE_SAVED].access = WMK_WRITES;
    wmk_status status = wmk_tensor_plain(plan, &call->out_type[0], &uses[USE_OUT].tensor);
    if (status == WMK_OK && n->op->saved_bytes) status = wmk_tensor_new(plan, n->op->saved_bytes(call), NULL, &uses[USE_SAVED].tensor);
    plan->nodes[node].saved = uses[USE_SAVED].tensor;
    if (status == WMK_OK) status = wmk_form_add(plan, n->outputs[0], uses[USE_OUT].tensor);
    if (status != WMK_OK) {
        free(call);
        return status;
    }
    return wmk_step_add(plan, &forward_kind, call, n->op->name, n->name, "reference", &call->in_type[0], &call->out_type[0], uses, USE_COUNT);
}

wmk_status wmk_plain_backward(wmk_plan *plan, size_t node)
{
    const wmk_node *n = &plan->graph->nodes[node];
    wmk_use uses[USE_COUNT];
    for (int i = 0; i < USE_COUNT; i++) uses[i] = (wmk_use){WMK_TENSOR_NONE, WMK_READS};
    WMK_TRY(wmk_diff_take_plain(plan, n->outputs[0], &uses[USE_DIFF_OUT].tensor));
    if (uses[USE_DIFF_OUT].tensor == WMK_TENSOR_NONE) return WMK_OK;
    if (n->op->is_view) {
        return wmk_diff_pass(plan, uses[USE_DIFF_OUT].tensor, n->inputs, 1);
    }
    for (size_t i = 0; i < n->input_count; i++)
        if (n->op->backward_reads & WMK_INPUT(i) && n->inputs[i] != WMK_VALUE_NONE)
            WMK_TRY(wmk_form_plain(plan, n->inputs[i], &uses[USE_IN + i].tensor));
    if (n->op->backward_reads_output) WMK_TRY(wmk_form_plain(plan, n->outputs[0], &uses[USE_OUT].tensor));
    uses[USE_SAVED].tensor = plan->nodes[node].saved;
    bool wanted = false;
    for (size_t i = 0; i < n->input_count; i++) {
        uses[USE_DIFF_IN + i].access = WMK_WRITES;
        if (!(n->op->differentiable & WMK_INPUT(i)) || n->inputs[i] == WMK_VALUE_NONE || !plan->values[n->inputs[i]].wants_gradient) continue;
        bool repeated = false; /* the same value twice: each needs a place of its own */
        for (size_t j = 0; j < i; j++) repeated |= n->inputs[j] == n->inputs[i];
        if (repeated)
            WMK_TRY(wmk_tensor_plain(plan, &plan->values[n->inputs[i]].type, &uses[USE_DIFF_IN + i].tensor));
        else
            WMK_TRY(wmk_diff_place(plan, n->inputs[i], &uses[USE_DIFF_IN + i].tensor));
        wanted = true;
    }
    if (!wanted) return WMK_OK;
    wmk_call *call;
    WMK_TRY(wmk_alloc(&call, 1, sizeof *call));
    wmk_call_describe(plan, node, call);
    WMK_TRY(wmk_step_add(plan, &backward_kind, call, n->op->name, n->name, "reference", &call->out_type[0], &call->in_type[0], uses, USE_COUNT));
    for (size_t i = 0; i < n->input_count; i++)
        if (uses[USE_DIFF_IN + i].tensor != WMK_TENSOR_NONE) WMK_TRY(wmk_diff_add(plan, n->inputs[i], uses[USE_DIFF_IN + i].tensor));
    return WMK_OK;
}

static wmk_status run_copy(void *state, void *const *data)
{
    memcpy(data[1], data[0], *(size_t *)state);
    return WMK_OK;
}
static const wmk_step_kind copy_kind = {NULL, run_copy, free};

wmk_status wmk_copy_plain(wmk_plan *plan, const wmk_type *type, const char *name, wmk_tensor from, wmk_tensor to)
{
    size_t *bytes;
    WMK_TRY(wmk_alloc(&bytes, 1, sizeof *bytes));
    *bytes = wmk_type_count(type) * sizeof(float);
    return wmk_step_add(plan, &copy_kind, bytes, "copy", name, "memcpy", type, type, (wmk_use[]){{from, WMK_READS}, {to, WMK_WRITES}}, 2);
}
