/* model/format/onnx.c - reads ONNX: one protobuf message (ModelProto) that holds a graph of nodes, whose constants are its tensors: initialisers, and outputs of Constant nodes, also those
 * of the graphs within nodes (If, Loop, Scan). Their bytes stand in the file as they are, or in files beside it, and are read and changed there.
 * https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, docs/IR.md and docs/ExternalData.md */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "model/format/onnx.h"

enum { M_IR_VERSION = 1, M_PRODUCER = 2, M_PRODUCER_VERSION = 3, M_GRAPH = 7, M_OPSET = 8, M_METADATA = 14 };
enum { G_NODE = 1, G_INITIALIZER = 5, G_SPARSE = 15 };
enum { N_OUTPUT = 2, N_NAME = 3, N_OPERATOR = 4, N_ATTRIBUTE = 5 };
enum { A_NAME = 1, A_TENSOR = 5, A_GRAPH = 6, A_GRAPHS = 11 };
enum { PROBE_FIELDS = 64, TEXT_BYTES = 1 << 16, IR_VERSION_MAX = 100, PATH_PART_BYTES_MAX = 200 };

/* ---- probe ---- */

/* The wire type of a ModelProto's field, or -1. */
static int model_wire(uint32_t number)
{
    switch (number) {
    case M_IR_VERSION:
    case 5: /* model_version */
        return WMK_WIRE_VARINT;
    case M_PRODUCER:
    case M_PRODUCER_VERSION:
    case 4: /* domain */
    case 6: /* doc_string */
    case M_GRAPH:
    case M_OPSET:
    case M_METADATA:
    case 20: /* training_info */
    case 25: /* functions */
    case 26: /* configuration */
        return WMK_WIRE_BYTES;
    default:
        return -1;
    }
}

/* ONNX has no magic: what begins with fields of a ModelProto, its version and its graph among them, is taken for one. A graph may be cut off, if all before it is right. */
static int probe(const unsigned char *bytes, size_t size)
{
    wmk_protobuf reader = {bytes, bytes + size};
    wmk_protobuf_field field;
    bool more, version = false, graph = false;
    for (int i = 0; i < PROBE_FIELDS; i++) {
        wmk_status status = wmk_protobuf_next(&reader, &field, &more);
        if (!more) break;
        if (field.number == 0 || model_wire(field.number) != (int)field.wire) return 0;
        version |= status == WMK_OK && field.number == M_IR_VERSION && field.value >= 1 && field.value <= IR_VERSION_MAX;
        graph |= field.number == M_GRAPH;
        if (status != WMK_OK) break;
    }
    return version && graph ? 70 : version || graph ? 30 : 0;
}

/* ---- texts and values ---- */

wmk_status wmk_onnx_keep_text(wmk_onnx *onnx, wmk_onnx_text text, const char **out)
{
    if (text.size == 0) text.data = "";
    const unsigned char *at = (const unsigned char *)text.data, *end = at + text.size;
    for (size_t length; at < end; at += length) {
        length = wmk_utf8_length(at, end);
        if (length == 0) return wmk_fail(WMK_ERROR_INPUT, "a text that is not UTF-8");
        if (*at == '\0') return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: a text with a NUL in it, \"%s\"", text.data);
    }
    if (text.size >= onnx->text_left) {
        size_t bytes = text.size + 1 > TEXT_BYTES ? text.size + 1 : TEXT_BYTES;
        WMK_TRY(wmk_alloc(&onnx->text, bytes, 1));
        onnx->text_left = 0; /* if it cannot be kept it is gone */
        WMK_TRY(wmk_model_keep(onnx->model, onnx->text));
        onnx->text_left = bytes;
    }
    memcpy(onnx->text, text.data, text.size);
    onnx->text[text.size] = '\0';
    *out = onnx->text;
    onnx->text += text.size + 1;
    onnx->text_left -= text.size + 1;
    return WMK_OK;
}

