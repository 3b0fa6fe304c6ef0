/* model/format/torch_codec.c - reads and writes elements of tensors with strides, and PyTorch's quantised ones: value = (integer - zero point) * scale, one scale for all or one a
 * channel (aten/src/ATen/quantized/Quantizer.cpp). */
#include <math.h>
#include <string.h>

#include "base/convert.h"
#include "model/format/torch.h"

/* Elements are gathered and scattered in runs of at most this many. */
enum { RUN_MAX = 256 };

/* Where an element is, and what comes after it. */
typedef struct cursor {
    const wmk_tensor_view *view;
    const wmk_torch_layout *layout;
    uint64_t index[WMK_RANK_MAX];
    uint64_t place; /* in elements from the view's data */
} cursor;

static cursor start(const wmk_tensor_view *view, uint64_t element)
{
    cursor c = {.view = view, .layout = view->codec_context};
    for (uint32_t axis = view->rank; axis-- > 0;) {
        c.index[axis] = element % view->shape[axis];
        element /= view->shape[axis];
        c.place += c.index[axis] * c.layout->stride[axis];
    }
    return c;
}

/* Elements from here on that follow one another on the last axis. */
static size_t run_length(const cursor *c, size_t count)
{
    uint64_t left = c->view->rank ? c->view->shape[c->view->rank - 1] - c->index[c->view->rank - 1] : 1;
    size_t run = count < RUN_MAX ? count : RUN_MAX;
    return left < run ? (size_t)left : run;
}

static uint64_t run_stride(const cursor *c) { return c->view->rank ? c->layout->stride[c->view->rank - 1] : 1; }

static void advance(cursor *c, size_t run)
{
    uint32_t axis = c->view->rank;
    if (axis == 0) return;
    c->index[axis - 1] += run;
    c->place += run * c->layout->stride[axis - 1];
    while (axis-- > 1 && c->index[axis] == c->view->shape[axis]) {
        c->place -= c->index[axis] * c->layout->stride[axis];
        c->index[axis] = 0;
        c->index[axis - 1]++;
        c->place += c->layout->stride[axis - 1];
    }
}

static uint64_t get_number(const unsigned char *bytes, uint32_t size)
{
    uint64_t value = 0;
    for (uint32_t i = size; i-- > 0;) value = value << 8 | bytes[i];
    return value;
}

/* ---- floats ---- */

static void read_strided(const wmk_tensor_view *view, uint64_t element, size_t count, double *values)
{
    unsigned char run[8 * RUN_MAX];
    size_t size = wmk_dtype_bits(view->dtype) / 8;
    for (cursor c = start(view, element); count > 0;) {
        size_t length = run_length(&c, count);
        const unsigned char *from = (const unsigned char *)view->data + c.place * size;
        for (size_t i = 0; i < length; i++) memcpy(run + i * size, from + i * run_stride(&c) * size, size);
        wmk_read_f64(values, run, view->dtype, length);
        values += length;
        count -= length;
        advance(&c, length);
    }
}

static void write_strided(const wmk_tensor_view *view, void *data, uint64_t element, size_t count, const double *values)
{
    unsigned char run[8 * RUN_MAX];
    size_t size = wmk_dtype_bits(view->dtype) / 8;
    for (cursor c = start(view, element); count > 0;) {
        size_t length = run_length(&c, count);
        unsigned char *to = (unsigned char *)data + c.place * size;
        wmk_write_f64(run, view->dtype, values, length);
        for (size_t i = 0; i < length; i++) memcpy(to + i * run_stride(&c) * size, run + i * size, size);
        values += length;
        count -= length;
        advance(&c, length);
    }
}

/* ---- scaled integers ---- */

/* value = (integer - zero) * scale */
typedef struct scaling {
    double scale, zero;
} scaling;

static double float_at(const unsigned char *values, wmk_dtype dtype, uint64_t index)
{
    double value;
    wmk_read_f64(&value, values + index * (wmk_dtype_bits(dtype) / 8), dtype, 1);
    return value;
}

static scaling scaling_of(const cursor *c, size_t ahead)
{
    const wmk_torch_layout *l = c->layout;
    if (!l->scales) return (scaling){l->scale, (double)l->zero};
    uint64_t channel = c->index[l->axis] + (l->axis == c->view->rank - 1 ? ahead : 0);
    scaling s = {.scale = float_at(l->scales, l->scale_dtype, channel)};
    s.zero = l->zero_dtype == WMK_I64 ? (double)(int64_t)get_number(l->zeros + 8 * channel, 8) : float_at(l->zeros, l->zero_dtype, channel);
    return s;
}

static void range_of(wmk_dtype dtype, double *low, double *high)
{
    *low = dtype == WMK_U8 ? 0 : dtype == WMK_I8 ? INT8_MIN : INT32_MIN;
    *high = dtype == WMK_U8 ? UINT8_MAX : dtype == WMK_I8 ? INT8_MAX : INT32_MAX;
}

static void read_scaled(const wmk_tensor_view *view, uint64_t element, size_t count, double *values)
{
    uint32_t size = wmk_dtype_bits(view->dtype) / 8;
    for (cursor c = start(view, element); count > 0;) {
        size_t length = run_length(&c, count);
        const unsigned char *from = (const unsigned char *)view->data + c.place * size;
        for (size_t i = 0; i < length; i++) {
            uint64_t bits = get_number(from + i * run_stride(&c) * size, size);
            scaling s = scaling_of(&c, i);
            double integer = view->dtype == WMK_U8 ? (double)bits : view->dtype == WMK_I8 ? (double)(int8_t)bits : (double)(int32_t)bits;
            values[i] = (integer - s.zero) * s.scale;
        }
        values += length;
        count -= length;
        advance(&c, length);
    }
}

static void write_scaled(const wmk_tensor_view *view, void *data, uint64_t element, size_t count, const double *values)
{
    uint32_t size = wmk_dtype_bits(view->dtype) / 8;
    double low, high;
    range_of(view->dtype, &low, &high);
    for (cursor c = start(view, element); count > 0;) {
        size_t length = run_length(&c, count);
        unsigned char *to = (unsigned char *)data + c.place * size;
        for (size_t i = 0; i < length; i++) {
            scaling s = scaling_of(&c, i);
            double integer = rint(values[i] / s.scale + s.zero);
            uint64_t bits = (uint64_t)(int64_t)fmin(fmax(integer, low), high); /* NaN becomes low */
            for (uint32_t b = 0; b < size; b++) to[i * run_stride(&c) * size + b] = (unsigned char)(bits >> 8 * b);
        }
        values += length;
        count -= length;
        advance(&c, length);
    }
}

const wmk_codec *wmk_torch_codec(const wmk_torch_layout *layout, bool only_read)
{
    static const wmk_codec strided = {"strided", read_strided, write_strided, 1}, strided_read = {"strided", read_strided, NULL, 1},
                           scaled = {"scaled integers", read_scaled, write_scaled, 1}, scaled_read = {"scaled integers", read_scaled, NULL, 1};
    if (layout->quantised) return only_read ? &scaled_read : &scaled;
    return only_read ? &strided_read : &strided;
}
