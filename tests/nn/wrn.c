#include "wrn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(wmk_status status)
{
    if (status == WMK_OK) return;
    fprintf(stderr, "wrn: %s: %s\n", wmk_status_name(status), wmk_error_message());
    exit(1);
}

static wmk_value parameter(wmk_graph *graph, const char *prefix, const char *name, wmk_parameter_role role, uint32_t rank, const int64_t *dims)
{
    char full[256];
    wmk_value value;
    snprintf(full, sizeof full, "%s.%s", prefix, name);
    must(wmk_graph_parameter(graph, full, role, rank, dims, &value));
    return value;
}

static wmk_value conv(wmk_graph *graph, const char *name, wmk_value src, int64_t ic, int64_t oc, int64_t kernel, int64_t stride)
{
    wmk_value dst, weights = parameter(graph, name, "weight", WMK_PARAMETER_TRAINED, 4, (int64_t[]){oc, ic, kernel, kernel});
    int64_t pad = kernel / 2;
    wmk_attribute attributes[] = {NET_INTS("kernel_shape", kernel, kernel), NET_INTS("strides", stride, stride),
                                  NET_INTS("pads", pad, pad, pad, pad)};
    must(wmk_graph_node(graph, "Conv", name, (wmk_value[]){src, weights}, 2, attributes, 3, &dst, 1));
    return dst;
}

static wmk_value bn_relu(wmk_graph *graph, const char *name, wmk_value src, int64_t c)
{
    wmk_value operands[5] = {src}, normal, dst;
    operands[1] = parameter(graph, name, "weight", WMK_PARAMETER_TRAINED, 1, &c);
    operands[2] = parameter(graph, name, "bias", WMK_PARAMETER_TRAINED, 1, &c);
    operands[3] = parameter(graph, name, "running_mean", WMK_PARAMETER_STATISTIC, 1, &c);
    operands[4] = parameter(graph, name, "running_var", WMK_PARAMETER_STATISTIC, 1, &c);
    must(wmk_graph_node(graph, "BatchNormalization", name, operands, 5, (wmk_attribute[]){NET_FLOAT("epsilon", 1e-5), NET_FLOAT("momentum", 0.9)}, 2,
                        &normal, 1));
    char relu[256];
    snprintf(relu, sizeof relu, "%s.relu", name);
    must(wmk_graph_node(graph, "Relu", relu, &normal, 1, NULL, 0, &dst, 1));
    return dst;
}

static wmk_value block(wmk_graph *graph, const char *name, wmk_value src, int64_t ic, int64_t oc, int64_t stride)
{
    char part[160];
    wmk_value shortcut = src, x, dst;
    snprintf(part, sizeof part, "%s.bn1", name);
    x = bn_relu(graph, part, src, ic);
    snprintf(part, sizeof part, "%s.shortcut", name);
    if (ic != oc || stride != 1) shortcut = conv(graph, part, x, ic, oc, 1, stride);
    snprintf(part, sizeof part, "%s.conv1", name);
    x = conv(graph, part, x, ic, oc, 3, stride);
    snprintf(part, sizeof part, "%s.bn2", name);
    x = bn_relu(graph, part, x, oc);
    snprintf(part, sizeof part, "%s.conv2", name);
    x = conv(graph, part, x, oc, oc, 3, 1);
    must(wmk_graph_node(graph, "Add", name, (wmk_value[]){x, shortcut}, 2, NULL, 0, &dst, 1));
    return dst;
}

static void weights_draw(wmk_graph *graph, uint64_t seed)
{
    for (size_t i = 0; i < wmk_graph_parameter_count(graph); ++i) {
        const wmk_parameter *p = wmk_graph_parameter_at(graph, i);
        double fan = (double)p->count / (double)p->dims[0];
        bool one = strstr(p->name, "running_var") || (p->rank == 1 && strstr(p->name, ".weight"));
        for (size_t j = 0; j < p->count; ++j) {
            double u = (net_uniform(&seed) + 1) / 2, v = net_uniform(&seed);
            double normal = sqrt(-2 * log(1 - u)) * cos(M_PI * v);
            p->data[j] = (float)(p->rank == 1 ? (one ? 1 : 0) : normal * sqrt(2 / fan));
        }
    }
}

