/* onednn/linear.c - Gemm and MatMul on oneDNN's matmul. Matrices stay plain; a transposed one is described by its strides.
 *
 * In bf16 the factors are rounded to bf16, products are summed and kept in f32: logits and their gradient are not rounded.
 */
#include <string.h>
#include "nn/onednn/engine.h"

typedef struct matrix { /* [batch][rows][columns] as stored */
    int64_t batch, rows, columns;
} matrix;

/* Descriptor of a stored matrix, or of its transpose. */
static wmk_status matrix_md(wmk_onednn *o, matrix m, bool transposed, dnnl_data_type_t type, wmk_md *out)
{
    const dnnl_dims_t dims = {m.batch, transposed ? m.columns : m.rows, transposed ? m.rows : m.columns},
                      strides = {m.rows * m.columns, transposed ? 1 : m.columns, transposed ? m.columns : 1};
    return wmk_onednn_md_strided(o, 3, dims, type, strides, out);
}

/* `tensor`, plain f32 and stored as `m`, in the precision of factors; adds a reorder in bf16. */
static wmk_status as_factor(wmk_plan *plan, const wmk_node *n, matrix m, wmk_tensor tensor, wmk_tensor *out)
{
    wmk_onednn *o = wmk_onednn_of(plan);
    *out = tensor;
    if (o->activation == dnnl_f32) return WMK_OK;
    wmk_md from, to;
    WMK_TRY(matrix_md(o, m, false, dnnl_f32, &from));
    WMK_TRY(matrix_md(o, m, false, o->activation, &to));
    WMK_TRY(wmk_tensor_new(plan, dnnl_memory_desc_get_size(to), to, out));
    const wmk_type type = {WMK_F32, 3, {m.batch, m.rows, m.columns}};
    return wmk_onednn_reorder(plan, &type, n->name, tensor, from, *out, to);
}

typedef struct factor {
    wmk_tensor tensor; /* plain, in the precision of factors */
    matrix stored;
    bool transposed;
} factor;

/* dst = a b + bias, plain f32 [batch][m][n]. */
static wmk_status multiply(wmk_plan *plan, const wmk_node *n, factor a, factor b, wmk_tensor bias, wmk_tensor dst)
{
    wmk_onednn *o = wmk_onednn_of(plan);
    const matrix result = {a.stored.batch, a.transposed ? a.stored.columns : a.stored.rows, b.transposed ? b.stored.rows : b.stored.columns};
    wmk_md a_md, b_md, dst_md, bias_md = NULL;
    WMK_TRY(matrix_md(o, a.stored, a.transposed, o->activation, &a_md));
    WMK_TRY(matrix_md(o, b.stored, b.transposed, o->activation, &b_md));
    WMK_TRY(matrix_md(o, result, false, dnnl_f32, &dst_md));
    if (bias != WMK_TENSOR_NONE) WMK_TRY(matrix_md(o, (matrix){1, 1, result.columns}, false, dnnl_f32, &bias_md));
    wmk_pd pd = NULL;
    WMK_TRY(wmk_onednn_check(wmk_pd_matmul(&pd, o->engine, a_md, b_md, bias_md, dst_md, o->attr), "a matrix product", n->name));
    WMK_TRY(wmk_onednn_keep(o, pd));
    const wmk_onednn_arg args[] = {{DNNL_ARG_SRC, a.tensor, WMK_READS},
                                   {DNNL_ARG_WEIGHTS, b.tensor, WMK_READS},
                                   {DNNL_ARG_BIAS, bias, WMK_READS},
                                   {DNNL_ARG_DST, dst, WMK_WRITES}};
    const wmk_type from = {WMK_F32, 3, {a.stored.batch, a.stored.rows, a.stored.columns}},
                   to = {WMK_F32, 3, {result.batch, result.rows, result.columns}};
    return wmk_onednn_step(plan, pd, args, 4, n->op->name, n->name, &from, &to);
}

/* A node as one product: a's rows by b's columns, and a bias over the columns. */
typedef struct product {
    const wmk_node *node;
    matrix a, b, dst;
    bool trans_a, trans_b, bias;
} product;

