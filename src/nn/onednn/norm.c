/* onednn/norm.c - BatchNormalization, with the Relu that follows it where nothing else reads between the two. */
#include <string.h>
#include "nn/onednn/engine.h"

/* The Relu that takes this node's result alone; SIZE_MAX: none. */
static size_t find_relu(wmk_plan *plan, const wmk_node *n)
{
    const size_t reader = wmk_onednn_only_reader(plan, n->outputs[0]);
    return reader != SIZE_MAX && strcmp(plan->graph->nodes[reader].op->name, "Relu") == 0 ? reader : SIZE_MAX;
}

/* The running statistics of a training pass: running * momentum + batch * (1 - momentum). */
typedef struct running {
    size_t channels;
    float momentum;
} running;

static wmk_status run_running(void *state, void *const *data)
{
    const running *r = state;
    for (int k = 0; k < 2; k++) {
        const float *batch = data[k];
        float *to = data[2 + k];
        for (size_t c = 0; c < r->channels; c++) to[c] = to[c] * r->momentum + batch[c] * (1 - r->momentum);
    }
    return WMK_OK;
}
static const wmk_step_kind running_kind = {NULL, run_running, free};

static wmk_status add_running(wmk_plan *plan, const wmk_call *call, wmk_tensor mean, wmk_tensor variance)
{
    wmk_tensor running_mean, running_variance;
    WMK_TRY(wmk_form_plain(plan, call->node->inputs[3], &running_mean));
    WMK_TRY(wmk_form_plain(plan, call->node->inputs[4], &running_variance));
    running *state;
    WMK_TRY(wmk_alloc(&state, 1, sizeof *state));
    *state = (running){(size_t)call->in_type[0].dims[1], (float)wmk_node_float(call->node, "momentum", 0.9)};
    const wmk_use uses[] = {{mean, WMK_READS}, {variance, WMK_READS}, {running_mean, WMK_UPDATES}, {running_variance, WMK_UPDATES}};
    return wmk_step_add(plan, &running_kind, state, "running-statistics", call->node->name, "f32", &call->in_type[3], &call->in_type[3], uses, 4);
}

static wmk_status forward(wmk_plan *plan, size_t node, bool *done)
{
    wmk_onednn *o = wmk_onednn_of(plan);
    wmk_call call;
    wmk_call_describe(plan, node, &call);
    const wmk_node *n = call.node;
    if (n->inputs[1] == n->inputs[2]) return WMK_OK; /* one value with two gradients to sum: left to the reference form */
    const bool training = plan->options.mode == WMK_TRAINING;
    const size_t relu = find_relu(plan, n);
    const unsigned flags = dnnl_use_scale | dnnl_use_shift | (training ? 0U : dnnl_use_global_stats) | (relu != SIZE_MAX ? dnnl_fuse_norm_relu : 0U);
    const wmk_tensor src = plan->values[n->inputs[0]].forms[0];
    wmk_md data;
    wmk_pd pd = NULL;
    WMK_TRY(wmk_onednn_md_of(plan, &call.in_type[0], src, &data));
    const dnnl_status_t status = wmk_pd_norm_forward(&pd, o->engine, training ? dnnl_forward_training : dnnl_forward_inference, data,
                                                     (float)wmk_node_float(n, "epsilon", 1e-5), flags, o->attr);
    if (status != dnnl_success) return status == dnnl_unimplemented ? WMK_OK : wmk_onednn_check(status, "normalization", n->name);
    WMK_TRY(wmk_onednn_keep(o, pd));
    *done = true;
    o->nodes[node].forward = pd;
    o->nodes[node].with_relu = relu != SIZE_MAX;
    wmk_tensor scale, shift, dst, mean, variance, workspace = WMK_TENSOR_NONE;
    WMK_TRY(wmk_form_plain(plan, n->inputs[1], &scale));
    WMK_TRY(wmk_form_plain(plan, n->inputs[2], &shift));
    WMK_TRY(wmk_tensor_new(plan, dnnl_memory_desc_get_size(data), plan->tensors[src].layout, &dst));
    if (training) {
        WMK_TRY(wmk_tensor_plain(plan, &call.in_type[3], &mean));
        WMK_TRY(wmk_tensor_plain(plan, &call.in_type[3], &variance));
        const wmk_md md = wmk_onednn_query(pd, dnnl_query_workspace_md, 0);
        if (md && dnnl_memory_desc_get_size(md)) WMK_TRY(wmk_tensor_new(plan, dnnl_memory_desc_get_size(md), NULL, &workspace));
    } else {
        WMK_TRY(wmk_form_plain(plan, n->inputs[3], &mean));
        WMK_TRY(wmk_form_plain(plan, n->inputs[4], &variance));
    }
    o->nodes[node].mean = mean;
    o->nodes[node].variance = variance;
    o->nodes[node].workspace = workspace;
    const wmk_access statistics = training ? WMK_WRITES : WMK_READS;
    const wmk_onednn_arg args[] = {{DNNL_ARG_SRC, src, WMK_READS},
                                   {DNNL_ARG_SCALE, scale, WMK_READS},
                                   {DNNL_ARG_SHIFT, shift, WMK_READS},
                                   {DNNL_ARG_MEAN, mean, statistics},
                                   {DNNL_ARG_VARIANCE, variance, statistics},
                                   {DNNL_ARG_DST, dst, WMK_WRITES},
                                   {DNNL_ARG_WORKSPACE, workspace, WMK_WRITES}};
    WMK_TRY(
        wmk_onednn_step(plan, pd, args, 7, relu != SIZE_MAX ? "BatchNormalization+Relu" : n->op->name, n->name, &call.in_type[0], &call.out_type[0]));
    if (training) WMK_TRY(add_running(plan, &call, mean, variance));
    if (relu == SIZE_MAX) return wmk_form_add(plan, n->outputs[0], dst);
    plan->nodes[relu].forward_done = plan->nodes[relu].backward_done = true;
    return wmk_form_add(plan, plan->graph->nodes[relu].outputs[0], dst);
}

