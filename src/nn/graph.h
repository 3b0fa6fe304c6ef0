/* nn/graph.h - what a graph is made of. */
#ifndef WMK_NN_GRAPH_H
#define WMK_NN_GRAPH_H

#include <weightmark/nn.h>
#include "base/memory.h"

#define WMK_NODE_INPUTS_MAX 5
#define WMK_NODE_OUTPUTS_MAX 1

typedef struct wmk_type { /* an element type and a shape, outermost axis first */
    wmk_dtype dtype;
    uint32_t rank;
    int64_t dims[WMK_RANK_MAX];
} wmk_type;

static inline size_t wmk_type_count(const wmk_type *type)
{
    size_t count = 1;
    for (uint32_t i = 0; i < type->rank; i++) count *= (size_t)type->dims[i];
    return count;
}

/* Sets `type` to dims; ARGUMENT when a size is below 1 or the bytes overflow. `what` names it in the message. */
wmk_status wmk_type_make(wmk_type *type, wmk_dtype dtype, uint32_t rank, const int64_t *dims, const char *what);
/* "64x3x32x32", "scalar". */
#define WMK_TYPE_TEXT_MAX 192
const char *wmk_type_text(const wmk_type *type, char text[WMK_TYPE_TEXT_MAX]);

typedef struct wmk_operator wmk_operator;

typedef struct wmk_node {
    const wmk_operator *op;
    char *name;
    size_t input_count, output_count, attribute_count;
    wmk_value inputs[WMK_NODE_INPUTS_MAX]; /* WMK_VALUE_NONE where an optional one is left out */
    wmk_value outputs[WMK_NODE_OUTPUTS_MAX];
    wmk_attribute *attributes; /* deep copies */
} wmk_node;

/* An attribute's value, or what ONNX says it is when left out. */
const wmk_attribute *wmk_node_attribute(const wmk_node *node, const char *name); /* NULL: left out */
int64_t wmk_node_int(const wmk_node *node, const char *name, int64_t otherwise);
double wmk_node_float(const wmk_node *node, const char *name, double otherwise);
const char *wmk_node_string(const wmk_node *node, const char *name, const char *otherwise);

typedef enum wmk_value_kind { WMK_VALUE_INPUT, WMK_VALUE_PARAMETER, WMK_VALUE_OUTPUT } wmk_value_kind;
typedef struct wmk_value_source { /* where a value comes from */
    wmk_value_kind kind;
    size_t index; /* of the input, the parameter or the node */
} wmk_value_source;

typedef struct wmk_graph_input_record {
    char *name;
    wmk_type type; /* dims[0] may be 0: the batch */
} wmk_graph_input_record;

struct wmk_graph {
    wmk_value_source *values;
    size_t value_count, value_capacity;
    wmk_graph_input_record *inputs;
    size_t input_count, input_capacity;
    wmk_parameter **parameters; /* each on its own, so that addresses stay */
    size_t parameter_count, parameter_capacity;
    wmk_node *nodes;
    size_t node_count, node_capacity;
};

#endif
