/* mark/embed_stream.c - partition over single weights, whatever their number: read, write tile by tile, and read what was stored while it is at hand; where that lost a margin, aim higher
 * and write again. Nothing of the weights' size is held in memory. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/secret.h"
#include "mark/carrier_kernel.h"
#include "mark/carrier_tile.h"
#include "mark/edit_kernel.h"
#include "mark/embed.h"
#include "mark/embed_rounding.h"
#include "mark/key.h"

#define SAMPLE_ERROR 0.003 /* of a margin: how far the sample's answer may be from that of all weights */
#define BATCH 12           /* points of the answer that are measured in one walk */

typedef double pair[2];
typedef double quad[4];

/* What one chunk wrote. */
typedef struct written_sums {
    double changed; /* ||dW||^2 */
    uint64_t unfit; /* a filter whose squares are no finite number any more, and one; 0: none */
    uint64_t unfit_element;
    double unfit_value; /* the largest there */
} written_sums;

typedef struct stream {
    wmk_embedding *e;
    uint32_t T, chunks;
    size_t deals; /* 2 T: rows with their signs */
    bool balanced;
    bool codecs;           /* some target has one */
    bool zeros;            /* zeros are filled */
    bool shared;           /* some targets are the same bytes */
    bool later;            /* what is stored is read when all is written: targets share bytes, or a filter's factors depend on others */
    double *squares;       /* [chunk] sum of squares of all weights as they were */
    quad *count;           /* [chunk][deals] {sum of w, of w^2, columns of filters that are not all zeros, nothing} before */
    quad *first;           /* [T] {X_j . w, ||w of row j||^2, such columns, nothing} */
    float (*edit)[2];      /* [deals] a weight w, over the RMS of its filter, changes by edit[0] w + edit[1] */
    double *shortfall;     /* [T] of the edit[1] of row j, what rounding is expected to take */
    pair *sum;             /* [chunk][deals] {sum of w, of w^2} as stored, targets whose filters are shown whole */
    written_sums *written; /* [chunk] */
    wmk_rounding rounding;
    double slack;                    /* what targets are raised by so that it need not be done twice */
    double ask[WMK_ROUNDING_POINTS]; /* [asks] points to measure, and */
    int asks;
    wmk_edit_sums (*answer)[WMK_ROUNDING_POINTS]; /* [chunk] the answers */
} stream;

/* Row j changes its weights by `scale` of them, and by `add` in its direction. */
static void set_edit(stream *s, uint32_t j, double scale, double add)
{
    float(*edit)[2] = s->edit + 2 * (size_t)j;
    edit[0][0] = edit[1][0] = (float)scale;
    edit[0][1] = (float)(add * s->e->sign[j]);
    edit[1][1] = -edit[0][1];
}

static void visit_count(void *payload, uint32_t chunk, const wmk_block *block)
{
    const stream *s = payload;
    for (size_t k = 0, at = 0; k < block->strips; k++, at += block->length)
        wmk_deal_count(s->count + chunk * s->deals, block->value + at, wmk_factor_from(block->inverse, at), s->zeros, block->deal + at,
                       block->length);
    s->squares[chunk] += wmk_squares_f64(block->value, block->strips * block->length);
}

/* Takes the mean change of each group from it: without that every kernel keeps its sum, and with it what the filter answers to the mean of its input. That mean is far from zero behind a
 * Relu, and its share of the change is what costs accuracy. */
