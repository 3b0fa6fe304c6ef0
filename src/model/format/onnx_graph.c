/* model/format/onnx_graph.c - what the operators know of the tensors they use: which axis is what, and the scales and zero points of quantised ones. Operators: ONNX's docs/Operators.md,
 * and onnxruntime's docs/ContribOperators.md for those of the domain com.microsoft. Nodes come in an order in which values are made before they are used (docs/IR.md). */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/format/onnx.h"

enum { G_NODE = 1, N_INPUT = 1, N_OUTPUT = 2, N_NAME = 3, N_OPERATOR = 4, N_ATTRIBUTE = 5, N_DOMAIN = 7, N_METADATA = 9 };
enum { A_NAME = 1, A_INT = 3, A_GRAPH = 6, A_INTS = 8, A_GRAPHS = 11 };
enum { INPUTS_KEPT = 12, NO = 0xff };

typedef struct node {
    wmk_protobuf message;
    uint32_t scope;
    wmk_onnx_text name, operator_type, domain, scopes, output;
    wmk_onnx_text inputs[INPUTS_KEPT];
    size_t input_count; /* at most INPUTS_KEPT */
} node;

/* ---- nodes ---- */

/* "pkg.torch.onnx.name_scopes" of a node's metadata. */
static wmk_status read_scopes(wmk_protobuf entry, wmk_onnx_text *scopes)
{
    wmk_protobuf_field field;
    wmk_onnx_text key = {0}, value = {0};
    for (bool more;;) {
        WMK_TRY(wmk_protobuf_next(&entry, &field, &more));
        if (!more) break;
        if (field.number == 1 && field.wire == WMK_WIRE_BYTES) key = wmk_onnx_text_of(&field);
        if (field.number == 2 && field.wire == WMK_WIRE_BYTES) value = wmk_onnx_text_of(&field);
    }
    if (wmk_onnx_text_is(key, "pkg.torch.onnx.name_scopes")) *scopes = value;
    return WMK_OK;
}

static wmk_status read_node(wmk_protobuf message, uint32_t scope, node *n)
{
    wmk_protobuf_field field;
    *n = (node){.message = message, .scope = scope};
    for (bool more;;) {
        WMK_TRY(wmk_protobuf_next(&message, &field, &more));
        if (!more) return WMK_OK;
        if (field.wire != WMK_WIRE_BYTES) continue;
        wmk_onnx_text text = wmk_onnx_text_of(&field);
        if (field.number == N_INPUT && n->input_count < INPUTS_KEPT) n->inputs[n->input_count++] = text;
        if (field.number == N_OUTPUT && n->output.size == 0) n->output = text;
        if (field.number == N_NAME) n->name = text;
        if (field.number == N_OPERATOR) n->operator_type = text;
        if (field.number == N_DOMAIN) n->domain = text;
        if (field.number == N_METADATA) WMK_TRY(read_scopes(wmk_protobuf_enter(&field), &n->scopes));
    }
}

/* The field `number` of the node's attribute `name`; its size is 0 where there is none. The messages were read before: they are sound. */
static wmk_protobuf_field attribute(const node *n, const char *name, uint32_t number)
{
    wmk_protobuf message = n->message;
    wmk_protobuf_field field, inner, found;
    for (bool more;;) {
        if (wmk_protobuf_next(&message, &field, &more) != WMK_OK || !more) return (wmk_protobuf_field){0};
        if (field.number != N_ATTRIBUTE || field.wire != WMK_WIRE_BYTES) continue;
        wmk_protobuf fields = wmk_protobuf_enter(&field);
        wmk_onnx_text key = {0};
        found = (wmk_protobuf_field){0};
        while (wmk_protobuf_next(&fields, &inner, &more) == WMK_OK && more) {
            if (inner.number == A_NAME && inner.wire == WMK_WIRE_BYTES) key = wmk_onnx_text_of(&inner);
            if (inner.number == number) found = inner;
        }
        if (wmk_onnx_text_is(key, name)) return found;
    }
}

static int64_t integer(const node *n, const char *name, int64_t otherwise)
{
    wmk_protobuf_field field = attribute(n, name, A_INT);
    return field.size && field.wire == WMK_WIRE_VARINT ? (int64_t)field.value : otherwise;
}