static int compare_names(wmk_onnx_text a, wmk_onnx_text b)
{
    size_t size = a.size < b.size ? a.size : b.size;
    int order = size ? memcmp(a.data, b.data, size) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static int by_name(const void *left, const void *right)
{
    const wmk_onnx_value *a = left, *b = right;
    int order = compare_names(a->name, b->name);
    return order ? order : (a->scope > b->scope) - (a->scope < b->scope);
}

wmk_onnx_value *wmk_onnx_find_here(const wmk_onnx *onnx, uint32_t scope, wmk_onnx_text name)
{
    wmk_onnx_value wanted = {.name = name, .scope = scope};
    return onnx->value_count ? bsearch(&wanted, onnx->values, onnx->value_count, sizeof wanted, by_name) : NULL;
}

wmk_onnx_value *wmk_onnx_find(const wmk_onnx *onnx, uint32_t scope, wmk_onnx_text name)
{
    for (;; scope = onnx->scopes[scope].parent) { /* at most WMK_ONNX_DEPTH_MAX steps */
        wmk_onnx_value *value = wmk_onnx_find_here(onnx, scope, name);
        if (value || scope == 0) return value;
    }
}

static wmk_status add_value(wmk_onnx *onnx, uint32_t scope, wmk_onnx_text name, size_t tensor)
{
    if (name.size == 0) return WMK_OK; /* an output that is not wanted */
    if (onnx->value_count == onnx->value_capacity) {
        size_t capacity = onnx->value_capacity ? 2 * onnx->value_capacity : 256;
        WMK_TRY(wmk_resize(&onnx->values, capacity, sizeof *onnx->values));
        onnx->value_capacity = capacity;
    }
    wmk_onnx_value *value = &onnx->values[onnx->value_count++];
    *value = (wmk_onnx_value){.name = name, .scope = scope, .tensor = tensor, .zero = WMK_ONNX_NONE};
    if (tensor == WMK_ONNX_NONE) return WMK_OK;
    value->role = WMK_ONNX_CONSTANT;
    for (uint8_t axis = 0; axis < WMK_RANK_MAX; axis++) value->permutation[axis] = axis;
    return WMK_OK;
}

/* ---- graphs ---- */

/* `name`: of the Constant node's output, or empty. */
static wmk_status add_tensor(wmk_onnx *onnx, uint32_t scope, wmk_protobuf message, wmk_onnx_text name)
{
    wmk_model_tensor tensor;
    wmk_onnx_text own;
    bool listed;
    WMK_TRY(wmk_onnx_read_tensor(onnx, message, name, &tensor, &own, &listed));
    if (!listed) return add_value(onnx, scope, own, WMK_ONNX_NONE);
    WMK_TRY(add_value(onnx, scope, own, onnx->model->tensor_count));
    return wmk_model_add_tensor(onnx->model, &tensor);
}

/* A SparseTensorProto: its values (1), their places (2) and the whole's dims (3). It is only listed. */
static wmk_status add_sparse(wmk_onnx *onnx, uint32_t scope, wmk_protobuf message)
{
    wmk_protobuf_field field;
    wmk_protobuf values = {0};
    wmk_tensor_view whole = {0};
    size_t index = onnx->model->tensor_count;
    for (bool more;;) {
        WMK_TRY(wmk_protobuf_next(&message, &field, &more));
        if (!more) break;
        if (field.number == 1 && field.wire == WMK_WIRE_BYTES) values = wmk_protobuf_enter(&field);
        if (field.number != 3) continue;
        wmk_protobuf dims = wmk_protobuf_enter(&field);
        do {
            uint64_t extent = field.value;
            if (field.wire == WMK_WIRE_BYTES && dims.at == dims.end) break;
            if (field.wire == WMK_WIRE_BYTES) WMK_TRY(wmk_protobuf_varint(&dims, &extent));
            if (whole.rank == WMK_RANK_MAX || extent >> 63) return wmk_fail(WMK_ERROR_INPUT, "the shape of a sparse tensor");
            whole.shape[whole.rank++] = extent;
        } while (field.wire == WMK_WIRE_BYTES);
    }
    WMK_TRY(add_tensor(onnx, scope, values, (wmk_onnx_text){0}));
    if (onnx->model->tensor_count == index) return WMK_OK;
    wmk_tensor_view *view = &onnx->model->tensors[index].view;
    uint64_t bytes;
    whole.dtype = view->dtype;
    if (wmk_onnx_bytes(&whole, &bytes) != WMK_OK) return wmk_fail_within(WMK_ERROR_INPUT, "tensor \"%s\"", view->name);
    view->rank = whole.rank;
    memcpy(view->shape, whole.shape, sizeof whole.shape);
    view->layout[0] = '\0';
    view->data = NULL;
    view->codec = NULL;
    onnx->model->tensors[index].packed = false;
    return WMK_OK;
}

static wmk_status read_graph(wmk_onnx *onnx, uint32_t scope, int depth, wmk_protobuf graph);

/* A graph in an attribute of the node called `node`. */
static wmk_status enter_graph(wmk_onnx *onnx, uint32_t parent, int depth, wmk_protobuf graph, wmk_onnx_text node, wmk_onnx_text attribute)
{
    if (depth > WMK_ONNX_DEPTH_MAX) return wmk_fail(WMK_ERROR_INPUT, "graphs within graphs, deeper than %d", WMK_ONNX_DEPTH_MAX);
    if (onnx->scope_count == onnx->scope_capacity) {
        size_t capacity = onnx->scope_capacity ? 2 * onnx->scope_capacity : 16;
        WMK_TRY(wmk_resize(&onnx->scopes, capacity, sizeof *onnx->scopes));
        onnx->scope_capacity = capacity;
    }
    uint32_t scope = (uint32_t)onnx->scope_count;
    onnx->scopes[onnx->scope_count++] = (wmk_onnx_scope){parent, node, attribute};
    return read_graph(onnx, scope, depth, graph);
}

typedef struct node {
    wmk_onnx_text name, operator_type, output;
} node;

static wmk_status read_attribute(wmk_onnx *onnx, uint32_t scope, int depth, wmk_protobuf attribute, const node *n)
{
    wmk_protobuf again = attribute;
    wmk_protobuf_field field;
    wmk_onnx_text name = {0};
    for (bool more;;) {
        WMK_TRY(wmk_protobuf_next(&attribute, &field, &more));
        if (!more) break;
        if (field.number == A_NAME && field.wire == WMK_WIRE_BYTES) name = wmk_onnx_text_of(&field);
    }
    bool constant = wmk_onnx_text_is(n->operator_type, "Constant") && wmk_onnx_text_is(name, "value") && n->output.size > 0;
    for (bool more;;) {
        WMK_TRY(wmk_protobuf_next(&again, &field, &more));
        if (!more) return WMK_OK;
        if (field.wire != WMK_WIRE_BYTES) continue;
        if (field.number == A_TENSOR && constant) WMK_TRY(add_tensor(onnx, scope, wmk_protobuf_enter(&field), n->output));
        if (field.number == A_GRAPH || field.number == A_GRAPHS)
            WMK_TRY(enter_graph(onnx, scope, depth + 1, wmk_protobuf_enter(&field), n->name.size ? n->name : n->output, name));
    }
}

static wmk_status read_node(wmk_onnx *onnx, uint32_t scope, int depth, wmk_protobuf message)
{
    wmk_protobuf again = message;
    wmk_protobuf_field field;
    node n = {0};
    for (bool more;;) {
        WMK_TRY(wmk_protobuf_next(&message, &field, &more));
        if (!more) break;
        if (field.wire != WMK_WIRE_BYTES) continue;
        if (field.number == N_NAME) n.name = wmk_onnx_text_of(&field);
        if (field.number == N_OPERATOR) n.operator_type = wmk_onnx_text_of(&field);
        if (field.number == N_OUTPUT && n.output.size == 0) n.output = wmk_onnx_text_of(&field);
    }
    size_t tensors = onnx->model->tensor_count;
    for (bool more;;) {
        WMK_TRY(wmk_protobuf_next(&again, &field, &more));
        if (!more) return WMK_OK;
        if (field.wire != WMK_WIRE_BYTES) continue;
        if (field.number == N_ATTRIBUTE) WMK_TRY(read_attribute(onnx, scope, depth, wmk_protobuf_enter(&field), &n));
        bool constant = wmk_onnx_text_is(n.operator_type, "Constant");
        if (field.number == N_OUTPUT && !constant) WMK_TRY(add_value(onnx, scope, wmk_onnx_text_of(&field), WMK_ONNX_NONE));
        if (constant && onnx->model->tensor_count > tensors + 1) return wmk_fail(WMK_ERROR_INPUT, "a Constant with two values");
    }
}

static wmk_status read_graph(wmk_onnx *onnx, uint32_t scope, int depth, wmk_protobuf graph)
{
    wmk_protobuf_field field;
    for (bool more;;) {
        WMK_TRY(wmk_protobuf_next(&graph, &field, &more));
        if (!more) return WMK_OK;
        if (field.wire != WMK_WIRE_BYTES) continue;
        if (field.number == G_NODE) WMK_TRY(read_node(onnx, scope, depth, wmk_protobuf_enter(&field)));
        if (field.number == G_INITIALIZER) WMK_TRY(add_tensor(onnx, scope, wmk_protobuf_enter(&field), (wmk_onnx_text){0}));
        if (field.number == G_SPARSE) WMK_TRY(add_sparse(onnx, scope, wmk_protobuf_enter(&field)));
    }
}

/* "node/attribute/" for each graph around, before the name. */
static wmk_status add_path(wmk_onnx *onnx, uint32_t scope, const char **name)
{
    wmk_buffer path = {0};
    uint32_t chain[WMK_ONNX_DEPTH_MAX];
    int depth = 0;
    wmk_status status = WMK_OK;
    for (; scope != 0; scope = onnx->scopes[scope].parent) chain[depth++] = scope;
    while (status == WMK_OK && depth-- > 0) {
        const wmk_onnx_scope *around = &onnx->scopes[chain[depth]];
        if (around->node.size + around->attribute.size > PATH_PART_BYTES_MAX)
            status = wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: tensor \"%s\" in several graphs, with names of more than %d bytes", *name,
                              PATH_PART_BYTES_MAX);
        if (status == WMK_OK)
            status = wmk_buffer_printf(&path, "%.*s/%.*s/", (int)around->node.size, around->node.data, (int)around->attribute.size,
                                       around->attribute.data);
    }
    if (status == WMK_OK) status = wmk_buffer_printf(&path, "%s", *name);
    if (status == WMK_OK) status = wmk_onnx_keep_text(onnx, (wmk_onnx_text){(const char *)path.data, path.size}, name);
    wmk_buffer_free(&path);
    return status;
}

