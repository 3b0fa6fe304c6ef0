/* onednn/engine.c - engine, stream, layouts, reorders, and steps that execute a primitive. */
#include <string.h>
#include "nn/onednn/engine.h"

wmk_status wmk_onednn_check(dnnl_status_t status, const char *doing, const char *node)
{
    switch (status) {
    case dnnl_success:
        return WMK_OK;
    case dnnl_out_of_memory:
        return wmk_fail(WMK_ERROR_MEMORY, "oneDNN, %s of %s: out of memory", doing, node);
    case dnnl_unimplemented:
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: oneDNN has no %s for %s on this processor", doing, node);
    default:
        return wmk_fail(WMK_ERROR_INTERNAL, "oneDNN, %s of %s: status %d", doing, node, (int)status);
    }
}

static wmk_status keep(void *inout_array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity) return WMK_OK;
    const size_t larger = *capacity ? 2 * *capacity : 64;
    WMK_TRY(wmk_resize(inout_array, larger, size));
    *capacity = larger;
    return WMK_OK;
}

wmk_status wmk_onednn_keep(wmk_onednn *o, wmk_pd pd)
{
    const wmk_status status = keep(&o->pds, o->pd_count, &o->pd_capacity, sizeof(wmk_pd));
    if (status == WMK_OK)
        o->pds[o->pd_count++] = pd;
    else
        dnnl_primitive_desc_destroy(pd);
    return status;
}

wmk_status wmk_onednn_md(wmk_onednn *o, const wmk_type *type, dnnl_data_type_t data_type, bool any, wmk_md *out)
{
    static const dnnl_format_tag_t plain[] = {dnnl_a, dnnl_a, dnnl_ab, dnnl_abc, dnnl_abcd, dnnl_abcde, dnnl_abcdef};
    if (type->rank >= sizeof plain / sizeof *plain) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: oneDNN forms over %u axes", type->rank);
    dnnl_dims_t dims = {1};
    for (uint32_t i = 0; i < type->rank; i++) dims[i] = type->dims[i];
    WMK_TRY(keep(&o->mds, o->md_count, &o->md_capacity, sizeof(wmk_md_owned)));
    wmk_md_owned md = NULL;
    const dnnl_format_tag_t tag = any ? dnnl_format_tag_any : plain[type->rank];
    WMK_TRY(wmk_onednn_check(wmk_md_create(&md, type->rank ? (int)type->rank : 1, dims, data_type, tag), "a layout", "a tensor"));
    o->mds[o->md_count++] = md;
    *out = md;
    return WMK_OK;
}

wmk_status wmk_onednn_md_strided(wmk_onednn *o, int rank, const dnnl_dims_t dims, dnnl_data_type_t data_type, const dnnl_dims_t strides, wmk_md *out)
{
    WMK_TRY(keep(&o->mds, o->md_count, &o->md_capacity, sizeof(wmk_md_owned)));
    wmk_md_owned md = NULL;
    WMK_TRY(wmk_onednn_check(wmk_md_create_strided(&md, rank, dims, data_type, strides), "a layout", "a matrix"));
    o->mds[o->md_count++] = md;
    *out = md;
    return WMK_OK;
}

wmk_status wmk_onednn_md_of(wmk_plan *plan, const wmk_type *type, wmk_tensor tensor, wmk_md *out)
{
    *out = plan->tensors[tensor].layout;
    return *out ? WMK_OK : wmk_onednn_md(wmk_onednn_of(plan), type, dnnl_f32, false, out);
}

wmk_status wmk_onednn_tensor(wmk_plan *plan, wmk_md md, wmk_md plain, wmk_tensor *out)
{
    return wmk_tensor_new(plan, dnnl_memory_desc_get_size(md), dnnl_memory_desc_equal(md, plain) ? NULL : md, out);
}

/* ---- primitives as steps ---- */

#define ARGS_MAX 12
typedef struct primitive_step {
    dnnl_primitive_t primitive;
    dnnl_stream_t stream;
    int count;
    dnnl_exec_arg_t args[ARGS_MAX];
} primitive_step;

static wmk_status bind_primitive(void *state, void *const *data)
{
    primitive_step *step = state;
    for (int i = 0; i < step->count; i++) WMK_TRY(wmk_onednn_check(dnnl_memory_set_data_handle(step->args[i].memory, data[i]), "memory", "a step"));
    return WMK_OK;
}

static wmk_status run_primitive(void *state, void *const *data)
{
    (void)data;
    const primitive_step *step = state;
    dnnl_status_t status = dnnl_primitive_execute(step->primitive, step->stream, step->count, step->args);
    if (status == dnnl_success) status = dnnl_stream_wait(step->stream);
    return status == dnnl_success ? WMK_OK : wmk_onednn_check(status, "execution", "a step");
}

static void release_primitive(void *state)
{
    primitive_step *step = state;
    for (int i = 0; i < step->count; i++) dnnl_memory_destroy(step->args[i].memory);
    if (step->primitive) dnnl_primitive_destroy(step->primitive);
    free(step);
}

