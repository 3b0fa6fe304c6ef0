/* mark/carrier_tile.c */
#include "mark/carrier_tile.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/convert.h"
#include "base/memory.h"
#include "base/secret.h"
#include "mark/carrier_outbox.h"
#include "mark/x.h"

#define CHUNK_MIN 32768 /* weights worth a chunk */
#define TILE_SAMPLE 4096
#define TILE_LEAST 65536
#define TILE_MOST (1 << 21) /* weights in a tile, about: 4 MiB of deals */
#define TILE_SHARE 32       /* but no more than this part of all */
#define TURN 32             /* positions whose deals are turned together: a cache line of one filter's */
#define PIECE 1024          /* weights of a filter shown at a time where they need not come together */

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* One thread's working memory, in a block of secrets. */
typedef struct workspace {
    wmk_tile_map map;
    uint16_t *deal;                           /* by filter [filters][deal_stride], else [positions][filters] */
    uint16_t *stage;                          /* [positions][filters] as dealt; [TURN][filters] where that is the order */
    wmk_parcel *parcel;                       /* what a tile is stored in, of targets that are written apart; NULL: no parcel yet */
    double *value, *exact, *stored, *scratch; /* [weights in a block], all but the first for walks with rooms */
    double *inverse, *rms;                    /* [weights in a block] carrier balanced, the second for walks with rooms */
    double *channel, *channel_rms;            /* [positions] the same, of a tile that goes filter by filter */
    float *channel_f32, *channel_rms_f32;     /* the same, for walks with rooms */
    float *v, *change, *direction;            /* the same */
    double channel_largest;                   /* of all four kinds of factors of channels */
} workspace;

/* Where the chunks begin: tiles are numbered through all targets that are there. */
typedef struct plan {
    wmk_cut *cut; /* [target count]; count 0 for a missing target */
    uint32_t chunks;
    uint64_t first[WMK_CHUNKS_MAX + 1];
    size_t panels, runs_max, positions_max, deal_max, stage_max, block_max, bytes_max;
} plan;

/* A walk, for all threads. */
typedef struct walker {
    const wmk_key *key;
    const wmk_vector *vector;
    const wmk_walk *walk;
    plan plan;
    uint32_t *pending;  /* [panels] tiles not done; NULL: nobody wants to know */
    wmk_outbox *outbox; /* NULL: nobody takes what is stored */
} walker;

/* ---- the plan ---- */

static uint64_t weights_of(const wmk_vector *vector, size_t t)
{
    return vector->views[t].data == NULL ? 0 : vector->place[t].filters * vector->place[t].per_filter;
}

uint32_t wmk_tiles_chunks(const wmk_vector *vector)
{
    uint64_t chunks = vector->weights_read / CHUNK_MIN;
    return chunks < 1 ? 1 : chunks > WMK_CHUNKS_MAX ? WMK_CHUNKS_MAX : (uint32_t)chunks;
}

static wmk_cut cut_target(const wmk_vector *vector, size_t t, uint64_t every)
{
    uint64_t share = vector->weights_read / TILE_SHARE;
    bool sample = every > 1;
    return wmk_cut_make(&vector->place[t], &vector->views[t],
                        sample               ? TILE_SAMPLE
                        : share < TILE_LEAST ? TILE_LEAST
                                             : least(share, TILE_MOST),
                        sample);
}

bool wmk_tiles_whole(const wmk_vector *vector, size_t t) { return cut_target(vector, t, 1).whole; }

/* A filter's deals begin at different places of the cache, and at whole lines of it. */
static size_t deal_stride(size_t positions) { return (positions + 31) / 32 * 32 + 32; }

static void widen(size_t *most, size_t size)
{
    if (*most < size) *most = size;
}

static bool goes_apart(const walker *w, const wmk_cut *cut, size_t t)
{
    const wmk_walk *walk = w->walk;
    const wmk_traffic *traffic = walk->traffic;
    return walk->outputs != NULL && !walk->trial && traffic != NULL && traffic->written != NULL && traffic->apart != NULL && traffic->apart[t] &&
           w->vector->views[t].codec == NULL && cut->stretch;
}