/* The attribute "perm" of a Transpose of `rank` axes; without it they are reversed. False: it is no permutation. */
static bool permutation(const node *n, uint32_t rank, uint8_t *perm)
{
    wmk_protobuf message = n->message;
    wmk_protobuf_field field, inner;
    uint32_t count = 0;
    unsigned seen = 0;
    for (bool more; wmk_protobuf_next(&message, &field, &more) == WMK_OK && more;) {
        if (field.number != N_ATTRIBUTE || field.wire != WMK_WIRE_BYTES) continue;
        wmk_protobuf fields = wmk_protobuf_enter(&field); /* perm is its only attribute */
        while (wmk_protobuf_next(&fields, &inner, &more) == WMK_OK && more) {
            if (inner.number != A_INTS) continue;
            wmk_protobuf packed = wmk_protobuf_enter(&inner); /* of a single integer: its varint */
            for (uint64_t value; packed.at < packed.end;) {
                if (wmk_protobuf_varint(&packed, &value) != WMK_OK || value >= rank || count == rank) return false;
                seen |= 1u << value;
                perm[count++] = (uint8_t)value;
            }
        }
    }
    for (uint32_t axis = 0; count == 0 && axis < rank; axis++) perm[axis] = (uint8_t)(rank - 1 - axis);
    return count == 0 || (count == rank && seen == (1u << rank) - 1);
}

static wmk_onnx_value *input(const wmk_onnx *onnx, const node *n, size_t index)
{
    return index < n->input_count && n->inputs[index].size ? wmk_onnx_find(onnx, n->scope, n->inputs[index]) : NULL;
}

/* The node's first output, for filling in. */
static wmk_onnx_value *output(const wmk_onnx *onnx, const node *n) { return wmk_onnx_find_here(onnx, n->scope, n->output); }

static bool in_order(const wmk_onnx *onnx, const wmk_onnx_value *value)
{
    for (uint32_t axis = 0; axis < onnx->model->tensors[value->tensor].view.rank; axis++)
        if (value->permutation[axis] != axis) return false;
    return true;
}

/* The tensor of a constant with its axes as they are stored, or WMK_ONNX_NONE. */
static size_t constant(const wmk_onnx *onnx, const node *n, size_t index)
{
    const wmk_onnx_value *value = index == NO ? NULL : input(onnx, n, index);
    return value && value->role == WMK_ONNX_CONSTANT && in_order(onnx, value) ? value->tensor : WMK_ONNX_NONE;
}

/* ---- weights ---- */

typedef enum rule { RULE_CONV, RULE_CONV_TRANSPOSE, RULE_RIGHT, RULE_LEFT, RULE_RECURRENT, RULE_TABLE } rule;

/* Which letters the operator gives to the axes of a weight of this rank; NULL: none. Transposed: its attribute says that the last two axes change places before the product. */
static const char *letters(rule by, uint32_t rank, bool transposed)
{
    static const char *const conv[] = {"OIW", "OIHW", "OIDHW"}, *const conv_transpose[] = {"IOW", "IOHW", "IODHW"};
    switch (by) {
    case RULE_CONV:
        return rank >= 3 && rank <= 5 ? conv[rank - 3] : NULL;
    case RULE_CONV_TRANSPOSE:
        return rank >= 3 && rank <= 5 ? conv_transpose[rank - 3] : NULL;
    case RULE_RIGHT:
    case RULE_LEFT: /* outputs are the result's columns of a right factor, rows of a left one */
        if ((by == RULE_RIGHT) != transposed) return rank == 2 ? "IO" : rank == 3 ? "DIO" : NULL;
        return rank == 2 ? "OI" : rank == 3 ? "DOI" : NULL;
    case RULE_RECURRENT: /* D: the directions; O: the gates' outputs */
        return rank == 3 ? "DIO" : NULL;
    case RULE_TABLE:
        break;
    }
    return NULL;
}

