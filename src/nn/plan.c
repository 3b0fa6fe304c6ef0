/* plan.c - compiling a graph into a plan, and running it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "nn/plan.h"

static const wmk_engine_form engine_reference = {NULL, NULL, NULL, NULL, NULL, NULL};

static wmk_status take_options(wmk_plan_options *to, const wmk_plan_options *from)
{
    *to = (wmk_plan_options)WMK_PLAN_OPTIONS_INIT;
    if (from && from->struct_size < sizeof *to)
        return wmk_fail(WMK_ERROR_ARGUMENT, "plan: options of %zu bytes; begin with WMK_PLAN_OPTIONS_INIT", from->struct_size);
    if (from) memcpy(to, from, sizeof *to);
    if (to->batch < 1 || to->batch > INT32_MAX)
        return wmk_fail(WMK_ERROR_ARGUMENT, "plan: batch of %lld; it must be 1 to 2^31 - 1", (long long)to->batch);
    if (to->mode != WMK_INFERENCE && to->mode != WMK_TRAINING) return wmk_fail(WMK_ERROR_ARGUMENT, "plan: no such mode");
    if (to->precision != WMK_PRECISION_F32 && to->precision != WMK_PRECISION_BF16) return wmk_fail(WMK_ERROR_ARGUMENT, "plan: no such precision");
    if (to->engine != WMK_ENGINE_ONEDNN && to->engine != WMK_ENGINE_REFERENCE) return wmk_fail(WMK_ERROR_ARGUMENT, "plan: no such engine");
    if (to->engine == WMK_ENGINE_REFERENCE && to->precision != WMK_PRECISION_F32)
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: bf16 on the reference engine, which computes in f32 only");
    return WMK_OK;
}

/* Marks what the outputs need, and counts how often each value is read. */
static wmk_status mark_used(wmk_plan *plan, const wmk_value *outputs, size_t output_count)
{
    const wmk_graph *graph = plan->graph;
    if (!output_count) return wmk_fail(WMK_ERROR_ARGUMENT, "plan: no output is asked for");
    for (size_t i = 0; i < output_count; i++) {
        if (outputs[i] >= graph->value_count) return wmk_fail(WMK_ERROR_ARGUMENT, "plan: output %zu is no value of this graph", i);
        plan->values[outputs[i]].used = true;
        plan->values[outputs[i]].uses++;
    }
    for (size_t node = graph->node_count; node-- > 0;) {
        const wmk_node *n = &graph->nodes[node];
        if (!plan->values[n->outputs[0]].used) continue;
        plan->nodes[node].used = true;
        for (size_t i = 0; i < n->input_count; i++)
            if (n->inputs[i] != WMK_VALUE_NONE) plan->values[n->inputs[i]].used = true, plan->values[n->inputs[i]].uses++;
    }
    return WMK_OK;
}

/* What a training pass changes must be a parameter made for that. */
static wmk_status check_updated(const wmk_plan *plan, const wmk_node *n)
{
    if (plan->options.mode != WMK_TRAINING) return WMK_OK;
    for (size_t i = 0; i < n->input_count; i++) {
        if (!(n->op->updates & WMK_INPUT(i))) continue;
        const wmk_value_source source = plan->graph->values[n->inputs[i]];
        if (source.kind != WMK_VALUE_PARAMETER || plan->graph->parameters[source.index]->role != WMK_PARAMETER_STATISTIC)
            return wmk_fail_node(WMK_ERROR_ARGUMENT, n, "input %zu must be a parameter of role STATISTIC in a training plan", i);
    }
    return WMK_OK;
}

