/* nn/wrn.h - a wide residual network for the tests: names, order and structure as in a PyTorch WRN (pre-activation blocks, 1x1 shortcuts). */
#ifndef WMK_TESTS_NN_WRN_H
#define WMK_TESTS_NN_WRN_H

#include "net.h"

typedef struct test_wrn {
    wmk_graph *graph;
    wmk_value images;  /* F32 [batch][3][side][side] */
    wmk_value labels;  /* I32 [batch] */
    wmk_value targets; /* F32 [batch][classes] */
    wmk_value logits;
    wmk_value loss, soft_loss;
    int64_t side, classes;
} test_wrn;

/* `blocks` a group, widths 16, 16k, 32k, 64k. Weights He normal from `seed`, batch normalisation 1 and 0. A failure ends the program. */
void wrn_build(test_wrn *out, int64_t blocks, int64_t k, int64_t side, int64_t classes, uint64_t seed);
void wrn_feed(const test_wrn *wrn, wmk_plan *plan, uint64_t seed); /* random images, labels, targets into the inputs the plan uses */
wmk_status wrn_plan(wmk_plan **out, const test_wrn *wrn, int64_t batch, wmk_engine engine, wmk_precision precision); /* training; loss and logits */

#endif
