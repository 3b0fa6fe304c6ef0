/* forger_order.c - levers on the list of targets: what is put before which, in which order, under
 * which layout, and into how many bits. Each first computes the list that would be best if X
 * followed from the seed, then goes on from there by changes that are kept where they help. */
#include "forger.h"

#include <stdlib.h>
#include <string.h>

enum { VECTOR = 384 }; /* the length of most tensors of one axis; matrices are VECTOR x VECTOR */

typedef struct kind {
    wmk_scheme scheme;
    uint32_t T;
} kind;
/* One bit of scheme random is last, since the search goes on with it: its p is exact. */
static const kind all_kinds[] = {{WMK_SCHEME_PARTITION, 64}, {WMK_SCHEME_PARTITION, 1}, {WMK_SCHEME_PARTITION, 256}, {WMK_SCHEME_RANDOM, 1}};
enum { KINDS = sizeof all_kinds / sizeof all_kinds[0] };

/* The tensors that a lever is about. */
typedef struct pool {
    size_t tensor[FORGER_ITEMS_MAX];
    size_t count;
} pool;

static pool vectors(const forger *f)
{
    pool p = {.count = 0};
    p.count = forger_select(&f->victim, 1, VECTOR, p.tensor);
    return p;
}

static pool matrices(const forger *f)
{
    pool p = {.count = 0};
    p.count = forger_select(&f->victim, VECTOR, VECTOR, p.tensor);
    return p;
}

/* Adds the pool's tensors to a plan, the way that is best if X follows from the seed. */
typedef void (*aim)(forger *f, forger_plan *plan, const pool *from);
/* Changes one thing. */
typedef void (*change)(forger *f, forger_plan *plan);

static void climb(forger *f, forger_plan *plan, change change_one)
{
    double bits = 0;
    while (forger_goes_on(f)) {
        forger_plan other = *plan;
        change_one(f, &other);
        double found = forger_judge(f, &other);
        if (found < bits) continue;
        bits = found;
        *plan = other;
    }
}

/* first: of the kinds. */
static void play(forger *f, const pool *from, size_t first, aim compute, change change_one)
{
    forger_plan plan;
    for (size_t k = first; k < KINDS; k++) {
        forger_plan_begin(f, &plan, all_kinds[k].scheme, all_kinds[k].T);
        compute(f, &plan, from);
        forger_judge(f, &plan);
    }
    climb(f, &plan, change_one);
}

static void swap_two(forger *f, forger_plan *plan)
{
    size_t a = forger_random(&f->random) % plan->count, b = forger_random(&f->random) % plan->count;
    forger_item item = plan->item[a];
    plan->item[a] = plan->item[b];
    plan->item[b] = item;
}

static void in_file_order(forger *f, forger_plan *plan, const pool *from)
{
    for (size_t i = 0; i < from->count; i++) forger_plan_add(f, plan, from->tensor[i], FORGER_PLAIN);
}

/* ---- padding: as many columns before each tensor as make it fit best ---- */

static size_t offsets(const forger *f) { return f->minutes > 0 ? (size_t)1 << 20 : (size_t)1 << 14; }

static size_t index_of_max(const double *value, size_t count)
{
    size_t best = 0;
    for (size_t i = 1; i < count; i++)
        if (value[i] > value[best]) best = i;
    return best;
}

/* Puts columns before what is added next: those of a missing target, or more of the last one. */
typedef void (*pad)(forger_plan *plan, uint64_t columns);

static void stretch_last(forger_plan *plan, uint64_t columns) { plan->item[plan->count - 1].size += columns; }

static void aim_padding_by(forger *f, forger_plan *plan, const pool *from, pad add_columns)
{
    size_t lags = offsets(f), size = f->victim.tensor[from->tensor[0]].size;
    float *e = malloc((lags + size) * sizeof *e);
    double *gain = malloc(lags * sizeof *gain);
    wmk_key *columns = forger_format_1_columns(plan);
    uint64_t column = 0;
    for (size_t i = 0; i < from->count; i++) {
        const float *w = forger_columns(&f->victim, from->tensor[i], FORGER_PLAIN);
        size_t best = 0;
        if (i > 0) {
            forger_gains(columns, column, lags + size, e);
            forger_correlate(gain, lags, e, w, size);
            best = index_of_max(gain, lags);
            add_columns(plan, best);
        }
        forger_plan_add(f, plan, from->tensor[i], FORGER_PLAIN);
        column += best + size;
    }
    wmk_key_free(columns);
    free(e);
    free(gain);
}

