/* model/format/onnx.h - what the files that read ONNX share. onnx.c finds graphs and tensors, onnx_tensor.c reads one tensor, onnx_graph.c asks the operators what a tensor is to them,
 * onnx_quantised.c gives quantised tensors their scales, onnx_codec.c has the ways to read values that are no plain run of floats. Field numbers are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto). */
#ifndef WMK_MODEL_FORMAT_ONNX_H
#define WMK_MODEL_FORMAT_ONNX_H

#include "base/protobuf.h"
#include "model/model.h"

/* Graphs within attributes (If, Loop, Scan) of nodes, at most this deep. */
#define WMK_ONNX_DEPTH_MAX 8
#define WMK_ONNX_NONE SIZE_MAX

/* Text in the file, without a NUL. */
typedef struct wmk_onnx_text {
    const char *data;
    size_t size;
} wmk_onnx_text;

wmk_onnx_text wmk_onnx_text_of(const wmk_protobuf_field *field);
bool wmk_onnx_text_is(wmk_onnx_text text, const char *word);

/* A graph, whose values can be seen from the graphs within it. */
typedef struct wmk_onnx_scope {
    uint32_t parent;               /* index; of the outermost its own, 0 */
    wmk_onnx_text node, attribute; /* that the graph is in */
} wmk_onnx_scope;

/* What is known of a value. */
typedef enum wmk_onnx_role {
    WMK_ONNX_UNKNOWN,
    WMK_ONNX_CONSTANT,    /* `tensor` with its axes permuted */
    WMK_ONNX_ACCUMULATOR, /* the integer result of an operator on the quantised `tensor`, which lacks its scale */
    WMK_ONNX_ROWS,        /* some rows of `tensor` */
    WMK_ONNX_FACTOR       /* something times `tensor`, which may be the scale of a quantised one */
} wmk_onnx_role;

/* A value: a constant's or a node's output. */
typedef struct wmk_onnx_value {
    wmk_onnx_text name;
    uint32_t scope;
    wmk_onnx_role role;
    size_t tensor;                     /* in the model, or WMK_ONNX_NONE */
    size_t zero;                       /* of an accumulator: the zero point's tensor, or WMK_ONNX_NONE */
    uint8_t axis;                      /* of an accumulator: the weight's output axis */
    uint8_t permutation[WMK_RANK_MAX]; /* of a constant: axis k of the value is axis permutation[k] of the tensor */
} wmk_onnx_value;

typedef struct wmk_onnx {
    wmk_model *model;
    uint32_t file;
    wmk_onnx_value *values; /* [value_count] sorted by name, then scope */
    size_t value_count, value_capacity;
    wmk_onnx_scope *scopes;
    size_t scope_count, scope_capacity;
    struct wmk_onnx_external {
        const char *location;
        uint32_t file;
    } * externals; /* [external_count] sorted */
    size_t external_count;
    char *text; /* room for texts */
    size_t text_left;
    char *module; /* of the last recurrent node, and which of its layers that was */
    uint32_t layer;
} wmk_onnx;

/* A copy that lives as long as the model. INPUT: no UTF-8; UNSUPPORTED: a NUL in it. */
wmk_status wmk_onnx_keep_text(wmk_onnx *onnx, wmk_onnx_text text, const char **out);
/* The value that a node in `scope` sees under this name, or NULL. */
wmk_onnx_value *wmk_onnx_find(const wmk_onnx *onnx, uint32_t scope, wmk_onnx_text name);
/* The same of this very scope. */
wmk_onnx_value *wmk_onnx_find_here(const wmk_onnx *onnx, uint32_t scope, wmk_onnx_text name);

/* ---- onnx_tensor.c ---- */

/* Reads a TensorProto. `name`: the value's, where it is not the tensor's own (size 0). *listed is false for texts, which are no tensor to us. */
wmk_status wmk_onnx_read_tensor(wmk_onnx *onnx, wmk_protobuf message, wmk_onnx_text name, wmk_model_tensor *tensor, wmk_onnx_text *own_name,
                                bool *listed);
wmk_status wmk_onnx_unpack(const wmk_model *model, const wmk_model_tensor *tensor, void *bytes);
/* Bytes of a tensor's elements: those of fewer than eight bits fill up the last byte. INPUT: overflow. */
wmk_status wmk_onnx_bytes(const wmk_tensor_view *view, uint64_t *out);

