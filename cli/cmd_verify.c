/* cli/cmd_verify.c - weightmark verify: is this key's mark in this model, and how sure is that? One pair, or every pair of some models and some keys. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "key_file.h"
#include "line.h"
#include "meter.h"
#include "originals.h"
#include "scan.h"
#include "verdict.h"

typedef struct verify_settings {
    common_settings common;
    const char *tensor, *map, *ca, *passphrase_file;
    text_list keys, originals;
    bool any_tensor, only_found;
    double threshold_bits;
    uint64_t tries, redraws;
} verify_settings;

/* What is looked at, and what came of it. */
typedef struct verify_run {
    const cli_call *call;
    const verify_settings *settings;
    model_list models;
    wmk_key **keys;  /* [settings->keys.count] */
    key_date *dates; /* [settings->keys.count] */
    double *bits;    /* [settings->keys.count] least evidence among the pairs that were found; infinite: none */
    wmk_authorities *authorities;
    wmk_renames map;
    wmk_verify_options options;
    uint64_t tries; /* of all pairs */
    size_t pairs, found, decided;
    int first_failure; /* the exit code, and its message, of the first pair that could not be looked at */
    char *first_message;
    json_t *results; /* of several pairs, with --json */
    int key_width;
    original_list originals;
    bool *found_in; /* [models.count][settings->keys.count] */
    cli_line line;  /* progress */
} verify_run;

/* ---- one pair ---- */

static int verify_one(const verify_run *run)
{
    const cli_call *call = run->call;
    const char *path = run->models.path[0];
    wmk_verification found = {0};
    wmk_model *model;
    wmk_status status = wmk_model_open(&model, path);
    if (status == WMK_OK) {
        cli_meter meter;
        wmk_verify_options options = run->options;
        meter_begin(&meter, call->common, "reading", model, run->keys[0], wmk_key_carrier(run->keys[0]) == WMK_CARRIER_MEAN ? 1 : 2);
        options.walked = meter.line.wanted ? meter_walked : NULL;
        options.searched = meter.line.wanted ? meter_searched : NULL;
        options.walked_payload = options.searched_payload = &meter;
        status = wmk_model_verify(&found, model, run->keys[0], &options);
        meter_end(&meter);
        wmk_model_close(model);
    }
    if (status != WMK_OK) return library_error(call->command, status);
    int exit_code = EXIT_DONE;
    if (call->common->json)
        exit_code = print_json(call, verdict_json(run->keys[0], &found, path, &run->dates[0]));
    else
        verdict_print(run->keys[0], &found, path, &run->dates[0]);
    if (exit_code == EXIT_DONE && found.evidence.verdict != WMK_FOUND) exit_code = EXIT_NEGATIVE;
    wmk_verification_free(&found);
    return exit_code;
}

/* ---- several ---- */

/* A model that has nothing the key speaks of is a negative answer among others, and no failure. */
static bool is_negative(wmk_status status) { return status == WMK_ERROR_MISSING || status == WMK_ERROR_MISMATCH; }

static void take_failure(verify_run *run, wmk_status status)
{
    if (run->first_failure != EXIT_DONE) return;
    run->first_failure = exit_code_of(status);
    run->first_message = strdup(wmk_error_message());
}

/* verification NULL: the library's message says why. */
static void tell(verify_run *run, const wmk_verification *verification, size_t key, const char *path)
{
    bool found = verification && verification->evidence.verdict == WMK_FOUND;
    if (run->settings->only_found && !found) return;
    if (run->call->common->json) {
        json_append(&run->results,
                    verification ? verdict_json(run->keys[key], verification, path, &run->dates[key]) : verdict_error_json(run->keys[key], path));
    } else {
        line_clear(&run->line);
        verdict_row(verification, verification ? NULL : wmk_error_message(), run->settings->keys.item[key], run->key_width, path);
        fflush(stdout);
    }
}

