/* op/window.c - the geometry of convolutions and pools. */
#include <string.h>
#include "nn/op.h"

static wmk_status check_list(const wmk_node *node, const char *name, int64_t least, size_t factor, size_t *spatial)
{
    const wmk_attribute *list = wmk_node_attribute(node, name);
    if (!list) return WMK_OK;
    if (list->ints_count % factor || list->ints_count < factor || list->ints_count > 3 * factor)
        return wmk_fail_node(WMK_ERROR_ARGUMENT, node, "%s has %zu entries; it needs %zu for each of 1 to 3 spatial axes", name, list->ints_count,
                             factor);
    const size_t axes = list->ints_count / factor;
    if (*spatial && *spatial != axes)
        return wmk_fail_node(WMK_ERROR_ARGUMENT, node, "%s is for %zu spatial axes, another attribute for %zu", name, axes, *spatial);
    *spatial = axes;
    for (size_t i = 0; i < list->ints_count; i++)
        if (list->ints[i] < least || list->ints[i] > INT32_MAX)
            return wmk_fail_node(WMK_ERROR_ARGUMENT, node, "%s holds %lld; it must be %lld to 2^31 - 1", name, (long long)list->ints[i],
                                 (long long)least);
    return WMK_OK;
}

wmk_status wmk_window_check(const wmk_node *node)
{
    size_t spatial = 0;
    WMK_TRY(check_list(node, "kernel_shape", 1, 1, &spatial));
    WMK_TRY(check_list(node, "strides", 1, 1, &spatial));
    WMK_TRY(check_list(node, "dilations", 1, 1, &spatial));
    WMK_TRY(check_list(node, "pads", 0, 2, &spatial));
    const char *auto_pad = wmk_node_string(node, "auto_pad", "NOTSET");
    static const char *const known[] = {"NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(auto_pad, known[i]) == 0) return WMK_OK;
    return wmk_fail_node(WMK_ERROR_ARGUMENT, node, "auto_pad is '%s'", auto_pad);
}

/* ONNX, "Conv" and "MaxPool": sizes and pads of one axis. */
static void resolve_axis(wmk_window *w, uint32_t i, const char *auto_pad, bool ceiling)
{
    const int64_t extent = (w->kernel[i] - 1) * w->dilation[i] + 1;
    if (strncmp(auto_pad, "SAME", 4) == 0) {
        w->out[i] = (w->in[i] + w->stride[i] - 1) / w->stride[i];
        int64_t pad = (w->out[i] - 1) * w->stride[i] + extent - w->in[i];
        if (pad < 0) pad = 0;
        w->pad_low[i] = strcmp(auto_pad, "SAME_UPPER") == 0 ? pad / 2 : pad - pad / 2;
        w->pad_high[i] = pad - w->pad_low[i];
        return;
    }
    const int64_t room = w->in[i] + w->pad_low[i] + w->pad_high[i] - extent;
    if (room < 0) {
        w->out[i] = 0;
        return;
    }
    w->out[i] = (room + (ceiling ? w->stride[i] - 1 : 0)) / w->stride[i] + 1;
    /* A last window that would start in the upper padding is dropped. */
    if (ceiling && (w->out[i] - 1) * w->stride[i] >= w->in[i] + w->pad_low[i]) w->out[i]--;
    const int64_t reach = (w->out[i] - 1) * w->stride[i] + extent - w->in[i] - w->pad_low[i];
    if (ceiling && reach > w->pad_high[i]) w->pad_high[i] = reach;
}

wmk_status wmk_window_make(wmk_window *w, const wmk_call *call, const int64_t *kernel)
{
    const wmk_node *node = call->node;
    const wmk_type *src = &call->in_type[0];
    if (src->rank < 3 || src->rank > 5 || src->dtype != WMK_F32) {
        char text[WMK_TYPE_TEXT_MAX];
        return wmk_fail_node(WMK_ERROR_ARGUMENT, node, "input 0 is %s; it must be f32 [n][channels] and 1 to 3 spatial axes",
                             wmk_type_text(src, text));
    }
    *w = (wmk_window){.spatial = src->rank - 2};
    const wmk_attribute *strides = wmk_node_attribute(node, "strides"), *dilations = wmk_node_attribute(node, "dilations"),
                        *pads = wmk_node_attribute(node, "pads"), *lists[] = {strides, dilations, wmk_node_attribute(node, "kernel_shape")};
    for (size_t i = 0; i < 3; i++)
        if (lists[i] && lists[i]->ints_count != w->spatial)
            return wmk_fail_node(WMK_ERROR_ARGUMENT, node, "%s has %zu entries for %u spatial axes", lists[i]->name, lists[i]->ints_count,
                                 w->spatial);
    if (pads && pads->ints_count != 2 * w->spatial)
        return wmk_fail_node(WMK_ERROR_ARGUMENT, node, "pads has %zu entries for %u spatial axes", pads->ints_count, w->spatial);
    const char *auto_pad = wmk_node_string(node, "auto_pad", "NOTSET");
    const bool explicit_pads = strcmp(auto_pad, "NOTSET") == 0, ceiling = wmk_node_int(node, "ceil_mode", 0) != 0;
    for (uint32_t i = 0; i < 3; i++) w->in[i] = w->kernel[i] = w->stride[i] = w->dilation[i] = w->out[i] = 1;
    for (uint32_t axis = 0; axis < w->spatial; axis++) {
        const uint32_t i = 3 - w->spatial + axis;
        w->in[i] = src->dims[2 + axis];
        w->kernel[i] = kernel[axis];
        if (strides) w->stride[i] = strides->ints[axis];
        if (dilations) w->dilation[i] = dilations->ints[axis];
        if (pads && explicit_pads) w->pad_low[i] = pads->ints[axis], w->pad_high[i] = pads->ints[w->spatial + axis];
        resolve_axis(w, i, auto_pad, ceiling);
        if (w->out[i] < 1)
            return wmk_fail_node(WMK_ERROR_ARGUMENT, node, "the window of %lld does not fit into spatial axis %u of %lld", (long long)kernel[axis],
                                 axis, (long long)w->in[i]);
    }
    return WMK_OK;
}
