/* op/linear.c - Gemm, MatMul, and Flatten, which feeds them. */
#include <string.h>
#include "nn/op.h"

/* c [m][n] = alpha * op(a) op(b) + (beta ? c : 0); op(a) is [m][k], op(b) [k][n]; a transposed one is stored the other way round. */
static void multiply(float *c, const float *a, bool trans_a, const float *b, bool trans_b, int64_t m, int64_t n, int64_t k, double alpha,
                     bool accumulate)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t l = 0; l < k; l++) sum += (double)(trans_a ? a[l * m + i] : a[i * k + l]) * (trans_b ? b[j * k + l] : b[l * n + j]);
            c[i * n + j] = (float)(alpha * sum + (accumulate ? c[i * n + j] : 0));
        }
}

static const wmk_attribute_rule gemm_attributes[] = {{"alpha", WMK_ATTRIBUTE_FLOAT},
                                                     {"beta", WMK_ATTRIBUTE_FLOAT},
                                                     {"transA", WMK_ATTRIBUTE_INT},
                                                     {"transB", WMK_ATTRIBUTE_INT},
                                                     {NULL, WMK_ATTRIBUTE_INT}};

typedef struct gemm_sizes {
    bool trans_a, trans_b;
    int64_t m, n, k, k_b;
    double alpha, beta;
    int64_t step_m, step_n; /* strides of the third input, 0 along a broadcast axis */
} gemm_sizes;

static gemm_sizes gemm_sizes_of(const wmk_call *call)
{
    const wmk_type *a = &call->in_type[0], *b = &call->in_type[1], *c = &call->in_type[2];
    gemm_sizes s = {.trans_a = wmk_node_int(call->node, "transA", 0) != 0, .trans_b = wmk_node_int(call->node, "transB", 0) != 0};
    s.m = a->dims[s.trans_a];
    s.k = a->dims[!s.trans_a];
    s.n = b->dims[!s.trans_b];
    s.k_b = b->dims[s.trans_b];
    s.alpha = wmk_node_float(call->node, "alpha", 1);
    s.beta = wmk_node_float(call->node, "beta", 1);
    const int64_t columns = c->rank >= 1 ? c->dims[c->rank - 1] : 1, rows = c->rank == 2 ? c->dims[0] : 1;
    s.step_n = columns > 1;
    s.step_m = rows > 1 ? columns : 0;
    return s;
}

static wmk_status gemm_shape(wmk_call *call)
{
    WMK_TRY(wmk_need_rank(call, 0, 2));
    WMK_TRY(wmk_need_rank(call, 1, 2));
    const gemm_sizes s = gemm_sizes_of(call);
    if (s.k != s.k_b) return wmk_fail_node(WMK_ERROR_ARGUMENT, call->node, "inner sizes %lld and %lld differ", (long long)s.k, (long long)s.k_b);
    const wmk_type *c = &call->in_type[2];
    if (call->node->inputs[2] != WMK_VALUE_NONE) {
        const int64_t columns = c->rank >= 1 ? c->dims[c->rank - 1] : 1, rows = c->rank == 2 ? c->dims[0] : 1;
        if (c->rank > 2 || c->dtype != WMK_F32 || (columns != 1 && columns != s.n) || (rows != 1 && rows != s.m))
            return wmk_fail_node(WMK_ERROR_ARGUMENT, call->node, "the third input cannot be broadcast to %lldx%lld", (long long)s.m, (long long)s.n);
    }
    return wmk_type_make(&call->out_type[0], WMK_F32, 2, (int64_t[]){s.m, s.n}, call->node->name);
}

static wmk_status gemm_forward(const wmk_call *call)
{
    const gemm_sizes s = gemm_sizes_of(call);
    const float *c = call->in[2];
    float *dst = call->out[0];
    for (int64_t i = 0; i < s.m; i++)
        for (int64_t j = 0; j < s.n; j++) dst[i * s.n + j] = c ? (float)(s.beta * c[i * s.step_m + j * s.step_n]) : 0;
    multiply(dst, call->in[0], s.trans_a, call->in[1], s.trans_b, s.m, s.n, s.k, s.alpha, true);
    return WMK_OK;
}

static wmk_status gemm_backward(const wmk_call *call)
{
    const gemm_sizes s = gemm_sizes_of(call);
    const float *diff_dst = call->diff_out[0], *a = call->in[0], *b = call->in[1];
    float *diff_a = call->diff_in[0], *diff_b = call->diff_in[1], *diff_c = call->diff_in[2];
    if (diff_a && !s.trans_a) multiply(diff_a, diff_dst, false, b, !s.trans_b, s.m, s.k, s.n, s.alpha, false);
    if (diff_a && s.trans_a) multiply(diff_a, b, s.trans_b, diff_dst, true, s.k, s.m, s.n, s.alpha, false);
    if (diff_b && !s.trans_b) multiply(diff_b, a, !s.trans_a, diff_dst, false, s.k, s.n, s.m, s.alpha, false);
    if (diff_b && s.trans_b) multiply(diff_b, diff_dst, true, a, s.trans_a, s.n, s.k, s.m, s.alpha, false);
    if (!diff_c) return WMK_OK;
    memset(diff_c, 0, wmk_type_count(&call->in_type[2]) * sizeof(float));
    for (int64_t i = 0; i < s.m; i++)
        for (int64_t j = 0; j < s.n; j++) diff_c[i * s.step_m + j * s.step_n] += (float)(s.beta * diff_dst[i * s.n + j]);
    return WMK_OK;
}

