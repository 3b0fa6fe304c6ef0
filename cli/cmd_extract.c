/* cli/cmd_extract.c - weightmark extract: the bits themselves, right or wrong. */
#include <stdio.h>
#include <stdlib.h>

#include <weightmark/mark_file.h>

#include "key_file.h"

typedef struct extract_settings {
    common_settings common;
    const char *key, *tensor, *passphrase_file;
    bool hex;
} extract_settings;

/* '0' and '1', bit 0 first; or hexadecimal, four bits a digit, bit 0 the highest of the first. The caller frees. */
static char *bits_text(const wmk_reading *reading, bool hex)
{
    size_t length = hex ? (reading->T + 3) / 4 : reading->T;
    char *text = calloc(length + 1, 1);
    for (size_t i = 0; text && i < length; i++) {
        unsigned digit = 0;
        for (size_t k = 0; hex && k < 4; k++) digit |= (4 * i + k < reading->T && reading->bit[4 * i + k]) ? 8u >> k : 0;
        text[i] = hex ? "0123456789abcdef"[digit] : (char)('0' + reading->bit[i]);
    }
    return text;
}

static json_t *reading_json(const wmk_key *key, const wmk_verification *found, const char *bits, const char *path)
{
    const wmk_reading *reading = found->reading;
    json_t *y = json_array(), *erased = json_array(), *tensors = json_array();
    char id[WMK_KEY_ID_CHARS + 1];
    wmk_key_id(key, id);
    for (uint32_t j = 0; j < reading->T; j++) {
        json_append(&y, json_number(reading->y[j]));
        if (reading->erased[j]) json_append(&erased, json_integer(j));
    }
    for (size_t i = 0; i < found->tensor_count; i++) json_append(&tensors, json_text(found->tensors[i]));
    return json_pack("{s:s, s:o, s:o, s:o, s:s, s:o}", "bits", bits, "y", y, "erased", erased, "tensors", tensors, "key_id", id, "model",
                     json_text(path));
}

static int print_reading(const cli_call *call, const wmk_key *key, const wmk_verification *found)
{
    const extract_settings *settings = call->settings;
    int exit_code = EXIT_DONE;
    char *bits = bits_text(found->reading, settings->hex);
    if (!bits) return complain(call->command, EXIT_SYSTEM, "out of memory");
    if (call->common->json)
        exit_code = print_json(call, reading_json(key, found, bits, call->operands.item[0]));
    else
        puts(bits);
    free(bits);
    return exit_code;
}

static int run(const cli_call *call)
{
    const extract_settings *settings = call->settings;
    wmk_key *key = NULL;
    wmk_model *model = NULL;
    wmk_verification found = {0};
    wmk_verify_options options = WMK_VERIFY_OPTIONS_INIT;
    options.tensor = settings->tensor;
    options.redraws = 1; /* the evidence is not asked for */
    int exit_code = key_open(call->command, &key, settings->key, settings->passphrase_file);
    if (exit_code != EXIT_DONE) return exit_code;
    wmk_status status = wmk_model_open(&model, call->operands.item[0]);
    if (status == WMK_OK) status = wmk_model_verify(&found, model, key, &options);
    exit_code = status == WMK_OK ? print_reading(call, key, &found) : library_error(call->command, status);
    wmk_verification_free(&found);
    wmk_model_close(model);
    wmk_key_free(key);
    return exit_code;
}

static const option_spec options[] = {
    OPTION_KEY(extract_settings, true),
    {"tensor", 't', OPTION_TEXT, "NAME", NULL, false, "read a one-tensor key from this tensor instead of the one it names",
     offsetof(extract_settings, tensor)},
    {"hex", 0, OPTION_FLAG, NULL, NULL, false, "the bits in hexadecimal, bit 0 the highest of the first digit", offsetof(extract_settings, hex)},
    OPTION_PASSPHRASE(extract_settings),
};

const cli_command command_extract = {
    .name = "extract",
    .operands = "MODEL",
    .operand_min = 1,
    .operand_max = 1,
    .summary = "read the bits a key points at",
    .description =
        "Prints the T bits that the key reads from the model's weights, bit 0 first, whether or not they are the key's own: bit j is 1 where\n"
        "y_j = X_j . w is 0 or more. With --json also every y_j, and the places of bits that could not be read because their weights are missing or\n"
        "zero. The bits of a marked model are as secret as the key.",
    .examples = "# The bits\n"
                "weightmark extract model.safetensors --key owner.key\n"
                "# With the values they come from\n"
                "weightmark extract model.safetensors --key owner.key --json",
    OPTION_ARRAY(options),
    .settings_bytes = sizeof(extract_settings),
    .run = run,
};