static const wmk_step_kind primitive_kind = {bind_primitive, run_primitive, release_primitive};

static wmk_status add_argument(wmk_onednn *o, primitive_step *step, wmk_pd pd, int arg, const char *node)
{
    dnnl_memory_t memory;
    WMK_TRY(wmk_onednn_check(dnnl_memory_create(&memory, wmk_onednn_query(pd, dnnl_query_exec_arg_md, arg), o->engine, DNNL_MEMORY_NONE), "memory",
                             node));
    step->args[step->count++] = (dnnl_exec_arg_t){arg, memory};
    return WMK_OK;
}

wmk_status wmk_onednn_step(wmk_plan *plan, wmk_pd pd, const wmk_onednn_arg *args, uint32_t count, const char *what, const char *node,
                           const wmk_type *from, const wmk_type *to)
{
    wmk_onednn *o = wmk_onednn_of(plan);
    primitive_step *step;
    WMK_TRY(wmk_alloc(&step, 1, sizeof *step));
    step->stream = o->stream;
    wmk_use uses[ARGS_MAX];
    wmk_status status = wmk_onednn_check(dnnl_primitive_create(&step->primitive, pd), "a primitive", node);
    for (uint32_t i = 0; status == WMK_OK && i < count; i++) {
        if (args[i].tensor == WMK_TENSOR_NONE) continue;
        uses[step->count] = (wmk_use){args[i].tensor, args[i].access};
        status = add_argument(o, step, pd, args[i].arg, node);
    }
    const wmk_md scratch = wmk_onednn_query(pd, dnnl_query_scratchpad_md, 0);
    if (status == WMK_OK && scratch && dnnl_memory_desc_get_size(scratch)) {
        uses[step->count].access = WMK_UPDATES;
        status = wmk_tensor_new(plan, dnnl_memory_desc_get_size(scratch), NULL, &uses[step->count].tensor);
        if (status == WMK_OK) status = add_argument(o, step, pd, DNNL_ARG_SCRATCHPAD, node);
    }
    const char *implementation = "oneDNN";
    if (status == WMK_OK) (void)dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &implementation);
    if (status != WMK_OK) {
        release_primitive(step);
        return status;
    }
    return wmk_step_add(plan, &primitive_kind, step, what, node, implementation, from, to, uses, (uint32_t)step->count);
}

/* ---- layouts that meet ---- */

wmk_status wmk_onednn_reorder(wmk_plan *plan, const wmk_type *type, const char *name, wmk_tensor from, wmk_md from_md, wmk_tensor to, wmk_md to_md)
{
    wmk_onednn *o = wmk_onednn_of(plan);
    wmk_pd pd = NULL;
    WMK_TRY(wmk_onednn_check(dnnl_reorder_primitive_desc_create(&pd, from_md, o->engine, to_md, o->engine, o->attr), "reorder", name));
    WMK_TRY(wmk_onednn_keep(o, pd));
    const wmk_onednn_arg args[] = {{DNNL_ARG_FROM, from, WMK_READS}, {DNNL_ARG_TO, to, WMK_WRITES}};
    return wmk_onednn_step(plan, pd, args, 2, "reorder", name, type, type);
}

static wmk_status convert(wmk_plan *plan, const wmk_type *type, const char *name, wmk_tensor from, wmk_tensor to)
{
    wmk_md from_md, to_md;
    WMK_TRY(wmk_onednn_md_of(plan, type, from, &from_md));
    WMK_TRY(wmk_onednn_md_of(plan, type, to, &to_md));
    return wmk_onednn_reorder(plan, type, name, from, from_md, to, to_md);
}

static bool same_layout(wmk_plan *plan, const wmk_type *type, wmk_tensor a, wmk_tensor b, bool *bf16, size_t *count)
{
    wmk_md a_md, b_md;
    if (wmk_onednn_md_of(plan, type, a, &a_md) != WMK_OK || wmk_onednn_md_of(plan, type, b, &b_md) != WMK_OK) return false;
    *bf16 = wmk_md_type(a_md) == dnnl_bf16;
    *count = dnnl_memory_desc_get_size(a_md) / (*bf16 ? 2 : 4);
    return dnnl_memory_desc_equal(a_md, b_md);
}

wmk_status wmk_onednn_form(wmk_plan *plan, wmk_value value, const wmk_type *type, wmk_md md, wmk_tensor *out)
{
    const wmk_plan_value *v = &plan->values[value];
    wmk_md plain = NULL, have;
    WMK_TRY(wmk_onednn_md(wmk_onednn_of(plan), type, dnnl_f32, false, &plain));
    for (uint32_t i = 0; i < v->form_count; i++) {
        have = plan->tensors[v->forms[i]].layout ? plan->tensors[v->forms[i]].layout : plain;
        if (dnnl_memory_desc_equal(have, md)) {
            *out = v->forms[i];
            return WMK_OK;
        }
    }
    have = plan->tensors[v->forms[0]].layout ? plan->tensors[v->forms[0]].layout : plain;
    WMK_TRY(wmk_onednn_tensor(plan, md, plain, out));
    WMK_TRY(wmk_onednn_reorder(plan, type, wmk_value_name(plan, value), v->forms[0], have, *out, md));
    return wmk_form_add(plan, value, *out);
}

