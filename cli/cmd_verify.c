/* cli/cmd_verify.c - weightmark verify: is this key's mark in this model, and how sure is that? */
#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "key_file.h"
#include "verdict.h"

typedef struct verify_settings {
    common_settings common;
    const char *key, *tensor, *passphrase_file;
    bool any_tensor;
    double threshold_bits;
    uint64_t tries, redraws;
} verify_settings;

static int verify(const cli_call *call, wmk_verification *out, const wmk_key *key)
{
    const verify_settings *settings = call->settings;
    wmk_verify_options options = WMK_VERIFY_OPTIONS_INIT;
    options.tensor = settings->tensor;
    options.any_tensor = settings->any_tensor;
    options.tries = settings->tries;
    options.threshold_bits = settings->threshold_bits;
    options.redraws = settings->redraws > UINT32_MAX ? UINT32_MAX : (uint32_t)settings->redraws;
    wmk_model *model;
    wmk_status status = wmk_model_open(&model, call->operands.item[0]);
    if (status == WMK_OK) {
        status = wmk_model_verify(out, model, key, &options);
        wmk_model_close(model);
    }
    return status == WMK_OK ? EXIT_DONE : library_error(call->command, status);
}

static int run(const cli_call *call)
{
    const verify_settings *settings = call->settings;
    wmk_key *key = NULL;
    wmk_verification found = {0};
    if (settings->tensor && settings->any_tensor) return usage_error(call->command, "--tensor and --any-tensor exclude each other");
    int exit_code = key_open(call->command, &key, settings->key, settings->passphrase_file);
    if (exit_code == EXIT_DONE) exit_code = verify(call, &found, key);
    if (exit_code == EXIT_DONE && call->common->json)
        exit_code = print_json(call, verdict_json(key, &found, call->operands.item[0]));
    else if (exit_code == EXIT_DONE)
        verdict_print(key, &found, call->operands.item[0]);
    if (exit_code == EXIT_DONE && found.evidence.verdict != WMK_FOUND) exit_code = EXIT_NEGATIVE;
    wmk_verification_free(&found);
    wmk_key_free(key);
    return exit_code;
}

static const option_spec options[] = {
    OPTION_KEY(verify_settings, true),
    {"tensor", 't', OPTION_TEXT, "NAME", NULL, false, "read a one-tensor key from this tensor instead of the one it names",
     offsetof(verify_settings, tensor)},
    {"any-tensor", 0, OPTION_FLAG, NULL, NULL, false, "try a one-tensor key on every tensor of its shape; each try is paid for",
     offsetof(verify_settings, any_tensor)},
    {"tries", 0, OPTION_COUNT, "N", "1", false, "how many keys or files this one was picked from: p is multiplied by it",
     offsetof(verify_settings, tries)},
    {"threshold-bits", 0, OPTION_NUMBER, "B", "64", false, "evidence bits from which the verdict is found",
     offsetof(verify_settings, threshold_bits)},
    {"redraws", 0, OPTION_COUNT, "N", "9999", false, "stranger keys drawn where p has no formula (--ones with direct or diff)",
     offsetof(verify_settings, redraws)},
    OPTION_PASSPHRASE(verify_settings),
};

const cli_command command_verify = {
    .name = "verify",
    .operands = "MODEL",
    .operand_min = 1,
    .operand_max = 1,
    .summary = "look for a key's mark: a verdict with its probability",
    .description = "Reads the bits that the key hides from the model's weights and says how sure it is that they are there on purpose: p is the "
                   "probability that a\n"
                   "model made without the key looks at least so marked, multiplied by everything that was tried, and evidence bits are -log2 p.\n\n"
                   "The verdict is found at 64 evidence bits or more (exit status 0), inconclusive from 20 and not-found below (exit status 1).",
    .examples = "# Is it ours?\n"
                "weightmark verify suspect.safetensors --key owner.key\n"
                "# The tensor was renamed: try all of its shape\n"
                "weightmark verify suspect.safetensors --key owner.key --any-tensor --json",
    OPTION_ARRAY(options),
    .settings_bytes = sizeof(verify_settings),
    .run = run,
};
