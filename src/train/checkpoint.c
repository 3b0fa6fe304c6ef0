/* train/checkpoint.c - a training frozen between two steps: a safetensors file with the parameters under their names, velocities as
 * "velocity:<name>", and the rest as metadata. `eval` reads it like any model. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/run.h"

#define METADATA_RUN "weightmark.run"
#define METADATA_STATE "weightmark.state"
#define METADATA_HISTORY "weightmark.history"
#define STATE_FORMAT "step=%llu row=%a/%llu epoch=%a/%llu" /* %a: doubles bit for bit */
#define VELOCITY "velocity:"

static wmk_status velocity_name(char **out, const wmk_parameter *p) { return wmk_format(out, VELOCITY "%s", p->name); }

/* Views of parameters, then of velocities; names of the latter are owned by the caller. */
static wmk_status collect(const wmk_run *run, wmk_tensor_view *views, size_t *count)
{
    const wmk_parameter *p;
    for (size_t i = 0; (p = wmk_graph_parameter_at(run->host.graph, i)); i++) views[(*count)++] = wmk_parameter_view(p);
    for (size_t i = 0; (p = wmk_graph_parameter_at(run->host.graph, i)); i++) {
        if (p->role != WMK_PARAMETER_TRAINED) continue;
        wmk_tensor_view view = wmk_parameter_view(p);
        char *name;
        WMK_TRY(velocity_name(&name, p));
        view.name = name;
        view.data = wmk_sgd_velocity(run->sgd, p->value);
        views[(*count)++] = view;
    }
    return WMK_OK;
}

static wmk_status write_views(wmk_run *run, const wmk_tensor_view *views, size_t count)
{
    const wmk_run_state *s = &run->state;
    char classes[16], *state = NULL, *history = NULL;
    snprintf(classes, sizeof classes, "%u", run->host.classes);
    wmk_status status = wmk_format(&state, STATE_FORMAT, (unsigned long long)s->step, s->row_loss, (unsigned long long)s->row_steps, s->epoch_loss,
                                   (unsigned long long)s->epoch_steps);
    if (status == WMK_OK) status = wmk_format(&history, "%.*s", (int)s->history.size, (const char *)s->history.data);
    const wmk_metadata metadata[] = {{WMK_METADATA_HOST, run->host_name},
                                     {WMK_METADATA_CLASSES, classes},
                                     {METADATA_RUN, run->identity},
                                     {METADATA_STATE, state},
                                     {METADATA_HISTORY, history}};
    if (status == WMK_OK) status = wmk_model_write(run->options->checkpoint, views, count, metadata, sizeof metadata / sizeof *metadata, true);
    free(state);
    free(history);
    return status;
}

wmk_status wmk_checkpoint_write(wmk_run *run)
{
    WMK_TRY(wmk_run_check_finite(run));
    wmk_tensor_view *views;
    size_t parameters = wmk_graph_parameter_count(run->host.graph), count = 0;
    WMK_TRY(wmk_alloc(&views, 2 * parameters, sizeof *views));
    wmk_status status = collect(run, views, &count);
    if (status == WMK_OK) status = write_views(run, views, count);
    for (size_t i = parameters; i < count; i++) free((void *)(uintptr_t)views[i].name);
    free(views);
    return status;
}

/* Names the first item in which two identities differ. */
static wmk_status compare_identities(const char *path, const char *there, const char *here)
{
    while (*there && *here) {
        size_t a = strcspn(there, "\n"), b = strcspn(here, "\n");
        if (a != b || strncmp(there, here, a) != 0)
            return wmk_fail(WMK_ERROR_MISMATCH, "%s: belongs to another run: there %.*s, here %.*s", path, (int)a, there, (int)b, here);
        there += a + (there[a] == '\n');
        here += b + (here[b] == '\n');
    }
    if (*there || *here) return wmk_fail(WMK_ERROR_MISMATCH, "%s: belongs to another run", path);
    return WMK_OK;
}

/* Each takes `before` and a number off the front of *text. */
static bool parse_count(const char **text, const char *before, uint64_t *value)
{
    size_t length = strlen(before);
    char *end;
    if (strncmp(*text, before, length) != 0 || (*text)[length] < '0' || (*text)[length] > '9') return false;
    errno = 0;
    *value = strtoull(*text + length, &end, 10);
    *text = end;
    return errno == 0;
}

static bool parse_sum(const char **text, const char *before, double *value)
{
    size_t length = strlen(before);
    char *end;
    if (strncmp(*text, before, length) != 0) return false;
    *value = wmk_number(*text + length, &end);
    bool any = end != *text + length;
    *text = end;
    return any && isfinite(*value);
}

static wmk_status read_state(wmk_run *run, const wmk_model *model)
{
    const char *path = run->options->checkpoint, *identity = wmk_model_metadata(model, METADATA_RUN);
    const char *text = wmk_model_metadata(model, METADATA_STATE), *history = wmk_model_metadata(model, METADATA_HISTORY);
    if (!identity || !text || !history) return wmk_fail(WMK_ERROR_INPUT, "%s: is not a checkpoint of a training", path);
    WMK_TRY(compare_identities(path, identity, run->identity));
    wmk_run_state *s = &run->state;
    const bool whole = parse_count(&text, "step=", &s->step) && parse_sum(&text, " row=", &s->row_loss) && parse_count(&text, "/", &s->row_steps) &&
                       parse_sum(&text, " epoch=", &s->epoch_loss) && parse_count(&text, "/", &s->epoch_steps) && !*text;
    if (!whole || s->step > run->steps) return wmk_fail(WMK_ERROR_INPUT, "%s: metadata " METADATA_STATE " is damaged", path);
    s->history.size = 0;
    return wmk_buffer_append(&s->history, history, strlen(history));
}

static wmk_status read_tensors(wmk_run *run, const wmk_model *model)
{
    const wmk_parameter *p;
    for (size_t i = 0; (p = wmk_graph_parameter_at(run->host.graph, i)); i++) {
        WMK_TRY(wmk_parameter_read(p, model, p->name, p->data));
        if (p->role != WMK_PARAMETER_TRAINED) continue;
        char *name;
        WMK_TRY(velocity_name(&name, p));
        wmk_status status = wmk_parameter_read(p, model, name, wmk_sgd_velocity(run->sgd, p->value));
        free(name);
        WMK_TRY(status);
    }
    return WMK_OK;
}

wmk_status wmk_checkpoint_read(wmk_run *run)
{
    wmk_model *model;
    WMK_TRY(wmk_model_open(&model, run->options->checkpoint));
    wmk_status status = read_state(run, model);
    if (status == WMK_OK) status = read_tensors(run, model);
    wmk_model_close(model);
    return status;
}