static void balance(const wmk_block *block)
{
    size_t count = block->strips * block->length, groups = block->groups, step = block->step, round = groups * step;
    float *change = block->change;
    double *mean = block->exact, share = (double)groups / (double)count;
    memset(mean, 0, groups * sizeof *mean);
    for (size_t i = 0; i < count; i += round)
        for (size_t g = 0; g < groups && step > 1; g++)
            for (size_t k = 0; k < step; k++) mean[g] += (double)change[i + g * step + k];
    for (size_t i = 0; i < count && step == 1; i += groups)
        for (size_t g = 0; g < groups; g++) mean[g] += (double)change[i + g];
    for (size_t g = 0; g < groups; g++) mean[g] *= share;
    for (size_t i = 0; i < count; i += round)
        for (size_t g = 0; g < groups && step > 1; g++)
            for (size_t k = 0; k < step; k++) change[i + g * step + k] -= (float)mean[g];
    for (size_t i = 0; i < count && step == 1; i += groups)
        for (size_t g = 0; g < groups; g++) change[i + g] -= (float)mean[g];
}

/* The same where some weights are 0 and stay so: each group has a mean and a gain of its own weights that change. */
static void balance_some(const wmk_block *block, size_t count)
{
    size_t groups = block->groups, step = block->step;
    float *change = block->change;
    double *mean = block->exact, *there = block->stored;
    memset(mean, 0, groups * sizeof *mean);
    memset(there, 0, groups * sizeof *there);
    for (size_t i = 0; i < count; i++) {
        size_t g = i / step % groups;
        mean[g] += (double)change[i];
        there[g] += block->v[i] != 0;
    }
    for (size_t i = 0; i < count; i++) {
        size_t g = i / step % groups;
        if (block->v[i] == 0 || there[g] <= 1) continue;
        change[i] = (float)((there[g] * (double)change[i] - mean[g]) / (there[g] - 1));
    }
}

/* What weights [k, k + count) of a block, all of it or some of a single group, are to change by, from block->v, in units of what they were divided by: block->change, and the number
 * returned. The gain makes up for what the kept sums take from a row's own columns. */
static float find_change(const stream *s, const wmk_block *block, size_t k, size_t count, bool balanced)
{
    double each = (double)count / (double)block->groups;
    balanced = balanced && each > 1;
    const float(*edit)[2] = (const float(*)[2])s->edit;
    wmk_change all = wmk_deal_change(block->change, block->v, balanced ? (float)(each / (each - 1)) : 1, s->zeros, edit, block->deal + k, count);
    if (!balanced) return 0;
    if (all.fixed == 0 && block->groups == 1) return (float)(-all.sum / each);
    if (all.fixed == 0) {
        balance(block);
    } else {
        wmk_deal_change(block->change, block->v, 1, s->zeros, edit, block->deal + k, count);
        balance_some(block, count);
    }
    return 0;
}

/* Weights of a block as they are, and over their filters' RMS. */
static void fetch(const wmk_block *block, size_t k, size_t count)
{
    size_t length = count < block->length ? count : block->length;
    wmk_block_fetch(block, k, count, block->value);
    for (size_t i = 0; i < count; i += length) wmk_edit_divide(block->v + i, block->value + i, wmk_factor_from(block->inverse, k + i), length);
}

/* Weights taken together: so many that they stay in the first-level cache, unless groups or a codec's units would be cut. */
static size_t piece_of(const wmk_block *block)
{
    size_t count = block->strips * block->length;
    const wmk_codec *codec = block->place.view->codec;
    bool cut = block->groups == 1 && (codec == NULL || WMK_SQUARES_BLOCK % codec->granule == 0);
    return cut && count > WMK_SQUARES_BLOCK ? WMK_SQUARES_BLOCK : count;
}

static void note_unfit(written_sums *to, const wmk_block *block)
{
    size_t at = 0, count = block->strips * block->length;
    const double *stored = block->stored;
    wmk_block_read(block, 0, count, block->stored);
    for (size_t i = 1; i < count && isfinite(stored[at]); i++)
        if (!(fabs(stored[i]) <= fabs(stored[at]))) at = i;
    to->unfit = block->filter + 1;
    to->unfit_element = wmk_block_element(block, at);
    to->unfit_value = stored[at];
}

