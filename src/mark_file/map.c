/* mark_file/map.c - a map from targets to tensors. */
#include "mark_file/map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "mark_file/find.h"
#include "mark_file/groups.h"

/* Targets by name. */
typedef struct named {
    const char *name;
    size_t target;
} named;

static int by_name(const void *left, const void *right) { return strcmp(((const named *)left)->name, ((const named *)right)->name); }

static wmk_status list_targets(named **out, const wmk_key *key)
{
    size_t count = wmk_key_target_count(key);
    WMK_TRY(wmk_alloc(out, count, sizeof **out));
    for (size_t t = 0; t < count; t++) (*out)[t] = (named){wmk_key_target(key, t)->name, t};
    qsort(*out, count, sizeof **out, by_name);
    return WMK_OK;
}

static size_t target_named(const named *targets, const wmk_key *key, const char *name)
{
    named wanted = {name, 0}, *found = bsearch(&wanted, targets, wmk_key_target_count(key), sizeof *targets, by_name);
    return found ? found->target : WMK_NO_TENSOR;
}

static wmk_status apply_line(wmk_match *match, const wmk_rename *line, const named *targets, const wmk_rename **taken)
{
    const wmk_model *model = match->model;
    const wmk_model_tensor *tensor = wmk_model_find(model, line->tensor);
    size_t t = target_named(targets, match->key, line->target);
    if (t == WMK_NO_TENSOR) return wmk_fail(WMK_ERROR_MISSING, "the key has no tensor \"%.200s\"", line->target);
    if (!tensor) return wmk_fail_within(wmk_no_such_tensor(model, line->tensor, ""), "for \"%.200s\"", line->target);
    if (match->tensor[t] != WMK_NO_TENSOR) return wmk_fail(WMK_ERROR_INPUT, "\"%.200s\" is named a second time", line->target);
    size_t index = (size_t)(tensor - wmk_model_tensor_at(model, 0));
    if (taken[index])
        return wmk_fail(WMK_ERROR_INPUT, "tensor \"%.200s\" is named for \"%.200s\" and for \"%.200s\"; a tensor is read as one target only",
                        line->tensor, taken[index]->target, line->target);
    taken[index] = line;
    match->tensor[t] = index;
    match->how[t] = WMK_MATCH_MAP;
    if (wmk_is_readable(tensor)) match->fit[t] = wmk_fit_of(tensor, wmk_key_target(match->key, t));
    if (wmk_is_readable(tensor) && match->fit[t].way == WMK_WAY_NONE) match->fit[t] = wmk_fit_overlap(tensor, wmk_key_target(match->key, t));
    return match->fit[t].way == WMK_WAY_NONE ? wmk_match_reason(match, t, true) : WMK_OK;
}

wmk_status wmk_map_apply(wmk_match *match, const wmk_rename *map, size_t count)
{
    const wmk_rename **taken;
    named *targets = NULL;
    if (count == 0) return WMK_OK;
    WMK_TRY(wmk_alloc(&taken, wmk_model_tensor_count(match->model), sizeof *taken));
    wmk_status status = list_targets(&targets, match->key);
    for (size_t i = 0; status == WMK_OK && i < count; i++) {
        char line[32] = "map: ";
        if (map[i].line) snprintf(line, sizeof line, "map: line %u: ", map[i].line);
        status = apply_line(match, &map[i], targets, taken);
        if (status != WMK_OK) status = wmk_fail_within(status, "%.*s", (int)strlen(line) - 2, line);
    }
    free(targets);
    free(taken);
    return status;
}

/* ---- what it is charged ---- */

/* Adds the prime factors of C(n, k), the exponents of which are known (Legendre), so that no number is
 * larger than n. */
static wmk_status add_binomial(wmk_factors *factors, size_t n, size_t k)
{
    bool *composite;
    WMK_TRY(wmk_alloc(&composite, n + 1, sizeof *composite));
    wmk_status status = WMK_OK;
    for (size_t p = 2; status == WMK_OK && p <= n; p++) {
        if (composite[p]) continue;
        for (size_t q = 2 * p; q <= n; q += p) composite[q] = true;
        size_t exponent = 0;
        for (size_t q = p; q <= n; q *= p) exponent += n / q - k / q - (n - k) / q;
        for (; status == WMK_OK && exponent > 0; exponent--) status = wmk_factors_add(factors, p);
    }
    free(composite);
    return status;
}

/* Adds for the targets of one group that are marked in `changed`. */
static wmk_status add_group(wmk_factors *factors, const wmk_match *match, const bool *changed, const size_t *targets, size_t count)
{
    uint64_t equal = 0, other = 0;
    size_t first = 0;
    while (first < count && !changed[targets[first]]) first++;
    if (first == count) return WMK_OK;
    for (size_t i = 0; i < wmk_model_tensor_count(match->model); i++) {
        const wmk_model_tensor *tensor = wmk_model_tensor_at(match->model, i);
        const wmk_target *target = wmk_key_target(match->key, targets[0]);
        if (!wmk_is_readable(tensor)) continue;
        if (wmk_fit_of(tensor, target).way != WMK_WAY_NONE)
            equal++;
        else
            other += wmk_fit_overlap(tensor, target).way != WMK_WAY_NONE;
    }
    for (size_t i = first; i < count; i++) {
        if (!changed[targets[i]]) continue;
        bool overlaps = match->fit[targets[i]].partial;
        WMK_TRY(wmk_factors_add(factors, overlaps ? other : equal + (other > 0)));
        if (overlaps) WMK_TRY(wmk_factors_add(factors, equal + 1));
    }
    return WMK_OK;
}

static wmk_status add_lines(wmk_factors *factors, const wmk_match *match, const bool *changed, size_t changed_count)
{
    wmk_groups groups;
    wmk_status status = wmk_groups_make(&groups, match->key);
    if (status == WMK_OK) status = wmk_factors_add(factors, match->count);
    if (status == WMK_OK) status = add_binomial(factors, match->count, changed_count);
    for (size_t g = 0; status == WMK_OK && g < groups.count; g++)
        status = add_group(factors, match, changed, groups.target + groups.begin[g], groups.begin[g + 1] - groups.begin[g]);
    wmk_groups_free(&groups);
    return status;
}

wmk_status wmk_map_factors(wmk_factors *factors, const wmk_match *match)
{
    wmk_match by_names;
    bool *changed;
    size_t changed_count = 0;
    WMK_TRY(wmk_match_begin(&by_names, match->model, match->key));
    wmk_status status = wmk_find_by_name(&by_names, false);
    if (status == WMK_OK) status = wmk_alloc(&changed, match->count, sizeof *changed);
    if (status == WMK_OK) {
        for (size_t t = 0; t < match->count; t++) {
            changed[t] = match->how[t] == WMK_MATCH_MAP && match->tensor[t] != by_names.tensor[t];
            changed_count += changed[t];
        }
        if (changed_count > 0) status = add_lines(factors, match, changed, changed_count);
        free(changed);
    }
    wmk_match_free(&by_names);
    return status;
}