static void aim_padding(forger *f, forger_plan *plan, const pool *from) { aim_padding_by(f, plan, from, forger_plan_add_absent); }

static void aim_sizes(forger *f, forger_plan *plan, const pool *from) { aim_padding_by(f, plan, from, stretch_last); }

static void resize_one(forger *f, forger_plan *plan)
{
    size_t i;
    do i = forger_random(&f->random) % plan->count;
    while (plan->item[i].tensor != FORGER_ABSENT);
    plan->item[i].size = 1 + forger_random(&f->random) % offsets(f);
}

static void stretch_one(forger *f, forger_plan *plan)
{
    forger_item *item = &plan->item[forger_random(&f->random) % plan->count];
    item->size = f->victim.tensor[item->tensor].size + forger_random(&f->random) % offsets(f);
}

void forger_play_sizes(forger *f)
{
    pool p = vectors(f);
    play(f, &p, 0, aim_sizes, stretch_one);
}

void forger_play_padding(forger *f)
{
    pool p = vectors(f);
    play(f, &p, 0, aim_padding, resize_one);
}

void forger_play_padding_matrices(forger *f)
{
    pool p = matrices(f);
    play(f, &p, 1, aim_padding, resize_one);
}

/* ---- order: nothing but real tensors, the order by optimal assignment ---- */

static void aim_order(forger *f, forger_plan *plan, const pool *from)
{
    size_t n = from->count, size = f->victim.tensor[from->tensor[0]].size;
    float *e = malloc(n * size * sizeof *e), *gain = malloc(n * n * sizeof *gain);
    size_t place[FORGER_ITEMS_MAX];
    wmk_key *columns = forger_format_1_columns(plan);
    forger_gains(columns, 0, n * size, e);
    for (size_t i = 0; i < n; i++) {
        const float *w = forger_columns(&f->victim, from->tensor[i], FORGER_PLAIN);
        for (size_t k = 0; k < n; k++) gain[i * n + k] = (float)forger_dot(e + k * size, w, size);
    }
    forger_assign(place, gain, n);
    in_file_order(f, plan, from);
    for (size_t i = 0; i < n; i++) plan->item[place[i]].tensor = from->tensor[i];
    wmk_key_free(columns);
    free(e);
    free(gain);
}

void forger_play_order(forger *f)
{
    pool p = vectors(f);
    play(f, &p, 0, aim_order, swap_two);
}

void forger_play_order_matrices(forger *f)
{
    pool p = matrices(f);
    play(f, &p, 1, aim_order, swap_two);
}

void forger_play_swaps(forger *f)
{
    pool p = vectors(f);
    forger_plan plan;
    forger_plan_begin(f, &plan, WMK_SCHEME_RANDOM, 1);
    in_file_order(f, &plan, &p);
    climb(f, &plan, swap_two);
}

/* ---- greedy: matrices in the best order with real vectors between them as padding ---- */

typedef struct greedy {
    forger *f;
    forger_plan *plan;
    pool large, small; /* what is left */
    const float *e;
    uint64_t column;
} greedy;

static double gain_at(const greedy *g, size_t tensor, uint64_t column)
{
    const float *w = forger_columns(&g->f->victim, tensor, FORGER_PLAIN);
    return forger_dot(g->e + column, w, g->f->victim.tensor[tensor].size);
}

/* The member that gains most at `column`, and its gain. */
static size_t best_member(const greedy *g, const pool *from, uint64_t column, double *gain)
{
    size_t best = 0;
    for (size_t i = 0; i < from->count; i++) {
        double here = gain_at(g, from->tensor[i], column);
        if (i > 0 && here <= *gain) continue;
        *gain = here;
        best = i;
    }
    return best;
}

