/* mark_file/choose.c - orders of axes, and tensors whose names mean nothing.
 *
 * Whatever rule picks one of K combinations, p < alpha / K happens for one of them with a probability
 * of at most alpha in a model made without the key; so p times K holds. The rule may therefore look
 * at something cheaper than p: the agreement of correlate.h. */
#include "mark_file/choose.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "mark_file/correlate.h"
#include "mark_file/groups.h"

wmk_status wmk_factors_add(wmk_factors *factors, uint64_t factor)
{
    if (factor == 1) return WMK_OK;
    if ((factors->count & (factors->count - 1)) == 0) /* full at powers of two */
        WMK_TRY(wmk_resize(&factors->factor, factors->count ? 2 * factors->count : 1, sizeof *factors->factor));
    factors->factor[factors->count++] = factor;
    return WMK_OK;
}

void wmk_factors_free(wmk_factors *factors)
{
    free(factors->factor);
    *factors = (wmk_factors){0};
}

/* The view of a tensor read as a target. What it needs stays with the match until drop_views. */
static wmk_status look_at(wmk_tensor_view *out, wmk_match *match, size_t target, size_t tensor, wmk_way way, const void *bytes)
{
    wmk_tensor_view before = match->views[target];
    uint64_t weights = match->weights[target];
    wmk_status status = wmk_match_view(match, target, tensor, way, bytes);
    *out = match->views[target];
    match->views[target] = before;
    match->weights[target] = weights;
    return status;
}

static void drop_views(wmk_match *match, size_t blocks)
{
    while (match->block_count > blocks) free(match->blocks[--match->block_count]);
}

/* ---- orders of axes ---- */

static wmk_status choose_order(wmk_match *match, size_t t, wmk_correlation *correlation)
{
    wmk_way expected = match->fit[t].way, other = expected == WMK_WAY_ALONG ? WMK_WAY_ACROSS : WMK_WAY_ALONG;
    const void *bytes = match->views[t].data; /* also where they were unpacked */
    wmk_tensor_view views[2] = {match->views[t]};
    double agreement[2];
    bool readable[2];
    WMK_TRY(look_at(&views[1], match, t, match->tensor[t], other, bytes));
    WMK_TRY(wmk_correlate(correlation, &t, 1, views, 2, agreement, readable));
    if (!(agreement[1] > agreement[0])) return WMK_OK;
    match->fit[t].way = other;
    return wmk_match_view(match, t, match->tensor[t], other, bytes);
}

wmk_status wmk_choose_orders(wmk_match *match, wmk_factors *factors)
{
    wmk_correlation *correlation = NULL;
    size_t open = 0;
    wmk_status status = WMK_OK;
    for (size_t t = 0; t < match->count; t++) open += match->fit[t].square;
    if (open == 0) return WMK_OK;
    WMK_TRY(wmk_correlation_begin(&correlation, match->key));
    for (size_t t = 0; status == WMK_OK && t < match->count; t++) {
        if (!match->fit[t].square) continue;
        status = wmk_factors_add(factors, 2);
        if (status == WMK_OK) status = choose_order(match, t, correlation);
    }
    wmk_correlation_end(correlation);
    return status;
}

/* ---- any tensor ---- */

enum { PAIRS_MAX = 1 << 28, KEPT = 64, VIEWS_MOST = 1024, VIEWS_LEAST = 16, HELD_MOST = 1 << 22 };
#define BYTES_HELD ((uint64_t)1 << 28) /* of unpacked and decoded values; one tensor may have more */

/* One way to read one target. */
typedef struct candidate {
    double agreement;
    uint32_t target, tensor;
    wmk_way way;
} candidate;

/* A tensor in one order of axes. */
typedef struct fitting {
    size_t tensor;
    wmk_way way;
} fitting;

typedef struct search {
    wmk_match *match;
    wmk_groups groups;
    wmk_correlation *correlation;
    candidate *kept; /* [targets][KEPT] by falling agreement */
    uint8_t *kept_count;
    uint64_t *of_target, *of_tensor; /* readings that fit */
    fitting *fitting;                /* [fitting_count] of the group at hand */
    size_t fitting_count;
    double *agreement; /* [targets of the group][views] */
    wmk_tensor_view *views;
    bool *readable;
    wmk_status unreadable; /* of the last that could not be read */
    bool any;              /* some could */
    double done, total;    /* pairs times columns */
    wmk_searched_fn searched;
    void *payload;
} search;

static wmk_status too_many(const search *s)
{
    return wmk_fail(WMK_ERROR_UNSUPPORTED,
                    "not supported: %s: more than %d ways to take a tensor for one of the key's %zu by shape; a map of names "
                    "(--map) says which is which",
                    wmk_model_path(s->match->model), PAIRS_MAX, s->match->count);
}

static size_t group_size(const search *s, size_t g) { return s->groups.begin[g + 1] - s->groups.begin[g]; }

static const wmk_target *target_of(const search *s, size_t g) { return wmk_key_target(s->match->key, s->groups.target[s->groups.begin[g]]); }

