/* onednn/conv.c - Conv. An Add of the convolution's result to a tensor that nobody else reads is done by the convolution itself.
 *
 * 3x3 convolutions in f32 go by Winograd's F(4x4, 3x3) (Lavin and Gray 2016) where oneDNN has it: about half the time, at rounding errors near 1e-6 of the
 * largest element. The choice depends on shapes only, so a plan always computes the same.
 */
#include <string.h>
#include "nn/onednn/engine.h"

typedef struct conv {
    wmk_call call;
    const wmk_node *node;
    wmk_type weights; /* as oneDNN sees them: [groups][oc][ic]... when there are groups */
    dnnl_dims_t strides, dilates, low, high;
    bool bias;
    dnnl_alg_kind_t alg; /* the first to try; direct is the other */
} conv;

static wmk_status conv_make(wmk_plan *plan, size_t node, conv *c)
{
    wmk_call_describe(plan, node, &c->call);
    c->node = c->call.node;
    c->bias = c->node->inputs[2] != WMK_VALUE_NONE;
    wmk_window w;
    WMK_TRY(wmk_window_make(&w, &c->call, c->call.in_type[1].dims + 2));
    for (uint32_t i = 0; i < w.spatial; i++) {
        const uint32_t k = 3 - w.spatial + i;
        c->strides[i] = w.stride[k];
        c->dilates[i] = w.dilation[k] - 1;
        c->low[i] = w.pad_low[k];
        c->high[i] = w.pad_high[k];
    }
    c->weights = c->call.in_type[1];
    const int64_t *sizes = c->weights.dims;
    const bool unit =
        w.spatial == 2 && w.kernel[1] == 3 && w.kernel[2] == 3 && w.stride[1] == 1 && w.stride[2] == 1 && w.dilation[1] == 1 && w.dilation[2] == 1;
    const bool winograd = unit && wmk_onednn_of(plan)->activation == dnnl_f32 && sizes[0] % 16 == 0 && sizes[1] % 16 == 0;
    c->alg = winograd ? dnnl_convolution_winograd : dnnl_convolution_direct;
    const int64_t groups = wmk_node_int(c->node, "group", 1);
    if (groups == 1) return WMK_OK;
    c->alg = dnnl_convolution_direct;
    c->weights.rank++;
    memmove(c->weights.dims + 1, c->weights.dims, (WMK_RANK_MAX - 1) * sizeof(int64_t));
    c->weights.dims[0] = groups;
    c->weights.dims[1] /= groups;
    return WMK_OK;
}

/* Descriptors of all four tensors, layouts left to the primitive; the bias and its gradient are f32. */
typedef struct conv_mds {
    wmk_md src, weights, bias, dst, diff_weights;
} conv_mds;

static wmk_status conv_mds_make(wmk_onednn *o, const conv *c, conv_mds *m)
{
    *m = (conv_mds){NULL, NULL, NULL, NULL, NULL};
    WMK_TRY(wmk_onednn_md(o, &c->call.in_type[0], o->activation, true, &m->src));
    WMK_TRY(wmk_onednn_md(o, &c->weights, o->activation, true, &m->weights));
    WMK_TRY(wmk_onednn_md(o, &c->weights, dnnl_f32, true, &m->diff_weights));
    WMK_TRY(wmk_onednn_md(o, &c->call.out_type[0], o->activation, true, &m->dst));
    return c->bias ? wmk_onednn_md(o, &c->call.in_type[2], dnnl_f32, false, &m->bias) : WMK_OK;
}

