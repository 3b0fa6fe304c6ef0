/* model/format/tflite.c - reads TensorFlow Lite (LiteRT) models, version 3 of the schema: a FlatBuffer with the file identifier "TFL3",
 *     Model {version, operator_codes, subgraphs, description, buffers, ...}, SubGraph {tensors, inputs, outputs, operators, name},
 *     Tensor {shape, type, buffer, name, quantization, is_variable, sparsity, ...}, Buffer {data, offset, size}.
 * A buffer's bytes lie in the FlatBuffer or, in large models, at an offset behind it. The tensors that have bytes are the model's constants; they are what is listed.
 * tensorflow/compiler/mlir/lite/schema/schema.fbs of TensorFlow 2.18. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/format/tflite.h"

enum { MODEL_VERSION = 0, MODEL_OPERATOR_CODES = 1, MODEL_SUBGRAPHS = 2, MODEL_DESCRIPTION = 3, MODEL_BUFFERS = 4 };
enum { SUBGRAPH_TENSORS = 0 };
enum { TENSOR_SHAPE = 0, TENSOR_TYPE = 1, TENSOR_BUFFER = 2, TENSOR_NAME = 3, TENSOR_SPARSITY = 6, TENSOR_EXTERNAL_BUFFER = 10 };
enum { BUFFER_DATA = 0, BUFFER_OFFSET = 1, BUFFER_SIZE = 2 };

/* By TensorType; those that are missing here (strings, resources, ...) are listed without a type. */
static const wmk_dtype types[] = {
    [0] = WMK_F32, [1] = WMK_F16,   [2] = WMK_I32,  [3] = WMK_U8,    [4] = WMK_I64,      [6] = WMK_BOOL,     [7] = WMK_I16,
    [8] = WMK_C64, [9] = WMK_I8,    [10] = WMK_F64, [11] = WMK_C128, [12] = WMK_U64,     [15] = WMK_U32,     [16] = WMK_U16,
    [17] = WMK_I4, [18] = WMK_BF16, [19] = WMK_I2,  [20] = WMK_U4,   [21] = WMK_F8_E4M3, [22] = WMK_F8_E5M2,
};

static int probe(const unsigned char *bytes, size_t size) { return size >= 8 && memcmp(bytes + 4, "TFL3", 4) == 0 ? 90 : 0; }

/* ---- one tensor ---- */

/* Where the bytes of buffer `index` lie; *size 0: it has none. */
static wmk_status find_bytes(const wmk_tflite *r, uint64_t index, uint64_t *at, uint64_t *size)
{
    wmk_flatbuffer_table table;
    wmk_flatbuffer_vector data;
    uint64_t offset = 0;
    *size = 0;
    if (index >= r->buffers.count)
        return wmk_fail(WMK_ERROR_INPUT, "buffer %llu of %llu", (unsigned long long)index, (unsigned long long)r->buffers.count);
    WMK_TRY(wmk_flatbuffer_table_at(&r->buffer, &r->buffers, index, "its buffer", &table));
    WMK_TRY(wmk_flatbuffer_number(&r->buffer, &table, BUFFER_OFFSET, 8, "its buffer's offset", &offset));
    if (offset > 1) { /* 0 and 1: they are in the buffer itself (schema.fbs, Buffer) */
        WMK_TRY(wmk_flatbuffer_number(&r->buffer, &table, BUFFER_SIZE, 8, "its buffer's size", size));
        if (offset > r->buffer.size || *size > r->buffer.size - offset)
            return wmk_fail(WMK_ERROR_INPUT, "its data, %llu bytes at %llu, ends beyond the file's %llu", (unsigned long long)*size,
                            (unsigned long long)offset, (unsigned long long)r->buffer.size);
        *at = offset;
        return WMK_OK;
    }
    WMK_TRY(wmk_flatbuffer_vector_of(&r->buffer, &table, BUFFER_DATA, 1, "its data", &data));
    *at = data.at;
    *size = data.count;
    return WMK_OK;
}

static wmk_status read_shape(const wmk_tflite *r, const wmk_flatbuffer_table *table, wmk_tensor_view *view)
{
    wmk_flatbuffer_vector shape;
    uint64_t elements;
    WMK_TRY(wmk_flatbuffer_vector_of(&r->buffer, table, TENSOR_SHAPE, 4, "its shape", &shape));
    if (shape.count > WMK_RANK_MAX) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: more than 8 axes");
    for (view->rank = 0; view->rank < shape.count; view->rank++) {
        int32_t length = (int32_t)wmk_flatbuffer_u32_at(&r->buffer, &shape, view->rank);
        if (length < 0) return wmk_fail(WMK_ERROR_INPUT, "axis %u has %d elements", view->rank, length);
        view->shape[view->rank] = (uint64_t)length;
    }
    if (!wmk_product_u64(view->shape, view->rank, &elements) || elements > UINT64_MAX / 64)
        return wmk_fail(WMK_ERROR_INPUT, "its shape gives more bits than 64-bit numbers count");
    return WMK_OK;
}