/* ---- onnx_graph.c ---- */

/* Walks the nodes of a graph and of those within: layouts, quantised weights, other names. *next is the scope of this graph, then of the next. */
wmk_status wmk_onnx_walk(wmk_onnx *onnx, wmk_protobuf graph, uint32_t *next);
/* Drops aliases that stand for more than one tensor, and layouts that were guessed for what is no weight. */
wmk_status wmk_onnx_check(wmk_onnx *onnx);

/* ---- onnx_alias.c ---- */

/* The name of the module that a node is in ("encoder.layer.0.query"), by its metadata or its own name; empty: none. The caller frees *out. */
wmk_status wmk_onnx_module(wmk_onnx_text node, wmk_onnx_text scopes, char **out);
/* The parameter's name that a network's author would know, from the tensor's name and the node that uses it; `parameter` (".weight") goes behind the module's. NULL: none. */
wmk_status wmk_onnx_alias(wmk_onnx *onnx, const char *name, wmk_onnx_text node, wmk_onnx_text scopes, const char *parameter, const char **out);

/* ---- onnx_recurrent.c ---- */

typedef struct wmk_onnx_recurrent {
    uint32_t gates; /* 4 LSTM, 3 GRU, 1 RNN */
    bool of_state;  /* the weight that the hidden state meets */
    uint32_t layer; /* of its module */
    wmk_onnx_text node, scopes;
} wmk_onnx_recurrent;

/* A weight of a recurrent operator becomes a matrix a direction; not done where it is none of floats as they are. */
wmk_status wmk_onnx_set_recurrent(wmk_onnx *onnx, size_t index, const wmk_onnx_recurrent *use, bool *done);

/* ---- onnx_codec.c ---- */

/* Floats that stand one by one, each with a tag of one byte before it. */
extern const wmk_codec wmk_onnx_tagged;

/* Numbers beside a quantised tensor: its scales or zero points. The element for a tensor's element lies at sum over axes of coordinate / block * stride. */
typedef struct wmk_onnx_parameter {
    const void *data; /* NULL: none */
    wmk_dtype dtype;
    uint64_t stride[WMK_RANK_MAX];
} wmk_onnx_parameter;

/* (stored - zero) * scale. */
typedef struct wmk_onnx_scaled {
    wmk_dtype stored;
    uint32_t rank;
    uint64_t shape[WMK_RANK_MAX]; /* the view's; axes that share everything are one */
    uint64_t block[WMK_RANK_MAX];
    uint64_t pitch; /* stored elements from row to row of the last axis */
    wmk_onnx_parameter scale, zero;
    double zero_default; /* where there are no zero points */
} wmk_onnx_scaled;

extern const wmk_codec wmk_onnx_scaled_codec;
/* Makes neighbouring axes along which nothing changes one. */
void wmk_onnx_scaled_join(wmk_onnx_scaled *scaled);
/* Whether stored numbers of this type can be read. */
bool wmk_onnx_is_number(wmk_dtype dtype);

/* ---- onnx_quantised.c ---- */

/* Elements; 0 on overflow. */
uint64_t wmk_onnx_count(const wmk_tensor_view *view);

/* Values of tensor `index` become (stored - zero) * scale, if scale and zero (WMK_ONNX_NONE: 0) are constants that fit it; else nothing happens. `axis`: which one has scales of its own
 * where there is a row of them; `block`: elements along it that share one, or 0. */
wmk_status wmk_onnx_set_scaled(wmk_onnx *onnx, size_t index, size_t scale, size_t zero, uint32_t axis, uint64_t block);

/* Rows of blocks of narrow integers in bytes, as MatMulNBits has them: an [n, k] matrix. `pitch`: stored elements a row. Zero points are floats, or bytes of as many bits as the
 * elements, each row from a byte of its own; without them zero_default. */
typedef struct wmk_onnx_blocks {
    size_t tensor, scale, zero;
    uint64_t n, k, pitch, block;
    unsigned bits;
    double zero_default;
} wmk_onnx_blocks;

/* The tensor becomes that matrix, if all fits. */
wmk_status wmk_onnx_set_blocks(wmk_onnx *onnx, const wmk_onnx_blocks *blocks, bool *done);

#endif