static wmk_status product_forward(wmk_plan *plan, const product *p)
{
    const wmk_node *n = p->node;
    wmk_tensor a, b, bias = WMK_TENSOR_NONE, dst;
    WMK_TRY(wmk_form_plain(plan, n->inputs[0], &a));
    WMK_TRY(wmk_form_plain(plan, n->inputs[1], &b));
    WMK_TRY(as_factor(plan, n, p->a, a, &a));
    WMK_TRY(as_factor(plan, n, p->b, b, &b));
    if (p->bias) WMK_TRY(wmk_form_plain(plan, n->inputs[2], &bias));
    WMK_TRY(wmk_tensor_plain(plan, &plan->values[n->outputs[0]].type, &dst));
    WMK_TRY(multiply(plan, n, (factor){a, p->a, p->trans_a}, (factor){b, p->b, p->trans_b}, bias, dst));
    return wmk_form_add(plan, n->outputs[0], dst);
}

static wmk_status run_column_sums(void *state, void *const *data)
{
    const matrix *m = state;
    const float *src = data[0];
    float *dst = data[1];
    memset(dst, 0, (size_t)m->columns * sizeof *dst);
    for (int64_t i = 0; i < m->rows; i++)
        for (int64_t j = 0; j < m->columns; j++) dst[j] += src[i * m->columns + j];
    return WMK_OK;
}
static const wmk_step_kind column_sums_kind = {NULL, run_column_sums, free};

static wmk_status bias_backward(wmk_plan *plan, const product *p, wmk_tensor diff_dst)
{
    const wmk_value bias = p->node->inputs[2];
    wmk_tensor diff_bias;
    WMK_TRY(wmk_diff_place(plan, bias, &diff_bias));
    matrix *state;
    WMK_TRY(wmk_alloc(&state, 1, sizeof *state));
    *state = p->dst;
    WMK_TRY(wmk_step_add(plan, &column_sums_kind, state, "Gemm-bias", p->node->name, "f32", &plan->values[p->node->outputs[0]].type,
                         &plan->values[bias].type, (wmk_use[]){{diff_dst, WMK_READS}, {diff_bias, WMK_WRITES}}, 2));
    return wmk_diff_add(plan, bias, diff_bias);
}

/* d op(a) = diff_dst op(b)^T, d op(b) = op(a)^T diff_dst; each transposed as a whole where the input is stored transposed. */
static wmk_status product_backward(wmk_plan *plan, const product *p)
{
    const wmk_node *n = p->node;
    wmk_tensor diff_dst, rounded, other, diff;
    WMK_TRY(wmk_diff_take_plain(plan, n->outputs[0], &diff_dst));
    if (diff_dst == WMK_TENSOR_NONE) return WMK_OK;
    if (p->bias && plan->values[n->inputs[2]].wants_gradient) WMK_TRY(bias_backward(plan, p, diff_dst));
    WMK_TRY(as_factor(plan, n, p->dst, diff_dst, &rounded));
    if (plan->values[n->inputs[0]].wants_gradient) {
        WMK_TRY(wmk_form_plain(plan, n->inputs[1], &other));
        WMK_TRY(as_factor(plan, n, p->b, other, &other));
        WMK_TRY(wmk_diff_place(plan, n->inputs[0], &diff));
        const factor by_dst = {rounded, p->dst, p->trans_a}, by_b = {other, p->b, p->trans_a ? p->trans_b : !p->trans_b};
        WMK_TRY(p->trans_a ? multiply(plan, n, by_b, by_dst, WMK_TENSOR_NONE, diff) : multiply(plan, n, by_dst, by_b, WMK_TENSOR_NONE, diff));
        WMK_TRY(wmk_diff_add(plan, n->inputs[0], diff));
    }
    if (!plan->values[n->inputs[1]].wants_gradient) return WMK_OK;
    WMK_TRY(wmk_form_plain(plan, n->inputs[0], &other));
    WMK_TRY(as_factor(plan, n, p->a, other, &other));
    WMK_TRY(wmk_diff_place(plan, n->inputs[1], &diff));
    const factor by_dst = {rounded, p->dst, p->trans_b}, by_a = {other, p->a, p->trans_b ? p->trans_a : !p->trans_a};
    WMK_TRY(p->trans_b ? multiply(plan, n, by_dst, by_a, WMK_TENSOR_NONE, diff) : multiply(plan, n, by_a, by_dst, WMK_TENSOR_NONE, diff));
    return wmk_diff_add(plan, n->inputs[1], diff);
}

