/* Random networks: oneDNN against the plain C operators over graphs nobody thought of - values with many readers, shared weights, sums of sums, outputs in
 * the middle, branches that lead nowhere - where layouts meet, memory is reused and neighbours are fused. A training and an inference plan of different
 * batch sizes share each graph, and the optimizer moves the weights between passes. The seed of a failing network is printed. */
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

#define VALUES_MAX 64
#define BATCH 3
#define CLASSES 5

typedef struct image { /* a value [batch][c][h][w] */
    wmk_value value;
    int64_t c, h, w;
    bool pooled; /* an argument of the logits already */
} image;

typedef struct maker {
    wmk_graph *graph;
    uint64_t seed;
    image images[VALUES_MAX];
    size_t image_count;
    wmk_value weights[VALUES_MAX]; /* of convolutions, with their shapes, to be shared */
    int64_t weight_dims[VALUES_MAX][4];
    size_t weight_count, names;
    wmk_value input, labels, logits, loss, outputs[4];
} maker;

static int64_t pick(maker *m, int64_t below) { return (int64_t)(net_random(&m->seed) % (uint64_t)below); }

static wmk_value parameter(maker *m, const char *kind, wmk_parameter_role role, uint32_t rank, const int64_t *dims)
{
    char name[32];
    wmk_value value;
    snprintf(name, sizeof name, "p%zu.%s", m->names++, kind);
    assert_int_equal(wmk_graph_parameter(m->graph, name, role, rank, dims, &value), WMK_OK);
    const wmk_parameter *p = wmk_graph_find_parameter(m->graph, name);
    double scale = rank > 1 ? sqrt(3.0 * (double)dims[0] / (double)p->count) : 0.5, shift = strcmp(kind, "var") && strcmp(kind, "scale") ? 0 : 1;
    for (size_t i = 0; i < p->count; ++i) p->data[i] = (float)(shift + scale * net_uniform(&m->seed));
    return value;
}

static wmk_value node(maker *m, const char *op, const wmk_value *inputs, size_t input_count, const wmk_attribute *attributes, size_t attribute_count)
{
    char name[32];
    wmk_value value;
    snprintf(name, sizeof name, "n%zu", m->names++);
    if (wmk_graph_node(m->graph, op, name, inputs, input_count, attributes, attribute_count, &value, 1) != WMK_OK)
        fail_msg("%s", wmk_error_message());
    return value;
}

static void image_add(maker *m, wmk_value value, int64_t c, int64_t h, int64_t w)
{
    if (m->image_count < VALUES_MAX) m->images[m->image_count++] = (image){value, c, h, w, false};
}

static void conv_add(maker *m, const image *src)
{
    static const int64_t channels[] = {1, 3, 8, 16, 17, 32, 48};
    int64_t kh = 1 + pick(m, src->h < 3 ? src->h : 3), kw = 1 + pick(m, src->w < 3 ? src->w : 3), sh = 1 + pick(m, 2), sw = 1 + pick(m, 2);
    int64_t pads[4] = {pick(m, kh), pick(m, kw), pick(m, kh), pick(m, kw)};
    if (pick(m, 4) == 0 && src->h > 2 && src->w > 2) { /* the commonest there is */
        kh = kw = 3;
        sh = sw = 1;
        for (int i = 0; i < 4; ++i) pads[i] = 1;
    }
    int64_t group = pick(m, 4) == 0 ? src->c : 1, oc = group > 1 ? group * (1 + pick(m, 2)) : channels[pick(m, 7)];
    int64_t dims[4] = {oc, src->c / group, kh, kw};
    wmk_value operands[3] = {src->value, WMK_VALUE_NONE, WMK_VALUE_NONE};
    for (size_t i = 0; i < m->weight_count && pick(m, 2); ++i)
        if (!memcmp(m->weight_dims[i], dims, sizeof dims)) operands[1] = m->weights[i];
    if (operands[1] == WMK_VALUE_NONE) {
        operands[1] = parameter(m, "weights", WMK_PARAMETER_TRAINED, 4, dims);
        memcpy(m->weight_dims[m->weight_count], dims, sizeof dims);
        m->weights[m->weight_count++] = operands[1];
    }
    bool bias = pick(m, 2);
    if (bias) operands[2] = parameter(m, "bias", WMK_PARAMETER_TRAINED, 1, &oc);
    wmk_attribute attributes[] = {NET_INTS("strides", sh, sw), NET_INTS("pads", pads[0], pads[1], pads[2], pads[3]), NET_INT("group", group)};
    int64_t h = (src->h + pads[0] + pads[2] - kh) / sh + 1, w = (src->w + pads[1] + pads[3] - kw) / sw + 1;
    image_add(m, node(m, "Conv", operands, bias ? 3 : 2, attributes, 3), oc, h, w);
}

