/* op/pool.c - MaxPool, AveragePool, GlobalAveragePool: src [n][c][id][ih][iw] -> dst [n][c][od][oh][ow]. */
#include <string.h>
#include <math.h>
#include "nn/op.h"

static const wmk_attribute_rule max_attributes[] = {
    {"auto_pad", WMK_ATTRIBUTE_STRING}, {"ceil_mode", WMK_ATTRIBUTE_INT}, {"dilations", WMK_ATTRIBUTE_INTS},    {"kernel_shape", WMK_ATTRIBUTE_INTS},
    {"pads", WMK_ATTRIBUTE_INTS},       {"strides", WMK_ATTRIBUTE_INTS},  {"storage_order", WMK_ATTRIBUTE_INT}, {NULL, WMK_ATTRIBUTE_INT}};
static const wmk_attribute_rule average_attributes[] = {{"auto_pad", WMK_ATTRIBUTE_STRING},       {"ceil_mode", WMK_ATTRIBUTE_INT},
                                                        {"count_include_pad", WMK_ATTRIBUTE_INT}, {"dilations", WMK_ATTRIBUTE_INTS},
                                                        {"kernel_shape", WMK_ATTRIBUTE_INTS},     {"pads", WMK_ATTRIBUTE_INTS},
                                                        {"strides", WMK_ATTRIBUTE_INTS},          {NULL, WMK_ATTRIBUTE_INT}};

static wmk_status check(const wmk_node *node)
{
    if (!wmk_node_attribute(node, "kernel_shape")) return wmk_fail_node(WMK_ERROR_ARGUMENT, node, "kernel_shape is missing");
    if (wmk_node_int(node, "storage_order", 0) != 0) return wmk_fail_node(WMK_ERROR_UNSUPPORTED, node, "not supported: storage_order other than 0");
    if (wmk_node_int(node, "ceil_mode", 0) != 0 && wmk_node_int(node, "count_include_pad", 0) != 0)
        return wmk_fail_node(WMK_ERROR_UNSUPPORTED, node, "not supported: ceil_mode together with count_include_pad");
    return wmk_window_check(node);
}

static wmk_status window_of(wmk_window *w, const wmk_call *call)
{
    const wmk_attribute *kernel = wmk_node_attribute(call->node, "kernel_shape");
    const wmk_type *src = &call->in_type[0];
    if (kernel) {
        if (src->rank != kernel->ints_count + 2) return wmk_need_rank(call, 0, (uint32_t)kernel->ints_count + 2);
        WMK_TRY(wmk_window_make(w, call, kernel->ints));
        for (int i = 0; i < 3; i++)
            if (w->pad_low[i] > (w->kernel[i] - 1) * w->dilation[i])
                return wmk_fail_node(WMK_ERROR_ARGUMENT, call->node, "padding of %lld leaves a window of %lld empty", (long long)w->pad_low[i],
                                     (long long)w->kernel[i]);
        return WMK_OK;
    }
    return wmk_window_make(w, call, src->dims + 2); /* global: the window is the whole source */
}

static wmk_status shape(wmk_call *call)
{
    wmk_window w = {0};
    WMK_TRY(window_of(&w, call));
    int64_t dims[WMK_RANK_MAX] = {call->in_type[0].dims[0], call->in_type[0].dims[1]};
    memcpy(dims + 2, w.out + 3 - w.spatial, w.spatial * sizeof(int64_t));
    return wmk_type_make(&call->out_type[0], WMK_F32, call->in_type[0].rank, dims, call->node->name);
}

/* First and one-past-last window position on an axis that lie inside the source, for output o. */
static void inside(const wmk_window *w, int axis, int64_t o, int64_t *begin, int64_t *end)
{
    const int64_t start = o * w->stride[axis] - w->pad_low[axis], d = w->dilation[axis];
    *begin = start < 0 ? (-start + d - 1) / d : 0;
    *end = start >= w->in[axis] ? 0 : (w->in[axis] - 1 - start) / d + 1;
    if (*end > w->kernel[axis]) *end = w->kernel[axis];
}

/* Calls visit(source index) for all positions of the window of output (d, h, w). */
#define FOR_WINDOW(win, od, oh, ow, at, body)                                                                                                        \
    do {                                                                                                                                             \
        int64_t d0, d1, h0, h1, w0, w1;                                                                                                              \
        inside(win, 0, od, &d0, &d1);                                                                                                                \
        inside(win, 1, oh, &h0, &h1);                                                                                                                \
        inside(win, 2, ow, &w0, &w1);                                                                                                                \
        for (int64_t kd = d0; kd < d1; kd++)                                                                                                         \
            for (int64_t kh = h0; kh < h1; kh++)                                                                                                     \
                for (int64_t kw = w0; kw < w1; kw++) {                                                                                               \
                    const int64_t at = (((od) * (win)->stride[0] - (win)->pad_low[0] + kd * (win)->dilation[0]) * (win)->in[1] +                     \
                                        (oh) * (win)->stride[1] - (win)->pad_low[1] + kh * (win)->dilation[1]) *                                     \
                                           (win)->in[2] +                                                                                            \
                                       (ow) * (win)->stride[2] - (win)->pad_low[2] + kw * (win)->dilation[2];                                        \
                    body                                                                                                                             \
                }                                                                                                                                    \
    } while (0)