static int take_pair(void *payload, const wmk_pair *pair)
{
    verify_run *run = payload;
    size_t keys = run->settings->keys.count;
    tell(run, pair->verification, pair->key, pair->path);
    if (pair->verification) {
        run->decided++;
        run->found += pair->verification->evidence.verdict == WMK_FOUND;
        if (pair->verification->evidence.verdict == WMK_FOUND)
            run->bits[pair->key] = fmin(run->bits[pair->key], pair->verification->evidence.evidence_bits);
    } else if (is_negative(pair->status) && pair->opened) {
        run->decided++;
    } else {
        take_failure(run, pair->status);
    }
    run->found_in[pair->model * keys + pair->key] = pair->verification && pair->verification->evidence.verdict == WMK_FOUND;
    if (pair->key + 1 == keys && pair->model + 1 < run->models.count)
        line_draw(&run->line, pair->model + 1, run->models.count, run->models.path[pair->model + 1]);
    return 0;
}

/* Of the keys that were found somewhere, with what the least evidence of each is worth. */
static void print_dates(const verify_run *run)
{
    for (size_t k = 0; k < run->settings->keys.count; k++) {
        char phrase[KEY_DATE_CHARS];
        if (isinf(run->bits[k])) continue;
        key_date_phrase(&run->dates[k], phrase);
        printf("key       ");
        print_name(run->settings->keys.item[k], 0);
        printf(": %s\n", phrase);
        key_date_caution(&run->dates[k], run->bits[k], WMK_FOUND);
    }
}

/* Which keys were found in a model; NULL: fewer than two. */
static const bool *shared_by(const verify_run *run, size_t model)
{
    size_t keys = run->settings->keys.count, count = 0;
    const bool *found = run->found_in + model * keys;
    for (size_t k = 0; k < keys; k++) count += found[k];
    return count < 2 ? NULL : found;
}

static json_t *several_json(verify_run *run)
{
    json_t *first = json_array(), *results = run->results;
    run->results = NULL;
    for (size_t m = 0; m < run->models.count; m++)
        if (shared_by(run, m)) json_append(&first, first_json(&run->originals, shared_by(run, m), run->models.path[m]));
    return json_pack("{s:o, s:o, s:o, s:o}", "results", results, "tries", tries_json(run->tries, log10((double)run->tries)), "originals",
                     originals_json(&run->originals), "first", first);
}

static void several_print(const verify_run *run)
{
    bool shared = false;
    originals_print(&run->originals, run->key_width);
    print_dates(run);
    for (size_t m = 0; m < run->models.count; m++) {
        const bool *found = shared_by(run, m);
        shared |= found != NULL;
        if (found) first_print(&run->originals, found, run->models.path[m]);
    }
    if (shared) first_rule_print();
    printf("%zu of %zu pairs found; every p is multiplied by %llu\n", run->found, run->pairs, (unsigned long long)run->tries);
}

static int conclude(verify_run *run)
{
    const cli_call *call = run->call;
    int exit_code = EXIT_DONE;
    if (call->common->json)
        exit_code = print_json(call, several_json(run));
    else
        several_print(run);
    if (exit_code != EXIT_DONE || run->found > 0) return exit_code;
    if (run->decided > 0) return EXIT_NEGATIVE;
    return complain(call->command, run->first_failure, "none of %zu pairs could be looked at; the first: %s", run->pairs,
                    run->first_message ? run->first_message : "?");
}

static int verify_several(verify_run *run)
{
    for (size_t k = 0; k < run->settings->keys.count; k++) {
        int length = (int)strlen(run->settings->keys.item[k]);
        if (length > run->key_width && length <= 40) run->key_width = length;
    }
    if (run->call->common->json)
        run->results = json_array();
    else
        verdict_row_head(run->key_width);
    line_draw(&run->line, 0, run->models.count, run->models.path[0]);
    wmk_status status = wmk_model_verify_many((const char *const *)run->models.path, run->models.count, (const wmk_key *const *)run->keys,
                                              run->settings->keys.count, &run->options, take_pair, run);
    if (status != WMK_OK) return library_error(run->call->command, status);
    line_clear(&run->line);
    return conclude(run);
}

