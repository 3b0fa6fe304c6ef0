/* train/setup.c - from options to a run that can take its first step; everything that can be refused is refused here. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "train/run.h"

static wmk_status check_numbers(const wmk_train_options *o)
{
    if (!(o->epochs > 0 && o->epochs <= 1e6))
        return wmk_fail(WMK_ERROR_ARGUMENT, "training: %g epochs are not above 0 and at most 1000000", o->epochs);
    if (o->batch < 1 || o->batch > 1 << 20)
        return wmk_fail(WMK_ERROR_ARGUMENT, "training: a batch of %llu images is out of range", (unsigned long long)o->batch);
    if (!(o->rate > 0 && isfinite(o->rate))) return wmk_fail(WMK_ERROR_ARGUMENT, "training: rate %g is not above 0 and finite", o->rate);
    if (!(o->momentum >= 0 && o->momentum < 1)) return wmk_fail(WMK_ERROR_ARGUMENT, "training: momentum %g is not 0 to below 1", o->momentum);
    if (!(o->weight_decay >= 0 && isfinite(o->weight_decay)))
        return wmk_fail(WMK_ERROR_ARGUMENT, "training: weight decay %g is not 0 or above", o->weight_decay);
    if (!(o->lambda >= 0 && isfinite(o->lambda))) return wmk_fail(WMK_ERROR_ARGUMENT, "training: lambda %g is not finite and at least 0", o->lambda);
    if (!(o->kappa > 0 && isfinite(o->kappa))) return wmk_fail(WMK_ERROR_ARGUMENT, "training: kappa %g is not above 0", o->kappa);
    if (o->threads < 0 || o->threads > 4096) return wmk_fail(WMK_ERROR_ARGUMENT, "training: %d threads are not 0 to 4096", o->threads);
    if (!(o->checkpoint_seconds >= 0)) return wmk_fail(WMK_ERROR_ARGUMENT, "training: %g seconds between checkpoints", o->checkpoint_seconds);
    return WMK_OK;
}

/* What `path` names: a file's device and number or, where there is no file yet, its folder's and its name there. */
static bool place_of(const char *path, struct stat *info, const char **name)
{
    *name = "";
    if (!stat(path, info)) return true;
    char folder[PATH_MAX] = ".";
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    if (slash) snprintf(folder, sizeof folder, "%.*s", (int)(slash - path + 1), path);
    return !stat(folder, info);
}

/* Would two outputs be one file, however their paths are spelt? What cannot be told is refused when the places are checked. */
static bool same_place(const char *a, const char *b)
{
    struct stat x, y;
    const char *x_name, *y_name;
    return a && b && place_of(a, &x, &x_name) && place_of(b, &y, &y_name) && x.st_dev == y.st_dev && x.st_ino == y.st_ino && !strcmp(x_name, y_name);
}

static wmk_status check_choices(const wmk_train_options *o)
{
    if (!o->host == !o->init)
        return wmk_fail(WMK_ERROR_ARGUMENT, "training: name a host, to start from scratch, or a model to go on from: one of the two");
    if (!o->data) return wmk_fail(WMK_ERROR_ARGUMENT, "training: no data set is named");
    if (!o->output) return wmk_fail(WMK_ERROR_ARGUMENT, "training: no output is named");
    if (o->resume && !o->checkpoint) return wmk_fail(WMK_ERROR_ARGUMENT, "training: to resume, a checkpoint must be named");
    if (same_place(o->output, o->checkpoint) || same_place(o->output, o->history) || same_place(o->history, o->checkpoint))
        return wmk_fail(WMK_ERROR_ARGUMENT, "training: model, history and checkpoint must be different files");
    return WMK_OK;
}

/* Can this place be written? Nothing is left there. */
static wmk_status check_place(const char *path, bool replace)
{
    if (!path) return WMK_OK;
    wmk_output *output;
    WMK_TRY(wmk_output_begin(&output, path, 0666, replace));
    wmk_output_abort(output);
    return WMK_OK;
}

static wmk_status open_model(wmk_host *out, char **name, const char *path, uint32_t classes, uint64_t seed)
{
    wmk_model *model;
    WMK_TRY(wmk_model_open(&model, path));
    wmk_status status = wmk_host_read(out, model, classes, seed);
    if (status == WMK_OK && name) status = wmk_strdup(name, wmk_model_metadata(model, WMK_METADATA_HOST));
    wmk_model_close(model);
    return status;
}

