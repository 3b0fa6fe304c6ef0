/* mark/carrier_cut.c */
#include "mark/carrier_cut.h"

#define FILTERS WMK_CUT_FILTERS
#define CUTS WMK_CUT_AXES
#define STRIP_MAX 512       /* filters side by side in a tile; */
#define STRIP 256           /* so many where there are more */
#define STRIP_LEAST 32      /* one block of key stream */
#define TILE_STRIPS 16384   /* weights in a tile of strips */
#define POSITIONS_MAX 65536 /* in a tile */
#define PANEL_BYTES (64 << 20)

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* Elements of a view that are written together or, where it is only read, decoded together. */
static uint64_t unit_of(const wmk_tensor_view *view)
{
    uint32_t elements, bytes;
    if (view->codec == NULL) return 1;
    if (view->codec->write != NULL) return view->codec->granule;
    return wmk_dtype_block(view->dtype, &elements, &bytes) ? elements : 1;
}

static uint64_t common_divisor(uint64_t a, uint64_t b) { return b == 0 ? a : common_divisor(b, a % b); }

static uint64_t extent_of(const wmk_place *place, int axis) { return axis == FILTERS ? place->filters : place->extent[axis]; }
static uint64_t stride_of(const wmk_place *place, int axis) { return axis == FILTERS ? place->filter_stride : place->stride[axis]; }

/* Axes from the innermost in memory outwards, those of extent 1 before all. */
static void sort_axes(const wmk_place *place, int axis[CUTS])
{
    for (int i = 0; i < CUTS; i++) {
        int k = i;
        for (uint64_t stride = extent_of(place, i) > 1 ? stride_of(place, i) : 0; k > 0; k--) {
            int below = axis[k - 1];
            if ((extent_of(place, below) > 1 ? stride_of(place, below) : 0) <= stride) break;
            axis[k] = below;
        }
        axis[k] = i;
    }
}

/* The smallest extents of a tile whose runs begin and end between units. False when they make no tile. */
static bool smallest_tile(const wmk_place *place, uint64_t unit, uint64_t smallest[CUTS])
{
    int axis[CUTS];
    uint64_t run = 1, weights = 1; /* run: elements of the axes that must be whole, from the innermost outwards */
    sort_axes(place, axis);
    for (int a = 0; a < CUTS; a++) smallest[a] = 1;
    for (int k = 0; k < CUTS && run % unit != 0; k++) {
        uint64_t extent = extent_of(place, axis[k]);
        bool split = run * extent % unit == 0;
        smallest[axis[k]] = split ? unit / common_divisor(run, unit) : extent;
        weights *= smallest[axis[k]];
        if (weights > TILE_STRIPS) return false;
        if (split) return true;
        run *= extent;
    }
    return run % unit == 0; /* else the tensor is no whole number of units */
}

static bool is_by_filter(const wmk_place *place) { return place->filter_stride != 1 || place->filters == 1; }

bool wmk_cut_can_write(const wmk_place *place, const wmk_tensor_view *view)
{
    uint64_t smallest[CUTS];
    if (!wmk_tensor_is_writable(view)) return false;
    if (view->codec == NULL) return true;
    if (!is_by_filter(place)) return place->filters % view->codec->granule == 0;
    return smallest_tile(place, view->codec->granule, smallest) && smallest[FILTERS] == 1;
}

/* Whether the bytes of neighbouring elements are neighbours: block types, and plain ones. */
static bool is_linear(const wmk_tensor_view *view, const wmk_place *place, uint32_t *elements, uint32_t *bytes)
{
    if (!wmk_dtype_block(view->dtype, elements, bytes)) return false;
    uint64_t all = place->filters * place->per_filter;
    return all % *elements == 0 && (view->data_bytes == 0 || view->data_bytes == all / *elements * *bytes);
}

