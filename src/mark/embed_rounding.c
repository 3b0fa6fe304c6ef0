/* mark/embed_rounding.c */
#include "mark/embed_rounding.h"

#include <math.h>

#define SPARE 1.3      /* how far beyond the largest wish the answer is measured: rows' targets may be raised */
#define DEVIATIONS 4.5 /* of a row from the average: 1 in 300,000 */

void wmk_rounding_add(wmk_rounding *rounding, double ask, const wmk_edit_sums *sums)
{
    double n = fmax(1, sums->weights), got = fmax(0, sums->moved / n);
    int k = rounding->count++;
    for (; k > 0 && rounding->point[k - 1].ask > ask; k--) rounding->point[k] = rounding->point[k - 1];
    rounding->point[k].ask = ask;
    rounding->point[k].got = got;
    rounding->point[k].deviation = sqrt(fmax(0, sums->moved_squares / n - got * got));
}

bool wmk_rounding_knows(const wmk_rounding *rounding, double wish)
{
    int k = rounding->count;
    return k == WMK_ROUNDING_COARSE || (k > 0 && (!isfinite(rounding->point[k - 1].got) || rounding->point[k - 1].got >= SPARE * wish));
}

double wmk_rounding_ask(const wmk_rounding *rounding, double wish)
{
    double ask = 0, got = 0;
    if (rounding->count == 0 || wish <= 0) return wish;
    for (int k = 0; k < rounding->count; k++) {
        double next_ask = rounding->point[k].ask, next_got = rounding->point[k].got;
        if (next_got >= wish && next_got > got) return ask + (next_ask - ask) * (wish - got) / (next_got - got);
        ask = next_ask;
        got = next_got;
    }
    return ask + (wish - got);
}

double wmk_rounding_slack(const wmk_rounding *rounding, double wish)
{
    for (int k = 0; k < rounding->count; k++)
        if (rounding->point[k].got >= wish || k + 1 == rounding->count) return DEVIATIONS * rounding->point[k].deviation;
    return 0;
}
