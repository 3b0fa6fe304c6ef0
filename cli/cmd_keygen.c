/* cli/cmd_keygen.c - weightmark keygen: a new key for the tensors of a model or a host network. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef WMK_CLI_WITH_TRAINING
#include <weightmark/train.h>
#endif
#include <weightmark/mark_file.h>

#include "key_file.h"

typedef struct keygen_settings {
    common_settings common;
    const char *output, *model, *host, *target, *scheme, *carrier, *passphrase_file;
    uint64_t bits;
    bool ones, force;
} keygen_settings;

static wmk_status targets_of_host(wmk_targets *out, const char *host)
{
#ifdef WMK_CLI_WITH_TRAINING
    return wmk_host_targets(out, host);
#else
    (void)out;
    (void)host;
    return WMK_ERROR_UNSUPPORTED;
#endif
}

static wmk_status targets_of_model(wmk_targets *out, const char *path)
{
    wmk_model *model;
    wmk_status status = wmk_model_open(&model, path);
    if (status != WMK_OK) return status;
    status = wmk_targets_of_model(out, model);
    wmk_model_close(model);
    return status;
}

static int choose_targets(const cli_call *call, wmk_targets *out)
{
    const keygen_settings *settings = call->settings;
    wmk_targets all = {0};
#ifndef WMK_CLI_WITH_TRAINING
    if (settings->host) return complain(call->command, EXIT_INPUT, "not supported: --host, built without the training engine");
#endif
    if (!settings->model == !settings->host) return usage_error(call->command, "either --model or --host must be given");
    if (settings->host && !settings->target) return usage_error(call->command, "--target must be given with --host");
    wmk_status status = settings->model ? targets_of_model(&all, settings->model) : targets_of_host(&all, settings->host);
    if (status == WMK_OK) status = wmk_targets_select(out, &all, settings->target ? settings->target : "all");
    wmk_targets_free(&all);
    return status == WMK_OK ? EXIT_DONE : library_error(call->command, status);
}

/* One named layer: the paper's random + mean; many: partition + balanced. One of the two given decides the other. */
static wmk_status choose_kind(wmk_key_options *options, const keygen_settings *settings, size_t targets)
{
    wmk_status status = WMK_OK;
    bool paper = settings->target && targets == 1;
    options->scheme = paper ? WMK_SCHEME_RANDOM : WMK_SCHEME_PARTITION;
    if (settings->scheme) status = wmk_scheme_parse(&options->scheme, settings->scheme);
    options->carrier = options->scheme == WMK_SCHEME_PARTITION ? WMK_CARRIER_BALANCED : WMK_CARRIER_MEAN;
    if (status == WMK_OK && settings->carrier) status = wmk_carrier_parse(&options->carrier, settings->carrier);
    if (settings->carrier && !settings->scheme) options->scheme = options->carrier == WMK_CARRIER_MEAN ? WMK_SCHEME_RANDOM : WMK_SCHEME_PARTITION;
    return status;
}

/* With --model the key is bound to the model's weights: their digest goes into its id. */
static wmk_status make_key(wmk_key **out, wmk_key_options *options, const char *path)
{
    wmk_model *model = NULL;
    wmk_key *unbound = NULL;
    uint8_t original[WMK_ORIGINAL_BYTES];
    if (!path) return wmk_key_create(out, options);
    wmk_status status = wmk_key_create(&unbound, options);
    if (status == WMK_OK) status = wmk_model_open(&model, path);
    if (status == WMK_OK) status = wmk_model_original(original, model, unbound, NULL, NULL);
    options->original = original;
    if (status == WMK_OK) status = wmk_key_create(out, options);
    options->original = NULL;
    wmk_model_close(model);
    wmk_key_free(unbound);
    return status;
}

static int write_key(const cli_call *call, const wmk_key *key)
{
    const keygen_settings *settings = call->settings;
    cli_passphrase secret;
    int exit_code = passphrase_read(call->command, &secret, settings->passphrase_file);
    if (exit_code == EXIT_DONE) {
        wmk_status status = wmk_key_write(key, settings->output, secret.given ? secret.text : NULL, secret.bytes, settings->force);
        if (status != WMK_OK) exit_code = library_error(call->command, status);
    }
    passphrase_wipe(&secret);
    return exit_code;
}

