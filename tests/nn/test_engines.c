/* oneDNN's operators against the plain C ones: outputs, loss, statistics and every gradient over a table of shapes; f32 to rounding,
 * bf16 to what eight bits of mantissa allow. The loss behind an operator is linear (net.h), so each number that is compared contains the
 * sums of that one operator and no other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/op.h"
#include "cases.h"
#include "wrn.h"

/* How far two plans may be apart: f32 by element, bf16 by norm. */
static bool agree(const char *line, const char *what, const float *got, const float *expected, size_t count, wmk_precision precision)
{
    char text[600];
    snprintf(text, sizeof text, "%s: %s", line, what);
    if (precision != WMK_PRECISION_F32) return net_close_norm(text, got, expected, count, 2e-2);
    char op[64];
    snprintf(op, sizeof op, "%.*s", (int)strcspn(line, " "), line);
    const double tolerance = wmk_operator_find(op)->tolerance; /* what the operator's row promises */
    return net_close(text, got, expected, count, tolerance, 0);
}

/* After a pass of each: output, loss, statistics and gradients of side 0 against those of side 1. A loss behind the operator is held
 * against a sum in double over that side's own output instead, because its terms may cancel. */
static bool plans_agree(const char *line, test_net nets[2], wmk_plan *plans[2], wmk_precision precision)
{
    bool good = agree(line, "output", wmk_plan_output(plans[0], nets[0].dst), wmk_plan_output(plans[1], nets[1].dst),
                      net_count(plans[0], nets[0].dst), precision);
    for (int side = 0; side < 2; ++side) good &= net_loss_right(line, &nets[side], plans[side]);
    for (size_t p = 0; p < wmk_graph_parameter_count(nets[0].graph); ++p) {
        const wmk_parameter *a = wmk_graph_parameter_at(nets[0].graph, p), *b = wmk_graph_parameter_at(nets[1].graph, p);
        bool statistic = a->role == WMK_PARAMETER_STATISTIC;
        const float *got = statistic ? a->data : wmk_plan_gradient(plans[0], a->value);
        const float *expected = statistic ? b->data : wmk_plan_gradient(plans[1], b->value);
        good &= agree(line, a->name, got, expected, a->count, precision);
    }
    return good;
}

static void compare_all(wmk_engine engine, wmk_precision precision)
{
    size_t failed = 0, count = 0;
    for (size_t i = 0; cases_shapes[i]; ++i, ++count) {
        test_net nets[2];
        wmk_plan *plans[2] = {NULL, NULL};
        bool good = true;
        for (int side = 0; side < 2 && good; ++side) {
            good = net_build(&nets[side], cases_shapes[i]) == WMK_OK &&
                   net_plan(&plans[side], &nets[side], side ? WMK_ENGINE_REFERENCE : engine, side ? WMK_PRECISION_F32 : precision) == WMK_OK;
            if (!good) {
                fprintf(stderr, "%s: %s\n", cases_shapes[i], wmk_error_message());
                if (!side) nets[1] = (test_net){0};
                break;
            }
            net_fill(&nets[side], cases_shapes[i], precision == WMK_PRECISION_BF16 ? NET_GRID : NET_SMOOTH, 3 + i);
            net_feed(&nets[side], plans[side], 5 + i);
            assert_int_equal(wmk_plan_forward(plans[side]), WMK_OK);
            assert_int_equal(wmk_plan_backward(plans[side]), WMK_OK);
        }
        if (good) good = plans_agree(cases_shapes[i], nets, plans, precision);
        failed += !good;
        for (int side = 0; side < 2; ++side) {
            wmk_plan_free(plans[side]);
            net_free(&nets[side]);
        }
    }
    printf("%zu shapes compared with the plain C operators, %zu failed\n", count, failed);
    assert_int_equal(failed, 0);
}

static void onednn(void **state)
{
    (void)state;
    compare_all(WMK_ENGINE_ONEDNN, WMK_PRECISION_F32);
}

static void onednn_bf16(void **state)
{
    (void)state;
    if (!net_precision_works(WMK_ENGINE_ONEDNN, WMK_PRECISION_BF16)) skip();
    compare_all(WMK_ENGINE_ONEDNN, WMK_PRECISION_BF16);
}

static void reference_bf16(void **state)
{
    (void)state;
    if (!net_precision_works(WMK_ENGINE_REFERENCE, WMK_PRECISION_BF16)) skip();
    compare_all(WMK_ENGINE_REFERENCE, WMK_PRECISION_BF16);
}

/* A whole residual network: fan-out, additions of gradients, two steps of the optimizer between the passes. */
static void residual_network(void **state)
{
    (void)state;
    test_wrn nets[2];
    wmk_plan *plans[2];
    wmk_sgd *sgds[2];
    for (int side = 0; side < 2; ++side) {
        wrn_build(&nets[side], 1, 1, 8, 5, 42);
        assert_int_equal(wrn_plan(&plans[side], &nets[side], 3, side ? WMK_ENGINE_REFERENCE : WMK_ENGINE_ONEDNN, WMK_PRECISION_F32), WMK_OK);
        assert_int_equal(wmk_sgd_create(&sgds[side], nets[side].graph, plans[side], 0.9, true, 5e-4), WMK_OK);
        for (int step = 0; step < 3; ++step) {
            if (step) assert_int_equal(wmk_sgd_step(sgds[side], 0.01), WMK_OK);
            wrn_feed(&nets[side], plans[side], (uint64_t)step);
            assert_int_equal(wmk_plan_forward(plans[side]), WMK_OK);
            assert_int_equal(wmk_plan_backward(plans[side]), WMK_OK);
        }
    }
    bool good = true;
    for (size_t p = 0; p < wmk_graph_parameter_count(nets[0].graph); ++p) {
        const wmk_parameter *a = wmk_graph_parameter_at(nets[0].graph, p), *b = wmk_graph_parameter_at(nets[1].graph, p);
        good &= net_close(a->name, a->data, b->data, a->count, 1e-4, 1e-4);
        if (a->role == WMK_PARAMETER_TRAINED)
            good &= net_close_norm(a->name, wmk_plan_gradient(plans[0], a->value), wmk_plan_gradient(plans[1], b->value), a->count, 1e-3);
    }
    assert_true(good);
    assert_true(net_close("logits", wmk_plan_output(plans[0], nets[0].logits), wmk_plan_output(plans[1], nets[1].logits), 15, 1e-4, 1e-4));
    for (int side = 0; side < 2; ++side) {
        wmk_sgd_free(sgds[side]);
        wmk_plan_free(plans[side]);
        wmk_graph_free(nets[side].graph);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(onednn), cmocka_unit_test(onednn_bf16), cmocka_unit_test(reference_bf16),
                                       cmocka_unit_test(residual_network)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
