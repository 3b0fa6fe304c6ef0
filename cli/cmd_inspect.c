/* cli/cmd_inspect.c - weightmark inspect: what lies in a model file and which of it can carry a mark. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <weightmark/mark_file.h>

#include "key_file.h"
#include "signature.h"
#include "tree.h"

typedef struct inspect_settings {
    common_settings common;
    bool tree;
} inspect_settings;

/* What the cost of a mark is told for. */
static const double margins[] = {1, 2, 4, 8};
enum { MARGINS = sizeof margins / sizeof margins[0], COST_BITS = 256 };

/* What is said of a model, beside its tensors. */
typedef struct overview {
    const wmk_model *model;
    wmk_targets targets;
    signature_list signatures;
    uint64_t weights, largest; /* of the targets: all together; the largest M */
    uint64_t bytes;
} overview;

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
    if (!targets->target || *next == targets->count) return NULL;
    const char *in_file = targets->in_file && targets->in_file[*next] ? targets->in_file[*next] : targets->target[*next].name;
    if (strcmp(in_file, name) != 0) return NULL;
    return &targets->target[(*next)++];
}

/* Values that a key can be read from, though none can be written. */
static bool is_read_only(const wmk_model_tensor *tensor)
{
    const wmk_tensor_view *view = &tensor->view;
    return (view->data || tensor->packed) && view->rank >= 2 && wmk_tensor_is_readable(view) && !wmk_tensor_is_writable(view);
}

static void count_up(overview *o)
{
    for (size_t i = 0; i < o->targets.count; i++) {
        uint64_t m = mean_m(&o->targets.target[i]);
        o->weights += elements(&o->targets.target[i]);
        if (m > o->largest) o->largest = m;
    }
    for (size_t i = 0; i < wmk_model_tensor_count(o->model); i++) o->bytes += wmk_model_tensor_at(o->model, i)->size_bytes;
}

/* ---- JSON ---- */

static json_t *tensors_json(const overview *o)
{
    json_t *tensors = json_array();
    size_t next = 0;
    for (size_t i = 0; i < wmk_model_tensor_count(o->model); i++) {
        const wmk_model_tensor *tensor = wmk_model_tensor_at(o->model, i);
        const wmk_tensor_view *view = &tensor->view;
        const wmk_target *target = target_of(&o->targets, &next, view->name);
        json_append(&tensors, json_pack("{s:o, s:s, s:o, s:b, s:I, s:s, s:b, s:I, s:i, s:o}", "name", json_text(view->name), "dtype",
                                        wmk_dtype_name(view->dtype), "shape", shape_json(view->rank, view->shape), "embeddable", target != NULL, "m",
                                        (json_int_t)(target ? mean_m(target) : 0), "layout", view->layout, "readable",
                                        (view->data || tensor->packed) && wmk_tensor_is_readable(view), "bytes", (json_int_t)tensor->size_bytes,
                                        "file", (int)tensor->file, "alias", tensor->alias ? json_text(tensor->alias) : json_null()));
    }
    return tensors;
}

static json_t *model_json(const overview *o)
{
    json_t *files = json_array(), *costs = json_array(), *signatures = json_array();
    for (uint32_t i = 0; i < wmk_model_file_count(o->model); i++) json_append(&files, json_text(wmk_model_file_path(o->model, i)));
    for (size_t i = 0; i < MARGINS; i++)
        json_append(&costs,
                    json_pack("{s:f, s:o}", "margin", margins[i], "relative_change", json_number(wmk_mark_cost(o->weights, COST_BITS, margins[i]))));
    for (size_t i = 0; i < o->signatures.count; i++) json_append(&signatures, json_text(o->signatures.name[i]));
    return json_pack("{s:s, s:o, s:o, s:I, s:o, s:o}", "format", wmk_model_format(o->model), "tensors", tensors_json(o), "files", files, "weights",
                     (json_int_t)o->weights, "costs", costs, "signatures", signatures);
}

/* ---- words ---- */

static int widest_name(const wmk_model *model)
{
    size_t width = strlen("tensor");
    for (size_t i = 0; i < wmk_model_tensor_count(model); i++) {
        size_t length = strlen(wmk_model_tensor_at(model, i)->view.name);
        if (length > width) width = length;
    }
    return width < 60 ? (int)width : 60;
}

static void print_list(const overview *o)
{
    int width = widest_name(o->model);
    size_t next = 0;
    printf("%-*s  %-7s %-20s %-10s %9s\n", width, "tensor", "type", "shape", "M", "size");
    for (size_t i = 0; i < wmk_model_tensor_count(o->model); i++) {
        const wmk_model_tensor *tensor = wmk_model_tensor_at(o->model, i);
        const wmk_tensor_view *view = &tensor->view;
        const wmk_target *target = target_of(&o->targets, &next, view->name);
        char shape[256], size[32], m[32] = "-";
        shape_text(view->rank, view->shape, shape, sizeof shape);
        bytes_text(tensor->size_bytes, size, sizeof size);
        if (target)
            snprintf(m, sizeof m, "%llu", (unsigned long long)mean_m(target));
        else if (is_read_only(tensor))
            snprintf(m, sizeof m, "read only");
        print_name(view->name, width);
        printf("  %-7s %-20s %-10s %9s\n", wmk_dtype_name(view->dtype), shape, m, size);
    }
}

