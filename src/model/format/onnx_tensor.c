/* model/format/onnx_tensor.c - one TensorProto: its type and shape, and in which of six places its values are. */
#include <string.h>

#include "base/memory.h"
#include "model/format/onnx.h"

enum {
    F_DIMS = 1,
    F_TYPE = 2,
    F_SEGMENT = 3,
    F_FLOAT = 4,
    F_INT32 = 5,
    F_STRING = 6,
    F_INT64 = 7,
    F_NAME = 8,
    F_RAW = 9,
    F_DOUBLE = 10,
    F_UINT64 = 11
};
enum { F_EXTERNAL = 13, F_LOCATION = 14 };
enum { TYPE_STRING = 8, EXTERNAL_MAX = 4096, TAGGED_PIECES_MIN = 2 };

/* By TensorProto.DataType: the element type, and the field that holds its values where they are not raw bytes. */
static const struct {
    wmk_dtype dtype;
    uint8_t field;
} types[] = {
    [1] = {WMK_F32, F_FLOAT},          [2] = {WMK_U8, F_INT32},       [3] = {WMK_I8, F_INT32},           [4] = {WMK_U16, F_INT32},
    [5] = {WMK_I16, F_INT32},          [6] = {WMK_I32, F_INT32},      [7] = {WMK_I64, F_INT64},          [9] = {WMK_BOOL, F_INT32},
    [10] = {WMK_F16, F_INT32},         [11] = {WMK_F64, F_DOUBLE},    [12] = {WMK_U32, F_UINT64},        [13] = {WMK_U64, F_UINT64},
    [14] = {WMK_C64, F_FLOAT},         [15] = {WMK_C128, F_DOUBLE},   [16] = {WMK_BF16, F_INT32},        [17] = {WMK_F8_E4M3, F_INT32},
    [18] = {WMK_F8_E4M3FNUZ, F_INT32}, [19] = {WMK_F8_E5M2, F_INT32}, [20] = {WMK_F8_E5M2FNUZ, F_INT32}, [21] = {WMK_U4, F_INT32},
    [22] = {WMK_I4, F_INT32},          [23] = {WMK_F4, F_INT32},      [24] = {WMK_F8_E8M0, F_INT32},     [25] = {WMK_U2, F_INT32},
    [26] = {WMK_I2, F_INT32},          [27] = {WMK_F6_E2M3, F_INT32}, [28] = {WMK_F6_E3M2, F_INT32},
};
enum { TYPE_COUNT = sizeof types / sizeof types[0] };

/* The values of a typed field, which may come in one piece (packed), one by one, or any mixture. */
typedef struct numbers {
    uint32_t field; /* 0: none */
    uint64_t count; /* of entries */
    size_t pieces;
    const unsigned char *first; /* the first piece's bytes */
    const unsigned char *end;
    size_t first_size;
    bool tagged; /* every piece is one float, each with a tag of one byte before it and nothing between */
} numbers;

typedef struct proto {
    wmk_protobuf message;
    wmk_onnx_text name;
    int type; /* 0: none was given */
    uint32_t rank;
    uint64_t shape[WMK_RANK_MAX];
    bool negative, too_many_axes, segmented, external, has_raw;
    const unsigned char *raw;
    size_t raw_size;
    numbers typed;
    bool two_fields;
    wmk_onnx_text location, offset, length;
} proto;

wmk_onnx_text wmk_onnx_text_of(const wmk_protobuf_field *field) { return (wmk_onnx_text){(const char *)field->data, field->size}; }

bool wmk_onnx_text_is(wmk_onnx_text text, const char *word)
{
    return text.size == strlen(word) && (text.size == 0 || memcmp(text.data, word, text.size) == 0);
}

wmk_status wmk_onnx_bytes(const wmk_tensor_view *view, uint64_t *out)
{
    uint64_t elements, bits;
    if (!wmk_product_u64(view->shape, view->rank, &elements) || !wmk_mul_u64(elements, wmk_dtype_bits(view->dtype), &bits))
        return wmk_fail(WMK_ERROR_INPUT, "its shape gives more bits than 64-bit numbers count");
    *out = bits / 8 + (bits % 8 != 0);
    return WMK_OK;
}

