/* op/norm.c - BatchNormalization: src [n][c]..., scale, shift, running mean, running variance [c] -> dst like src.
 *
 * In a training plan the statistics are the batch's (variance over n, not n - 1), and the running ones become
 * running * momentum + batch * (1 - momentum), as ONNX defines it. The plan's mode decides, not the attribute training_mode, so that one graph serves both.
 */
#include <math.h>
#include "nn/op.h"

static const wmk_attribute_rule attributes[] = {
    {"epsilon", WMK_ATTRIBUTE_FLOAT}, {"momentum", WMK_ATTRIBUTE_FLOAT}, {"training_mode", WMK_ATTRIBUTE_INT}, {NULL, WMK_ATTRIBUTE_INT}};

static wmk_status check(const wmk_node *node)
{
    const double epsilon = wmk_node_float(node, "epsilon", 1e-5), momentum = wmk_node_float(node, "momentum", 0.9);
    if (!(epsilon >= 0 && isfinite(epsilon))) return wmk_fail_node(WMK_ERROR_ARGUMENT, node, "epsilon is %g; it must be 0 or more", epsilon);
    if (!(momentum >= 0 && momentum <= 1)) return wmk_fail_node(WMK_ERROR_ARGUMENT, node, "momentum is %g; it must be 0 to 1", momentum);
    return WMK_OK;
}

static wmk_status shape(wmk_call *call)
{
    const wmk_type *src = &call->in_type[0];
    if (src->rank < 2) return wmk_need_rank(call, 0, 4);
    WMK_TRY(wmk_need_rank(call, 0, src->rank));
    for (size_t i = 1; i < 5; i++) WMK_TRY(wmk_need_vector(call, i, src->dims[1]));
    call->out_type[0] = *src;
    return WMK_OK;
}

typedef struct norm_sizes {
    int64_t n, channels, size;
} norm_sizes;
static norm_sizes norm_sizes_of(const wmk_call *call)
{
    const wmk_type *src = &call->in_type[0];
    norm_sizes s = {src->dims[0], src->dims[1], 1};
    for (uint32_t i = 2; i < src->rank; i++) s.size *= src->dims[i];
    return s;
}

static size_t saved_bytes(const wmk_call *call) { return 2 * (size_t)call->in_type[0].dims[1] * sizeof(double); /* mean, 1 / deviation */ }

/* Mean and variance of channel c over the batch. */
static void batch_statistics(const float *src, norm_sizes s, int64_t c, double *mean, double *variance)
{
    double sum = 0, squares = 0;
    for (int64_t n = 0; n < s.n; n++)
        for (int64_t i = 0; i < s.size; i++) sum += src[(n * s.channels + c) * s.size + i];
    *mean = sum / (double)(s.n * s.size);
    for (int64_t n = 0; n < s.n; n++)
        for (int64_t i = 0; i < s.size; i++) {
            const double d = src[(n * s.channels + c) * s.size + i] - *mean;
            squares += d * d;
        }
    *variance = squares / (double)(s.n * s.size);
}

static wmk_status forward(const wmk_call *call)
{
    const norm_sizes s = norm_sizes_of(call);
    const float *src = call->in[0], *scale = call->in[1], *shift = call->in[2];
    float *running_mean = call->in[3], *running_variance = call->in[4], *dst = call->out[0];
    const double epsilon = wmk_node_float(call->node, "epsilon", 1e-5), momentum = wmk_node_float(call->node, "momentum", 0.9);
    for (int64_t c = 0; c < s.channels; c++) {
        double mean = running_mean[c], variance = running_variance[c];
        if (call->mode == WMK_TRAINING) {
            batch_statistics(src, s, c, &mean, &variance);
            running_mean[c] = (float)(running_mean[c] * momentum + mean * (1 - momentum));
            running_variance[c] = (float)(running_variance[c] * momentum + variance * (1 - momentum));
        }
        const double inverse = 1 / sqrt(variance + epsilon);
        if (call->saved) ((double *)call->saved)[c] = mean, ((double *)call->saved)[s.channels + c] = inverse;
        for (int64_t n = 0; n < s.n; n++)
            for (int64_t i = 0; i < s.size; i++) {
                const int64_t at = (n * s.channels + c) * s.size + i;
                dst[at] = (float)((src[at] - mean) * inverse * scale[c] + shift[c]);
            }
    }
    return WMK_OK;
}

/* With u = (src - mean) / deviation and means over the batch: diff_src = scale / deviation * (diff_dst - mean(diff_dst) - u mean(diff_dst u))
 * (Ioffe and Szegedy 2015, section 3). */
static wmk_status backward(const wmk_call *call)
{
    const norm_sizes s = norm_sizes_of(call);
    const float *src = call->in[0], *scale = call->in[1], *diff_dst = call->diff_out[0];
    const double *saved = call->saved, count = (double)(s.n * s.size);
    for (int64_t c = 0; c < s.channels; c++) {
        const double mean = saved[c], inverse = saved[s.channels + c];
        double sum = 0, sum_u = 0;
        for (int64_t n = 0; n < s.n; n++)
            for (int64_t i = 0; i < s.size; i++) {
                const int64_t at = (n * s.channels + c) * s.size + i;
                sum += diff_dst[at];
                sum_u += diff_dst[at] * (src[at] - mean) * inverse;
            }
        if (call->diff_in[1]) call->diff_in[1][c] = (float)sum_u;
        if (call->diff_in[2]) call->diff_in[2][c] = (float)sum;
        if (!call->diff_in[0]) continue;
        for (int64_t n = 0; n < s.n; n++)
            for (int64_t i = 0; i < s.size; i++) {
                const int64_t at = (n * s.channels + c) * s.size + i;
                const double u = (src[at] - mean) * inverse;
                call->diff_in[0][at] = (float)(scale[c] * inverse * (diff_dst[at] - sum / count - u * sum_u / count));
            }
    }
    return WMK_OK;
}

const wmk_operator wmk_op_BatchNormalization = {
    .name = "BatchNormalization",
    .inputs_min = 5,
    .inputs_max = 5,
    .attributes = attributes,
    .differentiable = WMK_INPUT(0) | WMK_INPUT(1) | WMK_INPUT(2),
    .updates = WMK_INPUT(3) | WMK_INPUT(4),
    .backward_reads = WMK_INPUT(0) | WMK_INPUT(1),
    .tolerance = 2e-5,
    .check = check,
    .shape = shape,
    .saved_bytes = saved_bytes,
    .forward = forward,
    .backward = backward,
};
