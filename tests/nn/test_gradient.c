/* Every operator's backward against finite differences of its own forward: five-point stencil, the loss behind the operator summed in
 * double from the operator's output, so that only the rounding of that output is left as noise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"

static const char *const cases[] = {
    "Conv src:2x3x5x4 weights:4x3x3x3 bias:4 pads=1,1,1,1",
    "Conv src:3x2x6x5 weights:3x2x3x2 strides=2,1 pads=1,0,0,1",
    "Conv src:2x4x6x6 weights:6x2x3x3 bias:6 group=2 dilations=2,1 pads=2,1,2,1",
    "Conv src:2x3x5x5 weights:3x1x3x3 group=3",
    "Conv src:2x5x5x5 weights:4x5x1x1 strides=2,2",
    "Conv src:1x2x5x6 weights:3x2x3x3 bias:3 auto_pad=SAME_UPPER strides=2,2",
    "Conv src:2x3x9 weights:4x3x3 bias:4 strides=2 pads=1,0 dilations=2",
    "Conv src:1x2x3x4x3 weights:3x2x2x3x2 bias:3 pads=1,0,0,0,1,1",
    "BatchNormalization src:4x3x3x2 scale:3 bias:3 mean:3 var:3",
    "BatchNormalization src:3x5x2x2 scale:5 bias:5 mean:5 var:5 epsilon=0.125 momentum=0.8",
    "BatchNormalization src:6x4 scale:4 bias:4 mean:4 var:4",
    "Relu src:2x3x4x3",
    "Relu src:3x7",
    "Add src:2x3x2x3 other:2x3x2x3",
    "Add src:2x3x2x3 src",
    "Add src:2x3x2x3 other:3x1x1",
    "Add src:3x4 other:4",
    "Add src:3x1x4 other:3x2x1",
    "MaxPool src:2x3x6x4 kernel_shape=2,2 strides=2,2",
    "MaxPool src:2x2x5x6 kernel_shape=3,3 strides=2,2 pads=1,1,1,1",
    "MaxPool src:1x2x7x5 kernel_shape=3,2 pads=1,0,0,1",
    "MaxPool src:1x2x7x6 kernel_shape=2,3 dilations=3,2",
    "MaxPool src:1x2x6x6 kernel_shape=3,3 strides=2,2 ceil_mode=1",
    "MaxPool src:2x3x9 kernel_shape=3 strides=2",
    "AveragePool src:2x3x6x4 kernel_shape=2,2 strides=2,2",
    "AveragePool src:2x2x5x6 kernel_shape=3,2 pads=1,0,2,1",
    "AveragePool src:2x2x5x6 kernel_shape=3,2 pads=1,0,2,1 count_include_pad=1",
    "AveragePool src:1x2x6x6 kernel_shape=3,3 strides=2,2 ceil_mode=1",
    "AveragePool src:1x2x3x4x3 kernel_shape=2,2,2",
    "GlobalAveragePool src:3x4x3x5",
    "Flatten src:2x3x2x3",
    "Flatten src:2x3x2x3 axis=2",
    "Flatten src:2x3x2x3 axis=0",
    "Gemm src:3x5 weights:5x4 bias:4",
    "Gemm src:3x5 weights:4x5 bias:4 transB=1",
    "Gemm src:5x3 weights:4x5 bias:4 transA=1 transB=1 alpha=0.5 beta=0.25",
    "Gemm src:5x3 weights:5x4 bias:3x1 transA=1 beta=1.5",
    "Gemm src:3x5 weights:5x4 bias:1",
    "Gemm src:3x5 weights:5x4 bias:3x4",
    "MatMul src:3x5 weights:5x4",
    "MatMul src:2x3x5 weights:2x5x4",
    "MatMul src:2x3x5 weights:5x4",
    "Softmax src:3x5",
    "Softmax src:2x4x3 axis=1",
    "SoftmaxCrossEntropyLoss src:4x5 labels:4",
    "SoftmaxCrossEntropyLoss src:4x5 labels:4 reduction=sum",
    "SoftmaxCrossEntropyLoss src:3x4x5 labels:3x5 ignore_index=1",
    "SoftTargetCrossEntropy src:4x5 targets:4x5",
    "SoftTargetCrossEntropy src:4x5 other:4x5",
};

/* The loss of net.h's head from the operator's output: mean over rows of -log softmax(dst head)[label]. */
static double loss_behind(const test_net *net, wmk_plan *plan)
{
    if (net->head == WMK_VALUE_NONE) return (double)wmk_plan_output(plan, net->loss)[0];
    const float *dst = wmk_plan_output(plan, net->dst), *head = net_parameter(net->graph, net->head)->data;
    const int32_t *labels = wmk_plan_input(plan, net->labels);
    size_t rows = net_count(plan, net->labels), columns = net_count(plan, net->dst) / rows;
    double sum = 0;
    for (size_t n = 0; n < rows; ++n) {
        double logits[NET_CLASSES] = {0}, total = 0;
        for (size_t i = 0; i < columns; ++i)
            for (size_t c = 0; c < NET_CLASSES; ++c) logits[c] += (double)dst[n * columns + i] * head[i * NET_CLASSES + c];
        for (size_t c = 0; c < NET_CLASSES; ++c) total += exp(logits[c]);
        sum += log(total) - logits[labels[n]];
    }
    return sum / (double)rows;
}

