/* cli/cmd_inspect.c - weightmark inspect: what lies in a model file and which of it can carry a mark. */
#include <stdio.h>
#include <string.h>

#include <weightmark/mark_file.h>

#include "key_file.h"

typedef struct inspect_settings {
    common_settings common;
} inspect_settings;

static uint64_t elements(const wmk_target *target)
{
    uint64_t count = 1;
    for (uint32_t i = 0; i < target->rank; i++) count *= target->shape[i];
    return count;
}

/* M of the paper: weights a filter, the product of all axes but O. */
static uint64_t mean_m(const wmk_target *target)
{
    uint64_t m = 1;
    for (uint32_t i = 0; i < target->rank; i++)
        if (target->layout[i] != 'O') m *= target->shape[i];
    return m;
}

/* Targets keep the model's order, so one walk pairs them up. */
static const wmk_target *target_of(const wmk_targets *targets, size_t *next, const char *name)
{
    if (*next == targets->count || strcmp(targets->target[*next].name, name) != 0) return NULL;
    return &targets->target[(*next)++];
}

static json_t *model_json(const wmk_model *model, const wmk_targets *targets)
{
    json_t *tensors = json_array();
    size_t next = 0;
    for (size_t i = 0; i < wmk_model_tensor_count(model); i++) {
        const wmk_tensor_view *view = &wmk_model_tensor_at(model, i)->view;
        const wmk_target *target = target_of(targets, &next, view->name);
        json_append(&tensors,
                    json_pack("{s:o, s:s, s:o, s:b, s:I}", "name", json_text(view->name), "dtype", wmk_dtype_name(view->dtype), "shape",
                              shape_json(view->rank, view->shape), "embeddable", target != NULL, "m", (json_int_t)(target ? mean_m(target) : 0)));
    }
    return json_pack("{s:s, s:o}", "format", wmk_model_format(model), "tensors", tensors);
}

static int widest_name(const wmk_model *model)
{
    size_t width = strlen("tensor");
    for (size_t i = 0; i < wmk_model_tensor_count(model); i++) {
        size_t length = strlen(wmk_model_tensor_at(model, i)->view.name);
        if (length > width) width = length;
    }
    return width < 60 ? (int)width : 60;
}

static void print_model(const wmk_model *model, const wmk_targets *targets)
{
    int width = widest_name(model);
    size_t next = 0;
    uint64_t total = 0, largest = 0;
    printf("%s, %s, %zu tensors\n", wmk_model_path(model), wmk_model_format(model), wmk_model_tensor_count(model));
    printf("%-*s  %-7s %-20s %s\n", width, "tensor", "type", "shape", "M");
    for (size_t i = 0; i < wmk_model_tensor_count(model); i++) {
        const wmk_tensor_view *view = &wmk_model_tensor_at(model, i)->view;
        const wmk_target *target = target_of(targets, &next, view->name);
        char shape[256];
        shape_text(view->rank, view->shape, shape, sizeof shape);
        print_name(view->name, width);
        printf("  %-7s %-20s ", wmk_dtype_name(view->dtype), shape);
        if (!target) {
            printf("-\n");
            continue;
        }
        printf("%llu\n", (unsigned long long)mean_m(target));
        total += elements(target);
        if (mean_m(target) > largest) largest = mean_m(target);
    }
    if (targets->count == 0)
        printf("no tensor can carry a mark\n");
    else
        printf("%zu tensors can carry a mark: up to %llu bits in the mean over filters of one of them (T <= M), or spread over all %llu weights\n",
               targets->count, (unsigned long long)(largest < WMK_BITS_MAX ? largest : WMK_BITS_MAX), (unsigned long long)total);
}

static int run(const cli_call *call)
{
    wmk_model *model = NULL;
    wmk_targets targets = {0};
    int exit_code = EXIT_DONE;
    wmk_status status = wmk_model_open(&model, call->operands.item[0]);
    if (status == WMK_OK) status = wmk_targets_of_model(&targets, model);
    if (status != WMK_OK)
        exit_code = library_error(call->command, status);
    else if (call->common->json)
        exit_code = print_json(call, model_json(model, &targets));
    else
        print_model(model, &targets);
    wmk_targets_free(&targets);
    wmk_model_close(model);
    return exit_code;
}

const cli_command command_inspect = {
    .name = "inspect",
    .operands = "MODEL",
    .operand_min = 1,
    .operand_max = 1,
    .summary = "list a model's tensors and which can carry a mark",
    .description =
        "Lists name, element type and shape of every tensor. M is the length of the paper's carrier, the mean over the filters of that tensor: it\n"
        "bounds the bits a direct (T <= M), diff (2T <= M) or random mark can hold there; - stands where no mark can go.",
    .examples = "# Where could a mark go?\n"
                "weightmark inspect model.safetensors\n"
                "# Names of all tensors that can carry one\n"
                "weightmark inspect model.safetensors --json | jq -r '.tensors[] | select(.embeddable) | .name'",
    .settings_bytes = sizeof(inspect_settings),
    .run = run,
};
