/* cli/report_figures.c - the paper's figures 1, 2, 3 and 5 for one's own runs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report_page.h"

enum { SERIES_MAX = 16, BINS = 60, TITLE_BYTES = 256 };

/* ---- figure 1 ---- */

typedef const double *(*column_fn)(const run_history *history);
static const double *test_error_of(const run_history *history) { return history->test_error; }
static const double *loss_of(const run_history *history) { return history->loss; }
static const double *e_r_of(const run_history *history) { return history->e_r; }

/* A column with empty rows between its numbers (test error, known at an epoch's end) would be all gaps: only rows with a point to draw are kept. */
static size_t keep_numbers(double *x, double *y, const run_history *history, const double *column, bool log_y)
{
    size_t kept = 0;
    for (size_t i = 0; i < history->rows; i++) {
        if (!(fabs(history->epoch[i]) < 1e100 && fabs(column[i]) < 1e100) || (log_y && !(column[i] > 1e-100))) continue;
        x[kept] = history->epoch[i];
        y[kept++] = column[i];
    }
    return kept;
}

static wmk_status curve(wmk_report *report, const report_run *runs, size_t run_count, column_fn column_of_run, const char *title, const char *y_label,
                        bool log_y)
{
    wmk_series series[SERIES_MAX];
    double *points[SERIES_MAX] = {NULL};
    size_t count = 0;
    wmk_status status = WMK_OK;
    for (size_t i = 0; i < run_count && count < SERIES_MAX; i++) {
        const run_history *history = &runs[i].history;
        const double *column = history->epoch ? column_of_run(history) : NULL;
        if (!column || history->rows == 0) continue;
        points[count] = malloc(2 * history->rows * sizeof(double));
        if (!points[count]) {
            status = WMK_ERROR_MEMORY;
            break;
        }
        double *x = points[count], *y = x + history->rows;
        size_t kept = keep_numbers(x, y, history, column, log_y);
        if (kept > 1) /* one point is no curve: its number stands in the table */
            series[count++] = (wmk_series){runs[i].label, x, y, kept};
        else {
            free(points[count]);
            points[count] = NULL;
        }
    }
    if (status == WMK_OK && count > 0) {
        wmk_figure figure = {title, "epoch", y_label, series, count, log_y, false, 0, 0};
        status = wmk_report_figure(report, &figure);
    }
    for (size_t i = 0; i < SERIES_MAX; i++) free(points[i]);
    return status;
}

wmk_status page_curves(wmk_report *report, const report_run *runs, size_t run_count)
{
    bool any = false;
    for (size_t i = 0; i < run_count; i++) any |= runs[i].history.rows > 0;
    if (!any) return WMK_OK;
    wmk_status status = wmk_report_heading(report, "Training (paper, figure 1)");
    if (status == WMK_OK) status = curve(report, runs, run_count, test_error_of, "Test error", "share of test images", false);
    if (status == WMK_OK) status = curve(report, runs, run_count, loss_of, "Training loss E_0", "loss", false);
    if (status == WMK_OK) status = curve(report, runs, run_count, e_r_of, "Mean E_R while training", "mean E_R per bit", true);
    return status;
}

/* ---- figure 2 ---- */

typedef struct histogram {
    double x[BINS], y[BINS];
} histogram;

static wmk_status bits_series(wmk_series *series, histogram *bins, const char *label, const wmk_key *key, const wmk_verification *found)
{
    double *share = calloc(found->reading->T, sizeof *share);
    if (!share) return WMK_ERROR_MEMORY;
    right_share(key, found->reading, share);
    wmk_histogram(share, found->reading->T, 0, 1, BINS, bins->x, bins->y);
    free(share);
    *series = (wmk_series){label, bins->x, bins->y, BINS};
    return WMK_OK;
}

