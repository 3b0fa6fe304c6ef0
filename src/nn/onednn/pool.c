/* onednn/pool.c - MaxPool, AveragePool, GlobalAveragePool. */
#include <string.h>
#include "nn/onednn/engine.h"

typedef struct pool {
    wmk_call call;
    dnnl_alg_kind_t alg;
    dnnl_dims_t strides, kernel, dilates, low, high;
} pool;

static wmk_status pool_make(wmk_plan *plan, size_t node, pool *p)
{
    wmk_call_describe(plan, node, &p->call);
    const wmk_node *n = p->call.node;
    const wmk_attribute *kernel = wmk_node_attribute(n, "kernel_shape");
    wmk_window w;
    WMK_TRY(wmk_window_make(&w, &p->call, kernel ? kernel->ints : p->call.in_type[0].dims + 2));
    for (uint32_t i = 0; i < w.spatial; i++) {
        const uint32_t k = 3 - w.spatial + i;
        p->strides[i] = w.stride[k];
        p->kernel[i] = w.kernel[k];
        p->dilates[i] = w.dilation[k] - 1;
        p->low[i] = w.pad_low[k];
        p->high[i] = w.pad_high[k];
    }
    p->alg = strcmp(n->op->name, "MaxPool") == 0            ? dnnl_pooling_max
             : wmk_node_int(n, "count_include_pad", 0) != 0 ? dnnl_pooling_avg_include_padding
                                                            : dnnl_pooling_avg_exclude_padding;
    return WMK_OK;
}

static wmk_status forward(wmk_plan *plan, size_t node, bool *done)
{
    wmk_onednn *o = wmk_onednn_of(plan);
    pool p = {0};
    WMK_TRY(pool_make(plan, node, &p));
    const wmk_node *n = p.call.node;
    const wmk_tensor src = plan->values[n->inputs[0]].forms[0];
    const bool training = plan->options.mode == WMK_TRAINING;
    wmk_md src_md, dst_md, plain;
    WMK_TRY(wmk_onednn_md_of(plan, &p.call.in_type[0], src, &src_md));
    WMK_TRY(wmk_onednn_md(o, &p.call.out_type[0], wmk_md_type(src_md), true, &dst_md));
    WMK_TRY(wmk_onednn_md(o, &p.call.out_type[0], dnnl_f32, false, &plain));
    wmk_pd pd = NULL;
    if (wmk_pd_pool_forward(&pd, o->engine, training ? dnnl_forward_training : dnnl_forward_inference, p.alg, src_md, dst_md, p.strides, p.kernel,
                            p.dilates, p.low, p.high, o->attr) != dnnl_success)
        return WMK_OK; /* windows oneDNN does not take, such as one wholly in the padding */
    WMK_TRY(wmk_onednn_keep(o, pd));
    *done = true;
    o->nodes[node].forward = pd;
    wmk_tensor dst, workspace = WMK_TENSOR_NONE;
    WMK_TRY(wmk_onednn_tensor(plan, wmk_onednn_query(pd, dnnl_query_dst_md, 0), plain, &dst));
    const wmk_md md = wmk_onednn_query(pd, dnnl_query_workspace_md, 0);
    if (training && md && dnnl_memory_desc_get_size(md)) WMK_TRY(wmk_tensor_new(plan, dnnl_memory_desc_get_size(md), NULL, &workspace));
    o->nodes[node].workspace = workspace;
    const wmk_onednn_arg args[] = {{DNNL_ARG_SRC, src, WMK_READS}, {DNNL_ARG_DST, dst, WMK_WRITES}, {DNNL_ARG_WORKSPACE, workspace, WMK_WRITES}};
    WMK_TRY(wmk_onednn_step(plan, pd, args, 3, n->op->name, n->name, &p.call.in_type[0], &p.call.out_type[0]));
    return wmk_form_add(plan, n->outputs[0], dst);
}

static wmk_status backward(wmk_plan *plan, size_t node, bool *done)
{
    wmk_onednn *o = wmk_onednn_of(plan);
    const wmk_pd hint = o->nodes[node].forward;
    if (!hint) return WMK_OK;
    *done = true;
    pool p = {0};
    WMK_TRY(pool_make(plan, node, &p));
    const wmk_node *n = p.call.node;
    wmk_tensor made, diff_dst, diff_src;
    WMK_TRY(wmk_diff_take(plan, n->outputs[0], &made));
    if (made == WMK_TENSOR_NONE) return WMK_OK;
    const wmk_md diff_dst_md = wmk_onednn_query(hint, dnnl_query_dst_md, 0);
    wmk_md diff_src_md, plain;
    WMK_TRY(wmk_onednn_md_of(plan, &p.call.in_type[0], plan->values[n->inputs[0]].forms[0], &diff_src_md));
    WMK_TRY(wmk_onednn_md(o, &p.call.in_type[0], dnnl_f32, false, &plain));
    wmk_pd pd = NULL;
    WMK_TRY(wmk_onednn_check(
        wmk_pd_pool_backward(&pd, o->engine, p.alg, diff_src_md, diff_dst_md, p.strides, p.kernel, p.dilates, p.low, p.high, o->attr, hint),
        "pooling's gradient", n->name));
    WMK_TRY(wmk_onednn_keep(o, pd));
    WMK_TRY(wmk_onednn_reordered(plan, &p.call.out_type[0], n->name, made, diff_dst_md, &diff_dst));
    WMK_TRY(wmk_onednn_diff_place(plan, n->inputs[0], diff_src_md, plain, &diff_src));
    const wmk_onednn_arg args[] = {{DNNL_ARG_DIFF_DST, diff_dst, WMK_READS},
                                   {DNNL_ARG_DIFF_SRC, diff_src, WMK_WRITES},
                                   {DNNL_ARG_WORKSPACE, o->nodes[node].workspace, WMK_READS}};
    WMK_TRY(wmk_onednn_step(plan, pd, args, 3, n->op->name, n->name, &p.call.out_type[0], &p.call.in_type[0]));
    return wmk_diff_add(plan, n->inputs[0], diff_src);
}

const wmk_onednn_operator wmk_onednn_max_pool = {"MaxPool", forward, backward}, wmk_onednn_average_pool = {"AveragePool", forward, backward},
                          wmk_onednn_global_pool = {"GlobalAveragePool", forward, backward};
