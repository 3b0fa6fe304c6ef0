/* cli/cmd_attack.c - weightmark attack: damages a copy of a model. The attacks and their options come from the library's table. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weightmark/attack.h>

#include "console.h"
#include "option.h"

enum { PARAMETERS_MAX = 32, HELP_BYTES = 256 };

typedef struct attack_settings {
    common_settings common;
    const char *output, *tensor;
    uint64_t seed;
    bool force;
    const char *values[PARAMETERS_MAX]; /* in the order of parameter_option_at; NULL: not given */
} attack_settings;

/* Every parameter of every attack, each name once. Built on first use and never changed again. */
static const option_spec *parameter_option_at(size_t index)
{
    static option_spec rows[PARAMETERS_MAX];
    static char helps[PARAMETERS_MAX][HELP_BYTES];
    static size_t row_count;
    static bool built;
    for (size_t a = 0; !built && a < wmk_attack_count(); a++) {
        const wmk_attack_parameter *parameter;
        size_t parameters = wmk_attack_parameters(wmk_attack_at(a), &parameter);
        for (size_t p = 0; p < parameters && row_count < PARAMETERS_MAX; p++) {
            size_t same = 0;
            while (same < row_count && strcmp(rows[same].name, parameter[p].name) != 0) same++;
            if (same < row_count) continue;
            snprintf(helps[row_count], HELP_BYTES, "%s: %s%s%s%s", wmk_attack_name(wmk_attack_at(a)), parameter[p].help,
                     parameter[p].default_value ? " (default " : " (must be given)", parameter[p].default_value ? parameter[p].default_value : "",
                     parameter[p].default_value ? ")" : "");
            rows[row_count] = (option_spec){parameter[p].name,
                                            0,
                                            OPTION_TEXT,
                                            parameter[p].value_name,
                                            NULL,
                                            false,
                                            helps[row_count],
                                            offsetof(attack_settings, values) + row_count * sizeof(char *)};
            row_count++;
        }
    }
    built = true;
    return index < row_count ? &rows[index] : NULL;
}

static const char *attack_name_at(const void *list, size_t index)
{
    (void)list;
    return index < wmk_attack_count() ? wmk_attack_name(wmk_attack_at(index)) : NULL;
}

/* "\n\nAttacks: prune (set the ...); ..." */
static const char *attack_list(void)
{
    static char text[2048];
    size_t used = (size_t)snprintf(text, sizeof text, "Attacks:");
    for (size_t a = 0; a < wmk_attack_count() && used < sizeof text; a++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s %s (%s)", a ? "," : "", wmk_attack_name(wmk_attack_at(a)),
                                 wmk_attack_summary(wmk_attack_at(a)));
    return text;
}

static int unknown_attack(const cli_call *call, const char *name)
{
    const char *near = nearest_word(name, attack_name_at, NULL);
    if (near) return usage_error(call->command, "unknown attack '%s' (did you mean '%s'?)", name, near);
    return usage_error(call->command, "unknown attack '%s'", name);
}

static int report_result(const cli_call *call, const wmk_attack *attack, const wmk_attack_result *result)
{
    const attack_settings *settings = call->settings;
    if (call->common->json)
        return print_json(call, json_pack("{s:s, s:o, s:I, s:I, s:I, s:o}", "attack", wmk_attack_name(attack), "model", json_text(settings->output),
                                          "tensors", (json_int_t)result->tensors, "weights", (json_int_t)result->weights, "changed",
                                          (json_int_t)result->changed, "relative_change", json_number(result->relative_change)));
    printf("%s     %llu of %llu weights changed in %llu tensors, ||dW|| / ||W|| = %.3g\n", wmk_attack_name(attack),
           (unsigned long long)result->changed, (unsigned long long)result->weights, (unsigned long long)result->tensors, result->relative_change);
    printf("written   %s\n", settings->output);
    return EXIT_DONE;
}

static int run(const cli_call *call)
{
    const attack_settings *settings = call->settings;
    const wmk_attack *attack = wmk_attack_find(call->operands.item[0]);
    if (!attack) return unknown_attack(call, call->operands.item[0]);
    size_t given = 0;
    const option_spec *option;
    wmk_attack_setting setting[PARAMETERS_MAX];
    for (size_t i = 0; (option = parameter_option_at(i)) != NULL; i++)
        if (settings->values[i]) setting[given++] = (wmk_attack_setting){option->name, settings->values[i]};
    wmk_model *model = NULL;
    wmk_attack_result result;
    wmk_status status = wmk_model_open(&model, call->operands.item[1]);
    if (status == WMK_OK)
        status = wmk_attack_run(attack, model, settings->tensor, setting, given, settings->seed, settings->output, settings->force, &result);
    wmk_model_close(model);
    return status == WMK_OK ? report_result(call, attack, &result) : library_error(call->command, status);
}

static const option_spec options[] = {
    OPTION_OUTPUT(attack_settings, "where the damaged copy goes"),
    {"tensor", 't', OPTION_TEXT, "GLOB", NULL, false, "tensors to attack; without it every float tensor of two or more dimensions",
     offsetof(attack_settings, tensor)},
    {"seed", 0, OPTION_COUNT, "N", "1", false, "of an attack's random choices", offsetof(attack_settings, seed)},
    OPTION_FORCE(attack_settings),
};

const cli_command command_attack = {
    .name = "attack",
    .operands = "ATTACK MODEL",
    .operand_min = 2,
    .operand_max = 2,
    .summary = "damage a copy of a model, as an adversary or ordinary use would",
    .description = "Writes a copy of the model that an attack has changed, to see whether verify still finds the mark in it.",
    .more_description = attack_list,
    .examples = "# Ordinary pruning of every layer\n"
                "weightmark attack prune marked.safetensors --rate 0.65 -o pruned.safetensors\n"
                "# The largest weights of one layer first\n"
                "weightmark attack prune marked.safetensors --rate 0.5 --order descending --tensor conv2.0.conv2.weight -o pruned.safetensors",
    OPTION_ARRAY(options),
    .more_options = parameter_option_at,
    .settings_bytes = sizeof(attack_settings),
    .run = run,
};
