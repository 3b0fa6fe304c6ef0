/* cli/report_data.h - what the report is about: runs (a model, with its key and training history beside it) and what pruning does to them. */
#ifndef WMK_CLI_REPORT_DATA_H
#define WMK_CLI_REPORT_DATA_H

#include <weightmark/attack.h>
#include <weightmark/mark_file.h>

#include "key_date.h"

/* The columns of a training history that the report draws; each NULL when the file lacks it. */
typedef struct run_history {
    double *epoch, *loss, *test_error, *e_r; /* [rows], NaN where a cell is empty */
    size_t rows;
} run_history;

/* E_R and evidence at one pruning rate. */
typedef struct sweep_point {
    double rate, e_r, ber, evidence_bits, z;
} sweep_point;
enum { SWEEP_POINTS = 14, SWEEP_ORDERS = 3 };

typedef struct report_run {
    char *label, *path;
    wmk_model *model;
    wmk_key *key; /* NULL: an unmarked run */
    key_date date;
    run_history history;
    double test_error;      /* NaN: not known */
    wmk_verification found; /* of its own key; empty without one */
    double e_r;
    sweep_point sweep[SWEEP_ORDERS][SWEEP_POINTS]; /* by wmk_prune_order */
    size_t sweep_orders;                           /* how many were computed: fewer for very large models */
} report_run;

/* Reads NAME.csv beside the model, where it exists. Returns an exit code, having said what is wrong. */
int history_read(const cli_call *call, run_history *out, const char *path);
void history_free(run_history *history);

/* Mean over the readable bits of the cross-entropy of sigma(y_j) against b (paper eq. 4, per bit). */
double mean_e_r(const wmk_key *key, const wmk_reading *reading);
/* sigma(y_j), turned so that 1 is the right answer: y_j where b_j = 1, 1 - y_j where b_j = 0. out [T]; returns how many were readable. */
size_t right_share(const wmk_key *key, const wmk_reading *reading, double *out);

/* The values of all the key's targets that `model` has, end to end. The caller frees *out. */
wmk_status target_values(const wmk_model *model, const wmk_key *key, double **out, size_t *count);

/* Prunes the key's targets in memory, each at every rate and order, and reads the mark (paper figure 5). */
wmk_status sweep_run(report_run *run);

#endif