/* Products that oneDNN's form does: no factors on the terms, a bias along the columns only. */
static bool gemm_product(wmk_plan *plan, size_t node, product *p)
{
    wmk_call call;
    wmk_call_describe(plan, node, &call);
    const wmk_node *n = p->node = call.node;
    const wmk_type *c = &call.in_type[2];
    p->bias = n->inputs[2] != WMK_VALUE_NONE;
    if (wmk_node_float(n, "alpha", 1) != 1 || (p->bias && wmk_node_float(n, "beta", 1) != 1)) return false;
    if (p->bias && (c->rank < 1 || c->dims[c->rank - 1] != call.out_type[0].dims[1] || wmk_type_count(c) != (size_t)call.out_type[0].dims[1]))
        return false;
    p->trans_a = wmk_node_int(n, "transA", 0) != 0;
    p->trans_b = wmk_node_int(n, "transB", 0) != 0;
    p->a = (matrix){1, call.in_type[0].dims[0], call.in_type[0].dims[1]};
    p->b = (matrix){1, call.in_type[1].dims[0], call.in_type[1].dims[1]};
    p->dst = (matrix){1, call.out_type[0].dims[0], call.out_type[0].dims[1]};
    return true;
}

/* The leading axes are one; with a shared second input they join the rows. */
static bool matmul_product(wmk_plan *plan, size_t node, product *p)
{
    wmk_call call;
    wmk_call_describe(plan, node, &call);
    const wmk_type *a = &call.in_type[0], *b = &call.in_type[1];
    p->node = call.node;
    const int64_t rows = a->dims[a->rank - 2], inner = a->dims[a->rank - 1], columns = b->dims[b->rank - 1],
                  batch = (int64_t)wmk_type_count(a) / (rows * inner);
    const bool shared = b->rank == 2;
    p->a = (matrix){shared ? 1 : batch, shared ? batch * rows : rows, inner};
    p->b = (matrix){shared ? 1 : batch, inner, columns};
    p->dst = (matrix){p->a.batch, p->a.rows, columns};
    return true;
}

static wmk_status forward_or_leave(wmk_plan *plan, bool fits, const product *p, bool *done)
{
    *done = fits && p->node->inputs[0] != p->node->inputs[1]; /* the same value twice is left to the reference form */
    return *done ? product_forward(plan, p) : WMK_OK;
}
static wmk_status backward_or_leave(wmk_plan *plan, bool fits, const product *p, bool *done)
{
    *done = fits && p->node->inputs[0] != p->node->inputs[1];
    return *done ? product_backward(plan, p) : WMK_OK;
}

static wmk_status gemm_forward(wmk_plan *plan, size_t node, bool *done)
{
    product p = {0};
    const bool fits = gemm_product(plan, node, &p);
    return forward_or_leave(plan, fits, &p, done);
}
static wmk_status gemm_backward(wmk_plan *plan, size_t node, bool *done)
{
    product p = {0};
    const bool fits = gemm_product(plan, node, &p);
    return backward_or_leave(plan, fits, &p, done);
}
static wmk_status matmul_forward(wmk_plan *plan, size_t node, bool *done)
{
    product p = {0};
    const bool fits = matmul_product(plan, node, &p);
    return forward_or_leave(plan, fits, &p, done);
}
static wmk_status matmul_backward(wmk_plan *plan, size_t node, bool *done)
{
    product p = {0};
    const bool fits = matmul_product(plan, node, &p);
    return backward_or_leave(plan, fits, &p, done);
}

const wmk_onednn_operator wmk_onednn_gemm = {"Gemm", gemm_forward, gemm_backward}, wmk_onednn_matmul = {"MatMul", matmul_forward, matmul_backward};
