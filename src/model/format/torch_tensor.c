/* model/format/torch_tensor.c - one tensor of a PyTorch pickle: a call of torch/_utils.py's _rebuild_tensor, _v2, _v3 or _rebuild_qtensor, of which the arguments are read. */
#include <string.h>

#include "base/memory.h"
#include "model/format/torch.h"

/* torch's types by the names of their storages and of themselves. NONE: there is such a type, and no tensor of it is listed. */
static const struct {
    const char *storage, *name;
    wmk_dtype dtype;
    uint8_t bytes;
} types[] = {
    {"FloatStorage", "float32", WMK_F32, 4},
    {"HalfStorage", "float16", WMK_F16, 2},
    {"BFloat16Storage", "bfloat16", WMK_BF16, 2},
    {"DoubleStorage", "float64", WMK_F64, 8},
    {"LongStorage", "int64", WMK_I64, 8},
    {"IntStorage", "int32", WMK_I32, 4},
    {"ShortStorage", "int16", WMK_I16, 2},
    {"CharStorage", "int8", WMK_I8, 1},
    {"ByteStorage", "uint8", WMK_U8, 1},
    {"BoolStorage", "bool", WMK_BOOL, 1},
    {"ComplexFloatStorage", "complex64", WMK_C64, 8},
    {"ComplexDoubleStorage", "complex128", WMK_C128, 16},
    {"QInt8Storage", "qint8", WMK_I8, 1},
    {"QUInt8Storage", "quint8", WMK_U8, 1},
    {"QInt32Storage", "qint32", WMK_I32, 4},
    {"QUInt4x2Storage", "quint4x2", WMK_DTYPE_NONE, 1},
    {"QUInt2x4Storage", "quint2x4", WMK_DTYPE_NONE, 1},
    {"UntypedStorage", "", WMK_DTYPE_NONE, 1},
    {"", "uint16", WMK_U16, 2},
    {"", "uint32", WMK_U32, 4},
    {"", "uint64", WMK_U64, 8},
    {"", "float8_e5m2", WMK_F8_E5M2, 1},
    {"", "float8_e4m3fn", WMK_F8_E4M3, 1},
    {"", "float8_e5m2fnuz", WMK_F8_E5M2FNUZ, 1},
    {"", "float8_e4m3fnuz", WMK_F8_E4M3FNUZ, 1},
    {"", "float8_e8m0fnu", WMK_F8_E8M0, 1},
    {"", "float4_e2m1fn_x2", WMK_DTYPE_NONE, 1},
    {"", "complex32", WMK_DTYPE_NONE, 4},
};
enum { TYPE_COUNT = sizeof types / sizeof types[0] };

static const wmk_pickle_value *at(const wmk_pickle *pickle, uint32_t id) { return &pickle->value[id]; }

/* Item i of a tuple or list; None where there is none. */
static uint32_t item(const wmk_pickle *pickle, uint32_t id, uint32_t i)
{
    const wmk_pickle_value *value = at(pickle, id);
    return (value->kind == WMK_PICKLE_TUPLE || value->kind == WMK_PICKLE_LIST) && i < value->count ? value->item[i] : 0;
}

static size_t type_by_storage(const wmk_pickle_value *class)
{
    size_t i = 0;
    while (i < TYPE_COUNT && !(types[i].storage[0] && (wmk_pickle_is_global(class, "torch", types[i].storage) ||
                                                       wmk_pickle_is_global(class, "torch.storage", types[i].storage) ||
                                                       wmk_pickle_is_global(class, "torch.cuda", types[i].storage))))
        i++;
    return i;
}

static size_t type_by_name(const wmk_pickle_value *dtype)
{
    size_t i = 0;
    while (i < TYPE_COUNT && !(types[i].name[0] && wmk_pickle_is_global(dtype, "torch", types[i].name))) i++;
    return i;
}

