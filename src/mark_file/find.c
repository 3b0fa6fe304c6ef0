/* mark_file/find.c - from the strictest way of telling names to the loosest, each for the targets that the ones before it left.
 *
 * A way that gives a target two tensors, or two targets one, gives none: names are only a means to look at the right weights, and a wrong one would cost the mark. (It could not make
 * evidence: names do not depend on the key's secret.) Names lie in arrays sorted by their reversed text, so that "ends with" is a range: hostile models cost n log n. */
#include "mark_file/find.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "mark_file/names.h"

enum { RANGE_MAX = 4096 }; /* tensors that are looked at for one target: with more of them a name says nothing */

typedef struct entry {
    char *reversed; /* owned */
    size_t tensor;
} entry;

typedef struct names {
    entry *entries; /* sorted */
    size_t count;
} names;

typedef struct finder {
    wmk_match *match;
    names aliases, canonical;
    char **own, **target; /* [targets] their names as they are, and in canonical form; reversed */
    bool *taken;          /* [tensors] also those that have the name of some target */
    size_t *own_tensor;   /* [targets] the tensor of that very name, or WMK_NO_TENSOR */
    bool overlap;         /* other sizes are looked for */
    size_t *claim;        /* [targets] what the present way gives */
    size_t *claims;       /* [tensors] to how many */
} finder;

static void reverse(char *text)
{
    for (size_t i = 0, j = strlen(text); i + 1 < j; i++) {
        char c = text[i];
        text[i] = text[--j];
        text[j] = c;
    }
}

static int by_text(const void *left, const void *right)
{
    const entry *a = left, *b = right;
    int order = strcmp(a->reversed, b->reversed);
    return order ? order : (a->tensor > b->tensor) - (a->tensor < b->tensor);
}

static void add(names *to, char *text, size_t tensor)
{
    reverse(text);
    to->entries[to->count++] = (entry){text, tensor};
}

static wmk_status list_names(finder *f)
{
    const wmk_model *model = f->match->model;
    size_t count = wmk_model_tensor_count(model);
    WMK_TRY(wmk_alloc(&f->aliases.entries, count, sizeof *f->aliases.entries));
    WMK_TRY(wmk_alloc(&f->canonical.entries, 2 * count, sizeof *f->canonical.entries));
    for (size_t i = 0; i < count; i++) {
        const wmk_model_tensor *tensor = wmk_model_tensor_at(model, i);
        char *text;
        WMK_TRY(wmk_name_canonical(&text, tensor->view.name));
        add(&f->canonical, text, i);
        if (!tensor->alias) continue;
        WMK_TRY(wmk_strdup(&text, tensor->alias));
        add(&f->aliases, text, i);
        WMK_TRY(wmk_name_canonical(&text, tensor->alias));
        add(&f->canonical, text, i);
    }
    qsort(f->aliases.entries, f->aliases.count, sizeof(entry), by_text);
    qsort(f->canonical.entries, f->canonical.count, sizeof(entry), by_text);
    return WMK_OK;
}

/* ---- one target ---- */