/* Whether bfloat16 goes from bytes to bytes: in single precision, which must hold all factors and their products. */
static bool is_direct(const wmk_block *block, size_t piece)
{
    const double large = 1e30, channel = block->channels.factor != NULL ? block->channels.largest : 0;
    const wmk_tensor_view *view = block->place.view;
    return view->codec == NULL && view->dtype == WMK_BF16 && block->one_run && piece <= WMK_SQUARES_BLOCK && block->inverse.one &&
           *block->inverse.value < large && channel < large && channel * fmax(*block->inverse.value, *block->rms.value) < large;
}

/* One piece from what it is to what is stored. */
static void edit_piece(const stream *s, const wmk_block *block, size_t k, size_t count, double *changed, double *squares)
{
    fetch(block, k, count);
    float by = find_change(s, block, k, count, s->balanced);
    size_t length = count < block->length ? count : block->length;
    for (size_t i = 0; i < count; i += length)
        wmk_edit_apply(block->exact + i, block->value + i, wmk_factor_from(block->rms, k + i), block->change + i, by, length);
    wmk_block_write(block, k, count, block->exact);
    wmk_block_read(block, k, count, block->stored);
    wmk_compare_row(block->value, block->stored, count, changed, squares);
}

static void edit_direct(const stream *s, const wmk_block *block, size_t k, size_t count, double *changed, double *squares)
{
    const void *from = wmk_block_source(block, k);
    bool each = block->channels.factor != NULL;
    wmk_edit_divide_bf16(block->v, from, (float)*block->inverse.value, each ? block->channels.f32 + k : NULL, count);
    float by = find_change(s, block, k, count, s->balanced);
    wmk_edit_apply_bf16(wmk_block_target(block, k), from, (float)*block->rms.value, each ? block->channels.rms_f32 + k : NULL, block->change, by,
                        count, changed, squares);
}

/* Adds the rows' sums of a filter that was stored. */
static void read_filter(const stream *s, uint32_t chunk, const wmk_block *block, size_t piece, double squares)
{
    written_sums *to = &s->written[chunk];
    size_t count = block->strips * block->length, n;
    if (!block->one_run || piece > WMK_SQUARES_BLOCK) squares = wmk_block_squares(block);
    double rms = sqrt(squares / (double)block->per_filter), inverse = rms > 0 ? 1 / rms : 0;
    if (!isfinite(squares) && to->unfit == 0) note_unfit(to, block);
    for (size_t k = 0; k < count; k += n) {
        n = count - k < piece ? count - k : piece;
        wmk_block_read(block, k, n, block->stored);
        wmk_deal_row(s->sum + chunk * s->deals, block->stored, (wmk_factor){&inverse, true, false}, block->deal + k, n);
    }
}

static void visit_edit(void *payload, uint32_t chunk, const wmk_block *shown)
{
    const stream *s = payload;
    wmk_block block = *shown;
    double squares = 0;
    size_t count = block.strips * block.length, piece = piece_of(&block), n;
    bool direct = is_direct(&block, piece);
    if (!direct) wmk_block_factors(&block);
    for (size_t k = 0; k < count; k += n) {
        n = count - k < piece ? count - k : piece;
        (direct ? edit_direct : edit_piece)(s, &block, k, n, &s->written[chunk].changed, &squares);
    }
    if (block.whole && !s->later) read_filter(s, chunk, &block, piece, squares);
}

static inline double factor_at(wmk_factor factor, size_t i) { return factor.value[factor.one ? 0 : i]; }

/* How the weights of a block moved in their rows' directions, in units of what they were divided by. */
static void add_moved(wmk_edit_sums *to, const wmk_block *block, bool zeros)
{
    for (size_t k = 0; k < block->strips; k++) {
        double moved = 0, squares = 0, weights = 0;
        const wmk_factor inverse = wmk_factor_from(block->inverse, k * block->length);
        const double *stored = block->stored + k * block->length, *value = block->value + k * block->length;
        const float *direction = block->direction + k * block->length;
#pragma omp simd reduction(+ : moved, squares, weights)
        for (size_t i = 0; i < block->length; i++) {
            double by = factor_at(inverse, i), way = (stored[i] - value[i]) * by * (double)direction[i];
            moved += way;
            squares += way * way;
            weights += zeros ? by != 0 : by * value[i] != 0;
        }
        to->moved += moved;
        to->moved_squares += squares;
        to->weights += weights;
    }
}

