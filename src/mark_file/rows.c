/* mark_file/rows.c - a codec around another view. */
#include "mark_file/rows.h"

#include "base/convert.h"

static uint64_t inner_row(const wmk_rows *rows, uint64_t row)
{
    uint64_t group = rows->middle * rows->rest, a = row / group, b = row % group / rows->rest, c = row % rows->rest;
    return a * group + c * rows->middle + b;
}

/* The elements from `element` on that lie together in the inner tensor: *at is where, the result how many of `count`. */
static size_t run_of(const wmk_rows *rows, uint64_t element, size_t count, uint64_t *at)
{
    *at = element;
    if (rows->row_elements == 0) return count;
    uint64_t row = element / rows->row_elements, left = rows->row_elements - element % rows->row_elements;
    *at = inner_row(rows, row) * rows->row_elements + element % rows->row_elements;
    return left < count ? (size_t)left : count;
}

static void read_rows(const wmk_tensor_view *view, uint64_t element, size_t count, double *values)
{
    const wmk_rows *rows = view->codec_context;
    wmk_tensor_view inner = rows->inner;
    inner.data = view->data;
    for (size_t done = 0, now; done < count; done += now) {
        uint64_t at;
        now = run_of(rows, element + done, count - done, &at);
        wmk_tensor_read(&inner, at, now, values + done);
    }
}

static void write_rows(const wmk_tensor_view *view, void *data, uint64_t element, size_t count, const double *values)
{
    const wmk_rows *rows = view->codec_context;
    wmk_tensor_view inner = rows->inner;
    inner.data = view->data;
    for (size_t done = 0, now; done < count; done += now) {
        uint64_t at;
        now = run_of(rows, element + done, count - done, &at);
        wmk_tensor_write(&inner, data, at, now, values + done);
    }
}

void wmk_rows_wrap(wmk_tensor_view *view, wmk_rows *rows, const wmk_tensor_view *inner)
{
    rows->inner = *inner;
    rows->codec = (wmk_codec){inner->codec ? inner->codec->name : "rows in another order", read_rows,
                              wmk_tensor_is_writable(inner) ? write_rows : NULL, inner->codec ? inner->codec->granule : 1};
    view->codec = &rows->codec;
    view->codec_context = rows;
}
