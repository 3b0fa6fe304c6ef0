/* ONNX's own backend test data (Debian: libonnx-testdata): every stored case that is made of our operators alone is run by both engines.
 * A case that is refused must stand in onnx_refused.h with the reason; one that stands there and runs is a failure too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"
#include "nn/op.h"
#include "onnx_file.h"

static const char *const folders[] = {"node", "pytorch-converted", "pytorch-operator", "simple"};

#include "onnx_refused.h"

enum outcome { PASSED, REFUSED, WRONG };
static char message[512]; /* why it was refused */

typedef struct name_table { /* ONNX's value names and our numbers */
    char name[64][ONNX_NAME_MAX];
    wmk_value value[64];
    size_t count;
} name_table;

static wmk_value find(const name_table *names, const char *name)
{
    for (size_t i = 0; i < names->count; ++i)
        if (!strcmp(names->name[i], name)) return names->value[i];
    return WMK_VALUE_NONE;
}

static void bind(name_table *names, const char *name, wmk_value value)
{
    assert_true(names->count < sizeof names->value / sizeof *names->value);
    snprintf(names->name[names->count], ONNX_NAME_MAX, "%s", name);
    names->value[names->count++] = value;
}

/* Weights come as parameters, whatever the file calls them: all of Conv's and BatchNormalization's operands but the first, B and C of Gemm and MatMul. */
static bool is_parameter(const onnx_model *model, const char *name, wmk_parameter_role *role)
{
    *role = WMK_PARAMETER_TRAINED;
    for (size_t i = 0; i < model->node_count; ++i) {
        const onnx_node *node = &model->nodes[i];
        bool weighted =
            !strcmp(node->op, "Conv") || !strcmp(node->op, "BatchNormalization") || !strcmp(node->op, "Gemm") || !strcmp(node->op, "MatMul");
        for (size_t j = 1; j < node->input_count && weighted; ++j) {
            if (strcmp(node->inputs[j], name) != 0) continue;
            if (!strcmp(node->op, "BatchNormalization") && j >= 3) *role = WMK_PARAMETER_STATISTIC;
            return true;
        }
    }
    return false;
}

static wmk_status value_add(wmk_graph *graph, const onnx_model *model, const onnx_tensor *tensor, const char *name, name_table *names)
{
    wmk_value value;
    wmk_parameter_role role;
    wmk_status status;
    if (is_parameter(model, name, &role)) {
        status = wmk_graph_parameter(graph, name, role, (uint32_t)tensor->rank, tensor->dims, &value);
        if (status == WMK_OK) memcpy(wmk_graph_find_parameter(graph, name)->data, tensor->floats, 4 * tensor->count);
    } else {
        status = wmk_graph_input(graph, name, tensor->floats ? WMK_F32 : WMK_I32, (uint32_t)tensor->rank, tensor->dims, &value);
    }
    if (status == WMK_OK) bind(names, name, value);
    return status;
}

/* Up to opset 6 the file says what later became the only meaning. */
static bool is_obsolete(const onnx_model *model, const char *attribute)
{
    return model->opset < 7 && (!strcmp(attribute, "is_test") || !strcmp(attribute, "broadcast"));
}

static wmk_status node_add(wmk_graph *graph, const onnx_model *model, const onnx_node *node, name_table *names)
{
    wmk_value inputs[16], outputs[16];
    wmk_attribute attributes[16];
    size_t attribute_count = 0, output_count = node->output_count;
    for (size_t i = 0; i < node->input_count; ++i) inputs[i] = find(names, node->inputs[i]);
    for (size_t i = 0; i < node->attribute_count; ++i) {
        const onnx_attribute *from = &node->attributes[i];
        wmk_attribute *to = &attributes[attribute_count];
        *to =
            (wmk_attribute){.name = from->name, .i = from->i, .f = (double)from->f, .ints = from->ints, .ints_count = from->ints_count, .s = from->s};
        to->kind = from->type == 1   ? WMK_ATTRIBUTE_FLOAT
                   : from->type == 2 ? WMK_ATTRIBUTE_INT
                   : from->type == 3 ? WMK_ATTRIBUTE_STRING
                                     : WMK_ATTRIBUTE_INTS;
        attribute_count += !is_obsolete(model, from->name);
    }
    /* ONNX's other outputs of a training batch normalisation are our statistics, updated in place. */
    if (!strcmp(node->op, "BatchNormalization")) output_count = 1;
    wmk_status status = wmk_graph_node(graph, node->op, "node", inputs, node->input_count, attributes, attribute_count, outputs, output_count);
    for (size_t i = 0; i < output_count && status == WMK_OK; ++i) bind(names, node->outputs[i], outputs[i]);
    return status;
}