/* The first largest element, as ONNX and PyTorch take it; NaN counts as largest. */
static int64_t window_argmax(const wmk_window *w, const float *src, int64_t d, int64_t h, int64_t x)
{
    int64_t best = -1;
    FOR_WINDOW(w, d, h, x, at, {
        if (best < 0 || src[at] > src[best] || (isnan(src[at]) && !isnan(src[best]))) best = at;
    });
    return best;
}

static wmk_status max_forward(const wmk_call *call)
{
    wmk_window w = {0};
    WMK_TRY(window_of(&w, call));
    const float *src = call->in[0];
    float *dst = call->out[0];
    for (int64_t plane = call->in_type[0].dims[0] * call->in_type[0].dims[1]; plane > 0; plane--, src += w.in[0] * w.in[1] * w.in[2])
        for (int64_t d = 0; d < w.out[0]; d++)
            for (int64_t h = 0; h < w.out[1]; h++)
                for (int64_t x = 0; x < w.out[2]; x++) {
                    const int64_t best = window_argmax(&w, src, d, h, x);
                    *dst++ = best < 0 ? -INFINITY : src[best]; /* a window wholly in the padding */
                }
    return WMK_OK;
}

static wmk_status max_backward(const wmk_call *call)
{
    wmk_window w = {0};
    WMK_TRY(window_of(&w, call));
    const float *src = call->in[0], *diff_dst = call->diff_out[0];
    float *diff_src = call->diff_in[0];
    const int64_t size = w.in[0] * w.in[1] * w.in[2];
    memset(diff_src, 0, wmk_type_count(&call->in_type[0]) * sizeof(float));
    for (int64_t plane = call->in_type[0].dims[0] * call->in_type[0].dims[1]; plane > 0; plane--, src += size, diff_src += size)
        for (int64_t d = 0; d < w.out[0]; d++)
            for (int64_t h = 0; h < w.out[1]; h++)
                for (int64_t x = 0; x < w.out[2]; x++, diff_dst++) {
                    const int64_t best = window_argmax(&w, src, d, h, x);
                    if (best >= 0) diff_src[best] += *diff_dst;
                }
    return WMK_OK;
}

/* What the sum over a window is divided by. */
static double divisor(const wmk_window *w, bool include_pad, int64_t d, int64_t h, int64_t x)
{
    if (include_pad) return (double)(w->kernel[0] * w->kernel[1] * w->kernel[2]);
    double count = 1;
    const int64_t at[3] = {d, h, x};
    for (int i = 0; i < 3; i++) {
        int64_t begin, end;
        inside(w, i, at[i], &begin, &end);
        count *= end > begin ? (double)(end - begin) : 1;
    }
    return count;
}

static wmk_status average_forward(const wmk_call *call)
{
    wmk_window w = {0};
    WMK_TRY(window_of(&w, call));
    const bool include_pad = wmk_node_int(call->node, "count_include_pad", 0) != 0;
    const float *src = call->in[0];
    float *dst = call->out[0];
    for (int64_t plane = call->in_type[0].dims[0] * call->in_type[0].dims[1]; plane > 0; plane--, src += w.in[0] * w.in[1] * w.in[2])
        for (int64_t d = 0; d < w.out[0]; d++)
            for (int64_t h = 0; h < w.out[1]; h++)
                for (int64_t x = 0; x < w.out[2]; x++) {
                    double sum = 0;
                    FOR_WINDOW(&w, d, h, x, at, { sum += src[at]; });
                    *dst++ = (float)(sum / divisor(&w, include_pad, d, h, x));
                }
    return WMK_OK;
}

static wmk_status average_backward(const wmk_call *call)
{
    wmk_window w = {0};
    WMK_TRY(window_of(&w, call));
    const bool include_pad = wmk_node_int(call->node, "count_include_pad", 0) != 0;
    const float *diff_dst = call->diff_out[0];
    float *diff_src = call->diff_in[0];
    memset(diff_src, 0, wmk_type_count(&call->in_type[0]) * sizeof(float));
    for (int64_t plane = call->in_type[0].dims[0] * call->in_type[0].dims[1]; plane > 0; plane--, diff_src += w.in[0] * w.in[1] * w.in[2])
        for (int64_t d = 0; d < w.out[0]; d++)
            for (int64_t h = 0; h < w.out[1]; h++)
                for (int64_t x = 0; x < w.out[2]; x++, diff_dst++) {
                    const float share = (float)(*diff_dst / divisor(&w, include_pad, d, h, x));
                    FOR_WINDOW(&w, d, h, x, at, { diff_src[at] += share; });
                }
    return WMK_OK;
}

const wmk_operator wmk_op_MaxPool = {
    .name = "MaxPool",
    .inputs_min = 1,
    .inputs_max = 1,
    .attributes = max_attributes,
    .differentiable = WMK_INPUT(0),
    .backward_reads = WMK_INPUT(0),
    .tolerance = 1e-6,
    .check = check,
    .shape = shape,
    .forward = max_forward,
    .backward = max_backward,
};

const wmk_operator wmk_op_AveragePool = {
    .name = "AveragePool",
    .inputs_min = 1,
    .inputs_max = 1,
    .attributes = average_attributes,
    .differentiable = WMK_INPUT(0),
    .tolerance = 1e-5,
    .check = check,
    .shape = shape,
    .forward = average_forward,
    .backward = average_backward,
};

const wmk_operator wmk_op_GlobalAveragePool = {
    .name = "GlobalAveragePool",
    .inputs_min = 1,
    .inputs_max = 1,
    .differentiable = WMK_INPUT(0),
    .tolerance = 1e-5,
    .shape = shape,
    .forward = average_forward,
    .backward = average_backward,
};
