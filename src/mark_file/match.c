/* mark_file/match.c - from the tensors that were found to the views that are read. */
#include "mark_file/match.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "mark_file/find.h"
#include "mark_file/map.h"
#include "mark_file/overlap.h"
#include "mark_file/rotary.h"

const char *wmk_match_how_name(wmk_match_how how)
{
    static const char *const names[] = {"none", "exact", "map", "alias", "renamed", "shape"};
    return (unsigned)how < sizeof names / sizeof names[0] ? names[how] : "none";
}

bool wmk_is_readable(const wmk_model_tensor *tensor) { return (tensor->view.data || tensor->packed) && wmk_tensor_is_readable(&tensor->view); }

/* ---- messages ---- */

/* How much two names have in common at either end. */
static size_t likeness(const char *a, const char *b)
{
    size_t a_size = strlen(a), b_size = strlen(b), size = a_size < b_size ? a_size : b_size, head = 0, tail = 0;
    while (head < size && a[head] == b[head]) head++;
    while (tail < size - head && a[a_size - 1 - tail] == b[b_size - 1 - tail]) tail++;
    return head + tail;
}

wmk_status wmk_no_such_tensor(const wmk_model *model, const char *name, const char *advice)
{
    enum { SHOWN = 3 };
    const char *near[SHOWN] = {NULL};
    size_t score[SHOWN] = {0}, count = wmk_model_tensor_count(model);
    for (size_t i = 0; i < count; i++) {
        const char *other = wmk_model_tensor_at(model, i)->view.name;
        size_t like = likeness(name, other), place = SHOWN;
        while (place > 0 && like > score[place - 1]) place--;
        if (place == SHOWN) continue;
        for (size_t j = SHOWN - 1; j > place; j--) near[j] = near[j - 1], score[j] = score[j - 1];
        near[place] = other;
        score[place] = like;
    }
    if (!near[0]) return wmk_fail(WMK_ERROR_MISSING, "%s: no tensor \"%.200s\" among its %zu%s", wmk_model_path(model), name, count, advice);
    return wmk_fail(WMK_ERROR_MISSING, "%s: no tensor \"%.200s\" among its %zu; nearest: %.100s%s%.100s%s%.100s%s", wmk_model_path(model), name,
                    count, near[0], near[1] ? ", " : "", near[1] ? near[1] : "", near[2] ? ", " : "", near[2] ? near[2] : "", advice);
}

static void shape_text(char *text, size_t size, const char *layout, const uint64_t *shape, uint32_t rank)
{
    size_t used = (size_t)snprintf(text, size, "%s [", layout);
    for (uint32_t a = 0; a < rank && used < size; a++)
        used += (size_t)snprintf(text + used, size - used, a == 0 ? "%llu" : ", %llu", (unsigned long long)shape[a]);
    if (used < size) snprintf(text + used, size - used, "]");
}

wmk_status wmk_match_reason(const wmk_match *match, size_t t, bool complete)
{
    const wmk_target *target = wmk_key_target(match->key, t);
    const wmk_model_tensor *tensor = wmk_model_tensor_at(match->model, match->tensor[t]);
    const char *path = wmk_model_path(match->model);
    if (!tensor) return wmk_no_such_tensor(match->model, target->name, complete ? "" : "; if it has another name there: --map or --any-tensor");
    if (!wmk_is_readable(tensor))
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: %s: tensor \"%.200s\": values of type %s cannot be read as weights", path,
                        tensor->view.name, wmk_dtype_name(tensor->view.dtype));
    char have[160], want[160];
    shape_text(have, sizeof have, tensor->view.layout, tensor->view.shape, tensor->view.rank);
    shape_text(want, sizeof want, target->layout, target->shape, target->rank);
    return wmk_fail(WMK_ERROR_MISMATCH, "%s: tensor \"%.200s\" has shape %s, the key was made for %s", path, tensor->view.name, have, want);
}

/* ---- squares ---- */

/* Whether the letters of key and model can be trusted for this model: 1 yes, -1 they mean the opposite, 0 its shapes do not say or say both. */
static int trust(const wmk_match *match)
{
    bool right = false, wrong = false;
    for (size_t t = 0; t < match->count; t++) {
        right |= match->fit[t].vote > 0;
        wrong |= match->fit[t].vote < 0;
    }
    return right == wrong ? 0 : right ? 1 : -1;
}

/* Closes the question of a square matrix where the shapes of the others, or letters that are the same on both sides, answer it. That looks at no weights and costs nothing. */
static void decide_squares(wmk_match *match)
{
    int letters = trust(match);
    bool mixed = false;
    for (size_t t = 0; t < match->count; t++) mixed |= match->fit[t].vote != 0;
    mixed &= letters == 0;
    for (size_t t = 0; t < match->count; t++) {
        wmk_fit *fit = &match->fit[t];
        if (!fit->square) continue;
        if (letters != 0) fit->way = fit->turned == (letters > 0) ? WMK_WAY_ACROSS : WMK_WAY_ALONG;
        fit->square = letters == 0 && (fit->turned || mixed);
    }
}

/* ---- views ---- */

static wmk_status keep(wmk_match *match, void *block)
{
    wmk_status status = wmk_resize(&match->blocks, match->block_count + 1, sizeof *match->blocks);
    if (status == WMK_OK)
        match->blocks[match->block_count++] = block;
    else
        free(block);
    return status;
}