wmk_status page_bits(wmk_report *report, const run_comparison *comparison)
{
    wmk_series series[3];
    histogram bins[3];
    char title[TITLE_BYTES], twin[TITLE_BYTES] = "";
    size_t count = 0;
    wmk_status status = bits_series(&series[count++], &bins[0], "marked, its key", comparison->marked->key, &comparison->marked->found);
    if (status == WMK_OK && comparison->twin) {
        snprintf(twin, sizeof twin, "unmarked (%s), the same key", comparison->twin->label);
        status = bits_series(&series[count++], &bins[1], twin, comparison->marked->key, &comparison->twin_found);
    }
    if (status == WMK_OK)
        status = bits_series(&series[count++], &bins[2], "marked, a stranger's key", comparison->stranger, &comparison->wrong_found);
    snprintf(title, sizeof title, "Values of the bits: %s", comparison->marked->label);
    wmk_figure figure = {title, "y_j through the sigmoid, 1 = right", "share of bits", series, count, false, true, 0, 0};
    return status == WMK_OK ? wmk_report_figure(report, &figure) : status;
}

/* ---- figure 3 ---- */

static bool same_tensors(const wmk_key *a, const wmk_key *b)
{
    bool same = wmk_key_target_count(a) == wmk_key_target_count(b);
    for (size_t i = 0; same && i < wmk_key_target_count(a); i++) same = strcmp(wmk_key_target(a, i)->name, wmk_key_target(b, i)->name) == 0;
    return same;
}

bool page_weights_done(const run_comparison *comparisons, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (same_tensors(comparisons[i].marked->key, comparisons[index].marked->key)) return true;
    return false;
}

typedef struct weights {
    const report_run *run;
    double *values;
    size_t count;
} weights;

static wmk_status add_weights(weights *all, size_t *count, const report_run *run, const wmk_key *key)
{
    for (size_t i = 0; i < *count; i++)
        if (all[i].run == run) return WMK_OK;
    if (!run || *count == SERIES_MAX) return WMK_OK;
    all[*count].run = run;
    wmk_status status = target_values(run->model, key, &all[*count].values, &all[*count].count);
    if (status == WMK_OK) ++*count;
    return status;
}

/* Half the width of the figure: the largest weight, but no more than six deviations. */
static double reach_of(const double *values, size_t count)
{
    double sum = 0, largest = 0;
    for (size_t i = 0; i < count; i++) {
        sum += values[i] * values[i];
        largest = fmax(largest, fabs(values[i]));
    }
    return count ? fmin(largest, 6 * sqrt(sum / (double)count)) : 0;
}

static wmk_status draw_weights(wmk_report *report, const weights *all, size_t count, const wmk_key *key)
{
    if (count == 0) return WMK_OK;
    wmk_series series[SERIES_MAX];
    char title[TITLE_BYTES];
    wmk_status status = WMK_OK;
    double reach = reach_of(all[0].values, all[0].count);
    for (size_t i = 1; i < count; i++) reach = fmax(reach, reach_of(all[i].values, all[i].count));
    histogram *bins = calloc(count, sizeof *bins);
    if (!bins) return WMK_ERROR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        wmk_histogram(all[i].values, all[i].count, -reach, reach, BINS, bins[i].x, bins[i].y);
        series[i] = (wmk_series){all[i].run->label, bins[i].x, bins[i].y, BINS};
    }
    if (wmk_key_target_count(key) == 1)
        snprintf(title, sizeof title, "Distribution of W: %s", wmk_key_target(key, 0)->name);
    else
        snprintf(title, sizeof title, "Distribution of W: the %zu marked tensors", wmk_key_target_count(key));
    make_utf8(title); /* a long name may have been cut off within a character */
    wmk_figure figure = {title, "weight", "share of weights", series, count, false, true, 0, 0};
    if (reach > 0) status = wmk_report_figure(report, &figure);
    free(bins);
    return status;
}

