/* weightmark/nn.h - networks: a graph with ONNX semantics, a plan that runs it forward and backward, an optimizer.
 *
 * Words are oneDNN's (src weights dst diff_src diff_weights diff_dst) and ONNX's (operators, attributes). Sizes are NCHW, OIHW.
 * Knows nothing of watermarks: a training loop adds to the gradients between wmk_plan_backward and wmk_sgd_step.
 */
#ifndef WEIGHTMARK_NN_H
#define WEIGHTMARK_NN_H

#include <weightmark/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- graph -------------------------------------------------------------------------------------------------------------------- */

typedef struct wmk_graph wmk_graph; /* nodes, values, parameters with their float data */
typedef uint32_t wmk_value;         /* an input, a parameter or a node's output, numbered within its graph */
#define WMK_VALUE_NONE UINT32_MAX   /* an optional input that is left out */

typedef enum wmk_attribute_kind { WMK_ATTRIBUTE_INT, WMK_ATTRIBUTE_FLOAT, WMK_ATTRIBUTE_INTS, WMK_ATTRIBUTE_STRING } wmk_attribute_kind;
typedef struct wmk_attribute { /* an ONNX attribute; borrowed during the call */
    const char *name;
    wmk_attribute_kind kind;
    int64_t i;
    double f;
    const int64_t *ints;
    size_t ints_count;
    const char *s;
} wmk_attribute;

typedef enum wmk_parameter_role {
    WMK_PARAMETER_TRAINED = 0,  /* changed by the optimizer */
    WMK_PARAMETER_STATISTIC = 1 /* changed by the forward pass of a training plan (running mean, running variance) */
} wmk_parameter_role;

WMK_EXPORT wmk_status wmk_graph_create(wmk_graph **out);
WMK_EXPORT void wmk_graph_free(wmk_graph *graph);

/* A value fed from outside. dims[0] = 0 stands for the batch size, known when a plan is made. dtype F32 (images, soft targets) or I32 (labels). */
WMK_EXPORT wmk_status wmk_graph_input(wmk_graph *graph, const char *name, wmk_dtype dtype, uint32_t rank, const int64_t *dims, wmk_value *out);
/* Float data that the graph owns, zeroed; row-major over dims. ARGUMENT: a name twice. */
WMK_EXPORT wmk_status wmk_graph_parameter(wmk_graph *graph, const char *name, wmk_parameter_role role, uint32_t rank, const int64_t *dims,
                                          wmk_value *out);
/* A node. `op` is an ONNX operator's name, or one of ours listed in docs/operators.md (SoftTargetCrossEntropy). Inputs must exist already, so the graph is acyclic.
 * outputs [output_count] receives the new values. UNSUPPORTED: no such operator, or an attribute value it does not do; ARGUMENT: wrong number of
 * inputs, an unknown attribute. Shapes are checked when a plan is made. */
WMK_EXPORT wmk_status wmk_graph_node(wmk_graph *graph, const char *op, const char *name, const wmk_value *inputs, size_t input_count,
                                     const wmk_attribute *attributes, size_t attribute_count, wmk_value *outputs, size_t output_count);

typedef struct wmk_parameter {
    const char *name;
    wmk_parameter_role role;
    wmk_value value;
    uint32_t rank;
    int64_t dims[WMK_RANK_MAX];
    float *data;  /* [product of dims], row-major, owned by the graph, its address never changes */
    size_t count; /* elements */
} wmk_parameter;
WMK_EXPORT size_t wmk_graph_parameter_count(const wmk_graph *graph);
WMK_EXPORT const wmk_parameter *wmk_graph_parameter_at(const wmk_graph *graph, size_t index);       /* in order of creation; NULL out of range */
WMK_EXPORT const wmk_parameter *wmk_graph_find_parameter(const wmk_graph *graph, const char *name); /* NULL: none */

/* ---- plan --------------------------------------------------------------------------------------------------------------------- */

typedef struct wmk_plan wmk_plan; /* a graph compiled for one batch size, mode and precision; one thread at a time */

typedef enum wmk_mode { WMK_INFERENCE = 0, WMK_TRAINING = 1 } wmk_mode;
typedef enum wmk_precision {
    WMK_PRECISION_F32 = 0,
    WMK_PRECISION_BF16 = 1
} wmk_precision;                                                                        /* bf16: activations; weights, statistics, loss stay f32 */
typedef enum wmk_engine { WMK_ENGINE_ONEDNN = 0, WMK_ENGINE_REFERENCE = 1 } wmk_engine; /* reference: plain C, slow, the oracle */

