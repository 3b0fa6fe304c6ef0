/* cli/cmd_report.c - weightmark report: one HTML page about marked models and their unmarked twins. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <weightmark/train.h>

#include "key_file.h"
#include "report_page.h"
#include "verdict.h"

typedef struct report_settings {
    common_settings common;
    const char *output, *passphrase_file, *ca, *data, *title;
    text_list keys, notes;
    bool force;
} report_settings;

static int failed(const cli_call *call, wmk_status status)
{
    return status == WMK_ERROR_MEMORY ? complain(call->command, EXIT_SYSTEM, "out of memory") : library_error(call->command, status);
}

/* ---- runs ---- */

static void run_free(report_run *run)
{
    free(run->label);
    free(run->path);
    wmk_model_close(run->model);
    wmk_key_free(run->key);
    history_free(&run->history);
    wmk_verification_free(&run->found);
}

/* `path` without what follows the last dot of its file name, then `ending`. The caller frees. */
static char *beside(const char *path, const char *ending)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(slash ? slash : path, '.');
    size_t stem = dot ? (size_t)(dot - path) : strlen(path), size = stem + strlen(ending) + 1;
    char *name = malloc(size);
    if (name) snprintf(name, size, "%.*s%s", (int)stem, path, ending);
    return name;
}

/* "LABEL=PATH", or a path that labels itself by its file name without ending. A file whose own name holds '=' is taken as it is. */
static bool split_operand(report_run *run, const char *operand)
{
    const char *equals = strchr(operand, '=');
    if (equals && equals != operand && access(operand, F_OK) != 0) {
        run->label = strndup(operand, (size_t)(equals - operand));
        run->path = strdup(equals + 1);
        return run->label && run->path;
    }
    const char *slash = strrchr(operand, '/');
    run->path = strdup(operand);
    run->label = beside(slash ? slash + 1 : operand, "");
    return run->label && run->path;
}

/* Labels go into titles and cells of a fixed size, and into SVG, which must be well formed: UTF-8, and a long one is cut between two characters. */
static void make_label(char *label)
{
    enum { LONGEST = 80 };
    make_utf8(label);
    size_t end = strlen(label) > LONGEST ? LONGEST : strlen(label);
    while (end > 0 && (label[end] & 0xc0) == 0x80) end--;
    label[end] = 0;
}

static int open_key(const cli_call *call, report_run *run, size_t index)
{
    const report_settings *settings = call->settings;
    if (index < settings->keys.count) return key_open(call->command, &run->key, settings->keys.item[index], settings->passphrase_file);
    char *path = beside(run->path, ".key");
    int exit_code = EXIT_DONE;
    if (path && access(path, F_OK) == 0) exit_code = key_open(call->command, &run->key, path, settings->passphrase_file);
    free(path);
    return exit_code;
}

/* The test error: measured where --data asks for it, else the last one in the history. */
static int find_test_error(const cli_call *call, report_run *run)
{
    const report_settings *settings = call->settings;
    wmk_eval_result result;
    run->test_error = NAN;
    for (size_t i = 0; run->history.test_error && i < run->history.rows; i++)
        if (isfinite(run->history.test_error[i])) run->test_error = run->history.test_error[i];
    if (!settings->data) return EXIT_DONE;
    remark(call, "measuring the test error of %s", run->label);
    wmk_status status = wmk_eval(run->model, settings->data, 0, (int)call->common->threads, &result);
    if (status != WMK_OK) return failed(call, status);
    run->test_error = result.test_error;
    return EXIT_DONE;
}

static wmk_status look(wmk_verification *out, const wmk_model *model, const wmk_key *key)
{
    wmk_verify_options options = WMK_VERIFY_OPTIONS_INIT;
    return wmk_model_verify(out, model, key, &options);
}

static int run_open(const cli_call *call, report_run *run, size_t index, const wmk_authorities *authorities)
{
    if (!split_operand(run, call->operands.item[index])) return complain(call->command, EXIT_SYSTEM, "out of memory");
    make_label(run->label);
    wmk_status status = wmk_model_open(&run->model, run->path);
    if (status != WMK_OK) return failed(call, status);
    int exit_code = open_key(call, run, index);
    char *history = exit_code == EXIT_DONE ? beside(run->path, ".csv") : NULL;
    if (history) exit_code = history_read(call, &run->history, history);
    free(history);
    if (exit_code == EXIT_DONE) exit_code = find_test_error(call, run);
    if (exit_code == EXIT_DONE && run->key) exit_code = key_date_find(call->command, &run->date, run->key, authorities);
    if (exit_code != EXIT_DONE || !run->key) return exit_code;
    remark(call, "reading and pruning %s", run->label);
    status = look(&run->found, run->model, run->key);
    if (status == WMK_OK) {
        run->e_r = mean_e_r(run->key, run->found.reading);
        status = sweep_run(run);
    }
    return status == WMK_OK ? EXIT_DONE : failed(call, status);
}

