/* train/layers.c - nodes with their parameters. */
#include <stdio.h>

#include "train/layers.h"

#define NAME_CHARS 160
typedef char name_text[NAME_CHARS];

static const char *scoped(const wmk_layers *layers, name_text text, const char *name, const char *part)
{
    if (snprintf(text, NAME_CHARS, "%s%s%s", layers->scope, name, part) >= NAME_CHARS) text[0] = '\0'; /* which the graph refuses */
    return text;
}

static wmk_value parameter(wmk_layers *layers, const char *name, const char *part, wmk_parameter_role role, uint32_t rank, const int64_t *dims)
{
    name_text text;
    wmk_value value = WMK_VALUE_NONE;
    if (layers->status == WMK_OK) layers->status = wmk_graph_parameter(layers->graph, scoped(layers, text, name, part), role, rank, dims, &value);
    return value;
}

static wmk_value node(wmk_layers *layers, const char *op, const char *name, const wmk_value *inputs, size_t input_count,
                      const wmk_attribute *attributes, size_t attribute_count)
{
    name_text text;
    wmk_value dst = WMK_VALUE_NONE;
    if (layers->status == WMK_OK)
        layers->status = wmk_graph_node(layers->graph, op, scoped(layers, text, name, ""), inputs, input_count, attributes, attribute_count, &dst, 1);
    return dst;
}

static wmk_attribute ints(const char *name, const int64_t *values, size_t count)
{
    return (wmk_attribute){.name = name, .kind = WMK_ATTRIBUTE_INTS, .ints = values, .ints_count = count};
}

wmk_value wmk_layer_conv(wmk_layers *layers, const char *name, wmk_value src, uint32_t ic, uint32_t oc, uint32_t kernel, uint32_t stride, bool bias)
{
    const int64_t dims[4] = {oc, ic, kernel, kernel}, p = kernel / 2, pads[4] = {p, p, p, p}, strides[2] = {stride, stride};
    wmk_value inputs[3] = {src, parameter(layers, name, ".weight", WMK_PARAMETER_TRAINED, 4, dims), WMK_VALUE_NONE};
    if (bias) inputs[2] = parameter(layers, name, ".bias", WMK_PARAMETER_TRAINED, 1, dims);
    const wmk_attribute attributes[] = {ints("kernel_shape", dims + 2, 2), ints("pads", pads, 4), ints("strides", strides, 2)};
    return node(layers, "Conv", name, inputs, bias ? 3 : 2, attributes, 3);
}

wmk_value wmk_layer_norm(wmk_layers *layers, const char *name, wmk_value src, uint32_t channels)
{
    const int64_t dims[1] = {channels};
    wmk_value inputs[5] = {src};
    inputs[1] = parameter(layers, name, ".weight", WMK_PARAMETER_TRAINED, 1, dims);
    inputs[2] = parameter(layers, name, ".bias", WMK_PARAMETER_TRAINED, 1, dims);
    inputs[3] = parameter(layers, name, ".running_mean", WMK_PARAMETER_STATISTIC, 1, dims);
    inputs[4] = parameter(layers, name, ".running_var", WMK_PARAMETER_STATISTIC, 1, dims);
    const wmk_attribute attributes[] = {{.name = "epsilon", .kind = WMK_ATTRIBUTE_FLOAT, .f = 1e-5},
                                        {.name = "momentum", .kind = WMK_ATTRIBUTE_FLOAT, .f = 0.9}};
    return node(layers, "BatchNormalization", name, inputs, 5, attributes, 2);
}

wmk_value wmk_layer_relu(wmk_layers *layers, const char *name, wmk_value src) { return node(layers, "Relu", name, &src, 1, NULL, 0); }

wmk_value wmk_layer_pair(wmk_layers *layers, const char *op, const char *name, wmk_value a, wmk_value b)
{
    const wmk_value inputs[2] = {a, b};
    return node(layers, op, name, inputs, 2, NULL, 0);
}

wmk_value wmk_layer_add(wmk_layers *layers, const char *name, wmk_value a, wmk_value b) { return wmk_layer_pair(layers, "Add", name, a, b); }

wmk_value wmk_layer_max_pool(wmk_layers *layers, const char *name, wmk_value src)
{
    static const int64_t two[2] = {2, 2};
    const wmk_attribute attributes[] = {ints("kernel_shape", two, 2), ints("strides", two, 2)};
    return node(layers, "MaxPool", name, &src, 1, attributes, 2);
}

wmk_value wmk_layer_flatten(wmk_layers *layers, const char *name, wmk_value src) { return node(layers, "Flatten", name, &src, 1, NULL, 0); }

wmk_value wmk_layer_average(wmk_layers *layers, const char *name, wmk_value src)
{
    name_text flat;
    wmk_value mean = node(layers, "GlobalAveragePool", name, &src, 1, NULL, 0);
    snprintf(flat, sizeof flat, "%s.flatten", name);
    return wmk_layer_flatten(layers, flat, mean);
}

wmk_value wmk_layer_linear(wmk_layers *layers, const char *name, wmk_value src, uint32_t in, uint32_t out)
{
    const int64_t dims[2] = {out, in};
    wmk_value inputs[3] = {src};
    inputs[1] = parameter(layers, name, ".weight", WMK_PARAMETER_TRAINED, 2, dims);
    inputs[2] = parameter(layers, name, ".bias", WMK_PARAMETER_TRAINED, 1, dims);
    const wmk_attribute transposed = {.name = "transB", .kind = WMK_ATTRIBUTE_INT, .i = 1};
    return node(layers, "Gemm", name, inputs, 3, &transposed, 1);
}
