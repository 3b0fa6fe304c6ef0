/* mark/carrier_tile.c */
#include "mark/carrier_tile.h"

#include <omp.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/convert.h"
#include "base/memory.h"
#include "mark/carrier_kernel.h"
#include "mark/x.h"

#define TILE_FILTERS 256   /* filters in a tile, when there are more than WMK_STRIP_MAX */
#define TILE_WEIGHTS 32768 /* weights in a tile: 256 KiB as double */
#define TILE_ROOM (TILE_WEIGHTS > WMK_STRIP_MAX ? TILE_WEIGHTS : WMK_STRIP_MAX)
#define DEAL 8192       /* columns dealt at a time */
#define LANES 8         /* filters transposed together: one cache line of double */
#define CHUNK_MIN 32768 /* weights worth a chunk */

#define CUTS (WMK_AXES + 1) /* the axes of a filter, and the filters */
#define FILTERS WMK_AXES
#define PANEL_BYTES (64 << 20)

/* How one target is cut. Tiles are numbered as they lie in memory; those with the same place on the outermost axis are a panel, one stretch of bytes. */
typedef struct target_cut {
    int axis[CUTS]; /* innermost first */
    uint64_t block[CUTS], tiles[CUTS], count;
    uint64_t panel_tiles; /* tiles in a panel */
    size_t first_panel;   /* its number over all targets */
} target_cut;

/* One thread's working memory. */
typedef struct workspace {
    double *value;         /* [position in tile][filter in tile] */
    double *was, *stored;  /* the same; NULL unless a walk looks at what a codec stored */
    double *lane[LANES];   /* [position] a filter's part in the view's order */
    uint64_t *run_element; /* [run] neighbouring elements of a filter: the first, */
    uint32_t *run_count;   /* and how many */
    uint32_t *order;       /* position in tile -> index in lane */
    bool in_order;         /* order[p] = p */
    double *shift;         /* [group][filter in tile] */
    uint16_t row[TILE_ROOM];
    int8_t sign[TILE_ROOM];
} workspace;

/* A tile: filters [filter, +filters), positions by axis [from, +extent). */
typedef struct tile {
    const wmk_place *place;
    const wmk_tensor_view *view;
    uint64_t filter, filters, from[WMK_AXES], extent[WMK_AXES];
    size_t positions, runs;
} tile;

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
        if (weights > TILE_WEIGHTS) return false;
        if (split) return true;
        run *= extent;
    }
    return run % unit == 0; /* else the tensor is no whole number of units */
}

/* Whether the bytes of neighbouring elements are neighbours: block types, and plain ones. */
static bool is_linear(const wmk_tensor_view *view, const wmk_place *place, uint32_t *elements, uint32_t *bytes)
{
    if (!wmk_dtype_block(view->dtype, elements, bytes)) return false;
    uint64_t all = place->filters * place->per_filter;
    return all % *elements == 0 && (view->data_bytes == 0 || view->data_bytes == all / *elements * *bytes);
}

/* A panel's bytes. */
static void panel_range(const target_cut *cut, const wmk_tensor_view *view, const wmk_place *place, uint64_t panel, uint64_t *offset, uint64_t *size)
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