static void plan_room(plan *out, const walker *w, size_t t)
{
    const wmk_cut *cut = &out->cut[t];
    size_t positions = wmk_cut_positions(cut), filters = (size_t)cut->block[WMK_CUT_FILTERS], weights = positions * filters;
    widen(&out->runs_max, positions);
    if (!cut->by_filter) {
        widen(&out->deal_max, weights);
        widen(&out->block_max, weights);
        return;
    }
    widen(&out->positions_max, positions);
    widen(&out->deal_max, filters * deal_stride(positions));
    widen(&out->stage_max, cut->in_order ? TURN * filters : weights);
    widen(&out->block_max, positions);
    if (goes_apart(w, cut, t)) widen(&out->bytes_max, weights * (wmk_dtype_bits(w->vector->views[t].dtype) / 8));
}

static void make_plan(plan *out, const walker *w)
{
    const wmk_vector *vector = w->vector;
    out->chunks = wmk_tiles_chunks(vector);
    uint64_t tiles = 0;
    double before = 0, total = (double)vector->weights_read;
    uint32_t chunk = 0;
    for (size_t t = 0; t < vector->count; t++) {
        if (vector->views[t].data == NULL) continue;
        wmk_cut *cut = &out->cut[t];
        *cut = cut_target(vector, t, w->walk->every);
        cut->first_panel = out->panels;
        out->panels += (size_t)(cut->count / cut->panel_tiles);
        plan_room(out, w, t);
        double each = (double)weights_of(vector, t) / (double)cut->count;
        for (uint64_t i = 0; i < cut->count; i++, tiles++, before += each)
            while (chunk < out->chunks && before >= total * chunk / out->chunks - 0.5) out->first[chunk++] = tiles;
    }
    while (chunk <= out->chunks) out->first[chunk++] = tiles;
}

/* Of one block of memory so many elements, at a cache line; what is used side by side does not begin at the same place of a page. */
static void *take(unsigned char *block, size_t *used, size_t count, size_t size)
{
    void *taken = block == NULL ? NULL : block + *used;
    *used += (count * size + 63) / 64 * 64 + 832;
    return taken;
}

static size_t lay_out(workspace *s, unsigned char *block, const plan *p, bool rooms, bool balanced)
{
    size_t used = 0;
    take(block, &used, 1, sizeof *s);
    s->deal = take(block, &used, p->deal_max, sizeof *s->deal);
    s->stage = take(block, &used, p->stage_max, sizeof *s->stage);
    s->v = take(block, &used, rooms ? p->block_max : 0, sizeof *s->v);
    s->change = take(block, &used, rooms ? p->block_max : 0, sizeof *s->change);
    s->direction = take(block, &used, rooms ? p->block_max : 0, sizeof *s->direction);
    s->map.run_element = take(block, &used, p->runs_max, sizeof *s->map.run_element);
    s->map.run_count = take(block, &used, p->runs_max, sizeof *s->map.run_count);
    s->map.position = take(block, &used, p->positions_max, sizeof *s->map.position);
    s->value = take(block, &used, p->block_max, sizeof *s->value);
    s->exact = take(block, &used, rooms ? p->block_max : 0, sizeof *s->exact);
    s->stored = take(block, &used, rooms ? p->block_max : 0, sizeof *s->stored);
    s->scratch = take(block, &used, rooms ? p->block_max : 0, sizeof *s->scratch);
    s->inverse = take(block, &used, balanced ? p->block_max : 0, sizeof *s->inverse);
    s->rms = take(block, &used, balanced && rooms ? p->block_max : 0, sizeof *s->rms);
    s->channel = take(block, &used, balanced ? p->positions_max : 0, sizeof *s->channel);
    s->channel_rms = take(block, &used, balanced && rooms ? p->positions_max : 0, sizeof *s->channel_rms);
    s->channel_f32 = take(block, &used, balanced && rooms ? p->positions_max : 0, sizeof *s->channel_f32);
    s->channel_rms_f32 = take(block, &used, balanced && rooms ? p->positions_max : 0, sizeof *s->channel_rms_f32);
    return used;
}

static wmk_status make_workspace(workspace **out, const plan *p, bool rooms, bool balanced)
{
    workspace size;
    unsigned char *block;
    WMK_TRY(wmk_secret_alloc(&block, lay_out(&size, NULL, p, rooms, balanced), 1));
    *out = (workspace *)(void *)block;
    lay_out(*out, block, p, rooms, balanced);
    return WMK_OK;
}

/* ---- a tile ---- */