/* Operators that use a weight: which inputs are the weight, its scale and its zero point. `integer`: the result is integers, and a Mul after it has the scale. */
static const struct use {
    const char *domain, *name;
    uint8_t weight, scale, zero;
    bool integer;
    rule by;
    const char *transposed; /* attribute, or NULL */
} uses[] = {
    {"", "Conv", 1, NO, NO, false, RULE_CONV, NULL},
    {"", "ConvTranspose", 1, NO, NO, false, RULE_CONV_TRANSPOSE, NULL},
    {"", "ConvInteger", 1, NO, 3, true, RULE_CONV, NULL},
    {"", "QLinearConv", 3, 4, 5, false, RULE_CONV, NULL},
    {"", "MatMul", 1, NO, NO, false, RULE_RIGHT, NULL},
    {"", "MatMul", 0, NO, NO, false, RULE_LEFT, NULL},
    {"", "MatMulInteger", 1, NO, 3, true, RULE_RIGHT, NULL},
    {"", "MatMulInteger", 0, NO, 2, true, RULE_LEFT, NULL},
    {"", "QLinearMatMul", 3, 4, 5, false, RULE_RIGHT, NULL},
    {"", "QLinearMatMul", 0, 1, 2, false, RULE_LEFT, NULL},
    {"", "Gemm", 1, NO, NO, false, RULE_RIGHT, "transB"},
    {"", "Gemm", 0, NO, NO, false, RULE_LEFT, "transA"},
    {"", "Gather", 0, NO, NO, false, RULE_TABLE, NULL},
    {"com.microsoft", "QGemm", 3, 4, 5, false, RULE_RIGHT, "transB"},
    {"com.microsoft", "QGemm", 0, 1, 2, false, RULE_LEFT, "transA"},
    {"com.microsoft", "QLinearConv", 3, 4, 5, false, RULE_CONV, NULL},
    {"com.microsoft", "FusedConv", 1, NO, NO, false, RULE_CONV, NULL},
    {"com.microsoft", "FusedGemm", 1, NO, NO, false, RULE_RIGHT, "transB"},
    {"com.microsoft", "FusedMatMul", 1, NO, NO, false, RULE_RIGHT, "transB"},
    {"com.microsoft", "FusedMatMul", 0, NO, NO, false, RULE_LEFT, "transA"},
    {"com.microsoft", "DynamicQuantizeMatMul", 1, 2, 3, false, RULE_RIGHT, NULL},
    {"com.microsoft", "MatMulIntegerToFloat", 1, 3, 5, false, RULE_RIGHT, NULL},
    {"com.microsoft", "DynamicQuantizeLSTM", 1, 8, 9, false, RULE_RECURRENT, NULL},
    {"com.microsoft", "DynamicQuantizeLSTM", 2, 10, 11, false, RULE_RECURRENT, NULL},
    {"com.microsoft", "Attention", 1, NO, NO, false, RULE_RIGHT, NULL},
    {"com.microsoft", "QAttention", 1, 4, 7, false, RULE_RIGHT, NULL},
};

static bool is_operator(const node *n, const char *domain, const char *name)
{
    bool same = wmk_onnx_text_is(n->domain, domain) || (!*domain && wmk_onnx_text_is(n->domain, "ai.onnx"));
    return same && wmk_onnx_text_is(n->operator_type, name);
}

/* The first operator to say what a tensor is decides. */
static wmk_status set_layout(wmk_onnx *onnx, const node *n, const wmk_onnx_value *value, const char *layout)
{
    wmk_model_tensor *tensor = &onnx->model->tensors[value->tensor];
    uint32_t rank = tensor->view.rank;
    if (!tensor->alias && (!layout || layout[0] != 'D')) /* an author has those in parts */
        WMK_TRY(wmk_onnx_alias(onnx, tensor->view.name, n->name, n->scopes, ".weight", &tensor->alias));
    if (!layout || tensor->layout_known) return WMK_OK;
    for (uint32_t axis = 0; axis < rank; axis++)
        if (value->permutation[axis] >= rank) return WMK_OK; /* it had more axes when that value was made of it */
    memset(tensor->view.layout, 0, sizeof tensor->view.layout);
    for (uint32_t axis = 0; axis < rank; axis++) tensor->view.layout[value->permutation[axis]] = layout[axis];
    tensor->layout_known = true;
    return WMK_OK;
}