/* A name that is used in one graph only stays as it is; otherwise those of inner graphs get the path of their graph before it. */
static wmk_status name_tensors(wmk_onnx *onnx)
{
    if (onnx->value_count > 0) qsort(onnx->values, onnx->value_count, sizeof *onnx->values, by_name);
    for (size_t i = 0, end; i < onnx->value_count; i = end) {
        const wmk_onnx_value *values = onnx->values;
        for (end = i + 1; end < onnx->value_count && compare_names(values[i].name, values[end].name) == 0; end++)
            if (values[end].scope == values[end - 1].scope)
                return wmk_fail(WMK_ERROR_INPUT, "the value \"%.*s\" is made twice in one graph",
                                (int)(values[i].name.size < 200 ? values[i].name.size : 200), values[i].name.data);
        for (size_t k = i; end - i > 1 && k < end; k++)
            if (values[k].tensor != WMK_ONNX_NONE && values[k].scope != 0)
                WMK_TRY(add_path(onnx, values[k].scope, &onnx->model->tensors[values[k].tensor].view.name));
    }
    return WMK_OK;
}

/* ---- external data ---- */

static int by_place(const void *left, const void *right)
{
    const wmk_model_tensor *a = *(wmk_model_tensor *const *)left, *b = *(wmk_model_tensor *const *)right;
    if (a->file != b->file) return a->file < b->file ? -1 : 1;
    if (a->offset_bytes != b->offset_bytes) return a->offset_bytes < b->offset_bytes ? -1 : 1;
    return (a->size_bytes > b->size_bytes) - (a->size_bytes < b->size_bytes);
}