/* Canonical positions of a tile come in stretches of so many. */
static size_t positions_together(const wmk_tile *t)
{
    size_t together = 1;
    for (int a = WMK_AXES; a-- > 0;) {
        together *= (size_t)t->extent[a];
        if (t->extent[a] != t->place->extent[a]) break;
    }
    return together;
}

/* Deals of canonical positions [p, p + count) of the tile: deal [count][filters]. */
static void deal_positions(const wmk_key *key, const wmk_tile *t, size_t p, size_t count, uint16_t *deal)
{
    const wmk_place *place = t->place;
    size_t filters = (size_t)t->filters, together = positions_together(t);
    for (size_t n; count > 0; p += n, count -= n) {
        uint64_t first;
        n = together - p % together;
        if (n > count) n = count;
        wmk_tile_locate(t, p, &first);
        uint64_t column = place->column + first * place->filters + t->filter;
        size_t calls = filters == place->filters ? 1 : n, each = filters == place->filters ? n * filters : filters;
        for (size_t c = 0; c < calls; c++, column += place->filters, deal += each) wmk_x_deal(key, column, each, deal);
    }
}

static void deal_tile(const wmk_key *key, const wmk_tile *t, bool in_order, workspace *s)
{
    size_t filters = (size_t)t->filters, stride = deal_stride(t->positions);
    if (!t->by_filter) {
        deal_positions(key, t, 0, t->positions, s->deal);
        return;
    }
    if (!in_order) deal_positions(key, t, 0, t->positions, s->stage);
    for (size_t k = 0; k < t->positions; k += TURN) {
        const uint16_t *row[TURN];
        size_t n = t->positions - k < TURN ? t->positions - k : TURN;
        for (size_t f = 0; f < filters; f++) __builtin_prefetch(s->deal + f * stride + k, 1, 2); /* a line each, far apart */
        if (in_order) deal_positions(key, t, k, n, s->stage);
        for (size_t r = 0; r < n; r++) row[r] = s->stage + (in_order ? r : s->map.position[k + r]) * filters;
        wmk_deal_turn(s->deal + k, stride, row, n, filters);
    }
}

/* The run that holds weight *k of the block, and where in it. */
static size_t run_of(const wmk_tile_map *map, size_t *k)
{
    size_t r = 0;
    for (; *k >= map->run_count[r]; r++) *k -= map->run_count[r];
    return r;
}

uint64_t wmk_block_element(const wmk_block *block, size_t i)
{
    size_t r = run_of(block->place.map, &i);
    return block->place.base + block->place.map->run_element[r] + i;
}

/* Plain bytes of element number `element`, the block's weight k, where they are stored. */
static void *bytes_of(const wmk_block *block, uint64_t element, size_t k)
{
    size_t size = wmk_dtype_bits(block->place.view->dtype) / 8;
    if (block->place.output == NULL) return (unsigned char *)block->place.scratch + k * size;
    return (unsigned char *)block->place.output + (element - block->place.first) * size;
}

void wmk_block_write(const wmk_block *block, size_t k, size_t count, const double *exact)
{
    const wmk_tile_map *map = block->place.map;
    size_t at = k;
    for (size_t r = run_of(map, &at), n; count > 0; r++, at = 0, k += n, count -= n, exact += n) {
        uint64_t element = block->place.base + map->run_element[r] + at;
        n = (size_t)least(map->run_count[r] - at, count);
        if (block->place.view->codec != NULL)
            block->place.view->codec->write(block->place.view, block->place.output, element, n, exact);
        else
            wmk_write_f64(bytes_of(block, element, k), block->place.view->dtype, exact, n);
    }
}

/* Through the view, or what was stored in its place. */
static void read_weights(const wmk_block *block, size_t k, size_t count, double *value, bool stored)
{
    const wmk_tile_map *map = block->place.map;
    wmk_tensor_view view = *block->place.view;
    if (stored) view.data = block->place.output;
    size_t at = k;
    for (size_t r = run_of(map, &at), n; count > 0; r++, at = 0, k += n, count -= n, value += n) {
        uint64_t element = block->place.base + map->run_element[r] + at;
        n = (size_t)least(map->run_count[r] - at, count);
        if (!stored && n < count) wmk_view_fetch(&view, block->place.base + map->run_element[r + 1], map->run_count[r + 1]);
        if (stored && view.codec == NULL)
            wmk_read_f64(value, bytes_of(block, element, k), view.dtype, n);
        else
            wmk_view_read(&view, element, n, value);
        if (block->place.damaged) wmk_values_clean(value, n);
    }
}