static void print_capacity(const overview *o)
{
    size_t read_only = 0;
    for (size_t i = 0; i < wmk_model_tensor_count(o->model); i++) read_only += is_read_only(wmk_model_tensor_at(o->model, i));
    if (o->targets.count == 0) {
        printf("no tensor can carry a mark\n");
    } else {
        printf("%zu tensors can carry a mark: up to %llu bits in the mean over filters of one of them (T <= M), or spread over all %llu weights\n",
               o->targets.count, (unsigned long long)(o->largest < WMK_BITS_MAX ? o->largest : WMK_BITS_MAX), (unsigned long long)o->weights);
        printf("%d bits over all of them change the weights by", COST_BITS);
        for (size_t i = 0; i < MARGINS; i++) {
            double cost = wmk_mark_cost(o->weights, COST_BITS, margins[i]);
            if (isfinite(cost))
                printf("%s %.2g %% at margin %g", i ? "," : "", 100 * cost, margins[i]);
            else
                printf("%s too much at margin %g", i ? "," : "", margins[i]);
        }
        putchar('\n');
    }
    if (read_only) printf("from %zu more a mark can be read, but none can be written\n", read_only);
}

static int print_model(const cli_call *call, const overview *o)
{
    const inspect_settings *settings = call->settings;
    uint32_t files = wmk_model_file_count(o->model);
    char size[32], of[48] = "";
    bytes_text(o->bytes, size, sizeof size);
    if (files > 1) snprintf(of, sizeof of, " in %u files", files);
    printf("%s, %s, %zu tensors, %s%s\n", wmk_model_path(o->model), wmk_model_format(o->model), wmk_model_tensor_count(o->model), size, of);
    for (uint32_t i = 0; files > 1 && i < files; i++) {
        printf("file      ");
        print_name(wmk_model_file_path(o->model, i), 0);
        putchar('\n');
    }
    if (!settings->tree)
        print_list(o);
    else if (!tree_print(o->model))
        return complain(call->command, EXIT_SYSTEM, "out of memory");
    print_capacity(o);
    for (size_t i = 0; i < o->signatures.count; i++) {
        printf("signed    ");
        print_name(o->signatures.name[i], 0);
        printf(" (a mark breaks it)\n");
    }
    return EXIT_DONE;
}

static int run(const cli_call *call)
{
    wmk_model *model = NULL;
    overview o = {0};
    int exit_code = EXIT_DONE;
    wmk_status status = wmk_model_open(&model, call->operands.item[0]);
    if (status == WMK_OK) status = wmk_targets_of_model(&o.targets, model);
    o.model = model;
    if (status != WMK_OK)
        exit_code = library_error(call->command, status);
    else if (!signatures_of(&o.signatures, model))
        exit_code = complain(call->command, EXIT_SYSTEM, "out of memory");
    if (exit_code == EXIT_DONE) {
        count_up(&o);
        exit_code = call->common->json ? print_json(call, model_json(&o)) : print_model(call, &o);
    }
    signatures_free(&o.signatures);
    wmk_targets_free(&o.targets);
    wmk_model_close(model);
    return exit_code;
}

static const option_spec options[] = {
    {"tree", 0, OPTION_FLAG, NULL, NULL, false, "tensors by the parts of their names, layers that are alike as one",
     offsetof(inspect_settings, tree)},
};

const cli_command command_inspect = {
    .name = "inspect",
    .operands = "MODEL",
    .operand_min = 1,
    .operand_max = 1,
    .summary = "list a model's tensors and which can carry a mark",
    .description = "Lists name, element type, shape and size of every tensor of a model file or folder. M is the length of the paper's carrier, the "
                   "mean over the filters of that\n"
                   "tensor: it bounds the bits a direct (T <= M), diff (2T <= M) or random mark can hold there; - stands where no mark can go, read "
                   "only where one can be found\n"
                   "but not put (values that were quantised).\n\n"
                   "Then says how much of the weights a mark of 256 bits over all of them changes, ||dW|| / ||W||, for margins from weak to strong, "
                   "and names signatures that "
                   "the\n"
                   "model carries: a mark changes bytes, so they no longer hold.",
    .examples = "# Where could a mark go?\n"
                "weightmark inspect model.safetensors\n"
                "# A large model at a glance\n"
                "weightmark inspect model-folder/ --tree\n"
                "# Names of all tensors that can carry one\n"
                "weightmark inspect model.safetensors --json | jq -r '.tensors[] | select(.embeddable) | .name'",
    OPTION_ARRAY(options),
    .settings_bytes = sizeof(inspect_settings),
    .run = run,
};