static int run(const cli_call *call)
{
    const keygen_settings *settings = call->settings;
    static const key_date undated = {KEY_UNDATED, {0}, ""};
    wmk_targets targets = {0};
    wmk_key *key = NULL;
    int exit_code = choose_targets(call, &targets);
    if (exit_code != EXIT_DONE) return exit_code;
    wmk_key_options options = WMK_KEY_OPTIONS_INIT;
    options.bits = settings->bits > UINT32_MAX ? UINT32_MAX : (uint32_t)settings->bits;
    options.ones = settings->ones;
    options.targets = targets.target;
    options.target_count = targets.count;
    wmk_status status = choose_kind(&options, settings, targets.count);
    if (status == WMK_OK) status = make_key(&key, &options, settings->model);
    exit_code = status == WMK_OK ? write_key(call, key) : library_error(call->command, status);
    if (exit_code == EXIT_DONE && call->common->json)
        exit_code = print_json(call, key_json(key, settings->output, &undated));
    else if (exit_code == EXIT_DONE) {
        key_print(key, &undated);
        printf("written   %s (%s; keep it secret)\n", settings->output,
               settings->passphrase_file ? "sealed with the passphrase" : "not sealed, mode 0600");
    }
    wmk_key_free(key);
    wmk_targets_free(&targets);
    return exit_code;
}

static const option_spec options[] = {
    OPTION_OUTPUT(keygen_settings, "where the key goes (mode 0600)"),
    {"model", 'm', OPTION_TEXT, "MODEL", NULL, false, "model file that the key is for", offsetof(keygen_settings, model)},
    {"host", 0, OPTION_TEXT, "HOST", NULL, false, "network to be trained that the key is for, such as wrn-10-4", offsetof(keygen_settings, host)},
    {"target", 't', OPTION_TEXT, "SELECTOR", NULL, false,
     "tensors to mark, separated by commas: a name, a glob, conv, linear, all, or conv2 (the second convolution of a wide-residual group); "
     "without it every tensor of the model that can carry a mark",
     offsetof(keygen_settings, target)},
    {"bits", 'b', OPTION_COUNT, "T", "256", false, "bits of the mark", offsetof(keygen_settings, bits)},
    {"scheme", 0, OPTION_CHOICE, "direct|diff|random|partition", NULL, false,
     "kind of secret matrix X; without it random for one tensor named by --target, else partition", offsetof(keygen_settings, scheme)},
    {"carrier", 0, OPTION_CHOICE, "mean|weights|balanced", NULL, false,
     "what the bits are read from: the mean over filters, or every weight (balanced: also with input channels brought to one size); "
     "without it balanced for partition, else mean",
     offsetof(keygen_settings, carrier)},
    {"ones", 0, OPTION_FLAG, NULL, NULL, false, "all bits 1, as in the paper's experiments, instead of drawn from the key",
     offsetof(keygen_settings, ones)},
    OPTION_PASSPHRASE(keygen_settings),
    OPTION_FORCE(keygen_settings),
};

const cli_command command_keygen = {
    .name = "keygen",
    .operands = "",
    .summary = "make a key",
    .description =
        "Makes a secret key for a model file, or for a network that is still to be trained, and prints its id.\n\n"
        "The key holds a random seed, from which the secret matrix X and the bits are derived, and the names and shapes of the tensors it marks.\n"
        "With --passphrase-file it is sealed: the same file then opens it everywhere. An existing key is never replaced without --force.",
    .examples = "# The paper's mark: 256 bits in one convolution, embedded while training\n"
                "weightmark keygen -o owner.key --host wrn-10-4 --target conv2\n"
                "# A mark spread over every weight of a finished model, embedded without training\n"
                "weightmark keygen -o owner.key --model model.safetensors",
    OPTION_ARRAY(options),
    .settings_bytes = sizeof(keygen_settings),
    .run = run,
};