wmk_status page_weights(wmk_report *report, const run_comparison *comparisons, size_t count, size_t first)
{
    weights all[SERIES_MAX] = {{NULL, NULL, 0}};
    size_t used = 0;
    const wmk_key *key = comparisons[first].marked->key;
    wmk_status status = WMK_OK;
    for (size_t i = first; status == WMK_OK && i < count; i++) {
        if (!same_tensors(comparisons[i].marked->key, key)) continue;
        status = add_weights(all, &used, comparisons[i].marked, key);
        if (status == WMK_OK) status = add_weights(all, &used, comparisons[i].twin, key);
    }
    if (status == WMK_OK) status = draw_weights(report, all, used, key);
    for (size_t i = 0; i < used; i++) free(all[i].values);
    return status;
}

/* ---- figure 5 ---- */

typedef double (*point_fn)(const sweep_point *point);
static double e_r_at(const sweep_point *point) { return point->e_r; }
static double ber_at(const sweep_point *point) { return point->ber; }
static double evidence_at(const sweep_point *point) { return point->evidence_bits; }

static wmk_status pruning_figure(wmk_report *report, const report_run *run, point_fn value, const char *what, const char *y_label)
{
    static const char *const orders[SWEEP_ORDERS] = {"ascending (real pruning)", "descending", "random"};
    double x[SWEEP_POINTS], y[SWEEP_ORDERS][SWEEP_POINTS];
    wmk_series series[SWEEP_ORDERS];
    char title[TITLE_BYTES];
    double highest = 0;
    for (size_t order = 0; order < run->sweep_orders; order++) {
        for (size_t p = 0; p < SWEEP_POINTS; p++) {
            x[p] = run->sweep[order][p].rate;
            y[order][p] = value(&run->sweep[order][p]);
            if (isfinite(y[order][p])) highest = fmax(highest, y[order][p]);
        }
        series[order] = (wmk_series){orders[order], x, y[order], SWEEP_POINTS};
    }
    snprintf(title, sizeof title, "%s: %s", what, run->label);
    wmk_figure figure = {title, "share of the marked weights set to zero", y_label, series, run->sweep_orders, false, false,
                         0,     highest > 0 ? 1.05 * highest : 1};
    return wmk_report_figure(report, &figure);
}

static wmk_status pruning_table(wmk_report *report, const report_run *run)
{
    enum { COLUMNS = 5, BYTES = 32 };
    char text[SWEEP_POINTS + 1][COLUMNS][BYTES] = {{"pruned, ascending", "mean E_R", "BER", "z", "evidence bits"}};
    const char *cells[(SWEEP_POINTS + 1) * COLUMNS];
    for (size_t p = 0; p < SWEEP_POINTS; p++) {
        const sweep_point *point = &run->sweep[WMK_PRUNE_ASCENDING][p];
        snprintf(text[p + 1][0], BYTES, "%.0f %%", 100 * point->rate);
        snprintf(text[p + 1][1], BYTES, "%.3g", point->e_r);
        snprintf(text[p + 1][2], BYTES, "%.4f", point->ber);
        snprintf(text[p + 1][3], BYTES, "%.2f", point->z);
        snprintf(text[p + 1][4], BYTES, "%.1f", point->evidence_bits);
    }
    for (size_t i = 0; i < (SWEEP_POINTS + 1) * COLUMNS; i++) cells[i] = text[i / COLUMNS][i % COLUMNS];
    return wmk_report_table(report, cells, SWEEP_POINTS + 1, COLUMNS);
}

wmk_status page_pruning(wmk_report *report, const report_run *run)
{
    if (run->sweep_orders == 0) return wmk_report_paragraph(report, "The marked tensors are too large for a sweep over pruning rates in memory.");
    wmk_status status = pruning_figure(report, run, e_r_at, "Mean E_R after pruning", "mean E_R per bit");
    if (status == WMK_OK) status = pruning_figure(report, run, ber_at, "Bit error rate after pruning", "BER");
    if (status == WMK_OK) status = pruning_figure(report, run, evidence_at, "Evidence after pruning", "evidence bits");
    return status == WMK_OK ? pruning_table(report, run) : status;
}
