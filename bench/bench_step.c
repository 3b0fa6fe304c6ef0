/* bench_step.c - one training step of WRN-10-4 (batch 64, 3x32x32, 10 classes) on random data: time, memory, and where the time goes.
 *
 *     bench_step [f32|bf16|reference] [steps] [--profile] [--batch N]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/resource.h>
#include <weightmark/nn.h>

#define CHECK(call)                                                                                                                                  \
    do {                                                                                                                                             \
        if ((call) != WMK_OK) {                                                                                                                      \
            fprintf(stderr, "%s\n", wmk_error_message());                                                                                            \
            exit(1);                                                                                                                                 \
        }                                                                                                                                            \
    } while (0)

static uint64_t random_state = 88172645463325252ULL;
static double uniform(void)
{
    random_state ^= random_state << 13, random_state ^= random_state >> 7, random_state ^= random_state << 17;
    return (double)(random_state >> 11) * 0x1p-53;
}

static wmk_value parameter(wmk_graph *graph, const char *name, wmk_parameter_role role, uint32_t rank, const int64_t *dims, double low, double high)
{
    wmk_value value;
    CHECK(wmk_graph_parameter(graph, name, role, rank, dims, &value));
    const wmk_parameter *p = wmk_graph_find_parameter(graph, name);
    for (size_t i = 0; i < p->count; i++) p->data[i] = (float)(low + (high - low) * uniform());
    return value;
}

static wmk_value node(wmk_graph *graph, const char *op, const char *name, const wmk_value *inputs, size_t count, const wmk_attribute *attributes,
                      size_t n)
{
    wmk_value out;
    CHECK(wmk_graph_node(graph, op, name, inputs, count, attributes, n, &out, 1));
    return out;
}

static wmk_value conv(wmk_graph *graph, const char *name, wmk_value src, int64_t ic, int64_t oc, int64_t kernel, int64_t stride)
{
    const double range = 2 / __builtin_sqrt((double)(ic * kernel * kernel));
    char text[64];
    snprintf(text, sizeof text, "%s.weight", name);
    const wmk_value weights = parameter(graph, text, WMK_PARAMETER_TRAINED, 4, (int64_t[]){oc, ic, kernel, kernel}, -range, range);
    const int64_t strides[2] = {stride, stride}, p = kernel / 2, pads[4] = {p, p, p, p};
    const wmk_attribute attributes[] = {{"strides", WMK_ATTRIBUTE_INTS, 0, 0, strides, 2, NULL}, {"pads", WMK_ATTRIBUTE_INTS, 0, 0, pads, 4, NULL}};
    return node(graph, "Conv", name, (wmk_value[]){src, weights}, 2, attributes, 2);
}

static wmk_value norm_relu(wmk_graph *graph, const char *name, wmk_value src, int64_t channels)
{
    static const struct {
        const char *name;
        wmk_parameter_role role;
        double value;
    } rows[] = {{"weight", WMK_PARAMETER_TRAINED, 1},
                {"bias", WMK_PARAMETER_TRAINED, 0},
                {"running_mean", WMK_PARAMETER_STATISTIC, 0},
                {"running_var", WMK_PARAMETER_STATISTIC, 1}};
    wmk_value inputs[5] = {src};
    char text[64];
    for (int i = 0; i < 4; i++) {
        snprintf(text, sizeof text, "%s.%s", name, rows[i].name);
        inputs[i + 1] = parameter(graph, text, rows[i].role, 1, &channels, rows[i].value, rows[i].value);
    }
    snprintf(text, sizeof text, "%s.relu", name);
    return node(graph, "Relu", text, (wmk_value[]){node(graph, "BatchNormalization", name, inputs, 5, NULL, 0)}, 1, NULL, 0);
}

static wmk_value block(wmk_graph *graph, const char *name, wmk_value src, int64_t ic, int64_t oc, int64_t stride)
{
    char text[64];
#define NAME(part) (snprintf(text, sizeof text, "%s.%s", name, part), text)
    const wmk_value active = norm_relu(graph, NAME("bn1"), src, ic);
    const wmk_value middle = norm_relu(graph, NAME("bn2"), conv(graph, NAME("conv1"), active, ic, oc, 3, stride), oc);
    const wmk_value main_path = conv(graph, NAME("conv2"), middle, oc, oc, 3, 1);
    const wmk_value shortcut = conv(graph, NAME("shortcut"), active, ic, oc, 1, stride);
    return node(graph, "Add", NAME("add"), (wmk_value[]){main_path, shortcut}, 2, NULL, 0);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static int ascending(const void *a, const void *b) { return *(const double *)a < *(const double *)b ? -1 : *(const double *)a > *(const double *)b; }

int main(int argc, char **argv)
{
    wmk_plan_options options = WMK_PLAN_OPTIONS_INIT;
    int steps = 20;
    bool profile = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "bf16") == 0)
            options.precision = WMK_PRECISION_BF16;
        else if (strcmp(argv[i], "reference") == 0)
            options.engine = WMK_ENGINE_REFERENCE;
        else if (strcmp(argv[i], "--profile") == 0)
            profile = true;
        else if (strcmp(argv[i], "--batch") == 0 && i + 1 < argc)
            options.batch = atoi(argv[++i]);
        else if (strcmp(argv[i], "f32") != 0)
            steps = atoi(argv[i]);
    }
    if (steps < 1) return 2;

    wmk_graph *graph;
    wmk_value images, labels;
    CHECK(wmk_graph_create(&graph));
    CHECK(wmk_graph_input(graph, "images", WMK_F32, 4, (int64_t[]){0, 3, 32, 32}, &images));
    CHECK(wmk_graph_input(graph, "labels", WMK_I32, 1, (int64_t[]){0}, &labels));
    wmk_value x = conv(graph, "conv1", images, 3, 16, 3, 1);
    x = block(graph, "conv2.0", x, 16, 64, 1);
    x = block(graph, "conv3.0", x, 64, 128, 2);
    x = block(graph, "conv4.0", x, 128, 256, 2);
    x = norm_relu(graph, "bn", x, 256);
    x = node(graph, "GlobalAveragePool", "pool", &x, 1, NULL, 0);
    x = node(graph, "Flatten", "flatten", &x, 1, NULL, 0);
    const wmk_value fc[3] = {x, parameter(graph, "fc.weight", WMK_PARAMETER_TRAINED, 2, (int64_t[]){10, 256}, -0.06, 0.06),
                             parameter(graph, "fc.bias", WMK_PARAMETER_TRAINED, 1, (int64_t[]){10}, 0, 0)};
    const wmk_value logits = node(graph, "Gemm", "fc", fc, 3, (const wmk_attribute[]){{"transB", WMK_ATTRIBUTE_INT, 1, 0, NULL, 0, NULL}}, 1);
    const wmk_value loss = node(graph, "SoftmaxCrossEntropyLoss", "loss", (wmk_value[]){logits, labels}, 2, NULL, 0);

    wmk_plan *plan;
    wmk_sgd *sgd;
    CHECK(wmk_plan_create(&plan, graph, (wmk_value[]){loss, logits}, 2, &options));
    CHECK(wmk_sgd_create(&sgd, graph, plan, 0.9, true, 5e-4));
    float *src = wmk_plan_input(plan, images);
    int32_t *classes = wmk_plan_input(plan, labels);
    for (int64_t i = 0; i < options.batch * 3 * 32 * 32; i++) src[i] = (float)(2 * uniform() - 1);
    for (int64_t i = 0; i < options.batch; i++) classes[i] = (int32_t)(10 * uniform());

    double *times = calloc((size_t)steps, sizeof *times), total[3] = {0};
    if (!times) return 4;
    for (int step = -2; step < steps; step++) {
        if (step == 0) wmk_plan_profile(plan, profile);
        const double start = now();
        CHECK(wmk_plan_forward(plan));
        const double middle = now();
        CHECK(wmk_plan_backward(plan));
        const double after = now();
        CHECK(wmk_sgd_step(sgd, 0.01));
        const double end = now();
        if (step < 0 || step == steps - 1) printf("step %d: loss %.6f\n", step, (double)*wmk_plan_output(plan, loss));
        if (step < 0) continue;
        times[step] = end - start;
        total[0] += middle - start, total[1] += after - middle, total[2] += end - after;
    }
    qsort(times, (size_t)steps, sizeof *times, ascending);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("step: median %.1f ms, best %.1f ms, %.0f images/s (median); mean: forward %.1f, backward %.1f, sgd %.1f ms\n", times[steps / 2], times[0],
           1e3 * (double)options.batch / times[steps / 2], total[0] / steps, total[1] / steps, total[2] / steps);
    printf("plan %.1f MB, process peak %.1f MB\n", (double)wmk_plan_memory_bytes(plan) / 1e6, (double)usage.ru_maxrss * 1024 / 1e6);
    if (profile) {
        char *text;
        CHECK(wmk_plan_describe(plan, &text));
        fputs(text, stdout);
        free(text);
    }
    free(times);
    wmk_sgd_free(sgd);
    wmk_plan_free(plan);
    wmk_graph_free(graph);
    return 0;
}