static wmk_status infer_shapes(wmk_plan *plan)
{
    const wmk_graph *graph = plan->graph;
    const bool training = plan->options.mode == WMK_TRAINING;
    for (size_t i = 0; i < graph->value_count; i++) {
        wmk_plan_value *v = &plan->values[i];
        const wmk_value_source source = graph->values[i];
        if (source.kind == WMK_VALUE_INPUT) {
            const wmk_graph_input_record *input = &graph->inputs[source.index];
            int64_t dims[WMK_RANK_MAX];
            memcpy(dims, input->type.dims, sizeof dims);
            if (input->type.rank && dims[0] == 0) dims[0] = plan->options.batch;
            WMK_TRY(wmk_type_make(&v->type, input->type.dtype, input->type.rank, dims, input->name));
        } else if (source.kind == WMK_VALUE_PARAMETER) {
            const wmk_parameter *parameter = graph->parameters[source.index];
            WMK_TRY(wmk_type_make(&v->type, WMK_F32, parameter->rank, parameter->dims, parameter->name));
            v->wants_gradient = training && v->used && parameter->role == WMK_PARAMETER_TRAINED;
        } else if (plan->nodes[source.index].used) {
            const wmk_node *n = &graph->nodes[source.index];
            WMK_TRY(check_updated(plan, n));
            wmk_call call;
            wmk_call_describe(plan, source.index, &call);
            WMK_TRY(n->op->shape(&call));
            v->type = call.out_type[0];
            for (size_t k = 0; k < n->input_count; k++)
                if (n->op->differentiable & WMK_INPUT(k) && n->inputs[k] != WMK_VALUE_NONE && plan->values[n->inputs[k]].wants_gradient)
                    v->wants_gradient = true;
        }
    }
    return WMK_OK;
}

/* Tensors of inputs, parameters and gradients. */
static wmk_status add_ends(wmk_plan *plan)
{
    const wmk_graph *graph = plan->graph;
    for (size_t i = 0; i < graph->value_count; i++) {
        wmk_plan_value *v = &plan->values[i];
        const wmk_value_source source = graph->values[i];
        wmk_tensor tensor;
        if (source.kind == WMK_VALUE_INPUT && v->used) {
            WMK_TRY(wmk_tensor_plain(plan, &v->type, &tensor));
            plan->tensors[tensor].pinned = true;
            WMK_TRY(wmk_form_add(plan, (wmk_value)i, tensor));
        }
        if (source.kind != WMK_VALUE_PARAMETER) continue;
        WMK_TRY(wmk_tensor_plain(plan, &v->type, &tensor));
        plan->tensors[tensor].data = graph->parameters[source.index]->data;
        WMK_TRY(wmk_form_add(plan, (wmk_value)i, tensor));
        if (!v->wants_gradient) continue;
        WMK_TRY(wmk_tensor_plain(plan, &v->type, &v->gradient));
        plan->tensors[v->gradient].pinned = true;
    }
    return WMK_OK;
}

static wmk_status add_forward(wmk_plan *plan, const wmk_value *outputs, size_t output_count)
{
    for (size_t node = 0; node < plan->node_count; node++) {
        if (!plan->nodes[node].used || plan->nodes[node].forward_done) continue;
        bool done = false;
        if (plan->engine->forward) WMK_TRY(plan->engine->forward(plan, node, &done));
        if (!done) WMK_TRY(wmk_plain_forward(plan, node));
    }
    for (size_t i = 0; i < output_count; i++) {
        wmk_plan_value *v = &plan->values[outputs[i]];
        WMK_TRY(wmk_form_plain(plan, outputs[i], &v->output));
        plan->tensors[v->output].pinned = true;
    }
    plan->forward_count = plan->step_count;
    return WMK_OK;
}

/* Brings the sum of a trained parameter's contributions to its pinned place. */
static wmk_status finish_gradient(wmk_plan *plan, wmk_value value)
{
    wmk_plan_value *v = &plan->values[value];
    wmk_tensor made;
    WMK_TRY(wmk_diff_take(plan, value, &made));
    if (made == WMK_TENSOR_NONE || made == v->gradient) return WMK_OK; /* none: it stays zero */
    if (plan->tensors[made].layout) return plan->engine->convert(plan, &v->type, wmk_value_name(plan, value), made, v->gradient);
    return wmk_copy_plain(plan, &v->type, wmk_value_name(plan, value), made, v->gradient);
}