/* The Add that can be done by this convolution, and the tensor it adds to; SIZE_MAX: none. */
static size_t find_sum(wmk_plan *plan, const conv *c, wmk_tensor *onto)
{
    const size_t reader = wmk_onednn_only_reader(plan, c->node->outputs[0]);
    if (reader == SIZE_MAX || strcmp(plan->graph->nodes[reader].op->name, "Add") != 0) return SIZE_MAX;
    const wmk_node *add = &plan->graph->nodes[reader];
    const wmk_value other = add->inputs[add->inputs[0] == c->node->outputs[0]];
    const wmk_plan_value *v = &plan->values[other];
    if (v->uses != 1 || v->form_count != 1 || plan->graph->values[other].kind != WMK_VALUE_OUTPUT) return SIZE_MAX;
    /* Not a view's tensor, which belongs to another value too, nor one whose maker reads it again. */
    const wmk_operator *maker = plan->graph->nodes[plan->graph->values[other].index].op;
    if (maker->is_view || maker->backward_reads_output || !plan->tensors[v->forms[0]].layout) return SIZE_MAX;
    if (v->type.rank != c->call.out_type[0].rank || memcmp(v->type.dims, c->call.out_type[0].dims, sizeof v->type.dims) != 0) return SIZE_MAX;
    *onto = v->forms[0];
    return reader;
}

static dnnl_status_t forward_with_sum(wmk_onednn *o, dnnl_prop_kind_t kind, const conv *c, const conv_mds *m, wmk_md dst, wmk_pd *pd)
{
    dnnl_post_ops_t ops = NULL;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t status = dnnl_primitive_attr_clone(&attr, o->attr);
    if (status == dnnl_success) status = dnnl_post_ops_create(&ops);
    if (status == dnnl_success) status = wmk_post_ops_sum(ops);
    if (status == dnnl_success) status = dnnl_primitive_attr_set_post_ops(attr, ops);
    if (status == dnnl_success)
        status = wmk_pd_conv_forward(pd, o->engine, kind, dnnl_convolution_direct, m->src, m->weights, m->bias, dst, c->strides, c->dilates, c->low,
                                     c->high, attr);
    if (ops) dnnl_post_ops_destroy(ops);
    if (attr) dnnl_primitive_attr_destroy(attr);
    return status;
}

static wmk_status forward(wmk_plan *plan, size_t node, bool *done)
{
    wmk_onednn *o = wmk_onednn_of(plan);
    conv c = {0};
    conv_mds m;
    WMK_TRY(conv_make(plan, node, &c));
    WMK_TRY(conv_mds_make(o, &c, &m));
    const dnnl_prop_kind_t kind = plan->options.mode == WMK_TRAINING ? dnnl_forward_training : dnnl_forward_inference;
    wmk_pd pd = NULL;
    wmk_tensor dst = WMK_TENSOR_NONE;
    size_t add = find_sum(plan, &c, &dst);
    if (add != SIZE_MAX && forward_with_sum(o, kind, &c, &m, plan->tensors[dst].layout, &pd) != dnnl_success) add = SIZE_MAX;
    if (add == SIZE_MAX) {
        dnnl_status_t status =
            wmk_pd_conv_forward(&pd, o->engine, kind, c.alg, m.src, m.weights, m.bias, m.dst, c.strides, c.dilates, c.low, c.high, o->attr);
        if (status == dnnl_unimplemented && c.alg != dnnl_convolution_direct)
            status = wmk_pd_conv_forward(&pd, o->engine, kind, dnnl_convolution_direct, m.src, m.weights, m.bias, m.dst, c.strides, c.dilates, c.low,
                                         c.high, o->attr);
        if (status != dnnl_success) return status == dnnl_unimplemented ? WMK_OK : wmk_onednn_check(status, "convolution", c.node->name);
    }
    WMK_TRY(wmk_onednn_keep(o, pd));
    o->nodes[node].forward = pd;
    *done = true;
    wmk_tensor src, weights, bias = WMK_TENSOR_NONE;
    WMK_TRY(wmk_onednn_form(plan, c.node->inputs[0], &c.call.in_type[0], wmk_onednn_query(pd, dnnl_query_src_md, 0), &src));
    WMK_TRY(wmk_onednn_form(plan, c.node->inputs[1], &c.weights, wmk_onednn_query(pd, dnnl_query_weights_md, 0), &weights));
    if (c.bias) WMK_TRY(wmk_form_plain(plan, c.node->inputs[2], &bias));
    if (add == SIZE_MAX) {
        wmk_md plain;
        WMK_TRY(wmk_onednn_md(o, &c.call.out_type[0], dnnl_f32, false, &plain));
        WMK_TRY(wmk_onednn_tensor(plan, wmk_onednn_query(pd, dnnl_query_dst_md, 0), plain, &dst));
    }
    const wmk_onednn_arg args[] = {{DNNL_ARG_SRC, src, WMK_READS},
                                   {DNNL_ARG_WEIGHTS, weights, WMK_READS},
                                   {DNNL_ARG_BIAS, bias, WMK_READS},
                                   {DNNL_ARG_DST, dst, add == SIZE_MAX ? WMK_WRITES : WMK_UPDATES}};
    WMK_TRY(wmk_onednn_step(plan, pd, args, 4, add == SIZE_MAX ? "Conv" : "Conv+Add", c.node->name, &c.call.in_type[0], &c.call.out_type[0]));
    if (add == SIZE_MAX) return wmk_form_add(plan, c.node->outputs[0], dst);
    plan->nodes[add].forward_done = true;
    return wmk_form_add(plan, plan->graph->nodes[add].outputs[0], dst);
}

