/* calibrate_cases.c - small models cut out of a real one's weights, and keys that are looked for in them. */
#include "calibrate_cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "mark/carrier.h"

#define CONV(filters, channels) .layout = "OIHW", .rank = 4, .shape = {filters, channels, 3, 3}
#define LINEAR(letters, rows, columns) .layout = letters, .rank = 2, .shape = {rows, columns}

const calibrate_case calibrate_cases[] = {
    {"one tensor", CASE_BY_NAME, 16, {{"conv", 1, CONV(8, 8)}}, {{"conv", 1, CONV(8, 8)}}},
    {"three tensors",
     CASE_BY_NAME,
     16,
     {{"conv", 1, CONV(4, 4)}, {"in", 1, LINEAR("OI", 12, 16)}, {"out", 1, LINEAR("IO", 10, 24)}},
     {{"conv", 1, CONV(4, 4)}, {"in", 1, LINEAR("OI", 12, 16)}, {"out", 1, LINEAR("IO", 10, 24)}}},
    {"other sizes and a missing tensor",
     CASE_BY_NAME,
     16,
     {{"conv", 1, CONV(4, 4)}, {"in", 1, LINEAR("OI", 12, 16)}, {"out", 1, LINEAR("IO", 10, 24)}, {"gone", 1, LINEAR("OI", 8, 8)}},
     {{"conv", 1, CONV(5, 3)}, {"in", 1, LINEAR("OI", 14, 13)}, {"out", 1, LINEAR("IO", 9, 21)}}},
    {"NaN, infinities, overflow",
     CASE_BY_NAME,
     16,
     {{"conv", 1, CONV(4, 4)}, {"in", 1, LINEAR("OI", 12, 16)}, {"out", 1, LINEAR("IO", 10, 24)}},
     {{"conv", 1, CONV(4, 4), .damaged = true}, {"in", 1, LINEAR("OI", 12, 16), .damaged = true}, {"out", 1, LINEAR("IO", 10, 24)}}},
    {"square matrices of unknown order", CASE_BY_ORDER, 12, {{"m", 2, LINEAR("IO", 12, 12)}}, {{"m", 2, LINEAR("OI", 12, 12)}}},
    {"any tensor: 12 targets, 3 tensors", CASE_ANY, 12, {{"t", 12, LINEAR("OI", 6, 8)}}, {{"x", 3, LINEAR("OI", 6, 8)}}},
    {"any tensor: 3 targets, 12 tensors", CASE_ANY, 12, {{"t", 3, LINEAR("OI", 6, 8)}}, {{"x", 12, LINEAR("OI", 6, 8)}}},
    {"any tensor: 60 targets, 1 tensor", CASE_ANY, 12, {{"t", 60, LINEAR("OI", 4, 6)}}, {{"x", 1, LINEAR("OI", 4, 6)}}},
    {"the best map of all", CASE_BEST_MAP, 12, {{"t", 2, LINEAR("OI", 6, 8)}}, {{"t", 3, LINEAR("OI", 6, 8)}, {"other", 1, LINEAR("OI", 7, 6)}}},
};
const size_t calibrate_case_count = sizeof calibrate_cases / sizeof calibrate_cases[0];

/* ---- models ---- */

/* Views over all copies of some parts, their names printed; *count of them. */
static wmk_status list_parts(wmk_target **out, size_t *count, const case_part parts[CASE_PARTS])
{
    *count = 0;
    for (int i = 0; i < CASE_PARTS; i++) *count += parts[i].copies;
    WMK_TRY(wmk_alloc(out, *count, sizeof **out));
    wmk_target *target = *out;
    for (int i = 0; i < CASE_PARTS; i++)
        for (unsigned c = 0; c < parts[i].copies; c++, target++) {
            char name[32];
            snprintf(name, sizeof name, "%s%u", parts[i].prefix, c);
            WMK_TRY(wmk_strdup((char **)(uintptr_t)&target->name, name));
            target->rank = parts[i].rank;
            memcpy(target->layout, parts[i].layout, sizeof target->layout);
            memcpy(target->shape, parts[i].shape, sizeof parts[i].shape);
        }
    return WMK_OK;
}

static void free_parts(wmk_target *parts, size_t count)
{
    for (size_t i = 0; parts != NULL && i < count; i++) free((char *)(uintptr_t)parts[i].name);
    free(parts);
}

/* Where the next block of the source begins. */
typedef struct cutter {
    const wmk_tensor_view *source;
    uint64_t rows, columns, row, column;
} cutter;

/* Copies the next `rows` x `columns` block. */
static wmk_status cut(double *out, cutter *c, uint64_t rows, uint64_t columns)
{
    if (c->row + rows > c->rows) c->row = 0, c->column += columns;
    if (rows > c->rows || c->column + columns > c->columns)
        return wmk_fail(WMK_ERROR_MISMATCH, "the tensor is too small to cut the case's models out of it: choose another by --tensor");
    for (uint64_t r = 0; r < rows; r++) wmk_view_read(c->source, (c->row + r) * c->columns + c->column, columns, out + r * columns);
    c->row += rows;
    return WMK_OK;
}

/* Every kind of number that counts as 0. */
static void damage(double *value, uint64_t rows, uint64_t columns)
{
    for (uint64_t k = 0; k < columns; k++) {
        if (k < columns / 4) value[columns + k] *= 1e200; /* the squares overflow */
        value[2 * columns + k] = 0;
    }
    value[0] = NAN;
    value[rows * columns - 1] = INFINITY;
    value[rows * columns - 2] = -INFINITY;
}