wmk_status wmk_onednn_reordered(wmk_plan *plan, const wmk_type *type, const char *name, wmk_tensor made, wmk_md md, wmk_tensor *out)
{
    wmk_md plain = NULL, have;
    *out = made;
    WMK_TRY(wmk_onednn_md(wmk_onednn_of(plan), type, dnnl_f32, false, &plain));
    have = plan->tensors[made].layout ? plan->tensors[made].layout : plain;
    if (dnnl_memory_desc_equal(have, md)) return WMK_OK;
    WMK_TRY(wmk_onednn_tensor(plan, md, plain, out));
    return wmk_onednn_reorder(plan, type, name, made, have, *out, md);
}

wmk_status wmk_onednn_diff_place(wmk_plan *plan, wmk_value value, wmk_md md, wmk_md plain, wmk_tensor *out)
{
    if (dnnl_memory_desc_equal(md, plain)) return wmk_diff_place(plan, value, out);
    return wmk_onednn_tensor(plan, md, plain, out);
}

/* ---- the engine ---- */

static const wmk_onednn_operator *const operators[] = {
    &wmk_onednn_conv,         &wmk_onednn_norm,        &wmk_onednn_relu, &wmk_onednn_add,    &wmk_onednn_max_pool,
    &wmk_onednn_average_pool, &wmk_onednn_global_pool, &wmk_onednn_gemm, &wmk_onednn_matmul, NULL};

static const wmk_onednn_operator *find(const wmk_plan *plan, size_t node)
{
    for (size_t i = 0; operators[i]; i++)
        if (strcmp(operators[i]->name, plan->graph->nodes[node].op->name) == 0) return operators[i];
    return NULL;
}

static wmk_status forward(wmk_plan *plan, size_t node, bool *done)
{
    const wmk_onednn_operator *op = find(plan, node);
    return op ? op->forward(plan, node, done) : WMK_OK;
}

static wmk_status backward(wmk_plan *plan, size_t node, bool *done)
{
    const wmk_onednn_operator *op = find(plan, node);
    return op ? op->backward(plan, node, done) : WMK_OK;
}

static wmk_status open_engine(wmk_plan *plan)
{
    wmk_onednn *o;
    WMK_TRY(wmk_alloc(&o, 1, sizeof *o));
    plan->engine_state = o;
    const bool bf16 = plan->options.precision == WMK_PRECISION_BF16;
    if (bf16 && (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core) != dnnl_cpu_isa_avx512_core)
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: bf16 on this processor, which lacks AVX-512 (BW, VL, DQ)");
    o->activation = bf16 ? dnnl_bf16 : dnnl_f32;
    WMK_TRY(wmk_onednn_check(dnnl_engine_create(&o->engine, dnnl_cpu, 0), "an engine", "the plan"));
    WMK_TRY(wmk_onednn_check(dnnl_stream_create(&o->stream, o->engine, dnnl_stream_default_flags), "a stream", "the plan"));
    WMK_TRY(wmk_onednn_check(dnnl_primitive_attr_create(&o->attr), "attributes", "the plan"));
    WMK_TRY(wmk_onednn_check(dnnl_primitive_attr_set_scratchpad_mode(o->attr, dnnl_scratchpad_mode_user), "attributes", "the plan"));
    WMK_TRY(wmk_alloc(&o->consumers, plan->value_count, sizeof *o->consumers));
    WMK_TRY(wmk_alloc(&o->nodes, plan->node_count, sizeof *o->nodes));
    for (size_t node = 0; node < plan->node_count; node++) {
        o->nodes[node].workspace = o->nodes[node].mean = o->nodes[node].variance = WMK_TENSOR_NONE;
        const wmk_node *n = &plan->graph->nodes[node];
        for (size_t i = 0; plan->nodes[node].used && i < n->input_count; i++)
            if (n->inputs[i] != WMK_VALUE_NONE) o->consumers[n->inputs[i]] = (uint32_t)node + 1;
    }
    return WMK_OK;
}

static void close_engine(wmk_plan *plan)
{
    wmk_onednn *o = wmk_onednn_of(plan);
    if (!o) return;
    for (size_t i = 0; i < o->pd_count; i++) dnnl_primitive_desc_destroy(o->pds[i]);
    for (size_t i = 0; i < o->md_count; i++) wmk_md_destroy(o->mds[i]);
    if (o->attr) dnnl_primitive_attr_destroy(o->attr);
    if (o->stream) dnnl_stream_destroy(o->stream);
    if (o->engine) dnnl_engine_destroy(o->engine);
    free(o->pds);
    free(o->mds);
    free(o->consumers);
    free(o->nodes);
    free(o);
}

const wmk_engine_form wmk_engine_onednn = {open_engine, close_engine, forward, backward, convert, same_layout};