/* Type, shape and bytes must agree. Elements of two or four bits share a byte, and the last byte need not be full. */
static wmk_status check_size(const wmk_tensor_view *view, uint64_t size)
{
    uint64_t elements = 1;
    for (uint32_t axis = 0; axis < view->rank; axis++) elements *= view->shape[axis];
    uint64_t bytes = (elements * wmk_dtype_bits(view->dtype) + 7) / 8;
    if (bytes == size) return WMK_OK;
    return wmk_fail(WMK_ERROR_INPUT, "type and shape need %llu bytes, its buffer has %llu", (unsigned long long)bytes, (unsigned long long)size);
}

static void set_layout(wmk_model_tensor *tensor, const wmk_tflite_use *use)
{
    for (size_t i = 0; use->layouts && i < WMK_TFLITE_LAYOUTS; i++) {
        if (!use->layouts[i] || strlen(use->layouts[i]) != tensor->view.rank) continue;
        strcpy(tensor->view.layout, use->layouts[i]);
        tensor->layout_known = true;
    }
}

/* A name that the converter made up says nothing: such weights are known by what their operator makes. */
static bool is_made_up(const char *name) { return !*name || strncmp(name, "tfl.", 4) == 0 || strncmp(name, "arith.", 6) == 0; }

static wmk_status set_alias(wmk_tflite *r, const wmk_flatbuffer_vector *tensors, wmk_model_tensor *tensor, const wmk_tflite_use *use)
{
    wmk_flatbuffer_table output;
    const char *name = tensor->view.name;
    if (is_made_up(name)) {
        if (!tensor->layout_known || use->output < 0) return WMK_OK;
        WMK_TRY(wmk_flatbuffer_table_at(&r->buffer, tensors, (uint64_t)use->output, "its operator's output", &output));
        WMK_TRY(wmk_flatbuffer_text(&r->buffer, &output, TENSOR_NAME, "the name of its operator's output", &tensor->alias));
    } else if (strchr(name, ';')) {
        tensor->alias = name;
    }
    return WMK_OK;
}

static wmk_status read_tensor(wmk_tflite *r, const wmk_flatbuffer_vector *tensors, uint64_t index, const wmk_tflite_use *use,
                              wmk_tflite_scaling *scaling)
{
    wmk_flatbuffer_table table, sparsity;
    wmk_model_tensor tensor = {.file = r->file};
    wmk_tensor_view *view = &tensor.view;
    uint64_t type = 0, buffer = 0, external = 0;
    WMK_TRY(wmk_flatbuffer_table_at(&r->buffer, tensors, index, "it", &table));
    WMK_TRY(wmk_flatbuffer_number(&r->buffer, &table, TENSOR_EXTERNAL_BUFFER, 4, "its external buffer", &external));
    if (external) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: its data lies in another file");
    WMK_TRY(wmk_flatbuffer_number(&r->buffer, &table, TENSOR_BUFFER, 4, "its buffer", &buffer));
    WMK_TRY(find_bytes(r, buffer, &tensor.offset_bytes, &tensor.size_bytes));
    if (tensor.size_bytes == 0) return WMK_OK; /* computed, not constant */
    WMK_TRY(wmk_flatbuffer_text(&r->buffer, &table, TENSOR_NAME, "its name", &view->name));
    if (!view->name) view->name = "";
    WMK_TRY(wmk_flatbuffer_number(&r->buffer, &table, TENSOR_TYPE, 1, "its type", &type));
    if (type < sizeof types / sizeof types[0]) view->dtype = types[type];
    WMK_TRY(read_shape(r, &table, view));
    WMK_TRY(wmk_flatbuffer_subtable(&r->buffer, &table, TENSOR_SPARSITY, "its sparsity", &sparsity));
    if (view->dtype && !sparsity.vtable_bytes) {
        WMK_TRY(check_size(view, tensor.size_bytes));
        view->data = r->buffer.data + tensor.offset_bytes;
        WMK_TRY(wmk_tflite_quantisation(r, &table, view, scaling));
        set_layout(&tensor, use);
    }
    view->data_bytes = tensor.size_bytes;
    WMK_TRY(set_alias(r, tensors, &tensor, use));
    WMK_TRY(wmk_model_add_tensor(r->model, &tensor));
    if (!tensor.layout_known)
        r->model->tensors[r->model->tensor_count - 1].view.layout[0] = '\0'; /* slopes, paddings: no guess, the operators would say it */
    return WMK_OK;
}

/* ---- the file ---- */