/* Two tensors may be the same bytes of an external file, but may not share some of them. */
static wmk_status check_overlaps(const wmk_onnx *onnx, size_t first)
{
    wmk_model *model = onnx->model;
    wmk_model_tensor **sorted;
    size_t count = 0;
    wmk_status status = WMK_OK;
    if (onnx->external_count == 0) return WMK_OK;
    WMK_TRY(wmk_alloc(&sorted, model->tensor_count - first, sizeof *sorted));
    for (size_t i = first; i < model->tensor_count; i++)
        if (model->tensors[i].file != onnx->file) sorted[count++] = &model->tensors[i];
    qsort(sorted, count, sizeof *sorted, by_place);
    for (size_t i = 1; status == WMK_OK && i < count; i++) {
        const wmk_model_tensor *a = sorted[i - 1], *b = sorted[i];
        bool same = a->offset_bytes == b->offset_bytes && a->size_bytes == b->size_bytes;
        if (a->file == b->file && !same && b->offset_bytes < a->offset_bytes + a->size_bytes)
            status = wmk_fail(WMK_ERROR_INPUT, "tensor \"%s\": its external data overlaps that of \"%s\"", b->view.name, a->view.name);
    }
    free(sorted);
    return status;
}

/* ---- metadata ---- */

typedef struct head {
    wmk_protobuf graph;
    bool has_graph;
    wmk_onnx_text producer, producer_version;
    wmk_buffer opset; /* "ai.onnx 17, com.microsoft 1" */
} head;

/* A StringStringEntryProto. */
static wmk_status read_entry(wmk_onnx *onnx, wmk_protobuf message)
{
    wmk_protobuf_field field;
    const char *name = "", *value = "";
    for (bool more;;) {
        WMK_TRY(wmk_protobuf_next(&message, &field, &more));
        if (!more) return wmk_model_add_metadata(onnx->model, name, value);
        if (field.wire == WMK_WIRE_BYTES && field.number == 1) WMK_TRY(wmk_onnx_keep_text(onnx, wmk_onnx_text_of(&field), &name));
        if (field.wire == WMK_WIRE_BYTES && field.number == 2) WMK_TRY(wmk_onnx_keep_text(onnx, wmk_onnx_text_of(&field), &value));
    }
}

