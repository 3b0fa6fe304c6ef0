/* op/loss.c - Softmax, and the two losses built on it: against labels (ONNX's SoftmaxCrossEntropyLoss) and against soft targets (ours). */
#include <math.h>
#include <string.h>
#include "nn/op.h"

/* Rows along one axis: element j of row (outer, inner) is at (outer * size + j) * inner_count + inner. */
typedef struct rows {
    int64_t outer, size, inner;
} rows;

static rows rows_of(const wmk_type *type, int64_t axis)
{
    rows r = {1, type->dims[axis], 1};
    for (int64_t i = 0; i < type->rank; i++) {
        if (i < axis) r.outer *= type->dims[i];
        if (i > axis) r.inner *= type->dims[i];
    }
    return r;
}

/* log(sum_j exp(x_j)), without overflow. */
static double log_sum_exp(const float *x, int64_t size, int64_t step)
{
    double largest = x[0];
    for (int64_t j = 1; j < size; j++) largest = x[j * step] > largest ? x[j * step] : largest;
    double sum = exp(x[0] - largest);
    for (int64_t j = 1; j < size; j++) sum += exp(x[j * step] - largest);
    return largest + log(sum);
}

static const wmk_attribute_rule softmax_attributes[] = {{"axis", WMK_ATTRIBUTE_INT}, {NULL, WMK_ATTRIBUTE_INT}};

static int64_t softmax_axis(const wmk_call *call)
{
    const int64_t axis = wmk_node_int(call->node, "axis", -1);
    return axis < 0 ? axis + call->in_type[0].rank : axis;
}

static wmk_status softmax_shape(wmk_call *call)
{
    WMK_TRY(wmk_need_rank(call, 0, call->in_type[0].rank));
    const int64_t axis = softmax_axis(call);
    if (axis < 0 || axis >= call->in_type[0].rank)
        return wmk_fail_node(WMK_ERROR_ARGUMENT, call->node, "axis %lld of %u", (long long)axis, call->in_type[0].rank);
    call->out_type[0] = call->in_type[0];
    return WMK_OK;
}

static wmk_status softmax_forward(const wmk_call *call)
{
    const rows r = rows_of(&call->in_type[0], softmax_axis(call));
    for (int64_t row = 0; row < r.outer * r.inner; row++) {
        const int64_t at = row / r.inner * r.size * r.inner + row % r.inner;
        const float *src = (const float *)call->in[0] + at;
        float *dst = (float *)call->out[0] + at;
        const double total = log_sum_exp(src, r.size, r.inner);
        for (int64_t j = 0; j < r.size; j++) dst[j * r.inner] = (float)exp(src[j * r.inner] - total);
    }
    return WMK_OK;
}

/* diff_src_j = dst_j (diff_dst_j - sum_i diff_dst_i dst_i) */
static wmk_status softmax_backward(const wmk_call *call)
{
    const rows r = rows_of(&call->in_type[0], softmax_axis(call));
    for (int64_t row = 0; row < r.outer * r.inner; row++) {
        const int64_t at = row / r.inner * r.size * r.inner + row % r.inner;
        const float *dst = (const float *)call->out[0] + at, *diff_dst = call->diff_out[0] + at;
        double sum = 0;
        for (int64_t j = 0; j < r.size; j++) sum += (double)diff_dst[j * r.inner] * dst[j * r.inner];
        for (int64_t j = 0; j < r.size; j++) call->diff_in[0][at + j * r.inner] = (float)(dst[j * r.inner] * (diff_dst[j * r.inner] - sum));
    }
    return WMK_OK;
}

const wmk_operator wmk_op_Softmax = {
    .name = "Softmax",
    .inputs_min = 1,
    .inputs_max = 1,
    .attributes = softmax_attributes,
    .differentiable = WMK_INPUT(0),
    .backward_reads_output = true,
    .tolerance = 1e-5,
    .shape = softmax_shape,
    .forward = softmax_forward,
    .backward = softmax_backward,
};

/* ---- against labels: scores [n][classes][d1]..., labels i32 [n][d1]... -> scalar ---- */

static const wmk_attribute_rule labels_attributes[] = {
    {"ignore_index", WMK_ATTRIBUTE_INT}, {"reduction", WMK_ATTRIBUTE_STRING}, {NULL, WMK_ATTRIBUTE_INT}};

static wmk_status labels_check(const wmk_node *node)
{
    const char *reduction = wmk_node_string(node, "reduction", "mean");
    if (strcmp(reduction, "none") == 0) return wmk_fail_node(WMK_ERROR_UNSUPPORTED, node, "not supported: reduction 'none'");
    if (strcmp(reduction, "mean") != 0 && strcmp(reduction, "sum") != 0)
        return wmk_fail_node(WMK_ERROR_ARGUMENT, node, "reduction is '%s'; it must be mean or sum", reduction);
    return WMK_OK;
}

static wmk_status labels_shape(wmk_call *call)
{
    const wmk_type *scores = &call->in_type[0], *labels = &call->in_type[1];
    if (scores->rank < 2) return wmk_need_rank(call, 0, 2);
    WMK_TRY(wmk_need_rank(call, 0, scores->rank));
    bool fits = labels->dtype == WMK_I32 && labels->rank + 1 == scores->rank && labels->dims[0] == scores->dims[0];
    for (uint32_t i = 1; fits && i < labels->rank; i++) fits = labels->dims[i] == scores->dims[i + 1];
    if (!fits) return wmk_fail_node(WMK_ERROR_ARGUMENT, call->node, "the labels must be i32 and shaped as the scores without axis 1");
    return wmk_type_make(&call->out_type[0], WMK_F32, 0, NULL, call->node->name);
}

