/* train/train.c - a training from options to files. */
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "train/run.h"

/* "r,g,b", as wmk_host_constants reads it; enough digits for each float. */
static wmk_status three(char **out, const float *v) { return wmk_format(out, "%.9g,%.9g,%.9g", (double)v[0], (double)v[1], (double)v[2]); }

static wmk_status write_model(const wmk_run *run)
{
    const wmk_train_options *o = run->options;
    const size_t count = wmk_graph_parameter_count(run->host.graph);
    char classes[16], *mean = NULL, *deviation = NULL;
    wmk_tensor_view *views = NULL;
    wmk_status status;
    snprintf(classes, sizeof classes, "%u", run->host.classes);
    WMK_TRY_GOTO(status, three(&mean, run->train->mean), done);
    WMK_TRY_GOTO(status, three(&deviation, run->train->deviation), done);
    WMK_TRY_GOTO(status, wmk_alloc(&views, count, sizeof *views), done);
    for (size_t i = 0; i < count; i++) views[i] = wmk_parameter_view(wmk_graph_parameter_at(run->host.graph, i));
    /* "format" is what other readers of safetensors look for: tensors laid out as PyTorch's. */
    const wmk_metadata metadata[] = {
        {"format", "pt"},          {WMK_METADATA_HOST, run->host_name}, {WMK_METADATA_CLASSES, classes}, {WMK_METADATA_DATA, run->train->name},
        {WMK_METADATA_MEAN, mean}, {WMK_METADATA_DEVIATION, deviation}};
    status = wmk_model_write(o->output, views, count, metadata, sizeof metadata / sizeof *metadata, o->replace);
done:
    free(views);
    free(mean);
    free(deviation);
    return status;
}

/* The history's bytes are on disk before the model appears, so that only a rename is left to fail. */
static wmk_status write_files(const wmk_run *run)
{
    const wmk_train_options *o = run->options;
    wmk_output *history = NULL;
    if (o->history) {
        WMK_TRY(wmk_output_begin(&history, o->history, 0666, o->replace));
        wmk_status status = wmk_output_write(history, run->state.history.data, run->state.history.size);
        if (status != WMK_OK) {
            wmk_output_abort(history);
            return status;
        }
    }
    wmk_status status = write_model(run);
    if (status != WMK_OK) {
        wmk_output_abort(history);
        return status;
    }
    if (history) WMK_TRY(wmk_output_commit(history));
    if (o->checkpoint) unlink(o->checkpoint); /* its work is done */
    return WMK_OK;
}

/* The last row and the result. */
static wmk_status finish(wmk_run *run, wmk_train_result *result)
{
    WMK_TRY(wmk_run_check_finite(run));
    WMK_TRY(wmk_run_regularize(run, false));
    wmk_run_free_plans(run);
    wmk_eval_result test;
    WMK_TRY(wmk_host_evaluate(&run->host, run->test, 0, &test));
    WMK_TRY(wmk_history_row(run, run->schedule(run->options->rate, run->steps - 1, run->steps), test.test_error));
    const wmk_run_state *s = &run->state;
    const double seconds = run->training_seconds;
    *result = (wmk_train_result){
        .steps = run->steps,
        .seconds = seconds,
        .images_per_second = seconds > 0 ? (double)((s->step - run->first_step) * run->options->batch) / seconds : 0,
        .train_loss = s->epoch_steps ? s->epoch_loss / (double)s->epoch_steps : NAN,
        .test_error = test.test_error,
        .test_loss = test.loss,
        .e_r = run->e_r,
        .ber = run->ber,
    };
    return write_files(run);
}

wmk_status wmk_train(const wmk_train_options *options, wmk_train_result *result)
{
    if (options->struct_size < sizeof *options)
        return wmk_fail(WMK_ERROR_ARGUMENT, "training: options of %zu bytes; begin with WMK_TRAIN_OPTIONS_INIT", options->struct_size);
    wmk_train_result own;
    wmk_run run;
    const int before = omp_get_max_threads();
    if (options->threads >= 0) omp_set_num_threads(options->threads ? options->threads : omp_get_num_procs());
    wmk_status status = wmk_run_open(&run, options);
    if (status == WMK_OK) status = wmk_run_steps(&run);
    if (status == WMK_OK) status = finish(&run, result ? result : &own);
    if (status == WMK_ERROR_NUMERIC)
        wmk_fail_within(status, options->checkpoint && !access(options->checkpoint, R_OK) ? "training stopped (the last good checkpoint is kept)"
                                                                                          : "training stopped");
    wmk_run_close(&run);
    omp_set_num_threads(before);
    return status;
}