static wmk_status add_backward(wmk_plan *plan, wmk_value loss, wmk_tensor *seed)
{
    wmk_plan_value *v = &plan->values[loss];
    if (wmk_type_count(&v->type) != 1 || v->type.dtype != WMK_F32) {
        char text[WMK_TYPE_TEXT_MAX];
        return wmk_fail(WMK_ERROR_ARGUMENT, "plan: the first output of a training plan is the loss, a scalar; this one is %s",
                        wmk_type_text(&v->type, text));
    }
    plan->adding_backward = true;
    WMK_TRY(wmk_tensor_plain(plan, &v->type, seed));
    plan->tensors[*seed].pinned = true;
    plan->tensors[*seed].owners = 1; /* the plan's own: never summed into */
    WMK_TRY(wmk_diff_add(plan, loss, *seed));
    for (size_t node = plan->node_count; node-- > 0;) {
        if (!plan->nodes[node].used || plan->nodes[node].backward_done || !plan->values[plan->graph->nodes[node].outputs[0]].wants_gradient) continue;
        if (!plan->graph->nodes[node].op->backward && !plan->graph->nodes[node].op->is_view)
            return wmk_fail_node(WMK_ERROR_UNSUPPORTED, &plan->graph->nodes[node], "not supported: it has no gradient");
        bool done = false;
        if (plan->engine->backward) WMK_TRY(plan->engine->backward(plan, node, &done));
        if (!done) WMK_TRY(wmk_plain_backward(plan, node));
    }
    for (size_t i = 0; i < plan->value_count; i++)
        if (plan->values[i].gradient != WMK_TENSOR_NONE) WMK_TRY(finish_gradient(plan, (wmk_value)i));
    return WMK_OK;
}

static wmk_status compile(wmk_plan *plan, const wmk_value *outputs, size_t output_count)
{
    WMK_TRY(wmk_alloc(&plan->values, plan->value_count, sizeof *plan->values));
    WMK_TRY(wmk_alloc(&plan->nodes, plan->node_count, sizeof *plan->nodes));
    for (size_t i = 0; i < plan->value_count; i++) plan->values[i].gradient = plan->values[i].output = WMK_TENSOR_NONE;
    for (size_t i = 0; i < plan->node_count; i++) plan->nodes[i].saved = WMK_TENSOR_NONE;
    WMK_TRY(mark_used(plan, outputs, output_count));
    WMK_TRY(infer_shapes(plan));
    WMK_TRY(add_ends(plan));
    if (plan->engine->open) WMK_TRY(plan->engine->open(plan));
    WMK_TRY(add_forward(plan, outputs, output_count));
    wmk_tensor seed = WMK_TENSOR_NONE;
    if (plan->options.mode == WMK_TRAINING) WMK_TRY(add_backward(plan, outputs[0], &seed));
    WMK_TRY(wmk_arena_build(plan));
    if (seed != WMK_TENSOR_NONE && plan->tensors[seed].data) *(float *)plan->tensors[seed].data = 1;
    return WMK_OK;
}

wmk_status wmk_plan_create(wmk_plan **out, wmk_graph *graph, const wmk_value *outputs, size_t output_count, const wmk_plan_options *options)
{
    wmk_plan *plan;
    WMK_TRY(wmk_alloc(&plan, 1, sizeof *plan));
    plan->graph = graph;
    plan->value_count = graph->value_count;
    plan->node_count = graph->node_count;
    wmk_status status = take_options(&plan->options, options);
    plan->engine = plan->options.engine == WMK_ENGINE_ONEDNN ? &wmk_engine_onednn : &engine_reference;
    if (status == WMK_OK) status = compile(plan, outputs, output_count);
    if (status != WMK_OK) {
        wmk_plan_free(plan);
        return status;
    }
    *out = plan;
    return WMK_OK;
}