/* The view of one cut tensor; its data is the caller's to free. */
static wmk_status cut_part(wmk_tensor_view *view, cutter *c, const wmk_target *part, bool damaged)
{
    uint64_t elements;
    double *value;
    wmk_product_u64(part->shape, part->rank, &elements);
    WMK_TRY(wmk_alloc(&value, elements, sizeof *value));
    *view = (wmk_tensor_view){.name = part->name, .dtype = WMK_F64, .rank = part->rank, .data = value};
    memcpy(view->shape, part->shape, sizeof part->shape);
    WMK_TRY(cut(value, c, part->shape[0], elements / part->shape[0]));
    if (damaged) damage(value, part->shape[0], elements / part->shape[0]);
    return WMK_OK;
}

static wmk_status write_and_open(wmk_model **out, const wmk_tensor_view *views, size_t count)
{
    char folder[] = "/tmp/wmk-calibrate-XXXXXX", path[64];
    if (mkdtemp(folder) == NULL) return wmk_fail(WMK_ERROR_SYSTEM, "%s: no such folder can be made", folder);
    snprintf(path, sizeof path, "%s/model", folder);
    wmk_status status = wmk_model_write(path, views, count, NULL, 0, true);
    if (status == WMK_OK) status = wmk_model_open(out, path);
    unlink(path); /* the bytes stay mapped */
    rmdir(folder);
    return status;
}

wmk_status case_open(case_model *out, const calibrate_case *from, const wmk_tensor_view *source)
{
    wmk_target *tensors = NULL;
    wmk_tensor_view *views = NULL;
    size_t count = 0, number = 0;
    cutter c = {source, source->shape[0], 1, 0, 0};
    for (uint32_t a = 1; a < source->rank; a++) c.columns *= source->shape[a];
    *out = (case_model){.from = from};
    wmk_status status = list_parts(&out->targets, &out->target_count, from->targets);
    if (status == WMK_OK) status = list_parts(&tensors, &count, from->tensors);
    if (status == WMK_OK) status = wmk_alloc(&views, count, sizeof *views);
    for (int i = 0; i < CASE_PARTS; i++)
        for (unsigned k = 0; status == WMK_OK && k < from->tensors[i].copies; k++, number++)
            status = cut_part(&views[number], &c, &tensors[number], from->tensors[i].damaged);
    if (status == WMK_OK) status = write_and_open(&out->model, views, count);
    for (size_t i = 0; views != NULL && i < count; i++) free((void *)(uintptr_t)views[i].data);
    free(views);
    free_parts(tensors, count);
    return status;
}

void case_close(case_model *model)
{
    wmk_model_close(model->model);
    free_parts(model->targets, model->target_count);
    *model = (case_model){0};
}

/* ---- looking ---- */

typedef struct look {
    const wmk_model *model;
    wmk_verify_options options;
} look;

/* As the program does; what it was multiplied by goes to each kind of evidence, which are bounds too. */
static wmk_status judge_model(wmk_evidence *e, const wmk_key *stranger, const void *payload)
{
    const look *l = payload;
    wmk_verification found;
    WMK_TRY(wmk_model_verify(&found, l->model, stranger, &l->options));
    *e = found.evidence;
    e->log10_p_soft += e->log10_tries;
    e->log10_p_hard += e->log10_tries;
    wmk_verification_free(&found);
    return WMK_OK;
}

/* The least p of each kind that somebody finds who looks by names and with all maps of the two targets: `tries` is 2,
 * since the maps are charged for each other and not for the look by names. */
static wmk_status judge_maps(wmk_evidence *e, const wmk_key *stranger, const void *payload)
{
    look mine = *(const look *)payload;
    size_t tensors = wmk_model_tensor_count(mine.model);
    wmk_evidence best = {.log10_p_soft = 0};
    for (size_t a = 0; a < tensors; a++)
        for (size_t b = 0; b < tensors; b++) {
            const wmk_rename map[2] = {{wmk_key_target(stranger, 0)->name, wmk_model_tensor_at(mine.model, a)->view.name, 0},
                                       {wmk_key_target(stranger, 1)->name, wmk_model_tensor_at(mine.model, b)->view.name, 0}};
            if (a == b) continue;
            mine.options.map = map, mine.options.map_count = 2;
            WMK_TRY(judge_model(e, stranger, &mine));
            best.log10_p_soft = fmin(best.log10_p_soft, e->log10_p_soft);
            best.log10_p_hard = fmin(best.log10_p_hard, e->log10_p_hard);
            best.log10_p = fmin(best.log10_p, e->log10_p);
        }
    *e = best;
    return WMK_OK;
}

wmk_status case_run(calibration *out, const case_model *model, const wmk_key *key, uint32_t first, uint32_t keys)
{
    look l = {model->model, WMK_VERIFY_OPTIONS_INIT};
    l.options.any_tensor = model->from->way == CASE_ANY;
    l.options.tries = model->from->way == CASE_BEST_MAP ? 2 : 1;
    if (model->from->way != CASE_BY_NAME)
        return calibration_run(out, key, model->from->way == CASE_BEST_MAP ? judge_maps : judge_model, &l, true, first, keys);
    wmk_match match = {0};
    wmk_vector vector = {0};
    WMK_TRY(wmk_match_by_name(&match, model->model, key, NULL, 0, false));
    wmk_status status = wmk_vector_open(&vector, key, match.views, NULL);
    if (status == WMK_OK) status = calibration_run(out, key, calibration_read, &vector, false, first, keys);
    wmk_vector_close(&vector);
    wmk_match_free(&match);
    return status;
}
