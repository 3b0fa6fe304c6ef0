/* mark/carrier_tile.c */
#include "mark/carrier_tile.h"

#include <omp.h>
#include <sodium.h>
#include <stdlib.h>

#include "base/convert.h"
#include "base/memory.h"
#include "mark/x.h"

#define TILE_FILTERS 256   /* filters in a tile, when there are more than WMK_STRIP_MAX */
#define TILE_WEIGHTS 32768 /* weights in a tile: 256 KiB as double */
#define TILE_ROOM (TILE_WEIGHTS > WMK_STRIP_MAX ? TILE_WEIGHTS : WMK_STRIP_MAX)
#define DEAL 8192       /* columns dealt at a time */
#define LANES 8         /* filters transposed together: one cache line of double */
#define CHUNK_MIN 32768 /* weights worth a chunk */

/* How one target is cut. */
typedef struct target_cut {
    uint64_t filters, block[WMK_AXES]; /* extent of a tile */
    uint64_t filter_tiles, tiles[WMK_AXES], count;
} target_cut;

/* One thread's working memory. */
typedef struct workspace {
    double *value;         /* [position in tile][filter in tile] */
    double *lane[LANES];   /* [position] a filter's part in the view's order */
    uint64_t *run_element; /* [run] neighbouring elements of a filter: the first, */
    uint32_t *run_count;   /* and how many */
    uint32_t *order;       /* position in tile -> index in lane */
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

/* The smallest extents of a tile whose runs begin and end between units: smallest[WMK_AXES] is the filters'. False when they make no tile. */
static bool smallest_tile(const wmk_place *place, uint64_t unit, uint64_t smallest[WMK_AXES + 1])
{
    uint64_t run = 1, weights = 1; /* run: elements of the axes that must be whole, from the innermost outwards */
    for (int a = 0; a <= WMK_AXES; a++) smallest[a] = 1;
    while (run % unit != 0) {
        int axis = -1;
        for (int a = 0; a <= WMK_AXES; a++) /* the axis whose step is `run` */
            if ((a < WMK_AXES ? place->stride[a] : place->filter_stride) == run && (a < WMK_AXES ? place->extent[a] : place->filters) > 1) axis = a;
        if (axis < 0) return false; /* the tensor is no whole number of units */
        uint64_t extent = axis < WMK_AXES ? place->extent[axis] : place->filters;
        bool split = run * extent % unit == 0;
        smallest[axis] = split ? unit / common_divisor(run, unit) : extent;
        run *= extent;
        weights *= smallest[axis];
        if (weights > TILE_WEIGHTS) return false;
        if (split) break;
    }
    return true;
}

static target_cut cut_target(const wmk_place *place, uint64_t unit)
{
    uint64_t smallest[WMK_AXES + 1], budget = TILE_WEIGHTS;
    if (!smallest_tile(place, unit, smallest)) smallest_tile(place, 1, smallest); /* that is for reading only: some units are decoded twice */
    for (int a = 0; a < WMK_AXES; a++) budget /= smallest[a];
    target_cut cut = {.filters = place->filters <= WMK_STRIP_MAX ? place->filters : TILE_FILTERS};
    if (cut.filters > budget) cut.filters = budget;
    cut.filters = cut.filters / smallest[WMK_AXES] * smallest[WMK_AXES];
    if (cut.filters == 0) cut.filters = smallest[WMK_AXES];
    budget /= cut.filters;
    static const int widest_first[WMK_AXES] = {WMK_AXIS_W, WMK_AXIS_H, WMK_AXIS_D, WMK_AXIS_I};
    for (int k = 0; k < WMK_AXES; k++) { /* the window first, so that a tile takes whole stretches of an OIHW filter */
        int a = widest_first[k];
        cut.block[a] = least(place->extent[a], smallest[a] * (budget > 1 ? budget : 1));
        if (cut.block[a] > smallest[a]) budget /= (cut.block[a] + smallest[a] - 1) / smallest[a];
    }
    cut.filter_tiles = cut.count = (place->filters + cut.filters - 1) / cut.filters;
    for (int a = 0; a < WMK_AXES; a++) {
        cut.tiles[a] = (place->extent[a] + cut.block[a] - 1) / cut.block[a];
        cut.count *= cut.tiles[a];
    }
    return cut;
}

static void pick_tile(tile *out, const target_cut *cut, uint64_t index)
{
    const wmk_place *place = out->place;
    out->filter = index % cut->filter_tiles * cut->filters;
    out->filters = least(cut->filters, place->filters - out->filter);
    index /= cut->filter_tiles;
    out->positions = 1;
    for (int a = WMK_AXES; a-- > 0;) {
        out->from[a] = index % cut->tiles[a] * cut->block[a];
        out->extent[a] = least(cut->block[a], place->extent[a] - out->from[a]);
        out->positions *= (size_t)out->extent[a];
        index /= cut->tiles[a];
    }
}

/* Lists a filter's elements in the tile by ascending address: the runs to read, and where each canonical position then lies. */
static void map_filter(tile *t, workspace *space)
{
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
                    space->order[a * step[x[0]] + b * step[x[1]] + c * step[x[2]] + d * step[x[3]]] = index++;
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

static void read_tile(tile *t, workspace *space)
{
    uint64_t canonical;
    if (t->place->filter_stride == 1) {
        for (size_t p = 0; p < t->positions; p++) {
            if (p + 1 < t->positions) wmk_view_fetch(t->view, locate(t, p + 1, &canonical) + t->filter, (size_t)t->filters);
            wmk_view_read(t->view, locate(t, p, &canonical) + t->filter, (size_t)t->filters, space->value + p * t->filters);
        }
        return;
    }
    map_filter(t, space);
    for (uint64_t f = 0; f < t->filters; f += LANES) {
        int lanes = (int)least(LANES, t->filters - f);
        for (uint64_t next = f + LANES; next < t->filters && next < f + 2 * LANES; next++) fetch_lane(t, space, t->filter + next);
        for (int l = 0; l < lanes; l++) read_lane(t, space, t->filter + f + (uint64_t)l, space->lane[l]);
        interleave(space->value + f, (size_t)t->filters, space, t->positions, lanes);
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
    double *lane = space->lane[0];
    for (uint64_t f = 0; f < t->filters; f++) {
        for (size_t p = 0; p < t->positions; p++) lane[space->order[p]] = space->value[p * t->filters + f];
        uint64_t base = (t->filter + f) * t->place->filter_stride;
        const double *from = lane;
        for (size_t r = 0; r < t->runs; from += space->run_count[r++])
            wmk_tensor_write(t->view, output, base + space->run_element[r], space->run_count[r], from);
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

/* Shows a tile to the visitor position by position. */
static void visit_tile(const wmk_key *key, const wmk_vector *vector, const tile *t, workspace *space, wmk_strip_visit visit, void *payload,
                       uint32_t chunk)
{
    size_t filters = (size_t)t->filters;
    wmk_strip strip = {.inverse = vector->inverse + t->place->filter + t->filter,
                       .filter = t->place->filter + t->filter,
                       .count = filters,
                       .dtype = t->view->dtype,
                       .gain = 1};
    for (size_t p = 0, n; p < t->positions; p += n) {
        n = deal_positions(key, t, p, space->row, space->sign);
        for (size_t k = 0; k < n; k++) {
            strip.value = space->value + (p + k) * filters;
            strip.row = space->row + k * filters;
            strip.sign = space->sign + k * filters;
            visit(payload, chunk, &strip);
        }
    }
}

/* The same where the visitor must see the whole tile first. */
static void visit_prepared(const wmk_key *key, const wmk_vector *vector, const tile *t, workspace *space, wmk_tile_prepare prepare,
                           wmk_strip_visit visit, void *payload, uint32_t chunk)
{
    size_t filters = (size_t)t->filters, channels = (size_t)t->extent[WMK_AXIS_I];
    size_t groups = channels > 1 && channels < t->positions ? channels : 1, each = t->positions / groups;
    for (size_t p = 0; p < t->positions;) p += deal_positions(key, t, p, space->row + p * filters, space->sign + p * filters);
    wmk_strips strips = {space->value, space->row, space->sign, t->place->filter + t->filter,
                         t->positions, filters,    groups,      each > 1 ? (double)each / (double)(each - 1) : 1,
                         space->shift};
    prepare(payload, &strips);
    wmk_strip strip = {.inverse = vector->inverse + strips.filter, .filter = strips.filter, .count = filters, .dtype = t->view->dtype};
    strip.gain = strips.gain;
    for (size_t p = 0; p < t->positions; p++) {
        strip.value = space->value + p * filters;
        strip.row = space->row + p * filters;
        strip.sign = space->sign + p * filters;
        strip.shift = space->shift + p % groups * filters;
        visit(payload, chunk, &strip);
    }
}

/* Where the chunks begin: tiles are numbered through all targets that are there. */
typedef struct plan {
    target_cut *cut; /* [target count]; count 0 for a missing target */
    uint32_t chunks;
    uint64_t first[WMK_CHUNKS_MAX + 1];
    size_t positions_max, weights_max;
} plan;

static uint64_t weights_of(const wmk_vector *vector, size_t t)
{
    return vector->views[t].data == NULL ? 0 : vector->place[t].filters * vector->place[t].per_filter;
}

bool wmk_tiles_can_write(const wmk_place *place, const wmk_tensor_view *view)
{
    uint64_t smallest[WMK_AXES + 1];
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
        *cut = cut_target(&vector->place[t], unit_of(&vector->views[t]));
        size_t positions = 1;
        for (int a = 0; a < WMK_AXES; a++) positions *= (size_t)cut->block[a];
        if (positions > out->positions_max) out->positions_max = positions;
        if (positions * cut->filters > out->weights_max) out->weights_max = positions * (size_t)cut->filters;
        double each = (double)weights_of(vector, t) / (double)cut->count;
        for (uint64_t i = 0; i < cut->count; i++, tiles++, before += each)
            while (chunk < out->chunks && before >= total * chunk / out->chunks - 0.5) out->first[chunk++] = tiles;
    }
    while (chunk <= out->chunks) out->first[chunk++] = tiles;
}

static wmk_status make_workspace(workspace **out, const plan *p)
{
    size_t lane = (p->positions_max + 7) / 8 * 8, value = (p->weights_max + 7) / 8 * 8, head = (sizeof(workspace) + 63) / 64 * 64;
    size_t bytes = head + (2 * value + LANES * lane) * sizeof(double) + lane * (sizeof(uint64_t) + 2 * sizeof(uint32_t));
    WMK_TRY(wmk_alloc_aligned(out, bytes));
    workspace *space = *out;
    space->value = (double *)((char *)space + head);
    for (size_t l = 0; l < LANES; l++) space->lane[l] = space->value + value + l * lane;
    space->shift = space->value + value + LANES * lane;
    space->run_element = (uint64_t *)(space->shift + value);
    space->run_count = (uint32_t *)(space->run_element + lane);
    space->order = space->run_count + lane;
    return WMK_OK;
}

wmk_status wmk_tiles_walk(const wmk_key *key, const wmk_vector *vector, wmk_tile_prepare prepare, wmk_strip_visit visit, void *payload,
                          void *const *outputs)
{
    plan p = {0};
    workspace **space = NULL;
    wmk_status status;
    int threads = omp_in_parallel() ? 1 : omp_get_max_threads();
    WMK_TRY_GOTO(status, wmk_alloc(&p.cut, vector->count, sizeof *p.cut), done);
    make_plan(&p, vector);
    if (threads > (int)p.chunks) threads = (int)p.chunks;
    WMK_TRY_GOTO(status, wmk_alloc(&space, (size_t)threads, sizeof *space), done);
    for (int i = 0; i < threads; i++) WMK_TRY_GOTO(status, make_workspace(&space[i], &p), done);
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (uint32_t chunk = 0; chunk < p.chunks; chunk++) {
        workspace *mine = space[omp_get_thread_num() % threads];
        size_t t = 0;
        uint64_t base = 0; /* number of target t's first tile */
        for (uint64_t i = p.first[chunk]; i < p.first[chunk + 1]; i++) {
            for (; i >= base + p.cut[t].count; t++) base += p.cut[t].count;
            tile now = {.place = &vector->place[t], .view = &vector->views[t]};
            pick_tile(&now, &p.cut[t], i - base);
            read_tile(&now, mine);
            if (prepare != NULL)
                visit_prepared(key, vector, &now, mine, prepare, visit, payload, chunk);
            else
                visit_tile(key, vector, &now, mine, visit, payload, chunk);
            if (outputs != NULL) write_tile(&now, mine, outputs[t]);
        }
    }
done:
    for (int i = 0; space != NULL && i < threads; i++) {
        if (space[i] == NULL) continue;
        sodium_memzero(space[i]->row, sizeof space[i]->row);
        sodium_memzero(space[i]->sign, sizeof space[i]->sign);
        wmk_free_aligned(space[i]);
    }
    free(space);
    free(p.cut);
    return status;
}
