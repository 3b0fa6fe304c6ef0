/* mark/carrier_tile.h - single weights of every size of model, in canonical runs: the views are walked in tiles that fit the cache, transposed
 * from the view's order into the canonical one, and each run comes with its rows and signs of X (scheme partition). */
#ifndef WMK_MARK_CARRIER_TILE_H
#define WMK_MARK_CARRIER_TILE_H

#include "mark/carrier.h"

#define WMK_STRIP_MAX 512 /* weights in a strip */
#define WMK_CHUNKS_MAX 64 /* parts of the work, each with its own sums: fixed, so that results do not depend on the number of threads */

/* Neighbouring filters at one position of the filter: neighbouring columns. */
typedef struct wmk_strip {
    double *value;         /* [count] the weights as stored, not yet divided; a visitor that writes puts the new ones here */
    const uint16_t *row;   /* [count] */
    const int8_t *sign;    /* [count] */
    const double *inverse; /* [count] 1 / RMS of the filters */
    uint64_t filter;       /* number of the first filter, over all targets */
    size_t count;
    wmk_dtype dtype;
    double *
        was; /* [count] of views with a codec, in walks that look at what was stored: room where `visit` keeps the old values for `after`; else NULL */
    const double *stored; /* [count] for `after`: what became of value */
    const double *shift;  /* [count] what wmk_tile_prepare put there for this position; NULL without one */
    double gain;          /* n / (n - 1) for groups of n positions (wmk_strips); 1 for n = 1 */
} wmk_strip;
/* chunk: in [0, WMK_CHUNKS_MAX); visits of one chunk come one after the other in a fixed order, chunks run at the same time. */
typedef void (*wmk_strip_visit)(void *payload, uint32_t chunk, const wmk_strip *strip);

/* All strips of one tile. Its positions form groups: those of one input channel's kernel, or all of them where the window is 1 x 1. */
typedef struct wmk_strips {
    const double *value; /* [positions][filters] */
    const uint16_t *row; /* the same */
    const int8_t *sign;
    uint64_t filter;
    size_t positions, filters;
    size_t groups; /* position p belongs to group p % groups */
    double gain;
    double *shift; /* [groups][filters] */
} wmk_strips;
/* Called before the strips of a tile are visited, to fill `shift`. */
typedef void (*wmk_tile_prepare)(void *payload, const wmk_strips *strips);

/* How many chunks wmk_tiles_walk will use. */
uint32_t wmk_tiles_chunks(const wmk_vector *vector);
/* Whether tiles can be written: false where the units that a codec stores together cross what a tile can hold. */
bool wmk_tiles_can_write(const wmk_place *place, const wmk_tensor_view *view);
typedef struct wmk_walk {
    wmk_tile_prepare prepare; /* may be NULL */
    wmk_strip_visit visit;
    wmk_strip_visit after; /* NULL, or: shown the same strip again when it was stored through a codec (others are rounded by the visitor itself) */
    void *payload;
    void *const *outputs;       /* NULL, or where the visitor's values go, each laid out as its view's data; may be that */
    uint64_t every;             /* above 1: a sample, about one tile in so many */
    const wmk_traffic *traffic; /* may be NULL; told nothing of a sample */
} wmk_walk;
/* Visits every weight that is there once. MEMORY; what `written` returned. */
wmk_status wmk_tiles_walk(const wmk_key *key, const wmk_vector *vector, const wmk_walk *walk);

#endif