/* Changes every weight by the same in its row's direction, more and more. */
static void visit_measure(void *payload, uint32_t chunk, const wmk_block *shown)
{
    const stream *s = payload;
    wmk_block whole = *shown, *block = &whole;
    wmk_block_factors(block);
    size_t count = block->strips * block->length;
    /* Part of a filter without a window: it says little of the mean of more. */
    bool part = block->strips == 1 && !block->whole && block->per_filter == block->place.place->extent[WMK_AXIS_I];
    fetch(block, 0, count);
    find_change(s, block, 0, count, false);
    memcpy(block->direction, block->change, count * sizeof *block->change);
    float by = find_change(s, block, 0, count, s->balanced && !part);
    for (int a = 0; a < s->asks; a++) {
        for (size_t i = 0; i < count; i += block->length)
            for (size_t k = i; k < i + block->length; k++)
                block->exact[k] = block->value[k] + s->ask[a] * factor_at(wmk_factor_from(block->rms, i), k - i) * (double)(block->change[k] + by);
        wmk_block_write(block, 0, count, block->exact);
        wmk_block_read(block, 0, count, block->stored);
        add_moved(&s->answer[chunk][a], block, s->zeros);
    }
}

/* ---- passes ---- */

static wmk_status count_rows(stream *s)
{
    WMK_TRY(wmk_tiles_walk(s->e->key, &s->e->vector, &(wmk_walk){.visit = visit_count, .payload = s, .traffic = s->e->traffic}));
    for (size_t i = 0; i < s->chunks * s->deals; i++) {
        double *first = s->first[i % s->deals / 2];
        first[0] += i % 2 ? -s->count[i][0] : s->count[i][0];
        first[1] += s->count[i][1];
        first[2] += s->count[i][2];
    }
    pair *sum = NULL;
    WMK_TRY(wmk_secret_alloc(&sum, s->T, sizeof *sum));
    for (uint32_t j = 0; j < s->T; j++) memcpy(sum[j], s->first[j], sizeof *sum);
    wmk_status status = wmk_reading_of_sums(&s->e->before, &s->e->vector, s->T, sum);
    wmk_secret_free(sum);
    return status;
}

/* What the rows want, and what must be asked for because of rounding. */
static wmk_status project_rows(stream *s)
{
    for (uint32_t j = 0; j < s->T; j++) {
        wmk_cone cone;
        double sign = s->e->sign[j];
        const double *first = s->first[j];
        if (!wmk_cone_project(&cone, sign * first[0], first[1], first[2], s->e->margin[j])) return wmk_embed_impossible(s->e, j, sqrt(first[2]));
        double ask = wmk_rounding_ask(&s->rounding, cone.add);
        set_edit(s, j, cone.scale - 1, ask);
        s->shortfall[j] = ask - cone.add;
    }
    return WMK_OK;
}

