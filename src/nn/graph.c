/* graph.c - building a graph and asking for its parameters. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "nn/graph.h"
#include "nn/op.h"

static wmk_status grow(void *inout_array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity) return WMK_OK;
    const size_t larger = *capacity ? 2 * *capacity : 16;
    WMK_TRY(wmk_resize(inout_array, larger, size));
    *capacity = larger;
    return WMK_OK;
}

wmk_status wmk_type_make(wmk_type *type, wmk_dtype dtype, uint32_t rank, const int64_t *dims, const char *what)
{
    if (rank > WMK_RANK_MAX) return wmk_fail(WMK_ERROR_ARGUMENT, "%s: rank %u, at most %d is possible", what, rank, WMK_RANK_MAX);
    *type = (wmk_type){.dtype = dtype, .rank = rank};
    uint64_t bytes = 8;
    for (uint32_t i = 0; i < rank; i++) {
        if (dims[i] < 1) return wmk_fail(WMK_ERROR_ARGUMENT, "%s: size %lld of axis %u; sizes are at least 1", what, (long long)dims[i], i);
        if (!wmk_mul_u64(bytes, (uint64_t)dims[i], &bytes) || bytes > INT64_MAX)
            return wmk_fail(WMK_ERROR_ARGUMENT, "%s: its bytes do not fit 63 bits", what);
        type->dims[i] = dims[i];
    }
    return WMK_OK;
}

const char *wmk_type_text(const wmk_type *type, char text[WMK_TYPE_TEXT_MAX])
{
    size_t used = 0;
    if (!type->rank) (void)snprintf(text, WMK_TYPE_TEXT_MAX, "scalar");
    for (uint32_t i = 0; i < type->rank; i++)
        used += (size_t)snprintf(text + used, WMK_TYPE_TEXT_MAX - used, i ? "x%lld" : "%lld", (long long)type->dims[i]);
    return text;
}

wmk_status wmk_graph_create(wmk_graph **out) { return wmk_alloc(out, 1, sizeof **out); }

static void node_release(wmk_node *node)
{
    for (size_t i = 0; i < node->attribute_count; i++) {
        free((void *)node->attributes[i].name);
        free((void *)node->attributes[i].ints);
        free((void *)node->attributes[i].s);
    }
    free(node->attributes);
    free(node->name);
}

static void parameter_free(wmk_parameter *parameter)
{
    if (!parameter) return;
    free((void *)parameter->name);
    wmk_free_aligned(parameter->data);
    free(parameter);
}

void wmk_graph_free(wmk_graph *graph)
{
    if (!graph) return;
    for (size_t i = 0; i < graph->node_count; i++) node_release(&graph->nodes[i]);
    for (size_t i = 0; i < graph->parameter_count; i++) parameter_free(graph->parameters[i]);
    for (size_t i = 0; i < graph->input_count; i++) free(graph->inputs[i].name);
    free(graph->nodes);
    free(graph->parameters);
    free(graph->inputs);
    free(graph->values);
    free(graph);
}

/* Makes sure that `count` more values fit, so that adding them later cannot fail. */
static wmk_status reserve_values(wmk_graph *graph, size_t count)
{
    while (graph->value_count + count > graph->value_capacity)
        WMK_TRY(grow(&graph->values, graph->value_capacity, &graph->value_capacity, sizeof *graph->values));
    return graph->value_count + count < WMK_VALUE_NONE ? WMK_OK : wmk_fail(WMK_ERROR_ARGUMENT, "graph: too many values");
}

static wmk_value add_value(wmk_graph *graph, wmk_value_kind kind, size_t index)
{
    graph->values[graph->value_count] = (wmk_value_source){kind, index};
    return (wmk_value)graph->value_count++;
}

static bool name_taken(const wmk_graph *graph, const char *name)
{
    for (size_t i = 0; i < graph->input_count; i++)
        if (strcmp(graph->inputs[i].name, name) == 0) return true;
    return wmk_graph_find_parameter(graph, name) != NULL;
}