static wmk_status use_weight(wmk_onnx *onnx, const node *n, const struct use *use)
{
    const wmk_onnx_value *value = input(onnx, n, use->weight);
    if (!value || value->role != WMK_ONNX_CONSTANT) return WMK_OK;
    const wmk_tensor_view *view = &onnx->model->tensors[value->tensor].view;
    if (view->rank < 2) return WMK_OK;
    const char *layout = letters(use->by, view->rank, use->transposed && integer(n, use->transposed, 0) != 0);
    WMK_TRY(set_layout(onnx, n, value, layout));
    if (!layout) return WMK_OK;
    uint8_t axis = value->permutation[strchr(layout, 'O') - layout];
    size_t zero = constant(onnx, n, use->zero);
    bool zero_lost = zero == WMK_ONNX_NONE && use->zero < n->input_count && n->inputs[use->zero].size > 0;
    if (zero_lost) return WMK_OK; /* a zero point that is not known before the network runs */
    if (use->scale != NO) {
        size_t scale = constant(onnx, n, use->scale);
        bool by_direction = use->by == RULE_RECURRENT && scale != WMK_ONNX_NONE && onnx->model->tensors[scale].view.rank == 1;
        return wmk_onnx_set_scaled(onnx, value->tensor, scale, zero, by_direction ? 0 : axis, 0);
    }
    wmk_onnx_value *out = output(onnx, n);
    if (!use->integer || !out) return WMK_OK;
    out->role = WMK_ONNX_ACCUMULATOR;
    out->tensor = value->tensor;
    out->zero = zero;
    out->axis = axis;
    return WMK_OK;
}

static wmk_status use_blocks(wmk_onnx *onnx, const node *n)
{
    size_t tensor = constant(onnx, n, 1);
    int64_t rows = integer(n, "N", 0), columns = integer(n, "K", 0), bits = integer(n, "bits", 4), block = integer(n, "block_size", 0);
    bool grouped = n->input_count > 4 && n->inputs[4].size > 0, done; /* g_idx: columns in another order */
    if (tensor == WMK_ONNX_NONE || rows <= 0 || columns <= 0 || block <= 0 || grouped || (bits != 2 && bits != 4 && bits != 8)) return WMK_OK;
    if (block % (8 / bits) != 0 || columns > INT64_MAX - block || rows > INT32_MAX || columns > INT32_MAX || block > INT32_MAX) return WMK_OK;
    wmk_onnx_blocks b = {tensor, constant(onnx, n, 2), constant(onnx, n, 3), (uint64_t)rows, (uint64_t)columns, 0, (uint64_t)block, (unsigned)bits,
                         0};
    if (b.zero == WMK_ONNX_NONE && n->input_count > 3 && n->inputs[3].size > 0) return WMK_OK;
    b.pitch = (b.k + b.block - 1) / b.block * b.block;
    b.zero_default = 1u << (bits - 1);
    WMK_TRY(wmk_onnx_set_blocks(onnx, &b, &done));
    return done ? set_layout(onnx, n, &(wmk_onnx_value){.tensor = tensor, .permutation = {0, 1}}, "OI") : WMK_OK;
}

/* A table of rows that are quantised in blocks; in bytes (then along the last axis) or in types of four bits. */
static wmk_status use_gather_blocks(wmk_onnx *onnx, const node *n)
{
    size_t tensor = constant(onnx, n, 0), scale = constant(onnx, n, 2), zero = constant(onnx, n, 3);
    int64_t bits = integer(n, "bits", 4), block = integer(n, "block_size", 128), axis = integer(n, "quantize_axis", 1);
    bool done;
    if (tensor == WMK_ONNX_NONE || block <= 0 || block > INT32_MAX || (bits != 2 && bits != 4 && bits != 8)) return WMK_OK;
    if (zero == WMK_ONNX_NONE && n->input_count > 3 && n->inputs[3].size > 0) return WMK_OK;
    const wmk_tensor_view *view = &onnx->model->tensors[tensor].view;
    axis += axis < 0 ? (int64_t)view->rank : 0;
    if (axis < 0 || axis >= (int64_t)view->rank) return WMK_OK;
    WMK_TRY(set_layout(onnx, n, &(wmk_onnx_value){.tensor = tensor}, NULL));
    if (view->dtype != WMK_U8) return wmk_onnx_set_scaled(onnx, tensor, scale, zero, (uint32_t)axis, (uint64_t)block);
    if (view->rank != 2 || axis != 1 || view->shape[1] > INT32_MAX) return WMK_OK;
    uint64_t columns = view->shape[1] * (8 / (uint64_t)bits);
    wmk_onnx_blocks b = {tensor, scale, zero, view->shape[0], columns, columns, (uint64_t)block, (unsigned)bits, 1u << (bits - 1)};
    return wmk_onnx_set_blocks(onnx, &b, &done);
}

