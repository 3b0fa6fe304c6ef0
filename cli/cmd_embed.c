/* cli/cmd_embed.c - weightmark embed: a mark into a finished model, without training or data. */
#include <math.h>
#include <stdio.h>

#include <weightmark/mark_file.h>

#include "key_file.h"
#include "meter.h"
#include "signature.h"
#include "verdict.h"

typedef struct embed_settings {
    common_settings common;
    const char *output, *key, *passphrase_file;
    double margin, lambda;
    bool eq6, unbalanced, fill_zeros, other_model, dry_run, force;
} embed_settings;

/* What is told while it goes on. */
typedef struct embed_report {
    const cli_call *call;
    cli_meter meter;
} embed_report;

enum { PASSES = 3 }; /* over the weights: for their sizes, the present bits, and the change, which is read back at once as a rule */

/* Before anything is written. On stdout only for people: --json prints one object at the end. */
static int announce(const wmk_embed_summary *summary, void *payload)
{
    embed_report *report = payload;
    const cli_call *call = report->call;
    const embed_settings *settings = call->settings;
    meter_end(&report->meter);
    if (!call->common->json) {
        printf("change    ||dW|| / ||W|| = %.3g (%.2f %%)\n", summary->relative_change, 100 * summary->relative_change);
        printf("before    z = %.2f, %u bits wrong\n", summary->z_before, summary->errors_before);
        printf("after     z = %.2f, %u bits wrong, smallest margin %.3g\n", summary->z_after, summary->errors_after, summary->margin_reached);
        if (fabs(summary->rounding_z) >= 0.005) printf("rounding  cost %.3g of z\n", summary->rounding_z);
        if (settings->eq6) printf("eq. 6     1/2 ||w - w0||^2 = %.4g, mean E_R = %.4g\n", summary->eq6_distance, summary->eq6_e_r);
        fflush(stdout);
    }
    return settings->dry_run;
}

static json_t *embed_json(const cli_call *call, const wmk_key *key, const wmk_embed_summary *summary, json_t *verification)
{
    const embed_settings *settings = call->settings;
    char id[WMK_KEY_ID_CHARS + 1];
    wmk_key_id(key, id);
    json_t *object =
        json_pack("{s:o, s:s, s:o, s:o, s:o, s:i, s:i, s:o, s:o}", "model", settings->dry_run ? json_null() : json_text(settings->output), "key_id",
                  id, "relative_change", json_number(summary->relative_change), "z_before", json_number(summary->z_before), "z_after",
                  json_number(summary->z_after), "errors_before", (int)summary->errors_before, "errors_after", (int)summary->errors_after,
                  "margin_reached", json_number(summary->margin_reached), "rounding_z", json_number(summary->rounding_z));
    if (settings->eq6) {
        json_put(&object, "eq6_distance", json_number(summary->eq6_distance));
        json_put(&object, "eq6_e_r", json_number(summary->eq6_e_r));
    }
    json_put(&object, "verification", settings->dry_run ? json_null() : verification);
    return object;
}

/* What the file that was written proves. */
static int prove(const cli_call *call, const wmk_key *key, const wmk_embed_summary *summary, wmk_verification *found)
{
    const embed_settings *settings = call->settings;
    int exit_code = EXIT_DONE;
    if (call->common->json)
        exit_code = print_json(call, embed_json(call, key, summary, verdict_json(key, found, settings->output, NULL)));
    else
        verdict_print(key, found, settings->output, NULL);
    if (exit_code == EXIT_DONE && found->evidence.verdict != WMK_FOUND) exit_code = EXIT_NEGATIVE;
    wmk_verification_free(found);
    return exit_code;
}

/* What signs the model's bytes does not sign the marked ones. */
static void warn_of_signatures(const cli_call *call, const wmk_model *model)
{
    signature_list list;
    if (!signatures_of(&list, model)) return;
    for (size_t i = 0; i < list.count; i++) remark(call, "warning: %s signs the model as it is, not the marked copy", list.name[i]);
    signatures_free(&list);
}

