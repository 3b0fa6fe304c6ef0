/* op/conv.c - Conv: src [n][ic][id][ih][iw], weights [oc][ic/groups][kd][kh][kw], bias [oc] -> dst [n][oc][od][oh][ow]. */
#include <string.h>
#include "nn/op.h"

static const wmk_attribute_rule attributes[] = {
    {"auto_pad", WMK_ATTRIBUTE_STRING}, {"dilations", WMK_ATTRIBUTE_INTS}, {"group", WMK_ATTRIBUTE_INT}, {"kernel_shape", WMK_ATTRIBUTE_INTS},
    {"pads", WMK_ATTRIBUTE_INTS},       {"strides", WMK_ATTRIBUTE_INTS},   {NULL, WMK_ATTRIBUTE_INT}};

static wmk_status check(const wmk_node *node)
{
    const int64_t group = wmk_node_int(node, "group", 1);
    if (group < 1) return wmk_fail_node(WMK_ERROR_ARGUMENT, node, "group is %lld; it must be at least 1", (long long)group);
    return wmk_window_check(node);
}

static wmk_status shape(wmk_call *call)
{
    const wmk_type *src = &call->in_type[0], *weights = &call->in_type[1];
    const int64_t group = wmk_node_int(call->node, "group", 1);
    WMK_TRY(wmk_need_rank(call, 1, src->rank));
    wmk_window w;
    WMK_TRY(wmk_window_make(&w, call, weights->dims + 2));
    const wmk_attribute *kernel = wmk_node_attribute(call->node, "kernel_shape");
    if (kernel && memcmp(kernel->ints, weights->dims + 2, w.spatial * sizeof(int64_t)) != 0)
        return wmk_fail_node(WMK_ERROR_ARGUMENT, call->node, "kernel_shape is not that of the weights");
    if (src->dims[1] % group || weights->dims[0] % group || weights->dims[1] != src->dims[1] / group)
        return wmk_fail_node(
            WMK_ERROR_ARGUMENT, call->node,
            "%lld source channels, weights of %lld filters over %lld channels, group %lld: the weights' second size must be channels / group",
            (long long)src->dims[1], (long long)weights->dims[0], (long long)weights->dims[1], (long long)group);
    WMK_TRY(wmk_need_vector(call, 2, weights->dims[0]));
    int64_t dims[WMK_RANK_MAX] = {src->dims[0], weights->dims[0]};
    memcpy(dims + 2, w.out + 3 - w.spatial, w.spatial * sizeof(int64_t));
    return wmk_type_make(&call->out_type[0], WMK_F32, src->rank, dims, call->node->name);
}

typedef struct conv_sizes {
    int64_t n, groups, ic, oc; /* channels of one group */
    wmk_window w;
} conv_sizes;

static wmk_status conv_sizes_of(conv_sizes *s, const wmk_call *call)
{
    s->groups = wmk_node_int(call->node, "group", 1);
    s->n = call->in_type[0].dims[0];
    s->ic = call->in_type[1].dims[1];
    s->oc = call->in_type[1].dims[0] / s->groups;
    return wmk_window_make(&s->w, call, call->in_type[1].dims + 2);
}

/* The range of outputs o whose source index o * stride - low + k * dilation lies in [0, in). */
static void valid_range(const wmk_window *w, int axis, int64_t k, int64_t *begin, int64_t *end)
{
    const int64_t shift = k * w->dilation[axis] - w->pad_low[axis], stride = w->stride[axis];
    *begin = shift < 0 ? (-shift + stride - 1) / stride : 0;
    const int64_t last = w->in[axis] - 1 - shift;
    *end = last < 0 ? 0 : last / stride + 1;
    if (*end > w->out[axis]) *end = w->out[axis];
}

typedef void row_fn(float *dst, float *src, float *weight, int64_t count, int64_t stride);
static void row_forward(float *dst, float *src, float *weight, int64_t count, int64_t stride)
{
    for (int64_t i = 0; i < count; i++) dst[i] += *weight * src[i * stride];
}
static void row_diff_src(float *dst, float *src, float *weight, int64_t count, int64_t stride)
{
    for (int64_t i = 0; i < count; i++) src[i * stride] += *weight * dst[i];
}
static void row_diff_weights(float *dst, float *src, float *weight, int64_t count, int64_t stride)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += (double)dst[i] * src[i * stride];
    *weight += (float)sum;
}

