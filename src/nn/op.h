/* nn/op.h - an operator is one row: its attributes, its shape rule, its reference form in plain C.
 *
 * The reference form works on plain row-major floats and is the oracle for every other form. docs/add-an-operator.md shows the way in.
 */
#ifndef WMK_NN_OP_H
#define WMK_NN_OP_H

#include "nn/graph.h"

typedef struct wmk_attribute_rule {
    const char *name; /* NULL ends the list */
    wmk_attribute_kind kind;
} wmk_attribute_rule;

typedef struct wmk_call { /* one node at one place of a plan */
    const wmk_node *node;
    wmk_mode mode;
    wmk_type in_type[WMK_NODE_INPUTS_MAX], out_type[WMK_NODE_OUTPUTS_MAX];
    void *in[WMK_NODE_INPUTS_MAX]; /* NULL: left out. Only the statistics of a training pass may be written */
    void *out[WMK_NODE_OUTPUTS_MAX];
    const float *diff_out[WMK_NODE_OUTPUTS_MAX]; /* backward: gradient of the loss by each output */
    float *diff_in[WMK_NODE_INPUTS_MAX];         /* backward: written, not added to; NULL: not wanted */
    void *saved;                                 /* op->saved_bytes, from forward to backward */
} wmk_call;

#define WMK_INPUT(i) (1U << (i))

struct wmk_operator {
    const char *name;
    uint32_t inputs_min, inputs_max;
    const wmk_attribute_rule *attributes; /* may be NULL: none */
    uint32_t differentiable;              /* set of WMK_INPUT: those that have a gradient */
    uint32_t updates;                     /* set of WMK_INPUT: parameters of role STATISTIC that a training pass changes */
    uint32_t backward_reads;              /* set of WMK_INPUT: those whose values backward reads */
    bool backward_reads_output;
    bool is_view; /* the output is the input's values in another shape: nothing is run */
    /* Relative to the largest element of a tensor: how far another f32 form may be from the reference. A sum of n terms errs by some
     * sqrt(n) 2^-24 sum |terms|, in whatever order it is done (Higham and Mary 2019); 2e-5 is three times that for n = 600 random terms. */
    double tolerance;
    /* Attribute values that are not done (UNSUPPORTED) or make no sense (ARGUMENT). May be NULL. */
    wmk_status (*check)(const wmk_node *node);
    /* Sets out_type from in_type, mode and attributes; ARGUMENT: shapes that do not fit. */
    wmk_status (*shape)(wmk_call *call);
    size_t (*saved_bytes)(const wmk_call *call); /* may be NULL: none */
    wmk_status (*forward)(const wmk_call *call);
    wmk_status (*backward)(const wmk_call *call); /* NULL: has no gradient */
};

const wmk_operator *wmk_operator_find(const char *name); /* NULL: none */
/* Every operator there is, for tests; *count receives how many. */
const wmk_operator *const *wmk_operators(size_t *count);

/* Fails with "<op> <node>: <what>". */
#define wmk_fail_node(status, node, ...) wmk_fail_within(wmk_fail(status, __VA_ARGS__), "%s %s", (node)->op->name, (node)->name)
/* Input i must have `rank` axes and be float. */
wmk_status wmk_need_rank(const wmk_call *call, size_t i, uint32_t rank);
/* Input i must be 1-D with `count` elements; one that is left out passes. */
wmk_status wmk_need_vector(const wmk_call *call, size_t i, int64_t count);

/* Windows of convolutions and pools over 1 to 3 spatial axes, always seen as 3 (D, H, W; missing ones are 1). */
typedef struct wmk_window {
    uint32_t spatial;                                                                  /* true number of axes */
    int64_t in[3], kernel[3], stride[3], dilation[3], pad_low[3], pad_high[3], out[3]; /* dilation 1: dense */
} wmk_window;
/* From strides, pads, dilations, auto_pad, ceil_mode and the sizes of in_type[0]. kernel: [spatial]. */
wmk_status wmk_window_make(wmk_window *window, const wmk_call *call, const int64_t *kernel);
/* Attribute lists of a window: each of the right length, in range. */
wmk_status wmk_window_check(const wmk_node *node);

#endif