static wmk_status backward_weights(wmk_plan *plan, const conv *c, const conv_mds *m, wmk_pd hint, wmk_tensor made)
{
    wmk_onednn *o = wmk_onednn_of(plan);
    const bool with_bias = c->bias && plan->values[c->node->inputs[2]].wants_gradient;
    wmk_pd pd = NULL;
    wmk_md bias = with_bias ? m->bias : NULL;
    dnnl_status_t status = wmk_pd_conv_backward_weights(&pd, o->engine, c->alg, m->src, m->diff_weights, bias, m->dst, c->strides, c->dilates, c->low,
                                                        c->high, o->attr, hint);
    if (status == dnnl_unimplemented && c->alg != dnnl_convolution_direct)
        status = wmk_pd_conv_backward_weights(&pd, o->engine, dnnl_convolution_direct, m->src, m->diff_weights, bias, m->dst, c->strides, c->dilates,
                                              c->low, c->high, o->attr, hint);
    WMK_TRY(wmk_onednn_check(status, "convolution's weight gradient", c->node->name));
    WMK_TRY(wmk_onednn_keep(o, pd));
    const wmk_value weights = c->node->inputs[1];
    wmk_tensor src, diff_dst, diff_weights, diff_bias = WMK_TENSOR_NONE;
    wmk_md plain;
    WMK_TRY(wmk_onednn_md(o, &c->weights, dnnl_f32, false, &plain));
    WMK_TRY(wmk_onednn_form(plan, c->node->inputs[0], &c->call.in_type[0], wmk_onednn_query(pd, dnnl_query_src_md, 0), &src));
    WMK_TRY(wmk_onednn_reordered(plan, &c->call.out_type[0], c->node->name, made, wmk_onednn_query(pd, dnnl_query_diff_dst_md, 0), &diff_dst));
    WMK_TRY(wmk_onednn_diff_place(plan, weights, wmk_onednn_query(pd, dnnl_query_diff_weights_md, 0), plain, &diff_weights));
    if (with_bias) WMK_TRY(wmk_diff_place(plan, c->node->inputs[2], &diff_bias));
    const wmk_onednn_arg args[] = {{DNNL_ARG_SRC, src, WMK_READS},
                                   {DNNL_ARG_DIFF_DST, diff_dst, WMK_READS},
                                   {DNNL_ARG_DIFF_WEIGHTS, diff_weights, WMK_WRITES},
                                   {DNNL_ARG_DIFF_BIAS, diff_bias, WMK_WRITES}};
    WMK_TRY(wmk_onednn_step(plan, pd, args, 4, "Conv-weights", c->node->name, &c->call.out_type[0], &c->call.in_type[1]));
    if (with_bias) WMK_TRY(wmk_diff_add(plan, c->node->inputs[2], diff_bias));
    /* Later steps know the weights by their plain shape, without a groups' axis. */
    if (plan->tensors[diff_weights].layout) {
        wmk_tensor blocked = diff_weights;
        WMK_TRY(wmk_diff_place(plan, weights, &diff_weights));
        WMK_TRY(wmk_onednn_reorder(plan, &c->weights, c->node->name, blocked, plan->tensors[blocked].layout, diff_weights, plain));
    }
    return wmk_diff_add(plan, weights, diff_weights);
}