static wmk_status backward(wmk_plan *plan, size_t node, bool *done)
{
    wmk_onednn *o = wmk_onednn_of(plan);
    const struct wmk_onednn_node *state = &o->nodes[node];
    if (!state->forward) return WMK_OK;
    *done = true;
    wmk_call call;
    wmk_call_describe(plan, node, &call);
    const wmk_node *n = call.node;
    const wmk_value result = state->with_relu ? plan->graph->nodes[wmk_onednn_only_reader(plan, n->outputs[0])].outputs[0] : n->outputs[0];
    wmk_tensor made, diff_dst, diff_src, diff_scale, diff_shift, scale, shift = WMK_TENSOR_NONE, src = plan->values[n->inputs[0]].forms[0];
    WMK_TRY(wmk_diff_take(plan, result, &made));
    if (made == WMK_TENSOR_NONE) return WMK_OK;
    wmk_md data, plain;
    WMK_TRY(wmk_onednn_md_of(plan, &call.in_type[0], src, &data));
    WMK_TRY(wmk_onednn_md(o, &call.in_type[0], dnnl_f32, false, &plain));
    const unsigned flags = dnnl_use_scale | dnnl_use_shift | (state->with_relu ? dnnl_fuse_norm_relu : 0U);
    wmk_pd pd = NULL;
    WMK_TRY(
        wmk_onednn_check(wmk_pd_norm_backward(&pd, o->engine, data, data, (float)wmk_node_float(n, "epsilon", 1e-5), flags, o->attr, state->forward),
                         "normalization's gradient", n->name));
    WMK_TRY(wmk_onednn_keep(o, pd));
    WMK_TRY(wmk_onednn_reordered(plan, &call.in_type[0], n->name, made, data, &diff_dst));
    WMK_TRY(wmk_onednn_diff_place(plan, n->inputs[0], data, plain, &diff_src));
    WMK_TRY(wmk_form_plain(plan, n->inputs[1], &scale));
    if (WMK_NORM_BACKWARD_TAKES_SHIFT) WMK_TRY(wmk_form_plain(plan, n->inputs[2], &shift));
    WMK_TRY(wmk_diff_place(plan, n->inputs[1], &diff_scale));
    WMK_TRY(wmk_diff_place(plan, n->inputs[2], &diff_shift));
    const wmk_onednn_arg args[] = {{DNNL_ARG_SRC, src, WMK_READS},
                                   {DNNL_ARG_DIFF_DST, diff_dst, WMK_READS},
                                   {DNNL_ARG_SCALE, scale, WMK_READS},
                                   {DNNL_ARG_SHIFT, shift, WMK_READS},
                                   {DNNL_ARG_MEAN, state->mean, WMK_READS},
                                   {DNNL_ARG_VARIANCE, state->variance, WMK_READS},
                                   {DNNL_ARG_WORKSPACE, state->workspace, WMK_READS},
                                   {DNNL_ARG_DIFF_SRC, diff_src, WMK_WRITES},
                                   {DNNL_ARG_DIFF_SCALE, diff_scale, WMK_WRITES},
                                   {DNNL_ARG_DIFF_SHIFT, diff_shift, WMK_WRITES}};
    WMK_TRY(wmk_onednn_step(plan, pd, args, 10, state->with_relu ? "BatchNormalization+Relu" : n->op->name, n->name, &call.out_type[0],
                            &call.in_type[0]));
    if (plan->values[n->inputs[0]].wants_gradient) WMK_TRY(wmk_diff_add(plan, n->inputs[0], diff_src));
    if (plan->values[n->inputs[1]].wants_gradient) WMK_TRY(wmk_diff_add(plan, n->inputs[1], diff_scale));
    return plan->values[n->inputs[2]].wants_gradient ? wmk_diff_add(plan, n->inputs[2], diff_shift) : WMK_OK;
}

const wmk_onednn_operator wmk_onednn_norm = {"BatchNormalization", forward, backward};