/* ---- values that are tensors still ---- */

static wmk_status follow_dequantize(wmk_onnx *onnx, const node *n)
{
    const wmk_onnx_value *value = input(onnx, n, 0);
    wmk_onnx_value *out = output(onnx, n);
    size_t scale = constant(onnx, n, 1), zero = constant(onnx, n, 2);
    if (!value || !out) return WMK_OK;
    size_t tensor = value->tensor;
    if (value->role == WMK_ONNX_ROWS && scale != WMK_ONNX_NONE && wmk_onnx_count(&onnx->model->tensors[scale].view) == 1)
        return wmk_onnx_set_scaled(onnx, tensor, scale, zero, 0, 0);
    if (value->role != WMK_ONNX_CONSTANT) return WMK_OK;
    int64_t rank = onnx->model->tensors[tensor].view.rank, axis = integer(n, "axis", 1), block = integer(n, "block_size", 0);
    memcpy(out->permutation, value->permutation, sizeof out->permutation);
    out->role = WMK_ONNX_CONSTANT;
    out->tensor = tensor;
    if (zero == WMK_ONNX_NONE && n->input_count > 2 && n->inputs[2].size > 0) return WMK_OK;
    axis += axis < 0 ? rank : 0;
    if (axis < 0 || axis >= rank) axis = 0; /* it has no meaning where one scale serves all */
    if (block < 0 || block > INT32_MAX) return WMK_OK;
    return wmk_onnx_set_scaled(onnx, tensor, scale, zero, value->permutation[axis], (uint64_t)block);
}

/* QLinearAdd and QLinearMul of com.microsoft: a, its scale, its zero point, b, ... */
static wmk_status use_terms(wmk_onnx *onnx, const node *n)
{
    for (size_t k = 0; k < 6; k += 3) {
        const wmk_onnx_value *value = input(onnx, n, k);
        size_t scale = constant(onnx, n, k + 1), zero = constant(onnx, n, k + 2);
        if (!value || (value->role != WMK_ONNX_ROWS && value->role != WMK_ONNX_CONSTANT) || scale == WMK_ONNX_NONE) continue;
        if (zero == WMK_ONNX_NONE && n->input_count > k + 2 && n->inputs[k + 2].size > 0) continue;
        if (wmk_onnx_count(&onnx->model->tensors[scale].view) == 1) WMK_TRY(wmk_onnx_set_scaled(onnx, value->tensor, scale, zero, 0, 0));
    }
    return WMK_OK;
}

/* Nodes of one module that follow each other are its layers. */
static wmk_status count_layers(wmk_onnx *onnx, const node *n)
{
    char *module;
    WMK_TRY(wmk_onnx_module(n->name, n->scopes, &module));
    onnx->layer = onnx->module && strcmp(module, onnx->module) == 0 ? onnx->layer + 1 : 0;
    free(onnx->module);
    onnx->module = module;
    return WMK_OK;
}

static wmk_status use_recurrent(wmk_onnx *onnx, const node *n, uint32_t gates)
{
    if (constant(onnx, n, 1) == WMK_ONNX_NONE) return WMK_OK;
    WMK_TRY(count_layers(onnx, n));
    for (size_t k = 1; k <= 2; k++) {
        size_t tensor = constant(onnx, n, k);
        wmk_onnx_recurrent use = {gates, k == 2, onnx->layer, n->name, n->scopes};
        bool done = false;
        if (tensor != WMK_ONNX_NONE) WMK_TRY(wmk_onnx_set_recurrent(onnx, tensor, &use, &done));
        if (tensor != WMK_ONNX_NONE && !done && onnx->model->tensors[tensor].view.rank == 3) WMK_TRY(set_layout(onnx, n, input(onnx, n, k), "DOI"));
    }
    return WMK_OK;
}