/* ---- what is looked at ---- */

static int open_keys(verify_run *run)
{
    const text_list *list = &run->settings->keys;
    const cli_command *command = run->call->command;
    run->keys = calloc(list->count + 1, sizeof *run->keys);
    run->dates = calloc(list->count + 1, sizeof *run->dates);
    run->bits = calloc(list->count + 1, sizeof *run->bits);
    if (!run->keys || !run->dates || !run->bits) return complain(command, EXIT_SYSTEM, "out of memory");
    int exit_code = authorities_open(command, &run->authorities, run->settings->ca);
    for (size_t i = 0; exit_code == EXIT_DONE && i < list->count; i++) {
        run->bits[i] = INFINITY;
        exit_code = key_open(command, &run->keys[i], list->item[i], run->settings->passphrase_file);
        if (exit_code == EXIT_DONE) exit_code = key_date_find(command, &run->dates[i], run->keys[i], run->authorities);
    }
    return exit_code;
}

static int prepare(verify_run *run)
{
    const verify_settings *settings = run->settings;
    wmk_verify_options options = WMK_VERIFY_OPTIONS_INIT;
    int exit_code = open_keys(run);
    if (exit_code == EXIT_DONE && settings->map) {
        wmk_status status = wmk_renames_read(&run->map, settings->map);
        if (status != WMK_OK) exit_code = library_error(run->call->command, status);
    }
    run->originals = (original_list){.keys = &settings->keys, .files = &settings->originals, .key = run->keys, .date = run->dates};
    if (exit_code == EXIT_DONE) exit_code = originals_read(run->call, &run->originals);
    if (exit_code == EXIT_DONE) exit_code = model_list_make(run->call, &run->models);
    if (exit_code != EXIT_DONE) return exit_code;
    run->pairs = run->models.count * settings->keys.count;
    run->found_in = calloc(run->pairs + 1, sizeof *run->found_in);
    if (!run->found_in) return complain(run->call->command, EXIT_SYSTEM, "out of memory");
    options.tensor = settings->tensor;
    options.any_tensor = settings->any_tensor;
    options.map = run->map.rename;
    options.map_count = run->map.count;
    options.threshold_bits = settings->threshold_bits;
    options.redraws = settings->redraws > UINT32_MAX ? UINT32_MAX : (uint32_t)settings->redraws;
    options.tries = settings->tries;
    if (__builtin_mul_overflow(settings->tries, (uint64_t)run->pairs, &run->tries))
        return usage_error(run->call->command, "--tries: more than 2^64 with %zu pairs", run->pairs);
    run->options = options;
    return EXIT_DONE;
}

static int run(const cli_call *call)
{
    const verify_settings *settings = call->settings;
    verify_run now = {.call = call, .settings = settings, .key_width = 3};
    if (settings->tensor && settings->any_tensor) return usage_error(call->command, "--tensor and --any-tensor exclude each other");
    if (settings->map && (settings->tensor || settings->any_tensor))
        return usage_error(call->command, "--map and %s exclude each other", settings->tensor ? "--tensor" : "--any-tensor");
    line_begin(&now.line, call->common);
    int exit_code = prepare(&now);
    if (exit_code == EXIT_DONE) exit_code = now.pairs == 1 && settings->originals.count == 0 ? verify_one(&now) : verify_several(&now);
    json_decref(now.results);
    free(now.first_message);
    for (size_t i = 0; now.keys && i < settings->keys.count; i++) wmk_key_free(now.keys[i]);
    free(now.keys);
    free(now.dates);
    free(now.bits);
    free(now.found_in);
    originals_free(&now.originals);
    wmk_authorities_free(now.authorities);
    wmk_renames_free(&now.map);
    model_list_free(&now.models);
    return exit_code;
}