void wrn_build(test_wrn *out, int64_t blocks, int64_t k, int64_t side, int64_t classes, uint64_t seed)
{
    *out = (test_wrn){.side = side, .classes = classes};
    must(wmk_graph_create(&out->graph));
    wmk_graph *graph = out->graph;
    must(wmk_graph_input(graph, "images", WMK_F32, 4, (int64_t[]){0, 3, side, side}, &out->images));
    must(wmk_graph_input(graph, "labels", WMK_I32, 1, (int64_t[]){0}, &out->labels));
    must(wmk_graph_input(graph, "targets", WMK_F32, 2, (int64_t[]){0, classes}, &out->targets));
    wmk_value x = conv(graph, "conv1", out->images, 3, 16, 3, 1);
    int64_t ic = 16;
    for (int64_t group = 0; group < 3; ++group) {
        for (int64_t b = 0; b < blocks; ++b) {
            char name[128];
            int64_t oc = (16 << group) * k;
            snprintf(name, sizeof name, "conv%d.%d", (int)group + 2, (int)b);
            x = block(graph, name, x, ic, oc, group > 0 && b == 0 ? 2 : 1);
            ic = oc;
        }
    }
    x = bn_relu(graph, "bn", x, ic);
    wmk_value pooled, flat;
    must(wmk_graph_node(graph, "GlobalAveragePool", "pool", &x, 1, NULL, 0, &pooled, 1));
    must(wmk_graph_node(graph, "Flatten", "flatten", &pooled, 1, NULL, 0, &flat, 1));
    wmk_value weights = parameter(graph, "fc", "weight", WMK_PARAMETER_TRAINED, 2, (int64_t[]){classes, ic});
    wmk_value bias = parameter(graph, "fc", "bias", WMK_PARAMETER_TRAINED, 1, &classes);
    must(wmk_graph_node(graph, "Gemm", "fc", (wmk_value[]){flat, weights, bias}, 3, (wmk_attribute[]){NET_INT("transB", 1)}, 1, &out->logits, 1));
    must(wmk_graph_node(graph, "SoftmaxCrossEntropyLoss", "loss", (wmk_value[]){out->logits, out->labels}, 2, NULL, 0, &out->loss, 1));
    must(wmk_graph_node(graph, "SoftTargetCrossEntropy", "soft_loss", (wmk_value[]){out->logits, out->targets}, 2, NULL, 0, &out->soft_loss, 1));
    weights_draw(graph, seed);
}

void wrn_feed(const test_wrn *wrn, wmk_plan *plan, uint64_t seed)
{
    float *images = wmk_plan_input(plan, wrn->images), *targets = wmk_plan_input(plan, wrn->targets);
    int32_t *labels = wmk_plan_input(plan, wrn->labels);
    int64_t dims[WMK_RANK_MAX];
    wmk_plan_shape(plan, wrn->images, dims);
    for (size_t i = 0; i < net_count(plan, wrn->images); ++i) images[i] = (float)net_uniform(&seed);
    for (int64_t n = 0; n < dims[0]; ++n) {
        if (labels) labels[n] = (int32_t)(net_random(&seed) % (uint64_t)wrn->classes);
        for (int64_t c = 0; c < wrn->classes && targets; ++c)
            targets[n * wrn->classes + c] = (c == n % wrn->classes ? 0.5f : 0.0f) + 0.5f / (float)wrn->classes;
    }
}

wmk_status wrn_plan(wmk_plan **out, const test_wrn *wrn, int64_t batch, wmk_engine engine, wmk_precision precision)
{
    wmk_plan_options options = WMK_PLAN_OPTIONS_INIT;
    options.batch = batch;
    options.engine = engine;
    options.precision = precision;
    return wmk_plan_create(out, wrn->graph, (wmk_value[]){wrn->loss, wrn->logits}, 2, &options);
}
