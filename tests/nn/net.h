/* nn/net.h - what the nn room's tests share: a graph from one line of text, reproducible numbers, comparison. */
#ifndef WMK_TESTS_NN_NET_H
#define WMK_TESTS_NN_NET_H

#include <weightmark/nn.h>

#define NET_INPUTS_MAX 8

/* Attributes in one expression. */
#define NET_INT(NAME, VALUE) ((wmk_attribute){.name = (NAME), .kind = WMK_ATTRIBUTE_INT, .i = (VALUE)})
#define NET_FLOAT(NAME, VALUE) ((wmk_attribute){.name = (NAME), .kind = WMK_ATTRIBUTE_FLOAT, .f = (VALUE)})
#define NET_STRING(NAME, VALUE) ((wmk_attribute){.name = (NAME), .kind = WMK_ATTRIBUTE_STRING, .s = (VALUE)})
#define NET_INTS(NAME, ...)                                                                                                                          \
    ((wmk_attribute){.name = (NAME),                                                                                                                 \
                     .kind = WMK_ATTRIBUTE_INTS,                                                                                                     \
                     .ints = (const int64_t[]){__VA_ARGS__},                                                                                         \
                     .ints_count = sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)})

/* One operator between trained parameters and a loss. */
typedef struct test_net {
    wmk_graph *graph;
    int64_t batch;
    wmk_value operands[NET_INPUTS_MAX]; /* the operator's inputs, in its order */
    size_t operand_count;
    wmk_value dst;     /* the operator's output */
    wmk_value scores;  /* F32 input [1][elements of dst] of the loss behind it; WMK_VALUE_NONE: dst is the loss */
    wmk_value labels;  /* I32 input, [batch]; WMK_VALUE_NONE where there is none */
    wmk_value targets; /* F32 input; WMK_VALUE_NONE where there is none */
    wmk_value loss;
    int64_t classes; /* labels lie below it */
} test_net;

/* Builds the graph that `line` describes: "Conv src:3x5x9x7 weights:8x5x3x3 bias:8 strides=2,2 group=1".
 *   name:dims   the next operand, a trained parameter of that shape - so that its gradient can be read; `mean` and `var` are
 *               statistics, `labels` an I32 input, `targets` an F32 input; name alone: that operand once more; `-`: left out.
 *   key=value   an attribute: numbers with commas or a list attribute's name are INTS, with a point FLOAT, letters STRING.
 * Behind an operator that is no loss itself stand Flatten and SoftTargetCrossEntropy, with dst as the targets and `scores` s as an input:
 *   loss = sum_i dst_i g_i,  g_i = log(sum_j exp(s_j)) - s_i.
 * The loss is linear in dst. The gradient with respect to dst is g, another number for each element, and does not depend on dst: how an
 * engine rounds a forward sum changes no gradient behind it. The plain operator, which every engine uses here, sums in double. */
wmk_status net_build(test_net *out, const char *line);
void net_free(test_net *net);

/* How net_fill chooses values. On the grid every value is a small multiple of 1/16, exact in bf16. */
typedef enum net_values { NET_SMOOTH, NET_GRID } net_values;
/* Parameters get reproducible values: var positive, and for operators with kinks (Relu, MaxPool) a src whose values are all different, at
 * least 1/8 apart and 1/16 away from 0. */
void net_fill(test_net *net, const char *line, net_values values, uint64_t seed);
/* Writes scores, labels and targets into the plan's inputs. */
void net_feed(const test_net *net, wmk_plan *plan, uint64_t seed);

/* The loss in double precision from the dst of a forward pass; where dst is the loss, the plan's own. */
double net_loss(const test_net *net, wmk_plan *plan);
/* The plan's loss is net_loss to rounding; false prints both after `what`. */
bool net_loss_right(const char *what, const test_net *net, wmk_plan *plan);

/* The plan of `net` for training, outputs loss and dst. */
wmk_status net_plan(wmk_plan **out, const test_net *net, wmk_engine engine, wmk_precision precision);

/* False, after a line that says so, where this processor does not do the precision. */
bool net_precision_works(wmk_engine engine, wmk_precision precision);

uint64_t net_random(uint64_t *state);                    /* splitmix64 */
double net_uniform(uint64_t *state);                     /* [-1, 1) */
size_t net_count(const wmk_plan *plan, wmk_value value); /* elements of a value */
/* max_i |a_i - b_i| <= absolute * max_i |b_i| + relative * |b_i| for every i; false prints the worst element after `what`. */
bool net_close(const char *what, const float *a, const float *b, size_t count, double absolute, double relative);
/* ||a - b|| <= tolerance * ||b|| */
bool net_close_norm(const char *what, const float *a, const float *b, size_t count, double tolerance);
const wmk_parameter *net_parameter(const wmk_graph *graph, wmk_value value); /* NULL: not a parameter */

#endif
