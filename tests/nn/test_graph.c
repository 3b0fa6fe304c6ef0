/* The contract of weightmark/nn.h: what graphs and plans refuse, with which status and message, and what the getters answer. */
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

static const wmk_engine engines[] = {WMK_ENGINE_REFERENCE, WMK_ENGINE_ONEDNN};

static wmk_graph *graph_new(void)
{
    wmk_graph *graph;
    assert_int_equal(wmk_graph_create(&graph), WMK_OK);
    return graph;
}

static wmk_value input(wmk_graph *graph, const char *name, wmk_dtype dtype, uint32_t rank, const int64_t *dims)
{
    wmk_value value;
    assert_int_equal(wmk_graph_input(graph, name, dtype, rank, dims, &value), WMK_OK);
    return value;
}

static wmk_value parameter(wmk_graph *graph, const char *name, uint32_t rank, const int64_t *dims)
{
    wmk_value value;
    assert_int_equal(wmk_graph_parameter(graph, name, WMK_PARAMETER_TRAINED, rank, dims, &value), WMK_OK);
    return value;
}

static void message_has(const char *part)
{
    if (!strstr(wmk_error_message(), part)) fail_msg("the message \"%s\" does not name \"%s\"", wmk_error_message(), part);
}

static void unknown_operator(void **state)
{
    (void)state;
    wmk_graph *graph = graph_new();
    wmk_value x = input(graph, "x", WMK_F32, 2, (int64_t[]){0, 4}), y;
    assert_int_equal(wmk_graph_node(graph, "Frobnicate", "n1", &x, 1, NULL, 0, &y, 1), WMK_ERROR_UNSUPPORTED);
    message_has("Frobnicate");
    assert_int_equal(strncmp(wmk_error_message(), "not supported:", 14), 0);
    assert_int_equal(wmk_graph_node(graph, "relu", "n1", &x, 1, NULL, 0, &y, 1), WMK_ERROR_UNSUPPORTED); /* names have case */
    assert_int_equal(wmk_graph_node(graph, "", "n1", &x, 1, NULL, 0, &y, 1), WMK_ERROR_UNSUPPORTED);
    wmk_graph_free(graph);
}

static void attributes_refused(void **state)
{
    (void)state;
    wmk_graph *graph = graph_new();
    wmk_value xw[2] = {input(graph, "x", WMK_F32, 4, (int64_t[]){0, 3, 8, 8}), parameter(graph, "w", 4, (int64_t[]){4, 3, 3, 3})}, y;
    const struct {
        wmk_attribute attribute;
        wmk_status status;
    } refused[] = {
        {NET_INT("padding", 1), WMK_ERROR_ARGUMENT},     /* no such attribute */
        {NET_FLOAT("strides", 2.0), WMK_ERROR_ARGUMENT}, /* of another kind */
        {NET_INTS("group", 1, 1), WMK_ERROR_ARGUMENT},   /* of another kind */
        {NET_STRING("auto_pad", "SIDEWAYS"), WMK_ERROR_ARGUMENT},
        {NET_INTS("strides", 0, 1), WMK_ERROR_ARGUMENT},
        {NET_INT("group", 0), WMK_ERROR_ARGUMENT},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; ++i) {
        assert_int_equal(wmk_graph_node(graph, "Conv", "conv1", xw, 2, &refused[i].attribute, 1, &y, 1), refused[i].status);
        message_has(refused[i].attribute.name);
        message_has("conv1");
    }
    assert_int_equal(wmk_graph_node(graph, "Relu", "relu1", xw, 1, &NET_FLOAT("alpha", 0.1), 1, &y, 1), WMK_ERROR_ARGUMENT);
    message_has("alpha");
    wmk_value labels = input(graph, "labels", WMK_I32, 1, (int64_t[]){0});
    assert_int_equal(
        wmk_graph_node(graph, "SoftmaxCrossEntropyLoss", "loss1", (wmk_value[]){xw[0], labels}, 2, &NET_STRING("reduction", "none"), 1, &y, 1),
        WMK_ERROR_UNSUPPORTED); /* of ONNX, not done */
    message_has("not supported:");
    message_has("loss1");
    wmk_graph_free(graph);
}

