/* cli/report_data.c - histories, readings and pruning sweeps. */
#include "report_data.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- history ---- */

enum { COLUMNS = 4, LINE_BYTES = 4096 };
static const char *const column_names[COLUMNS] = {"epoch", "loss", "test_error", "e_r"};

static double **column_of(run_history *history, size_t column)
{
    double **columns[COLUMNS] = {&history->epoch, &history->loss, &history->test_error, &history->e_r};
    return columns[column];
}

void history_free(run_history *history)
{
    for (size_t c = 0; c < COLUMNS; c++) {
        free(*column_of(history, c));
        *column_of(history, c) = NULL;
    }
    history->rows = 0;
}

/* place[c]: the index of column c in the head line, or -1. */
static void find_columns(char *head, int place[COLUMNS])
{
    int index = 0;
    for (size_t c = 0; c < COLUMNS; c++) place[c] = -1;
    for (char *cell = head; cell; index++) {
        char *next = strpbrk(cell, ",\r\n");
        bool more = next && *next == ',';
        if (next) *next = 0;
        for (size_t c = 0; c < COLUMNS; c++)
            if (strcmp(cell, column_names[c]) == 0) place[c] = index;
        cell = more ? next + 1 : NULL;
    }
}

static bool append_row(run_history *history, char *line, const int place[COLUMNS])
{
    double cells[COLUMNS] = {NAN, NAN, NAN, NAN};
    int index = 0;
    for (char *cell = line; cell; index++) {
        char *next = strchr(cell, ','), *end;
        double value = strtod(cell, &end);
        for (size_t c = 0; c < COLUMNS; c++)
            if (place[c] == index && end != cell) cells[c] = value;
        cell = next ? next + 1 : NULL;
    }
    for (size_t c = 0; c < COLUMNS; c++) {
        if (place[c] < 0) continue;
        double *grown = realloc(*column_of(history, c), (history->rows + 1) * sizeof *grown);
        if (!grown) return false;
        grown[history->rows] = cells[c];
        *column_of(history, c) = grown;
    }
    history->rows++;
    return true;
}

int history_read(const cli_call *call, run_history *out, const char *path)
{
    char line[LINE_BYTES];
    int place[COLUMNS], exit_code = EXIT_DONE;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe that nobody writes to is not waited for */
    if (fd < 0 && errno == ENOENT) return EXIT_DONE;
    FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
    if (!file) {
        exit_code = complain(call->command, EXIT_INPUT, "%s: %s", path, strerror(errno));
        if (fd >= 0) close(fd);
        return exit_code;
    }
    if (!fgets(line, sizeof line, file)) line[0] = 0;
    find_columns(line, place);
    if (place[0] < 0) exit_code = complain(call->command, EXIT_INPUT, "%s: not a training history: no column \"epoch\" in its first line", path);
    while (exit_code == EXIT_DONE && fgets(line, sizeof line, file))
        if (!append_row(out, line, place)) exit_code = complain(call->command, EXIT_SYSTEM, "out of memory");
    if (exit_code == EXIT_DONE && ferror(file)) exit_code = complain(call->command, EXIT_SYSTEM, "%s: %s", path, strerror(errno));
    fclose(file);
    return exit_code;
}

/* ---- readings ---- */

double mean_e_r(const wmk_key *key, const wmk_reading *reading)
{
    uint8_t *b = malloc(reading->T);
    double sum = 0;
    size_t count = 0;
    if (!b) return NAN;
    wmk_key_bits(key, b);
    for (uint32_t j = 0; j < reading->T; j++) {
        if (reading->erased[j]) continue;
        double wrong = b[j] ? -reading->y[j] : reading->y[j]; /* -log sigma(-wrong) = log(1 + exp(wrong)), without overflow */
        sum += fmax(wrong, 0) + log1p(exp(-fabs(wrong)));
        count++;
    }
    explicit_bzero(b, reading->T);
    free(b);
    return count ? sum / (double)count : NAN;
}

size_t right_share(const wmk_key *key, const wmk_reading *reading, double *out)
{
    uint8_t *b = malloc(reading->T);
    size_t count = 0;
    if (!b) return 0;
    wmk_key_bits(key, b);
    for (uint32_t j = 0; j < reading->T; j++) {
        out[j] = reading->erased[j] ? NAN : 1 / (1 + exp(b[j] ? -reading->y[j] : reading->y[j]));
        count += !reading->erased[j];
    }
    explicit_bzero(b, reading->T);
    free(b);
    return count;
}

/* ---- the key's tensors in memory ---- */

static size_t elements(const wmk_tensor_view *view)
{
    size_t count = 1;
    for (uint32_t i = 0; i < view->rank; i++) count *= (size_t)view->shape[i];
    return count;
}