void wmk_block_fetch(const wmk_block *block, size_t k, size_t count, double *value) { read_weights(block, k, count, value, false); }

void wmk_block_read(const wmk_block *block, size_t k, size_t count, double *stored) { read_weights(block, k, count, stored, true); }

const void *wmk_block_source(const wmk_block *block, size_t k)
{
    return (const unsigned char *)block->place.view->data + wmk_block_element(block, k) * (wmk_dtype_bits(block->place.view->dtype) / 8);
}

void *wmk_block_target(const wmk_block *block, size_t k) { return bytes_of(block, wmk_block_element(block, k), k); }

double wmk_block_squares(const wmk_block *block)
{
    wmk_tensor_view view = *block->place.view;
    uint64_t filter = (block->place.base - block->place.first) / block->place.place->filter_stride;
    double squares;
    view.data = block->place.output;
    wmk_view_filter_square(&view, block->place.place, filter, &squares);
    return squares;
}

/* The number of a tile's input channel, over all targets; p: a canonical position of the tile. */
static uint64_t channel_at(const wmk_tile *t, size_t p)
{
    uint64_t channel = t->from[WMK_AXIS_I] + p % t->extent[WMK_AXIS_I];
    return t->place->channel + channel % t->place->channels;
}

/* to[i] = by[i] factor, and no more than what a weight is multiplied by at most. */
static void multiply(double *to, const double *by, double factor, size_t count)
{
#pragma omp simd
    for (size_t i = 0; i < count; i++) to[i] = by[i] * factor < WMK_FACTOR_MAX ? by[i] * factor : WMK_FACTOR_MAX;
}

/* Carrier balanced, a tile of strips: every weight's factors. */
static void balance_strips(const walker *w, const wmk_tile *t, workspace *s, wmk_block *block)
{
    for (size_t k = 0; k < block->strips; k++) {
        uint64_t channel = channel_at(t, k);
        multiply(s->inverse + k * block->length, w->vector->inverse + block->filter, w->vector->channel[channel], block->length);
        if (w->walk->rooms) multiply(s->rms + k * block->length, w->vector->rms + block->filter, w->vector->channel_rms[channel], block->length);
    }
    block->inverse = (wmk_factor){s->inverse, false, true};
    block->rms = (wmk_factor){s->rms, false, true};
}

/* The channels' factors in the order of memory. */
static void balance_positions(const walker *w, const wmk_tile *t, workspace *s)
{
    s->channel_largest = 0;
    for (size_t k = 0; k < t->positions; k++) {
        uint64_t channel = channel_at(t, s->map.position[k]);
        s->channel[k] = w->vector->channel[channel];
        if (!w->walk->rooms) continue;
        s->channel_rms[k] = w->vector->channel_rms[channel];
        s->channel_f32[k] = (float)s->channel[k];
        s->channel_rms_f32[k] = (float)s->channel_rms[k];
        double larger = s->channel[k] > s->channel_rms[k] ? s->channel[k] : s->channel_rms[k];
        if (larger > s->channel_largest) s->channel_largest = larger;
    }
}

void wmk_block_factors(wmk_block *block)
{
    if (block->channels.factor == NULL) return;
    multiply(block->channels.inverse, block->channels.factor, *block->inverse.value, block->length);
    if (block->channels.rms != NULL) multiply(block->channels.rms, block->channels.factor_rms, *block->rms.value, block->length);
    block->inverse = (wmk_factor){block->channels.inverse, false, true};
    block->rms = (wmk_factor){block->channels.rms, false, true};
    block->channels.factor = NULL;
}

/* The channels of weights [k, ...) of one filter. */
static void set_channels(const walker *w, workspace *s, wmk_block *block, size_t k)
{
    bool rooms = w->walk->rooms;
    block->channels.factor = s->channel + k;
    block->channels.factor_rms = rooms ? s->channel_rms + k : NULL;
    block->channels.f32 = rooms ? s->channel_f32 + k : NULL;
    block->channels.rms_f32 = rooms ? s->channel_rms_f32 + k : NULL;
    block->channels.largest = s->channel_largest;
    block->channels.inverse = s->inverse;
    block->channels.rms = rooms ? s->rms : NULL;
    if (!rooms) wmk_block_factors(block);
}

