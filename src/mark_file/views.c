/* mark_file/views.c - finds the tensors a key speaks of. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "mark_file/views.h"

wmk_tensor_view wmk_view_for_target(const wmk_tensor_view *tensor, const wmk_target *target)
{
    wmk_tensor_view view = *tensor;
    bool same = tensor->rank == target->rank;
    for (uint32_t axis = 0; same && axis < target->rank; axis++) same = tensor->shape[axis] == target->shape[axis];
    if (same) memcpy(view.layout, target->layout, sizeof view.layout);
    return view;
}

bool wmk_view_fits(const wmk_tensor_view *tensor, const wmk_target *target)
{
    wmk_tensor_view view = wmk_view_for_target(tensor, target);
    if (!wmk_dtype_is_float(view.dtype) || !view.data || view.rank != target->rank || !wmk_layout_is_valid(view.layout, view.rank)) return false;
    for (uint32_t axis = 0; axis < view.rank; axis++) {
        const char *place = strchr(target->layout, view.layout[axis]);
        if (!place || target->shape[place - target->layout] != view.shape[axis]) return false;
    }
    return true;
}

/* How much two names have in common at either end. */
static size_t likeness(const char *a, const char *b)
{
    size_t a_size = strlen(a), b_size = strlen(b), size = a_size < b_size ? a_size : b_size, head = 0, tail = 0;
    while (head < size && a[head] == b[head]) head++;
    while (tail < size - head && a[a_size - 1 - tail] == b[b_size - 1 - tail]) tail++;
    return head + tail;
}

wmk_status wmk_no_such_tensor(const wmk_model *model, const char *name)
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
    if (!near[0]) return wmk_fail(WMK_ERROR_MISSING, "%s: no tensor \"%.200s\" among its %zu", wmk_model_path(model), name, count);
    return wmk_fail(WMK_ERROR_MISSING, "%s: no tensor \"%.200s\" among its %zu; nearest: %.100s%s%.100s%s%.100s", wmk_model_path(model), name, count,
                    near[0], near[1] ? ", " : "", near[1] ? near[1] : "", near[2] ? ", " : "", near[2] ? near[2] : "");
}

static wmk_tensor_view without_data(const wmk_target *target)
{
    wmk_tensor_view view = {.name = target->name, .dtype = WMK_F32, .rank = target->rank};
    memcpy(view.layout, target->layout, sizeof view.layout);
    memcpy(view.shape, target->shape, sizeof view.shape);
    return view;
}

wmk_status wmk_views_of_key(wmk_tensor_view *views, size_t *missing, const wmk_model *model, const wmk_key *key, size_t missing_allowed)
{
    size_t count = wmk_key_target_count(key);
    const char *first_missing = NULL;
    *missing = 0;
    for (size_t i = 0; i < count; i++) {
        const wmk_target *target = wmk_key_target(key, i);
        const wmk_model_tensor *tensor = wmk_model_find(model, target->name);
        views[i] = tensor ? wmk_view_for_target(&tensor->view, target) : without_data(target);
        if (tensor) continue;
        if (!first_missing) first_missing = target->name;
        ++*missing;
    }
    if (*missing == 0 || (*missing < count && *missing <= missing_allowed)) return WMK_OK;
    wmk_status status = wmk_no_such_tensor(model, first_missing);
    if (*missing == 1) return status;
    return wmk_fail_within(status, "%zu of the key's %zu tensors are missing", *missing, count);
}

wmk_status wmk_fail_in_model(wmk_status status, const wmk_model *model)
{
    static const char begin[] = "not supported: "; /* which stays in front */
    const char *message = wmk_error_message();
    if (status == WMK_OK) return status;
    if (status == WMK_ERROR_UNSUPPORTED && strncmp(message, begin, sizeof begin - 1) == 0)
        return wmk_fail(status, "%s%s: %s", begin, wmk_model_path(model), message + sizeof begin - 1);
    return wmk_fail_within(status, "%s", wmk_model_path(model));
}