static double loss_at(const test_net *net, wmk_plan *plan, float *element, float value)
{
    float keep = *element;
    *element = value;
    assert_int_equal(wmk_plan_forward(plan), WMK_OK);
    double loss = loss_behind(net, plan);
    *element = keep;
    return loss;
}

static bool parameter_check(const char *line, const test_net *net, wmk_plan *plan, const wmk_parameter *parameter)
{
    const float h = 1.0f / 64; /* below half the distance to any kink, see net_fill */
    float *gradient = malloc(parameter->count * sizeof *gradient), *expected = malloc(parameter->count * sizeof *expected);
    memcpy(gradient, wmk_plan_gradient(plan, parameter->value), parameter->count * sizeof *gradient);
    for (size_t i = 0; i < parameter->count; ++i) {
        float *at = &parameter->data[i], x = *at;
        double near = loss_at(net, plan, at, x + h) - loss_at(net, plan, at, x - h);
        double far = loss_at(net, plan, at, x + 2 * h) - loss_at(net, plan, at, x - 2 * h);
        expected[i] = (float)((8 * near - far) / (12 * (double)h));
    }
    char what[600];
    snprintf(what, sizeof what, "%s: gradient of %s", line, parameter->name);
    bool good = net_close(what, gradient, expected, parameter->count, 3e-4, 1e-3);
    double largest = 0;
    for (size_t i = 0; i < parameter->count; ++i) largest = fmax(largest, fabs((double)expected[i]));
    if (largest < 1e-4) fprintf(stderr, "%s: too small to test anything\n", what);
    free(gradient);
    free(expected);
    return good && largest >= 1e-4;
}

static void check_all(wmk_engine engine)
{
    size_t failed = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        test_net net;
        wmk_plan *plan;
        if (net_build(&net, cases[i]) != WMK_OK || net_plan(&plan, &net, engine, WMK_PRECISION_F32) != WMK_OK) {
            fprintf(stderr, "%s: %s\n", cases[i], wmk_error_message());
            ++failed;
            net_free(&net);
            continue;
        }
        net_fill(&net, cases[i], NET_SMOOTH, 7 + i);
        net_feed(&net, plan, 11 + i);
        assert_int_equal(wmk_plan_forward(plan), WMK_OK);
        double in_graph = (double)wmk_plan_output(plan, net.loss)[0], outside = loss_behind(&net, plan);
        bool good = fabs(in_graph - outside) <= 1e-5 * fabs(outside);
        if (!good) fprintf(stderr, "%s: loss %.9g, expected %.9g\n", cases[i], in_graph, outside);
        assert_int_equal(wmk_plan_backward(plan), WMK_OK);
        /* All gradients are read before the first element moves: later passes overwrite none of them, only backward does. */
        for (size_t p = 0; p < wmk_graph_parameter_count(net.graph); ++p) {
            const wmk_parameter *parameter = wmk_graph_parameter_at(net.graph, p);
            if (parameter->role == WMK_PARAMETER_TRAINED) good &= parameter_check(cases[i], &net, plan, parameter);
        }
        failed += !good;
        wmk_plan_free(plan);
        net_free(&net);
    }
    printf("%zu operators and attributes checked by finite differences, %zu failed\n", sizeof cases / sizeof *cases, failed);
    assert_int_equal(failed, 0);
}

static void reference(void **state)
{
    (void)state;
    check_all(WMK_ENGINE_REFERENCE);
}

static void onednn(void **state)
{
    (void)state;
    check_all(WMK_ENGINE_ONEDNN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reference), cmocka_unit_test(onednn)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
