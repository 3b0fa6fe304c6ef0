/* mark_file/targets.c - which tensors of a model a mark can go into, and choosing among them. */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include <weightmark/mark_file.h>
#include "base/memory.h"

void wmk_targets_free(wmk_targets *targets)
{
    for (size_t i = 0; i < targets->count; i++) {
        free((void *)(uintptr_t)targets->target[i].name);
        if (targets->in_file) free(targets->in_file[i]);
    }
    free(targets->target);
    free(targets->in_file);
    *targets = (wmk_targets){NULL, NULL, 0};
}

/* Appends a copy; room for it is there. in_file may be NULL. */
static wmk_status add(wmk_targets *targets, const wmk_target *target, const char *in_file)
{
    char *name, *other = NULL;
    WMK_TRY(wmk_strdup(&name, target->name));
    wmk_status status = in_file ? wmk_strdup(&other, in_file) : WMK_OK;
    if (status != WMK_OK) {
        free(name);
        return status;
    }
    targets->in_file[targets->count] = other;
    targets->target[targets->count] = *target;
    targets->target[targets->count++].name = name;
    return WMK_OK;
}

/* Values of rank >= 2 that can be written, with a layout and at least one element. */
static bool can_carry(const wmk_model_tensor *tensor)
{
    const wmk_tensor_view *view = &tensor->view;
    if (!wmk_tensor_is_writable(view) || (!view->data && !tensor->packed) || view->rank < 2 || !wmk_layout_is_valid(view->layout, view->rank))
        return false;
    for (uint32_t axis = 0; axis < view->rank; axis++)
        if (view->shape[axis] == 0) return false;
    return true;
}

static int by_place(const void *left, const void *right)
{
    const wmk_model_tensor *a = *(const wmk_model_tensor *const *)left, *b = *(const wmk_model_tensor *const *)right;
    if (a->file != b->file) return a->file < b->file ? -1 : 1;
    if (a->offset_bytes != b->offset_bytes) return a->offset_bytes < b->offset_bytes ? -1 : 1;
    return a < b ? -1 : a > b; /* pointers into one array: the model's order */
}

/* carries [tensors], which the caller frees. Two names for the same bytes (tied weights) are one place for a mark. */
static wmk_status find_carriers(bool **carries, const wmk_model *model)
{
    const wmk_model_tensor **sorted, *first = wmk_model_tensor_at(model, 0), *last = NULL;
    size_t count = wmk_model_tensor_count(model), kept = 0;
    WMK_TRY(wmk_alloc(carries, count, sizeof **carries));
    WMK_TRY(wmk_alloc(&sorted, count, sizeof *sorted));
    for (size_t i = 0; i < count; i++)
        if (can_carry(first + i)) sorted[kept++] = first + i;
    qsort(sorted, kept, sizeof *sorted, by_place);
    for (size_t i = 0; i < kept; i++) {
        if (last && last->file == sorted[i]->file && sorted[i]->offset_bytes - last->offset_bytes < last->size_bytes) continue;
        last = sorted[i];
        (*carries)[last - first] = true;
    }
    free(sorted);
    return WMK_OK;
}

/* A name that says nothing of the layer, made up by an exporter (onnx::MatMul_123, val_12) or numbered (layers/conv2d_1/vars/0). */
static bool is_made_up(const char *name)
{
    const char *vars = strstr(name, "/vars/");
    if (vars) return vars[6] != '\0' && vars[6 + strspn(vars + 6, "0123456789")] == '\0';
    return strncmp(name, "onnx::", 6) == 0 || (strncmp(name, "val_", 4) == 0 && name[4 + strspn(name + 4, "0123456789")] == '\0');
}

static int by_alias(const void *left, const void *right)
{
    const wmk_model_tensor *a = *(const wmk_model_tensor *const *)left, *b = *(const wmk_model_tensor *const *)right;
    return strcmp(a->alias, b->alias);
}

/* named [tensors], which the caller frees: the network's name for those tensors that have a made-up one, where nothing else has it. A key that knows it is at home in other files too. */
static wmk_status find_names(const char ***named, const wmk_model *model)
{
    const wmk_model_tensor **sorted, *first = wmk_model_tensor_at(model, 0);
    size_t count = wmk_model_tensor_count(model), aliases = 0;
    WMK_TRY(wmk_alloc(named, count, sizeof **named));
    WMK_TRY(wmk_alloc(&sorted, count, sizeof *sorted));
    for (size_t i = 0; i < count; i++)
        if (first[i].alias) sorted[aliases++] = first + i;
    qsort(sorted, aliases, sizeof *sorted, by_alias);
    for (size_t i = 0; i < aliases; i++) {
        const char *alias = sorted[i]->alias;
        bool twice = (i > 0 && strcmp(sorted[i - 1]->alias, alias) == 0) || (i + 1 < aliases && strcmp(sorted[i + 1]->alias, alias) == 0);
        if (!twice && is_made_up(sorted[i]->view.name) && !wmk_model_find(model, alias)) (*named)[sorted[i] - first] = alias;
    }
    free(sorted);
    return WMK_OK;
}

static wmk_status make_room(wmk_targets *targets, size_t count)
{
    WMK_TRY(wmk_alloc(&targets->target, count, sizeof *targets->target));
    return wmk_alloc(&targets->in_file, count, sizeof *targets->in_file);
}