static target_cut cut_target(const wmk_place *place, const wmk_tensor_view *view)
{
    static const int widest_first[WMK_AXES] = {WMK_AXIS_W, WMK_AXIS_H, WMK_AXIS_D, WMK_AXIS_I};
    uint64_t smallest[CUTS], budget = TILE_WEIGHTS;
    uint32_t elements, bytes;
    target_cut cut = {.count = 1};
    sort_axes(place, cut.axis);
    if (!smallest_tile(place, unit_of(view), smallest))
        smallest_tile(place, 1, smallest); /* that is for reading only: some units are decoded twice */
    for (int a = 0; a < WMK_AXES; a++) budget /= smallest[a];
    int outer = cut.axis[CUTS - 1];
    bool linear = is_linear(view, place, &elements, &bytes);
    uint64_t filters = least(place->filters <= WMK_STRIP_MAX ? place->filters : TILE_FILTERS, budget);
    while (linear && outer == FILTERS && filters > LANES && filters * place->filter_stride / elements * bytes > PANEL_BYTES) filters /= 2;
    cut.block[FILTERS] = filters > smallest[FILTERS] ? filters / smallest[FILTERS] * smallest[FILTERS] : smallest[FILTERS];
    budget /= cut.block[FILTERS];
    for (int k = 0; k < WMK_AXES; k++) { /* the window first, so that a tile takes whole stretches of an OIHW filter */
        int a = widest_first[k];
        cut.block[a] = least(place->extent[a], smallest[a] * (budget > 1 ? budget : 1));
        if (cut.block[a] > smallest[a]) budget /= (cut.block[a] + smallest[a] - 1) / smallest[a];
    }
    for (int a = 0; a < CUTS; a++) {
        cut.tiles[a] = (extent_of(place, a) + cut.block[a] - 1) / cut.block[a];
        cut.count *= cut.tiles[a];
    }
    cut.panel_tiles = linear ? cut.count / cut.tiles[outer] : cut.count;
    return cut;
}

static void pick_tile(tile *out, const target_cut *cut, uint64_t index)
{
    const wmk_place *place = out->place;
    out->positions = 1;
    for (int k = 0; k < CUTS; k++) {
        int a = cut->axis[k];
        uint64_t from = index % cut->tiles[a] * cut->block[a], extent = least(cut->block[a], extent_of(place, a) - from);
        index /= cut->tiles[a];
        if (a == FILTERS) {
            out->filter = from;
            out->filters = extent;
        } else {
            out->from[a] = from;
            out->extent[a] = extent;
            out->positions *= (size_t)extent;
        }
    }
}

/* Lists a filter's elements in the tile by ascending address: the runs to read, and where each canonical position then lies. */
static void map_filter(tile *t, workspace *space)
{
    space->in_order = true;
    const wmk_place *place = t->place;
    int axis[WMK_AXES] = {0, 1, 2, 3};
    for (int i = 1; i < WMK_AXES; i++) /* outermost in memory first */
        for (int k = i; k > 0 && place->stride[axis[k]] > place->stride[axis[k - 1]]; k--) {
            int swap = axis[k];
            axis[k] = axis[k - 1];
            axis[k - 1] = swap;
        }
    uint64_t step[WMK_AXES], s = 1, base = 0; /* step: in positions of the tile */
    for (int a = WMK_AXES; a-- > 0;) {
        step[a] = s;
        s *= t->extent[a];
        base += t->from[a] * place->stride[a];
    }
    const int *x = axis;
    uint32_t index = 0;
    uint64_t next = UINT64_MAX;
    t->runs = 0;
    for (uint64_t a = 0; a < t->extent[x[0]]; a++)
        for (uint64_t b = 0; b < t->extent[x[1]]; b++)
            for (uint64_t c = 0; c < t->extent[x[2]]; c++)
                for (uint64_t d = 0; d < t->extent[x[3]]; d++) {
                    uint64_t element = base + a * place->stride[x[0]] + b * place->stride[x[1]] + c * place->stride[x[2]] + d * place->stride[x[3]];
                    uint64_t position = a * step[x[0]] + b * step[x[1]] + c * step[x[2]] + d * step[x[3]];
                    space->in_order = space->in_order && position == index;
                    space->order[position] = index++;
                    if (element != next) {
                        space->run_element[t->runs] = element;
                        space->run_count[t->runs++] = 0;
                    }
                    space->run_count[t->runs - 1]++;
                    next = element + 1;
                }
}

static void read_lane(const tile *t, const workspace *space, uint64_t filter, double *lane)
{
    uint64_t base = filter * t->place->filter_stride;
    for (size_t r = 0; r < t->runs; lane += space->run_count[r++]) wmk_view_read(t->view, base + space->run_element[r], space->run_count[r], lane);
}