wmk_status wmk_graph_input(wmk_graph *graph, const char *name, wmk_dtype dtype, uint32_t rank, const int64_t *dims, wmk_value *out)
{
    if (dtype != WMK_F32 && dtype != WMK_I32)
        return wmk_fail(WMK_ERROR_ARGUMENT, "input %s: type %s; inputs are f32 or i32", name, wmk_dtype_name(dtype));
    if (name_taken(graph, name)) return wmk_fail(WMK_ERROR_ARGUMENT, "input %s: the name is taken", name);
    int64_t sizes[WMK_RANK_MAX] = {0};
    for (uint32_t i = 0; i < rank && i < WMK_RANK_MAX; i++) sizes[i] = i == 0 && dims[0] == 0 ? 1 : dims[i];
    wmk_graph_input_record record;
    WMK_TRY(wmk_type_make(&record.type, dtype, rank, sizes, name));
    if (rank) record.type.dims[0] = dims[0];
    WMK_TRY(grow(&graph->inputs, graph->input_count, &graph->input_capacity, sizeof record));
    WMK_TRY(reserve_values(graph, 1));
    WMK_TRY(wmk_strdup(&record.name, name));
    graph->inputs[graph->input_count] = record;
    *out = add_value(graph, WMK_VALUE_INPUT, graph->input_count++);
    return WMK_OK;
}

wmk_status wmk_graph_parameter(wmk_graph *graph, const char *name, wmk_parameter_role role, uint32_t rank, const int64_t *dims, wmk_value *out)
{
    if (name_taken(graph, name)) return wmk_fail(WMK_ERROR_ARGUMENT, "parameter %s: the name is taken", name);
    if (role != WMK_PARAMETER_TRAINED && role != WMK_PARAMETER_STATISTIC) return wmk_fail(WMK_ERROR_ARGUMENT, "parameter %s: no such role", name);
    wmk_type type;
    WMK_TRY(wmk_type_make(&type, WMK_F32, rank, dims, name));
    WMK_TRY(grow(&graph->parameters, graph->parameter_count, &graph->parameter_capacity, sizeof(void *)));
    WMK_TRY(reserve_values(graph, 1));
    wmk_parameter *parameter;
    WMK_TRY(wmk_alloc(&parameter, 1, sizeof *parameter));
    parameter->role = role;
    parameter->rank = rank;
    memcpy(parameter->dims, type.dims, sizeof parameter->dims);
    parameter->count = wmk_type_count(&type);
    wmk_status status = wmk_strdup((char **)&parameter->name, name);
    if (status == WMK_OK) status = wmk_alloc_aligned(&parameter->data, parameter->count * sizeof(float));
    if (status != WMK_OK) {
        parameter_free(parameter);
        return status;
    }
    graph->parameters[graph->parameter_count] = parameter;
    *out = parameter->value = add_value(graph, WMK_VALUE_PARAMETER, graph->parameter_count++);
    return WMK_OK;
}

static const char *kind_name(wmk_attribute_kind kind)
{
    static const char *const names[] = {"an integer", "a number", "a list of integers", "a string"};
    return (size_t)kind < sizeof names / sizeof *names ? names[kind] : "of no known kind";
}

static wmk_status copy_attribute(wmk_attribute *to, const wmk_attribute *from)
{
    *to = (wmk_attribute){.kind = from->kind, .i = from->i, .f = from->f, .ints_count = from->ints_count};
    WMK_TRY(wmk_strdup((char **)&to->name, from->name));
    if (from->kind == WMK_ATTRIBUTE_STRING) return wmk_strdup((char **)&to->s, from->s);
    if (from->kind != WMK_ATTRIBUTE_INTS) return WMK_OK;
    int64_t *ints;
    WMK_TRY(wmk_alloc(&ints, from->ints_count, sizeof *ints));
    if (from->ints_count) memcpy(ints, from->ints, from->ints_count * sizeof *ints);
    to->ints = ints;
    return WMK_OK;
}

static wmk_status check_attributes(const wmk_operator *op, const char *name, const wmk_attribute *attributes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const wmk_attribute_rule *rule = op->attributes;
        while (rule && rule->name && strcmp(rule->name, attributes[i].name) != 0) rule++;
        if (!rule || !rule->name) return wmk_fail(WMK_ERROR_ARGUMENT, "%s %s: no attribute '%s'", op->name, name, attributes[i].name);
        if (rule->kind != attributes[i].kind)
            return wmk_fail(WMK_ERROR_ARGUMENT, "%s %s: attribute '%s' is %s, not %s", op->name, name, rule->name, kind_name(rule->kind),
                            kind_name(attributes[i].kind));
        for (size_t j = 0; j < i; j++)
            if (strcmp(attributes[j].name, rule->name) == 0)
                return wmk_fail(WMK_ERROR_ARGUMENT, "%s %s: attribute '%s' twice", op->name, name, rule->name);
    }
    return WMK_OK;
}