static void wrong_operands(void **state)
{
    (void)state;
    wmk_graph *graph = graph_new();
    wmk_value x = input(graph, "x", WMK_F32, 4, (int64_t[]){0, 3, 8, 8}), w = parameter(graph, "w", 4, (int64_t[]){4, 3, 3, 3}), y[4];
    assert_int_equal(wmk_graph_node(graph, "Conv", "conv1", &x, 1, NULL, 0, y, 1), WMK_ERROR_ARGUMENT);
    message_has("conv1");
    assert_int_equal(wmk_graph_node(graph, "Conv", "conv1", (wmk_value[]){x, w, w, w}, 4, NULL, 0, y, 1), WMK_ERROR_ARGUMENT);
    assert_int_equal(wmk_graph_node(graph, "Relu", "relu1", (wmk_value[]){x, x}, 2, NULL, 0, y, 1), WMK_ERROR_ARGUMENT);
    assert_int_equal(wmk_graph_node(graph, "Relu", "relu1", NULL, 0, NULL, 0, y, 1), WMK_ERROR_ARGUMENT);
    assert_int_equal(wmk_graph_node(graph, "Relu", "relu1", &x, 1, NULL, 0, y, 4), WMK_ERROR_ARGUMENT);                  /* too many outputs */
    assert_int_equal(wmk_graph_node(graph, "Relu", "relu1", &(wmk_value){12345}, 1, NULL, 0, y, 1), WMK_ERROR_ARGUMENT); /* no such value */
    assert_int_equal(wmk_graph_node(graph, "Relu", "relu1", &(wmk_value){WMK_VALUE_NONE}, 1, NULL, 0, y, 1), WMK_ERROR_ARGUMENT); /* not optional */
    assert_int_equal(wmk_graph_node(graph, "Conv", "conv1", (wmk_value[]){x, w, WMK_VALUE_NONE}, 3, NULL, 0, y, 1), WMK_OK);      /* optional */
    wmk_graph_free(graph);
}

static void values_refused(void **state)
{
    (void)state;
    wmk_graph *graph = graph_new();
    wmk_value value;
    int64_t many[WMK_RANK_MAX + 1] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    parameter(graph, "w", 1, (int64_t[]){3});
    assert_int_equal(wmk_graph_parameter(graph, "w", WMK_PARAMETER_TRAINED, 1, (int64_t[]){3}, &value), WMK_ERROR_ARGUMENT);
    message_has("w");
    assert_int_equal(wmk_graph_parameter(graph, "rank", WMK_PARAMETER_TRAINED, WMK_RANK_MAX + 1, many, &value), WMK_ERROR_ARGUMENT);
    assert_int_equal(wmk_graph_input(graph, "rank", WMK_F32, WMK_RANK_MAX + 1, many, &value), WMK_ERROR_ARGUMENT);
    assert_int_equal(wmk_graph_parameter(graph, "negative", WMK_PARAMETER_TRAINED, 2, (int64_t[]){3, -1}, &value), WMK_ERROR_ARGUMENT);
    assert_int_equal(wmk_graph_input(graph, "negative", WMK_F32, 2, (int64_t[]){0, -1}, &value), WMK_ERROR_ARGUMENT);
    assert_int_equal(wmk_graph_parameter(graph, "batch", WMK_PARAMETER_TRAINED, 2, (int64_t[]){0, 3}, &value), WMK_ERROR_ARGUMENT);
    assert_int_equal(wmk_graph_input(graph, "double", WMK_F64, 2, (int64_t[]){0, 3}, &value), WMK_ERROR_ARGUMENT);
    assert_int_not_equal(wmk_graph_parameter(graph, "huge", WMK_PARAMETER_TRAINED, 3, (int64_t[]){INT64_MAX, INT64_MAX, 4}, &value), WMK_OK);
    assert_int_not_equal(wmk_graph_parameter(graph, "wrap", WMK_PARAMETER_TRAINED, 2, (int64_t[]){INT64_C(1) << 32, INT64_C(1) << 32}, &value),
                         WMK_OK);
    assert_int_equal(wmk_graph_parameter_count(graph), 1); /* nothing stays of what was refused */
    wmk_graph_free(graph);
    wmk_graph_free(NULL);
    wmk_plan_free(NULL);
    wmk_sgd_free(NULL);
}