/* The readings that fit group g. */
static void list_fitting(search *s, size_t g)
{
    size_t tensors = wmk_model_tensor_count(s->match->model);
    s->fitting_count = 0;
    for (size_t i = 0; i < tensors; i++) {
        const wmk_model_tensor *tensor = wmk_model_tensor_at(s->match->model, i);
        if (!wmk_is_readable(tensor)) continue;
        wmk_fit fit = wmk_fit_of(tensor, target_of(s, g));
        if (fit.way == WMK_WAY_NONE) continue;
        s->fitting[s->fitting_count++] = (fitting){i, fit.way};
        if (fit.square && fit.turned) s->fitting[s->fitting_count++] = (fitting){i, fit.way == WMK_WAY_ALONG ? WMK_WAY_ACROSS : WMK_WAY_ALONG};
    }
}

static double columns_of(const wmk_target *target)
{
    double columns = 1;
    for (uint32_t i = 0; i < target->rank; i++) columns *= (double)target->shape[i];
    return columns;
}

/* Counts what every target and every tensor can be, and the work. */
static wmk_status count_readings(search *s)
{
    uint64_t pairs = 0, tensors = wmk_model_tensor_count(s->match->model);
    if (tensors > UINT32_MAX || s->groups.count * tensors > PAIRS_MAX) return too_many(s);
    for (size_t g = 0; g < s->groups.count; g++) {
        list_fitting(s, g);
        for (size_t i = s->groups.begin[g]; i < s->groups.begin[g + 1]; i++) s->of_target[s->groups.target[i]] = s->fitting_count;
        for (size_t i = 0; i < s->fitting_count; i++) s->of_tensor[s->fitting[i].tensor] += group_size(s, g);
        uint64_t here = (uint64_t)group_size(s, g) * s->fitting_count;
        s->total += (double)here * columns_of(target_of(s, g));
        if ((pairs += here) > PAIRS_MAX) return too_many(s);
    }
    return WMK_OK;
}

static double log_product(const uint64_t *readings, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += log1p((double)readings[i]);
    return sum;
}

static wmk_status add_factors(wmk_factors *factors, const search *s)
{
    size_t targets = s->match->count, tensors = wmk_model_tensor_count(s->match->model);
    bool by_target = log_product(s->of_target, targets) <= log_product(s->of_tensor, tensors);
    const uint64_t *readings = by_target ? s->of_target : s->of_tensor;
    size_t count = by_target ? targets : tensors;
    for (size_t i = 0; i < count; i++) WMK_TRY(wmk_factors_add(factors, 1 + readings[i]));
    return WMK_OK;
}

/* Puts a candidate among those that its target keeps; an equal one that is there goes before it. */
static void keep(search *s, size_t target, const fitting *f, double agreement)
{
    candidate *kept = s->kept + target * KEPT;
    size_t count = s->kept_count[target], place = count;
    while (place > 0 && kept[place - 1].agreement < agreement) place--;
    if (place == KEPT) return;
    if (count < KEPT) s->kept_count[target] = (uint8_t)++count;
    memmove(kept + place + 1, kept + place, (count - 1 - place) * sizeof *kept);
    kept[place] = (candidate){agreement, (uint32_t)target, (uint32_t)f->tensor, f->way};
}

/* Offers `count` readings, compared with group g, to its targets. */
static void keep_all(search *s, size_t g, const fitting *readings, size_t count)
{
    for (size_t v = 0; v < count; v++) {
        s->any |= s->readable[v];
        if (!s->readable[v]) s->unreadable = WMK_ERROR_INPUT;
    }
    for (size_t t = 0; t < group_size(s, g); t++)
        for (size_t v = 0; v < count; v++)
            if (s->readable[v]) keep(s, s->groups.target[s->groups.begin[g] + t], &readings[v], s->agreement[t * count + v]);
}

/* Compares group g with readings [*begin, ...) and moves *begin past them. */
static wmk_status compare_some(search *s, size_t g, size_t *begin, size_t views_most)
{
    wmk_match *match = s->match;
    const size_t *targets = s->groups.target + s->groups.begin[g];
    size_t count = 0, blocks = match->block_count;
    fitting *now = s->fitting + *begin;
    uint64_t held = 0;
    wmk_status status = WMK_OK;
    for (size_t i = *begin; status == WMK_OK && i < s->fitting_count && count < views_most; i++, ++*begin) {
        const wmk_model_tensor *tensor = wmk_model_tensor_at(match->model, s->fitting[i].tensor);
        uint64_t need = tensor->packed || tensor->view.codec ? 8 * (uint64_t)columns_of(target_of(s, g)) : 0;
        if (count > 0 && held + need > BYTES_HELD) break;
        held += need;
        status = look_at(&s->views[count], match, targets[0], s->fitting[i].tensor, s->fitting[i].way, NULL);
        if (status == WMK_OK) now[count++] = s->fitting[i];
        if (status == WMK_ERROR_INPUT) {
            s->unreadable = status;
            status = WMK_OK;
        }
    }
    if (status == WMK_OK && count > 0) status = wmk_correlate(s->correlation, targets, group_size(s, g), s->views, count, s->agreement, s->readable);
    if (status == WMK_OK) keep_all(s, g, now, count);
    drop_views(match, blocks);
    return status;
}