/* Shows a tile of strips. */
static void show_strips(const walker *w, const wmk_tile *t, workspace *s, wmk_block *block, uint32_t chunk)
{
    block->strips = t->positions;
    block->length = (size_t)t->filters;
    block->filter = t->place->filter + t->filter;
    block->inverse = (wmk_factor){w->vector->inverse + block->filter, false, false};
    block->rms = (wmk_factor){w->vector->rms + block->filter, false, false};
    if (w->vector->channel != NULL) balance_strips(w, t, s, block);
    block->deal = s->deal;
    if (!w->walk->rooms) wmk_block_fetch(block, 0, block->strips * block->length, s->value);
    w->walk->visit(w->walk->payload, chunk, block);
}

/* Shows a tile filter by filter. */
static void show_filters(const walker *w, const wmk_tile *t, workspace *s, wmk_block *block, uint32_t chunk)
{
    size_t stride = deal_stride(t->positions), piece = w->walk->rooms ? t->positions : PIECE;
    block->strips = 1;
    if (w->vector->channel != NULL) balance_positions(w, t, s);
    for (uint64_t f = 0; f < t->filters; f++) {
        block->filter = t->place->filter + t->filter + f;
        block->place.base = (t->filter + f) * t->place->filter_stride;
        for (size_t k = 0; k < t->positions; k += piece) {
            block->inverse = (wmk_factor){w->vector->inverse + block->filter, true, false};
            block->rms = (wmk_factor){w->vector->rms + block->filter, true, false};
            block->length = t->positions - k < piece ? t->positions - k : piece;
            block->deal = s->deal + f * stride + k;
            if (w->vector->channel != NULL) set_channels(w, s, block, k);
            if (!w->walk->rooms) wmk_block_fetch(block, k, block->length, s->value);
            w->walk->visit(w->walk->payload, chunk, block);
        }
    }
}

static void show_tile(const walker *w, const wmk_tile *t, const wmk_cut *cut, size_t target, workspace *s, uint32_t chunk)
{
    wmk_tile_map_make(&s->map, t);
    deal_tile(w->key, t, cut->in_order, s);
    bool apart = goes_apart(w, cut, target);
    if (apart && s->parcel == NULL) s->parcel = wmk_outbox_take(w->outbox);
    void *output = w->walk->outputs == NULL || (w->walk->trial && t->view->codec == NULL) ? NULL : w->walk->outputs[target];
    wmk_block block = {.value = s->value,
                       .groups = s->map.groups,
                       .step = s->map.step,
                       .whole = cut->whole,
                       .one_run = s->map.runs == 1 && t->place->outer == 1,
                       .per_filter = t->place->per_filter,
                       .exact = s->exact,
                       .stored = s->stored,
                       .v = s->v,
                       .change = s->change,
                       .direction = s->direction,
                       .place = {.damaged = w->vector->damaged[target],
                                 .view = t->view,
                                 .place = t->place,
                                 .map = &s->map,
                                 .output = apart ? s->parcel->bytes : output,
                                 .first = apart ? t->filter * t->place->filter_stride : 0,
                                 .scratch = s->scratch}};
    (t->by_filter ? show_filters : show_strips)(w, t, s, &block, chunk);
}

/* ---- the walk ---- */

/* A sample's tile is done: a little of its panel was read, and the system has brought in what lies about it. */
static void sample_done(const walker *w, size_t t, uint64_t index)
{
    const wmk_cut *cut = &w->plan.cut[t];
    const wmk_traffic *traffic = w->walk->traffic;
    uint64_t offset, size;
    if (traffic == NULL || traffic->passed == NULL) return;
    wmk_cut_panel(cut, &w->vector->views[t], &w->vector->place[t], index / cut->panel_tiles, &offset, &size);
    traffic->passed(traffic->payload, (const char *)w->vector->views[t].data + offset, size);
}

