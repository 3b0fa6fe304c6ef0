/* oneDNN's operators against the plain C ones: outputs, loss, statistics and every gradient over a table of shapes; f32 to rounding,
 * bf16 to what eight bits of mantissa allow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wrn.h"

static const char *const cases[] = {
    "Conv src:1x1x7x5 weights:1x1x3x3",
    "Conv src:3x3x9x11 weights:16x3x3x3 pads=1,1,1,1",
    "Conv src:1x16x8x8 weights:16x16x3x3 bias:16 pads=1,1,1,1",
    "Conv src:3x17x9x7 weights:23x17x3x3 bias:23 pads=1,1,1,1 strides=2,2",
    "Conv src:2x67x5x6 weights:31x67x3x3 pads=1,1,1,1",
    "Conv src:3x64x8x8 weights:32x64x1x1",
    "Conv src:3x32x9x9 weights:64x32x1x1 strides=2,2",
    "Conv src:1x8x13x9 weights:12x8x5x3 bias:12 pads=2,1,0,1 strides=3,2",
    "Conv src:3x5x10x10 weights:7x5x3x3 dilations=2,3 pads=2,3,2,3",
    "Conv src:3x16x7x7 weights:32x4x3x3 bias:32 group=4 pads=1,1,1,1",
    "Conv src:1x6x7x7 weights:9x2x3x3 group=3 pads=0,1,2,0",
    "Conv src:3x33x6x6 weights:33x1x3x3 group=33 pads=1,1,1,1",
    "Conv src:2x10x6x6 weights:20x1x3x3 bias:20 group=10 strides=2,2 pads=1,1,1,1",
    "Conv src:2x4x4x4 weights:6x4x4x4 bias:6",
    "Conv src:3x3x8x8 weights:8x3x3x3 auto_pad=SAME_LOWER strides=2,2",
    "Conv src:3x17x19 weights:8x17x3 bias:8 strides=2 pads=1,1",
    "Conv src:2x5x4x6x5 weights:7x5x3x3x3 bias:7 pads=1,1,1,1,1,1",
    "Conv src:1x8x5x6x5 weights:8x2x2x3x2 group=4 strides=1,2,1",
    "BatchNormalization src:3x1x5x7 scale:1 bias:1 mean:1 var:1",
    "BatchNormalization src:3x16x8x8 scale:16 bias:16 mean:16 var:16",
    "BatchNormalization src:2x67x3x5 scale:67 bias:67 mean:67 var:67 epsilon=0.001 momentum=0.7",
    "BatchNormalization src:1x5x6x6 scale:5 bias:5 mean:5 var:5",
    "BatchNormalization src:7x33 scale:33 bias:33 mean:33 var:33",
    "BatchNormalization src:3x17x11 scale:17 bias:17 mean:17 var:17",
    "Relu src:3x5x4x4",
    "Relu src:1x16x4x4",
    "Relu src:3x67",
    "Add src:3x17x5x5 other:3x17x5x5",
    "Add src:1x16x8x8 src",
    "Add src:3x67 other:3x67",
    "Add src:3x5x7x7 other:5x1x1",
    "Add src:3x67 other:67",
    "Add src:3x1x9 other:3x5x1",
    "MaxPool src:3x5x4x4 kernel_shape=2,2 strides=2,2",
    "MaxPool src:1x16x4x4 kernel_shape=2,2",
    "MaxPool src:2x3x7x6 kernel_shape=3,3 strides=2,2 pads=1,1,1,1",
    "MaxPool src:1x4x9x7 kernel_shape=3,2 strides=1,2 pads=1,0,0,1",
    "MaxPool src:2x2x8x7 kernel_shape=2,3 dilations=3,2",
    "MaxPool src:1x3x8x8 kernel_shape=3,3 strides=2,2 ceil_mode=1",
    "MaxPool src:3x4x21 kernel_shape=3 strides=2 pads=1,1",
    "AveragePool src:1x3x8x8 kernel_shape=3,3 strides=2,2 ceil_mode=1",
    "AveragePool src:2x17x5x4x6 kernel_shape=2,3,2 pads=0,1,1,1,1,0",
    "AveragePool src:3x16x8x8 kernel_shape=8,8",
    "AveragePool src:3x17x9x7 kernel_shape=3,2 strides=2,2 pads=1,0,0,1",
    "AveragePool src:1x67x6x6 kernel_shape=3,3 pads=1,1,1,1 count_include_pad=1",
    "GlobalAveragePool src:3x67x5x9",
    "GlobalAveragePool src:1x16x8x8",
    "Flatten src:3x5x4x6",
    "Flatten src:3x16x4x4",
    "Gemm src:3x67 weights:67x10 bias:10",
    "Gemm src:1x64 weights:10x64 bias:10 transB=1",
    "Gemm src:17x3 weights:17x31 bias:31 transA=1 alpha=0.5 beta=0.25",
    "Gemm src:5x7 weights:7x1",
    "MatMul src:3x67 weights:67x23",
    "MatMul src:3x5x7 weights:3x7x9",
    "MatMul src:3x5x7 weights:7x9",
    "MatMul src:1x1 weights:1x5",
    "Softmax src:3x67",
    "Softmax src:3x17x5 axis=1",
    "Softmax src:5x4x3 axis=0",
    "SoftmaxCrossEntropyLoss src:3x67 labels:3",
    "SoftmaxCrossEntropyLoss src:1x10 labels:1",
    "SoftmaxCrossEntropyLoss src:3x17x4x5 labels:3x4x5 ignore_index=3",
    "SoftmaxCrossEntropyLoss src:17x3 labels:17 reduction=sum",
    "SoftTargetCrossEntropy src:3x67 targets:3x67",
};

/* How far two plans may be apart: f32 by element, bf16 by norm. */
static bool agree(const char *line, const char *what, const float *got, const float *expected, size_t count, wmk_precision precision)
{
    char text[600];
    snprintf(text, sizeof text, "%s: %s", line, what);
    return precision == WMK_PRECISION_F32 ? net_close(text, got, expected, count, 2e-5, 2e-5) : net_close_norm(text, got, expected, count, 2e-2);
}

