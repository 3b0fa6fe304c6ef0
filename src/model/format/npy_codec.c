/* model/format/npy_codec.c - arrays whose elements do not lie as views have them: the first axis fastest, or big-endian. */
#include <string.h>

#include "base/convert.h"
#include "model/format/npy.h"

/* A place in an array, moved on in row-major order. */
typedef struct cursor {
    const wmk_npy *npy;
    uint64_t index[WMK_RANK_MAX], stride[WMK_RANK_MAX], place; /* in elements */
} cursor;

static cursor cursor_at(const wmk_npy *npy, uint64_t element)
{
    cursor c = {.npy = npy};
    uint64_t step = 1;
    for (uint32_t i = 0; i < npy->rank; i++) {
        uint32_t axis = npy->fortran ? i : npy->rank - 1 - i;
        c.stride[axis] = step;
        step *= npy->shape[axis];
    }
    for (uint32_t axis = npy->rank; axis-- > 0; element /= npy->shape[axis]) {
        c.index[axis] = element % npy->shape[axis];
        c.place += c.index[axis] * c.stride[axis];
    }
    return c;
}

static void step(cursor *c)
{
    for (uint32_t axis = c->npy->rank; axis-- > 0;) {
        c->place += c->stride[axis];
        if (++c->index[axis] < c->npy->shape[axis]) return;
        c->place -= c->npy->shape[axis] * c->stride[axis];
        c->index[axis] = 0;
    }
}

static void copy_element(unsigned char *to, const unsigned char *from, size_t bytes, bool swapped)
{
    for (size_t i = 0; i < bytes; i++) to[i] = from[swapped ? bytes - 1 - i : i];
}

/* Elements on their way between the array's order and row-major, little-endian. */
enum { RUN = 512 };
typedef unsigned char run_bytes[RUN * 8];

static void read(const wmk_tensor_view *view, uint64_t element, size_t count, double *values)
{
    const wmk_npy *npy = view->codec_context;
    size_t bytes = wmk_dtype_bits(view->dtype) / 8;
    run_bytes run;
    if (count == 0) return;
    cursor c = cursor_at(npy, element);
    for (size_t done = 0, now; done < count; done += now) {
        now = count - done < RUN ? count - done : RUN;
        for (size_t i = 0; i < now; i++, step(&c))
            copy_element(run + i * bytes, (const unsigned char *)view->data + c.place * bytes, bytes, npy->swapped);
        wmk_read_f64(values + done, run, view->dtype, now);
    }
}

static void write(const wmk_tensor_view *view, void *data, uint64_t element, size_t count, const double *values)
{
    const wmk_npy *npy = view->codec_context;
    size_t bytes = wmk_dtype_bits(view->dtype) / 8;
    run_bytes run;
    if (count == 0) return;
    cursor c = cursor_at(npy, element);
    for (size_t done = 0, now; done < count; done += now) {
        now = count - done < RUN ? count - done : RUN;
        wmk_write_f64(run, view->dtype, values + done, now);
        for (size_t i = 0; i < now; i++, step(&c)) copy_element((unsigned char *)data + c.place * bytes, run + i * bytes, bytes, npy->swapped);
    }
}

static const wmk_codec fortran = {"first axis fastest", read, write, 1}, swapped = {"big-endian", read, write, 1};

bool wmk_npy_describe(wmk_tensor_view *view, const wmk_npy *npy)
{
    bool reordered = npy->fortran && npy->rank > 1;
    view->dtype = npy->dtype;
    view->rank = npy->rank;
    memcpy(view->shape, npy->shape, sizeof view->shape);
    view->data_bytes = npy->data_bytes;
    if (npy->dtype == WMK_DTYPE_NONE || npy->is_object) return false;
    if (!reordered && !npy->swapped) return true;
    if (!wmk_dtype_is_float(npy->dtype)) return false;
    view->codec = npy->swapped ? &swapped : &fortran;
    view->codec_context = npy;
    return true;
}
