/* forger_victim.c - the model that nobody marked: a file that is given, or random weights. */
#include "forger.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LAYERS = 6, WIDTH = 384, UNITS = 1536, POSITIONS = 512, TENSORS_MAX = 128 };
#define MADE "forger-victim.safetensors"

/* ---- a file of random weights ---- */

typedef struct maker {
    wmk_tensor_view view[TENSORS_MAX];
    char name[TENSORS_MAX][80];
    size_t count;
    uint64_t random;
} maker;

/* rows 0: one axis. A normalisation's weights lie around 0.9, all others around 0, and each row has
 * a size of its own. */
static void make_tensor(maker *m, const char *prefix, const char *name, uint64_t rows, uint64_t columns)
{
    wmk_tensor_view *view = &m->view[m->count];
    snprintf(m->name[m->count], sizeof m->name[0], "%s%s", prefix, name);
    *view = (wmk_tensor_view){.name = m->name[m->count++], .dtype = WMK_F32};
    if (rows > 0) view->shape[view->rank++] = rows;
    view->shape[view->rank++] = columns;
    float *value = malloc((rows > 0 ? rows : 1) * columns * sizeof *value);
    double center = strstr(name, "LayerNorm.weight") ? 0.9 : 0;
    for (uint64_t r = 0; r < (rows > 0 ? rows : 1); r++) {
        double size = 0.04 * exp(0.3 * forger_normal(&m->random));
        for (uint64_t c = 0; c < columns; c++) value[r * columns + c] = (float)(center + size * forger_normal(&m->random));
    }
    view->data = value;
}

static void make_layer(maker *m, int layer)
{
    char prefix[32], part[48];
    snprintf(prefix, sizeof prefix, "encoder.layer.%d.", layer);
    const char *const dense[] = {"attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"};
    const char *const norm[] = {"attention.output.LayerNorm", "output.LayerNorm"};
    for (size_t i = 0; i < sizeof norm / sizeof norm[0]; i++) {
        snprintf(part, sizeof part, "%s.weight", norm[i]);
        make_tensor(m, prefix, part, 0, WIDTH);
        snprintf(part, sizeof part, "%s.bias", norm[i]);
        make_tensor(m, prefix, part, 0, WIDTH);
    }
    for (size_t i = 0; i < sizeof dense / sizeof dense[0]; i++) {
        snprintf(part, sizeof part, "%s.weight", dense[i]);
        make_tensor(m, prefix, part, WIDTH, WIDTH);
        snprintf(part, sizeof part, "%s.bias", dense[i]);
        make_tensor(m, prefix, part, 0, WIDTH);
    }
    make_tensor(m, prefix, "intermediate.dense.weight", UNITS, WIDTH);
    make_tensor(m, prefix, "intermediate.dense.bias", 0, UNITS);
    make_tensor(m, prefix, "output.dense.weight", WIDTH, UNITS);
    make_tensor(m, prefix, "output.dense.bias", 0, WIDTH);
}

static void make_file(const char *path)
{
    maker *m = calloc(1, sizeof *m);
    m->random = 20261128;
    make_tensor(m, "embeddings.", "LayerNorm.weight", 0, WIDTH);
    make_tensor(m, "embeddings.", "LayerNorm.bias", 0, WIDTH);
    make_tensor(m, "embeddings.", "position_embeddings.weight", POSITIONS, WIDTH);
    make_tensor(m, "embeddings.", "token_type_embeddings.weight", 2, WIDTH);
    for (int layer = 0; layer < LAYERS; layer++) make_layer(m, layer);
    make_tensor(m, "pooler.", "dense.weight", WIDTH, WIDTH);
    make_tensor(m, "pooler.", "dense.bias", 0, WIDTH);
    forger_must(wmk_model_write(path, m->view, m->count, NULL, 0, true));
    for (size_t i = 0; i < m->count; i++) free((void *)(uintptr_t)m->view[i].data);
    free(m);
}

/* ---- opening ---- */