static void parameters_found(void **state)
{
    (void)state;
    wmk_graph *graph = graph_new();
    wmk_value first = parameter(graph, "a", 2, (int64_t[]){3, 5}), statistic;
    const wmk_parameter *a = wmk_graph_find_parameter(graph, "a");
    const float *data = a->data;
    assert_int_equal(wmk_graph_parameter(graph, "b", WMK_PARAMETER_STATISTIC, 1, (int64_t[]){7}, &statistic), WMK_OK);
    for (int i = 0; i < 100; ++i) {
        char name[16];
        snprintf(name, sizeof name, "more%d", i);
        parameter(graph, name, 1, (int64_t[]){1});
    }
    a = wmk_graph_find_parameter(graph, "a");
    assert_ptr_equal(a->data, data); /* its address never changes */
    assert_int_equal(a->count, 15);
    assert_int_equal(a->rank, 2);
    assert_int_equal(a->dims[1], 5);
    assert_int_equal(a->value, first);
    for (size_t i = 0; i < a->count; ++i) assert_true(a->data[i] == 0);
    assert_int_equal(wmk_graph_parameter_count(graph), 102);
    assert_string_equal(wmk_graph_parameter_at(graph, 1)->name, "b");
    assert_int_equal(wmk_graph_parameter_at(graph, 1)->role, WMK_PARAMETER_STATISTIC);
    assert_string_equal(wmk_graph_parameter_at(graph, 101)->name, "more99");
    assert_null(wmk_graph_parameter_at(graph, 102));
    assert_null(wmk_graph_parameter_at(graph, SIZE_MAX));
    assert_null(wmk_graph_find_parameter(graph, "c"));
    wmk_graph_free(graph);
}

/* Shapes that do not fit: found when the plan is made, and the message names the node. */
static void shapes_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "Conv src:2x3x8x8 weights:4x5x3x3",                           /* channels */
        "Conv src:2x3x8x8 weights:4x3x3x3 bias:5",                    /* bias */
        "Conv src:2x3x2x2 weights:4x3x3x3",                           /* window larger than the image */
        "Conv src:2x4x8x8 weights:6x1x3x3 group=3",                   /* group does not divide */
        "Conv src:2x4x8x8 weights:3x2x3x3 group=2",                   /* nor here */
        "Conv src:2x3x8x8 weights:4x3x3x3 kernel_shape=5,5",          /* another kernel_shape */
        "Conv src:2x3x8x8 weights:4x3x3x3 strides=0,1",               /* no step */
        "Conv src:2x3x8x8 weights:4x3x3x3 strides=1,1,1",             /* too many */
        "Conv src:2x3x8x8 weights:4x3x3x3 pads=1,1",                  /* too few */
        "Conv src:2x3 weights:4x3x3x3",                               /* rank */
        "BatchNormalization src:2x3x4x4 scale:4 bias:3 mean:3 var:3", /* channels */
        "BatchNormalization src:2x3x4x4 scale:3 bias:3 mean:3 var:2",
        "Add src:2x3x4x4 other:2x5x4x4",
        "Gemm src:3x5 weights:6x4",
        "Gemm src:3x5 weights:5x4 bias:3",
        "Gemm src:3x5 weights:5x4 transB=1",
        "MatMul src:3x5 weights:4x5",
        "MaxPool src:2x3x2x2 kernel_shape=3,3",
        "MaxPool src:2x3x8x8",                                                                  /* no kernel_shape */
        "MaxPool src:2x3x8x8x8 kernel_shape=1,1,1 pads=0,0,0,2147483647,2147483647,2147483647", /* more bytes than can be counted */
        "Softmax src:2x3 axis=2",
        "Flatten src:2x3 axis=3",
        "MaxPool src:2x3x8x8 kernel_shape=2,2 strides=2,0",
        "AveragePool src:2x3x8x8 kernel_shape=0,2",
        "SoftmaxCrossEntropyLoss src:4x5 labels:4x5",
        "SoftTargetCrossEntropy src:4x5 targets:4x6",
    };
    for (size_t e = 0; e < 2; ++e) {
        for (size_t i = 0; i < sizeof lines / sizeof *lines; ++i) {
            test_net net;
            wmk_plan *plan = NULL;
            wmk_status status = net_build(&net, lines[i]);
            if (status == WMK_OK) status = net_plan(&plan, &net, engines[e], WMK_PRECISION_F32);
            if (status != WMK_ERROR_ARGUMENT) fail_msg("%s: %s (%s)", lines[i], wmk_status_name(status), wmk_error_message());
            assert_null(plan);
            message_has("node"); /* the name that net_build gives */
            net_free(&net);
        }
    }
}