/* Biases and states of a recurrent network: no weights, whatever their rank. */
static void pass_states(wmk_onnx *onnx, const node *n)
{
    for (size_t k = 3; k < 8; k++) {
        size_t tensor = constant(onnx, n, k);
        if (tensor != WMK_ONNX_NONE && !onnx->model->tensors[tensor].layout_known) onnx->model->tensors[tensor].view.layout[0] = '\0';
    }
}

static void follow(const wmk_onnx *onnx, const node *n)
{
    const wmk_onnx_value *value = input(onnx, n, 0);
    wmk_onnx_value *out = output(onnx, n);
    if (!value || value->role == WMK_ONNX_UNKNOWN || !out) return;
    out->role = value->role;
    out->tensor = value->tensor;
    out->zero = value->zero;
    out->axis = value->axis;
    memcpy(out->permutation, value->permutation, sizeof out->permutation);
}

/* Rows of a table are quantised as the table is. */
static void follow_gather(const wmk_onnx *onnx, const node *n)
{
    size_t tensor = constant(onnx, n, 0);
    wmk_onnx_value *out = output(onnx, n);
    if (tensor == WMK_ONNX_NONE || !out) return;
    out->role = WMK_ONNX_ROWS;
    out->tensor = tensor;
}

static void follow_transpose(const wmk_onnx *onnx, const node *n)
{
    uint8_t perm[WMK_RANK_MAX];
    const wmk_onnx_value *value = input(onnx, n, 0);
    wmk_onnx_value *out = output(onnx, n);
    if (!value || value->role != WMK_ONNX_CONSTANT || !out) return;
    uint32_t rank = onnx->model->tensors[value->tensor].view.rank;
    if (!permutation(n, rank, perm)) return;
    out->role = WMK_ONNX_CONSTANT;
    out->tensor = value->tensor;
    for (uint32_t axis = 0; axis < rank; axis++) out->permutation[axis] = value->permutation[perm[axis]];
}

/* Dynamic quantisation: integers times (the input's scale times the weight's). */
static wmk_status follow_product(wmk_onnx *onnx, const node *n)
{
    wmk_onnx_value *out = output(onnx, n);
    for (size_t k = 0; k < 2 && out; k++) {
        const wmk_onnx_value *a = input(onnx, n, k), *b = input(onnx, n, 1 - k);
        bool factor = b && (b->role == WMK_ONNX_FACTOR || (b->role == WMK_ONNX_CONSTANT && in_order(onnx, b)));
        if (!factor) continue;
        if (a && a->role == WMK_ONNX_ACCUMULATOR) return wmk_onnx_set_scaled(onnx, a->tensor, b->tensor, a->zero, a->axis, 0);
        if ((a && a->role != WMK_ONNX_UNKNOWN) || b->role == WMK_ONNX_FACTOR) continue;
        out->role = WMK_ONNX_FACTOR;
        out->tensor = b->tensor;
    }
    return WMK_OK;
}

/* torch.onnx writes one of two equal parameters, and an Identity that has the other's name. */
static wmk_status name_twin(wmk_onnx *onnx, const node *n)
{
    size_t tensor = constant(onnx, n, 0);
    if (tensor == WMK_ONNX_NONE || n->output.size == 0 || memchr(n->output.data, '.', n->output.size) == NULL) return WMK_OK;
    const char **alias = &onnx->model->tensors[tensor].alias;
    return *alias ? WMK_OK : wmk_onnx_keep_text(onnx, n->output, alias);
}