wmk_status wmk_targets_of_model(wmk_targets *out, const wmk_model *model)
{
    wmk_targets targets = {NULL, NULL, 0};
    size_t count = wmk_model_tensor_count(model);
    bool *carries = NULL;
    const char **named = NULL;
    wmk_status status = make_room(&targets, count);
    if (status == WMK_OK) status = find_carriers(&carries, model);
    if (status == WMK_OK) status = find_names(&named, model);
    for (size_t i = 0; status == WMK_OK && i < count; i++) {
        const wmk_tensor_view *view = &wmk_model_tensor_at(model, i)->view;
        if (!carries[i]) continue;
        wmk_target target = {.name = named[i] ? named[i] : view->name, .rank = view->rank};
        memcpy(target.layout, view->layout, sizeof target.layout);
        memcpy(target.shape, view->shape, sizeof target.shape);
        status = add(&targets, &target, named[i] ? view->name : NULL);
    }
    free(named);
    free(carries);
    if (status == WMK_OK)
        *out = targets;
    else
        wmk_targets_free(&targets);
    return status;
}

/* ---- selectors ---- */

/* Digits at *text: their value, with *text past them; -1: none, or more than 6. */
static long number(const char **text)
{
    long value = 0;
    const char *at = *text;
    for (; *at >= '0' && *at <= '9' && at - *text < 7; at++) value = value * 10 + (*at - '0');
    if (at == *text || at - *text == 7) return -1;
    *text = at;
    return value;
}

/* The block B of "conv<group>.B.conv2.weight"; -1: another name. */
static long second_convolution_block(const char *name, long group)
{
    if (strncmp(name, "conv", 4) != 0) return -1;
    name += 4;
    if (number(&name) != group || *name++ != '.') return -1;
    long block = number(&name);
    return block >= 0 && strcmp(name, ".conv2.weight") == 0 ? block : -1;
}

/* The group G of a selector "convG"; -1: another selector. */
static long selected_group(const char *selector)
{
    if (strncmp(selector, "conv", 4) != 0) return -1;
    selector += 4;
    long group = number(&selector);
    return *selector == '\0' ? group : -1;
}

static const char *name_in_file(const wmk_targets *targets, size_t i)
{
    return targets->in_file && targets->in_file[i] ? targets->in_file[i] : targets->target[i].name;
}

/* Marks in chosen [from->count] what `selector` names; false: nothing. */
static bool choose(bool *chosen, const wmk_targets *from, const char *selector)
{
    bool any = false;
    long group = selected_group(selector), block, last_block = -1;
    size_t last = 0;
    for (size_t i = 0; i < from->count; i++) {
        if (strcmp(from->target[i].name, selector) != 0 && strcmp(name_in_file(from, i), selector) != 0) continue;
        return chosen[i] = true;
    }
    for (size_t i = 0; i < from->count; i++) {
        const wmk_target *target = &from->target[i];
        bool hit = strcmp(selector, "all") == 0      ? true
                   : strcmp(selector, "conv") == 0   ? target->rank >= 3
                   : strcmp(selector, "linear") == 0 ? target->rank == 2
                                                     : fnmatch(selector, target->name, 0) == 0 || fnmatch(selector, name_in_file(from, i), 0) == 0;
        if (hit) chosen[i] = any = true;
        if (group >= 0 && (block = second_convolution_block(target->name, group)) > last_block) {
            last_block = block;
            last = i;
        }
    }
    if (last_block >= 0) chosen[last] = any = true;
    return any;
}

/* MISSING, with what there is. */
static wmk_status nothing(const wmk_targets *from, const char *selector)
{
    enum { SHOWN = 12 };
    wmk_buffer list = {0};
    for (size_t i = 0; i < from->count && i < SHOWN; i++) {
        wmk_status status = wmk_buffer_printf(&list, "%s%s", i ? ", " : "", from->target[i].name);
        if (status != WMK_OK) {
            wmk_buffer_free(&list);
            return status;
        }
    }
    wmk_status status =
        from->count == 0 ? wmk_fail(WMK_ERROR_MISSING, "target \"%s\" matches nothing: there is no tensor a mark can go into", selector)
        : from->count <= SHOWN
            ? wmk_fail(WMK_ERROR_MISSING, "target \"%s\" matches nothing; there are: %.*s", selector, (int)list.size, (char *)list.data)
            : wmk_fail(WMK_ERROR_MISSING, "target \"%s\" matches nothing; there are: %.*s and %zu more", selector, (int)list.size, (char *)list.data,
                       from->count - SHOWN);
    wmk_buffer_free(&list);
    return status;
}

static wmk_status choose_all(bool *chosen, const wmk_targets *from, char *selectors)
{
    for (char *selector = selectors, *next; selector; selector = next) {
        next = strchr(selector, ',');
        if (next) *next++ = '\0';
        if (!choose(chosen, from, selector)) return nothing(from, selector);
    }
    return WMK_OK;
}

wmk_status wmk_targets_select(wmk_targets *out, const wmk_targets *from, const char *selectors)
{
    bool *chosen = NULL;
    char *text = NULL;
    wmk_targets targets = {NULL, NULL, 0};
    wmk_status status;
    WMK_TRY_GOTO(status, wmk_alloc(&chosen, from->count, sizeof *chosen), done);
    WMK_TRY_GOTO(status, wmk_strdup(&text, selectors), done);
    WMK_TRY_GOTO(status, make_room(&targets, from->count), done);
    WMK_TRY_GOTO(status, choose_all(chosen, from, text), done);
    for (size_t i = 0; i < from->count; i++)
        if (chosen[i]) WMK_TRY_GOTO(status, add(&targets, &from->target[i], from->in_file ? from->in_file[i] : NULL), done);
    *out = targets;
done:
    if (status != WMK_OK) wmk_targets_free(&targets);
    free(text);
    free(chosen);
    return status;
}