/* x [batch][6] -> Gemm w -> logits [batch][4] -> loss, with a second input and a parameter that the plan does not use. */
typedef struct small {
    wmk_graph *graph;
    wmk_value x, labels, targets, w, unused, statistic, logits, loss;
} small;

static small small_build(void)
{
    small s = {.graph = graph_new()};
    s.x = input(s.graph, "x", WMK_F32, 2, (int64_t[]){0, 6});
    s.labels = input(s.graph, "labels", WMK_I32, 1, (int64_t[]){0});
    s.targets = input(s.graph, "targets", WMK_F32, 2, (int64_t[]){0, 4});
    s.w = parameter(s.graph, "w", 2, (int64_t[]){6, 4});
    assert_int_equal(wmk_graph_parameter(s.graph, "s", WMK_PARAMETER_STATISTIC, 1, (int64_t[]){4}, &s.statistic), WMK_OK);
    assert_int_equal(wmk_graph_node(s.graph, "Gemm", "fc", (wmk_value[]){s.x, s.w}, 2, NULL, 0, &s.logits, 1), WMK_OK);
    assert_int_equal(wmk_graph_node(s.graph, "SoftmaxCrossEntropyLoss", "loss", (wmk_value[]){s.logits, s.labels}, 2, NULL, 0, &s.loss, 1), WMK_OK);
    return s;
}

static wmk_plan_options options_of(wmk_engine engine, wmk_mode mode, int64_t batch)
{
    wmk_plan_options options = WMK_PLAN_OPTIONS_INIT;
    options.engine = engine;
    options.mode = mode;
    options.batch = batch;
    return options;
}

static void plan_options_refused(void **state)
{
    (void)state;
    small s = small_build();
    wmk_plan *plan = NULL;
    wmk_value outputs[] = {s.loss, s.logits};
    for (size_t e = 0; e < 2; ++e) {
        wmk_plan_options good = options_of(engines[e], WMK_TRAINING, 3), bad[7];
        for (size_t i = 0; i < 7; ++i) bad[i] = good;
        bad[0].batch = 0;
        bad[1].batch = -5;
        bad[2].struct_size = 0;
        bad[3].mode = (wmk_mode)7;
        bad[4].precision = (wmk_precision)7;
        bad[5].engine = (wmk_engine)7;
        bad[6].batch = INT64_MAX; /* sizes overflow */
        for (size_t i = 0; i < 7; ++i) {
            wmk_status status = wmk_plan_create(&plan, s.graph, outputs, 2, &bad[i]);
            if (status != WMK_ERROR_ARGUMENT && !(i == 6 && status == WMK_ERROR_MEMORY)) fail_msg("options %zu: %s", i, wmk_status_name(status));
        }
        assert_int_equal(wmk_plan_create(&plan, s.graph, outputs, 0, &good), WMK_ERROR_ARGUMENT);
        assert_int_equal(wmk_plan_create(&plan, s.graph, &(wmk_value){999}, 1, &good), WMK_ERROR_ARGUMENT);
        assert_int_equal(wmk_plan_create(&plan, s.graph, &(wmk_value){WMK_VALUE_NONE}, 1, &good), WMK_ERROR_ARGUMENT);
        assert_int_equal(wmk_plan_create(&plan, s.graph, &s.logits, 1, &good), WMK_ERROR_ARGUMENT); /* training: a scalar loss comes first */
        assert_null(plan);
    }
    wmk_graph_free(s.graph);
}

