/* mark/embed_cost.c - what a margin costs, before anything is embedded.
 *
 * A row of n = M / T weights is a vector of length L; its score y is sqrt(n) times the cosine of its angle to the row's signs. The smallest change that makes
 * the score m turns it by the difference of two angles: L sin(acos(y / sqrt n) - acos(m / sqrt n)), which is L (m - y) / sqrt n where n is large. */
#include <math.h>

#include "base/secret.h"
#include <weightmark/mark.h>

/* In a model made without the key y is N(0,1): E max(0, m - y)^2 = (m^2 + 1) P(y < m) + m p(m). */
double wmk_mark_cost(uint64_t weights, uint32_t bits, double margin)
{
    double n = (double)weights / bits, density = exp(-margin * margin / 2) / sqrt(2 * acos(-1)), below = erfc(-margin / sqrt(2)) / 2;
    if (!(margin > 0) || !(margin * margin < n)) return margin <= 0 ? 0 : INFINITY;
    return sqrt(((margin * margin + 1) * below + margin * density) / n);
}

typedef struct cost_call {
    const wmk_key *key;
    const wmk_reading *present;
    double margin, root, cost;
} cost_call;

static void find_cost(void *argument)
{
    cost_call *call = argument;
    const wmk_reading *present = call->present;
    uint8_t b[WMK_BITS_MAX];
    double margin = call->margin, root = call->root, squares = 0;
    wmk_key_bits(call->key, b);
    for (uint32_t j = 0; j < present->T; j++) {
        double score = b[j] ? present->score[j] : -present->score[j];
        if (score >= margin) continue;
        double turn = sin(acos(fmax(-1, score / root)) - acos(margin / root));
        squares += turn * turn;
    }
    call->cost = sqrt(squares / present->T);
}

double wmk_mark_cost_now(const wmk_key *key, const wmk_reading *present, double margin)
{
    cost_call call = {key, present, margin, sqrt((double)present->weights_read / present->T), 0};
    if (!(margin > 0) || !(margin < call.root)) return margin <= 0 ? 0 : INFINITY;
    wmk_secret_call(find_cost, &call);
    return call.cost;
}
