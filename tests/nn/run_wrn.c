/* run_wrn FOLDER [reference|onednn] [f32|bf16] [labels|targets] BATCH STEPS: trains the tests' residual network and leaves every number in files, for
 * tests/nn/test_torch.py. run_wrn --list: the parameters, a line each: name, role, shape.
 *
 * Reads FOLDER/<name>.f32 for every parameter, images.f32 [steps][batch][3][16][16], labels.i32 [steps][batch], targets.f32 [steps][batch][10].
 * Writes loss.out [steps], logits.out (of the first step), gradient.<name>.out (of the first step), first.<name>.out (statistics after the first step), last.<name>.out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wrn.h"

#define SIDE 16
#define CLASSES 10

static const char *folder;

static FILE *file_open(const char *name, const char *suffix, const char *mode)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s%s", folder, name, suffix);
    FILE *file = fopen(path, mode);
    if (!file) {
        perror(path);
        exit(1);
    }
    return file;
}

static void file_read(const char *name, const char *suffix, void *data, size_t count)
{
    FILE *file = file_open(name, suffix, "rb");
    if (fread(data, 4, count, file) != count) exit(1);
    fclose(file);
}

static void file_write(const char *prefix, const char *name, const float *data, size_t count)
{
    char full[256];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    FILE *file = file_open(full, ".out", "wb");
    if (fwrite(data, 4, count, file) != count || fclose(file) != 0) exit(1);
}

static void must(wmk_status status)
{
    if (status == WMK_OK) return;
    fprintf(stderr, "run_wrn: %s: %s\n", wmk_status_name(status), wmk_error_message());
    exit(status == WMK_ERROR_UNSUPPORTED ? 3 : 1);
}

static void parameters_list(const wmk_graph *graph)
{
    for (size_t p = 0; p < wmk_graph_parameter_count(graph); ++p) {
        const wmk_parameter *parameter = wmk_graph_parameter_at(graph, p);
        printf("%s %s", parameter->name, parameter->role == WMK_PARAMETER_TRAINED ? "trained" : "statistic");
        for (uint32_t axis = 0; axis < parameter->rank; ++axis) printf(" %lld", (long long)parameter->dims[axis]);
        printf("\n");
    }
}

/* An input of all steps; only the plan's share of it is copied before a step. */
static void *input_all(const char *name, const char *suffix, size_t count)
{
    void *all = malloc(4 * count);
    file_read(name, suffix, all, count);
    return all;
}

static void step_write(const test_wrn *net, wmk_plan *plan)
{
    file_write("", "logits", wmk_plan_output(plan, net->logits), net_count(plan, net->logits));
    for (size_t p = 0; p < wmk_graph_parameter_count(net->graph); ++p) {
        const wmk_parameter *parameter = wmk_graph_parameter_at(net->graph, p);
        if (parameter->role == WMK_PARAMETER_TRAINED)
            file_write("gradient.", parameter->name, wmk_plan_gradient(plan, parameter->value), parameter->count);
        else
            file_write("first.", parameter->name, parameter->data, parameter->count);
    }
}

int main(int argc, char **argv)
{
    test_wrn net;
    wrn_build(&net, 1, 1, SIDE, CLASSES, 1);
    if (argc == 2 && !strcmp(argv[1], "--list")) {
        parameters_list(net.graph);
        wmk_graph_free(net.graph);
        return 0;
    }
    if (argc != 7) return 2;
    folder = argv[1];
    bool soft = !strcmp(argv[4], "targets");
    size_t batch = (size_t)atoi(argv[5]), steps = (size_t)atoi(argv[6]), pixels = batch * 3 * SIDE * SIDE;
    wmk_plan_options options = WMK_PLAN_OPTIONS_INIT;
    options.batch = (int64_t)batch;
    options.engine = strcmp(argv[2], "reference") == 0 ? WMK_ENGINE_REFERENCE : WMK_ENGINE_ONEDNN;
    options.precision = strcmp(argv[3], "bf16") == 0 ? WMK_PRECISION_BF16 : WMK_PRECISION_F32;

    for (size_t p = 0; p < wmk_graph_parameter_count(net.graph); ++p) {
        const wmk_parameter *parameter = wmk_graph_parameter_at(net.graph, p);
        file_read(parameter->name, ".f32", parameter->data, parameter->count);
    }
    float *images = input_all("images", ".f32", steps * pixels), *targets = input_all("targets", ".f32", steps * batch * CLASSES);
    int32_t *labels = input_all("labels", ".i32", steps * batch);
    float *losses = calloc(steps, sizeof *losses);

    wmk_plan *plan;
    wmk_sgd *sgd;
    wmk_value loss = soft ? net.soft_loss : net.loss;
    must(wmk_plan_create(&plan, net.graph, (wmk_value[]){loss, net.logits}, 2, &options));
    must(wmk_sgd_create(&sgd, net.graph, plan, 0.9, true, 5e-4));
    for (size_t step = 0; step < steps; ++step) {
        memcpy(wmk_plan_input(plan, net.images), images + step * pixels, 4 * pixels);
        if (soft)
            memcpy(wmk_plan_input(plan, net.targets), targets + step * batch * CLASSES, 4 * batch * CLASSES);
        else
            memcpy(wmk_plan_input(plan, net.labels), labels + step * batch, 4 * batch);
        must(wmk_plan_forward(plan));
        must(wmk_plan_backward(plan));
        losses[step] = wmk_plan_output(plan, loss)[0];
        if (step == 0) step_write(&net, plan);
        must(wmk_sgd_step(sgd, 0.05));
    }
    file_write("", "loss", losses, steps);
    for (size_t p = 0; p < wmk_graph_parameter_count(net.graph); ++p) {
        const wmk_parameter *parameter = wmk_graph_parameter_at(net.graph, p);
        file_write("last.", parameter->name, parameter->data, parameter->count);
    }
    wmk_sgd_free(sgd);
    wmk_plan_free(plan);
    wmk_graph_free(net.graph);
    free(images);
    free(targets);
    free(labels);
    free(losses);
    return 0;
}