/* Whether row `row` counts; a label that is no class fails. */
static wmk_status label_of(const wmk_call *call, int64_t row, int64_t classes, int64_t *label, bool *counts)
{
    *label = ((const int32_t *)call->in[1])[row];
    *counts = !wmk_node_attribute(call->node, "ignore_index") || *label != wmk_node_int(call->node, "ignore_index", 0);
    if (*counts && (*label < 0 || *label >= classes))
        return wmk_fail_node(WMK_ERROR_ARGUMENT, call->node, "label %lld at %lld; there are classes 0 to %lld", (long long)*label, (long long)row,
                             (long long)classes - 1);
    return WMK_OK;
}

static wmk_status labels_forward(const wmk_call *call)
{
    const rows r = rows_of(&call->in_type[0], 1);
    double sum = 0;
    int64_t counted = 0;
    for (int64_t row = 0; row < r.outer * r.inner; row++) {
        int64_t label;
        bool counts;
        WMK_TRY(label_of(call, row, r.size, &label, &counts));
        if (!counts) continue;
        const float *src = (const float *)call->in[0] + row / r.inner * r.size * r.inner + row % r.inner;
        sum += log_sum_exp(src, r.size, r.inner) - src[label * r.inner];
        counted++;
    }
    const bool mean = strcmp(wmk_node_string(call->node, "reduction", "mean"), "mean") == 0;
    *(float *)call->out[0] = (float)(mean ? sum / (double)counted : sum);
    *(double *)call->saved = mean ? 1 / (double)counted : 1;
    return WMK_OK;
}

static size_t labels_saved_bytes(const wmk_call *call)
{
    (void)call;
    return sizeof(double);
}

static wmk_status labels_backward(const wmk_call *call)
{
    const rows r = rows_of(&call->in_type[0], 1);
    const double factor = *(const double *)call->saved * call->diff_out[0][0];
    for (int64_t row = 0; row < r.outer * r.inner; row++) {
        const int64_t at = row / r.inner * r.size * r.inner + row % r.inner;
        const float *src = (const float *)call->in[0] + at;
        int64_t label;
        bool counts;
        WMK_TRY(label_of(call, row, r.size, &label, &counts));
        const double total = log_sum_exp(src, r.size, r.inner);
        for (int64_t j = 0; j < r.size; j++)
            call->diff_in[0][at + j * r.inner] = counts ? (float)(factor * (exp(src[j * r.inner] - total) - (j == label))) : 0;
    }
    return WMK_OK;
}

const wmk_operator wmk_op_SoftmaxCrossEntropyLoss = {
    .name = "SoftmaxCrossEntropyLoss",
    .inputs_min = 2,
    .inputs_max = 2,
    .attributes = labels_attributes,
    .differentiable = WMK_INPUT(0),
    .backward_reads = WMK_INPUT(0) | WMK_INPUT(1),
    .tolerance = 1e-5,
    .check = labels_check,
    .shape = labels_shape,
    .saved_bytes = labels_saved_bytes,
    .forward = labels_forward,
    .backward = labels_backward,
};

/* ---- against soft targets: scores, targets f32 [n][classes] -> mean over n of -sum_j t_j log softmax(scores)_j ---- */

static wmk_status targets_shape(wmk_call *call)
{
    WMK_TRY(wmk_need_rank(call, 0, 2));
    WMK_TRY(wmk_need_rank(call, 1, 2));
    if (memcmp(call->in_type[0].dims, call->in_type[1].dims, 2 * sizeof(int64_t)) != 0)
        return wmk_fail_node(WMK_ERROR_ARGUMENT, call->node, "scores and targets differ in shape");
    return wmk_type_make(&call->out_type[0], WMK_F32, 0, NULL, call->node->name);
}

static wmk_status targets_forward(const wmk_call *call)
{
    const int64_t n = call->in_type[0].dims[0], classes = call->in_type[0].dims[1];
    const float *scores = call->in[0], *targets = call->in[1];
    double sum = 0;
    for (int64_t i = 0; i < n; i++, scores += classes, targets += classes) {
        const double total = log_sum_exp(scores, classes, 1);
        for (int64_t j = 0; j < classes; j++) sum += targets[j] * (total - scores[j]);
    }
    *(float *)call->out[0] = (float)(sum / (double)n);
    return WMK_OK;
}

static wmk_status targets_backward(const wmk_call *call)
{
    const int64_t n = call->in_type[0].dims[0], classes = call->in_type[0].dims[1];
    const double factor = call->diff_out[0][0] / (double)n;
    for (int64_t i = 0; i < n; i++) {
        const float *scores = (const float *)call->in[0] + i * classes, *targets = (const float *)call->in[1] + i * classes;
        const double total = log_sum_exp(scores, classes, 1);
        double weight = 0; /* the targets' sum: 1 for a distribution, but any is differentiated rightly */
        for (int64_t j = 0; j < classes; j++) weight += targets[j];
        for (int64_t j = 0; j < classes; j++) {
            if (call->diff_in[0]) call->diff_in[0][i * classes + j] = (float)(factor * (weight * exp(scores[j] - total) - targets[j]));
            if (call->diff_in[1]) call->diff_in[1][i * classes + j] = (float)(factor * (total - scores[j]));
        }
    }
    return WMK_OK;
}

const wmk_operator wmk_op_SoftTargetCrossEntropy = {
    .name = "SoftTargetCrossEntropy",
    .inputs_min = 2,
    .inputs_max = 2,
    .differentiable = WMK_INPUT(0) | WMK_INPUT(1),
    .backward_reads = WMK_INPUT(0) | WMK_INPUT(1),
    .tolerance = 1e-5,
    .shape = targets_shape,
    .forward = targets_forward,
    .backward = targets_backward,
};