/* A plan in training mode needs a loss; its value does not matter here. */
static wmk_status loss_add(wmk_graph *graph, wmk_value value, wmk_value *labels, wmk_value *loss)
{
    wmk_value flat;
    wmk_status status = wmk_graph_node(graph, "Flatten", "flatten", &value, 1, NULL, 0, &flat, 1);
    if (status == WMK_OK) status = wmk_graph_input(graph, "loss_labels", WMK_I32, 1, (int64_t[]){0}, labels);
    if (status == WMK_OK) status = wmk_graph_node(graph, "SoftmaxCrossEntropyLoss", "loss", (wmk_value[]){flat, *labels}, 2, NULL, 0, loss, 1);
    return status;
}

typedef struct onnx_case { /* one case's files */
    onnx_model model;
    onnx_tensor inputs[16], outputs[16];
    size_t input_count, output_count;
} onnx_case;

static void stored_read(onnx_case *out, const char *folder)
{
    char path[2048];
    *out = (onnx_case){0};
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    if (!onnx_model_read(&out->model, path)) fail_msg("%s: cannot be read", path);
    for (int i = 0; i < 32; ++i) {
        bool output = i >= 16;
        snprintf(path, sizeof path, "%s/test_data_set_0/%s_%d.pb", folder, output ? "output" : "input", i % 16);
        if (!onnx_tensor_read(output ? &out->outputs[out->output_count] : &out->inputs[out->input_count], path)) continue;
        out->output_count += output;
        out->input_count += !output;
    }
}

static void stored_free(onnx_case *stored)
{
    onnx_model_free(&stored->model);
    for (size_t i = 0; i < 16; ++i) {
        onnx_tensor_free(&stored->inputs[i]);
        onnx_tensor_free(&stored->outputs[i]);
    }
}

static bool is_ours(const onnx_model *model)
{
    bool known = model->node_count > 0;
    for (size_t i = 0; i < model->node_count; ++i) known = known && wmk_operator_find(model->nodes[i].op);
    return known;
}

static wmk_status graph_build(wmk_graph *graph, const onnx_case *stored, name_table *names)
{
    const onnx_model *model = &stored->model;
    size_t fed = 0;
    for (size_t i = 0; i < model->input_count; ++i) {
        const onnx_tensor *tensor = NULL;
        for (size_t j = 0; j < model->initializer_count; ++j)
            if (!strcmp(model->initializers[j].name, model->inputs[i])) tensor = &model->initializers[j];
        if (!tensor) tensor = &stored->inputs[fed++];
        wmk_status status = value_add(graph, model, tensor, model->inputs[i], names);
        if (status != WMK_OK) return status;
    }
    for (size_t i = 0; i < model->node_count; ++i) {
        wmk_status status = node_add(graph, model, &model->nodes[i], names);
        if (status != WMK_OK) return status;
    }
    return WMK_OK;
}

static void inputs_write(wmk_plan *plan, const onnx_case *stored, const name_table *names)
{
    size_t fed = 0;
    for (size_t i = 0; i < stored->model.input_count; ++i) {
        const char *name = stored->model.inputs[i];
        bool initialised = false;
        for (size_t j = 0; j < stored->model.initializer_count; ++j) initialised |= !strcmp(stored->model.initializers[j].name, name);
        if (initialised) continue;
        const onnx_tensor *tensor = &stored->inputs[fed++];
        void *input = wmk_plan_input(plan, find(names, name));
        if (!input) continue;
        if (tensor->floats) memcpy(input, tensor->floats, 4 * tensor->count);
        for (size_t j = 0; j < tensor->count && tensor->integers; ++j) ((int32_t *)input)[j] = (int32_t)tensor->integers[j];
    }
}

/* Outputs in the plan, or statistics that took ONNX's place for them. */
static bool outputs_agree(const char *folder, const wmk_plan *plan, const wmk_graph *graph, const onnx_case *stored, const name_table *names,
                          wmk_precision precision)
{
    bool good = true;
    for (size_t i = 0; i < stored->output_count; ++i) {
        const onnx_tensor *expected = &stored->outputs[i];
        const float *got = wmk_plan_output(plan, find(names, stored->model.outputs[i]));
        int64_t dims[WMK_RANK_MAX];
        if (i > 0 && !got) {
            const onnx_node *node = &stored->model.nodes[0]; /* BatchNormalization(X, scale, B, mean, var) -> Y, mean, var */
            got = wmk_graph_find_parameter(graph, node->inputs[i + 2])->data;
        } else {
            good &= wmk_plan_shape(plan, find(names, stored->model.outputs[i]), dims) == expected->rank;
            for (size_t axis = 0; axis < expected->rank && good; ++axis) good &= dims[axis] == expected->dims[axis];
            if (!good) fprintf(stderr, "%s: output %zu has another shape\n", folder, i);
        }
        if (precision == WMK_PRECISION_F32)
            good = good && net_close(folder, got, expected->floats, expected->count, 2e-6, 1e-4);
        else
            good = good && net_close_norm(folder, got, expected->floats, expected->count, 1e-2);
    }
    return good;
}

