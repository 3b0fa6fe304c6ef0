/* nn/plan.h - what a plan is made of: tensors (pieces of one arena, planned by lifetime) and steps (what runs, in order).
 *
 * Making a plan: shapes; then every node adds its forward steps, in order; then every node its backward steps, in reverse; then
 * lifetimes, arena, pointers. An engine may add a node's steps itself (`done`); what it leaves is done by the operator's reference form.
 */
#ifndef WMK_NN_PLAN_H
#define WMK_NN_PLAN_H

#include "nn/op.h"

/* ---- tensors ---- */

typedef uint32_t wmk_tensor; /* index into plan->tensors */
#define WMK_TENSOR_NONE UINT32_MAX

typedef struct wmk_tensor_record {
    size_t bytes, offset;
    const void *layout;   /* the engine's description; NULL: plain row-major f32 (i32 for labels) */
    void *data;           /* set at once for memory from outside (parameters), else when the arena exists */
    bool pinned;          /* keeps its place for the whole plan: what the caller reads or writes */
    uint32_t owners;      /* gradients: how many values count it as theirs; with one it may be summed into */
    uint32_t first, last; /* steps of its life */
} wmk_tensor_record;

/* ---- steps ---- */

#define WMK_STEP_USES_MAX 14
typedef enum wmk_access { WMK_READS = 1, WMK_WRITES = 2, WMK_UPDATES = 3 } wmk_access;
typedef struct wmk_use {
    wmk_tensor tensor; /* WMK_TENSOR_NONE: absent, its data pointer is NULL */
    wmk_access access;
} wmk_use;

typedef struct wmk_step_kind {
    wmk_status (*bind)(void *state, void *const *data); /* once, when the addresses are known; may be NULL */
    wmk_status (*run)(void *state, void *const *data);  /* data [use_count] in the order of the uses */
    void (*release)(void *state);
} wmk_step_kind;

typedef struct wmk_step {
    const wmk_step_kind *kind;
    void *state;
    wmk_use uses[WMK_STEP_USES_MAX];
    void *data[WMK_STEP_USES_MAX];
    uint32_t use_count;
    char *text;
    double seconds;
    uint64_t runs;
} wmk_step;

/* ---- values ---- */

#define WMK_FORMS_MAX 8
#define WMK_DIFFS_MAX 2
typedef struct wmk_plan_value {
    wmk_type type;
    bool used;                       /* an output, or read by a used node */
    bool wants_gradient;             /* a trained parameter lies above it */
    uint32_t uses;                   /* inputs of used nodes, and outputs of the plan, that are this value */
    wmk_tensor forms[WMK_FORMS_MAX]; /* tensors that hold it, in different layouts; the first is the one it was made in */
    uint32_t form_count;
    wmk_tensor diffs[WMK_DIFFS_MAX]; /* contributions to its gradient not yet summed */
    uint32_t diff_count;
    wmk_tensor gradient; /* trained parameters: pinned, plain */
    wmk_tensor output;   /* outputs: pinned or plain for good */
} wmk_plan_value;

typedef struct wmk_plan_node {
    bool used;
    bool forward_done, backward_done; /* taken over by a neighbour's step */
    wmk_tensor saved;                 /* reference form: op->saved_bytes */
    void *engine;                     /* the engine's own, until close */
} wmk_plan_node;

typedef struct wmk_engine_form { /* NULL functions: the plain engine */
    wmk_status (*open)(wmk_plan *plan);
    void (*close)(wmk_plan *plan);
    wmk_status (*forward)(wmk_plan *plan, size_t node, bool *done);
    wmk_status (*backward)(wmk_plan *plan, size_t node, bool *done);
    /* Adds a step that copies `from` to `to` where their layouts (or element types) differ; both hold a value of this type. */
    wmk_status (*convert)(wmk_plan *plan, const wmk_type *type, const char *name, wmk_tensor from, wmk_tensor to);
    /* Whether two tensors have one layout and element type; *bf16 and *count tell what it holds, padding included. */
    bool (*same_layout)(wmk_plan *plan, const wmk_type *type, wmk_tensor a, wmk_tensor b, bool *bf16, size_t *count);
} wmk_engine_form;
extern const wmk_engine_form wmk_engine_onednn;

