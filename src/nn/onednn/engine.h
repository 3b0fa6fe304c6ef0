/* onednn/engine.h - what the oneDNN forms of operators share. Layouts (wmk_tensor_record.layout) are oneDNN memory descriptors here. */
#ifndef WMK_ONEDNN_ENGINE_H
#define WMK_ONEDNN_ENGINE_H

#include "nn/onednn/compat.h"
#include "nn/plan.h"

typedef struct wmk_onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_attr_t attr; /* scratch memory comes from the plan */
    dnnl_data_type_t activation;
    wmk_pd *pds; /* every primitive descriptor made: layouts point into them */
    size_t pd_count, pd_capacity;
    wmk_md_owned *mds;
    size_t md_count, md_capacity;
    uint32_t *consumers; /* [values] 1 + a node that reads it, 0: none; see wmk_onednn_only_reader */
    struct wmk_onednn_node {
        wmk_pd forward; /* the hint for the backward primitives */
        wmk_tensor workspace, mean, variance;
        bool with_relu; /* BatchNormalization: the Relu that follows is in it */
    } * nodes;          /* [nodes] */
} wmk_onednn;

static inline wmk_onednn *wmk_onednn_of(wmk_plan *plan) { return plan->engine_state; }

/* The node that alone reads `value`, which is no output of the plan; SIZE_MAX: there is no such node. */
static inline size_t wmk_onednn_only_reader(wmk_plan *plan, wmk_value value)
{
    return plan->values[value].uses == 1 ? (size_t)wmk_onednn_of(plan)->consumers[value] - 1 : SIZE_MAX;
}

/* A status of oneDNN's as one of ours; the message says what was being done. */
wmk_status wmk_onednn_check(dnnl_status_t status, const char *doing, const char *node);

/* Keeps `pd` until the plan goes; frees it on failure. */
wmk_status wmk_onednn_keep(wmk_onednn *o, wmk_pd pd);
/* A descriptor that lives as long as the plan: any layout the primitive likes, or plain row-major. */
wmk_status wmk_onednn_md(wmk_onednn *o, const wmk_type *type, dnnl_data_type_t data_type, bool any, wmk_md *out);
wmk_status wmk_onednn_md_strided(wmk_onednn *o, int rank, const dnnl_dims_t dims, dnnl_data_type_t data_type, const dnnl_dims_t strides, wmk_md *out);
/* The descriptor of a tensor that holds a value of this type. */
wmk_status wmk_onednn_md_of(wmk_plan *plan, const wmk_type *type, wmk_tensor tensor, wmk_md *out);
static inline wmk_md wmk_onednn_query(wmk_pd pd, dnnl_query_t what, int index) { return dnnl_primitive_desc_query_md(pd, what, index); }

/* A tensor laid out as `md`; plain f32 layouts are marked as such. `plain` is the type's plain f32 descriptor. */
wmk_status wmk_onednn_tensor(wmk_plan *plan, wmk_md md, wmk_md plain, wmk_tensor *out);
/* A step that copies `from` to `to`, laid out as told. */
wmk_status wmk_onednn_reorder(wmk_plan *plan, const wmk_type *type, const char *name, wmk_tensor from, wmk_md from_md, wmk_tensor to, wmk_md to_md);
/* `value` in layout `md`: an existing form, or a reorder of one. `type` is how the operator sees it (grouped weights have one axis more). */
wmk_status wmk_onednn_form(wmk_plan *plan, wmk_value value, const wmk_type *type, wmk_md md, wmk_tensor *out);
/* The gradient `made`, which has `type`, in layout `md`: itself, or a reorder. */
wmk_status wmk_onednn_reordered(wmk_plan *plan, const wmk_type *type, const char *name, wmk_tensor made, wmk_md md, wmk_tensor *out);
/* Where a primitive may write a contribution to the gradient of `value` in layout `md`; wmk_diff_add it after the step. */
wmk_status wmk_onednn_diff_place(wmk_plan *plan, wmk_value value, wmk_md md, wmk_md plain, wmk_tensor *out);

typedef struct wmk_onednn_arg {
    int arg; /* DNNL_ARG_... */
    wmk_tensor tensor;
    wmk_access access;
} wmk_onednn_arg;
/* Adds a step that executes `pd` (kept already). */
wmk_status wmk_onednn_step(wmk_plan *plan, wmk_pd pd, const wmk_onednn_arg *args, uint32_t count, const char *what, const char *node,
                           const wmk_type *from, const wmk_type *to);

/* The forms of operators: forward and backward of one node; *done stays false where the reference form must do it. */
typedef struct wmk_onednn_operator {
    const char *name;
    wmk_status (*forward)(wmk_plan *plan, size_t node, bool *done);
    wmk_status (*backward)(wmk_plan *plan, size_t node, bool *done);
} wmk_onednn_operator;
extern const wmk_onednn_operator wmk_onednn_conv, wmk_onednn_norm, wmk_onednn_relu, wmk_onednn_add, wmk_onednn_max_pool, wmk_onednn_average_pool,
    wmk_onednn_global_pool, wmk_onednn_gemm, wmk_onednn_matmul;

#endif
