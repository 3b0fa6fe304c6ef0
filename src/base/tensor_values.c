/* base/tensor_values.c - the elements of a tensor as numbers, for callers outside the library. */
#include <weightmark/tensor.h>

#include "base/convert.h"
#include "base/memory.h"

wmk_status wmk_tensor_values(const wmk_tensor_view *view, double *values)
{
    const char *name = view->name ? view->name : "(unnamed)";
    uint64_t count;
    if (!view->data) return wmk_fail(WMK_ERROR_ARGUMENT, "tensor \"%s\" has no data", name);
    if (!wmk_dtype_is_float(view->dtype))
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: tensor \"%s\" holds %s, which is no float", name, wmk_dtype_name(view->dtype));
    if (view->rank > WMK_RANK_MAX)
        return wmk_fail(WMK_ERROR_ARGUMENT, "tensor \"%s\": %u axes, at most %d are allowed", name, view->rank, WMK_RANK_MAX);
    if (!wmk_product_u64(view->shape, view->rank, &count) || count > SIZE_MAX / sizeof(double))
        return wmk_fail(WMK_ERROR_ARGUMENT, "tensor \"%s\": its shape overflows", name);
    wmk_read_f64(values, view->data, view->dtype, (size_t)count);
    return WMK_OK;
}