static const option_spec options[] = {
    {"key", 'k', OPTION_LIST, "KEY", NULL, true, "key file; may be given several times", offsetof(verify_settings, keys)},
    {"map", 0, OPTION_TEXT, "FILE", NULL, false,
     "lines `key-name = model-name` (or a JSON object) for tensors whose names cannot be told otherwise; p is multiplied by what they could name",
     offsetof(verify_settings, map)},
    {"tensor", 't', OPTION_TEXT, "NAME", NULL, false, "read a one-tensor key from this tensor instead of the one it names",
     offsetof(verify_settings, tensor)},
    {"any-tensor", 0, OPTION_FLAG, NULL, NULL, false,
     "disregard names: every tensor of the key is looked for among all of its shape; p is multiplied by the number of ways",
     offsetof(verify_settings, any_tensor)},
    {"only-found", 0, OPTION_FLAG, NULL, NULL, false, "of several pairs show those where the mark is found", offsetof(verify_settings, only_found)},
    {"tries", 0, OPTION_COUNT, "N", "1", false, "how many keys or files these were picked from: p is multiplied by it",
     offsetof(verify_settings, tries)},
    {"threshold-bits", 0, OPTION_NUMBER, "B", "64", false, "evidence bits from which the verdict is found",
     offsetof(verify_settings, threshold_bits)},
    {"redraws", 0, OPTION_COUNT, "N", "9999", false, "stranger keys drawn where p has no formula (--ones with direct or diff)",
     offsetof(verify_settings, redraws)},
    {"original", 0, OPTION_LIST, "FILE", NULL, false,
     "the unmarked original of one of the keys, by the digest in the key; may be given several times: every key is read in every original",
     offsetof(verify_settings, originals)},
    OPTION_CA(verify_settings),
    OPTION_PASSPHRASE(verify_settings),
};

const cli_command command_verify = {
    .name = "verify",
    .operands = "MODEL...",
    .operand_min = 1,
    .operand_max = SIZE_MAX,
    .summary = "look for a key's mark: a verdict with its probability",
    .description =
        "Reads the bits that the key hides from the model's weights and says how sure it is that they are there on purpose: p is the "
        "probability that a\n"
        "model made without the key looks at least so marked, multiplied by everything that was tried, and evidence bits are -log2 p.\n\n"
        "The verdict is found at 64 evidence bits or more (exit status 0), inconclusive from 20 and not-found below (exit status 1).\n\n"
        "A key is dated when its file holds a time stamp that --ca confirms (weightmark key). An undated key may have been made up for the\n"
        "model, so the verdict says what trying many keys would reach.\n\n"
        "The model may have been converted since it was marked: tensors are known again by the names that other frameworks and exporters give "
        "them, in other\n"
        "layouts and quantised, or have other sizes. Tensors that are missing weaken the evidence and do no other harm; where less than half of the "
        "key's\n"
        "weights could be read, a negative answer is inconclusive.\n\n"
        "Of several keys found in one file, the one whose date is oldest, whose original shows none of the other keys, and in whose original it "
        "is itself\n"
        "not found, was first; --original gives the originals of all sides and shows each under the others' keys. Where they or the dates are "
        "missing, the\n"
        "answer is that the files do not say.\n\n"
        "Several models and keys give one row a pair, and p is multiplied by the number of pairs. A folder stands for every model file in it and "
        "below; an\n"
        "index and its shards are one model. The exit status is 0 when at least one pair is found, 1 when none is, and 3 when no pair could be "
        "looked at.",
    .examples =
        "# Is it ours?\n"
        "weightmark verify suspect.safetensors --key owner.key\n"
        "# The tensors were renamed beyond recognition: try all of their shapes\n"
        "weightmark verify suspect.onnx --key owner.key --any-tensor --json\n"
        "# Whose is what somebody uploaded?\n"
        "weightmark verify uploads/ --key alice.key --key bob.key --only-found\n"
        "# Two keys are in it: who was first?\n"
        "weightmark verify leak.safetensors --key alice.key --key bob.key --original alice.safetensors --original bob.safetensors --ca tsa.pem",
    OPTION_ARRAY(options),
    .settings_bytes = sizeof(verify_settings),
    .run = run,
};
