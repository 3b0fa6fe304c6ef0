#include "net.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKENS_MAX 24
#define LIST_MAX 16

uint64_t net_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

double net_uniform(uint64_t *state) { return (double)(net_random(state) >> 11) * 0x1p-52 - 1.0; }

static size_t list_parse(int64_t list[LIST_MAX], const char *text, char separator)
{
    size_t count = 0;
    while (*text && count < LIST_MAX) {
        char *end;
        list[count++] = strtoll(text, &end, 10);
        if (*end != separator) break;
        text = end + 1;
    }
    return count;
}

static bool is_list(const char *name, const char *value)
{
    return strchr(value, ',') || !strcmp(name, "strides") || !strcmp(name, "pads") || !strcmp(name, "dilations") || !strcmp(name, "kernel_shape");
}

static wmk_attribute attribute_parse(const char *name, const char *value, int64_t list[LIST_MAX])
{
    if (is_list(name, value))
        return (wmk_attribute){.name = name, .kind = WMK_ATTRIBUTE_INTS, .ints = list, .ints_count = list_parse(list, value, ',')};
    if (strpbrk(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") || (value[0] >= 'a' && value[0] <= 'z')) return NET_STRING(name, value);
    if (strchr(value, '.')) return NET_FLOAT(name, atof(value));
    return NET_INT(name, atoll(value));
}

/* The operand that a token "name:dims" stands for. */
static wmk_status operand_add(test_net *net, const char *name, const char *shape, wmk_value *value)
{
    int64_t dims[LIST_MAX];
    uint32_t rank = (uint32_t)list_parse(dims, shape, 'x');
    if (!strcmp(name, "src")) {
        net->batch = dims[0];
        if (rank > 1) net->classes = dims[1];
    }
    if (!strcmp(name, "labels")) {
        dims[0] = 0;
        wmk_status status = wmk_graph_input(net->graph, name, WMK_I32, rank, dims, value);
        net->labels = *value;
        return status;
    }
    if (!strcmp(name, "targets")) {
        dims[0] = 0;
        wmk_status status = wmk_graph_input(net->graph, name, WMK_F32, rank, dims, value);
        net->targets = *value;
        return status;
    }
    bool statistic = !strcmp(name, "mean") || !strcmp(name, "var");
    return wmk_graph_parameter(net->graph, name, statistic ? WMK_PARAMETER_STATISTIC : WMK_PARAMETER_TRAINED, rank, dims, value);
}

/* Flatten -> SoftTargetCrossEntropy with dst as the targets. A probe plan tells how many elements dst has. */
static wmk_status loss_add(test_net *net)
{
    wmk_plan_options options = WMK_PLAN_OPTIONS_INIT;
    options.batch = net->batch;
    options.mode = WMK_INFERENCE;
    options.engine = WMK_ENGINE_REFERENCE;
    wmk_plan *plan;
    wmk_status status = wmk_plan_create(&plan, net->graph, &net->dst, 1, &options);
    if (status != WMK_OK) return status;
    const int64_t dims[] = {1, (int64_t)net_count(plan, net->dst)};
    wmk_plan_free(plan);

    wmk_value flat;
    if ((status = wmk_graph_node(net->graph, "Flatten", "flatten", &net->dst, 1, (wmk_attribute[]){NET_INT("axis", 0)}, 1, &flat, 1)) != WMK_OK)
        return status;
    if ((status = wmk_graph_input(net->graph, "scores", WMK_F32, 2, dims, &net->scores)) != WMK_OK) return status;
    return wmk_graph_node(net->graph, "SoftTargetCrossEntropy", "loss", (wmk_value[]){net->scores, flat}, 2, NULL, 0, &net->loss, 1);
}

wmk_status net_build(test_net *out, const char *line)
{
    char text[512], *tokens[TOKENS_MAX], *names[NET_INPUTS_MAX] = {0}, *rest = NULL;
    int64_t lists[TOKENS_MAX][LIST_MAX];
    wmk_attribute attributes[TOKENS_MAX];
    size_t token_count = 0, attribute_count = 0;
    snprintf(text, sizeof text, "%s", line);
    for (char *token = strtok_r(text, " ", &rest); token && token_count < TOKENS_MAX; token = strtok_r(NULL, " ", &rest))
        tokens[token_count++] = token;

    *out = (test_net){.scores = WMK_VALUE_NONE, .labels = WMK_VALUE_NONE, .targets = WMK_VALUE_NONE, .batch = 1, .classes = 1};
    wmk_status status = wmk_graph_create(&out->graph);
    for (size_t t = 1; t < token_count && status == WMK_OK; ++t) {
        char *equals = strchr(tokens[t], '='), *colon = strchr(tokens[t], ':');
        if (equals) {
            *equals = 0;
            attributes[attribute_count++] = attribute_parse(tokens[t], equals + 1, lists[t]);
            continue;
        }
        wmk_value *value = &out->operands[out->operand_count];
        *value = WMK_VALUE_NONE;
        if (colon) {
            *colon = 0;
            status = operand_add(out, tokens[t], colon + 1, value);
        }
        for (size_t i = 0; i < out->operand_count; ++i)
            if (!colon && !strcmp(names[i], tokens[t])) *value = out->operands[i];
        names[out->operand_count++] = tokens[t];
    }
    if (status == WMK_OK)
        status = wmk_graph_node(out->graph, tokens[0], "node", out->operands, out->operand_count, attributes, attribute_count, &out->dst, 1);
    out->loss = out->dst;
    if (status == WMK_OK && !strstr(tokens[0], "CrossEntropy")) status = loss_add(out);
    return status;
}

void net_free(test_net *net) { wmk_graph_free(net->graph); }

const wmk_parameter *net_parameter(const wmk_graph *graph, wmk_value value)
{
    for (size_t i = 0; i < wmk_graph_parameter_count(graph); ++i) {
        const wmk_parameter *parameter = wmk_graph_parameter_at(graph, i);
        if (parameter->value == value) return parameter;
    }
    return NULL;
}

/* Different values with even spacing 1/8, none within 1/16 of zero, in a random order. */
static void fill_apart(float *data, size_t count, uint64_t *state)
{
    for (size_t i = 0; i < count; ++i) data[i] = (float)(2 * (int64_t)i - (int64_t)count + 1) / 16 + (count % 2 ? 0.0625f : 0);
    for (size_t i = count; i > 1; --i) {
        size_t j = net_random(state) % i;
        float keep = data[i - 1];
        data[i - 1] = data[j];
        data[j] = keep;
    }
}

void net_fill(test_net *net, const char *line, net_values values, uint64_t seed)
{
    bool kinks = !strncmp(line, "Relu", 4) || !strncmp(line, "MaxPool", 7);
    for (size_t i = 0; i < wmk_graph_parameter_count(net->graph); ++i) {
        const wmk_parameter *parameter = wmk_graph_parameter_at(net->graph, i);
        if (kinks && !strcmp(parameter->name, "src")) {
            fill_apart(parameter->data, parameter->count, &seed);
            continue;
        }
        bool variance = !strcmp(parameter->name, "var");
        for (size_t j = 0; j < parameter->count; ++j) {
            double x = net_uniform(&seed);
            if (values == NET_GRID) x = nearbyint(x * 16) / 16;
            parameter->data[j] = (float)(variance ? 0.5 + fabs(x) : x);
        }
    }
}

void net_feed(const test_net *net, wmk_plan *plan, uint64_t seed)
{
    int32_t *labels = net->labels == WMK_VALUE_NONE ? NULL : wmk_plan_input(plan, net->labels);
    if (labels) {
        size_t count = net_count(plan, net->labels);
        for (size_t i = 0; i < count; ++i) labels[i] = (int32_t)(net_random(&seed) % (uint64_t)net->classes);
    }
    float *scores = net->scores == WMK_VALUE_NONE ? NULL : wmk_plan_input(plan, net->scores);
    if (scores)
        for (size_t i = 0; i < net_count(plan, net->scores); ++i) scores[i] = (float)(64 * net_uniform(&seed));
    float *targets = net->targets == WMK_VALUE_NONE ? NULL : wmk_plan_input(plan, net->targets);
    if (targets) {
        int64_t dims[WMK_RANK_MAX];
        wmk_plan_shape(plan, net->targets, dims);
        for (int64_t n = 0; n < dims[0]; ++n) {
            double sum = 0;
            for (int64_t c = 0; c < dims[1]; ++c) sum += targets[n * dims[1] + c] = (float)(1.25 + net_uniform(&seed));
            for (int64_t c = 0; c < dims[1]; ++c) targets[n * dims[1] + c] = (float)(targets[n * dims[1] + c] / sum);
        }
    }
}

wmk_status net_plan(wmk_plan **out, const test_net *net, wmk_engine engine, wmk_precision precision)
{
    wmk_plan_options options = WMK_PLAN_OPTIONS_INIT;
    options.batch = net->batch;
    options.engine = engine;
    options.precision = precision;
    return wmk_plan_create(out, net->graph, (wmk_value[]){net->loss, net->dst}, net->loss == net->dst ? 1 : 2, &options);
}

bool net_precision_works(wmk_engine engine, wmk_precision precision)
{
    test_net net;
    wmk_plan *plan = NULL;
    wmk_status status = net_build(&net, "Relu src:1x2x3x3");
    if (status == WMK_OK) status = net_plan(&plan, &net, engine, precision);
    if (status == WMK_ERROR_UNSUPPORTED) printf("SKIP %s: %s\n", precision == WMK_PRECISION_BF16 ? "bf16" : "f32", wmk_error_message());
    wmk_plan_free(plan);
    net_free(&net);
    return status != WMK_ERROR_UNSUPPORTED;
}

size_t net_count(const wmk_plan *plan, wmk_value value)
{
    int64_t dims[WMK_RANK_MAX];
    size_t count = 1;
    uint32_t rank = wmk_plan_shape(plan, value, dims);
    for (uint32_t axis = 0; axis < rank; ++axis) count *= (size_t)dims[axis];
    return count;
}

double net_loss(const test_net *net, wmk_plan *plan)
{
    if (net->scores == WMK_VALUE_NONE) return (double)wmk_plan_output(plan, net->loss)[0];
    const float *dst = wmk_plan_output(plan, net->dst), *scores = wmk_plan_input(plan, net->scores);
    const size_t count = net_count(plan, net->dst);
    double exponentials = 0, sum = 0;
    for (size_t i = 0; i < count; ++i) exponentials += exp((double)scores[i]);
    for (size_t i = 0; i < count; ++i) sum += dst[i] * (log(exponentials) - scores[i]);
    return sum;
}

bool net_loss_right(const char *what, const test_net *net, wmk_plan *plan)
{
    const double got = (double)wmk_plan_output(plan, net->loss)[0], expected = net_loss(net, plan);
    const bool right = fabs(got - expected) <= 1e-5 * fabs(expected);
    if (!right) fprintf(stderr, "%s: loss %.9g, expected %.9g\n", what, got, expected);
    return right;
}

bool net_close(const char *what, const float *a, const float *b, size_t count, double absolute, double relative)
{
    double largest = 0, worst = 0;
    size_t at = 0;
    for (size_t i = 0; i < count; ++i) largest = fmax(largest, fabs((double)b[i]));
    for (size_t i = 0; i < count; ++i) {
        double excess = fabs((double)a[i] - b[i]) - absolute * largest - relative * fabs((double)b[i]);
        if (!isfinite(a[i]) || !isfinite(b[i])) excess = INFINITY;
        if (excess > worst) {
            worst = excess;
            at = i;
        }
    }
    if (worst > 0)
        fprintf(stderr, "%s: element %zu of %zu is %.9g, expected %.9g (largest %.3g)\n", what, at, count, (double)a[at], (double)b[at], largest);
    return worst <= 0;
}

bool net_close_norm(const char *what, const float *a, const float *b, size_t count, double tolerance)
{
    double difference = 0, norm = 0;
    for (size_t i = 0; i < count; ++i) {
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        norm += (double)b[i] * b[i];
    }
    bool close = isfinite(difference) && difference <= tolerance * tolerance * norm + 1e-30;
    if (!close) fprintf(stderr, "%s: norm of the difference %.3g, of the expected %.3g\n", what, sqrt(difference), sqrt(norm));
    return close;
}