static wmk_status check_inputs(const wmk_graph *graph, const wmk_operator *op, const char *name, const wmk_value *inputs, size_t count)
{
    if (count < op->inputs_min || count > op->inputs_max)
        return wmk_fail(WMK_ERROR_ARGUMENT, "%s %s: %zu inputs; it takes %u to %u", op->name, name, count, op->inputs_min, op->inputs_max);
    for (size_t i = 0; i < count; i++) {
        if (inputs[i] == WMK_VALUE_NONE && i >= op->inputs_min) continue;
        if (inputs[i] >= graph->value_count) return wmk_fail(WMK_ERROR_ARGUMENT, "%s %s: input %zu is no value of this graph", op->name, name, i);
    }
    return WMK_OK;
}

wmk_status wmk_graph_node(wmk_graph *graph, const char *op_name, const char *name, const wmk_value *inputs, size_t input_count,
                          const wmk_attribute *attributes, size_t attribute_count, wmk_value *outputs, size_t output_count)
{
    const wmk_operator *op = wmk_operator_find(op_name);
    if (!op) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: operator '%s' (node %s)", op_name, name);
    WMK_TRY(check_inputs(graph, op, name, inputs, input_count));
    if (output_count != 1) return wmk_fail(WMK_ERROR_ARGUMENT, "%s %s: %zu outputs; it has 1", op->name, name, output_count);
    WMK_TRY(check_attributes(op, name, attributes, attribute_count));

    wmk_node node = {.op = op, .input_count = input_count, .output_count = output_count};
    for (size_t i = 0; i < WMK_NODE_INPUTS_MAX; i++) node.inputs[i] = i < input_count ? inputs[i] : WMK_VALUE_NONE;
    wmk_status status = wmk_strdup(&node.name, name);
    if (status == WMK_OK) status = wmk_alloc(&node.attributes, attribute_count, sizeof *node.attributes);
    for (; status == WMK_OK && node.attribute_count < attribute_count; node.attribute_count++)
        status = copy_attribute(&node.attributes[node.attribute_count], &attributes[node.attribute_count]);
    if (status == WMK_OK && op->check) status = op->check(&node);
    if (status == WMK_OK) status = grow(&graph->nodes, graph->node_count, &graph->node_capacity, sizeof node);
    if (status == WMK_OK) status = reserve_values(graph, output_count);
    if (status != WMK_OK) {
        node_release(&node);
        return status;
    }
    for (size_t i = 0; i < output_count; i++) outputs[i] = node.outputs[i] = add_value(graph, WMK_VALUE_OUTPUT, graph->node_count);
    graph->nodes[graph->node_count++] = node;
    return WMK_OK;
}

const wmk_attribute *wmk_node_attribute(const wmk_node *node, const char *name)
{
    for (size_t i = 0; i < node->attribute_count; i++)
        if (strcmp(node->attributes[i].name, name) == 0) return &node->attributes[i];
    return NULL;
}

int64_t wmk_node_int(const wmk_node *node, const char *name, int64_t otherwise)
{
    const wmk_attribute *attribute = wmk_node_attribute(node, name);
    return attribute ? attribute->i : otherwise;
}

double wmk_node_float(const wmk_node *node, const char *name, double otherwise)
{
    const wmk_attribute *attribute = wmk_node_attribute(node, name);
    return attribute ? attribute->f : otherwise;
}

const char *wmk_node_string(const wmk_node *node, const char *name, const char *otherwise)
{
    const wmk_attribute *attribute = wmk_node_attribute(node, name);
    return attribute ? attribute->s : otherwise;
}

size_t wmk_graph_parameter_count(const wmk_graph *graph) { return graph->parameter_count; }

const wmk_parameter *wmk_graph_parameter_at(const wmk_graph *graph, size_t index)
{
    return index < graph->parameter_count ? graph->parameters[index] : NULL;
}

const wmk_parameter *wmk_graph_find_parameter(const wmk_graph *graph, const char *name)
{
    for (size_t i = 0; i < graph->parameter_count; i++)
        if (strcmp(graph->parameters[i]->name, name) == 0) return graph->parameters[i];
    return NULL;
}
