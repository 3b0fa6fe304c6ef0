/* mark_file/overlap.c - a codec of the target's sizes around a tensor of other sizes. */
#include "mark_file/overlap.h"

#include <string.h>

#include "base/convert.h"
#include "base/memory.h"

/* The element of the inner tensor at which row `row` of the outer view begins: all indices of the axes
 * before overlap->axis. False: one of them is beyond the inner sizes. */
static bool find_row(uint64_t *element, const wmk_overlap *o, const uint64_t *shape, uint64_t row)
{
    uint64_t stride = o->inner.shape[o->axis] * o->behind;
    *element = 0;
    for (uint32_t a = o->axis; a-- > 0; row /= shape[a]) {
        uint64_t index = row % shape[a];
        if (index >= o->inner.shape[a]) return false;
        *element += index * stride;
        stride *= o->inner.shape[a];
    }
    return true;
}

static void read_overlap(const wmk_tensor_view *view, uint64_t element, size_t count, double *values)
{
    const wmk_overlap *o = view->codec_context;
    uint64_t row = view->shape[o->axis] * o->behind, have = o->inner.shape[o->axis] * o->behind;
    wmk_tensor_view inner = o->inner;
    inner.data = view->data;
    for (size_t done = 0, now; done < count; done += now) {
        uint64_t at = element + done, from = at % row, begin, there = 0;
        now = row - from < count - done ? (size_t)(row - from) : count - done;
        if (from < have && find_row(&begin, o, view->shape, at / row)) {
            there = have - from < now ? have - from : now;
            wmk_tensor_read(&inner, begin + from, (size_t)there, values + done);
        }
        memset(values + done + there, 0, (now - (size_t)there) * sizeof *values);
    }
}

/* Of the tensor's data, so that nobody takes the target's sizes for it. */
static uint64_t bytes_of(const wmk_tensor_view *view)
{
    uint64_t count;
    uint32_t elements, bytes;
    if (view->data_bytes) return view->data_bytes;
    if (!wmk_dtype_block(view->dtype, &elements, &bytes) || !wmk_product_u64(view->shape, view->rank, &count)) return 0;
    return count / elements * bytes;
}

static uint64_t extent_of(const wmk_target *target, char letter)
{
    const char *place = strchr(target->layout, letter);
    return place ? target->shape[place - target->layout] : 1;
}

wmk_status wmk_overlap_wrap(wmk_tensor_view *view, wmk_overlap *overlap, const wmk_target *target, uint64_t *weights)
{
    static const char letters[] = "ODHWI";
    *overlap = (wmk_overlap){.inner = *view, .behind = 1};
    *weights = 1;
    for (const char *letter = letters; *letter; letter++)
        if (!strchr(view->layout, *letter) && extent_of(target, *letter) != 1)
            return wmk_fail(WMK_ERROR_MISMATCH, "tensor \"%s\" has no axis %c, which the key was made for", view->name, *letter);
    for (uint32_t a = 0; a < view->rank; a++) {
        uint64_t size = extent_of(target, view->layout[a]);
        *weights *= size < view->shape[a] ? size : view->shape[a]; /* at most the target's product */
        if (size != view->shape[a]) overlap->axis = a;
        view->shape[a] = size;
    }
    for (uint32_t a = overlap->axis + 1; a < view->rank; a++) overlap->behind *= view->shape[a];
    view->data_bytes = bytes_of(&overlap->inner);
    overlap->codec = (wmk_codec){overlap->inner.codec ? overlap->inner.codec->name : "other sizes", read_overlap, NULL, 1};
    view->codec = &overlap->codec;
    view->codec_context = overlap;
    return WMK_OK;
}