/* Answers to s->ask, on a sample. *fits: all are finite. */
static wmk_status measure(stream *s, bool *fits)
{
    enum { SAMPLE = 1 << 20 };
    wmk_traffic traffic = {0}; /* nothing is stored yet */
    if (s->e->traffic != NULL) traffic = (wmk_traffic){.payload = s->e->traffic->payload, .passed = s->e->traffic->passed};
    memset(s->answer, 0, s->chunks * sizeof *s->answer);
    for (uint32_t j = 0; j < s->T; j++) set_edit(s, j, 0, 1);
    WMK_TRY(wmk_tiles_walk(s->e->key, &s->e->vector,
                           &(wmk_walk){.visit = visit_measure,
                                       .payload = s,
                                       .rooms = true,
                                       .outputs = s->codecs ? s->e->outputs : NULL,
                                       .trial = true,
                                       .every = s->e->vector.weights_read / SAMPLE,
                                       .traffic = &traffic}));
    for (int a = 0; a < s->asks && *fits; a++) {
        wmk_edit_sums all = {0};
        for (uint32_t c = 0; c < s->chunks; c++) {
            all.moved += s->answer[c][a].moved;
            all.moved_squares += s->answer[c][a].moved_squares;
            all.weights += s->answer[c][a].weights;
        }
        *fits = isfinite(all.moved_squares);
        wmk_rounding_add(&s->rounding, s->ask[a], &all);
    }
    return WMK_OK;
}

/* Learns on a sample how the types that are not exact answer to changes of the size that will be asked for. */
static wmk_status learn_rounding(stream *s)
{
    enum { LARGE = 1 << 24, CLOSER = 16 };
    double largest = 0, smallest = INFINITY;
    bool fits = true, narrow = false, large = s->e->vector.weights_read > LARGE;
    const wmk_vector *v = &s->e->vector;
    for (size_t t = 0; t < v->count; t++)
        narrow = narrow || v->views[t].codec != NULL || (v->views[t].dtype != WMK_F32 && v->views[t].dtype != WMK_F64);
    s->rounding.count = 0;
    s->slack = 0;
    if (!narrow && !(large && s->balanced)) return WMK_OK;
    WMK_TRY(project_rows(s));
    for (uint32_t j = 0; j < s->T; j++) {
        double add = fabs((double)s->edit[2 * (size_t)j][1]);
        largest = fmax(largest, add);
        if (add > 0) smallest = fmin(smallest, add);
    }
    if (largest == 0) return WMK_OK;
    for (double ask = largest / 8; fits && !wmk_rounding_knows(&s->rounding, largest);) {
        for (s->asks = 0; s->asks < BATCH && s->rounding.count + s->asks < WMK_ROUNDING_COARSE; ask *= WMK_ROUNDING_STEP) s->ask[s->asks++] = ask;
        WMK_TRY(measure(s, &fits));
    }
    if (fits) { /* more closely where the rows are */
        double from = wmk_rounding_ask(&s->rounding, smallest), to = wmk_rounding_ask(&s->rounding, 1.02 * largest);
        for (s->asks = 0; s->asks <= CLOSER; s->asks++) s->ask[s->asks] = from + (to - from) * s->asks / CLOSER;
        WMK_TRY(measure(s, &fits));
    }
    if (!fits) { /* changes go beyond what the type holds: for the read-back to say */
        s->rounding.count = 0;
        return WMK_OK;
    }
    if (large) s->slack = wmk_rounding_slack(&s->rounding, largest) + SAMPLE_ERROR * s->e->options->margin;
    for (uint32_t j = 0; j < s->T; j++) s->e->margin[j] += s->slack;
    return WMK_OK;
}

static wmk_status write_tiles(stream *s)
{
    wmk_traffic traffic = {0};
    if (s->e->traffic != NULL) traffic = *s->e->traffic;
    if (s->shared) traffic.apart = NULL; /* they are read from the outputs */
    memset(s->sum, 0, s->chunks * s->deals * sizeof *s->sum);
    memset(s->written, 0, s->chunks * sizeof *s->written);
    return wmk_tiles_walk(
        s->e->key, &s->e->vector,
        &(wmk_walk){.visit = visit_edit, .payload = s, .rooms = true, .outputs = s->e->outputs, .in_turn = s->shared, .traffic = &traffic});
}

/* ---- reading back ---- */

static wmk_status does_not_fit(void) { return wmk_fail_within(WMK_ERROR_NUMERIC, "the change does not fit the stored type"); }

