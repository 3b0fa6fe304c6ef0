/* mark_file/groups.c - targets sorted by geometry. */
#include "mark_file/groups.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "mark_file/names.h"

typedef struct entry {
    const wmk_target *target;
    size_t index;
    int rotary;
} entry;

static int by_geometry(const void *left, const void *right)
{
    const entry *a = left, *b = right;
    const wmk_target *s = a->target, *t = b->target;
    if (s->rank != t->rank) return s->rank < t->rank ? -1 : 1;
    for (uint32_t i = 0; i < s->rank; i++)
        if (s->shape[i] != t->shape[i]) return s->shape[i] < t->shape[i] ? -1 : 1;
    int order = strcmp(s->layout, t->layout);
    return order ? order : a->rotary - b->rotary;
}

static int by_geometry_and_index(const void *left, const void *right)
{
    const entry *a = left, *b = right;
    int order = by_geometry(left, right);
    return order ? order : (a->index > b->index) - (a->index < b->index);
}

wmk_status wmk_groups_make(wmk_groups *out, const wmk_key *key)
{
    size_t count = wmk_key_target_count(key);
    entry *entries;
    *out = (wmk_groups){0};
    WMK_TRY(wmk_alloc(&out->target, count, sizeof *out->target));
    WMK_TRY(wmk_alloc(&out->begin, count + 1, sizeof *out->begin));
    WMK_TRY(wmk_alloc(&entries, count, sizeof *entries));
    for (size_t t = 0; t < count; t++) {
        bool is_key = false;
        const wmk_target *target = wmk_key_target(key, t);
        int rotary = wmk_name_rotary(target->name, &is_key);
        entries[t] = (entry){target, t, 2 * rotary + is_key};
    }
    qsort(entries, count, sizeof *entries, by_geometry_and_index);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || by_geometry(&entries[i - 1], &entries[i]) != 0) out->begin[out->count++] = i;
        out->target[i] = entries[i].index;
    }
    out->begin[out->count] = count;
    free(entries);
    return WMK_OK;
}

void wmk_groups_free(wmk_groups *groups)
{
    free(groups->target);
    free(groups->begin);
    *groups = (wmk_groups){0};
}
