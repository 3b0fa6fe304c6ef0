/* cli/cmd_train.c - weightmark train: the paper's three situations (Table 2), from one command. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weightmark/train.h>

#include "interrupt.h"
#include "key_file.h"
#include "progress.h"

typedef struct train_settings {
    common_settings common;
    const char *output, *host, *init, *teacher, *data, *schedule, *augment, *precision, *history, *checkpoint, *passphrase_file;
    text_list keys;
    uint64_t batch, seed;
    double epochs, rate, momentum, weight_decay, lambda, kappa, checkpoint_seconds;
    bool resume, force;
} train_settings;

static void keys_free(wmk_key **keys, size_t count)
{
    for (size_t i = 0; i < count; i++) wmk_key_free(keys[i]);
    free(keys);
}

static int keys_open(const cli_call *call, wmk_key ***out)
{
    const train_settings *settings = call->settings;
    wmk_key **keys = calloc(settings->keys.count + 1, sizeof(wmk_key *));
    if (!keys) return complain(call->command, EXIT_SYSTEM, "out of memory");
    int exit_code = EXIT_DONE;
    for (size_t i = 0; exit_code == EXIT_DONE && i < settings->keys.count; i++)
        exit_code = key_open(call->command, &keys[i], settings->keys.item[i], settings->passphrase_file);
    *out = keys;
    return exit_code;
}

static wmk_augmentation augmentation_of(const char *name)
{
    return strcmp(name, "none") == 0 ? WMK_AUGMENT_NONE : strcmp(name, "reference") == 0 ? WMK_AUGMENT_REFERENCE : WMK_AUGMENT_CROP_FLIP;
}

static wmk_train_options options_of(const train_settings *settings, wmk_key *const *keys, cli_progress *progress)
{
    wmk_train_options options = WMK_TRAIN_OPTIONS_INIT;
    options.host = settings->host;
    options.init = settings->init;
    options.teacher = settings->teacher;
    options.data = settings->data;
    options.keys = (const wmk_key *const *)keys;
    options.key_count = settings->keys.count;
    options.epochs = settings->epochs;
    options.batch = settings->batch;
    options.rate = settings->rate;
    options.schedule = settings->schedule;
    options.momentum = settings->momentum;
    options.weight_decay = settings->weight_decay;
    options.augmentation = augmentation_of(settings->augment);
    options.lambda = settings->lambda;
    options.kappa = settings->kappa;
    options.precision = strcmp(settings->precision, "bf16") == 0 ? WMK_PRECISION_BF16 : WMK_PRECISION_F32;
    options.seed = settings->seed;
    options.threads = (int)settings->common.threads;
    options.output = settings->output;
    options.replace = settings->force;
    options.history = settings->history;
    options.checkpoint = settings->checkpoint;
    options.checkpoint_seconds = settings->checkpoint_seconds;
    options.resume = settings->resume;
    options.progress = progress_step;
    options.payload = progress;
    return options;
}

static int check(const cli_call *call)
{
    const train_settings *settings = call->settings;
    if (!settings->host == !settings->init) return usage_error(call->command, "either --host or --init must be given");
    if (settings->teacher && !settings->init) return usage_error(call->command, "--teacher needs --init");
    if (settings->resume && !settings->checkpoint) return usage_error(call->command, "--resume needs --checkpoint");
    if (!(settings->epochs > 0)) return usage_error(call->command, "--epochs: %g is not more than 0", settings->epochs);
    return EXIT_DONE;
}

static json_t *result_json(const train_settings *settings, const wmk_train_result *result)
{
    return json_pack("{s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "model", json_text(settings->output), "steps", (json_int_t)result->steps,
                     "seconds", json_number(result->seconds), "images_per_second", json_number(result->images_per_second), "train_loss",
                     json_number(result->train_loss), "test_error", json_number(result->test_error), "test_loss", json_number(result->test_loss),
                     "e_r", json_number(result->e_r), "ber", json_number(result->ber));
}

static int report_result(const cli_call *call, const wmk_train_result *result)
{
    const train_settings *settings = call->settings;
    if (call->common->json) return print_json(call, result_json(settings, result));
    printf("test error  %.2f %%\n", 100 * result->test_error);
    printf("test loss   %.4f\n", result->test_loss);
    if (isfinite(result->e_r)) printf("mark        mean E_R %.4g, BER %.4f\n", result->e_r, result->ber);
    printf("trained     %llu steps in %.1f s, %.0f images/s\n", (unsigned long long)result->steps, result->seconds, result->images_per_second);
    printf("written     %s\n", settings->output);
    return EXIT_DONE;
}

static int run(const cli_call *call)
{
    const train_settings *settings = call->settings;
    wmk_key **keys = NULL;
    cli_progress progress;
    wmk_train_result result;
    int exit_code = check(call);
    if (exit_code == EXIT_DONE) exit_code = keys_open(call, &keys);
    if (exit_code == EXIT_DONE) {
        interrupt_defer();
        progress_begin(&progress, call->common);
        wmk_train_options options = options_of(settings, keys, &progress);
        wmk_status status = wmk_train(&options, &result);
        progress_end(&progress);
        exit_code = status == WMK_OK ? report_result(call, &result) : library_error(call->command, status);
        if (status == WMK_ERROR_INTERRUPTED && settings->checkpoint) remark(call, "go on with the same command and --resume");
    }
    keys_free(keys, keys ? settings->keys.count : 0);
    return exit_code;
}

static const option_spec options[] = {
    OPTION_OUTPUT(train_settings, "where the trained model goes"),
    {"epochs", 'e', OPTION_NUMBER, "N", NULL, true, "times the training data is gone through; fractions allowed", offsetof(train_settings, epochs)},
    {"host", 0, OPTION_TEXT, "HOST", NULL, false, "train this network from scratch: wrn-D-k, such as wrn-10-4", offsetof(train_settings, host)},
    {"init", 0, OPTION_TEXT, "MODEL", NULL, false, "go on from this model (fine-tune)", offsetof(train_settings, init)},
    {"teacher", 0, OPTION_TEXT, "MODEL", NULL, false, "learn this model's predictions; no label is read (distil; with --init)",
     offsetof(train_settings, teacher)},
    OPTION_DATA(train_settings),
    {"key", 'k', OPTION_LIST, "KEY", NULL, false, "mark to put in while training; several are allowed", offsetof(train_settings, keys)},
    OPTION_PASSPHRASE(train_settings),
    {"batch", 0, OPTION_COUNT, "N", "64", false, "images a step", offsetof(train_settings, batch)},
    {"lr", 0, OPTION_NUMBER, "RATE", "0.1", false, "learning rate: the peak of onecycle, the start of the others", offsetof(train_settings, rate)},
    {"schedule", 0, OPTION_CHOICE, "paper|onecycle|cosine|constant", "onecycle", false,
     "how the rate goes; paper: times 0.2 after 30, 60 and 80 % of the steps", offsetof(train_settings, schedule)},
    {"momentum", 0, OPTION_NUMBER, "M", "0.9", false, "Nesterov momentum", offsetof(train_settings, momentum)},
    {"weight-decay", 0, OPTION_NUMBER, "D", "0.0005", false, "weight decay", offsetof(train_settings, weight_decay)},
    {"augment", 0, OPTION_CHOICE, "none|crop-flip|reference", "crop-flip", false,
     "how images are varied; reference: as the watermark paper's code (rotation, shift, flip)", offsetof(train_settings, augment)},
    {"lambda", 0, OPTION_NUMBER, "L", "0.01", false, "weight of the marks' E_R in the loss", offsetof(train_settings, lambda)},
    {"kappa", 0, OPTION_NUMBER, "K", "1", false, "factor of y inside E_R for keys that normalise (weights, or mean over several tensors)",
     offsetof(train_settings, kappa)},
    {"precision", 0, OPTION_CHOICE, "f32|bf16", "f32", false, "of activations; weights, statistics and loss stay f32",
     offsetof(train_settings, precision)},
    {"seed", 0, OPTION_COUNT, "N", "1", false, "of weights, order and augmentation; the same seed, threads and machine give the same file",
     offsetof(train_settings, seed)},
    {"history", 0, OPTION_TEXT, "FILE", NULL, false, "CSV of the training curves; NAME.csv beside NAME.safetensors is where report looks",
     offsetof(train_settings, history)},
    {"checkpoint", 0, OPTION_TEXT, "FILE", NULL, false, "file to keep the state of the training in", offsetof(train_settings, checkpoint)},
    {"checkpoint-seconds", 0, OPTION_NUMBER, "S", "60", false, "how often it is written", offsetof(train_settings, checkpoint_seconds)},
    {"resume", 0, OPTION_FLAG, NULL, NULL, false, "go on from --checkpoint; the result is what an unbroken run gives",
     offsetof(train_settings, resume)},
    OPTION_FORCE(train_settings),
};

const cli_command command_train = {
    .name = "train",
    .operands = "",
    .summary = "train, fine-tune or distil a network, with marks in it",
    .description = "Trains a host network on images and writes it with its test error. With --key the regularizer of the watermark is added to the "
                   "loss, so that the\n"
                   "mark grows with the weights and costs no accuracy.\n\n"
                   "The paper's three situations: --host trains from scratch, --init fine-tunes a model, --init with --teacher distils: a third "
                   "party marks a model\n"
                   "without labels.\n\n"
                   "Ctrl-C writes the checkpoint, if one is named, and stops; a second Ctrl-C stops at once.",
    .examples = "# The paper's network with a mark, one epoch of Fashion-MNIST\n"
                "weightmark train --host wrn-10-4 --key owner.key --epochs 1 -o marked.safetensors --history marked.csv\n"
                "# A mark for one recipient, by fine-tuning\n"
                "weightmark train --init model.safetensors --key recipient.key --epochs 1 --lr 0.01 -o recipient.safetensors\n"
                "# Long runs: interrupted, the same line with --resume goes on\n"
                "weightmark train --host wrn-10-4 --epochs 200 --schedule paper --checkpoint run.ckpt --resume -o model.safetensors",
    OPTION_ARRAY(options),
    .settings_bytes = sizeof(train_settings),
    .run = run,
};