static void plan_answers(void **state)
{
    (void)state;
    for (size_t e = 0; e < 2; ++e) {
        small s = small_build();
        wmk_plan *plan, *inference;
        wmk_plan_options training = options_of(engines[e], WMK_TRAINING, 3), reading = options_of(engines[e], WMK_INFERENCE, 5);
        assert_int_equal(wmk_plan_create(&plan, s.graph, (wmk_value[]){s.loss, s.logits}, 2, &training), WMK_OK);
        assert_int_equal(wmk_plan_create(&inference, s.graph, &s.logits, 1, &reading), WMK_OK);

        assert_non_null(wmk_plan_input(plan, s.x));
        assert_non_null(wmk_plan_input(plan, s.labels));
        assert_null(wmk_plan_input(plan, s.targets)); /* declared, not used */
        assert_null(wmk_plan_input(inference, s.labels));
        assert_null(wmk_plan_input(plan, s.w));
        assert_null(wmk_plan_input(plan, s.logits));
        assert_null(wmk_plan_input(plan, 999));
        assert_null(wmk_plan_input(plan, WMK_VALUE_NONE));

        assert_non_null(wmk_plan_output(plan, s.loss));
        assert_non_null(wmk_plan_output(plan, s.logits));
        assert_null(wmk_plan_output(inference, s.loss));
        assert_null(wmk_plan_output(plan, s.x));
        assert_null(wmk_plan_output(plan, 999));
        assert_null(wmk_plan_output(plan, WMK_VALUE_NONE));

        assert_non_null(wmk_plan_gradient(plan, s.w));
        assert_null(wmk_plan_gradient(inference, s.w));
        assert_null(wmk_plan_gradient(plan, s.statistic));
        assert_null(wmk_plan_gradient(plan, s.x));
        assert_null(wmk_plan_gradient(plan, s.logits));
        assert_null(wmk_plan_gradient(plan, 999));
        assert_null(wmk_plan_gradient(plan, WMK_VALUE_NONE));

        int64_t dims[WMK_RANK_MAX];
        assert_int_equal(wmk_plan_shape(plan, s.logits, dims), 2);
        assert_int_equal(dims[0], 3);
        assert_int_equal(dims[1], 4);
        assert_int_equal(wmk_plan_shape(inference, s.logits, dims), 2);
        assert_int_equal(dims[0], 5);
        assert_int_equal(wmk_plan_shape(plan, s.w, NULL), 2);
        assert_int_equal(wmk_plan_shape(plan, s.labels, dims), 1);
        assert_true(wmk_plan_memory_bytes(plan) >= (3 * 6 + 6 * 4) * sizeof(float)); /* at least x and w's gradient */

        assert_int_equal(wmk_plan_forward(inference), WMK_OK);
        assert_int_equal(wmk_plan_backward(inference), WMK_ERROR_ARGUMENT);
        wmk_plan_free(plan);
        wmk_plan_free(inference);
        wmk_graph_free(s.graph);
    }
}

/* A known answer by hand: all weights zero, so logits 0, loss log(4), and the gradient x^T (1/4 - [label]) / batch. */
static void known_answer(void **state)
{
    (void)state;
    for (size_t e = 0; e < 2; ++e) {
        small s = small_build();
        wmk_plan *plan;
        wmk_plan_options options = options_of(engines[e], WMK_TRAINING, 2);
        assert_int_equal(wmk_plan_create(&plan, s.graph, (wmk_value[]){s.loss, s.logits}, 2, &options), WMK_OK);
        float *x = wmk_plan_input(plan, s.x);
        for (int i = 0; i < 12; ++i) x[i] = (float)(i + 1);
        memcpy(wmk_plan_input(plan, s.labels), (int32_t[]){1, 3}, 8);
        assert_int_equal(wmk_plan_forward(plan), WMK_OK);
        assert_int_equal(wmk_plan_backward(plan), WMK_OK);
        assert_true(fabs((double)wmk_plan_output(plan, s.loss)[0] - log(4)) < 1e-6);
        float expected[24];
        for (int i = 0; i < 6; ++i)
            for (int c = 0; c < 4; ++c) expected[i * 4 + c] = (float)((i + 1) * (0.25 - (c == 1)) / 2 + (i + 7) * (0.25 - (c == 3)) / 2);
        assert_true(net_close("gradient", wmk_plan_gradient(plan, s.w), expected, 24, 1e-6, 1e-6));
        wmk_plan_free(plan);
        wmk_graph_free(s.graph);
    }
}