/* All products of one source plane, one destination plane and one window; the three passes differ in what they write. */
static void plane(const wmk_window *w, float *dst, float *src, float *weights, row_fn *row)
{
    for (int64_t kd = 0; kd < w->kernel[0]; kd++)
        for (int64_t kh = 0; kh < w->kernel[1]; kh++)
            for (int64_t kw = 0; kw < w->kernel[2]; kw++, weights++) {
                int64_t d0, d1, h0, h1, w0, w1;
                valid_range(w, 0, kd, &d0, &d1);
                valid_range(w, 1, kh, &h0, &h1);
                valid_range(w, 2, kw, &w0, &w1);
                if (w1 <= w0) continue;
                for (int64_t d = d0; d < d1; d++)
                    for (int64_t h = h0; h < h1; h++) {
                        const int64_t sd = d * w->stride[0] - w->pad_low[0] + kd * w->dilation[0],
                                      sh = h * w->stride[1] - w->pad_low[1] + kh * w->dilation[1],
                                      sw = w0 * w->stride[2] - w->pad_low[2] + kw * w->dilation[2];
                        row(dst + (d * w->out[1] + h) * w->out[2] + w0, src + (sd * w->in[1] + sh) * w->in[2] + sw, weights, w1 - w0, w->stride[2]);
                    }
            }
}

static void all_planes(const conv_sizes *s, float *dst, float *src, float *weights, row_fn *row)
{
    const int64_t dst_size = s->w.out[0] * s->w.out[1] * s->w.out[2], src_size = s->w.in[0] * s->w.in[1] * s->w.in[2],
                  window = s->w.kernel[0] * s->w.kernel[1] * s->w.kernel[2];
    for (int64_t n = 0; n < s->n; n++)
        for (int64_t g = 0; g < s->groups; g++)
            for (int64_t o = 0; o < s->oc; o++)
                for (int64_t i = 0; i < s->ic; i++) {
                    const int64_t oc = g * s->oc + o, ic = g * s->ic + i;
                    plane(&s->w, dst + (n * s->groups * s->oc + oc) * dst_size, src + (n * s->groups * s->ic + ic) * src_size,
                          weights + (oc * s->ic + i) * window, row);
                }
}

static wmk_status forward(const wmk_call *call)
{
    conv_sizes s;
    WMK_TRY(conv_sizes_of(&s, call));
    float *dst = call->out[0];
    const float *bias = call->in[2];
    const int64_t channels = s.groups * s.oc, size = s.w.out[0] * s.w.out[1] * s.w.out[2];
    for (int64_t n = 0; n < s.n; n++)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t i = 0; i < size; i++) dst[(n * channels + c) * size + i] = bias ? bias[c] : 0;
    all_planes(&s, dst, call->in[0], call->in[1], row_forward);
    return WMK_OK;
}

static wmk_status backward(const wmk_call *call)
{
    conv_sizes s;
    WMK_TRY(conv_sizes_of(&s, call));
    float *diff_dst = (float *)call->diff_out[0]; /* only read */
    if (call->diff_in[0]) {
        memset(call->diff_in[0], 0, wmk_type_count(&call->in_type[0]) * sizeof(float));
        all_planes(&s, diff_dst, call->diff_in[0], call->in[1], row_diff_src);
    }
    if (call->diff_in[1]) {
        memset(call->diff_in[1], 0, wmk_type_count(&call->in_type[1]) * sizeof(float));
        all_planes(&s, diff_dst, call->in[0], call->diff_in[1], row_diff_weights);
    }
    if (!call->diff_in[2]) return WMK_OK;
    const int64_t channels = s.groups * s.oc, size = s.w.out[0] * s.w.out[1] * s.w.out[2];
    for (int64_t c = 0; c < channels; c++) {
        double sum = 0;
        for (int64_t n = 0; n < s.n; n++)
            for (int64_t i = 0; i < size; i++) sum += diff_dst[(n * channels + c) * size + i];
        call->diff_in[2][c] = (float)sum;
    }
    return WMK_OK;
}

const wmk_operator wmk_op_Conv = {
    .name = "Conv",
    .inputs_min = 2,
    .inputs_max = 3,
    .attributes = attributes,
    .differentiable = WMK_INPUT(0) | WMK_INPUT(1) | WMK_INPUT(2),
    .backward_reads = WMK_INPUT(0) | WMK_INPUT(1),
    .tolerance = 2e-5,
    .check = check,
    .shape = shape,
    .forward = forward,
    .backward = backward,
};
