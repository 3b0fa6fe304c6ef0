/* base/tensor_values.c - the elements of a tensor as numbers, for callers outside the library. */
#include <weightmark/tensor.h>

#include "base/convert.h"
#include "base/memory.h"

void wmk_tensor_read(const wmk_tensor_view *view, uint64_t element, size_t count, double *values)
{
    if (view->codec)
        view->codec->read(view, element, count, values);
    else
        wmk_read_f64(values, (const unsigned char *)view->data + element * (wmk_dtype_bits(view->dtype) / 8), view->dtype, count);
}

void wmk_tensor_write(const wmk_tensor_view *view, void *data, uint64_t element, size_t count, const double *values)
{
    if (view->codec)
        view->codec->write(view, data, element, count, values);
    else
        wmk_write_f64((unsigned char *)data + element * (wmk_dtype_bits(view->dtype) / 8), view->dtype, values, count);
}

wmk_status wmk_tensor_values(const wmk_tensor_view *view, double *values)
{
    const char *name = view->name ? view->name : "(unnamed)";
    uint64_t count;
    if (!view->data) return wmk_fail(WMK_ERROR_ARGUMENT, "tensor \"%s\" has no data", name);
    if (!wmk_tensor_is_readable(view))
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: tensor \"%s\" holds %s, which cannot be read as numbers", name,
                        wmk_dtype_name(view->dtype));
    if (view->rank > WMK_RANK_MAX)
        return wmk_fail(WMK_ERROR_ARGUMENT, "tensor \"%s\": %u axes, at most %d are allowed", name, view->rank, WMK_RANK_MAX);
    if (!wmk_product_u64(view->shape, view->rank, &count) || count > SIZE_MAX / sizeof(double))
        return wmk_fail(WMK_ERROR_ARGUMENT, "tensor \"%s\": its shape overflows", name);
    wmk_tensor_read(view, 0, (size_t)count, values);
    return WMK_OK;
}