static wmk_status backward_data(wmk_plan *plan, const conv *c, const conv_mds *m, wmk_pd hint, wmk_tensor made)
{
    wmk_onednn *o = wmk_onednn_of(plan);
    wmk_pd pd = NULL;
    dnnl_status_t status =
        wmk_pd_conv_backward_data(&pd, o->engine, c->alg, m->src, m->weights, m->dst, c->strides, c->dilates, c->low, c->high, o->attr, hint);
    if (status == dnnl_unimplemented && c->alg != dnnl_convolution_direct)
        status = wmk_pd_conv_backward_data(&pd, o->engine, dnnl_convolution_direct, m->src, m->weights, m->dst, c->strides, c->dilates, c->low,
                                           c->high, o->attr, hint);
    WMK_TRY(wmk_onednn_check(status, "convolution's source gradient", c->node->name));
    WMK_TRY(wmk_onednn_keep(o, pd));
    wmk_tensor weights, diff_dst, diff_src;
    wmk_md plain;
    WMK_TRY(wmk_onednn_md(o, &c->call.in_type[0], dnnl_f32, false, &plain));
    WMK_TRY(wmk_onednn_form(plan, c->node->inputs[1], &c->weights, wmk_onednn_query(pd, dnnl_query_weights_md, 0), &weights));
    WMK_TRY(wmk_onednn_reordered(plan, &c->call.out_type[0], c->node->name, made, wmk_onednn_query(pd, dnnl_query_diff_dst_md, 0), &diff_dst));
    WMK_TRY(wmk_onednn_diff_place(plan, c->node->inputs[0], wmk_onednn_query(pd, dnnl_query_diff_src_md, 0), plain, &diff_src));
    const wmk_onednn_arg args[] = {
        {DNNL_ARG_DIFF_DST, diff_dst, WMK_READS}, {DNNL_ARG_WEIGHTS, weights, WMK_READS}, {DNNL_ARG_DIFF_SRC, diff_src, WMK_WRITES}};
    WMK_TRY(wmk_onednn_step(plan, pd, args, 3, "Conv-data", c->node->name, &c->call.out_type[0], &c->call.in_type[0]));
    return wmk_diff_add(plan, c->node->inputs[0], diff_src);
}

static wmk_status backward(wmk_plan *plan, size_t node, bool *done)
{
    wmk_onednn *o = wmk_onednn_of(plan);
    wmk_pd hint = o->nodes[node].forward;
    if (!hint) return WMK_OK;
    *done = true;
    conv c = {0};
    conv_mds m;
    WMK_TRY(conv_make(plan, node, &c));
    WMK_TRY(conv_mds_make(o, &c, &m));
    wmk_tensor diff_dst;
    WMK_TRY(wmk_diff_take(plan, c.node->outputs[0], &diff_dst));
    if (diff_dst == WMK_TENSOR_NONE) return WMK_OK;
    const bool wants_weights = plan->values[c.node->inputs[1]].wants_gradient || (c.bias && plan->values[c.node->inputs[2]].wants_gradient);
    if (wants_weights) WMK_TRY(backward_weights(plan, &c, &m, hint, diff_dst));
    return plan->values[c.node->inputs[0]].wants_gradient ? backward_data(plan, &c, &m, hint, diff_dst) : WMK_OK;
}

const wmk_onednn_operator wmk_onednn_conv = {"Conv", forward, backward};