/* NUMERIC when something that was written is no finite number. */
static wmk_status check_written(const stream *s)
{
    for (uint32_t c = 0; c < s->chunks; c++) {
        if (s->written[c].unfit == 0) continue;
        size_t t = s->e->vector.count - 1;
        while (s->e->vector.place[t].filter >= s->written[c].unfit) t--;
        double value = s->written[c].unfit_value;
        const char *name = wmk_view_name(s->e->key, s->e->views, t);
        unsigned long long element = s->written[c].unfit_element;
        if (isfinite(value))
            wmk_fail(WMK_ERROR_NUMERIC, "tensor %s: element %llu is %g: too large to square", name, element, value);
        else
            wmk_fail(WMK_ERROR_NUMERIC, "tensor %s: element %llu is infinite", name, element);
        return does_not_fit();
    }
    return WMK_OK;
}

/* Adds the rows' sums of the targets that were not shown whole, whose filters' sizes were not known while they were written. */
static wmk_status read_others(stream *s, pair *sum)
{
    wmk_tensor_view *views = NULL;
    wmk_vector vector;
    const wmk_embedding *e = s->e;
    bool any = false;
    WMK_TRY(wmk_alloc(&views, e->vector.count, sizeof *views));
    for (size_t t = 0; t < e->vector.count; t++) {
        bool whole = wmk_tiles_whole(&e->vector, t) && !s->later;
        views[t] = e->views[t];
        views[t].data = whole ? NULL : e->outputs[t];
        any = any || !whole;
    }
    wmk_status status = any ? wmk_vector_open(&vector, e->key, views, e->traffic) : WMK_OK;
    if (any && status == WMK_OK) {
        status = wmk_embed_fits(e->key, &vector);
        if (status == WMK_OK) status = wmk_partition_sums(sum, e->key, &vector);
        wmk_vector_close(&vector);
    }
    free(views);
    return status == WMK_ERROR_INPUT ? does_not_fit() : status; /* the views were finite */
}

static wmk_status read_back(stream *s, wmk_reading **out)
{
    pair *sum = NULL;
    WMK_TRY(check_written(s));
    WMK_TRY(wmk_secret_alloc(&sum, s->T, sizeof *sum));
    for (uint32_t c = 0; c < s->chunks; c++) wmk_partition_fold(sum, s->T, (const pair *)s->sum + c * s->deals);
    wmk_status status = read_others(s, sum);
    if (status == WMK_OK) status = wmk_reading_of_sums(out, &s->e->vector, s->T, sum);
    wmk_secret_free(sum);
    return status;
}

/* What was stored keeps all margins, and `after` shows it. */
static wmk_status summarize(stream *s, wmk_reading *after, double least)
{
    wmk_embed_summary *to = &s->e->summary;
    double squares = 0, lost = 0, changed = 0,
           original = 0; /* squares: of an average row: z is the sum of all rows' signed sums over their lengths and sqrt(T) */
    for (uint32_t j = 0; j < s->T; j++) {
        squares += s->first[j][1] / s->T;
        lost += s->shortfall[j] * s->first[j][2];
    }
    for (uint32_t c = 0; c < s->chunks; c++) changed += s->written[c].changed;
    for (uint32_t c = 0; c < s->chunks; c++) original += s->squares[c];
    to->margin_reached = least;
    to->rounding_z = lost / sqrt(squares) / sqrt(s->T);
    to->relative_change = s->shared ? wmk_embed_change(s->e) : original > 0 ? sqrt(changed / original) : 0; /* some was written over */
    return wmk_embed_judge(s->e, after);
}