/* Labels come from files: one outside the classes must be refused, never be an index. */
static void labels_out_of_range(void **state)
{
    (void)state;
    for (size_t e = 0; e < 2; ++e) {
        small s = small_build();
        wmk_plan *plan;
        wmk_plan_options options = options_of(engines[e], WMK_TRAINING, 2);
        assert_int_equal(wmk_plan_create(&plan, s.graph, &s.loss, 1, &options), WMK_OK);
        static const int32_t wrong[] = {4, -1, INT32_MAX, INT32_MIN};
        for (size_t i = 0; i < 4; ++i) {
            memcpy(wmk_plan_input(plan, s.labels), (int32_t[]){1, wrong[i]}, 8);
            assert_int_not_equal(wmk_plan_forward(plan), WMK_OK);
        }
        memcpy(wmk_plan_input(plan, s.labels), (int32_t[]){0, 3}, 8);
        assert_int_equal(wmk_plan_forward(plan), WMK_OK); /* and the plan still works */
        wmk_plan_free(plan);
        wmk_graph_free(s.graph);
    }
}

static void description_and_times(void **state)
{
    (void)state;
    for (size_t e = 0; e < 2; ++e) {
        small s = small_build();
        wmk_plan *plan;
        char *plain, *timed;
        wmk_plan_options options = options_of(engines[e], WMK_TRAINING, 2);
        assert_int_equal(wmk_plan_create(&plan, s.graph, &s.loss, 1, &options), WMK_OK);
        assert_int_equal(wmk_plan_describe(plan, &plain), WMK_OK);
        assert_non_null(strstr(plain, "forward Gemm fc"));
        assert_non_null(strstr(plain, "backward Gemm fc"));
        assert_non_null(strstr(plain, "2x6"));
        wmk_plan_profile(plan, true);
        for (int i = 0; i < 3; ++i) {
            assert_int_equal(wmk_plan_forward(plan), WMK_OK);
            assert_int_equal(wmk_plan_backward(plan), WMK_OK);
        }
        assert_int_equal(wmk_plan_describe(plan, &timed), WMK_OK);
        assert_string_not_equal(plain, timed);
        size_t lines[2] = {0};
        for (const char *c = plain; *c; ++c) lines[0] += *c == '\n';
        for (const char *c = timed; *c; ++c) lines[1] += *c == '\n';
        assert_int_equal(lines[0], lines[1]);
        free(plain);
        free(timed);
        wmk_plan_free(plan);
        wmk_graph_free(s.graph);
    }
}

