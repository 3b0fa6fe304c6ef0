/* plan_build.c - adding tensors, steps, forms and gradient contributions to a plan under construction. */
#include <stdlib.h>
#include <string.h>
#include "nn/plan.h"
#include "nn/pointwise.h"

wmk_status wmk_tensor_new(wmk_plan *plan, size_t bytes, const void *layout, wmk_tensor *out)
{
    if (plan->tensor_count == plan->tensor_capacity) {
        const size_t larger = plan->tensor_capacity ? 2 * plan->tensor_capacity : 64;
        WMK_TRY(wmk_resize(&plan->tensors, larger, sizeof *plan->tensors));
        plan->tensor_capacity = larger;
    }
    plan->tensors[plan->tensor_count] = (wmk_tensor_record){.bytes = bytes, .layout = layout, .first = UINT32_MAX};
    *out = (wmk_tensor)plan->tensor_count++;
    return WMK_OK;
}

wmk_status wmk_tensor_plain(wmk_plan *plan, const wmk_type *type, wmk_tensor *out)
{
    return wmk_tensor_new(plan, wmk_type_count(type) * sizeof(float), NULL, out); /* i32 has the same size */
}

wmk_status wmk_step_add(wmk_plan *plan, const wmk_step_kind *kind, void *state, const char *what, const char *node, const char *impl,
                        const wmk_type *from, const wmk_type *to, const wmk_use *uses, uint32_t use_count)
{
    wmk_step step = {.kind = kind, .state = state, .use_count = use_count};
    memcpy(step.uses, uses, use_count * sizeof *uses);
    char from_text[WMK_TYPE_TEXT_MAX], to_text[WMK_TYPE_TEXT_MAX];
    wmk_status status = wmk_format(&step.text, "%s %s %s %s %s -> %s", plan->adding_backward ? "backward" : "forward", what, node, impl,
                                   wmk_type_text(from, from_text), wmk_type_text(to, to_text));
    if (status == WMK_OK && plan->step_count == plan->step_capacity) {
        const size_t larger = plan->step_capacity ? 2 * plan->step_capacity : 64;
        status = wmk_resize(&plan->steps, larger, sizeof *plan->steps);
        if (status == WMK_OK) plan->step_capacity = larger;
    }
    if (status != WMK_OK) {
        kind->release(state);
        free(step.text);
        return status;
    }
    plan->steps[plan->step_count++] = step;
    return WMK_OK;
}

wmk_status wmk_form_add(wmk_plan *plan, wmk_value value, wmk_tensor tensor)
{
    wmk_plan_value *v = &plan->values[value];
    if (v->form_count == WMK_FORMS_MAX) return wmk_fail(WMK_ERROR_INTERNAL, "value %u needs more than %d layouts", value, WMK_FORMS_MAX);
    v->forms[v->form_count++] = tensor;
    return WMK_OK;
}

wmk_status wmk_form_plain(wmk_plan *plan, wmk_value value, wmk_tensor *out)
{
    wmk_plan_value *v = &plan->values[value];
    for (uint32_t i = 0; i < v->form_count; i++)
        if (!plan->tensors[v->forms[i]].layout) {
            *out = v->forms[i];
            return WMK_OK;
        }
    if (!v->form_count) return wmk_fail(WMK_ERROR_INTERNAL, "value %u is read before it is made", value);
    WMK_TRY(wmk_tensor_plain(plan, &v->type, out));
    WMK_TRY(plan->engine->convert(plan, &v->type, wmk_value_name(plan, value), v->forms[0], *out));
    return wmk_form_add(plan, value, *out);
}

const char *wmk_value_name(const wmk_plan *plan, wmk_value value)
{
    const wmk_value_source source = plan->graph->values[value];
    switch (source.kind) {
    case WMK_VALUE_INPUT:
        return plan->graph->inputs[source.index].name;
    case WMK_VALUE_PARAMETER:
        return plan->graph->parameters[source.index]->name;
    default:
        return plan->graph->nodes[source.index].name;
    }
}

/* ---- gradients ---- */

static wmk_status run_sum(void *state, void *const *data)
{
    const wmk_pointwise *p = state;
    wmk_pointwise_add(p, data[2], data[0], data[1]);
    return WMK_OK;
}
static const wmk_step_kind sum_kind = {NULL, run_sum, free};