static wmk_status read_subgraph(wmk_tflite *r, const wmk_flatbuffer_table *subgraph)
{
    wmk_flatbuffer_vector tensors;
    wmk_tflite_scaling *scalings;
    wmk_tflite_use *uses;
    WMK_TRY(wmk_flatbuffer_vector_of(&r->buffer, subgraph, SUBGRAPH_TENSORS, 4, "the list of tensors", &tensors));
    WMK_TRY(wmk_flatbuffer_spend(&r->buffer, 4 * tensors.count, "the list of tensors"));
    WMK_TRY(wmk_alloc(&scalings, tensors.count, sizeof *scalings));
    WMK_TRY(wmk_model_keep(r->model, scalings));
    WMK_TRY(wmk_alloc(&uses, tensors.count, sizeof *uses));
    wmk_status status = wmk_tflite_uses(r, subgraph, uses, tensors.count);
    for (uint64_t i = 0; status == WMK_OK && i < tensors.count; i++) {
        status = read_tensor(r, &tensors, i, &uses[i], &scalings[i]);
        if (status == WMK_ERROR_INPUT || status == WMK_ERROR_UNSUPPORTED) status = wmk_fail_within(status, "tensor %llu", (unsigned long long)i);
    }
    free(uses);
    return status;
}

static int by_place(const void *left, const void *right)
{
    const wmk_model_tensor *a = *(wmk_model_tensor *const *)left, *b = *(wmk_model_tensor *const *)right;
    if (a->offset_bytes != b->offset_bytes) return a->offset_bytes < b->offset_bytes ? -1 : 1;
    return a->size_bytes < b->size_bytes ? -1 : a->size_bytes > b->size_bytes;
}

/* Tensors may share a buffer, but not a part of one. */
static wmk_status check_overlap(wmk_model *model, size_t first)
{
    wmk_model_tensor **sorted;
    wmk_status status = WMK_OK;
    size_t count = model->tensor_count - first;
    WMK_TRY(wmk_alloc(&sorted, count, sizeof *sorted));
    for (size_t i = 0; i < count; i++) sorted[i] = &model->tensors[first + i];
    qsort(sorted, count, sizeof *sorted, by_place);
    for (size_t i = 1; i < count && status == WMK_OK; i++) {
        const wmk_model_tensor *a = sorted[i - 1], *b = sorted[i];
        bool same = a->offset_bytes == b->offset_bytes && a->size_bytes == b->size_bytes;
        if (!same && b->offset_bytes < a->offset_bytes + a->size_bytes)
            status = wmk_fail(WMK_ERROR_INPUT, "tensor \"%s\": its data overlaps that of \"%s\" at byte %llu", b->view.name, a->view.name,
                              (unsigned long long)b->offset_bytes);
    }
    free(sorted);
    return status;
}

static wmk_status read_model(wmk_tflite *r)
{
    wmk_flatbuffer_table root, subgraph;
    const char *description;
    uint64_t version = 0;
    WMK_TRY(wmk_flatbuffer_root(&r->buffer, &root));
    WMK_TRY(wmk_flatbuffer_number(&r->buffer, &root, MODEL_VERSION, 4, "the version", &version));
    if (version != 3)
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: version %llu of the TFLite schema, only 3 is", (unsigned long long)version);
    WMK_TRY(wmk_flatbuffer_text(&r->buffer, &root, MODEL_DESCRIPTION, "the description", &description));
    if (description) WMK_TRY(wmk_model_add_metadata(r->model, "description", description));
    WMK_TRY(wmk_flatbuffer_vector_of(&r->buffer, &root, MODEL_OPERATOR_CODES, 4, "the list of operator codes", &r->operator_codes));
    WMK_TRY(wmk_flatbuffer_vector_of(&r->buffer, &root, MODEL_BUFFERS, 4, "the list of buffers", &r->buffers));
    WMK_TRY(wmk_flatbuffer_vector_of(&r->buffer, &root, MODEL_SUBGRAPHS, 4, "the list of subgraphs", &r->subgraphs));
    WMK_TRY(wmk_flatbuffer_spend(&r->buffer, 4 * r->subgraphs.count, "the list of subgraphs"));
    for (uint64_t i = 0; i < r->subgraphs.count; i++) {
        WMK_TRY(wmk_flatbuffer_table_at(&r->buffer, &r->subgraphs, i, "a subgraph", &subgraph));
        wmk_status status = read_subgraph(r, &subgraph);
        if (status == WMK_ERROR_INPUT || status == WMK_ERROR_UNSUPPORTED) return wmk_fail_within(status, "subgraph %llu", (unsigned long long)i);
        WMK_TRY(status);
    }
    return WMK_OK;
}

static wmk_status open_tflite(wmk_model *model, uint32_t file)
{
    const wmk_map *map = &model->files[file].map;
    size_t first = model->tensor_count;
    wmk_tflite reader = {.model = model, .file = file, .buffer = {map->data, map->size, map->size}};
    if (map->size < 8 || memcmp(map->data + 4, "TFL3", 4) != 0)
        return wmk_fail(WMK_ERROR_INPUT, "does not have the file identifier TFL3 of a TFLite model");
    WMK_TRY(read_model(&reader));
    WMK_TRY(check_overlap(model, first));
    return wmk_tflite_names(model, first);
}

const wmk_container wmk_container_tflite = {"tflite", ".tflite", probe, open_tflite, NULL, NULL};