/* ---- comparisons ---- */

/* The unmarked run that follows, or else the last one before. */
static const report_run *twin_of(const report_run *runs, size_t count, size_t marked)
{
    for (size_t i = marked + 1; i < count; i++)
        if (!runs[i].key) return &runs[i];
    for (size_t i = marked; i-- > 0;)
        if (!runs[i].key) return &runs[i];
    return NULL;
}

static wmk_status compare(run_comparison *out, const report_run *runs, size_t count, size_t marked)
{
    out->marked = &runs[marked];
    out->twin = twin_of(runs, count, marked);
    wmk_status status = wmk_key_redraw(&out->stranger, runs[marked].key, NULL);
    if (status == WMK_OK) status = look(&out->wrong_found, runs[marked].model, out->stranger);
    if (status == WMK_OK && out->twin) status = look(&out->twin_found, out->twin->model, runs[marked].key);
    return status;
}

static void comparison_free(run_comparison *comparison)
{
    wmk_key_free(comparison->stranger);
    wmk_verification_free(&comparison->wrong_found);
    wmk_verification_free(&comparison->twin_found);
}

/* ---- the page ---- */

static wmk_status write_sections(wmk_report *report, const run_comparison *comparisons, size_t count)
{
    static const char about_bits[] = "Each of the T bits gives one value: y_j = sigma(X_j . w), turned so that 1 is the right answer and 0 the wrong "
                                     "one. In a marked model the values lie "
                                     "above one half and crowd near 1; without the mark, or with another key, they lie on both sides of it.";
    wmk_status status = wmk_report_heading(report, "Values of the bits (paper, figure 2)");
    if (status == WMK_OK) status = wmk_report_paragraph(report, about_bits);
    for (size_t i = 0; status == WMK_OK && i < count; i++) status = page_bits(report, &comparisons[i]);
    if (status == WMK_OK) status = wmk_report_heading(report, "Distribution of the marked weights (paper, figure 3)");
    for (size_t i = 0; status == WMK_OK && i < count; i++)
        if (!page_weights_done(comparisons, i)) status = page_weights(report, comparisons, count, i);
    if (status == WMK_OK) status = wmk_report_heading(report, "Pruning (paper, figure 5)");
    for (size_t i = 0; status == WMK_OK && i < count; i++) status = page_pruning(report, comparisons[i].marked);
    return status;
}

static wmk_status write_page(const report_settings *settings, const report_run *runs, size_t run_count, const run_comparison *comparisons,
                             size_t count)
{
    wmk_report *report = NULL;
    wmk_status status = wmk_report_create(&report, settings->title);
    for (size_t i = 0; status == WMK_OK && i < settings->notes.count; i++) status = wmk_report_paragraph(report, settings->notes.item[i]);
    for (size_t i = 0; status == WMK_OK && i < count; i++) status = page_words(report, &comparisons[i]);
    if (status == WMK_OK) status = wmk_report_heading(report, "Figures");
    if (status == WMK_OK) status = page_table(report, runs, run_count, comparisons, count);
    if (status == WMK_OK) status = page_curves(report, runs, run_count);
    if (status == WMK_OK) status = write_sections(report, comparisons, count);
    if (status == WMK_OK) status = wmk_report_write(report, settings->output, settings->force);
    wmk_report_free(report);
    return status;
}

static json_t *report_json(const report_settings *settings, const report_run *runs, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_append(&list, json_pack("{s:o, s:o, s:o, s:o}", "label", json_text(runs[i].label), "test_error", json_number(runs[i].test_error), "e_r",
                                     json_number(runs[i].key ? runs[i].e_r : NAN), "verification",
                                     runs[i].key ? verdict_json(runs[i].key, &runs[i].found, runs[i].path, &runs[i].date) : json_null()));
    return json_pack("{s:o, s:o}", "report", json_text(settings->output), "runs", list);
}

