/* mark/carrier_tile.h - single weights of every size of model, each with what its column of X was dealt (scheme partition): the views are walked in tiles that fit the cache, and shown
 * in the order in which they lie in memory; it is the deals that are brought into that order. */
#ifndef WMK_MARK_CARRIER_TILE_H
#define WMK_MARK_CARRIER_TILE_H

#include "mark/carrier_cut.h"
#include "mark/deal_kernel.h"

#define WMK_CHUNKS_MAX 64 /* parts of the work, each with its own sums: fixed, so that results do not depend on the number of threads */

/* Some weights: strips of neighbouring filters, or one strip of one filter's. */
typedef struct wmk_block {
    double *value; /* [strips][length] the weights as stored, not yet divided; in walks with rooms the visitor fetches them (wmk_block_fetch) */
    const uint16_t *deal; /* the same */
    size_t strips, length;
    uint64_t filter;         /* number of the first filter, over all targets */
    wmk_factor inverse, rms; /* of each weight, by which it is divided, and the inverse of that; wmk_factor_from for a strip */
    /* Carrier balanced, one filter: inverse and rms are the filter's alone until wmk_block_factors brings the input channels' factors in. */
    struct wmk_block_channels {
        const double *factor, *factor_rms; /* [length]; factor is NULL where there is nothing to bring in */
        const float *f32, *rms_f32;        /* the same, in walks with rooms; */
        double largest;                    /* of all of these in the tile */
        double *inverse, *rms;             /* [length] room */
    } channels;
    /* The rest only in walks with `rooms`, which show no part of a filter's weights in a tile without the others. */
    size_t groups, step;           /* weight i is of group i / step % groups (wmk_tile_map) */
    bool whole;                    /* one filter, and all of it; */
    bool one_run;                  /* which is one run of the view, for wmk_view_filter_squares too */
    uint64_t per_filter;           /* weights of a filter */
    double *exact, *stored;        /* [strips][length] for the visitor */
    float *v, *change, *direction; /* the same */
    struct wmk_block_place {
        bool damaged; /* what is no number is read as 0 */
        const wmk_tensor_view *view;
        const wmk_place *place;
        const wmk_tile_map *map;
        uint64_t base;   /* added to the map's elements */
        void *output;    /* NULL: nowhere */
        uint64_t first;  /* the element at output */
        double *scratch; /* [strips][length] */
    } place;             /* for the functions below */
} wmk_block;
/* Makes `inverse` and `rms` those of every weight. Walks without rooms have done so. */
void wmk_block_factors(wmk_block *block);
/* The weights [k, k + count) as they are. Here and below k and count are multiples of the codec's granule, if there is one. */
void wmk_block_fetch(const wmk_block *block, size_t k, size_t count, double *value);
/* Stores them, rounded to the view's type: where the walk's output is, or in room of its own when there is none. */
void wmk_block_write(const wmk_block *block, size_t k, size_t count, const double *exact);
/* What was stored. */
void wmk_block_read(const wmk_block *block, size_t k, size_t count, double *stored);
/* Bytes of a plain view: of weight k, which those of its run follow, as they are and as they are stored. */
const void *wmk_block_source(const wmk_block *block, size_t k);
void *wmk_block_target(const wmk_block *block, size_t k);
/* Of `whole` and an output: the sum of squares of the filter as it was stored, the same that wmk_view_filter_squares finds. */
double wmk_block_squares(const wmk_block *block);
/* The number of weight i in the view. */
uint64_t wmk_block_element(const wmk_block *block, size_t i);
/* chunk: in [0, WMK_CHUNKS_MAX); visits of one chunk come one after the other in a fixed order, chunks run at the same time. */
typedef void (*wmk_block_visit)(void *payload, uint32_t chunk, const wmk_block *block);

/* How many chunks wmk_tiles_walk will use. */
uint32_t wmk_tiles_chunks(const wmk_vector *vector);
typedef struct wmk_walk {
    wmk_block_visit visit;
    void *payload;
    bool rooms;                 /* the visitor fetches, changes and stores the weights itself, and has room for it */
    void *const *outputs;       /* NULL, or where wmk_block_write puts values, each laid out as its view's data; may be that */
    bool trial;                 /* only views with a codec need their outputs for it: what others are stored as goes into room of its own */
    bool in_turn;               /* one chunk after the other, by one thread: outputs share bytes, and the later target's count */
    uint64_t every;             /* above 1: a sample, about one weight in so many */
    const wmk_traffic *traffic; /* may be NULL; of a sample only `passed` is told */
} wmk_walk;
/* Visits every weight that is there once. MEMORY; what `written` returned. */
wmk_status wmk_tiles_walk(const wmk_key *key, const wmk_vector *vector, const wmk_walk *walk);
/* Whether walks with outputs show target t's filters whole. */
bool wmk_tiles_whole(const wmk_vector *vector, size_t t);

#endif