static wmk_status read_uses(wmk_onnx *onnx, const node *n)
{
    for (size_t i = 0; i < sizeof uses / sizeof uses[0]; i++)
        if (is_operator(n, uses[i].domain, uses[i].name)) WMK_TRY(use_weight(onnx, n, &uses[i]));
    if (is_operator(n, "", "LSTM")) WMK_TRY(use_recurrent(onnx, n, 4));
    if (is_operator(n, "", "GRU")) WMK_TRY(use_recurrent(onnx, n, 3));
    if (is_operator(n, "", "RNN")) WMK_TRY(use_recurrent(onnx, n, 1));
    if (is_operator(n, "", "LSTM") || is_operator(n, "", "GRU") || is_operator(n, "", "RNN") ||
        is_operator(n, "com.microsoft", "DynamicQuantizeLSTM"))
        pass_states(onnx, n);
    if (is_operator(n, "com.microsoft", "QLinearAdd") || is_operator(n, "com.microsoft", "QLinearMul")) return use_terms(onnx, n);
    if (is_operator(n, "com.microsoft", "MatMulNBits")) return use_blocks(onnx, n);
    if (is_operator(n, "com.microsoft", "GatherBlockQuantized")) return use_gather_blocks(onnx, n);
    if (is_operator(n, "", "DequantizeLinear") || is_operator(n, "com.microsoft", "DequantizeLinear")) return follow_dequantize(onnx, n);
    if (is_operator(n, "", "Mul")) return follow_product(onnx, n);
    if (is_operator(n, "", "Transpose")) follow_transpose(onnx, n);
    if (is_operator(n, "", "Gather")) follow_gather(onnx, n);
    if (is_operator(n, "", "Identity")) WMK_TRY(name_twin(onnx, n));
    if (is_operator(n, "", "Identity") || is_operator(n, "", "Cast") || is_operator(n, "", "CastLike") || is_operator(n, "", "QuantizeLinear"))
        follow(onnx, n);
    return WMK_OK;
}

/* ---- the walk ---- */

/* Graphs are entered in the order in which they were found, so that their scopes are counted alike. */
static wmk_status walk_inner(wmk_onnx *onnx, wmk_protobuf node_message, uint32_t *next)
{
    wmk_protobuf_field field, inner;
    for (bool more;;) {
        WMK_TRY(wmk_protobuf_next(&node_message, &field, &more));
        if (!more) return WMK_OK;
        if (field.number != N_ATTRIBUTE || field.wire != WMK_WIRE_BYTES) continue;
        wmk_protobuf fields = wmk_protobuf_enter(&field);
        for (;;) {
            WMK_TRY(wmk_protobuf_next(&fields, &inner, &more));
            if (!more) break;
            if (inner.wire == WMK_WIRE_BYTES && (inner.number == A_GRAPH || inner.number == A_GRAPHS))
                WMK_TRY(wmk_onnx_walk(onnx, wmk_protobuf_enter(&inner), next));
        }
    }
}

wmk_status wmk_onnx_walk(wmk_onnx *onnx, wmk_protobuf graph, uint32_t *next)
{
    wmk_protobuf_field field;
    uint32_t scope = (*next)++;
    for (bool more;;) {
        node n;
        WMK_TRY(wmk_protobuf_next(&graph, &field, &more));
        if (!more) return WMK_OK;
        if (field.number != G_NODE || field.wire != WMK_WIRE_BYTES) continue;
        WMK_TRY(read_node(wmk_protobuf_enter(&field), scope, &n));
        WMK_TRY(read_uses(onnx, &n));
        WMK_TRY(walk_inner(onnx, n.message, next));
    }
}

static int by_text(const void *left, const void *right) { return strcmp(*(const char *const *)left, *(const char *const *)right); }

/* A layout that was guessed from the rank alone is wrong for what lies along one axis: a bias, a slope. */
static void check_guess(wmk_model_tensor *tensor)
{
    int long_axes = 0;
    for (uint32_t axis = 0; axis < tensor->view.rank; axis++) long_axes += tensor->view.shape[axis] != 1;
    if (!tensor->layout_known && long_axes < 2) tensor->view.layout[0] = '\0';
}

wmk_status wmk_onnx_check(wmk_onnx *onnx)
{
    wmk_model *model = onnx->model;
    for (size_t i = 0; i < model->tensor_count; i++) check_guess(&model->tensors[i]);
    const char **names;
    size_t count = 0;
    WMK_TRY(wmk_alloc(&names, model->tensor_count, 2 * sizeof *names));
    for (size_t i = 0; i < model->tensor_count; i++) {
        names[count++] = model->tensors[i].view.name;
        if (model->tensors[i].alias) names[count++] = model->tensors[i].alias;
    }
    qsort(names, count, sizeof *names, by_text);
    for (size_t i = 0; i < model->tensor_count; i++) {
        const char **alias = &model->tensors[i].alias, **found = *alias ? bsearch(alias, names, count, sizeof *names, by_text) : NULL;
        if (!found) continue;
        bool twice = (found > names && strcmp(found[-1], *alias) == 0) || (found + 1 < names + count && strcmp(found[1], *alias) == 0);
        if (twice) *alias = NULL;
    }
    free(names);
    return WMK_OK;
}