static int embed(const cli_call *call, const wmk_key *key)
{
    const embed_settings *settings = call->settings;
    wmk_embed_options options = WMK_EMBED_OPTIONS_INIT;
    wmk_embed_summary summary = {0};
    wmk_verification proof = {0};
    wmk_model *model = NULL;
    embed_report report = {.call = call};
    options.margin = settings->margin;
    options.eq6 = settings->eq6;
    options.lambda = settings->lambda;
    options.unbalanced = settings->unbalanced;
    options.fill_zeros = settings->fill_zeros;
    options.other_model = settings->other_model;
    wmk_status status = wmk_model_open(&model, call->operands.item[0]);
    if (status == WMK_OK) {
        warn_of_signatures(call, model);
        meter_begin(&report.meter, call->common, "embedding", model, key, PASSES);
        options.walked = meter_walked;
        options.walked_payload = &report.meter;
        status = wmk_model_embed(model, key, settings->output, settings->force, &options, announce, &report, &summary, &proof);
        meter_end(&report.meter);
    }
    wmk_model_close(model);
    if (status == WMK_OK) return prove(call, key, &summary, &proof);
    if (status != WMK_ERROR_INTERRUPTED || !settings->dry_run) return library_error(call->command, status);
    if (call->common->json) return print_json(call, embed_json(call, key, &summary, NULL));
    puts("dry run: nothing was written");
    return EXIT_DONE;
}

static int run(const cli_call *call)
{
    const embed_settings *settings = call->settings;
    wmk_key *key = NULL;
    int exit_code = key_open(call->command, &key, settings->key, settings->passphrase_file);
    if (exit_code == EXIT_DONE) exit_code = embed(call, key);
    wmk_key_free(key);
    return exit_code;
}

static const option_spec options[] = {
    OPTION_KEY(embed_settings, true),
    OPTION_OUTPUT(embed_settings, "where the marked model goes"),
    {"margin", 0, OPTION_NUMBER, "Z", "8", false, "every bit ends at least this many deviations of an unmarked model on its side",
     offsetof(embed_settings, margin)},
    {"eq6", 0, OPTION_FLAG, NULL, NULL, false, "the paper's equation 6 instead of a margin (a mean key over one tensor)",
     offsetof(embed_settings, eq6)},
    {"unbalanced", 0, OPTION_FLAG, NULL, NULL, false,
     "the very smallest change (a partition key over weights); without it every kernel keeps its sum, which costs the network less",
     offsetof(embed_settings, unbalanced)},
    {"fill-zeros", 0, OPTION_FLAG, NULL, NULL, false, "mark weights that are 0 too; without it they stay 0 and a sparse model stays sparse",
     offsetof(embed_settings, fill_zeros)},
    {"other-model", 0, OPTION_FLAG, NULL, NULL, false,
     "also a model that the key was not made for; dangerous: whoever has one model with and without a mark can subtract that "
     "mark from every other model that bears it",
     offsetof(embed_settings, other_model)},
    {"lambda", 0, OPTION_NUMBER, "L", "10", false, "weight of the mean E_R in equation 6", offsetof(embed_settings, lambda)},
    {"dry-run", 'n', OPTION_FLAG, NULL, NULL, false,
     "say what would change and leave nothing behind; the trial needs room for a copy beside the output", offsetof(embed_settings, dry_run)},
    OPTION_PASSPHRASE(embed_settings),
    OPTION_FORCE(embed_settings),
};

const cli_command command_embed = {
    .name = "embed",
    .operands = "MODEL",
    .operand_min = 1,
    .operand_max = 1,
    .summary = "put a mark into a finished model, without training or data",
    .description = "Makes the smallest change of the weights after which every bit is right by a margin, and writes a copy of the model in which "
                   "those bytes are\n"
                   "changed and nothing else. Says what it changes before it writes, then reads the file back and says what it proves.\n\n"
                   "The exit status is 0 when the mark is found in the written file, 1 when it is not (too small a margin or lambda).",
    .examples = "# Spread over all weights, with the default margin\n"
                "weightmark embed model.safetensors --key owner.key -o marked.safetensors\n"
                "# What would margin 4 change?\n"
                "weightmark embed model.safetensors --key owner.key -o marked.safetensors --margin 4 --dry-run\n"
                "# The paper's equation 6, for a key over one layer\n"
                "weightmark embed model.safetensors --key conv2.key -o marked.safetensors --eq6 --lambda 10",
    OPTION_ARRAY(options),
    .settings_bytes = sizeof(embed_settings),
    .run = run,
};