static const wmk_tensor_view *view_of(const wmk_model *model, const wmk_target *target)
{
    const wmk_model_tensor *tensor = wmk_model_find(model, target->name);
    return tensor && tensor->view.data && !tensor->view.codec && wmk_dtype_is_float(tensor->view.dtype) ? &tensor->view : NULL;
}

wmk_status target_values(const wmk_model *model, const wmk_key *key, double **out, size_t *count)
{
    size_t total = 0, targets = wmk_key_target_count(key);
    for (size_t i = 0; i < targets; i++) {
        const wmk_tensor_view *view = view_of(model, wmk_key_target(key, i));
        total += view ? elements(view) : 0;
    }
    double *values = malloc((total ? total : 1) * sizeof *values);
    if (!values) return WMK_ERROR_MEMORY;
    wmk_status status = WMK_OK;
    total = 0;
    for (size_t i = 0; status == WMK_OK && i < targets; i++) {
        const wmk_tensor_view *view = view_of(model, wmk_key_target(key, i));
        if (!view) continue;
        status = wmk_tensor_values(view, values + total);
        total += elements(view);
    }
    if (status != WMK_OK) {
        free(values);
        return status;
    }
    *out = values;
    *count = total;
    return WMK_OK;
}

/* ---- pruning ---- */

static const double rates[SWEEP_POINTS] = {0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99};
enum { SWEEP_REDRAWS = 999, ALL_ORDERS_UP_TO = 4000000, NO_SWEEP_ABOVE = 64000000 };

/* Views of the targets over `pruned`, whose values lie end to end as target_values leaves them. */
static void point_views(wmk_tensor_view *views, const report_run *run, const double *pruned)
{
    for (size_t i = 0; i < wmk_key_target_count(run->key); i++) {
        const wmk_target *target = wmk_key_target(run->key, i);
        const wmk_tensor_view *view = view_of(run->model, target);
        views[i] = (wmk_tensor_view){.name = target->name, .dtype = WMK_F64, .rank = target->rank};
        memcpy(views[i].shape, view ? view->shape : target->shape, sizeof target->shape);
        memcpy(views[i].layout, view && *view->layout && view->rank == target->rank ? view->layout : target->layout, sizeof views[i].layout);
        if (memcmp(views[i].shape, target->shape, target->rank * sizeof target->shape[0]) == 0) /* what wmk_model_verify does */
            memcpy(views[i].layout, target->layout, sizeof views[i].layout);
        views[i].data = view ? pruned : NULL;
        pruned += view ? elements(view) : 0;
    }
}

static wmk_status prune_targets(double *pruned, const wmk_tensor_view *views, size_t count, double rate, wmk_prune_order order)
{
    wmk_status status = WMK_OK;
    for (size_t i = 0; status == WMK_OK && i < count; i++) {
        if (!views[i].data) continue;
        status = wmk_prune(pruned, elements(&views[i]), rate, order, i + 1);
        pruned += elements(&views[i]);
    }
    return status;
}

static wmk_status sweep_one(sweep_point *point, const report_run *run, const wmk_tensor_view *views)
{
    wmk_evidence evidence;
    wmk_reading *reading = NULL;
    wmk_status status = wmk_mark_verify(&evidence, &reading, run->key, views, 1, WMK_THRESHOLD_BITS_DEFAULT, SWEEP_REDRAWS);
    if (status != WMK_OK) return status;
    point->e_r = mean_e_r(run->key, reading);
    point->ber = evidence.ber;
    point->z = evidence.z;
    point->evidence_bits = evidence.evidence_bits;
    wmk_reading_free(reading);
    return WMK_OK;
}

wmk_status sweep_run(report_run *run)
{
    double *values = NULL;
    size_t count = 0, targets = wmk_key_target_count(run->key);
    wmk_status status = target_values(run->model, run->key, &values, &count);
    if (status != WMK_OK || count > NO_SWEEP_ABOVE) {
        free(values);
        return status;
    }
    double *pruned = malloc((count ? count : 1) * sizeof *pruned);
    wmk_tensor_view *views = calloc(targets, sizeof *views);
    if (!pruned || !views) status = WMK_ERROR_MEMORY;
    size_t orders = count > ALL_ORDERS_UP_TO ? 1 : SWEEP_ORDERS;
    for (size_t order = 0; status == WMK_OK && order < orders; order++)
        for (size_t p = 0; status == WMK_OK && p < SWEEP_POINTS; p++) {
            memcpy(pruned, values, count * sizeof *pruned);
            point_views(views, run, pruned);
            run->sweep[order][p].rate = rates[p];
            status = prune_targets(pruned, views, targets, rates[p], (wmk_prune_order)order);
            if (status == WMK_OK) status = sweep_one(&run->sweep[order][p], run, views);
        }
    if (status == WMK_OK) run->sweep_orders = orders;
    free(views);
    free(pruned);
    free(values);
    return status;
}