static void fetch_lane(const tile *t, const workspace *space, uint64_t filter)
{
    uint64_t base = filter * t->place->filter_stride;
    for (size_t r = 0; r < t->runs; r++) wmk_view_fetch(t->view, base + space->run_element[r], space->run_count[r]);
}

/* Eight filters at a time, so that whole cache lines of the tile are written. */
static void interleave(double *value, size_t stride, const workspace *space, size_t positions, int lanes)
{
    const uint32_t *order = space->order;
    if (lanes == LANES && space->in_order) {
        wmk_interleave8(value, stride, (const double *const *)space->lane, positions);
        return;
    }
    if (lanes == LANES) {
        const double *a = space->lane[0], *b = space->lane[1], *c = space->lane[2], *d = space->lane[3];
        const double *e = space->lane[4], *f = space->lane[5], *g = space->lane[6], *h = space->lane[7];
        for (size_t p = 0; p < positions; p++, value += stride) {
            size_t at = order[p];
            value[0] = a[at], value[1] = b[at], value[2] = c[at], value[3] = d[at];
            value[4] = e[at], value[5] = f[at], value[6] = g[at], value[7] = h[at];
        }
        return;
    }
    for (size_t p = 0; p < positions; p++, value += stride)
        for (int l = 0; l < lanes; l++) value[l] = space->lane[l][order[p]];
}

/* Where position `p` of the tile lies: the element of filter 0 in the view, and the canonical position. */
static uint64_t locate(const tile *t, size_t p, uint64_t *canonical)
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

/* value [positions][filters] */
static void read_tile(tile *t, workspace *space, double *value)
{
    uint64_t canonical;
    if (t->place->filter_stride == 1) {
        for (size_t p = 0; p < t->positions; p++) {
            if (p + 1 < t->positions) wmk_view_fetch(t->view, locate(t, p + 1, &canonical) + t->filter, (size_t)t->filters);
            wmk_view_read(t->view, locate(t, p, &canonical) + t->filter, (size_t)t->filters, value + p * t->filters);
        }
        return;
    }
    map_filter(t, space);
    for (uint64_t f = 0; f < t->filters; f += LANES) {
        int lanes = (int)least(LANES, t->filters - f);
        for (uint64_t next = f + LANES; next < t->filters && next < f + 2 * LANES; next++) fetch_lane(t, space, t->filter + next);
        for (int l = 0; l < lanes; l++) read_lane(t, space, t->filter + f + (uint64_t)l, space->lane[l]);
        interleave(value + f, (size_t)t->filters, space, t->positions, lanes);
    }
}

static void write_tile(const tile *t, const workspace *space, void *output)
{
    uint64_t canonical;
    if (t->place->filter_stride == 1) {
        for (size_t p = 0; p < t->positions; p++)
            wmk_tensor_write(t->view, output, locate(t, p, &canonical) + t->filter, (size_t)t->filters, space->value + p * t->filters);
        return;
    }
    for (uint64_t f = 0; f < t->filters; f += LANES) {
        size_t lanes = (size_t)least(LANES, t->filters - f);
        const double *value = space->value + f;
        if (lanes == LANES && space->in_order)
            wmk_split8(space->lane, value, (size_t)t->filters, t->positions);
        else
            for (size_t p = 0; p < t->positions; p++, value += t->filters)
                for (size_t l = 0; l < lanes; l++) space->lane[l][space->order[p]] = value[l];
        for (size_t l = 0; l < lanes; l++) {
            uint64_t base = (t->filter + f + l) * t->place->filter_stride;
            const double *from = space->lane[l];
            for (size_t r = 0; r < t->runs; from += space->run_count[r++])
                wmk_tensor_write(t->view, output, base + space->run_element[r], space->run_count[r], from);
        }
    }
}

