/* train/loop.c - the steps: batch, forward, backward, marks, update. */
#include <math.h>
#include <string.h>
#include <time.h>

#include "train/run.h"

#define HISTORY_ROWS 100

double wmk_run_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The teacher's soft-max (temperature 1) over the same images, as targets (Hinton et al. 2015). */
static wmk_status fill_targets(wmk_run *run, const float *images)
{
    const uint64_t batch = run->options->batch;
    const uint32_t classes = run->host.classes;
    float *target = wmk_plan_input(run->plan, run->host.targets);
    memcpy(wmk_plan_input(run->teacher_plan, run->teacher.images), images, batch * WMK_IMAGE_ELEMENTS * sizeof *images);
    WMK_TRY(wmk_plan_forward(run->teacher_plan));
    const float *logits = wmk_plan_output(run->teacher_plan, run->teacher.logits);
    for (uint64_t i = 0; i < batch; i++, logits += classes, target += classes) {
        float greatest = logits[0];
        double sum = 0;
        for (uint32_t c = 1; c < classes; c++) greatest = fmaxf(greatest, logits[c]);
        for (uint32_t c = 0; c < classes; c++) sum += exp((double)logits[c] - greatest);
        for (uint32_t c = 0; c < classes; c++) target[c] = (float)(exp((double)logits[c] - greatest) / sum);
    }
    return WMK_OK;
}

wmk_status wmk_run_regularize(wmk_run *run, bool train)
{
    if (!run->options->key_count) return WMK_OK;
    double total = 0;
    uint64_t wrong = 0;
    for (size_t i = 0; i < run->options->key_count; i++) {
        const wmk_mark_in_training *mark = &run->marks[i];
        double sum;
        uint32_t errors;
        WMK_TRY(wmk_regularizer_step(mark->regularizer, run->options->lambda, train ? mark->gradients : NULL, &sum, &errors));
        total += sum;
        wrong += errors;
    }
    run->e_r = total / (double)run->total_bits;
    run->ber = (double)wrong / (double)run->total_bits;
    return WMK_OK;
}

wmk_status wmk_run_check_finite(const wmk_run *run)
{
    const wmk_parameter *p;
    for (size_t i = 0; (p = wmk_graph_parameter_at(run->host.graph, i)); i++)
        for (size_t j = 0; j < p->count; j++)
            if (!isfinite(p->data[j]))
                return wmk_fail(WMK_ERROR_NUMERIC, "after step %llu parameter %s is not finite", (unsigned long long)run->state.step, p->name);
    return WMK_OK;
}

/* One step; *loss is E_0 before its update. */
static wmk_status step(wmk_run *run, double rate, double *loss)
{
    size_t count;
    float *images = wmk_plan_input(run->plan, run->host.images);
    if (run->teacher.graph) {
        WMK_TRY(wmk_loader_next(run->loader, images, NULL, &count));
        WMK_TRY(fill_targets(run, images));
    } else
        WMK_TRY(wmk_loader_next(run->loader, images, wmk_plan_input(run->plan, run->host.labels), &count));
    WMK_TRY(wmk_plan_forward(run->plan));
    *loss = wmk_plan_output(run->plan, run->teacher.graph ? run->host.soft_loss : run->host.loss)[0];
    if (!isfinite(*loss)) return wmk_fail(WMK_ERROR_NUMERIC, "step %llu: the loss is %g", (unsigned long long)run->state.step + 1, *loss);
    WMK_TRY(wmk_plan_backward(run->plan));
    wmk_status status = wmk_run_regularize(run, true);
    if (status != WMK_OK) return wmk_fail_within(status, "step %llu", (unsigned long long)run->state.step + 1);
    return wmk_sgd_step(run->sgd, rate);
}

static bool begins_row(uint64_t done, uint64_t steps) { return done * HISTORY_ROWS / steps != (done - 1) * HISTORY_ROWS / steps; }

#define BETWEEN_EPOCHS_BATCH 20 /* small: this plan lives beside the one that trains */

/* Rows of the history, and the test error at an epoch's end (the last step's is left to the caller, who needs it anyway). */
static wmk_status record(wmk_run *run, double rate)
{
    const uint64_t done = run->state.step;
    double test_error = NAN;
    if (done == run->steps) return WMK_OK;
    if (done % run->steps_per_epoch == 0) {
        wmk_eval_result result;
        WMK_TRY(wmk_host_evaluate(&run->host, run->test, BETWEEN_EPOCHS_BATCH, &result));
        test_error = result.test_error;
    } else if (!begins_row(done, run->steps))
        return WMK_OK;
    return wmk_history_row(run, rate, test_error);
}

/* Tells the caller; *stop when he wants no more. */
static void report(const wmk_run *run, double rate, double loss, bool *stop)
{
    if (!run->options->progress) return;
    const double here = (double)(run->state.step - run->first_step), seconds = run->training_seconds;
    const double per_second = seconds > 0 ? here / seconds : 0, spe = (double)run->steps_per_epoch;
    const wmk_train_progress progress = {
        .step = run->state.step,
        .steps = run->steps,
        .epoch = (double)run->state.step / spe,
        .epochs = (double)run->steps / spe,
        .loss = loss,
        .e_r = run->e_r,
        .ber = run->ber,
        .rate = rate,
        .images_per_second = per_second * (double)run->options->batch,
        .seconds_left = per_second > 0 ? (double)(run->steps - run->state.step) / per_second : 0,
    };
    *stop = run->options->progress(&progress, run->options->payload) != 0;
}

/* A checkpoint when it is due, or when the caller stops. */
static wmk_status keep(wmk_run *run, bool stop)
{
    const char *path = run->options->checkpoint;
    const unsigned long long done = run->state.step, steps = run->steps;
    if (path && (stop || wmk_run_now() - run->last_checkpoint >= run->options->checkpoint_seconds)) {
        WMK_TRY(wmk_checkpoint_write(run));
        run->last_checkpoint = wmk_run_now();
    }
    if (!stop) return WMK_OK;
    if (path) return wmk_fail(WMK_ERROR_INTERRUPTED, "training: stopped after step %llu of %llu; %s goes on from there", done, steps, path);
    return wmk_fail(WMK_ERROR_INTERRUPTED, "training: stopped after step %llu of %llu; nothing is kept, since no checkpoint was named", done, steps);
}

wmk_status wmk_run_steps(wmk_run *run)
{
    wmk_run_state *s = &run->state;
    bool stop = false;
    run->last_checkpoint = wmk_run_now();
    while (s->step < run->steps) {
        const double begin = wmk_run_now(), rate = run->schedule(run->options->rate, s->step, run->steps);
        double loss;
        WMK_TRY(step(run, rate, &loss));
        run->training_seconds += wmk_run_now() - begin;
        if (s->step % run->steps_per_epoch == 0) s->epoch_loss = 0, s->epoch_steps = 0;
        s->step++;
        s->row_loss += loss, s->row_steps++;
        s->epoch_loss += loss, s->epoch_steps++;
        report(run, rate, loss, &stop);
        WMK_TRY(record(run, rate));
        if (s->step < run->steps) WMK_TRY(keep(run, stop));
    }
    return WMK_OK;
}
