/* mark_file/choose.c - every target by itself: the key is read with all other targets missing, and the readings' evidence is compared.
 *
 * Whatever rule picks one of K combinations, p < alpha / K happens for one of them with a probability of at most alpha in a model made without the key; so p times K holds. K is the
 * product of the choices of all targets. */
#include "mark_file/choose.h"

#include <stdlib.h>

#include "base/memory.h"

enum { PAIRS_MAX = 1 << 24 };

/* One way to read one target. */
typedef struct candidate {
    size_t target, tensor;
    wmk_way way;
    double log10_p, z;
} candidate;

/* p decides, z where both are at its end. */
static bool is_louder(const candidate *a, const candidate *b) { return a->log10_p != b->log10_p ? a->log10_p < b->log10_p : a->z > b->z; }

/* What the key reads there, all other targets taken for missing. views [count] have no data, and are left so. */
static wmk_status listen(candidate *c, wmk_match *match, wmk_tensor_view *views, const void *bytes)
{
    wmk_reading *reading;
    wmk_evidence evidence;
    wmk_tensor_view before = match->views[c->target], absent = views[c->target];
    size_t blocks = match->block_count;
    WMK_TRY(wmk_match_view(match, c->target, c->tensor, c->way, bytes));
    views[c->target] = match->views[c->target];
    wmk_status status = wmk_mark_read(&reading, match->key, views);
    views[c->target] = absent;
    match->views[c->target] = before;
    while (match->block_count > blocks) free(match->blocks[--match->block_count]);
    if (status != WMK_OK) return wmk_fail_within(status, "%s", wmk_model_path(match->model));
    status = wmk_evidence_judge(&evidence, match->key, reading, 1, WMK_THRESHOLD_BITS_DEFAULT);
    wmk_reading_free(reading);
    c->log10_p = evidence.log10_p_soft < evidence.log10_p_hard ? evidence.log10_p_soft : evidence.log10_p_hard;
    c->z = evidence.z;
    return status;
}

/* Views of a model that has none of the key's targets. */
static wmk_status no_views(wmk_tensor_view **out, const wmk_match *match)
{
    wmk_match empty;
    WMK_TRY(wmk_match_begin(&empty, match->model, match->key));
    *out = empty.views;
    empty.views = NULL;
    wmk_match_free(&empty);
    return WMK_OK;
}

static wmk_status choose_order(wmk_match *match, size_t t, wmk_tensor_view *views)
{
    size_t tensor = match->tensor[t];
    wmk_way first = match->fit[t].way;
    candidate expected = {t, tensor, first, 0, 0}, other = {t, tensor, first == WMK_WAY_ALONG ? WMK_WAY_ACROSS : WMK_WAY_ALONG, 0, 0};
    const void *bytes = match->views[t].data; /* also where they were unpacked */
    WMK_TRY(listen(&expected, match, views, bytes));
    WMK_TRY(listen(&other, match, views, bytes));
    if (!is_louder(&other, &expected)) return WMK_OK;
    match->fit[t].way = other.way;
    return wmk_match_view(match, t, tensor, other.way, bytes);
}

wmk_status wmk_choose_orders(wmk_match *match, wmk_price *price)
{
    wmk_tensor_view *views;
    size_t open = 0;
    *price = (wmk_price){NULL, 0};
    for (size_t t = 0; t < match->count; t++) open += match->fit[t].square;
    if (open == 0) return WMK_OK;
    WMK_TRY(wmk_alloc(&price->factor, open, sizeof *price->factor));
    wmk_status status = no_views(&views, match);
    if (status != WMK_OK) return status;
    for (size_t t = 0; status == WMK_OK && t < match->count; t++) {
        if (!match->fit[t].square) continue;
        price->factor[price->count++] = 2;
        status = choose_order(match, t, views);
    }
    free(views);
    return status;
}

/* ---- any tensor ---- */

typedef struct search {
    wmk_match *match;
    wmk_tensor_view *views; /* without data */
    candidate *heard;       /* [count] those that could be read */
    size_t count, capacity, looked_at;
    wmk_status unreadable; /* of the last that could not */
} search;