typedef struct wmk_plan_options {
    size_t struct_size;
    int64_t batch; /* > 0 */
    wmk_mode mode;
    wmk_precision precision;
    wmk_engine engine;
} wmk_plan_options;
#define WMK_PLAN_OPTIONS_INIT                                                                                                                        \
    {                                                                                                                                                \
        sizeof(wmk_plan_options), 64, WMK_TRAINING, WMK_PRECISION_F32, WMK_ENGINE_ONEDNN                                                             \
    }

/* Compiles `graph` (borrowed; must outlive the plan and not gain nodes). outputs [output_count]: the values the caller wants to read, and, for training, the
 * scalar loss first. ARGUMENT: shapes that do not fit (the message names node and rule); UNSUPPORTED: a precision this processor does
 * not do; MEMORY. Everything is allocated here: forward, backward and step allocate nothing. */
WMK_EXPORT wmk_status wmk_plan_create(wmk_plan **out, wmk_graph *graph, const wmk_value *outputs, size_t output_count,
                                      const wmk_plan_options *options);
WMK_EXPORT void wmk_plan_free(wmk_plan *plan);

/* Where the caller writes an input before a forward pass: plain, row-major, [batch, ...], F32 or I32 as declared. NULL: not an input used by this plan. */
WMK_EXPORT void *wmk_plan_input(wmk_plan *plan, wmk_value input);
/* Runs the nodes. In training, parameters of role STATISTIC are updated. */
WMK_EXPORT wmk_status wmk_plan_forward(wmk_plan *plan);
/* After a forward pass: gradients of the first output (a scalar) for every trained parameter. */
WMK_EXPORT wmk_status wmk_plan_backward(wmk_plan *plan);
/* An output's values after a forward pass: plain, row-major, F32. NULL: not an output of this plan. Valid until the next pass. */
WMK_EXPORT const float *wmk_plan_output(const wmk_plan *plan, wmk_value output);
/* Shape of any value under this plan. Returns the rank; dims may be NULL. */
WMK_EXPORT uint32_t wmk_plan_shape(const wmk_plan *plan, wmk_value value, int64_t dims[WMK_RANK_MAX]);
/* Gradient of a trained parameter after a backward pass: plain, in the parameter's shape; the caller may add to it. NULL: not trained, or an inference plan. */
WMK_EXPORT float *wmk_plan_gradient(wmk_plan *plan, wmk_value parameter);
/* Bytes of activations, gradients and scratch the plan holds. */
WMK_EXPORT size_t wmk_plan_memory_bytes(const wmk_plan *plan);
/* The steps in order, a line each: "forward Conv conv2.0.conv1 jit:avx2 64x16x32x32 -> 64x64x32x32". The caller frees *out with free(). */
WMK_EXPORT wmk_status wmk_plan_describe(const wmk_plan *plan, char **out);
/* Wall time of each step over the runs since this was switched on, added to wmk_plan_describe's lines in microseconds. */
WMK_EXPORT void wmk_plan_profile(wmk_plan *plan, bool on);

/* ---- optimizer ---------------------------------------------------------------------------------------------------------------- */

/* SGD with momentum, as torch.optim.SGD: g += weight_decay * W; v = momentum * v + g (first step: v = g); W -= rate * (nesterov ? g + momentum * v : v). */
typedef struct wmk_sgd wmk_sgd;
/* graph and plan are borrowed. 0 <= momentum < 1 (nesterov: above 0), weight_decay >= 0. ARGUMENT: otherwise, or nothing to train. */
WMK_EXPORT wmk_status wmk_sgd_create(wmk_sgd **out, wmk_graph *graph, wmk_plan *plan, double momentum, bool nesterov, double weight_decay);
WMK_EXPORT void wmk_sgd_free(wmk_sgd *sgd);
WMK_EXPORT wmk_status wmk_sgd_step(wmk_sgd *sgd, double rate);
/* v of a trained parameter, in its shape, for checkpoints; NULL: not trained. */
WMK_EXPORT float *wmk_sgd_velocity(wmk_sgd *sgd, wmk_value parameter);

#ifdef __cplusplus
}
#endif
#endif
