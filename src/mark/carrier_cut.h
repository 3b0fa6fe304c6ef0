/* mark/carrier_cut.h - how a target's weights are cut into tiles that fit the cache, and where a tile's weights lie in the view. */
#ifndef WMK_MARK_CARRIER_CUT_H
#define WMK_MARK_CARRIER_CUT_H

#include "mark/carrier.h"

#define WMK_CUT_AXES (WMK_AXES + 1) /* the axes of a filter, and the filters */
#define WMK_CUT_FILTERS WMK_AXES

/* Tiles are numbered as they lie in memory; those with the same place on the outermost axis are a panel, one stretch of bytes. Where filters are neighbours in memory (layouts that end in
 * O) a tile is [canonical positions][filters], else [filters][positions in the order of memory]. */
typedef struct wmk_cut {
    int axis[WMK_CUT_AXES]; /* innermost first */
    uint64_t block[WMK_CUT_AXES], tiles[WMK_CUT_AXES], count;
    uint64_t panel_tiles; /* tiles in a panel */
    size_t first_panel;   /* its number over all targets; the caller's */
    /* by_filter: [filters][positions], else [positions][filters]. All else is false without it. whole: a tile holds all positions of its filters. stretch: it is whole, and one stretch of bytes
     * (filters outermost). in_order: positions lie in memory in canonical order (OI, OHWI; not OIHW). */
    bool by_filter, whole, stretch, in_order;
} wmk_cut;

/* limit: weights in a tile, about, where it goes filter by filter. wide: few positions (one window at least) of many filters, where there are many, rather than whole filters. */
wmk_cut wmk_cut_make(const wmk_place *place, const wmk_tensor_view *view, uint64_t limit, bool wide);
size_t wmk_cut_positions(const wmk_cut *cut);
/* Bytes [*offset, + *size) of the view's data are panel number `panel`. */
void wmk_cut_panel(const wmk_cut *cut, const wmk_tensor_view *view, const wmk_place *place, uint64_t panel, uint64_t *offset, uint64_t *size);
/* Whether tiles can be written: false where the units that a codec stores together hold weights of several filters or, in strips, of several positions. */
bool wmk_cut_can_write(const wmk_place *place, const wmk_tensor_view *view);

/* A tile: filters [filter, +filters), positions by axis [from, +extent). */
typedef struct wmk_tile {
    const wmk_place *place;
    const wmk_tensor_view *view;
    uint64_t filter, filters, from[WMK_AXES], extent[WMK_AXES];
    size_t positions;
    bool by_filter;
} wmk_tile;

/* place and view are the caller's. */
void wmk_tile_pick(wmk_tile *tile, const wmk_cut *cut, uint64_t index);
/* Where position `p` of the tile lies: the element of filter 0 in the view, and the canonical position. */
uint64_t wmk_tile_locate(const wmk_tile *tile, size_t p, uint64_t *canonical);

/* Where a tile's weights, or one of its filters', lie in the view. */
typedef struct wmk_tile_map {
    uint64_t *run_element; /* [runs] neighbouring elements: the first (by filter: of filter 0), */
    size_t *run_count;     /* and how many */
    size_t runs;
    uint32_t *position; /* [positions] by filter: the tile's canonical position that comes k-th in memory */
    size_t groups,
        step; /* weight i is of group i / step % groups: those of one kernel window or, where that is 1 x 1, all of a filter's. OIHW: step H W, groups I; OHWI: 1 and I; OI: all and 1. In strips each of
                            these once a filter. */
} wmk_tile_map;
/* map's arrays have room for wmk_cut_positions. */
void wmk_tile_map_make(wmk_tile_map *map, const wmk_tile *tile);

#endif