/* Deals X over positions [p, ...) of the tile, as many at a time as lie side by side: their number. */
static size_t deal_positions(const wmk_key *key, const tile *t, size_t p, uint16_t *row, int8_t *sign)
{
    size_t filters = (size_t)t->filters, at_once = t->filters == t->place->filters ? DEAL / filters : 1, n = 1;
    uint64_t first, other;
    locate(t, p, &first);
    for (; n < at_once && p + n < t->positions; n++) {
        locate(t, p + n, &other);
        if (other != first + n) break;
    }
    wmk_x_deal(key, t->place->column + first * t->place->filters + t->filter, n * filters, row, sign);
    return n;
}

/* Strip `p` of a tile. */
static wmk_strip strip_of(const wmk_vector *vector, const tile *t, const workspace *space, size_t p)
{
    size_t filters = (size_t)t->filters;
    return (wmk_strip){.value = space->value + p * filters,
                       .was = t->view->codec != NULL && space->was != NULL ? space->was + p * filters : NULL,
                       .stored = space->stored != NULL ? space->stored + p * filters : NULL,
                       .inverse = vector->inverse + t->place->filter + t->filter,
                       .filter = t->place->filter + t->filter,
                       .count = filters,
                       .dtype = t->view->dtype,
                       .gain = 1};
}

/* Shows a tile to the visitor position by position. */
static void visit_tile(const wmk_key *key, const wmk_vector *vector, const tile *t, workspace *space, const wmk_walk *walk, uint32_t chunk)
{
    size_t filters = (size_t)t->filters;
    for (size_t p = 0, n; p < t->positions; p += n) {
        n = deal_positions(key, t, p, space->row, space->sign);
        for (size_t k = 0; k < n; k++) {
            wmk_strip strip = strip_of(vector, t, space, p + k);
            strip.row = space->row + k * filters;
            strip.sign = space->sign + k * filters;
            walk->visit(walk->payload, chunk, &strip);
        }
    }
}

/* The same where the visitor must see the whole tile first, or again when it is written. */
static void visit_whole(const wmk_key *key, const wmk_vector *vector, tile *t, workspace *space, const wmk_walk *walk, uint32_t chunk, void *output)
{
    size_t filters = (size_t)t->filters, channels = (size_t)t->extent[WMK_AXIS_I];
    size_t groups = channels > 1 && channels < t->positions ? channels : 1, each = t->positions / groups;
    for (size_t p = 0; p < t->positions;) p += deal_positions(key, t, p, space->row + p * filters, space->sign + p * filters);
    wmk_strips strips = {space->value, space->row, space->sign, t->place->filter + t->filter,
                         t->positions, filters,    groups,      each > 1 ? (double)each / (double)(each - 1) : 1,
                         space->shift};
    if (walk->prepare != NULL) walk->prepare(walk->payload, &strips);
    bool look = output != NULL && space->stored != NULL && t->view->codec != NULL;
    for (int again = 0; again <= (look ? 1 : 0); again++) {
        if (again == 1) {
            tile written = *t;
            wmk_tensor_view view = *t->view;
            view.data = output;
            written.view = &view;
            read_tile(&written, space, space->stored);
        }
        for (size_t p = 0; p < t->positions; p++) {
            wmk_strip strip = strip_of(vector, t, space, p);
            strip.row = space->row + p * filters;
            strip.sign = space->sign + p * filters;
            if (walk->prepare != NULL) {
                strip.shift = space->shift + p % groups * filters;
                strip.gain = strips.gain;
            }
            (again ? walk->after : walk->visit)(walk->payload, chunk, &strip);
        }
        if (!again && output != NULL) write_tile(t, space, output);
    }
}

/* Where the chunks begin: tiles are numbered through all targets that are there. */
typedef struct plan {
    target_cut *cut; /* [target count]; count 0 for a missing target */
    uint32_t chunks;
    uint64_t first[WMK_CHUNKS_MAX + 1];
    size_t panels, positions_max, weights_max;
} plan;

static uint64_t weights_of(const wmk_vector *vector, size_t t)
{
    return vector->views[t].data == NULL ? 0 : vector->place[t].filters * vector->place[t].per_filter;
}