struct wmk_plan {
    wmk_graph *graph;
    wmk_plan_options options;
    const wmk_engine_form *engine;
    void *engine_state;
    wmk_plan_value *values; /* [graph->value_count] */
    size_t value_count;
    wmk_plan_node *nodes; /* [graph->node_count] */
    size_t node_count;
    wmk_tensor_record *tensors;
    size_t tensor_count, tensor_capacity;
    wmk_step *steps;
    size_t step_count, step_capacity, forward_count; /* the first forward_count are the forward pass */
    bool adding_backward;
    void *map; /* holds the arena */
    unsigned char *arena;
    size_t map_bytes, arena_bytes;
    bool profiling, forward_ran;
};

/* ---- building (plan_build.c); each adds to the plan under construction ---- */

wmk_status wmk_tensor_new(wmk_plan *plan, size_t bytes, const void *layout, wmk_tensor *out);
wmk_status wmk_tensor_plain(wmk_plan *plan, const wmk_type *type, wmk_tensor *out);
/* `state` belongs to the plan from here on, also on failure. `what` is the operator or "reorder", "sum"; impl says which code runs. */
wmk_status wmk_step_add(wmk_plan *plan, const wmk_step_kind *kind, void *state, const char *what, const char *node, const char *impl,
                        const wmk_type *from, const wmk_type *to, const wmk_use *uses, uint32_t use_count);
/* The name of the input, of the parameter or of the node that makes it; for steps that belong to a value. */
const char *wmk_value_name(const wmk_plan *plan, wmk_value value);
/* `value` also lives in `tensor` from now on. */
wmk_status wmk_form_add(wmk_plan *plan, wmk_value value, wmk_tensor tensor);
/* A plain form of `value`; adds a conversion when there is none yet. */
wmk_status wmk_form_plain(wmk_plan *plan, wmk_value value, wmk_tensor *out);
/* Where a plain gradient contribution to `value` may be written: a parameter's own place, or a fresh tensor. */
wmk_status wmk_diff_place(wmk_plan *plan, wmk_value value, wmk_tensor *out);
/* `tensor` is a contribution to the gradient of `value`. */
wmk_status wmk_diff_add(wmk_plan *plan, wmk_value value, wmk_tensor tensor);
/* A gradient that was taken becomes, as it is, a contribution to those of `inputs` that want one: what Add and views do. */
wmk_status wmk_diff_pass(wmk_plan *plan, wmk_tensor tensor, const wmk_value *inputs, size_t count);
/* The whole gradient of `value`, in the layout it comes in; NONE when nothing contributes. Consumes the contributions. */
wmk_status wmk_diff_take(wmk_plan *plan, wmk_value value, wmk_tensor *out);
wmk_status wmk_diff_take_plain(wmk_plan *plan, wmk_value value, wmk_tensor *out);
/* Fills types, mode and node of a call. */
void wmk_call_describe(const wmk_plan *plan, size_t node, wmk_call *call);

/* The reference form of a node (plain.c). */
wmk_status wmk_plain_forward(wmk_plan *plan, size_t node);
wmk_status wmk_plain_backward(wmk_plan *plan, size_t node);

/* A step that copies one plain tensor to another. */
wmk_status wmk_copy_plain(wmk_plan *plan, const wmk_type *type, const char *name, wmk_tensor from, wmk_tensor to);

/* Lifetimes, offsets, the arena and all pointers (arena.c). */
wmk_status wmk_arena_build(wmk_plan *plan);
void wmk_arena_free(wmk_plan *plan);

#endif