/* ---- the message ---- */

static void add_dimension(proto *p, uint64_t value)
{
    if (value >> 63) p->negative = true;
    if (p->rank == WMK_RANK_MAX)
        p->too_many_axes = true;
    else
        p->shape[p->rank++] = value;
}

static wmk_status read_dimensions(proto *p, const wmk_protobuf_field *field)
{
    wmk_protobuf packed = wmk_protobuf_enter(field);
    if (field->wire == WMK_WIRE_VARINT) add_dimension(p, field->value);
    while (field->wire == WMK_WIRE_BYTES && packed.at < packed.end) {
        uint64_t value;
        WMK_TRY(wmk_protobuf_varint(&packed, &value));
        add_dimension(p, value);
    }
    return WMK_OK;
}

/* Bytes of an entry of fixed size in a typed field; 0: varints. */
static size_t entry_bytes(uint32_t field) { return field == F_FLOAT ? 4 : field == F_DOUBLE ? 8 : 0; }

/* Varints in `size` bytes: each ends in a byte below 128. A last one that is cut off is found when they are read. */
static uint64_t count_varints(const unsigned char *data, size_t size)
{
    uint64_t count = 0;
    for (size_t i = 0; i < size; i++) count += data[i] < 0x80;
    return count;
}

static wmk_status read_numbers(proto *p, const wmk_protobuf_field *field)
{
    numbers *n = &p->typed;
    size_t bytes = entry_bytes(field->number);
    bool packed = field->wire == WMK_WIRE_BYTES;
    if (!packed && field->wire != (bytes == 4 ? WMK_WIRE_32 : bytes == 8 ? WMK_WIRE_64 : WMK_WIRE_VARINT))
        return wmk_fail(WMK_ERROR_INPUT, "field %u has a wire type that its values cannot have", field->number);
    if (packed && field->size == 0) return WMK_OK;
    if (bytes && field->size % bytes != 0)
        return wmk_fail(WMK_ERROR_INPUT, "field %u has %zu bytes, no whole number of values of %zu", field->number, field->size, bytes);
    if (n->field && n->field != field->number) p->two_fields = true;
    n->tagged = !packed && bytes && (n->pieces == 0 || (n->tagged && field->data == n->end + 1));
    if (n->pieces++ == 0) {
        n->first = field->data;
        n->first_size = field->size;
    }
    n->field = field->number;
    n->end = field->data + field->size;
    n->count += bytes ? field->size / bytes : count_varints(field->data, field->size);
    return WMK_OK;
}

static wmk_status read_external(proto *p, const wmk_protobuf_field *entry)
{
    wmk_protobuf message = wmk_protobuf_enter(entry);
    wmk_protobuf_field field;
    wmk_onnx_text key = {0}, value = {0};
    for (bool more;;) {
        WMK_TRY(wmk_protobuf_next(&message, &field, &more));
        if (!more) break;
        if (field.number == 1 && field.wire == WMK_WIRE_BYTES) key = wmk_onnx_text_of(&field);
        if (field.number == 2 && field.wire == WMK_WIRE_BYTES) value = wmk_onnx_text_of(&field);
    }
    if (wmk_onnx_text_is(key, "location")) p->location = value;
    if (wmk_onnx_text_is(key, "offset")) p->offset = value;
    if (wmk_onnx_text_is(key, "length")) p->length = value;
    return WMK_OK;
}