/* Of a target that is missing. */
static wmk_tensor_view without_data(const wmk_target *target)
{
    wmk_tensor_view view = {.name = target->name, .dtype = WMK_F32, .rank = target->rank};
    memcpy(view.layout, target->layout, sizeof view.layout);
    memcpy(view.shape, target->shape, sizeof view.shape);
    return view;
}

/* Shows *view in the sizes of the target. */
static wmk_status resize_view(wmk_match *match, wmk_tensor_view *view, const wmk_target *as, uint64_t *weights)
{
    wmk_overlap *overlap;
    WMK_TRY(wmk_alloc(&overlap, 1, sizeof *overlap));
    WMK_TRY(keep(match, overlap));
    return wmk_overlap_wrap(view, overlap, as, weights);
}

wmk_status wmk_match_view(wmk_match *match, size_t target, size_t tensor, wmk_way way, const void *bytes)
{
    const wmk_model_tensor *from = wmk_model_tensor_at(match->model, tensor);
    const wmk_target *as = wmk_key_target(match->key, target);
    bool partial = wmk_fit_of(from, as).way == WMK_WAY_NONE, turned;
    wmk_tensor_view inner = from->view, view;
    uint64_t weights;
    if (from->packed && !bytes) {
        void *unpacked;
        WMK_TRY(wmk_model_unpack(&unpacked, match->model, tensor));
        WMK_TRY(keep(match, unpacked));
        bytes = unpacked;
    }
    if (from->packed) inner.data = bytes;
    view = inner;
    bool reshaped = wmk_fit_apply(&view, as, way, partial);
    wmk_rows *rows, found = {0};
    WMK_TRY(wmk_rotary_rows(&turned, &found, match->model, from, as));
    if (turned || (reshaped && inner.codec)) {
        WMK_TRY(wmk_alloc(&rows, 1, sizeof *rows));
        *rows = found;
        WMK_TRY(keep(match, rows));
        wmk_rows_wrap(&view, rows, &inner);
    }
    wmk_product_u64(as->shape, as->rank, &weights); /* a key's products do not overflow */
    if (partial) WMK_TRY(resize_view(match, &view, as, &weights));
    match->views[target] = view;
    match->weights[target] = weights;
    return WMK_OK;
}

/* ---- the whole ---- */

wmk_status wmk_match_begin(wmk_match *out, const wmk_model *model, const wmk_key *key)
{
    wmk_match match = {.model = model, .key = key, .count = wmk_key_target_count(key)};
    wmk_status status;
    WMK_TRY_GOTO(status, wmk_alloc(&match.tensor, match.count, sizeof *match.tensor), failed);
    WMK_TRY_GOTO(status, wmk_alloc(&match.how, match.count, sizeof *match.how), failed);
    WMK_TRY_GOTO(status, wmk_alloc(&match.fit, match.count, sizeof *match.fit), failed);
    WMK_TRY_GOTO(status, wmk_alloc(&match.weights, match.count, sizeof *match.weights), failed);
    WMK_TRY_GOTO(status, wmk_alloc(&match.views, match.count, sizeof *match.views), failed);
    for (size_t t = 0; t < match.count; t++) {
        match.tensor[t] = WMK_NO_TENSOR;
        match.views[t] = without_data(wmk_key_target(key, t));
    }
    match.missing = match.count;
    *out = match;
    return WMK_OK;
failed:
    wmk_match_free(&match);
    return status;
}

/* Views of what was found and fits; the others are missing. */
static wmk_status make_views(wmk_match *match, bool complete)
{
    size_t first = match->count, absent = 0;
    for (size_t t = 0; t < match->count; t++) {
        bool there = match->tensor[t] != WMK_NO_TENSOR;
        if (there && match->fit[t].way != WMK_WAY_NONE && wmk_is_readable(wmk_model_tensor_at(match->model, match->tensor[t]))) {
            match->missing--;
            continue;
        }
        absent += !there;
        match->fit[t] = (wmk_fit){.way = WMK_WAY_NONE};
        if (first == match->count || (there && match->tensor[first] == WMK_NO_TENSOR)) first = t; /* a tensor that is there says more */
    }
    if (match->missing == match->count || (complete && match->missing > 0)) {
        wmk_status status = wmk_match_reason(match, first, complete);
        return absent > 1 && status == WMK_ERROR_MISSING ? wmk_fail_within(status, "%zu of the key's %zu tensors are missing", absent, match->count)
                                                         : status;
    }
    decide_squares(match);
    for (size_t t = 0; t < match->count; t++) {
        if (match->fit[t].way != WMK_WAY_NONE)
            WMK_TRY(wmk_match_view(match, t, match->tensor[t], match->fit[t].way, NULL));
        else
            match->tensor[t] = WMK_NO_TENSOR;
    }
    return WMK_OK;
}

wmk_status wmk_match_by_name(wmk_match *out, const wmk_model *model, const wmk_key *key, const wmk_rename *map, size_t map_count, bool complete)
{
    wmk_match match;
    WMK_TRY(wmk_match_begin(&match, model, key));
    wmk_status status = wmk_map_apply(&match, map, map_count);
    if (status == WMK_OK) status = wmk_find_by_name(&match, complete);
    if (status == WMK_OK) status = make_views(&match, complete);
    if (status == WMK_OK)
        *out = match;
    else
        wmk_match_free(&match);
    return status;
}

void wmk_match_free(wmk_match *match)
{
    for (size_t i = 0; i < match->block_count; i++) free(match->blocks[i]);
    free(match->blocks);
    free(match->tensor);
    free(match->how);
    free(match->fit);
    free(match->weights);
    free(match->views);
    *match = (wmk_match){0};
}