void wmk_cut_panel(const wmk_cut *cut, const wmk_tensor_view *view, const wmk_place *place, uint64_t panel, uint64_t *offset, uint64_t *size)
{
    uint32_t elements, bytes;
    int outer = cut->axis[CUTS - 1];
    *offset = 0;
    *size = wmk_view_bytes(view, place);
    if (cut->panel_tiles == cut->count || !is_linear(view, place, &elements, &bytes)) return;
    uint64_t stride = stride_of(place, outer), from = panel * cut->block[outer];
    *offset = from * stride / elements * bytes;
    *size = least(cut->block[outer], extent_of(place, outer) - from) * stride / elements * bytes;
}

/* How many filters, and with them how many positions at most. */
static uint64_t pick_filters(const wmk_cut *cut, const wmk_place *place, const uint64_t *smallest, uint64_t limit, bool wide, uint64_t *positions)
{
    uint64_t filters = place->filters <= STRIP_MAX ? place->filters : STRIP, rest = 1;
    for (int a = 0; a < WMK_AXES; a++) rest *= smallest[a];
    uint64_t window = place->per_filter / place->extent[WMK_AXIS_I];
    if (cut->by_filter && wide)
        while (filters > STRIP_LEAST && limit / filters < window) filters /= 2;
    else if (cut->by_filter)
        while (filters > STRIP_LEAST && filters * place->per_filter > limit) filters /= 2;
    else
        limit = TILE_STRIPS;
    filters = least(filters, limit / rest);
    filters = filters > smallest[FILTERS] ? filters / smallest[FILTERS] * smallest[FILTERS] : smallest[FILTERS];
    *positions = least(limit / filters, POSITIONS_MAX);
    return filters;
}

/* Whether D, H, W, I lie from the outside in. */
static bool is_in_order(const wmk_place *place, const int axis[CUTS])
{
    int outer = WMK_AXES;
    for (int k = 0; k < CUTS; k++) {
        if (axis[k] == FILTERS || place->extent[axis[k]] == 1) continue;
        if (axis[k] > outer) return false;
        outer = axis[k];
    }
    return true;
}

wmk_cut wmk_cut_make(const wmk_place *place, const wmk_tensor_view *view, uint64_t limit, bool wide)
{
    static const int widest_first[WMK_AXES] = {WMK_AXIS_W, WMK_AXIS_H, WMK_AXIS_D, WMK_AXIS_I};
    uint64_t smallest[CUTS], positions;
    uint32_t elements, bytes;
    wmk_cut cut = {.count = 1, .by_filter = is_by_filter(place)};
    sort_axes(place, cut.axis);
    if (!smallest_tile(place, unit_of(view), smallest))
        smallest_tile(place, 1, smallest); /* that is for reading only: some units are decoded twice */
    int outer = cut.axis[CUTS - 1];
    bool linear = is_linear(view, place, &elements, &bytes);
    cut.block[FILTERS] = pick_filters(&cut, place, smallest, limit, wide, &positions);
    while (linear && outer == FILTERS && cut.block[FILTERS] >= 2 * smallest[FILTERS] * STRIP_LEAST &&
           cut.block[FILTERS] * place->filter_stride / elements * bytes > PANEL_BYTES)
        cut.block[FILTERS] /= 2;
    for (int a = 0; a < WMK_AXES; a++) positions = positions / smallest[a] > 1 ? positions / smallest[a] : 1;
    for (int k = 0; k < WMK_AXES; k++) { /* the window first, so that a tile takes whole stretches of an OIHW filter */
        int a = widest_first[k];
        cut.block[a] = least(place->extent[a], smallest[a] * positions);
        positions /= (cut.block[a] + smallest[a] - 1) / smallest[a];
        if (positions < 1) positions = 1;
    }
    for (int a = 0; a < CUTS; a++) {
        cut.tiles[a] = (extent_of(place, a) + cut.block[a] - 1) / cut.block[a];
        cut.count *= cut.tiles[a];
    }
    cut.panel_tiles = linear ? cut.count / cut.tiles[outer] : cut.count;
    cut.whole = cut.by_filter && cut.count == cut.tiles[FILTERS];
    cut.in_order = is_in_order(place, cut.axis);
    cut.stretch = cut.whole && linear && outer == FILTERS;
    return cut;
}