void wmk_plan_free(wmk_plan *plan)
{
    if (!plan) return;
    for (size_t i = 0; i < plan->step_count; i++) {
        plan->steps[i].kind->release(plan->steps[i].state);
        free(plan->steps[i].text);
    }
    if (plan->engine && plan->engine->close) plan->engine->close(plan);
    wmk_arena_free(plan);
    free(plan->steps);
    free(plan->tensors);
    free(plan->nodes);
    free(plan->values);
    free(plan);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static wmk_status run_steps(wmk_plan *plan, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) {
        wmk_step *step = &plan->steps[i];
        const double start = plan->profiling ? now() : 0;
        const wmk_status status = step->kind->run(step->state, step->data);
        if (status != WMK_OK) return wmk_fail_within(status, "%s", step->text);
        if (!plan->profiling) continue;
        step->seconds += now() - start;
        step->runs++;
    }
    return WMK_OK;
}

wmk_status wmk_plan_forward(wmk_plan *plan)
{
    plan->forward_ran = false;
    WMK_TRY(run_steps(plan, 0, plan->forward_count));
    plan->forward_ran = true;
    return WMK_OK;
}

wmk_status wmk_plan_backward(wmk_plan *plan)
{
    if (plan->options.mode != WMK_TRAINING) return wmk_fail(WMK_ERROR_ARGUMENT, "plan: a backward pass needs a training plan");
    if (!plan->forward_ran) return wmk_fail(WMK_ERROR_ARGUMENT, "plan: a backward pass needs a forward pass before it, one each");
    plan->forward_ran = false; /* activations' places are used again */
    return run_steps(plan, plan->forward_count, plan->step_count);
}

void *wmk_plan_input(wmk_plan *plan, wmk_value input)
{
    if (input >= plan->value_count || plan->graph->values[input].kind != WMK_VALUE_INPUT || !plan->values[input].used) return NULL;
    return plan->tensors[plan->values[input].forms[0]].data;
}

const float *wmk_plan_output(const wmk_plan *plan, wmk_value output)
{
    if (output >= plan->value_count || plan->values[output].output == WMK_TENSOR_NONE) return NULL;
    return plan->tensors[plan->values[output].output].data;
}

uint32_t wmk_plan_shape(const wmk_plan *plan, wmk_value value, int64_t dims[WMK_RANK_MAX])
{
    if (value >= plan->value_count) return 0;
    if (dims) memcpy(dims, plan->values[value].type.dims, sizeof plan->values[value].type.dims);
    return plan->values[value].type.rank;
}

float *wmk_plan_gradient(wmk_plan *plan, wmk_value parameter)
{
    if (parameter >= plan->value_count || plan->values[parameter].gradient == WMK_TENSOR_NONE) return NULL;
    return plan->tensors[plan->values[parameter].gradient].data;
}

size_t wmk_plan_memory_bytes(const wmk_plan *plan) { return plan->arena_bytes; }

void wmk_plan_profile(wmk_plan *plan, bool on)
{
    if (on && !plan->profiling)
        for (size_t i = 0; i < plan->step_count; i++) plan->steps[i].seconds = 0, plan->steps[i].runs = 0;
    plan->profiling = on;
}

wmk_status wmk_plan_describe(const wmk_plan *plan, char **out)
{
    wmk_buffer text = {0};
    wmk_status status = WMK_OK;
    for (size_t i = 0; status == WMK_OK && i < plan->step_count; i++) {
        const wmk_step *step = &plan->steps[i];
        status = wmk_buffer_printf(&text, "%s", step->text);
        if (status == WMK_OK && step->runs) status = wmk_buffer_printf(&text, " %.1f us", 1e6 * step->seconds / (double)step->runs);
        if (status == WMK_OK) status = wmk_buffer_append(&text, "\n", 1);
    }
    if (status == WMK_OK) status = wmk_buffer_append(&text, "", 1); /* the terminating NUL */
    if (status != WMK_OK) {
        wmk_buffer_free(&text);
        return status;
    }
    *out = (char *)text.data;
    return WMK_OK;
}