static wmk_status read_field(proto *p, const wmk_protobuf_field *field)
{
    switch (field->number) {
    case F_DIMS:
        return read_dimensions(p, field);
    case F_TYPE:
        if (field->wire == WMK_WIRE_VARINT) p->type = field->value < TYPE_COUNT ? (int)field->value : -1;
        break;
    case F_SEGMENT:
        p->segmented = true;
        break;
    case F_FLOAT:
    case F_INT32:
    case F_INT64:
    case F_DOUBLE:
    case F_UINT64:
        return read_numbers(p, field);
    case F_NAME:
        if (field->wire == WMK_WIRE_BYTES) p->name = wmk_onnx_text_of(field);
        break;
    case F_RAW:
        if (field->wire != WMK_WIRE_BYTES) break;
        if (p->has_raw) return wmk_fail(WMK_ERROR_INPUT, "\"raw_data\" is given twice");
        p->has_raw = true;
        p->raw = field->data;
        p->raw_size = field->size;
        break;
    case F_EXTERNAL:
        return field->wire == WMK_WIRE_BYTES ? read_external(p, field) : WMK_OK;
    case F_LOCATION:
        p->external = field->value == 1;
        break;
    default:
        break;
    }
    return WMK_OK;
}

static wmk_status read_message(proto *p, wmk_protobuf message)
{
    wmk_protobuf_field field;
    *p = (proto){.message = message};
    for (bool more;;) {
        WMK_TRY(wmk_protobuf_next(&message, &field, &more));
        if (!more) return WMK_OK;
        WMK_TRY(read_field(p, &field));
    }
}

/* ---- where the values are ---- */

static wmk_status number_of(wmk_onnx_text text, const char *what, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < '0' || text.data[i] > '9' || !wmk_mul_u64(*out, 10, out) || !wmk_add_u64(*out, (uint64_t)(text.data[i] - '0'), out))
            return wmk_fail(WMK_ERROR_INPUT, "the external data's %s is no number: \"%.*s\"", what, (int)(text.size < 40 ? text.size : 40),
                            text.data);
    return WMK_OK;
}

/* One name for one file: without "." and empty parts. */
static void tidy(char *path)
{
    char *to = path;
    for (char *from = path; *from;) {
        size_t size = strcspn(from, "/");
        bool keep = size > 0 && !(size == 1 && *from == '.');
        if (keep || (from == path && size == 0)) { /* a leading slash stays, to be refused */
            memmove(to, from, size);
            to += size;
            if (from[size]) *to++ = '/';
        }
        from += size + (from[size] != '\0');
    }
    *to = '\0';
}

