/* model/format/tflite_layout.c - which axis of a weight is what, by the operator that uses it. Layouts: tensorflow/lite/kernels/ conv.cc, depthwise_conv.cc, fully_connected.cc,
 * transpose_conv.cc, conv3d.cc, conv3d_transpose.cc, batch_matmul.cc, lstm.cc, unidirectional_sequence_lstm.cc, bidirectional_sequence_lstm.cc, basic_rnn.cc, svdf.cc,
 * embedding_lookup.cc, gather.cc. */
#include "model/format/tflite.h"

enum { SUBGRAPH_OPERATORS = 3 };
enum { OPERATOR_CODE = 0, OPERATOR_INPUTS = 1, OPERATOR_OUTPUTS = 2, OPERATOR_OPTIONS_TYPE = 3, OPERATOR_OPTIONS = 4 };
enum { CODE_DEPRECATED = 0, CODE_BUILTIN = 3 };
/* BuiltinOperator */
enum { DEQUANTIZE = 6, DENSIFY = 124, BATCH_MATMUL = 126 };
/* BuiltinOptions; BatchMatMulOptions {adj_x, adj_y} */
enum { OPTIONS_BATCH_MATMUL = 101, ADJ_Y = 1 };

/* Inputs [first, last] of an operator are weights. An axis that only counts separate matrices is called D. */
static const struct role {
    uint32_t code, first, last;
    const char *const layouts[WMK_TFLITE_LAYOUTS];
} roles[] = {
    {3, 1, 1, {"OHWI", NULL}},           /* CONV_2D */
    {4, 1, 1, {"IHWO", NULL}},           /* DEPTHWISE_CONV_2D: [1, h, w, channels * multiplier] */
    {7, 1, 1, {"OI", NULL}},             /* EMBEDDING_LOOKUP */
    {9, 1, 1, {"OI", NULL}},             /* FULLY_CONNECTED */
    {16, 1, 8, {"OI", NULL}},            /* LSTM: four gates' input and recurrent weights */
    {16, 16, 16, {"OI", NULL}},          /* and its projection */
    {24, 1, 2, {"OI", NULL}},            /* RNN */
    {27, 1, 1, {"OI", NULL}},            /* SVDF */
    {36, 0, 0, {"OI", NULL}},            /* GATHER: an embedding */
    {35, 1, 2, {"OI", NULL}},            /* UNIDIRECTIONAL_SEQUENCE_RNN */
    {44, 1, 8, {"OI", NULL}},            /* UNIDIRECTIONAL_SEQUENCE_LSTM */
    {44, 16, 16, {"OI", NULL}},          /* and its projection */
    {52, 1, 8, {"OI", NULL}},            /* BIDIRECTIONAL_SEQUENCE_LSTM, forward */
    {52, 18, 25, {"OI", NULL}},          /* and backward */
    {67, 1, 1, {"OHWI", NULL}},          /* TRANSPOSE_CONV */
    {BATCH_MATMUL, 1, 1, {"IO", "DIO"}}, /* x [.., rows, I] times y [.., I, O] */
    {132, 1, 1, {"DHWIO", NULL}},        /* CONV_3D */
    {141, 1, 1, {"DHWOI", NULL}},        /* CONV_3D_TRANSPOSE */
};
enum { ROLE_COUNT = sizeof roles / sizeof roles[0] };
static const char *const adjoint_layouts[WMK_TFLITE_LAYOUTS] = {"OI", "DOI"}; /* BATCH_MATMUL with adj_y */

/* Codes beyond 126 do not fit the old field, which then holds 127. */
static wmk_status read_code(const wmk_tflite *r, const wmk_flatbuffer_table *operation, uint32_t *code)
{
    uint64_t index = 0, old = 0, builtin = 0;
    wmk_flatbuffer_table table;
    WMK_TRY(wmk_flatbuffer_number(&r->buffer, operation, OPERATOR_CODE, 4, "its code", &index));
    if (index >= r->operator_codes.count)
        return wmk_fail(WMK_ERROR_INPUT, "operator code %llu of %llu", (unsigned long long)index, (unsigned long long)r->operator_codes.count);
    WMK_TRY(wmk_flatbuffer_table_at(&r->buffer, &r->operator_codes, index, "its code", &table));
    WMK_TRY(wmk_flatbuffer_number(&r->buffer, &table, CODE_DEPRECATED, 1, "its code", &old));
    WMK_TRY(wmk_flatbuffer_number(&r->buffer, &table, CODE_BUILTIN, 4, "its code", &builtin));
    *code = (uint32_t)(builtin > old ? builtin : old);
    return WMK_OK;
}

