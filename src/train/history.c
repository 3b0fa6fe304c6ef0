/* train/history.c - the rows of the history file. */
#include <math.h>

#include "train/run.h"

wmk_status wmk_history_begin(wmk_run_state *state)
{
    return wmk_buffer_printf(&state->history, "step,epoch,rate,loss,e_r,ber,images_per_second,test_error\n");
}

/* Appends ",value", or "," for NaN. */
static wmk_status field(wmk_buffer *csv, double value) { return isnan(value) ? wmk_buffer_printf(csv, ",") : wmk_buffer_printf(csv, ",%.6g", value); }

wmk_status wmk_history_row(wmk_run *run, double rate, double test_error)
{
    wmk_run_state *s = &run->state;
    wmk_buffer *csv = &s->history;
    double seconds = run->training_seconds - run->row_started;
    uint64_t images = (s->row_steps < s->step - run->first_step ? s->row_steps : s->step - run->first_step) * run->options->batch;
    WMK_TRY(wmk_buffer_printf(csv, "%llu,%.6g", (unsigned long long)s->step, (double)s->step / (double)run->steps_per_epoch));
    WMK_TRY(field(csv, rate));
    WMK_TRY(field(csv, s->row_steps ? s->row_loss / (double)s->row_steps : NAN));
    WMK_TRY(field(csv, run->e_r));
    WMK_TRY(field(csv, run->ber));
    WMK_TRY(field(csv, seconds > 0 ? (double)images / seconds : NAN));
    WMK_TRY(field(csv, test_error));
    WMK_TRY(wmk_buffer_printf(csv, "\n"));
    s->row_loss = 0;
    s->row_steps = 0;
    run->row_started = run->training_seconds;
    return WMK_OK;
}