/* One tile is done, and perhaps its panel with it. */
static void tile_done(walker *w, size_t t, uint64_t index, workspace *s)
{
    const wmk_cut *cut = &w->plan.cut[t];
    uint64_t panel = index / cut->panel_tiles, offset, size;
    /* Who finds 0 must see what the others stored. */
    uint32_t left = __atomic_sub_fetch(&w->pending[cut->first_panel + panel], 1, __ATOMIC_ACQ_REL);
    if (left > 0) return;
    wmk_cut_panel(cut, &w->vector->views[t], &w->vector->place[t], panel, &offset, &size);
    if (w->outbox != NULL) {
        wmk_parcel *parcel = s->parcel != NULL ? s->parcel : wmk_outbox_take(w->outbox);
        parcel->target = t;
        parcel->offset = offset;
        parcel->size = size;
        parcel->apart = goes_apart(w, cut, t);
        s->parcel = NULL;
        wmk_outbox_send(w->outbox, parcel);
    }
    wmk_traffic_read(w->walk->traffic, (const char *)w->vector->views[t].data + offset, size);
}

static wmk_status start_traffic(walker *w, size_t threads)
{
    const wmk_walk *walk = w->walk;
    if (walk->traffic == NULL || walk->every > 1) return WMK_OK;
    if (walk->outputs != NULL && walk->traffic->written != NULL) WMK_TRY(wmk_outbox_open(&w->outbox, walk->traffic, threads, w->plan.bytes_max));
    WMK_TRY(wmk_alloc(&w->pending, w->plan.panels, sizeof *w->pending));
    for (size_t t = 0; t < w->vector->count; t++) {
        const wmk_cut *cut = &w->plan.cut[t];
        for (uint64_t i = 0; w->vector->views[t].data != NULL && i < cut->count / cut->panel_tiles; i++)
            w->pending[cut->first_panel + i] = (uint32_t)cut->panel_tiles;
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

static void walk_chunk(walker *w, uint32_t chunk, workspace *space)
{
    const plan *p = &w->plan;
    size_t t = 0;
    uint64_t base = 0; /* number of target t's first tile */
    for (uint64_t i = p->first[chunk]; i < p->first[chunk + 1]; i++) {
        for (; i >= base + p->cut[t].count; t++) base += p->cut[t].count;
        if (w->walk->every > 1 && !is_sampled(i, w->walk->every)) continue;
        wmk_tile tile = {.place = &w->vector->place[t], .view = &w->vector->views[t]};
        wmk_tile_pick(&tile, &p->cut[t], i - base);
        show_tile(w, &tile, &p->cut[t], t, space, chunk);
        if (w->walk->every > 1) sample_done(w, t, i - base);
        if (w->pending != NULL) tile_done(w, t, i - base, space);
        if (w->outbox != NULL && wmk_outbox_failed(w->outbox)) return;
    }
}

typedef struct team {
    walker *walker;
    workspace **space; /* [threads] */
    int threads;
} team;

/* One thread's share of a walk, in a parallel region. argument: the team. */
static void walk_chunks(void *argument)
{
    const team *t = argument;
#pragma omp for schedule(dynamic, 1)
    for (uint32_t chunk = 0; chunk < t->walker->plan.chunks; chunk++) walk_chunk(t->walker, chunk, t->space[omp_get_thread_num() % t->threads]);
}

wmk_status wmk_tiles_walk(const wmk_key *key, const wmk_vector *vector, const wmk_walk *walk)
{
    walker w = {.key = key, .vector = vector, .walk = walk};
    workspace **space = NULL;
    wmk_status status;
    int threads = walk->in_turn || omp_in_parallel() ? 1 : omp_get_max_threads();
    WMK_TRY_GOTO(status, wmk_alloc(&w.plan.cut, vector->count, sizeof *w.plan.cut), done);
    make_plan(&w.plan, &w);
    if (threads > (int)w.plan.chunks) threads = w.plan.chunks > 0 ? (int)w.plan.chunks : 1;
    WMK_TRY_GOTO(status, wmk_alloc(&space, (size_t)threads, sizeof *space), done);
    for (int i = 0; i < threads; i++) WMK_TRY_GOTO(status, make_workspace(&space[i], &w.plan, walk->rooms, vector->channel != NULL), done);
    WMK_TRY_GOTO(status, start_traffic(&w, (size_t)threads), done);
#pragma omp parallel num_threads(threads)
    wmk_secret_call(walk_chunks, &(team){&w, space, threads});
done:
    for (int i = 0; space != NULL && i < threads; i++) wmk_secret_free(space[i]);
    free(space);
    free(w.pending);
    free(w.plan.cut);
    wmk_status stored = wmk_outbox_close(w.outbox);
    return status != WMK_OK ? status : stored;
}