static wmk_status hear(search *s, candidate c, const void *bytes)
{
    wmk_status status = listen(&c, s->match, s->views, bytes);
    if (status == WMK_ERROR_INPUT) {
        s->unreadable = status;
        return WMK_OK;
    }
    WMK_TRY(status);
    if (s->count == s->capacity) {
        size_t capacity = s->capacity ? 2 * s->capacity : 64;
        WMK_TRY(wmk_resize(&s->heard, capacity, sizeof *s->heard));
        s->capacity = capacity;
    }
    s->heard[s->count++] = c;
    return WMK_OK;
}

/* All targets that this tensor could be. */
static wmk_status try_tensor(search *s, size_t index, uint64_t *factors)
{
    wmk_match *match = s->match;
    const wmk_model_tensor *tensor = wmk_model_tensor_at(match->model, index);
    void *unpacked = NULL;
    wmk_status status = WMK_OK;
    if (!wmk_is_readable(tensor)) return WMK_OK;
    for (size_t t = 0; status == WMK_OK && t < match->count; t++) {
        wmk_fit fit = wmk_fit_of(tensor, wmk_key_target(match->key, t));
        if (fit.way == WMK_WAY_NONE) continue;
        bool both = fit.square && fit.turned;
        factors[t] += both ? 2 : 1;
        if ((s->looked_at += 1) > PAIRS_MAX)
            status = wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: %s: more than %d ways to take tensors of a fitting shape for the key's",
                              wmk_model_path(match->model), PAIRS_MAX);
        if (status == WMK_OK && tensor->packed && !unpacked) {
            status = wmk_model_unpack(&unpacked, match->model, index);
            if (status == WMK_ERROR_INPUT) {
                s->unreadable = status;
                return WMK_OK;
            }
        }
        const void *bytes = unpacked ? unpacked : tensor->view.data;
        if (status == WMK_OK) status = hear(s, (candidate){t, index, fit.way, 0, 0}, bytes);
        if (status == WMK_OK && both) status = hear(s, (candidate){t, index, fit.way == WMK_WAY_ALONG ? WMK_WAY_ACROSS : WMK_WAY_ALONG, 0, 0}, bytes);
    }
    free(unpacked);
    return status;
}

static int by_loudness(const void *left, const void *right)
{
    const candidate *a = left, *b = right;
    if (is_louder(a, b)) return -1;
    if (is_louder(b, a)) return 1;
    if (a->target != b->target) return a->target < b->target ? -1 : 1;
    return a->tensor < b->tensor ? -1 : a->tensor > b->tensor;
}

/* The loudest first, as long as both sides are free. */
static wmk_status assign(search *s)
{
    wmk_match *match = s->match;
    bool *taken;
    WMK_TRY(wmk_alloc(&taken, wmk_model_tensor_count(match->model), sizeof *taken));
    qsort(s->heard, s->count, sizeof *s->heard, by_loudness);
    wmk_status status = WMK_OK;
    for (size_t i = 0; status == WMK_OK && i < s->count; i++) {
        const candidate *c = &s->heard[i];
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

wmk_status wmk_choose_any(wmk_match *match, wmk_price *price)
{
    search s = {.match = match, .unreadable = WMK_OK};
    size_t tensors = wmk_model_tensor_count(match->model);
    *price = (wmk_price){NULL, match->count};
    wmk_status status;
    WMK_TRY_GOTO(status, wmk_alloc(&price->factor, match->count, sizeof *price->factor), done);
    WMK_TRY_GOTO(status, no_views(&s.views, match), done);
    for (size_t i = 0; i < tensors; i++) WMK_TRY_GOTO(status, try_tensor(&s, i, price->factor), done);
    if (s.count == 0 && s.unreadable != WMK_OK)
        status = s.unreadable; /* its message is the last there was */
    else if (s.count == 0)
        status = wmk_fail(WMK_ERROR_MISSING, "%s: no tensor has the shape of the key's \"%.200s\"%s", wmk_model_path(match->model),
                          wmk_key_target(match->key, 0)->name, match->count > 1 ? ", or of another of its tensors" : "");
    else
        status = assign(&s);
    for (size_t t = 0; t < match->count; t++)
        if (price->factor[t] == 0) price->factor[t] = 1;
done:
    free(s.views);
    free(s.heard);
    return status;
}
