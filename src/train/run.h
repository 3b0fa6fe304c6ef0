/* train/run.h - one training in progress, shared by the files of the loop. */
#ifndef WMK_TRAIN_RUN_H
#define WMK_TRAIN_RUN_H

#include "base/memory.h"
#include "data/dataset.h"
#include "train/host_file.h"
#include "train/schedule.h"

/* What a checkpoint carries besides parameters and velocities. */
typedef struct wmk_run_state {
    uint64_t step;   /* steps done */
    double row_loss; /* sum of E_0 over row_steps, since the last row of the history */
    uint64_t row_steps;
    double epoch_loss; /* the same since the epoch began */
    uint64_t epoch_steps;
    wmk_buffer history; /* CSV so far */
} wmk_run_state;

typedef struct wmk_mark_in_training { /* a key at work on the host */
    const wmk_key *key;
    wmk_regularizer *regularizer;
    wmk_tensor_view *views; /* [targets] */
    float **gradients;      /* [targets] */
} wmk_mark_in_training;

typedef struct wmk_run {
    const wmk_train_options *options;
    char *identity; /* "name=value" lines: what a checkpoint must share with the run that goes on from it */
    wmk_dataset *train, *test;
    wmk_host host, teacher; /* teacher.graph NULL: labels are used */
    char *host_name;
    wmk_plan *plan, *teacher_plan;
    wmk_sgd *sgd;
    wmk_loader *loader;
    wmk_mark_in_training *marks; /* [options->key_count] */
    uint64_t total_bits;         /* T over all keys */
    wmk_schedule schedule;
    uint64_t steps, steps_per_epoch;
    wmk_run_state state;
    double started, training_seconds; /* of this call; evaluation is left out of the second */
    uint64_t first_step;
    double row_started; /* training_seconds at the last row */
    double last_checkpoint;
    double e_r, ber; /* of the last step, mean per bit; NaN without a key */
} wmk_run;

double wmk_run_now(void); /* seconds, monotonic */

/* Opens data, host, teacher, marks and plans for the options, goes on from the checkpoint when asked (setup.c). */
wmk_status wmk_run_open(wmk_run *run, const wmk_train_options *options);
void wmk_run_close(wmk_run *run);
/* All steps that are left (loop.c). */
wmk_status wmk_run_steps(wmk_run *run);
/* The training is over: gives back what only its steps needed, most of the memory. */
void wmk_run_free_plans(wmk_run *run);
/* E_R and BER of the present weights into run->e_r and run->ber; gradients as well when `train`. */
wmk_status wmk_run_regularize(wmk_run *run, bool train);
/* NUMERIC when a parameter is not finite. */
wmk_status wmk_run_check_finite(const wmk_run *run);

/* checkpoint.c */
wmk_status wmk_checkpoint_write(wmk_run *run);
wmk_status wmk_checkpoint_read(wmk_run *run); /* MISMATCH: another run's */

/* history.c */
wmk_status wmk_history_begin(wmk_run_state *state);
/* test_error: NaN leaves the field empty. */
wmk_status wmk_history_row(wmk_run *run, double rate, double test_error);

/* eval.c: test error and mean loss of a host over all of a data set. */
wmk_status wmk_host_evaluate(wmk_host *host, const wmk_dataset *dataset, uint64_t batch, wmk_eval_result *out);

#endif