static void norm_add(maker *m, const image *src)
{
    wmk_value operands[5] = {src->value};
    static const char *const names[] = {"scale", "bias", "mean", "var"};
    for (int i = 0; i < 4; ++i) operands[1 + i] = parameter(m, names[i], i < 2 ? WMK_PARAMETER_TRAINED : WMK_PARAMETER_STATISTIC, 1, &src->c);
    image_add(m, node(m, "BatchNormalization", operands, 5, &NET_FLOAT("momentum", 0.8), 1), src->c, src->h, src->w);
}

static void pool_add(maker *m, const image *src, const char *op)
{
    wmk_attribute attributes[] = {NET_INTS("kernel_shape", 2, 2), NET_INTS("strides", 2, 2)};
    image_add(m, node(m, op, &src->value, 1, attributes, 2), src->c, (src->h - 2) / 2 + 1, (src->w - 2) / 2 + 1);
}

static void add_add(maker *m, const image *src)
{
    wmk_value other = src->value;
    for (size_t i = 0; i < m->image_count; ++i) {
        const image *candidate = &m->images[i];
        if (candidate->c == src->c && candidate->h == src->h && candidate->w == src->w && pick(m, 2)) other = candidate->value;
    }
    image_add(m, node(m, "Add", (wmk_value[]){src->value, other}, 2, NULL, 0), src->c, src->h, src->w);
}

static void step_add(maker *m)
{
    const image *newest = &m->images[m->image_count - 1], *src = pick(m, 3) ? newest : &m->images[pick(m, (int64_t)m->image_count)];
    switch (pick(m, 9)) {
    case 0:
    case 1:
        conv_add(m, src);
        break;
    case 2:
        if (src->h * src->w >= 6) norm_add(m, src); /* the spread of a few numbers is noise */
        break;
    case 3:
    case 4:
        image_add(m, node(m, "Relu", &src->value, 1, NULL, 0), src->c, src->h, src->w);
        break;
    case 5:
        add_add(m, src);
        break;
    case 6:
        if (src->h > 1 && src->w > 1) pool_add(m, src, "MaxPool");
        break;
    case 7:
        image_add(m, node(m, pick(m, 2) ? "Sigmoid" : "Tanh", &src->value, 1, NULL, 0), src->c, src->h, src->w);
        break;
    default:
        if (src->h > 1 && src->w > 1) pool_add(m, src, "AveragePool");
    }
}

/* Adds Gemm(mean over the image) to the logits. */
static void logits_add(maker *m, image *from)
{
    if (from->pooled) return;
    from->pooled = true;
    wmk_value pooled = node(m, "GlobalAveragePool", &from->value, 1, NULL, 0), flat = node(m, "Flatten", &pooled, 1, NULL, 0);
    wmk_value weights = parameter(m, "fc", WMK_PARAMETER_TRAINED, 2, (int64_t[]){from->c, CLASSES});
    wmk_value part = node(m, "Gemm", (wmk_value[]){flat, weights}, 2, NULL, 0);
    m->logits = m->logits == WMK_VALUE_NONE ? part : node(m, "Add", (wmk_value[]){m->logits, part}, 2, NULL, 0);
}

static maker network_make(uint64_t seed)
{
    maker m = {.seed = seed, .logits = WMK_VALUE_NONE};
    int64_t c = 1 + pick(&m, 8), h = 3 + pick(&m, 8), w = 3 + pick(&m, 8);
    assert_int_equal(wmk_graph_create(&m.graph), WMK_OK);
    assert_int_equal(wmk_graph_input(m.graph, "x", WMK_F32, 4, (int64_t[]){0, c, h, w}, &m.input), WMK_OK);
    assert_int_equal(wmk_graph_input(m.graph, "labels", WMK_I32, 1, (int64_t[]){0}, &m.labels), WMK_OK);
    image_add(&m, m.input, c, h, w);
    conv_add(&m, &m.images[0]);
    for (int64_t steps = 4 + pick(&m, 12); steps > 0; --steps) step_add(&m);
    logits_add(&m, &m.images[m.image_count - 1]);
    for (int i = 0; i < 2; ++i) logits_add(&m, &m.images[1 + pick(&m, (int64_t)m.image_count - 1)]);
    m.loss = node(&m, "SoftmaxCrossEntropyLoss", (wmk_value[]){m.logits, m.labels}, 2, NULL, 0);
    m.outputs[0] = m.loss;
    m.outputs[1] = m.logits;
    for (int i = 2; i < 4; ++i) m.outputs[i] = m.images[1 + pick(&m, (int64_t)m.image_count - 1)].value;
    return m;
}

typedef struct side { /* the same network in one engine */
    maker net;
    wmk_plan *training, *inference;
    wmk_sgd *sgd;
} side;