static wmk_status compare_group(search *s, size_t g)
{
    size_t targets = group_size(s, g), views = HELD_MOST / targets;
    views = views < VIEWS_LEAST ? VIEWS_LEAST : views > VIEWS_MOST ? VIEWS_MOST : views;
    list_fitting(s, g);
    if (views > s->fitting_count) views = s->fitting_count;
    WMK_TRY(wmk_resize(&s->agreement, targets * views, sizeof *s->agreement));
    for (size_t begin = 0; begin < s->fitting_count;) {
        size_t before = begin;
        WMK_TRY(compare_some(s, g, &begin, views));
        s->done += (double)(begin - before) * (double)targets * columns_of(target_of(s, g));
        if (s->searched) s->searched(s->payload, s->done / s->total);
    }
    return WMK_OK;
}

static int by_agreement(const void *left, const void *right)
{
    const candidate *a = left, *b = right;
    if (a->agreement != b->agreement) return a->agreement > b->agreement ? -1 : 1;
    if (a->target != b->target) return a->target < b->target ? -1 : 1;
    if (a->tensor != b->tensor) return a->tensor < b->tensor ? -1 : 1;
    return (int)a->way - (int)b->way;
}

/* The strongest first, as long as target and tensor are free. */
static wmk_status assign(search *s)
{
    wmk_match *match = s->match;
    size_t count = 0;
    bool *taken;
    for (size_t t = 0; t < match->count; t++) {
        memmove(s->kept + count, s->kept + t * KEPT, s->kept_count[t] * sizeof *s->kept);
        count += s->kept_count[t];
    }
    qsort(s->kept, count, sizeof *s->kept, by_agreement);
    WMK_TRY(wmk_alloc(&taken, wmk_model_tensor_count(match->model), sizeof *taken));
    wmk_status status = WMK_OK;
    for (size_t i = 0; status == WMK_OK && i < count; i++) {
        const candidate *c = &s->kept[i];
        if (taken[c->tensor] || match->tensor[c->target] != WMK_NO_TENSOR) continue;
        taken[c->tensor] = true;
        match->tensor[c->target] = c->tensor;
        match->how[c->target] = WMK_MATCH_SHAPE;
        match->missing--;
        status = wmk_match_view(match, c->target, c->tensor, c->way, NULL);
    }
    free(taken);
    return status;
}

static wmk_status make_room(search *s)
{
    size_t targets = s->match->count, tensors = wmk_model_tensor_count(s->match->model);
    WMK_TRY(wmk_groups_make(&s->groups, s->match->key));
    WMK_TRY(wmk_correlation_begin(&s->correlation, s->match->key));
    WMK_TRY(wmk_alloc(&s->kept, targets, KEPT * sizeof *s->kept));
    WMK_TRY(wmk_alloc(&s->kept_count, targets, sizeof *s->kept_count));
    WMK_TRY(wmk_alloc(&s->of_target, targets, sizeof *s->of_target));
    WMK_TRY(wmk_alloc(&s->of_tensor, tensors, sizeof *s->of_tensor));
    WMK_TRY(wmk_alloc(&s->fitting, tensors, 2 * sizeof *s->fitting));
    WMK_TRY(wmk_alloc(&s->views, VIEWS_MOST, sizeof *s->views));
    return wmk_alloc(&s->readable, VIEWS_MOST, sizeof *s->readable);
}

static wmk_status find_all(search *s, wmk_factors *factors)
{
    WMK_TRY(make_room(s));
    WMK_TRY(count_readings(s));
    if (s->total == 0)
        return wmk_fail(WMK_ERROR_MISSING, "%s: no tensor has the shape of the key's \"%.200s\"%s", wmk_model_path(s->match->model),
                        wmk_key_target(s->match->key, 0)->name, s->match->count > 1 ? ", or of another of its tensors" : "");
    for (size_t g = 0; g < s->groups.count; g++) WMK_TRY(compare_group(s, g));
    if (!s->any) return s->unreadable; /* its message is the last there was */
    WMK_TRY(add_factors(factors, s));
    return assign(s);
}

wmk_status wmk_choose_any(wmk_match *match, wmk_factors *factors, wmk_searched_fn searched, void *payload)
{
    search s = {.match = match, .unreadable = WMK_OK, .searched = searched, .payload = payload};
    wmk_status status = find_all(&s, factors);
    wmk_groups_free(&s.groups);
    wmk_correlation_end(s.correlation);
    free(s.kept);
    free(s.kept_count);
    free(s.of_target);
    free(s.of_tensor);
    free(s.fitting);
    free(s.agreement);
    free(s.views);
    free(s.readable);
    return status;
}