/* The statement of nn.h, in double, over gradients that the caller wrote. Columns: few, and so many that threads share the work. */
static void sgd_check(bool nesterov, int64_t columns)
{
    wmk_graph *graph = graph_new();
    wmk_value x = input(graph, "x", WMK_F32, 2, (int64_t[]){0, 3}), labels = input(graph, "labels", WMK_I32, 1, (int64_t[]){0}), logits, loss, s;
    wmk_value w = parameter(graph, "w", 2, (int64_t[]){3, columns});
    assert_int_equal(wmk_graph_parameter(graph, "s", WMK_PARAMETER_STATISTIC, 1, (int64_t[]){4}, &s), WMK_OK);
    assert_int_equal(wmk_graph_node(graph, "Gemm", "fc", (wmk_value[]){x, w}, 2, NULL, 0, &logits, 1), WMK_OK);
    assert_int_equal(wmk_graph_node(graph, "SoftmaxCrossEntropyLoss", "loss", (wmk_value[]){logits, labels}, 2, NULL, 0, &loss, 1), WMK_OK);
    wmk_plan *plan;
    wmk_sgd *sgd;
    wmk_plan_options options = options_of(WMK_ENGINE_ONEDNN, WMK_TRAINING, 2);
    const double momentum = 0.9, decay = 0.01, rates[3] = {0.1, 0.2, 0.05};
    assert_int_equal(wmk_plan_create(&plan, graph, &loss, 1, &options), WMK_OK);
    assert_int_equal(wmk_sgd_create(&sgd, graph, plan, momentum, nesterov, decay), WMK_OK);
    assert_null(wmk_sgd_velocity(sgd, s));
    assert_null(wmk_sgd_velocity(sgd, x));
    assert_null(wmk_sgd_velocity(sgd, 999));
    const wmk_parameter *weights = wmk_graph_find_parameter(graph, "w"), *statistic = wmk_graph_find_parameter(graph, "s");
    statistic->data[0] = 5;
    double *expected = calloc(weights->count, sizeof *expected), *velocity = calloc(weights->count, sizeof *velocity), worst = 0;
    uint64_t seed = 9;
    for (size_t i = 0; i < weights->count; ++i) expected[i] = weights->data[i] = (float)net_uniform(&seed);
    for (int step = 0; step < 3; ++step) {
        float *gradient = wmk_plan_gradient(plan, w);
        assert_int_equal(wmk_plan_forward(plan), WMK_OK);
        assert_int_equal(wmk_plan_backward(plan), WMK_OK);
        for (size_t i = 0; i < weights->count; ++i) {
            gradient[i] = (float)net_uniform(&seed);
            double g = (double)gradient[i] + decay * expected[i];
            velocity[i] = step ? momentum * velocity[i] + g : g;
            expected[i] -= rates[step] * (nesterov ? g + momentum * velocity[i] : velocity[i]);
        }
        assert_int_equal(wmk_sgd_step(sgd, rates[step]), WMK_OK);
    }
    for (size_t i = 0; i < weights->count; ++i) {
        worst = fmax(worst, fabs((double)weights->data[i] - expected[i]));
        worst = fmax(worst, fabs((double)wmk_sgd_velocity(sgd, w)[i] - velocity[i]));
    }
    assert_true(worst < 1e-6);
    assert_true(statistic->data[0] == 5); /* not the optimizer's */
    free(expected);
    free(velocity);
    wmk_sgd_free(sgd);
    wmk_plan_free(plan);
    wmk_graph_free(graph);
}

static void sgd_arithmetic(void **state)
{
    (void)state;
    for (int nesterov = 0; nesterov < 2; ++nesterov) {
        sgd_check(nesterov, 4);
        sgd_check(nesterov, 70001);
    }
}

static void sgd_refused(void **state)
{
    (void)state;
    small s = small_build();
    wmk_plan *plan, *inference;
    wmk_sgd *sgd;
    wmk_plan_options training = options_of(WMK_ENGINE_ONEDNN, WMK_TRAINING, 2), reading = options_of(WMK_ENGINE_ONEDNN, WMK_INFERENCE, 2);
    assert_int_equal(wmk_plan_create(&plan, s.graph, &s.loss, 1, &training), WMK_OK);
    assert_int_equal(wmk_plan_create(&inference, s.graph, &s.logits, 1, &reading), WMK_OK);
    assert_int_equal(wmk_sgd_create(&sgd, s.graph, plan, 1.0, true, 0), WMK_ERROR_ARGUMENT);
    assert_int_equal(wmk_sgd_create(&sgd, s.graph, plan, -0.1, true, 0), WMK_ERROR_ARGUMENT);
    assert_int_equal(wmk_sgd_create(&sgd, s.graph, plan, (double)NAN, true, 0), WMK_ERROR_ARGUMENT);
    assert_int_equal(wmk_sgd_create(&sgd, s.graph, plan, 0.9, true, -1e-9), WMK_ERROR_ARGUMENT);
    assert_int_equal(wmk_sgd_create(&sgd, s.graph, plan, 0.9, true, (double)NAN), WMK_ERROR_ARGUMENT);
    assert_int_equal(wmk_sgd_create(&sgd, s.graph, inference, 0.9, true, 0), WMK_ERROR_ARGUMENT);
    wmk_plan_free(plan);
    wmk_plan_free(inference);
    wmk_graph_free(s.graph);
}

/* ONNX BatchNormalization: running = running * momentum + batch * (1 - momentum) with the variance over the population; only a training plan moves it,
 * and an inference plan uses it. */