static wmk_status open_hosts(wmk_run *run)
{
    const wmk_train_options *o = run->options;
    const uint32_t classes = run->train->classes;
    if (o->host) {
        WMK_TRY(wmk_host_create(&run->host, o->host, classes, o->seed));
        WMK_TRY(wmk_strdup(&run->host_name, o->host));
    } else
        WMK_TRY(open_model(&run->host, &run->host_name, o->init, classes, o->seed));
    if (!o->teacher) return WMK_OK;
    WMK_TRY(open_model(&run->teacher, NULL, o->teacher, 0, 0));
    if (run->teacher.classes != classes)
        return wmk_fail(WMK_ERROR_MISMATCH, "%s: the teacher tells %u classes apart, %s has %u", o->teacher, run->teacher.classes, run->train->name,
                        classes);
    return WMK_OK;
}

static wmk_status count_steps(wmk_run *run)
{
    const wmk_train_options *o = run->options;
    if (o->batch > run->train->count)
        return wmk_fail(WMK_ERROR_ARGUMENT, "training: a batch of %llu images is more than the %zu of %s", (unsigned long long)o->batch,
                        run->train->count, run->train->name);
    run->steps_per_epoch = run->train->count / o->batch;
    double steps = round(o->epochs * (double)run->steps_per_epoch);
    if (steps > 1e15) return wmk_fail(WMK_ERROR_ARGUMENT, "training: %g steps are too many", steps);
    run->steps = steps < 1 ? 1 : (uint64_t)steps;
    return WMK_OK;
}

/* FNV-1a over the bytes of all parameters: tells apart initial models. */
static uint64_t hash_parameters(const wmk_graph *graph)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    const wmk_parameter *p;
    for (size_t i = 0; graph && (p = wmk_graph_parameter_at(graph, i)); i++)
        for (size_t j = 0; j < p->count * sizeof *p->data; j++) hash = (hash ^ ((const unsigned char *)p->data)[j]) * UINT64_C(0x100000001b3);
    return hash;
}

/* Everything the result depends on but the machine and its threads. */
static wmk_status make_identity(wmk_run *run)
{
    const wmk_train_options *o = run->options;
    wmk_buffer text = {0};
    wmk_status status;
    WMK_TRY_GOTO(status,
                 wmk_buffer_printf(&text, "host=%s\nclasses=%u\nstart=%016llx\nteacher=%016llx\n", run->host_name, run->host.classes,
                                   (unsigned long long)hash_parameters(run->host.graph), (unsigned long long)hash_parameters(run->teacher.graph)),
                 done);
    WMK_TRY_GOTO(status,
                 wmk_buffer_printf(&text, "data=%s\nimages=%zu\nmean=%.9g\ndeviation=%.9g\n", run->train->name, run->train->count,
                                   (double)run->train->mean[0], (double)run->train->deviation[0]),
                 done);
    WMK_TRY_GOTO(status,
                 wmk_buffer_printf(&text, "epochs=%.17g\nbatch=%llu\nrate=%.17g\nschedule=%s\nmomentum=%.17g\nweight_decay=%.17g\n", o->epochs,
                                   (unsigned long long)o->batch, o->rate, o->schedule, o->momentum, o->weight_decay),
                 done);
    WMK_TRY_GOTO(status,
                 wmk_buffer_printf(&text, "augmentation=%d\nlambda=%.17g\nkappa=%.17g\nprecision=%d\nseed=%llu\n", (int)o->augmentation, o->lambda,
                                   o->kappa, (int)o->precision, (unsigned long long)o->seed),
                 done);
    for (size_t i = 0; i < o->key_count; i++) {
        char id[WMK_KEY_ID_CHARS + 1];
        wmk_key_id(o->keys[i], id);
        WMK_TRY_GOTO(status, wmk_buffer_printf(&text, "key=%s\n", id), done);
    }
    status = wmk_format(&run->identity, "%.*s", (int)text.size, (const char *)text.data);
done:
    wmk_buffer_free(&text);
    return status;
}

