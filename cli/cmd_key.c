/* cli/cmd_key.c - weightmark key: what a key file is, never its secrets. */
#include "key_file.h"

typedef struct key_settings {
    common_settings common;
    const char *passphrase_file;
} key_settings;

static int run(const cli_call *call)
{
    const key_settings *settings = call->settings;
    const char *path = call->operands.item[0];
    wmk_key *key = NULL;
    int exit_code = key_open(call->command, &key, path, settings->passphrase_file);
    if (exit_code != EXIT_DONE) return exit_code;
    if (call->common->json)
        exit_code = print_json(call, key_json(key, path));
    else
        key_print(key);
    wmk_key_free(key);
    return exit_code;
}

static const option_spec options[] = {
    OPTION_PASSPHRASE(key_settings),
};

const cli_command command_key = {
    .name = "key",
    .operands = "KEY",
    .operand_min = 1,
    .operand_max = 1,
    .summary = "say what a key is: its id and targets, never its secrets",
    .description = "Prints a key's id, scheme, carrier, number of bits, creation time and targets. The id is a hash that commits to key and\n"
                   "bits and reveals neither: publish or time-stamp it before the model is released.",
    .examples = "# The id to publish\n"
                "weightmark key owner.key\n"
                "# For scripts\n"
                "weightmark key owner.key --json",
    OPTION_ARRAY(options),
    .settings_bytes = sizeof(key_settings),
    .run = run,
};