static enum outcome case_run(const char *folder, const onnx_case *stored, wmk_engine engine, wmk_precision precision)
{
    for (size_t i = 0; i < stored->input_count; ++i) {
        if (stored->inputs[i].floats || stored->inputs[i].integers) continue;
        snprintf(message, sizeof message, "ONNX element type %d", stored->inputs[i].type);
        return REFUSED;
    }
    static name_table names;
    names.count = 0;
    wmk_graph *graph;
    wmk_plan *plan = NULL;
    assert_int_equal(wmk_graph_create(&graph), WMK_OK);
    wmk_status status = graph_build(graph, stored, &names);

    wmk_value outputs[16], labels = WMK_VALUE_NONE;
    size_t output_count = 0;
    bool training = strstr(folder, "training_mode") != NULL;
    wmk_plan_options options = WMK_PLAN_OPTIONS_INIT;
    options.batch = stored->inputs[0].rank ? stored->inputs[0].dims[0] : 1;
    options.mode = training ? WMK_TRAINING : WMK_INFERENCE;
    options.engine = engine;
    options.precision = precision;
    if (status == WMK_OK && training) status = loss_add(graph, find(&names, stored->model.outputs[0]), &labels, &outputs[output_count++]);
    for (size_t i = 0; i < stored->model.output_count; ++i)
        if (find(&names, stored->model.outputs[i]) != WMK_VALUE_NONE) outputs[output_count++] = find(&names, stored->model.outputs[i]);
    if (status == WMK_OK) status = wmk_plan_create(&plan, graph, outputs, output_count, &options);

    enum outcome outcome = REFUSED;
    if (status == WMK_OK) {
        inputs_write(plan, stored, &names);
        status = wmk_plan_forward(plan);
        outcome = status == WMK_OK && outputs_agree(folder, plan, graph, stored, &names, precision) ? PASSED : WRONG;
    }
    if (status != WMK_OK) snprintf(message, sizeof message, "%s: %s", wmk_status_name(status), wmk_error_message());
    wmk_plan_free(plan);
    wmk_graph_free(graph);
    return outcome;
}

static const char *reason_of(const char *name)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; ++i)
        if (!strcmp(refused[i].name, name)) return refused[i].reason;
    return NULL;
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static void run_all(wmk_engine engine, wmk_precision precision)
{
    size_t passed = 0, skipped = 0, failed = 0;
    for (size_t f = 0; f < sizeof folders / sizeof *folders; ++f) {
        char path[512];
        struct dirent **entries;
        snprintf(path, sizeof path, "%s/%s", WMK_ONNX_TEST_DATA, folders[f]);
        int count = scandir(path, &entries, NULL, by_name);
        assert_true(count > 0);
        for (int i = 0; i < count; ++i) {
            const char *name = entries[i]->d_name, *reason = reason_of(name);
            char folder[1024];
            static onnx_case stored;
            snprintf(folder, sizeof folder, "%s/%s", path, name);
            if (name[0] != '.') stored_read(&stored, folder);
            if (name[0] != '.' && is_ours(&stored.model)) {
                enum outcome outcome = case_run(folder, &stored, engine, precision);
                if (outcome == REFUSED && reason) printf("SKIP %s: %s\n", name, reason);
                if (outcome == REFUSED && !reason) fprintf(stderr, "%s: refused: %s\n", name, message);
                if (outcome == PASSED && reason) fprintf(stderr, "%s: runs, so it must leave the list of refusals\n", name);
                if (outcome == WRONG) fprintf(stderr, "%s: wrong\n", name);
                passed += outcome == PASSED && !reason;
                skipped += outcome == REFUSED && reason;
                failed += outcome == WRONG || (outcome == PASSED) == (reason != NULL);
            }
            if (name[0] != '.') stored_free(&stored);
            free(entries[i]);
        }
        free(entries);
    }
    printf("ONNX cases: %zu passed, %zu skipped by name, %zu failed\n", passed, skipped, failed);
    assert_int_equal(failed, 0);
    assert_true(passed > 100);
}

static void reference(void **state)
{
    (void)state;
    run_all(WMK_ENGINE_REFERENCE, WMK_PRECISION_F32);
}

static void onednn(void **state)
{
    (void)state;
    run_all(WMK_ENGINE_ONEDNN, WMK_PRECISION_F32);
}

static void onednn_bf16(void **state)
{
    (void)state;
    if (!net_precision_works(WMK_ENGINE_ONEDNN, WMK_PRECISION_BF16)) skip();
    run_all(WMK_ENGINE_ONEDNN, WMK_PRECISION_BF16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reference), cmocka_unit_test(onednn), cmocka_unit_test(onednn_bf16)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
