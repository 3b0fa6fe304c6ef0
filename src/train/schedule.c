/* train/schedule.c - the table of schedules. */
#include <math.h>
#include <string.h>

#include "train/schedule.h"

#define PI 3.14159265358979323846

static double constant(double rate, uint64_t step, uint64_t steps)
{
    (void)step, (void)steps;
    return rate;
}

/* The watermark paper's (section 4.1): times 0.2 at epochs 60, 120, 160 of 200, here at 30, 60 and 80 % of the steps. */
static double paper(double rate, uint64_t step, uint64_t steps)
{
    const uint64_t tenths[] = {3, 6, 8};
    for (size_t i = 0; i < 3; i++)
        if (step * 10 >= tenths[i] * steps) rate *= 0.2;
    return rate;
}

/* Half a cosine from rate to (nearly) 0 (Loshchilov, Hutter 2017, without restarts). */
static double cosine(double rate, uint64_t step, uint64_t steps) { return rate / 2 * (1 + cos(PI * (double)step / (double)steps)); }

static double half_cosine(double from, double to, double share) { return to + (from - to) / 2 * (1 + cos(PI * share)); }

/* One cycle (Smith, Topin 2019) as torch.optim.lr_scheduler.OneCycleLR with its defaults: from rate / 25 up to rate over the first 30 % of the
 * steps, then down to rate / 25 / 10^4, both along half a cosine. */
static double onecycle(double rate, uint64_t step, uint64_t steps)
{
    const double first = rate / 25, last = first / 1e4, top = 0.3 * (double)steps - 1, end = (double)steps - 1, at = (double)step;
    if (at <= top) return top > 0 ? half_cosine(first, rate, at / top) : rate;
    return end > top ? half_cosine(rate, last, (at - top) / (end - top)) : last;
}

wmk_status wmk_schedule_find(wmk_schedule *out, const char *name)
{
    static const struct {
        const char *name;
        wmk_schedule schedule;
    } table[] = {{"paper", paper}, {"onecycle", onecycle}, {"cosine", cosine}, {"constant", constant}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!strcmp(name, table[i].name)) {
            *out = table[i].schedule;
            return WMK_OK;
        }
    return wmk_fail(WMK_ERROR_ARGUMENT, "schedule \"%s\" is not known; there are paper, onecycle, cosine, constant", name);
}
