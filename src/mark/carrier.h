/* mark/carrier.h - the carrier vector w in R^M, from weight tensors of any float type and layout (docs/spec.md, "Carriers and reading"). */
#ifndef WMK_MARK_CARRIER_H
#define WMK_MARK_CARRIER_H

#include "base/status.h"
#include <weightmark/mark.h>

enum { WMK_AXIS_D, WMK_AXIS_H, WMK_AXIS_W, WMK_AXIS_I, WMK_AXES };

/* What goes on with the views' bytes, for those who keep memory small, write elsewhere or show progress. Each may be NULL (apart needs `written`); called by any thread. */
typedef struct wmk_traffic {
    void *payload;
    void (*walked)(void *payload, uint64_t bytes);                   /* so many were read */
    void (*passed)(void *payload, const void *data, uint64_t bytes); /* these will not be read until the next pass, if any of them were */
    /* The bytes from `offset` on of outputs[target] are as they shall be: there or, where data is not NULL, at data until it returns. One call at a time. */
    wmk_status (*written)(void *payload, size_t target, uint64_t offset, uint64_t bytes, const void *data);
    const bool *apart; /* NULL, or [targets] whether `written` takes data in place of outputs[target], for all of a target's bytes or none */
} wmk_traffic;
/* Tells of bytes that were read, if anybody wants to know; traffic may be NULL. */
void wmk_traffic_read(const wmk_traffic *traffic, const void *data, uint64_t bytes);

/* How one view stores one target. Axes that a layout lacks have extent 1. Filter f's canonical position p = ((d H + h) W + w) I + i. */
typedef struct wmk_place {
    uint64_t extent[WMK_AXES], stride[WMK_AXES]; /* elements; stride: from one index to the next in the view */
    uint64_t filters, filter_stride;
    uint64_t per_filter;   /* product of extent */
    uint64_t outer, inner; /* the view is [outer][filters][inner] */
    uint64_t column;       /* the target's first column of X */
    uint64_t filter;       /* the number of its first filter, counted over all targets */
    uint64_t channels;     /* input channels that carrier balanced gives a factor of their own */
    uint64_t channel;      /* the number of the first, counted over all targets */
} wmk_place;

#define WMK_FACTOR_MAX 0x1p1000 /* carrier balanced: a weight that is smaller than 1 over this is not brought to size 1 */

/* w of a key in some views. */
typedef struct wmk_vector {
    const wmk_tensor_view *views; /* [count], borrowed */
    wmk_place *place;             /* [count] */
    size_t count;
    wmk_carrier carrier;
    bool normalized;  /* all but the mean of a single target */
    uint64_t m;       /* columns */
    uint64_t filters; /* over all targets */
    double *mean;     /* carrier mean: w, [m] */
    double *rms;      /* what the weights were divided by, 0 where there was nothing to divide. mean: [count], 1 when raw; weights: [filters] */
    double *inverse;  /* 1 / rms, 0 for 0 */
    double *channel, *channel_rms; /* carrier balanced: [channels over all targets] factor of an input channel, and 1 / that; else NULL */
    bool *damaged;                 /* [count] it holds what is no number, and counts as 0 */
    uint64_t weights_read, weights_missing, weights_lost; /* lost: no numbers, or of filters whose squares overflow */
    const wmk_traffic *traffic;                           /* borrowed; may be NULL */
} wmk_vector;

/* Checks the views against the key's targets and takes means or root mean squares. Statuses as wmk_mark_read. */
wmk_status wmk_vector_open(wmk_vector *out, const wmk_key *key, const wmk_tensor_view *views, const wmk_traffic *traffic);
void wmk_vector_close(wmk_vector *vector); /* a zeroed one is allowed */

/* w of columns [column, column + count). Any order of calls; slow next to the tiles of carrier_tile.h where a view is not in canonical order. */
void wmk_vector_block(const wmk_vector *vector, uint64_t column, size_t count, double *w);
/* By how much weight (p, filter) of target t changes when its column of w changes by 1. */
double wmk_vector_unit(const wmk_vector *vector, size_t t, uint64_t p, uint64_t filter);
/* The first column from `column` < m on that belongs to a target that is there; m: none. */
uint64_t wmk_vector_next(const wmk_vector *vector, uint64_t column);

/* Places of all targets, views checked (shape, dtype, finiteness not yet). place [target count]; *filters and *channels may be NULL. */
wmk_status wmk_places_make(wmk_place *place, const wmk_key *key, const wmk_tensor_view *views, uint64_t *filters, uint64_t *channels);
/* Element number of canonical position p of filter f in the view. */
uint64_t wmk_place_element(const wmk_place *place, uint64_t p, uint64_t filter);
/* position[u * inner + q] = the canonical position p of the elements (u, any filter, q); [per_filter]. */
void wmk_place_positions(const wmk_place *place, uint64_t *position);

/* squares [filters]: the sum of squares of each filter. Threads; the result does not depend on their number. */
void wmk_view_filter_squares(const wmk_tensor_view *view, const wmk_place *place, double *squares, const wmk_traffic *traffic);
/* The same of one filter. Where that is one run it is the sum of wmk_squares_f64 over so many elements at a time. */
#define WMK_SQUARES_BLOCK 1024
void wmk_view_filter_square(const wmk_tensor_view *view, const wmk_place *place, uint64_t filter, double *square);
/* sums [outer * inner]: the sum over filters, in the view's order. The same. */
void wmk_view_filter_sums(const wmk_tensor_view *view, const wmk_place *place, double *sums);
/* Puts 0 for what is no number; how many there were. */
uint64_t wmk_values_clean(double *value, size_t count);
/* Brings a run into the cache that will be read next and that no run before it leads to. */
void wmk_view_fetch(const wmk_tensor_view *view, uint64_t element, size_t count);
/* `count` elements from number `element` on, as double. */
void wmk_view_read(const wmk_tensor_view *view, uint64_t element, size_t count, double *out);
/* Of the view's data. */
uint64_t wmk_view_bytes(const wmk_tensor_view *view, const wmk_place *place);
/* INPUT, naming the first element of tensor `name` that is no finite number, or one whose square is not. */
wmk_status wmk_view_not_finite(const wmk_tensor_view *view, const wmk_place *place, const char *name);
/* The name to put into a message. */
const char *wmk_view_name(const wmk_key *key, const wmk_tensor_view *views, size_t target);

#endif