/* An OperatorSetIdProto. */
static wmk_status read_opset(wmk_buffer *out, wmk_protobuf message)
{
    wmk_protobuf_field field;
    wmk_onnx_text domain = {0};
    uint64_t version = 0;
    for (bool more;;) {
        WMK_TRY(wmk_protobuf_next(&message, &field, &more));
        if (!more) break;
        if (field.number == 1 && field.wire == WMK_WIRE_BYTES) domain = wmk_onnx_text_of(&field);
        if (field.number == 2 && field.wire == WMK_WIRE_VARINT) version = field.value;
    }
    if (domain.size == 0) domain = (wmk_onnx_text){"ai.onnx", 7};
    return wmk_buffer_printf(out, "%s%.*s %llu", out->size ? ", " : "", (int)(domain.size < 200 ? domain.size : 200), domain.data,
                             (unsigned long long)version);
}

static wmk_status read_head(wmk_onnx *onnx, wmk_protobuf model, head *h)
{
    wmk_protobuf_field field;
    for (bool more;;) {
        WMK_TRY(wmk_protobuf_next(&model, &field, &more));
        if (!more) return WMK_OK;
        int wire = model_wire(field.number);
        if (wire >= 0 && wire != (int)field.wire)
            return wmk_fail(WMK_ERROR_INPUT, "field %u of the model has wire type %u, not %d", field.number, (unsigned)field.wire, wire);
        if (field.number == M_PRODUCER) h->producer = wmk_onnx_text_of(&field);
        if (field.number == M_PRODUCER_VERSION) h->producer_version = wmk_onnx_text_of(&field);
        if (field.number == M_METADATA) WMK_TRY(read_entry(onnx, wmk_protobuf_enter(&field)));
        if (field.number == M_OPSET) WMK_TRY(read_opset(&h->opset, wmk_protobuf_enter(&field)));
        if (field.number != M_GRAPH) continue;
        if (h->has_graph) return wmk_fail(WMK_ERROR_INPUT, "the graph is given twice");
        h->has_graph = true;
        h->graph = wmk_protobuf_enter(&field);
    }
}

/* A field of the model as metadata, unless the model's own has that name. */
static wmk_status add_head_text(wmk_onnx *onnx, size_t first, const char *name, wmk_onnx_text text)
{
    const char *value;
    if (text.size == 0) return WMK_OK;
    for (size_t i = first; i < onnx->model->metadata_count; i++)
        if (strcmp(onnx->model->metadata[i].name, name) == 0) return WMK_OK;
    WMK_TRY(wmk_onnx_keep_text(onnx, text, &value));
    return wmk_model_add_metadata(onnx->model, name, value);
}

/* ---- open ---- */

static wmk_status read_model(wmk_onnx *onnx, wmk_protobuf message, head *h)
{
    size_t first = onnx->model->tensor_count, texts = onnx->model->metadata_count;
    uint32_t scope = 0;
    WMK_TRY(read_head(onnx, message, h));
    if (!h->has_graph) return wmk_fail(WMK_ERROR_INPUT, "it has no graph");
    WMK_TRY(add_head_text(onnx, texts, "producer_name", h->producer));
    WMK_TRY(add_head_text(onnx, texts, "producer_version", h->producer_version));
    WMK_TRY(add_head_text(onnx, texts, "opset", (wmk_onnx_text){(const char *)h->opset.data, h->opset.size}));
    WMK_TRY(enter_graph(onnx, 0, 0, h->graph, (wmk_onnx_text){0}, (wmk_onnx_text){0}));
    WMK_TRY(name_tensors(onnx));
    WMK_TRY(check_overlaps(onnx, first));
    WMK_TRY(wmk_onnx_walk(onnx, h->graph, &scope));
    return wmk_onnx_check(onnx);
}

static wmk_status open_onnx(wmk_model *model, uint32_t file)
{
    const wmk_map *map = &model->files[file].map;
    wmk_onnx onnx = {.model = model, .file = file};
    head h = {0};
    if (file != 0) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: an ONNX file inside another model");
    wmk_status status = read_model(&onnx, (wmk_protobuf){map->data, map->data + map->size}, &h);
    wmk_buffer_free(&h.opset);
    free(onnx.values);
    free(onnx.scopes);
    free(onnx.externals);
    free(onnx.module);
    return status;
}

const wmk_container wmk_container_onnx = {"onnx", ".onnx", probe, open_onnx, wmk_onnx_unpack, NULL};