/* The first entry that is not before `reversed`. */
static size_t lower_bound(const names *in, const char *reversed)
{
    size_t low = 0, high = in->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(in->entries[middle].reversed, reversed) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static wmk_fit fit_of(const finder *f, size_t tensor, const wmk_target *target)
{
    const wmk_model_tensor *at = wmk_model_tensor_at(f->match->model, tensor);
    if (!wmk_is_readable(at)) return (wmk_fit){.way = WMK_WAY_NONE};
    return f->overlap ? wmk_fit_overlap(at, target) : wmk_fit_of(at, target);
}

/* The only tensor that fits among those whose names begin (reversed) with `reversed` and go on with `next`: '\0' nothing more, '.' a part more. */
static size_t only_one(const finder *f, const names *in, const wmk_target *target, const char *reversed, char next)
{
    size_t size = strlen(reversed), found = WMK_NO_TENSOR, begin = lower_bound(in, reversed);
    for (size_t i = begin; i < in->count && i - begin < RANGE_MAX; i++) {
        const entry *e = &in->entries[i];
        if (strncmp(e->reversed, reversed, size) != 0) break;
        if (e->reversed[size] != next || f->taken[e->tensor] || e->tensor == found) continue;
        if (fit_of(f, e->tensor, target).way == WMK_WAY_NONE) continue;
        if (found != WMK_NO_TENSOR) return WMK_NO_TENSOR;
        found = e->tensor;
    }
    return found;
}

/* Ways to tell a target's name, from strict to loose. Each gives a tensor or WMK_NO_TENSOR. */

static size_t by_alias(const finder *f, size_t t) { return only_one(f, &f->aliases, wmk_key_target(f->match->key, t), f->own[t], '\0'); }

static size_t by_canonical(const finder *f, size_t t) { return only_one(f, &f->canonical, wmk_key_target(f->match->key, t), f->target[t], '\0'); }

/* The model has wrapped the layer once more. */
static size_t by_longer(const finder *f, size_t t) { return only_one(f, &f->canonical, wmk_key_target(f->match->key, t), f->target[t], '.'); }

/* The model has unwrapped it. Reversed, the end of a name is its beginning. */
static size_t by_shorter(const finder *f, size_t t)
{
    size_t found = WMK_NO_TENSOR;
    char *text = f->target[t];
    size_t whole = strlen(text);
    for (char *end = strrchr(text, '.'); end && found == WMK_NO_TENSOR; end = strrchr(text, '.')) {
        size_t size = (size_t)(end - text);
        *end = '\0';
        if (strspn(text, "0123456789") != size) found = only_one(f, &f->canonical, wmk_key_target(f->match->key, t), text, '\0');
        if (!strchr(text, '.')) break;
    }
    for (size_t i = 0; i < whole; i++)
        if (text[i] == '\0') text[i] = '.';
    return found;
}

/* ---- all ---- */

static void settle(const finder *f, size_t t, size_t tensor, wmk_match_how how)
{
    wmk_match *match = f->match;
    match->tensor[t] = tensor;
    match->how[t] = how;
    match->fit[t] = fit_of(f, tensor, wmk_key_target(match->key, t));
    f->taken[tensor] = true;
}

static void pass(finder *f, size_t (*way)(const finder *, size_t), wmk_match_how how)
{
    wmk_match *match = f->match;
    for (size_t t = 0; t < match->count; t++) {
        f->claim[t] = match->tensor[t] == WMK_NO_TENSOR ? way(f, t) : WMK_NO_TENSOR;
        if (f->claim[t] != WMK_NO_TENSOR) f->claims[f->claim[t]]++;
    }
    for (size_t t = 0; t < match->count; t++)
        if (f->claim[t] != WMK_NO_TENSOR && f->claims[f->claim[t]] == 1) settle(f, t, f->claim[t], how);
    for (size_t t = 0; t < match->count; t++)
        if (f->claim[t] != WMK_NO_TENSOR) f->claims[f->claim[t]] = 0;
}

/* The tensors of the very names, where they fit or where `all` is asked for. How many targets are left. */
static size_t by_own_name(const finder *f, bool all)
{
    wmk_match *match = f->match;
    size_t left = 0;
    for (size_t t = 0; t < match->count; t++) {
        if (match->tensor[t] != WMK_NO_TENSOR) continue;
        size_t own = f->own_tensor[t];
        if (own != WMK_NO_TENSOR && (all || fit_of(f, own, wmk_key_target(match->key, t)).way != WMK_WAY_NONE))
            settle(f, t, own, WMK_MATCH_EXACT);
        else
            left++;
    }
    return left;
}

/* A tensor with the name of a target is no other target's. One that a map gave away is not looked at. */
static void list_own_names(finder *f)
{
    wmk_match *match = f->match;
    const wmk_model_tensor *first = wmk_model_tensor_at(match->model, 0);
    for (size_t t = 0; t < match->count; t++)
        if (match->tensor[t] != WMK_NO_TENSOR) f->taken[match->tensor[t]] = true;
    for (size_t t = 0; t < match->count; t++) {
        const wmk_model_tensor *tensor = wmk_model_find(match->model, wmk_key_target(match->key, t)->name);
        f->own_tensor[t] = tensor && !f->taken[tensor - first] ? (size_t)(tensor - first) : WMK_NO_TENSOR;
    }
    for (size_t t = 0; t < match->count; t++)
        if (f->own_tensor[t] != WMK_NO_TENSOR) f->taken[f->own_tensor[t]] = true;
}

static wmk_status make_room(finder *f)
{
    wmk_match *match = f->match;
    WMK_TRY(list_names(f));
    WMK_TRY(wmk_alloc(&f->claim, match->count, sizeof *f->claim));
    WMK_TRY(wmk_alloc(&f->claims, wmk_model_tensor_count(match->model), sizeof *f->claims));
    WMK_TRY(wmk_alloc(&f->own, match->count, sizeof *f->own));
    WMK_TRY(wmk_alloc(&f->target, match->count, sizeof *f->target));
    for (size_t t = 0; t < match->count; t++) {
        WMK_TRY(wmk_strdup(&f->own[t], wmk_key_target(match->key, t)->name));
        reverse(f->own[t]);
        WMK_TRY(wmk_name_canonical(&f->target[t], wmk_key_target(match->key, t)->name));
        reverse(f->target[t]);
    }
    return WMK_OK;
}

/* The end of a name says which layer it is only together with its sizes. */
static wmk_status by_other_names(finder *f)
{
    if (!f->own) WMK_TRY(make_room(f));
    pass(f, by_alias, WMK_MATCH_ALIAS);
    pass(f, by_canonical, WMK_MATCH_RENAMED);
    if (f->overlap) return WMK_OK;
    pass(f, by_longer, WMK_MATCH_RENAMED);
    pass(f, by_shorter, WMK_MATCH_RENAMED);
    return WMK_OK;
}

static wmk_status search(finder *f, bool exact)
{
    list_own_names(f);
    if (by_own_name(f, exact) == 0) return WMK_OK; /* the rule: nothing else is made or looked at */
    WMK_TRY(by_other_names(f));
    if (exact) return WMK_OK;
    f->overlap = true;
    if (by_own_name(f, false) > 0) WMK_TRY(by_other_names(f));
    by_own_name(f, true); /* so that messages can name it */
    return WMK_OK;
}

static void free_names(names *n)
{
    for (size_t i = 0; i < n->count; i++) free(n->entries[i].reversed);
    free(n->entries);
}

wmk_status wmk_find_by_name(wmk_match *match, bool exact)
{
    finder f = {.match = match};
    wmk_status status = wmk_alloc(&f.taken, wmk_model_tensor_count(match->model), sizeof *f.taken);
    if (status == WMK_OK) status = wmk_alloc(&f.own_tensor, match->count, sizeof *f.own_tensor);
    if (status == WMK_OK) status = search(&f, exact);
    for (size_t t = 0; f.own && t < match->count; t++) free(f.own[t]);
    for (size_t t = 0; f.target && t < match->count; t++) free(f.target[t]);
    free_names(&f.aliases);
    free_names(&f.canonical);
    free(f.own);
    free(f.target);
    free(f.claim);
    free(f.claims);
    free(f.taken);
    free(f.own_tensor);
    return status;
}