/* After a pass of each: outputs, statistics and gradients of `a` against those of `b`. */
static bool plans_agree(const char *line, wmk_graph *graphs[2], wmk_plan *plans[2], const wmk_value *outputs, size_t output_count,
                        wmk_precision precision)
{
    bool good = true;
    for (size_t i = 0; i < output_count; ++i)
        good &= agree(line, i ? "output" : "loss", wmk_plan_output(plans[0], outputs[i]), wmk_plan_output(plans[1], outputs[i]),
                      net_count(plans[0], outputs[i]), precision);
    for (size_t p = 0; p < wmk_graph_parameter_count(graphs[0]); ++p) {
        const wmk_parameter *a = wmk_graph_parameter_at(graphs[0], p), *b = wmk_graph_parameter_at(graphs[1], p);
        bool statistic = a->role == WMK_PARAMETER_STATISTIC;
        const float *got = statistic ? a->data : wmk_plan_gradient(plans[0], a->value);
        const float *expected = statistic ? b->data : wmk_plan_gradient(plans[1], b->value);
        good &= agree(line, a->name, got, expected, a->count, precision);
    }
    return good;
}

static void compare_all(wmk_engine engine, wmk_precision precision)
{
    size_t failed = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        test_net nets[2];
        wmk_plan *plans[2] = {NULL, NULL};
        bool good = true;
        for (int side = 0; side < 2 && good; ++side) {
            good = net_build(&nets[side], cases[i]) == WMK_OK &&
                   net_plan(&plans[side], &nets[side], side ? WMK_ENGINE_REFERENCE : engine, side ? WMK_PRECISION_F32 : precision) == WMK_OK;
            if (!good) {
                fprintf(stderr, "%s: %s\n", cases[i], wmk_error_message());
                if (!side) nets[1] = (test_net){0};
                break;
            }
            net_fill(&nets[side], cases[i], precision == WMK_PRECISION_BF16 ? NET_GRID : NET_SMOOTH, 3 + i);
            net_feed(&nets[side], plans[side], 5 + i);
            assert_int_equal(wmk_plan_forward(plans[side]), WMK_OK);
            assert_int_equal(wmk_plan_backward(plans[side]), WMK_OK);
        }
        if (good)
            good = plans_agree(cases[i], (wmk_graph *[]){nets[0].graph, nets[1].graph}, plans, (wmk_value[]){nets[0].loss, nets[0].dst},
                               nets[0].loss == nets[0].dst ? 1 : 2, precision);
        failed += !good;
        for (int side = 0; side < 2; ++side) {
            wmk_plan_free(plans[side]);
            net_free(&nets[side]);
        }
    }
    printf("%zu shapes compared with the plain C operators, %zu failed\n", sizeof cases / sizeof *cases, failed);
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