/* The tensor in place `i` of a list; -1: the list is shorter, or the tensor left out. */
static wmk_status tensor_in(const wmk_tflite *r, const wmk_flatbuffer_vector *list, uint64_t i, uint64_t tensor_count, int64_t *tensor)
{
    *tensor = -1;
    if (i >= list->count) return WMK_OK;
    *tensor = (int32_t)wmk_flatbuffer_u32_at(&r->buffer, list, i);
    if (*tensor >= -1 && *tensor < (int64_t)tensor_count) return WMK_OK;
    return wmk_fail(WMK_ERROR_INPUT, "tensor %lld of %llu", (long long)*tensor, (unsigned long long)tensor_count);
}

static wmk_status is_adjoint(const wmk_tflite *r, const wmk_flatbuffer_table *operation, bool *adjoint)
{
    wmk_flatbuffer_table options;
    uint64_t type = 0, adj_y = 0;
    WMK_TRY(wmk_flatbuffer_number(&r->buffer, operation, OPERATOR_OPTIONS_TYPE, 1, "the type of its options", &type));
    if (type == OPTIONS_BATCH_MATMUL) {
        WMK_TRY(wmk_flatbuffer_subtable(&r->buffer, operation, OPERATOR_OPTIONS, "its options", &options));
        WMK_TRY(wmk_flatbuffer_number(&r->buffer, &options, ADJ_Y, 1, "adj_y", &adj_y));
    }
    *adjoint = adj_y != 0;
    return WMK_OK;
}

static wmk_status read_operator(const wmk_tflite *r, const wmk_flatbuffer_table *operation, wmk_tflite_use *uses, uint64_t tensor_count)
{
    wmk_flatbuffer_vector inputs, outputs;
    uint32_t code;
    int64_t input, output;
    bool adjoint = false;
    WMK_TRY(read_code(r, operation, &code));
    WMK_TRY(wmk_flatbuffer_vector_of(&r->buffer, operation, OPERATOR_INPUTS, 4, "its list of inputs", &inputs));
    WMK_TRY(wmk_flatbuffer_vector_of(&r->buffer, operation, OPERATOR_OUTPUTS, 4, "its list of outputs", &outputs));
    WMK_TRY(tensor_in(r, &outputs, 0, tensor_count, &output));
    if (code == DEQUANTIZE || code == DENSIFY) { /* what is done with the result is done with the weights */
        WMK_TRY(tensor_in(r, &inputs, 0, tensor_count, &input));
        if (input >= 0 && output >= 0) uses[input] = uses[output];
        return WMK_OK;
    }
    if (code == BATCH_MATMUL) WMK_TRY(is_adjoint(r, operation, &adjoint));
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        for (uint32_t place = roles[i].first; roles[i].code == code && place <= roles[i].last; place++) {
            WMK_TRY(tensor_in(r, &inputs, place, tensor_count, &input));
            if (input >= 0) uses[input] = (wmk_tflite_use){adjoint ? adjoint_layouts : roles[i].layouts, output};
        }
    }
    return WMK_OK;
}

/* Backwards, as operators come after those whose results they use. */
wmk_status wmk_tflite_uses(wmk_tflite *r, const wmk_flatbuffer_table *subgraph, wmk_tflite_use *uses, uint64_t tensor_count)
{
    wmk_flatbuffer_vector operators;
    wmk_flatbuffer_table operation;
    WMK_TRY(wmk_flatbuffer_vector_of(&r->buffer, subgraph, SUBGRAPH_OPERATORS, 4, "the list of operators", &operators));
    WMK_TRY(wmk_flatbuffer_spend(&r->buffer, 4 * operators.count, "the list of operators"));
    for (uint64_t i = operators.count; i-- > 0;) {
        wmk_status status = wmk_flatbuffer_table_at(&r->buffer, &operators, i, "it", &operation);
        if (status == WMK_OK) status = read_operator(r, &operation, uses, tensor_count);
        if (status == WMK_ERROR_INPUT) return wmk_fail_within(status, "operator %llu", (unsigned long long)i);
        WMK_TRY(status);
    }
    return WMK_OK;
}