static wmk_status open_mark(wmk_run *run, wmk_mark_in_training *mark, const wmk_key *key)
{
    const size_t count = wmk_key_target_count(key);
    mark->key = key;
    run->total_bits += wmk_key_bit_count(key);
    WMK_TRY(wmk_alloc(&mark->views, count, sizeof *mark->views));
    WMK_TRY(wmk_alloc(&mark->gradients, count, sizeof *mark->gradients));
    for (size_t i = 0; i < count; i++) {
        const char *name = wmk_key_target(key, i)->name;
        const wmk_parameter *p = wmk_graph_find_parameter(run->host.graph, name);
        if (!p || p->rank < 2) return wmk_fail(WMK_ERROR_MISSING, "key: host %s has no weights \"%s\" to mark", run->host_name, name);
        mark->views[i] = wmk_parameter_view(p);
        mark->gradients[i] = wmk_plan_gradient(run->plan, p->value);
    }
    return wmk_regularizer_create(&mark->regularizer, key, mark->views, run->options->kappa);
}

static wmk_status open_plans(wmk_run *run)
{
    const wmk_train_options *o = run->options;
    wmk_plan_options planning = WMK_PLAN_OPTIONS_INIT;
    planning.batch = (int64_t)o->batch;
    planning.precision = o->precision;
    WMK_TRY(wmk_plan_create(&run->plan, run->host.graph, run->teacher.graph ? &run->host.soft_loss : &run->host.loss, 1, &planning));
    WMK_TRY(wmk_sgd_create(&run->sgd, run->host.graph, run->plan, o->momentum, o->momentum > 0, o->weight_decay));
    if (!run->teacher.graph) return WMK_OK;
    planning.mode = WMK_INFERENCE;
    return wmk_plan_create(&run->teacher_plan, run->teacher.graph, &run->teacher.logits, 1, &planning);
}

static wmk_status open_loader(wmk_run *run)
{
    wmk_loader_options loading = WMK_LOADER_OPTIONS_INIT;
    loading.batch = run->options->batch;
    loading.shuffle = loading.drop_last = loading.prefetch = true;
    loading.augmentation = run->options->augmentation;
    loading.seed = run->options->seed;
    loading.first_step = run->state.step;
    return wmk_loader_create(&run->loader, run->train, &loading);
}

wmk_status wmk_run_open(wmk_run *run, const wmk_train_options *o)
{
    *run = (wmk_run){.options = o, .e_r = NAN, .ber = NAN, .started = wmk_run_now()};
    WMK_TRY(check_numbers(o));
    WMK_TRY(check_choices(o));
    WMK_TRY(wmk_schedule_find(&run->schedule, o->schedule));
    WMK_TRY(check_place(o->output, o->replace));
    WMK_TRY(check_place(o->history, o->replace));
    WMK_TRY(check_place(o->checkpoint, o->replace || o->resume));
    WMK_TRY(wmk_dataset_open(&run->train, o->data, WMK_SPLIT_TRAIN));
    WMK_TRY(wmk_dataset_open_with(&run->test, o->data, WMK_SPLIT_TEST, run->train->mean, run->train->deviation));
    WMK_TRY(count_steps(run));
    WMK_TRY(open_hosts(run));
    WMK_TRY(make_identity(run));
    WMK_TRY(open_plans(run));
    WMK_TRY(o->resume ? wmk_checkpoint_read(run) : wmk_history_begin(&run->state));
    run->first_step = run->state.step;
    WMK_TRY(wmk_alloc(&run->marks, o->key_count, sizeof *run->marks));
    for (size_t i = 0; i < o->key_count; i++) WMK_TRY(open_mark(run, &run->marks[i], o->keys[i]));
    return open_loader(run);
}

void wmk_run_free_plans(wmk_run *run)
{
    wmk_sgd_free(run->sgd);
    wmk_plan_free(run->plan);
    wmk_plan_free(run->teacher_plan);
    run->sgd = NULL;
    run->plan = run->teacher_plan = NULL;
}

void wmk_run_close(wmk_run *run)
{
    wmk_loader_free(run->loader);
    for (size_t i = 0; run->marks && i < run->options->key_count; i++) {
        wmk_regularizer_free(run->marks[i].regularizer);
        free(run->marks[i].views);
        free(run->marks[i].gradients);
    }
    free(run->marks);
    wmk_run_free_plans(run);
    wmk_host_free(&run->host);
    wmk_host_free(&run->teacher);
    wmk_dataset_free(run->train);
    wmk_dataset_free(run->test);
    wmk_buffer_free(&run->state.history);
    free(run->identity);
    free(run->host_name);
}