bool wmk_tiles_can_write(const wmk_place *place, const wmk_tensor_view *view)
{
    uint64_t smallest[CUTS];
    return wmk_tensor_is_writable(view) && (view->codec == NULL || smallest_tile(place, view->codec->granule, smallest));
}

uint32_t wmk_tiles_chunks(const wmk_vector *vector)
{
    uint64_t chunks = vector->weights_read / CHUNK_MIN;
    return chunks < 1 ? 1 : chunks > WMK_CHUNKS_MAX ? WMK_CHUNKS_MAX : (uint32_t)chunks;
}

static void make_plan(plan *out, const wmk_vector *vector)
{
    out->chunks = wmk_tiles_chunks(vector);
    uint64_t tiles = 0;
    double before = 0, total = (double)vector->weights_read;
    uint32_t chunk = 0;
    for (size_t t = 0; t < vector->count; t++) {
        if (vector->views[t].data == NULL) continue;
        target_cut *cut = &out->cut[t];
        *cut = cut_target(&vector->place[t], &vector->views[t]);
        cut->first_panel = out->panels;
        out->panels += (size_t)(cut->count / cut->panel_tiles);
        size_t positions = 1;
        for (int a = 0; a < WMK_AXES; a++) positions *= (size_t)cut->block[a];
        if (positions > out->positions_max) out->positions_max = positions;
        if (positions * cut->block[FILTERS] > out->weights_max) out->weights_max = positions * (size_t)cut->block[FILTERS];
        double each = (double)weights_of(vector, t) / (double)cut->count;
        for (uint64_t i = 0; i < cut->count; i++, tiles++, before += each)
            while (chunk < out->chunks && before >= total * chunk / out->chunks - 0.5) out->first[chunk++] = tiles;
    }
    while (chunk <= out->chunks) out->first[chunk++] = tiles;
}

static wmk_status make_workspace(workspace **out, const plan *p, bool looks)
{
    size_t lane = (p->positions_max + 7) / 8 * 8, value = (p->weights_max + 7) / 8 * 8, head = (sizeof(workspace) + 63) / 64 * 64;
    size_t bytes = head + ((looks ? 4 : 2) * value + LANES * lane) * sizeof(double) + lane * (sizeof(uint64_t) + 2 * sizeof(uint32_t));
    WMK_TRY(wmk_alloc_aligned(out, bytes));
    workspace *space = *out;
    space->value = (double *)((char *)space + head);
    for (size_t l = 0; l < LANES; l++) space->lane[l] = space->value + value + l * lane;
    space->shift = space->value + value + LANES * lane;
    space->run_element = (uint64_t *)(space->shift + value);
    if (looks) {
        space->was = space->shift + value;
        space->stored = space->was + value;
        space->run_element = (uint64_t *)(space->stored + value);
    }
    space->run_count = (uint32_t *)(space->run_element + lane);
    space->order = space->run_count + lane;
    return WMK_OK;
}

/* What has happened to a walk so far, for all threads. */
typedef struct progress {
    uint32_t *pending; /* [panels] tiles not done; NULL: nobody wants to know */
    wmk_status status; /* of the first `written` that failed, and its message: that is kept by thread */
    char message[512];
    omp_lock_t lock; /* one `written` at a time */
} progress;

/* One tile is done, and perhaps its panel with it. */
static void tile_done(progress *state, const wmk_vector *vector, const plan *p, const wmk_walk *walk, size_t t, uint64_t index)
{
    const target_cut *cut = &p->cut[t];
    uint64_t panel = index / cut->panel_tiles, offset, size;
    uint32_t left;
#pragma omp atomic capture
    left = --state->pending[cut->first_panel + panel];
    if (left > 0) return;
    panel_range(cut, &vector->views[t], &vector->place[t], panel, &offset, &size);
    const wmk_traffic *traffic = walk->traffic;
    if (walk->outputs != NULL && traffic->written != NULL) {
        omp_set_lock(&state->lock);
        if (state->status == WMK_OK) {
            state->status = traffic->written(traffic->payload, t, offset, size);
            if (state->status != WMK_OK) snprintf(state->message, sizeof state->message, "%s", wmk_error_message());
        }
        omp_unset_lock(&state->lock);
    }
    if (traffic->walked != NULL) traffic->walked(traffic->payload, (const char *)vector->views[t].data + offset, size);
}

