/* mark/embed_rounding.h - what stored types make of small changes.
 *
 * A model's weights lie on the grid of their type already. A change below half a step vanishes, one above becomes a whole step: on average over many weights, whose steps differ, a
 * change asked for becomes another one. That answer is measured on a sample and inverted, so that what is stored holds the margin the first time it is written. To let the weights with
 * the smallest steps move, and by whole steps, is also what costs least: a step s brings s and costs s^2. */
#ifndef WMK_MARK_EMBED_ROUNDING_H
#define WMK_MARK_EMBED_ROUNDING_H

#include <stdbool.h>

#define WMK_ROUNDING_STEP 1.25
#define WMK_ROUNDING_COARSE 40
#define WMK_ROUNDING_POINTS 72

/* Sums over weights of which each was asked to change by the same, in units of its filter's RMS, in its row's direction. */
typedef struct wmk_edit_sums {
    double moved, moved_squares; /* by how much they did */
    double weights;              /* of filters that are not all zeros */
} wmk_edit_sums;

/* The answer: on average `got` where `ask` was wanted, with a deviation from weight to weight. */
typedef struct wmk_rounding {
    int count; /* 0: all types are exact enough */
    struct {
        double ask, got, deviation;
    } point[WMK_ROUNDING_POINTS]; /* ask ascends; got about so */
} wmk_rounding;

void wmk_rounding_add(wmk_rounding *rounding, double ask, const wmk_edit_sums *sums);
/* No more points are needed for changes up to `wish`, or there is no room. */
bool wmk_rounding_knows(const wmk_rounding *rounding, double wish);
/* What must be asked for to get `wish`, 0 or more. */
double wmk_rounding_ask(const wmk_rounding *rounding, double wish);
/* By how much a row's score may fall short of the average, where changes up to `wish` are made. */
double wmk_rounding_slack(const wmk_rounding *rounding, double wish);

#endif