size_t wmk_cut_positions(const wmk_cut *cut)
{
    size_t positions = 1;
    for (int a = 0; a < WMK_AXES; a++) positions *= (size_t)cut->block[a];
    return positions;
}

void wmk_tile_pick(wmk_tile *tile, const wmk_cut *cut, uint64_t index)
{
    tile->positions = 1;
    tile->by_filter = cut->by_filter;
    for (int k = 0; k < CUTS; k++) {
        int a = cut->axis[k];
        uint64_t from = index % cut->tiles[a] * cut->block[a], extent = least(cut->block[a], extent_of(tile->place, a) - from);
        index /= cut->tiles[a];
        if (a == FILTERS) {
            tile->filter = from;
            tile->filters = extent;
        } else {
            tile->from[a] = from;
            tile->extent[a] = extent;
            tile->positions *= (size_t)extent;
        }
    }
}

uint64_t wmk_tile_locate(const wmk_tile *t, size_t p, uint64_t *canonical)
{
    uint64_t element = 0, step = 1;
    *canonical = 0;
    for (int a = WMK_AXES; a-- > 0; p /= (size_t)t->extent[a], step *= t->place->extent[a]) {
        uint64_t at = t->from[a] + p % t->extent[a];
        element += at * t->place->stride[a];
        *canonical += at * step;
    }
    return element;
}

static void add_run(wmk_tile_map *map, uint64_t element, size_t count)
{
    if (map->runs > 0 && map->run_element[map->runs - 1] + map->run_count[map->runs - 1] == element) {
        map->run_count[map->runs - 1] += count;
        return;
    }
    map->run_element[map->runs] = element;
    map->run_count[map->runs++] = count;
}

static void map_strips(wmk_tile_map *map, const wmk_tile *t)
{
    uint64_t channels = t->extent[WMK_AXIS_I], canonical;
    for (size_t p = 0; p < t->positions; p++) add_run(map, wmk_tile_locate(t, p, &canonical) + t->filter, (size_t)t->filters);
    map->step = 1;
    map->groups = (size_t)t->filters * (channels > 1 && channels < t->positions ? (size_t)channels : 1);
}

/* A filter's elements by ascending address. */
static void map_filter(wmk_tile_map *map, const wmk_tile *t)
{
    const wmk_place *place = t->place;
    int x[WMK_AXES] = {0, 1, 2, 3};
    for (int i = 1; i < WMK_AXES; i++) /* outermost in memory first */
        for (int k = i; k > 0 && place->stride[x[k]] > place->stride[x[k - 1]]; k--) {
            int swap = x[k];
            x[k] = x[k - 1];
            x[k - 1] = swap;
        }
    uint64_t step[WMK_AXES], s = 1, base = 0; /* step: in positions of the tile */
    for (int a = WMK_AXES; a-- > 0;) {
        step[a] = s;
        s *= t->extent[a];
        base += t->from[a] * place->stride[a];
    }
    size_t k = 0;
    for (uint64_t a = 0; a < t->extent[x[0]]; a++)
        for (uint64_t b = 0; b < t->extent[x[1]]; b++)
            for (uint64_t c = 0; c < t->extent[x[2]]; c++)
                for (uint64_t d = 0; d < t->extent[x[3]]; d++) {
                    uint64_t position = a * step[x[0]] + b * step[x[1]] + c * step[x[2]] + d * step[x[3]];
                    map->position[k++] = (uint32_t)position;
                    add_run(map, base + a * place->stride[x[0]] + b * place->stride[x[1]] + c * place->stride[x[2]] + d * place->stride[x[3]], 1);
                }
    size_t channels = (size_t)t->extent[WMK_AXIS_I];
    map->step = t->positions;
    map->groups = 1;
    if (channels == 1 || channels == t->positions) return;
    map->groups = channels;
    map->step = 1;
    for (int i = WMK_AXES; i-- > 0 && x[i] != WMK_AXIS_I;) map->step *= (size_t)t->extent[x[i]];
}

void wmk_tile_map_make(wmk_tile_map *map, const wmk_tile *t)
{
    map->runs = 0;
    if (t->by_filter)
        map_filter(map, t);
    else
        map_strips(map, t);
}