static wmk_status pair_open(side *out, uint64_t seed, wmk_engine engine, wmk_precision precision)
{
    *out = (side){.net = network_make(seed)};
    wmk_plan_options options = WMK_PLAN_OPTIONS_INIT;
    options.engine = engine;
    options.precision = precision;
    options.batch = BATCH;
    wmk_status status = wmk_plan_create(&out->training, out->net.graph, out->net.outputs, 4, &options);
    options.mode = WMK_INFERENCE;
    options.batch = BATCH + 1;
    if (status == WMK_OK) status = wmk_plan_create(&out->inference, out->net.graph, out->net.outputs + 1, 3, &options);
    if (status == WMK_OK) status = wmk_sgd_create(&out->sgd, out->net.graph, out->training, 0.9, true, 1e-3);
    return status;
}

static void pair_close(side *pair)
{
    wmk_sgd_free(pair->sgd);
    wmk_plan_free(pair->training);
    wmk_plan_free(pair->inference);
    wmk_graph_free(pair->net.graph);
}

static void pair_run(side *pair, uint64_t seed)
{
    for (int p = 0; p < 2; ++p) {
        wmk_plan *plan = p ? pair->training : pair->inference;
        float *x = wmk_plan_input(plan, pair->net.input);
        int32_t *labels = wmk_plan_input(plan, pair->net.labels);
        for (size_t i = 0; i < net_count(plan, pair->net.input); ++i) x[i] = (float)net_uniform(&seed);
        for (size_t i = 0; p && i < BATCH; ++i) labels[i] = (int32_t)(net_random(&seed) % CLASSES);
        assert_int_equal(wmk_plan_forward(plan), WMK_OK);
    }
    assert_int_equal(wmk_plan_backward(pair->training), WMK_OK);
}

static double norm(const float *a, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; ++i) sum += (double)a[i] * a[i];
    return sqrt(sum);
}

/* Gradients by norm; one that is small beside the largest is measured against that, since it is a difference of larger numbers. slack [parameters]: allowed
 * beyond that; may be NULL. A running mean near 0 is as uncertain as the values, of size 1, that it is the mean of. */
static bool gradients_agree(const char *what, const side *a, const side *b, wmk_precision precision, const double *slack)
{
    const double tolerance = precision == WMK_PRECISION_F32 ? 1e-3 : 0.2, least = precision == WMK_PRECISION_F32 ? 0.01 : 0.1;
    double largest = 0;
    bool good = true;
    size_t count = wmk_graph_parameter_count(b->net.graph);
    for (size_t i = 0; i < count; ++i) {
        const wmk_parameter *p = wmk_graph_parameter_at(b->net.graph, i);
        const float *gradient = wmk_plan_gradient(b->training, p->value);
        if (gradient) largest = fmax(largest, norm(gradient, p->count));
    }
    for (size_t i = 0; i < count; ++i) {
        const wmk_parameter *p = wmk_graph_parameter_at(a->net.graph, i);
        const float *got = wmk_plan_gradient(a->training, p->value), *expected = wmk_plan_gradient(b->training, p->value);
        if (p->role == WMK_PARAMETER_STATISTIC) got = p->data, expected = wmk_graph_parameter_at(b->net.graph, i)->data;
        if (!got && !expected) continue; /* leads nowhere */
        double difference = 0, size = fmax(norm(expected, p->count), p->role == WMK_PARAMETER_TRAINED ? least * largest : 0.02);
        for (size_t j = 0; j < p->count; ++j) difference += pow((double)got[j] - expected[j], 2);
        if (sqrt(difference) <= tolerance * size + (slack ? slack[i] : 0)) continue;
        fprintf(stderr, "%s: %s is off by %.3g of %.3g\n", what, p->name, sqrt(difference), size);
        good = false;
    }
    return good;
}

/* How far each gradient of the plain network moves when its weights move by a relative `step`: what rounding of that size does through Relu and MaxPool near
 * their kinks. The largest of some trials. */
static void gradients_shake(double *slack, uint64_t seed, uint64_t feed, const side *still, double step)
{
    side moved;
    assert_int_equal(pair_open(&moved, seed, WMK_ENGINE_REFERENCE, WMK_PRECISION_F32), WMK_OK);
    size_t count = wmk_graph_parameter_count(moved.net.graph);
    for (size_t i = 0; i < count; ++i) slack[i] = 0;
    for (int trial = 0; trial < 20; ++trial) {
        for (size_t i = 0; i < count; ++i) {
            const wmk_parameter *from = wmk_graph_parameter_at(still->net.graph, i), *to = wmk_graph_parameter_at(moved.net.graph, i);
            for (size_t j = 0; j < from->count; ++j) to->data[j] = from->data[j] * (float)(1 + step * net_uniform(&seed));
        }
        pair_run(&moved, feed);
        for (size_t i = 0; i < count; ++i) {
            const wmk_parameter *p = wmk_graph_parameter_at(moved.net.graph, i);
            const float *a = wmk_plan_gradient(moved.training, p->value), *b = wmk_plan_gradient(still->training, p->value);
            double difference = 0;
            for (size_t j = 0; a && j < p->count; ++j) difference += pow((double)a[j] - b[j], 2);
            slack[i] = fmax(slack[i], 1.5 * sqrt(difference));
        }
    }
    pair_close(&moved);
}

