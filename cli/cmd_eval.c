/* cli/cmd_eval.c - weightmark eval: what a model is worth on test images. */
#include <stdio.h>

#include <weightmark/train.h>

#include "console.h"

typedef struct eval_settings {
    common_settings common;
    const char *data;
    uint64_t batch;
} eval_settings;

static int run(const cli_call *call)
{
    const eval_settings *settings = call->settings;
    wmk_model *model = NULL;
    wmk_eval_result result;
    wmk_status status = wmk_model_open(&model, call->operands.item[0]);
    if (status == WMK_OK) status = wmk_eval(model, settings->data, settings->batch, (int)call->common->threads, &result);
    wmk_model_close(model);
    if (status != WMK_OK) return library_error(call->command, status);
    if (call->common->json)
        return print_json(call, json_pack("{s:o, s:o, s:I}", "test_error", json_number(result.test_error), "loss", json_number(result.loss),
                                          "examples", (json_int_t)result.examples));
    printf("test error  %.2f %%\nloss        %.4f\nexamples    %llu\n", 100 * result.test_error, result.loss, (unsigned long long)result.examples);
    return EXIT_DONE;
}

static const option_spec options[] = {
    OPTION_DATA(eval_settings),
    {"batch", 0, OPTION_COUNT, "N", "0", false, "images at a time; 0: a good number", offsetof(eval_settings, batch)},
};

const cli_command command_eval = {
    .name = "eval",
    .operands = "MODEL",
    .operand_min = 1,
    .operand_max = 1,
    .summary = "test error and loss of a model that weightmark trained",
    .description = "Rebuilds the network from the model file and runs it over the test images of a data set.",
    .examples = "# Test error on Fashion-MNIST\n"
                "weightmark eval model.safetensors\n"
                "# On the files in a folder, for a script\n"
                "weightmark eval model.safetensors --data ./cifar-10-batches-bin --json",
    OPTION_ARRAY(options),
    .settings_bytes = sizeof(eval_settings),
    .run = run,
};