/* The levers count on these shapes. */
static void check_shapes(const forger_victim *victim)
{
    static const uint64_t shape[][3] = {/* rows, columns, least number */
                                        {1, WIDTH, 16},
                                        {2, WIDTH, 1},
                                        {WIDTH, WIDTH, 8},
                                        {UNITS, WIDTH, LAYERS},
                                        {WIDTH, UNITS, LAYERS}};
    size_t found[FORGER_ITEMS_MAX];
    for (size_t i = 0; i < sizeof shape / sizeof shape[0]; i++)
        if (forger_select(victim, shape[i][0], shape[i][1], found) < shape[i][2])
            forger_stop("the model has not the shapes of MiniLM-L6:", wmk_model_path(victim->model));
}

void forger_victim_open(forger_victim *out, const char *path)
{
    *out = (forger_victim){0};
    if (path == NULL) make_file(MADE);
    forger_must(wmk_model_open(&out->model, path == NULL ? MADE : path));
    if (path == NULL) unlink(MADE); /* it stays mapped */
    size_t count = wmk_model_tensor_count(out->model);
    out->tensor = calloc(count, sizeof *out->tensor);
    for (size_t i = 0; i < count; i++) {
        const wmk_model_tensor *in_file = wmk_model_tensor_at(out->model, i);
        const wmk_tensor_view *view = &in_file->view;
        if (view->dtype != WMK_F32 || view->data == NULL || view->rank < 1 || view->rank > 2) continue;
        forger_tensor *t = &out->tensor[out->count++];
        t->in_file = in_file;
        t->rows = view->rank == 2 ? view->shape[0] : 1;
        t->columns = view->shape[view->rank - 1];
        t->size = (size_t)(t->rows * t->columns);
    }
    check_shapes(out);
}

void forger_victim_close(forger_victim *victim)
{
    for (size_t i = 0; i < victim->count; i++) {
        free(victim->tensor[i].w[FORGER_PLAIN]);
        free(victim->tensor[i].w[FORGER_OTHER]);
    }
    free(victim->tensor);
    wmk_model_close(victim->model);
}

size_t forger_select(const forger_victim *victim, uint64_t rows, uint64_t columns, size_t *found)
{
    size_t count = 0;
    for (size_t i = 0; i < victim->count; i++) {
        const forger_tensor *t = &victim->tensor[i];
        if (t->rows != rows || t->columns != columns || count == FORGER_ITEMS_MAX) continue;
        if (rows > 1 || t->in_file->view.rank == 1) found[count++] = i;
    }
    return count;
}

void forger_read(const forger_victim *victim, size_t tensor, float *value)
{
    const forger_tensor *t = &victim->tensor[tensor];
    memcpy(value, t->in_file->view.data, t->size * sizeof *value); /* may be unaligned */
}

/* ---- columns (docs/spec.md, "Order of w" and "Carriers and reading"), written anew ---- */

/* filter and input: how far one index on axis O and on axis I is in value. */
static void scale_filters(float *w, const float *value, uint64_t filters, uint64_t inputs, uint64_t filter, uint64_t input)
{
    for (uint64_t o = 0; o < filters; o++) {
        double squares = 0;
        for (uint64_t i = 0; i < inputs; i++) {
            double v = value[o * filter + i * input];
            squares += v * v;
        }
        double inverse = squares > 0 ? 1 / sqrt(squares / (double)inputs) : 0;
        for (uint64_t i = 0; i < inputs; i++) w[i * filters + o] = (float)(value[o * filter + i * input] * inverse);
    }
}

void forger_columns_of(float *w, const float *value, uint64_t rows, uint64_t columns, uint32_t rank, forger_form form)
{
    if (rank == 1 && form == FORGER_PLAIN)
        scale_filters(w, value, columns, 1, 1, 0);
    else if (rank == 1 || form == FORGER_PLAIN)
        scale_filters(w, value, rows, columns, columns, 1);
    else
        scale_filters(w, value, columns, rows, 1, columns);
}

const float *forger_columns(forger_victim *victim, size_t tensor, forger_form form)
{
    forger_tensor *t = &victim->tensor[tensor];
    if (t->w[form] == NULL) {
        float *value = malloc(t->size * sizeof *value);
        forger_read(victim, tensor, value);
        t->w[form] = malloc(t->size * sizeof *t->w[form]);
        forger_columns_of(t->w[form], value, t->rows, t->columns, t->in_file->view.rank, form);
        free(value);
    }
    return t->w[form];
}