static wmk_status not_negative(const wmk_pickle *pickle, uint32_t id, const char *what, uint64_t *out)
{
    const wmk_pickle_value *value = at(pickle, id);
    if (value->kind != WMK_PICKLE_INT || value->integer < 0) return wmk_fail(WMK_ERROR_INPUT, "%s is no whole number from 0 on", what);
    *out = (uint64_t)value->integer;
    return WMK_OK;
}

/* ---- storages ---- */

wmk_status wmk_torch_storage_of(const wmk_pickle *pickle, uint32_t id, wmk_torch_storage_id *out, bool *is_storage)
{
    uint64_t elements;
    *is_storage = at(pickle, id)->kind == WMK_PICKLE_PERSISTENT;
    if (!*is_storage) return WMK_OK;
    uint32_t tuple = at(pickle, id)->item[0], view = item(pickle, tuple, 5);
    *is_storage = wmk_pickle_is_text(at(pickle, item(pickle, tuple, 0)), "storage");
    if (!*is_storage) return WMK_OK;
    const wmk_pickle_value *class = at(pickle, item(pickle, tuple, 1)), *key = at(pickle, item(pickle, tuple, 2));
    size_t type = type_by_storage(class);
    if (type == TYPE_COUNT) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: a storage of an unknown type");
    if (key->kind != WMK_PICKLE_TEXT) return wmk_fail(WMK_ERROR_INPUT, "a storage whose key is no text");
    WMK_TRY(not_negative(pickle, item(pickle, tuple, 4), "a storage's number of elements", &elements));
    *out = (wmk_torch_storage_id){.key = key->text, .key_bytes = key->text_bytes, .dtype = types[type].dtype, .element_bytes = types[type].bytes};
    if (!wmk_mul_u64(elements, types[type].bytes, &out->bytes))
        return wmk_fail(WMK_ERROR_INPUT, "a storage of %llu elements", (unsigned long long)elements);
    if (view == 0) return WMK_OK;
    uint64_t view_elements, size;
    WMK_TRY(not_negative(pickle, item(pickle, view, 1), "a storage view's offset", &view_elements));
    WMK_TRY(not_negative(pickle, item(pickle, view, 2), "a storage view's size", &size));
    if (view_elements > elements || size > elements - view_elements) return wmk_fail(WMK_ERROR_INPUT, "a view of a storage reaches past its end");
    out->view_bytes = view_elements * types[type].bytes;
    return WMK_OK;
}

static wmk_status find_storage(wmk_torch_source *source, uint32_t id, wmk_torch_storage_id *out, wmk_torch_storage *storage)
{
    bool is_storage;
    WMK_TRY(wmk_torch_storage_of(source->pickle, id, out, &is_storage));
    if (!is_storage) return wmk_fail(WMK_ERROR_INPUT, "its storage is none");
    return source->find(source, out, storage);
}

/* ---- tensors ---- */

/* A call: what and with what. */
typedef struct call {
    const wmk_pickle_value *callee;
    uint32_t arguments;
} call;