static wmk_status fit(stream *s)
{
    double least = 0;
    for (uint32_t j = 0; j < s->T; j++) s->e->margin[j] = s->e->options->margin * WMK_EMBED_FIRST;
    WMK_TRY(learn_rounding(s));
    for (int round = 0; round < WMK_EMBED_ROUNDS; round++) {
        wmk_reading *after = NULL;
        WMK_TRY(project_rows(s));
        WMK_TRY(write_tiles(s));
        WMK_TRY(read_back(s, &after));
        if (wmk_embed_raise(s->e, after->score, round, &least)) return summarize(s, after, least);
        for (uint32_t j = 0; j < s->T; j++)
            if (s->e->sign[j] * after->score[j] < s->e->options->margin) s->e->margin[j] += s->slack;
        wmk_reading_free(after);
    }
    return wmk_embed_short(s->e, least);
}

typedef struct extent {
    const unsigned char *begin, *end;
} extent;

static int by_begin(const void *a, const void *b)
{
    const extent *x = a, *y = b;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

/* Whether any two targets' outputs share bytes, as tied layers do. */
static wmk_status find_shared(const wmk_embedding *e, bool *shared)
{
    extent *extents = NULL;
    size_t count = e->vector.count;
    WMK_TRY(wmk_alloc(&extents, count, sizeof *extents));
    for (size_t t = 0; t < count; t++) {
        extents[t].begin = e->outputs[t];
        extents[t].end = extents[t].begin + wmk_view_bytes(&e->views[t], &e->vector.place[t]);
    }
    qsort(extents, count, sizeof *extents, by_begin);
    *shared = false;
    for (size_t t = 1; t < count; t++) *shared = *shared || extents[t].begin < extents[t - 1].end;
    free(extents);
    return WMK_OK;
}

static wmk_status make_stream(stream *s, wmk_embedding *e)
{
    *s = (stream){.e = e,
                  .T = e->key->T,
                  .deals = 2 * (size_t)e->key->T,
                  .chunks = wmk_tiles_chunks(&e->vector),
                  .balanced = !e->options->unbalanced,
                  .zeros = e->options->fill_zeros};
    for (size_t t = 0; t < e->vector.count; t++) {
        if (e->views[t].codec != NULL) s->codecs = true;
        if (!wmk_cut_can_write(&e->vector.place[t], &e->views[t])) return wmk_embed_not_written(e, t);
    }
    WMK_TRY(find_shared(e, &s->shared));
    s->later = s->shared || e->vector.carrier == WMK_CARRIER_BALANCED;
    WMK_TRY(wmk_alloc(&s->squares, s->chunks, sizeof *s->squares));
    /* Of what tells b or, in a marked model, the bits that are read. */
    WMK_TRY(wmk_secret_alloc(&s->count, s->chunks * s->deals, sizeof *s->count));
    WMK_TRY(wmk_secret_alloc(&s->first, s->T, sizeof *s->first));
    WMK_TRY(wmk_secret_alloc(&s->edit, s->deals, sizeof *s->edit));
    WMK_TRY(wmk_secret_alloc(&s->sum, s->chunks * s->deals, sizeof *s->sum));
    WMK_TRY(wmk_alloc(&s->shortfall, s->T, sizeof *s->shortfall));
    WMK_TRY(wmk_alloc(&s->written, s->chunks, sizeof *s->written));
    return wmk_alloc(&s->answer, s->chunks, sizeof *s->answer);
}

wmk_status wmk_embed_stream(wmk_embedding *e)
{
    stream s;
    wmk_status status;
    WMK_TRY_GOTO(status, make_stream(&s, e), done);
    WMK_TRY_GOTO(status, count_rows(&s), done);
    WMK_TRY_GOTO(status, wmk_embed_check_before(e), done);
    status = fit(&s);
    if (status == WMK_ERROR_NUMERIC && s.balanced) { /* few weights a bit: the sums cannot be kept as well */
        s.balanced = false;
        status = fit(&s);
    }
done:
    wmk_secret_free(s.count);
    wmk_secret_free(s.first);
    wmk_secret_free(s.edit);
    wmk_secret_free(s.sum);
    free(s.shortfall);
    free(s.written);
    free(s.squares);
    free(s.answer);
    return status;
}