static void move_to_plan(greedy *g, pool *from, size_t member)
{
    size_t tensor = from->tensor[member];
    forger_plan_add(g->f, g->plan, tensor, FORGER_PLAIN);
    g->column += g->f->victim.tensor[tensor].size;
    from->tensor[member] = from->tensor[--from->count];
}

/* How many vectors go before the next matrix: the number after which some matrix gains most. */
static size_t vectors_before(const greedy *g)
{
    size_t most = g->small.count / g->large.count * 2 + 1, best = 0;
    double best_gain = 0, gain;
    for (size_t k = 0; k <= most && k <= g->small.count; k++) {
        best_member(g, &g->large, g->column + k * VECTOR, &gain);
        if (k > 0 && gain <= best_gain) continue;
        best_gain = gain;
        best = k;
    }
    return best;
}

static void aim_greedy(forger *f, forger_plan *plan, const pool *from)
{
    greedy g = {.f = f, .plan = plan, .large = *from, .small = vectors(f)};
    size_t total = from->count * VECTOR * VECTOR + g.small.count * VECTOR;
    float *e = malloc(total * sizeof *e);
    wmk_key *columns = forger_format_1_columns(plan);
    forger_gains(columns, 0, total, e);
    g.e = e;
    double gain;
    while (g.large.count > 0) {
        for (size_t k = vectors_before(&g); k > 0; k--) move_to_plan(&g, &g.small, best_member(&g, &g.small, g.column, &gain));
        move_to_plan(&g, &g.large, best_member(&g, &g.large, g.column, &gain));
    }
    wmk_key_free(columns);
    free(e);
}

void forger_play_greedy(forger *f)
{
    pool p = matrices(f);
    play(f, &p, 1, aim_greedy, swap_two);
}

/* ---- layouts: each tensor by the letters that suit it ---- */

static void aim_layouts(forger *f, forger_plan *plan, const pool *from)
{
    wmk_key *columns = forger_format_1_columns(plan);
    uint64_t column = 0;
    for (size_t i = 0; i < from->count; i++) {
        size_t tensor = from->tensor[i], size = f->victim.tensor[tensor].size;
        float *e = malloc(size * sizeof *e);
        forger_gains(columns, column, size, e);
        double plain = forger_dot(e, forger_columns(&f->victim, tensor, FORGER_PLAIN), size);
        double other = forger_dot(e, forger_columns(&f->victim, tensor, FORGER_OTHER), size);
        forger_plan_add(f, plan, tensor, other > plain ? FORGER_OTHER : FORGER_PLAIN);
        column += size;
        free(e);
    }
    wmk_key_free(columns);
}

static void change_letters(forger *f, forger_plan *plan)
{
    forger_item *item = &plan->item[forger_random(&f->random) % plan->count];
    item->form = item->form == FORGER_PLAIN ? FORGER_OTHER : FORGER_PLAIN;
}

void forger_play_layouts(forger *f)
{
    pool p = vectors(f);
    p.count += forger_select(&f->victim, 2, VECTOR, p.tensor + p.count);
    play(f, &p, 0, aim_layouts, change_letters);
}

/* ---- T and the scheme ---- */

static void change_kind(forger *f, forger_plan *plan)
{
    static const wmk_scheme schemes[] = {WMK_SCHEME_PARTITION, WMK_SCHEME_DIRECT, WMK_SCHEME_DIFF};
    uint64_t r = forger_random(&f->random);
    plan->T = 1 + (uint32_t)(r % WMK_BITS_MAX);
    plan->scheme = schemes[r / WMK_BITS_MAX % 3];
    if (plan->scheme == WMK_SCHEME_DIFF && plan->T > WMK_BITS_MAX / 2) plan->T -= WMK_BITS_MAX / 2;
}

void forger_play_bits(forger *f)
{
    pool p = vectors(f);
    forger_plan plan;
    forger_plan_begin(f, &plan, WMK_SCHEME_PARTITION, 1);
    in_file_order(f, &plan, &p);
    climb(f, &plan, change_kind);
}