/* What stands for its first argument. */
static bool is_wrapper(const wmk_pickle_value *callee)
{
    static const char *const names[][2] = {
        {"torch._utils", "_rebuild_parameter"}, {"torch._utils", "_rebuild_parameter_with_state"}, {"torch.nn.parameter", "Parameter"},
        {"torch.nn.parameter", "Buffer"},       {"torch.jit._pickle", "restore_type_tag"},         {"torch.jit._pickle", "build_tensorlist"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (wmk_pickle_is_global(callee, names[i][0], names[i][1])) return true;
    return false;
}

static call call_of(const wmk_pickle *pickle, uint32_t id)
{
    const wmk_pickle_value *object = at(pickle, id);
    if (object->kind != WMK_PICKLE_OBJECT) return (call){at(pickle, 0), 0};
    /* a subclass of Tensor: (function, class, arguments, state) */
    if (wmk_pickle_is_global(at(pickle, object->callee), "torch._tensor", "_rebuild_from_type_v2"))
        return (call){at(pickle, item(pickle, object->arguments, 0)), item(pickle, object->arguments, 2)};
    return (call){at(pickle, object->callee), object->arguments};
}

uint32_t wmk_torch_unwrap(const wmk_pickle *pickle, uint32_t id)
{
    for (int depth = 0; depth < 16; depth++) {
        call c = call_of(pickle, id);
        if (!is_wrapper(c.callee)) break;
        id = item(pickle, c.arguments, 0);
    }
    return id;
}

/* A tuple of integers, or a torch.Size of one. */
static wmk_status read_integers(const wmk_pickle *pickle, uint32_t id, const char *what, uint64_t *out, uint32_t *count)
{
    const wmk_pickle_value *value = at(pickle, id);
    if (value->kind == WMK_PICKLE_OBJECT && wmk_pickle_is_global(at(pickle, value->callee), "torch", "Size"))
        value = at(pickle, item(pickle, value->arguments, 0));
    if (value->kind != WMK_PICKLE_TUPLE && value->kind != WMK_PICKLE_LIST) return wmk_fail(WMK_ERROR_INPUT, "its %s is no tuple", what);
    if (value->count > WMK_RANK_MAX) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: a tensor of more than %d axes", WMK_RANK_MAX);
    for (uint32_t i = 0; i < value->count; i++) WMK_TRY(not_negative(pickle, value->item[i], what, &out[i]));
    *count = value->count;
    return WMK_OK;
}

/* Row-major without holes? Axes of one element do not count. */
static bool is_plain(const wmk_tensor_view *view, const uint64_t *stride)
{
    uint64_t expected = 1; /* no overflow: the product was checked */
    bool plain = true;
    for (uint32_t axis = view->rank; axis-- > 0;) {
        plain = plain && (view->shape[axis] == 1 || stride[axis] == expected);
        expected *= view->shape[axis];
    }
    return plain || expected == 0;
}

/* May two elements share a byte? Not where every stride is longer than all that the smaller ones reach; other cases that are free of it are very odd. */
static bool may_share(const wmk_tensor_view *view, const uint64_t *stride)
{
    uint32_t order[WMK_RANK_MAX]; /* axes by stride */
    uint64_t reach = 0;
    for (uint32_t axis = 0; axis < view->rank; axis++) {
        uint32_t at = axis;
        for (; at > 0 && stride[order[at - 1]] > stride[axis]; at--) order[at] = order[at - 1];
        order[at] = axis;
    }
    for (uint32_t k = 0; k < view->rank; k++) {
        uint32_t axis = order[k];
        if (view->shape[axis] <= 1) continue;
        if (stride[axis] <= reach) return true;
        reach += (view->shape[axis] - 1) * stride[axis]; /* no overflow: it lies in the storage */
    }
    return false;
}

/* Bytes from the first element to the end of the last one; INPUT when they do not lie in `available`. */
static wmk_status reach(const wmk_tensor_view *view, const uint64_t *stride, uint32_t element_bytes, uint64_t available, uint64_t *out)
{
    uint64_t last = 0, elements, step;
    bool fits = wmk_product_u64(view->shape, view->rank, &elements);
    *out = 0;
    if (fits && elements == 0) return WMK_OK;
    for (uint32_t axis = 0; axis < view->rank && fits; axis++)
        fits = wmk_mul_u64(view->shape[axis] - 1, stride[axis], &step) && wmk_add_u64(last, step, &last);
    fits = fits && wmk_add_u64(last, 1, &last) && wmk_mul_u64(last, element_bytes, out) && *out <= available;
    return fits ? WMK_OK
                : wmk_fail(WMK_ERROR_INPUT, "its elements reach past the end of its storage, %llu bytes from its first",
                           (unsigned long long)available);
}

/* A tensor with the scales or zero points of channels: bytes that can be read at once, or NULL. */
static wmk_status channel_values(wmk_torch_source *source, uint32_t id, uint64_t channels, const unsigned char **data, wmk_dtype *dtype)
{
    wmk_model_tensor tensor;
    wmk_torch_place place;
    bool is_tensor;
    const wmk_pickle_value *callee = call_of(source->pickle, wmk_torch_unwrap(source->pickle, id)).callee;
    *data = NULL;
    if (wmk_pickle_is_global(callee, "torch._utils", "_rebuild_qtensor")) return wmk_fail(WMK_ERROR_INPUT, "its scales are quantised themselves");
    if (at(source->pickle, id)->kind == WMK_PICKLE_LIST) return WMK_OK; /* torch wrote lists before 1.5 */
    WMK_TRY(wmk_torch_tensor(source, id, &tensor, &place, &is_tensor));
    if (!is_tensor || tensor.view.rank != 1 || tensor.view.shape[0] != channels) return wmk_fail(WMK_ERROR_INPUT, "its scales are not one a channel");
    if (tensor.packed || tensor.view.codec) return WMK_OK;
    *data = tensor.view.data;
    *dtype = tensor.view.dtype;
    return WMK_OK;
}

/* The quantiser: (per_tensor_affine, scale, zero point) or (per_channel_affine, scales, zero points, axis). `quantised` stays false for a kind that is not read. */
static wmk_status read_quantiser(wmk_torch_source *source, const wmk_tensor_view *view, uint32_t id, wmk_torch_layout *layout)
{
    const wmk_pickle *pickle = source->pickle;
    const wmk_pickle_value *scheme = at(pickle, item(pickle, id, 0)), *scale = at(pickle, item(pickle, id, 1)),
                           *zero = at(pickle, item(pickle, id, 2));
    uint64_t axis;
    if (wmk_pickle_is_global(scheme, "torch", "per_tensor_affine")) {
        if (scale->kind != WMK_PICKLE_FLOAT || zero->kind != WMK_PICKLE_INT) return wmk_fail(WMK_ERROR_INPUT, "its scale or zero point is no number");
        layout->quantised = true;
        layout->scale = scale->real;
        layout->zero = zero->integer;
        return WMK_OK;
    }
    bool by_channel =
        wmk_pickle_is_global(scheme, "torch", "per_channel_affine") || wmk_pickle_is_global(scheme, "torch", "per_channel_affine_float_qparams");
    if (!by_channel) return WMK_OK;
    WMK_TRY(not_negative(pickle, item(pickle, id, 3), "its channel axis", &axis));
    if (axis >= view->rank) return wmk_fail(WMK_ERROR_INPUT, "its channel axis %llu is none of its %u", (unsigned long long)axis, view->rank);
    layout->axis = (uint32_t)axis;
    WMK_TRY(channel_values(source, item(pickle, id, 1), view->shape[axis], &layout->scales, &layout->scale_dtype));
    WMK_TRY(channel_values(source, item(pickle, id, 2), view->shape[axis], &layout->zeros, &layout->zero_dtype));
    bool known = (layout->scale_dtype == WMK_F64 || layout->scale_dtype == WMK_F32) &&
                 (layout->zero_dtype == WMK_F64 || layout->zero_dtype == WMK_F32 || layout->zero_dtype == WMK_I64);
    layout->quantised = layout->scales && layout->zeros && known;
    return WMK_OK;
}

/* Gives the tensor the codec it needs, if any. */
static wmk_status choose_codec(wmk_torch_source *source, wmk_model_tensor *out, const wmk_torch_layout *layout, bool quantised_type)
{
    bool plain = is_plain(&out->view, layout->stride);
    if (plain && !layout->quantised) return WMK_OK;
    uint64_t bytes, file_bytes = source->model->files[source->file].map.size;
    WMK_TRY(wmk_tensor_bytes(&out->view, &bytes));
    /* one element may stand for any number of them, whose values would not fit in memory */
    bool repeats = bytes > out->view.data_bytes && bytes > file_bytes;
    bool readable = !repeats && (quantised_type ? layout->quantised : wmk_tensor_is_readable(&out->view));
    if (!readable) { /* integers in another order, or of an unknown meaning: listed alone */
        if (!plain) out->view.data = NULL;
        out->packed = out->packed && plain;
        return WMK_OK;
    }
    wmk_torch_layout *kept;
    WMK_TRY(wmk_torch_memory(source, sizeof *kept, &kept));
    *kept = *layout;
    bool only_read = may_share(&out->view, layout->stride) || (!layout->quantised && !wmk_dtype_is_float(out->view.dtype));
    out->view.codec = wmk_torch_codec(layout, only_read);
    out->view.codec_context = kept;
    return WMK_OK;
}

static const char *const rebuilders[] = {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_qtensor"};
enum { V3 = 2, QUANTISED = 3, REBUILDERS = 4 };

/* (storage, offset, size, stride, ...): of _v3 the seventh argument is the type, of _rebuild_qtensor the fifth the quantiser. */
static wmk_status read_tensor(wmk_torch_source *source, int rebuilder, uint32_t arguments, wmk_model_tensor *out, wmk_torch_place *place)
{
    const wmk_pickle *pickle = source->pickle;
    wmk_torch_storage_id id;
    wmk_torch_storage storage;
    wmk_torch_layout layout = {0};
    uint64_t offset, bytes, begin;
    uint32_t stride_count;
    WMK_TRY(find_storage(source, item(pickle, arguments, 0), &id, &storage));
    if (rebuilder == V3) {
        size_t type = type_by_name(at(pickle, item(pickle, arguments, 6)));
        if (type == TYPE_COUNT) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: an element type that is not known");
        id.dtype = types[type].dtype;
        id.element_bytes = types[type].bytes;
    }
    *out = (wmk_model_tensor){.file = source->file, .view.dtype = id.dtype};
    WMK_TRY(not_negative(pickle, item(pickle, arguments, 1), "its storage offset", &offset));
    WMK_TRY(read_integers(pickle, item(pickle, arguments, 2), "shape", out->view.shape, &out->view.rank));
    WMK_TRY(read_integers(pickle, item(pickle, arguments, 3), "stride", layout.stride, &stride_count));
    if (stride_count != out->view.rank) return wmk_fail(WMK_ERROR_INPUT, "%u axes and %u strides", out->view.rank, stride_count);
    if (!wmk_mul_u64(offset, id.element_bytes, &begin) || !wmk_add_u64(begin, id.view_bytes, &begin) || begin > id.bytes)
        return wmk_fail(WMK_ERROR_INPUT, "it begins past the end of its storage of %llu bytes", (unsigned long long)id.bytes);
    WMK_TRY(reach(&out->view, layout.stride, id.element_bytes, id.bytes - begin, &bytes));
    if (id.dtype == WMK_DTYPE_NONE) return WMK_OK;
    if (rebuilder == QUANTISED && id.dtype != WMK_I8 && id.dtype != WMK_U8 && id.dtype != WMK_I32)
        return wmk_fail(WMK_ERROR_INPUT, "it is quantised to %s", wmk_dtype_name(id.dtype));
    if (rebuilder == QUANTISED) WMK_TRY(read_quantiser(source, &out->view, item(pickle, arguments, 4), &layout));
    out->packed = !storage.data;
    out->view.data = storage.data ? storage.data + begin : NULL;
    out->view.data_bytes = bytes;
    out->offset_bytes = storage.data ? storage.offset_bytes + begin : storage.offset_bytes;
    out->size_bytes = storage.data ? bytes : storage.stored_bytes;
    *place = (wmk_torch_place){storage.member, begin};
    return choose_codec(source, out, &layout, rebuilder == QUANTISED);
}

wmk_status wmk_torch_tensor(wmk_torch_source *source, uint32_t id, wmk_model_tensor *out, wmk_torch_place *place, bool *is_tensor)
{
    call c = call_of(source->pickle, wmk_torch_unwrap(source->pickle, id));
    int rebuilder = 0;
    while (rebuilder < REBUILDERS && !wmk_pickle_is_global(c.callee, "torch._utils", rebuilders[rebuilder])) rebuilder++;
    *is_tensor = rebuilder < REBUILDERS;
    return *is_tensor ? read_tensor(source, rebuilder, c.arguments, out, place) : WMK_OK;
}