/* out = a + b, into the one of the two that belongs to this value alone, else into a fresh tensor. */
static wmk_status add_sum(wmk_plan *plan, wmk_value value, wmk_tensor a, wmk_tensor b, wmk_tensor *out)
{
    const wmk_type *type = &plan->values[value].type;
    bool bf16 = false;
    size_t count = wmk_type_count(type);
    if (plan->engine->same_layout && !plan->engine->same_layout(plan, type, a, b, &bf16, &count)) {
        wmk_tensor converted;
        WMK_TRY(wmk_tensor_new(plan, plan->tensors[a].bytes, plan->tensors[a].layout, &converted));
        WMK_TRY(plan->engine->convert(plan, type, wmk_value_name(plan, value), b, converted));
        plan->tensors[converted].owners = 1;
        b = converted;
    }
    if (plan->tensors[a].owners == 1)
        *out = a;
    else if (plan->tensors[b].owners == 1)
        *out = b;
    else
        WMK_TRY(wmk_tensor_new(plan, plan->tensors[a].bytes, plan->tensors[a].layout, out));
    wmk_pointwise *state;
    WMK_TRY(wmk_alloc(&state, 1, sizeof *state));
    *state = (wmk_pointwise){count, bf16};
    return wmk_step_add(plan, &sum_kind, state, "sum", wmk_value_name(plan, value), bf16 ? "bf16" : "f32", type, type,
                        (wmk_use[]){{a, WMK_READS}, {b, WMK_READS}, {*out, WMK_WRITES}}, 3);
}

wmk_status wmk_diff_place(wmk_plan *plan, wmk_value value, wmk_tensor *out)
{
    wmk_plan_value *v = &plan->values[value];
    if (v->gradient != WMK_TENSOR_NONE && v->diff_count == 0) {
        *out = v->gradient;
        return WMK_OK;
    }
    return wmk_tensor_plain(plan, &v->type, out);
}

/* The tensor's owners are counted already: a sum made here must not land in it while others still count on it. */
static wmk_status append(wmk_plan *plan, wmk_value value, wmk_tensor tensor)
{
    wmk_plan_value *v = &plan->values[value];
    if (v->diff_count == WMK_DIFFS_MAX) {
        wmk_tensor sum;
        WMK_TRY(wmk_diff_take(plan, value, &sum));
        v->diffs[v->diff_count++] = sum;
        if (!plan->tensors[sum].owners) plan->tensors[sum].owners = 1;
    }
    v->diffs[v->diff_count++] = tensor;
    return WMK_OK;
}

wmk_status wmk_diff_add(wmk_plan *plan, wmk_value value, wmk_tensor tensor)
{
    plan->tensors[tensor].owners++;
    return append(plan, value, tensor);
}

wmk_status wmk_diff_pass(wmk_plan *plan, wmk_tensor tensor, const wmk_value *inputs, size_t count)
{
    if (plan->tensors[tensor].owners) plan->tensors[tensor].owners--;
    for (size_t i = 0; i < count; i++) plan->tensors[tensor].owners += plan->values[inputs[i]].wants_gradient;
    for (size_t i = 0; i < count; i++)
        if (plan->values[inputs[i]].wants_gradient) WMK_TRY(append(plan, inputs[i], tensor));
    return WMK_OK;
}

wmk_status wmk_diff_take(wmk_plan *plan, wmk_value value, wmk_tensor *out)
{
    wmk_plan_value *v = &plan->values[value];
    *out = v->diff_count ? v->diffs[0] : WMK_TENSOR_NONE;
    for (uint32_t i = 1; i < v->diff_count; i++) WMK_TRY(add_sum(plan, value, *out, v->diffs[i], out));
    v->diff_count = 0;
    return WMK_OK;
}

wmk_status wmk_diff_take_plain(wmk_plan *plan, wmk_value value, wmk_tensor *out)
{
    wmk_tensor made;
    WMK_TRY(wmk_diff_take(plan, value, &made));
    *out = made;
    if (made == WMK_TENSOR_NONE || !plan->tensors[made].layout) return WMK_OK;
    WMK_TRY(wmk_tensor_plain(plan, &plan->values[value].type, out));
    return plan->engine->convert(plan, &plan->values[value].type, wmk_value_name(plan, value), made, *out);
}

void wmk_call_describe(const wmk_plan *plan, size_t node, wmk_call *call)
{
    const wmk_node *n = &plan->graph->nodes[node];
    *call = (wmk_call){.node = n, .mode = plan->options.mode};
    for (size_t i = 0; i < n->input_count; i++)
        if (n->inputs[i] != WMK_VALUE_NONE) call->in_type[i] = plan->values[n->inputs[i]].type;
    for (size_t i = 0; i < n->output_count; i++) call->out_type[i] = plan->values[n->outputs[i]].type;
}
