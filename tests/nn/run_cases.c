/* run_cases FOLDER reference|onednn: runs every line of cases.h forward and backward and leaves all numbers in files, for test_torch_operators.py.
 * run_cases --list: the lines.
 *
 * Line i writes i.<operand>.in (f32; labels i32) before the pass, then i.dst.out, i.loss.out and for each parameter i.<name>.out: its gradient, or for a
 * statistic its new value. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "net.h"

static const char *folder;

static void file_write(size_t i, const char *name, const char *suffix, const void *data, size_t count)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%zu.%s.%s", folder, i, name, suffix);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 4, count, file) != count || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

static void must(wmk_status status, const char *line)
{
    if (status == WMK_OK) return;
    fprintf(stderr, "%s: %s\n", line, wmk_error_message());
    exit(1);
}

static void line_run(size_t i, const char *line, wmk_engine engine)
{
    test_net net;
    wmk_plan *plan;
    must(net_build(&net, line), line);
    must(net_plan(&plan, &net, engine, WMK_PRECISION_F32), line);
    net_fill(&net, line, NET_SMOOTH, 100 + i);
    net_feed(&net, plan, 200 + i);
    for (size_t p = 0; p < wmk_graph_parameter_count(net.graph); ++p) {
        const wmk_parameter *parameter = wmk_graph_parameter_at(net.graph, p);
        file_write(i, parameter->name, "in", parameter->data, parameter->count);
    }
    if (net.scores != WMK_VALUE_NONE) file_write(i, "scores", "in", wmk_plan_input(plan, net.scores), net_count(plan, net.scores));
    if (net.labels != WMK_VALUE_NONE) file_write(i, "labels", "in", wmk_plan_input(plan, net.labels), net_count(plan, net.labels));
    if (net.targets != WMK_VALUE_NONE) file_write(i, "targets", "in", wmk_plan_input(plan, net.targets), net_count(plan, net.targets));
    must(wmk_plan_forward(plan), line);
    must(wmk_plan_backward(plan), line);
    file_write(i, "loss", "out", wmk_plan_output(plan, net.loss), 1);
    file_write(i, "dst", "out", wmk_plan_output(plan, net.dst), net_count(plan, net.dst));
    for (size_t p = 0; p < wmk_graph_parameter_count(net.graph); ++p) {
        const wmk_parameter *parameter = wmk_graph_parameter_at(net.graph, p);
        bool statistic = parameter->role == WMK_PARAMETER_STATISTIC;
        file_write(i, parameter->name, "out", statistic ? parameter->data : wmk_plan_gradient(plan, parameter->value), parameter->count);
    }
    wmk_plan_free(plan);
    net_free(&net);
}

int main(int argc, char **argv)
{
    bool list = argc == 2 && !strcmp(argv[1], "--list");
    if (!list && argc != 3) return 2;
    folder = argv[1];
    wmk_engine engine = !list && !strcmp(argv[2], "reference") ? WMK_ENGINE_REFERENCE : WMK_ENGINE_ONEDNN;
    const char *const *tables[] = {cases_small, cases_shapes};
    size_t count = 0;
    for (size_t t = 0; t < 2; ++t) {
        for (const char *const *line = tables[t]; *line; ++line, ++count) {
            if (list)
                puts(*line);
            else
                line_run(count, *line, engine);
        }
    }
    return 0;
}