static wmk_status start_progress(progress *state, const wmk_vector *vector, const plan *p, const wmk_walk *walk)
{
    if (walk->traffic == NULL || walk->every > 1) return WMK_OK;
    WMK_TRY(wmk_alloc(&state->pending, p->panels, sizeof *state->pending));
    for (size_t t = 0; t < vector->count; t++) {
        const target_cut *cut = &p->cut[t];
        for (uint64_t i = 0; vector->views[t].data != NULL && i < cut->count / cut->panel_tiles; i++)
            state->pending[cut->first_panel + i] = (uint32_t)cut->panel_tiles;
    }
    return WMK_OK;
}

/* One tile in `every`, not at regular distances: models repeat themselves. */
static bool is_sampled(uint64_t index, uint64_t every)
{
    uint64_t h = (index + 1) * UINT64_C(0x9e3779b97f4a7c15);
    h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return (h >> 32) % every == 0;
}

static void walk_chunk(const wmk_key *key, const wmk_vector *vector, const plan *p, const wmk_walk *walk, uint32_t chunk, workspace *space,
                       progress *state)
{
    size_t t = 0;
    uint64_t base = 0; /* number of target t's first tile */
    for (uint64_t i = p->first[chunk]; i < p->first[chunk + 1]; i++) {
        for (; i >= base + p->cut[t].count; t++) base += p->cut[t].count;
        if (walk->every > 1 && !is_sampled(i, walk->every)) continue;
        tile now = {.place = &vector->place[t], .view = &vector->views[t]};
        pick_tile(&now, &p->cut[t], i - base);
        read_tile(&now, space, space->value);
        if (walk->prepare != NULL || walk->outputs != NULL)
            visit_whole(key, vector, &now, space, walk, chunk, walk->outputs != NULL ? walk->outputs[t] : NULL);
        else
            visit_tile(key, vector, &now, space, walk, chunk);
        if (state->pending != NULL) tile_done(state, vector, p, walk, t, i - base);
        if (state->status != WMK_OK) return;
    }
}

wmk_status wmk_tiles_walk(const wmk_key *key, const wmk_vector *vector, const wmk_walk *walk)
{
    plan p = {0};
    progress state = {0};
    workspace **space = NULL;
    wmk_status status;
    int threads = omp_in_parallel() ? 1 : omp_get_max_threads();
    omp_init_lock(&state.lock);
    WMK_TRY_GOTO(status, wmk_alloc(&p.cut, vector->count, sizeof *p.cut), done);
    make_plan(&p, vector);
    if (threads > (int)p.chunks) threads = p.chunks > 0 ? (int)p.chunks : 1;
    WMK_TRY_GOTO(status, wmk_alloc(&space, (size_t)threads, sizeof *space), done);
    for (int i = 0; i < threads; i++) WMK_TRY_GOTO(status, make_workspace(&space[i], &p, walk->after != NULL), done);
    WMK_TRY_GOTO(status, start_progress(&state, vector, &p, walk), done);
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (uint32_t chunk = 0; chunk < p.chunks; chunk++) walk_chunk(key, vector, &p, walk, chunk, space[omp_get_thread_num() % threads], &state);
    if (state.status != WMK_OK) status = wmk_fail(state.status, "%s", state.message);
done:
    for (int i = 0; space != NULL && i < threads; i++) {
        if (space[i] == NULL) continue;
        sodium_memzero(space[i]->row, sizeof space[i]->row);
        sodium_memzero(space[i]->sign, sizeof space[i]->sign);
        wmk_free_aligned(space[i]);
    }
    omp_destroy_lock(&state.lock);
    free(space);
    free(state.pending);
    free(p.cut);
    return status;
}