static void statistics_move_in_training(void **state)
{
    (void)state;
    for (size_t e = 0; e < 2; ++e) {
        wmk_graph *graph = graph_new();
        int64_t one = 1;
        wmk_value bn[5] = {input(graph, "x", WMK_F32, 4, (int64_t[]){0, 1, 2, 1})}, labels = input(graph, "labels", WMK_I32, 1, (int64_t[]){0}), y,
                  flat, loss;
        bn[1] = parameter(graph, "scale", 1, &one);
        bn[2] = parameter(graph, "bias", 1, &one);
        assert_int_equal(wmk_graph_parameter(graph, "mean", WMK_PARAMETER_STATISTIC, 1, &one, &bn[3]), WMK_OK);
        assert_int_equal(wmk_graph_parameter(graph, "var", WMK_PARAMETER_STATISTIC, 1, &one, &bn[4]), WMK_OK);
        assert_int_equal(wmk_graph_node(graph, "BatchNormalization", "bn", bn, 5, &NET_FLOAT("momentum", 0.75), 1, &y, 1), WMK_OK);
        assert_int_equal(wmk_graph_node(graph, "Flatten", "flat", &y, 1, NULL, 0, &flat, 1), WMK_OK);
        assert_int_equal(wmk_graph_node(graph, "SoftmaxCrossEntropyLoss", "loss", (wmk_value[]){flat, labels}, 2, NULL, 0, &loss, 1), WMK_OK);
        float *mean = wmk_graph_find_parameter(graph, "mean")->data, *var = wmk_graph_find_parameter(graph, "var")->data;
        *wmk_graph_find_parameter(graph, "scale")->data = 2;
        *wmk_graph_find_parameter(graph, "bias")->data = 1;
        *mean = 4;
        *var = 9;

        wmk_plan *training, *reading;
        wmk_plan_options t = options_of(engines[e], WMK_TRAINING, 2), r = options_of(engines[e], WMK_INFERENCE, 2);
        assert_int_equal(wmk_plan_create(&training, graph, (wmk_value[]){loss, y}, 2, &t), WMK_OK);
        assert_int_equal(wmk_plan_create(&reading, graph, &y, 1, &r), WMK_OK);
        const float x[4] = {1, 3, 5, 7}; /* mean 4, population variance 5 */
        memcpy(wmk_plan_input(reading, bn[0]), x, sizeof x);
        assert_int_equal(wmk_plan_forward(reading), WMK_OK);
        const float stored[4] = {-1, 1.0f / 3, 5.0f / 3, 3}; /* 2 (x - 4) / 3 + 1 */
        assert_true(net_close("inference", wmk_plan_output(reading, y), stored, 4, 1e-5, 1e-5));
        assert_true(*mean == 4 && *var == 9);

        *mean = 8;
        memcpy(wmk_plan_input(training, bn[0]), x, sizeof x);
        memcpy(wmk_plan_input(training, labels), (int32_t[]){0, 1}, 8);
        assert_int_equal(wmk_plan_forward(training), WMK_OK);
        float root = sqrtf(5);
        const float fresh[4] = {1 - 6 / root, 1 - 2 / root, 1 + 2 / root, 1 + 6 / root};
        assert_true(net_close("training", wmk_plan_output(training, y), fresh, 4, 1e-5, 1e-5));
        assert_true(fabsf(*mean - (8 * 0.75f + 4 * 0.25f)) < 1e-5f);
        assert_true(fabsf(*var - (9 * 0.75f + 5 * 0.25f)) < 1e-5f);
        wmk_plan_free(training);
        wmk_plan_free(reading);
        wmk_graph_free(graph);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_operator),      cmocka_unit_test(attributes_refused),
        cmocka_unit_test(wrong_operands),        cmocka_unit_test(values_refused),
        cmocka_unit_test(parameters_found),      cmocka_unit_test(shapes_refused),
        cmocka_unit_test(plan_options_refused),  cmocka_unit_test(plan_answers),
        cmocka_unit_test(known_answer),          cmocka_unit_test(labels_out_of_range),
        cmocka_unit_test(description_and_times), cmocka_unit_test(sgd_arithmetic),
        cmocka_unit_test(sgd_refused),           cmocka_unit_test(statistics_move_in_training),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