static int make_report(const cli_call *call, report_run *runs, run_comparison *comparisons)
{
    const report_settings *settings = call->settings;
    size_t run_count = call->operands.count, count = 0;
    int exit_code = EXIT_DONE;
    if (!settings->force && access(settings->output, F_OK) == 0) /* said before the work, and again by the library after it */
        return complain(call->command, EXIT_INPUT, "%s: exists already and is kept; --force replaces it", settings->output);
    wmk_authorities *authorities;
    exit_code = authorities_open(call->command, &authorities, settings->ca);
    for (size_t i = 0; exit_code == EXIT_DONE && i < run_count; i++) exit_code = run_open(call, &runs[i], i, authorities);
    wmk_authorities_free(authorities);
    for (size_t i = 0; exit_code == EXIT_DONE && i < run_count; i++) {
        if (!runs[i].key) continue;
        wmk_status status = compare(&comparisons[count++], runs, run_count, i);
        if (status != WMK_OK) exit_code = failed(call, status);
    }
    if (exit_code == EXIT_DONE && count == 0)
        exit_code = complain(call->command, EXIT_INPUT, "no RUN has a key: name it with --key, or put NAME.key beside NAME.safetensors");
    if (exit_code == EXIT_DONE) {
        remark(call, "drawing");
        wmk_status status = write_page(settings, runs, run_count, comparisons, count);
        if (status != WMK_OK) exit_code = failed(call, status);
    }
    if (exit_code != EXIT_DONE) return exit_code;
    if (call->common->json) return print_json(call, report_json(settings, runs, run_count));
    printf("written   %s\n", settings->output);
    return EXIT_DONE;
}

static int run(const cli_call *call)
{
    const report_settings *settings = call->settings;
    size_t count = call->operands.count;
    report_run *runs = calloc(count, sizeof *runs);
    run_comparison *comparisons = calloc(count, sizeof *comparisons);
    int exit_code = EXIT_DONE;
    if (!runs || !comparisons)
        exit_code = complain(call->command, EXIT_SYSTEM, "out of memory");
    else if (settings->keys.count > count)
        exit_code = usage_error(call->command, "%zu keys for %zu runs", settings->keys.count, count);
    else
        exit_code = make_report(call, runs, comparisons);
    for (size_t i = 0; comparisons && i < count; i++) comparison_free(&comparisons[i]);
    for (size_t i = 0; runs && i < count; i++) run_free(&runs[i]);
    free(comparisons);
    free(runs);
    return exit_code;
}

static const option_spec options[] = {
    OPTION_OUTPUT(report_settings, "where the page goes (HTML, all in one file)"),
    {"key", 'k', OPTION_LIST, "KEY", NULL, false, "key of the first RUN; given again, of the next; without it NAME.key beside the model",
     offsetof(report_settings, keys)},
    OPTION_CA(report_settings),
    OPTION_PASSPHRASE(report_settings),
    {"data", 0, OPTION_TEXT, "NAME|DIR", NULL, false, "measure every model's test error on this data set; without it the last one in its history",
     offsetof(report_settings, data)},
    {"title", 0, OPTION_TEXT, "TEXT", "weightmark report", false, "heading of the page", offsetof(report_settings, title)},
    {"note", 0, OPTION_LIST, "TEXT", NULL, false, "a paragraph of your own; several are allowed", offsetof(report_settings, notes)},
    OPTION_FORCE(report_settings),
};

const cli_command command_report = {
    .name = "report",
    .operands = "RUN...",
    .operand_min = 1,
    .operand_max = SIZE_MAX,
    .summary = "one HTML page with plots about marked models",
    .description = "A RUN is a model file, or LABEL=FILE. Its key is given by --key or lies beside it as NAME.key; its training history, if there is "
                   "one, lies beside it\n"
                   "as NAME.csv (train --history). A RUN with a key is a marked model; one without is unmarked, and each marked RUN is compared with "
                   "the unmarked RUN\n"
                   "that follows it, or else with the last one before it.\n\n"
                   "The page says for each marked RUN, in words, whether its mark is there and what it cost in test error, and draws the paper's "
                   "figures: the training\n"
                   "curves, the values y_j of marked and unmarked model and of a stranger's key, the distribution of the weights, and E_R, bit error "
                   "rate and evidence\n"
                   "against the share of the marked weights that is pruned. Needs gnuplot.",
    .examples = "# A marked model and its unmarked twin\n"
                "weightmark report marked.safetensors unmarked.safetensors --key owner.key -o report.html\n"
                "# Three schemes side by side; each has its NAME.key and NAME.csv beside it\n"
                "weightmark report direct.safetensors diff.safetensors random.safetensors unmarked.safetensors -o report.html",
    OPTION_ARRAY(options),
    .settings_bytes = sizeof(report_settings),
    .run = run,
};
