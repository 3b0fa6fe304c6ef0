/* attack/prune.c - sets a share of the weights to zero, in one of three orders (paper section 4.3.2, figure 5). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "attack/attack.h"
#include "base/memory.h"

typedef struct ranked {
    double rank;
    size_t index;
} ranked;

/* A total order: equal ranks go by index. */
static bool is_before(const ranked *a, const ranked *b) { return a->rank != b->rank ? a->rank < b->rank : a->index < b->index; }

static void swap(ranked *a, ranked *b)
{
    ranked kept = *a;
    *a = *b;
    *b = kept;
}

/* Steele, Lea, Flood 2014: splitmix64, one step. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* Puts the `first` that come first into ranks[0 .. first), in no order (Hoare's quickselect; a random pivot, so that no input is a bad one). */
static void select_first(ranked *ranks, size_t count, size_t first)
{
    size_t low = 0, high = count; /* the boundary lies within [low, high] */
    uint64_t state = count;
    for (size_t span; (span = high - low) > 1 && first > low && first < high;) {
        swap(&ranks[low + next_random(&state) % span], &ranks[high - 1]);
        size_t pivot = low;
        for (size_t i = low; i + 1 < high; i++)
            if (is_before(&ranks[i], &ranks[high - 1])) swap(&ranks[i], &ranks[pivot++]);
        swap(&ranks[pivot], &ranks[high - 1]);
        if (first <= pivot)
            high = pivot;
        else
            low = pivot + 1;
    }
}

wmk_status wmk_prune(double *weights, size_t count, double rate, wmk_prune_order order, uint64_t seed)
{
    if (!(rate >= 0 && rate <= 1)) return wmk_fail(WMK_ERROR_ARGUMENT, "prune: rate %g is not between 0 and 1", rate);
    size_t zeros = (size_t)llround(rate * (double)count);
    ranked *ranks;
    WMK_TRY(wmk_alloc(&ranks, count, sizeof *ranks));
    for (size_t i = 0; i < count; i++) {
        double rank = isnan(weights[i]) ? HUGE_VAL : fabs(weights[i]); /* NaN has no order: it counts as large */
        if (order == WMK_PRUNE_DESCENDING) rank = -rank;
        if (order == WMK_PRUNE_RANDOM) rank = (double)(next_random(&seed) >> 11);
        ranks[i] = (ranked){rank, i};
    }
    select_first(ranks, count, zeros);
    for (size_t i = 0; i < zeros; i++) weights[ranks[i].index] = 0;
    free(ranks);
    return WMK_OK;
}

typedef struct prune_context {
    double rate;
    wmk_prune_order order;
} prune_context;

static wmk_status parse(void **out, const char *const *values)
{
    static const char *const orders[] = {"ascending", "descending", "random"};
    char *end;
    prune_context context = {wmk_number(values[0], &end), WMK_PRUNE_ASCENDING};
    if (end == values[0] || *end || !(context.rate >= 0 && context.rate <= 1))
        return wmk_fail(WMK_ERROR_ARGUMENT, "prune: rate \"%s\" is not a number between 0 and 1", values[0]);
    size_t order = 0;
    while (order < 3 && strcmp(orders[order], values[1]) != 0) order++;
    if (order == 3) return wmk_fail(WMK_ERROR_ARGUMENT, "prune: order \"%s\" is none of ascending, descending, random", values[1]);
    context.order = (wmk_prune_order)order;
    prune_context *kept;
    WMK_TRY(wmk_alloc(&kept, 1, sizeof *kept));
    *kept = context;
    *out = kept;
    return WMK_OK;
}

static wmk_status apply(const void *context, double *weights, size_t count, uint64_t seed)
{
    const prune_context *prune = context;
    return wmk_prune(weights, count, prune->rate, prune->order, seed);
}

static const wmk_attack_parameter parameters[] = {
    {"rate", "R", NULL, "share of each tensor's weights to set to zero, 0 to 1"},
    {"order", "ORDER", "ascending", "ascending (smallest first: real pruning), descending or random"},
};

const wmk_attack wmk_attack_prune = {
    "prune", "set the smallest weights of each layer to zero", parameters, sizeof parameters / sizeof parameters[0], parse, apply};
