/* The same seed gives the same bits: two runs of three training steps, each in its own graph and plan, compared byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wrn.h"

/* All parameters, gradients, velocities and losses after `steps` steps, laid end to end. */
static float *run(wmk_engine engine, wmk_precision precision, int steps, size_t *count)
{
    test_wrn net;
    wmk_plan *plan;
    wmk_sgd *sgd;
    const int64_t k = engine == WMK_ENGINE_REFERENCE ? 1 : 3; /* the plain engine is slow */
    wrn_build(&net, 1, k, 8, 10, 1);
    assert_int_equal(wrn_plan(&plan, &net, 5, engine, precision), WMK_OK);
    assert_int_equal(wmk_sgd_create(&sgd, net.graph, plan, 0.9, true, 5e-4), WMK_OK);
    size_t room = (size_t)steps, used = 0;
    for (size_t p = 0; p < wmk_graph_parameter_count(net.graph); ++p) room += 3 * wmk_graph_parameter_at(net.graph, p)->count;
    float *all = calloc(room, sizeof *all);
    for (int step = 0; step < steps; ++step) {
        wrn_feed(&net, plan, (uint64_t)step);
        assert_int_equal(wmk_plan_forward(plan), WMK_OK);
        assert_int_equal(wmk_plan_backward(plan), WMK_OK);
        assert_int_equal(wmk_sgd_step(sgd, 0.05), WMK_OK);
        all[used++] = wmk_plan_output(plan, net.loss)[0];
    }
    assert_true(all[0] > 0 && all[0] != all[1]);
    for (size_t p = 0; p < wmk_graph_parameter_count(net.graph); ++p) {
        const wmk_parameter *parameter = wmk_graph_parameter_at(net.graph, p);
        const float *parts[] = {parameter->data, wmk_plan_gradient(plan, parameter->value), wmk_sgd_velocity(sgd, parameter->value)};
        for (size_t i = 0; i < 3 && parts[i]; ++i, used += parameter->count) memcpy(all + used, parts[i], parameter->count * sizeof *all);
    }
    wmk_sgd_free(sgd);
    wmk_plan_free(plan);
    wmk_graph_free(net.graph);
    *count = used;
    return all;
}

static void same_bits(wmk_engine engine, wmk_precision precision)
{
    if (!net_precision_works(engine, precision)) skip();
    size_t counts[2];
    float *first = run(engine, precision, 3, &counts[0]);
    for (int again = 0; again < (engine == WMK_ENGINE_REFERENCE ? 1 : 3); ++again) {
        float *second = run(engine, precision, 3, &counts[1]);
        assert_int_equal(counts[0], counts[1]);
        assert_memory_equal(first, second, counts[0] * sizeof *first);
        free(second);
    }
    free(first);
}

static void reference(void **state)
{
    (void)state;
    same_bits(WMK_ENGINE_REFERENCE, WMK_PRECISION_F32);
}

static void onednn(void **state)
{
    (void)state;
    same_bits(WMK_ENGINE_ONEDNN, WMK_PRECISION_F32);
}

static void onednn_bf16(void **state)
{
    (void)state;
    same_bits(WMK_ENGINE_ONEDNN, WMK_PRECISION_BF16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reference), cmocka_unit_test(onednn), cmocka_unit_test(onednn_bf16)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
