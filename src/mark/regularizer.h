/* mark/regularizer.h - what a regularizer keeps between steps. "Slots" are the positions of w in the views' own order, target after target, so that a
 * step runs through weights and gradients front to back; X is put into that order once. */
#ifndef WMK_MARK_REGULARIZER_H
#define WMK_MARK_REGULARIZER_H

#include "mark/carrier_balance.h"

#define WMK_X_KEPT_MAX ((uint64_t)1 << 26) /* elements of X kept in memory (256 MiB); more are made anew in each step */

struct wmk_regularizer {
    const wmk_key *key;
    uint32_t T;
    size_t count;
    bool mean, normalized;
    double kappa;
    wmk_tensor_view *views; /* [count] */
    wmk_place *place;       /* [count]; target t's slots begin at place[t].column */
    uint64_t m;
    uint8_t *b;                  /* [T] */
    double *w;                   /* [m] */
    double *diff_w;              /* [m] dE_R/dw */
    float *diff_mean;            /* [m] what every filter's gradient gets; carrier mean */
    double *squares;             /* [filters] carriers weights and balanced; balanced: RMS */
    struct wmk_balanced_target { /* [count] carrier balanced, else NULL */
        wmk_balance *balance;    /* NULL: the target is read as carrier weights */
        double *channel;         /* [channels] */
        uint32_t *channel_of;    /* [per_filter] of a position in the view's order */
        double *factor;          /* [per_filter] of that channel */
    } * balanced;
    double *inverse;                  /* mean: [count], weights: [filters]; 1 / RMS, or 1 */
    double *y, *length, *coefficient; /* [T] X_j . w; ||w restricted||, 1 when raw; dE_R / d(X_j . w) */
    /* scheme random */
    float *x;                       /* [T][m], or NULL: made anew */
    uint64_t *column;               /* [m] of a slot, when x is NULL */
    double *w_column, *diff_column; /* [m] in the order of columns, when x is NULL */
    /* the others */
    uint16_t *row; /* [m] */
    int8_t *sign;  /* [m] */
    uint32_t chunks;
    double *sums; /* [chunk][T][2] */
};

#endif