static bool outputs_agree(const char *what, const side *a, const side *b, double tolerance)
{
    double loss = (double)wmk_plan_output(b->training, b->net.loss)[0], other = (double)wmk_plan_output(a->training, a->net.loss)[0];
    bool good = fabs(loss - other) <= tolerance * fmax(loss, 1); /* a small loss is a difference of logits */
    if (!good) fprintf(stderr, "%s: loss %.9g, expected %.9g\n", what, other, loss);
    for (int i = 1; i < 4; ++i) {
        wmk_value value = a->net.outputs[i];
        for (int p = 0; p < 2; ++p) {
            wmk_plan *got = p ? a->training : a->inference, *expected = p ? b->training : b->inference;
            size_t count = net_count(got, value);
            const float *x = wmk_plan_output(got, value), *y = wmk_plan_output(expected, value);
            double difference = 0, size = fmax(norm(y, count), 0.1 * sqrt((double)count)); /* what a Relu left may be nearly nothing */
            for (size_t j = 0; j < count; ++j) difference += pow((double)x[j] - y[j], 2);
            if (sqrt(difference) <= tolerance * size) continue;
            fprintf(stderr, "%s: output %d is off by %.3g of %.3g\n", what, i, sqrt(difference), size);
            good = false;
        }
    }
    return good;
}

/* test_nn_random [FIRST COUNT]: the seeds. */
static uint64_t first_seed = 1, seed_count = 40;

static void compare(wmk_precision precision)
{
    size_t failed = 0, shaken = 0;
    const bool exact = precision == WMK_PRECISION_F32;
    for (uint64_t seed = first_seed; seed < first_seed + seed_count; ++seed) {
        side sides[2];
        char what[64];
        for (int s = 0; s < 2; ++s)
            if (pair_open(&sides[s], seed, s ? WMK_ENGINE_REFERENCE : WMK_ENGINE_ONEDNN, s ? WMK_PRECISION_F32 : precision) != WMK_OK)
                fail_msg("network %d: %s", (int)seed, wmk_error_message());
        bool good = true, apart = false; /* apart: a kink was crossed, so the steps after it differ */
        for (int step = 0; step < (exact ? 3 : 1) && good && !apart; ++step) {
            uint64_t feed = 1000 * seed + (uint64_t)step;
            snprintf(what, sizeof what, "network %d, step %d", (int)seed, step);
            for (int s = 0; s < 2; ++s) pair_run(&sides[s], feed);
            good = outputs_agree(what, &sides[0], &sides[1], exact ? 1e-4 : 0.05);
            bool close = gradients_agree(what, &sides[0], &sides[1], precision, NULL);
            if (!close) {
                double slack[4 * VALUES_MAX];
                gradients_shake(slack, seed, feed, &sides[1], exact ? 0x1p-17 : 0x1p-7);
                close = gradients_agree(what, &sides[0], &sides[1], precision, slack);
                if (close) fprintf(stderr, "%s: near a kink, plain C moves as far\n", what);
                apart = close;
                shaken += close;
            }
            good = good && close;
            for (int s = 0; s < 2; ++s) assert_int_equal(wmk_sgd_step(sides[s].sgd, 0.01), WMK_OK);
        }
        failed += !good;
        pair_close(&sides[0]);
        pair_close(&sides[1]);
    }
    printf("%d random networks, %zu differ, %zu near a kink\n", (int)seed_count, failed, shaken);
    assert_int_equal(failed, 0);
    assert_true(shaken <= (exact ? 1 + seed_count / 100 : 1 + seed_count / 10));
}

static void f32(void **state)
{
    (void)state;
    compare(WMK_PRECISION_F32);
}

static void bf16(void **state)
{
    (void)state;
    if (!net_precision_works(WMK_ENGINE_ONEDNN, WMK_PRECISION_BF16)) skip();
    compare(WMK_PRECISION_BF16);
}

int main(int argc, char **argv)
{
    if (argc == 3) {
        first_seed = strtoull(argv[1], NULL, 10);
        seed_count = strtoull(argv[2], NULL, 10);
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(f32), cmocka_unit_test(bf16)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