static wmk_status external_file(wmk_onnx *onnx, wmk_onnx_text text, uint32_t *file)
{
    const char *location, *own = onnx->model->files[onnx->file].path, *slash = strrchr(own, '/');
    size_t low = 0, high = onnx->external_count;
    WMK_TRY(wmk_onnx_keep_text(onnx, text, &location));
    tidy((char *)(uintptr_t)location);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(onnx->externals[middle].location, location);
        if (order == 0) {
            *file = onnx->externals[middle].file;
            return WMK_OK;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (onnx->external_count == EXTERNAL_MAX) return wmk_fail(WMK_ERROR_INPUT, "external data in more than %d files", EXTERNAL_MAX);
    if (strcmp(location, slash ? slash + 1 : own) == 0) return wmk_fail(WMK_ERROR_INPUT, "its external data is to lie in the model's own file");
    WMK_TRY(wmk_model_add_file(onnx->model, location, file));
    WMK_TRY(wmk_resize(&onnx->externals, onnx->external_count + 1, sizeof *onnx->externals));
    memmove(onnx->externals + low + 1, onnx->externals + low, (onnx->external_count - low) * sizeof *onnx->externals);
    onnx->externals[low].location = location;
    onnx->externals[low].file = *file;
    onnx->external_count++;
    return WMK_OK;
}

static wmk_status place_external(wmk_onnx *onnx, const proto *p, wmk_model_tensor *tensor, uint64_t bytes)
{
    uint64_t offset, length = bytes;
    WMK_TRY(number_of(p->offset, "offset", &offset));
    if (p->length.size) WMK_TRY(number_of(p->length, "length", &length));
    if (length != bytes)
        return wmk_fail(WMK_ERROR_INPUT, "type and shape need %llu bytes, its external data has %llu", (unsigned long long)bytes,
                        (unsigned long long)length);
    WMK_TRY(external_file(onnx, p->location, &tensor->file));
    const wmk_map *map = &onnx->model->files[tensor->file].map;
    if (offset > map->size || bytes > map->size - offset)
        return wmk_fail(WMK_ERROR_INPUT, "its external data ends at byte %llu + %llu, \"%.*s\" has %zu", (unsigned long long)offset,
                        (unsigned long long)bytes, (int)(p->location.size < 200 ? p->location.size : 200), p->location.data, map->size);
    tensor->offset_bytes = offset;
    tensor->size_bytes = bytes;
    tensor->view.data = map->data + offset;
    return WMK_OK;
}

static void place(const wmk_onnx *onnx, wmk_model_tensor *tensor, const unsigned char *data, uint64_t bytes)
{
    tensor->file = onnx->file;
    tensor->offset_bytes = (uint64_t)(data - onnx->model->files[onnx->file].map.data);
    tensor->size_bytes = bytes;
}

/* How many entries of its typed field the elements take. */
static uint64_t entries_needed(const wmk_tensor_view *view, uint64_t elements, uint64_t bytes)
{
    if (view->dtype == WMK_C64 || view->dtype == WMK_C128) return 2 * elements; /* no overflow: bytes were counted */
    return wmk_dtype_bits(view->dtype) < 6 ? bytes : elements;                  /* sub-byte types but those of six bits: an entry is a byte */
}

static wmk_status place_typed(const wmk_onnx *onnx, const proto *p, wmk_model_tensor *tensor, uint64_t elements, uint64_t bytes)
{
    const numbers *n = &p->typed;
    wmk_tensor_view *view = &tensor->view;
    uint64_t needed = entries_needed(view, elements, bytes);
    if (n->field && n->field != types[p->type].field)
        return wmk_fail(WMK_ERROR_INPUT, "its values are in field %u, those of its type belong in %u", n->field, types[p->type].field);
    if (n->count != needed)
        return wmk_fail(WMK_ERROR_INPUT, "type and shape need %llu values, it has %llu", (unsigned long long)needed, (unsigned long long)n->count);
    if (entry_bytes(n->field) && n->pieces == 1) {
        place(onnx, tensor, n->first, bytes);
        view->data = n->first;
        return WMK_OK;
    }
    if (n->tagged && n->pieces >= TAGGED_PIECES_MIN && wmk_dtype_is_float(view->dtype)) {
        place(onnx, tensor, n->first, (uint64_t)(n->end - n->first));
        view->data = n->first;
        view->data_bytes = tensor->size_bytes;
        view->codec = &wmk_onnx_tagged;
        return WMK_OK;
    }
    place(onnx, tensor, p->message.at, (uint64_t)(p->message.end - p->message.at));
    if (view->dtype == WMK_F6_E2M3 || view->dtype == WMK_F6_E3M2) return WMK_OK; /* a byte each, unlike their raw form: listed */
    tensor->packed = true;
    view->data_bytes = bytes;
    return WMK_OK;
}

static wmk_status place_values(wmk_onnx *onnx, const proto *p, wmk_model_tensor *tensor)
{
    uint64_t elements, bytes;
    WMK_TRY(wmk_onnx_bytes(&tensor->view, &bytes));
    if (p->two_fields || (p->has_raw && p->typed.field)) return wmk_fail(WMK_ERROR_INPUT, "its values are given twice, in different fields");
    if (p->external && (p->has_raw || p->typed.field)) return wmk_fail(WMK_ERROR_INPUT, "it has external data and values of its own");
    (void)wmk_product_u64(tensor->view.shape, tensor->view.rank, &elements);
    if (wmk_dtype_bits(tensor->view.dtype) < 8) tensor->view.data_bytes = bytes;
    if (p->external && bytes > 0) return place_external(onnx, p, tensor, bytes);
    if (!p->has_raw && p->typed.field) return place_typed(onnx, p, tensor, elements, bytes);
    if (p->raw_size != bytes) return wmk_fail(WMK_ERROR_INPUT, "type and shape need %llu bytes, it has %zu", (unsigned long long)bytes, p->raw_size);
    tensor->view.data = bytes ? p->raw : p->message.at;
    place(onnx, tensor, tensor->view.data, bytes);
    return WMK_OK;
}

static wmk_status check(wmk_onnx *onnx, const proto *p, wmk_model_tensor *tensor)
{
    if (p->type == 0) return wmk_fail(WMK_ERROR_INPUT, "it has no data type");
    if (p->type < 0) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: an unknown data type");
    if (p->negative) return wmk_fail(WMK_ERROR_INPUT, "a negative extent in its shape");
    if (p->too_many_axes) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: more than 8 axes");
    if (p->segmented) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: a tensor in segments");
    tensor->view.dtype = types[p->type].dtype;
    tensor->view.rank = p->rank;
    memcpy(tensor->view.shape, p->shape, sizeof p->shape);
    return place_values(onnx, p, tensor);
}

wmk_status wmk_onnx_read_tensor(wmk_onnx *onnx, wmk_protobuf message, wmk_onnx_text name, wmk_model_tensor *tensor, wmk_onnx_text *own_name,
                                bool *listed)
{
    proto p;
    *tensor = (wmk_model_tensor){.file = onnx->file};
    WMK_TRY(read_message(&p, message));
    *own_name = name.size ? name : p.name;
    *listed = p.type != TYPE_STRING;
    if (!*listed) return WMK_OK;
    if (own_name->size == 0) return wmk_fail(WMK_ERROR_INPUT, "a tensor has no name");
    WMK_TRY(wmk_onnx_keep_text(onnx, *own_name, &tensor->view.name));
    wmk_status status = check(onnx, &p, tensor);
    if (status == WMK_ERROR_INPUT || status == WMK_ERROR_UNSUPPORTED) return wmk_fail_within(status, "tensor \"%s\"", tensor->view.name);
    return status;
}

/* ---- unpacking ---- */

/* One varint as an element of `bytes` bytes. */
static wmk_status put(unsigned char *to, uint64_t value, unsigned bytes)
{
    int64_t as_signed = (int64_t)value;
    unsigned bits = 8 * bytes;
    if (bytes < 8 && value >> bits != 0 && (as_signed < -((int64_t)1 << (bits - 1)) || as_signed >= 0))
        return wmk_fail(WMK_ERROR_INPUT, "the value %lld does not fit %u bits", (long long)as_signed, bits);
    memcpy(to, &value, bytes); /* little-endian, as everything here */
    return WMK_OK;
}

wmk_status wmk_onnx_unpack(const wmk_model *model, const wmk_model_tensor *tensor, void *bytes)
{
    const unsigned char *begin = model->files[tensor->file].map.data + tensor->offset_bytes;
    wmk_protobuf message = {begin, begin + tensor->size_bytes};
    wmk_protobuf_field field;
    unsigned char *to = bytes, *end = to + tensor->view.data_bytes;
    proto p;
    WMK_TRY(read_message(&p, message));
    unsigned size = (wmk_dtype_bits(types[p.type].dtype) + 7) / 8;
    for (bool more;;) {
        WMK_TRY(wmk_protobuf_next(&message, &field, &more));
        if (!more) break;
        if (field.number != p.typed.field) continue;
        if (entry_bytes(field.number)) {
            if (field.size > (size_t)(end - to)) break;
            memcpy(to, field.data, field.size);
            to += field.size;
            continue;
        }
        for (wmk_protobuf packed = wmk_protobuf_enter(&field); packed.at < packed.end; to += size) {
            uint64_t value;
            WMK_TRY(wmk_protobuf_varint(&packed, &value));
            if ((size_t)(end - to) < size) return wmk_fail(WMK_ERROR_INPUT, "more values than its shape has");
            WMK_TRY(put(to, value, size));
        }
    }
    return to == end ? WMK_OK : wmk_fail(WMK_ERROR_INPUT, "fewer values than its shape has");
}