const wmk_operator wmk_op_Gemm = {
    .name = "Gemm",
    .inputs_min = 2,
    .inputs_max = 3,
    .attributes = gemm_attributes,
    .differentiable = WMK_INPUT(0) | WMK_INPUT(1) | WMK_INPUT(2),
    .backward_reads = WMK_INPUT(0) | WMK_INPUT(1),
    .tolerance = 1e-5,
    .shape = gemm_shape,
    .forward = gemm_forward,
    .backward = gemm_backward,
};

/* MatMul: [...][m][k] times [...][k][n], the leading axes alike (or the second input without any, shared by all). */
typedef struct matmul_sizes {
    int64_t batch, m, n, k;
    bool shared; /* the second input is one matrix */
} matmul_sizes;

static matmul_sizes matmul_sizes_of(const wmk_call *call)
{
    const wmk_type *a = &call->in_type[0], *b = &call->in_type[1];
    matmul_sizes s = {1, a->dims[a->rank - 2], b->dims[b->rank - 1], a->dims[a->rank - 1], b->rank == 2};
    for (uint32_t i = 0; i + 2 < a->rank; i++) s.batch *= a->dims[i];
    return s;
}

static wmk_status matmul_shape(wmk_call *call)
{
    const wmk_type *a = &call->in_type[0], *b = &call->in_type[1];
    WMK_TRY(wmk_need_rank(call, 0, a->rank));
    WMK_TRY(wmk_need_rank(call, 1, b->rank));
    if (a->rank < 2 || b->rank < 2) return wmk_fail_node(WMK_ERROR_UNSUPPORTED, call->node, "not supported: inputs with fewer than 2 axes");
    if (a->dims[a->rank - 1] != b->dims[b->rank - 2])
        return wmk_fail_node(WMK_ERROR_ARGUMENT, call->node, "inner sizes %lld and %lld differ", (long long)a->dims[a->rank - 1],
                             (long long)b->dims[b->rank - 2]);
    if (b->rank != 2 && (a->rank != b->rank || memcmp(a->dims, b->dims, (a->rank - 2) * sizeof(int64_t)) != 0))
        return wmk_fail_node(WMK_ERROR_UNSUPPORTED, call->node, "not supported: leading axes that differ, other than a second input of 2 axes");
    int64_t dims[WMK_RANK_MAX];
    memcpy(dims, a->dims, sizeof dims);
    dims[a->rank - 1] = b->dims[b->rank - 1];
    return wmk_type_make(&call->out_type[0], WMK_F32, a->rank, dims, call->node->name);
}

static wmk_status matmul_forward(const wmk_call *call)
{
    const matmul_sizes s = matmul_sizes_of(call);
    for (int64_t i = 0; i < s.batch; i++)
        multiply((float *)call->out[0] + i * s.m * s.n, (const float *)call->in[0] + i * s.m * s.k, false,
                 (const float *)call->in[1] + (s.shared ? 0 : i * s.k * s.n), false, s.m, s.n, s.k, 1, false);
    return WMK_OK;
}

static wmk_status matmul_backward(const wmk_call *call)
{
    const matmul_sizes s = matmul_sizes_of(call);
    for (int64_t i = 0; i < s.batch; i++) {
        const float *a = (const float *)call->in[0] + i * s.m * s.k, *b = (const float *)call->in[1] + (s.shared ? 0 : i * s.k * s.n),
                    *diff_dst = call->diff_out[0] + i * s.m * s.n;
        if (call->diff_in[0]) multiply(call->diff_in[0] + i * s.m * s.k, diff_dst, false, b, true, s.m, s.k, s.n, 1, false);
        if (call->diff_in[1])
            multiply(call->diff_in[1] + (s.shared ? 0 : i * s.k * s.n), a, true, diff_dst, false, s.k, s.n, s.m, 1, s.shared && i > 0);
    }
    return WMK_OK;
}

const wmk_operator wmk_op_MatMul = {
    .name = "MatMul",
    .inputs_min = 2,
    .inputs_max = 2,
    .differentiable = WMK_INPUT(0) | WMK_INPUT(1),
    .backward_reads = WMK_INPUT(0) | WMK_INPUT(1),
    .tolerance = 1e-5,
    .shape = matmul_shape,
    .forward = matmul_forward,
    .backward = matmul_backward,
};

static const wmk_attribute_rule flatten_attributes[] = {{"axis", WMK_ATTRIBUTE_INT}, {NULL, WMK_ATTRIBUTE_INT}};

static wmk_status flatten_shape(wmk_call *call)
{
    const wmk_type *src = &call->in_type[0];
    const int64_t given = wmk_node_int(call->node, "axis", 1), axis = given < 0 ? given + src->rank : given;
    WMK_TRY(wmk_need_rank(call, 0, src->rank));
    if (axis < 0 || axis > src->rank) return wmk_fail_node(WMK_ERROR_ARGUMENT, call->node, "axis %lld of %u", (long long)given, src->rank);
    int64_t dims[2] = {1, 1};
    for (int64_t i = 0; i < src->rank; i++) dims[i >= axis] *= src->dims[i];
    return wmk_type_make(&call->out_type[0], WMK_F32, 2, dims, call->node->name);
}

const wmk_operator wmk_op_Flatten = {
    .name = "Flatten",
    .inputs_min = 1,
    .inputs_max = 1,
    .attributes = flatten_attributes,
    .differentiable = WMK_INPUT(0),
    .is_view = true,
    .tolerance = 1e-6,
    .shape = flatten_shape,
};
