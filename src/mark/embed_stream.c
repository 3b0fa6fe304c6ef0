/* mark/embed_stream.c - partition over single weights, whatever their number: read, write panel by panel, read back what was stored; where that lost a margin,
 * aim higher and write again. Nothing of the weights' size is held in memory. */
#include <math.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/convert.h"
#include "base/memory.h"
#include "mark/carrier_tile.h"
#include "mark/embed.h"
#include "mark/embed_rounding.h"
#include "mark/key.h"

#define SAMPLE_ERROR 0.003 /* of a margin: how far the sample's answer may be from that of all weights */

typedef double quad __attribute__((vector_size(32)));

typedef struct stream {
    wmk_embedding *e;
    uint32_t T, chunks;
    bool balanced;
    bool codecs;           /* some target has one */
    wmk_row_sums *first;   /* [T] before */
    wmk_row_edit *edit;    /* [T] */
    quad *sum;             /* [chunk][T] {sign * v, v^2, columns, -} */
    wmk_edit_sums *totals; /* [chunk] */
    wmk_rounding rounding;
    double slack; /* what targets are raised by so that it need not be done twice */
} stream;

static void visit_count(void *payload, uint32_t chunk, const wmk_strip *strip)
{
    const stream *s = payload;
    quad *sum = s->sum + (size_t)chunk * s->T;
    for (size_t i = 0; i < strip->count; i++) {
        double v = strip->value[i] * strip->inverse[i];
        sum[strip->row[i]] += (quad){strip->sign[i] * v, v * v, strip->inverse[i] > 0, 0};
    }
}

/* What a row wants of one of its weights, as a change. */
static inline double wanted(wmk_row_edit edit, double value, int8_t sign, double rms) { return (edit.scale - 1) * value + edit.add * sign * rms; }

/* The mean change of each group: without it every kernel keeps its sum, and with it what the filter answers to the mean of its input. That mean is far
 * from zero behind a Relu, and its share of the change is what costs accuracy. */
static void balance(void *payload, const wmk_strips *strips)
{
    const stream *s = payload;
    const double *rms = s->e->vector.rms + strips->filter;
    size_t each = strips->positions / strips->groups;
    memset(strips->shift, 0, strips->groups * strips->filters * sizeof *strips->shift);
    if (each == 1) return;
    for (size_t p = 0; p < strips->positions; p++) {
        const double *value = strips->value + p * strips->filters;
        const uint16_t *row = strips->row + p * strips->filters;
        const int8_t *sign = strips->sign + p * strips->filters;
        double *shift = strips->shift + p % strips->groups * strips->filters;
        for (size_t i = 0; i < strips->filters; i++) shift[i] += wanted(s->edit[row[i]], value[i], sign[i], rms[i]);
    }
    double share = strips->gain / (double)each;
    for (size_t i = 0; i < strips->groups * strips->filters; i++) strips->shift[i] *= share;
}

/* One strip, as it was, as it should be, and as it is stored. */
static void add_up(stream *s, uint32_t chunk, const wmk_strip *strip, const double *was, const double *exact, const double *stored)
{
    double changed = 0, original = 0, moved_sum = 0, moved_squares = 0, lost = 0, weights = 0, direction[WMK_STRIP_MAX];
    for (size_t i = 0; i < strip->count; i++) direction[i] = strip->sign[i] * s->e->sign[strip->row[i]] * strip->inverse[i];
#pragma omp simd reduction(+ : changed, original, moved_sum, moved_squares, lost, weights)
    for (size_t i = 0; i < strip->count; i++) {
        double change = stored[i] - was[i], moved = change * direction[i];
        changed += change * change;
        original += was[i] * was[i];
        moved_sum += moved;
        moved_squares += moved * moved;
        lost += (exact[i] - stored[i]) * direction[i];
        weights += direction[i] != 0;
    }
    wmk_edit_sums *to = &s->totals[chunk];
    to->changed += changed;
    to->original += original;
    to->moved += moved_sum;
    to->moved_squares += moved_squares;
    to->lost += lost;
    to->weights += weights;
}

/* The weights of a strip as they will be, rounded to a plain type. The gain makes up for what the balance takes from a row's own columns. */
static void visit_edit(void *payload, uint32_t chunk, const wmk_strip *strip)
{
    stream *s = payload;
    double exact[WMK_STRIP_MAX], stored[WMK_STRIP_MAX];
    const double *rms = s->e->vector.rms + strip->filter;
    for (size_t i = 0; i < strip->count; i++) {
        double change = strip->gain * wanted(s->edit[strip->row[i]], strip->value[i], strip->sign[i], rms[i]);
        exact[i] = strip->value[i] + (strip->shift != NULL ? change - strip->shift[i] : change);
    }
    if (strip->was != NULL) { /* its codec rounds it when it is written */
        memcpy(strip->was, strip->value, strip->count * sizeof *exact);
        memcpy(strip->value, exact, strip->count * sizeof *exact);
        return;
    }
    unsigned char bytes[WMK_STRIP_MAX * 8];
    wmk_write_f64(bytes, strip->dtype, exact, strip->count);
    wmk_read_f64(stored, bytes, strip->dtype, strip->count);
    add_up(s, chunk, strip, strip->value, exact, stored);
    memcpy(strip->value, stored, strip->count * sizeof *stored);
}

static void visit_stored(void *payload, uint32_t chunk, const wmk_strip *strip)
{
    add_up(payload, chunk, strip, strip->was, strip->value, strip->stored);
}

/* every: 1 for all tiles, which are then final as far as anybody who follows the traffic knows. Sums of all chunks in those of the first. */
static wmk_status edit_pass(stream *s, uint64_t every, const wmk_traffic *traffic)
{
    memset(s->totals, 0, s->chunks * sizeof *s->totals);
    WMK_TRY(wmk_tiles_walk(s->e->key, &s->e->vector,
                           &(wmk_walk){.prepare = s->balanced ? balance : NULL,
                                       .visit = visit_edit,
                                       .after = s->codecs ? visit_stored : NULL,
                                       .payload = s,
                                       .outputs = s->codecs || traffic != NULL ? s->e->outputs : NULL,
                                       .every = every,
                                       .traffic = traffic}));
    for (uint32_t c = 1; c < s->chunks; c++) {
        s->totals[0].changed += s->totals[c].changed;
        s->totals[0].original += s->totals[c].original;
        s->totals[0].moved += s->totals[c].moved;
        s->totals[0].moved_squares += s->totals[c].moved_squares;
        s->totals[0].lost += s->totals[c].lost;
        s->totals[0].weights += s->totals[c].weights;
    }
    return WMK_OK;
}

static wmk_status count_rows(stream *s)
{
    WMK_TRY(wmk_tiles_walk(s->e->key, &s->e->vector, &(wmk_walk){.visit = visit_count, .payload = s, .traffic = s->e->traffic}));
    for (uint32_t j = 0; j < s->T; j++)
        for (uint32_t c = 0; c < s->chunks; c++) {
            const quad *sum = &s->sum[(size_t)c * s->T + j];
            s->first[j].dot += (*sum)[0];
            s->first[j].squares += (*sum)[1];
            s->first[j].columns += (*sum)[2];
        }
    return WMK_OK;
}

/* What the rows want, before rounding is thought of. */
static wmk_status project_rows(stream *s)
{
    for (uint32_t j = 0; j < s->T; j++) {
        wmk_cone cone;
        double sign = s->e->sign[j];
        const wmk_row_sums *first = &s->first[j];
        if (!wmk_cone_project(&cone, sign * first->dot, first->squares, first->columns, s->e->margin[j]))
            return wmk_embed_impossible(s->e, j, sqrt(first->columns));
        s->edit[j] = (wmk_row_edit){cone.scale, wmk_rounding_ask(&s->rounding, cone.add) * sign};
    }
    return WMK_OK;
}

/* One point of the answer, on a sample. */
static wmk_status measure(stream *s, double ask, bool *fits)
{
    enum { SAMPLE = 1 << 21 };
    static const wmk_traffic nobody = {0};
    for (uint32_t j = 0; j < s->T; j++) s->edit[j] = (wmk_row_edit){1, ask * s->e->sign[j]};
    WMK_TRY(edit_pass(s, s->e->vector.weights_read / SAMPLE, s->codecs ? &nobody : NULL));
    *fits = isfinite(s->totals[0].moved_squares);
    wmk_rounding_add(&s->rounding, ask, &s->totals[0]);
    return WMK_OK;
}

/* Learns on a sample how the types that are not exact answer to changes of the size that will be asked for. */
static wmk_status learn_rounding(stream *s)
{
    enum { LARGE = 1 << 24, CLOSER = 24 };
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
        double add = fabs(s->edit[j].add);
        largest = fmax(largest, add);
        if (add > 0) smallest = fmin(smallest, add);
    }
    if (largest == 0) return WMK_OK;
    for (double ask = largest / 8; !wmk_rounding_knows(&s->rounding, largest); ask *= WMK_ROUNDING_STEP) WMK_TRY(measure(s, ask, &fits));
    /* More closely where the rows are. */
    double from = wmk_rounding_ask(&s->rounding, smallest), to = wmk_rounding_ask(&s->rounding, 1.02 * largest);
    for (int k = 0; k <= CLOSER && fits; k++) WMK_TRY(measure(s, from + (to - from) * k / CLOSER, &fits));
    if (!fits) { /* changes go beyond what the type holds: for the read-back to say */
        s->rounding.count = 0;
        return WMK_OK;
    }
    if (large) s->slack = wmk_rounding_slack(&s->rounding, largest) + SAMPLE_ERROR * s->e->options->margin;
    for (uint32_t j = 0; j < s->T; j++) s->e->margin[j] += s->slack;
    return WMK_OK;
}

static wmk_status read_back(stream *s, wmk_reading **out)
{
    wmk_tensor_view *views = NULL;
    size_t count = s->e->vector.count;
    WMK_TRY(wmk_alloc(&views, count, sizeof *views));
    for (size_t t = 0; t < count; t++) {
        views[t] = s->e->views[t];
        views[t].data = s->e->outputs[t];
    }
    wmk_status status = wmk_views_read(out, s->e->key, views, s->e->traffic);
    if (status == WMK_ERROR_INPUT) status = wmk_fail_within(WMK_ERROR_NUMERIC, "the change does not fit the stored type"); /* the views were finite */
    free(views);
    return status;
}

/* What was stored keeps all margins, and `after` shows it. */
static wmk_status summarize(stream *s, wmk_reading *after, double least)
{
    wmk_embed_summary *to = &s->e->summary;
    double squares = 0; /* of an average row: z is the sum of all rows' signed sums over their lengths and sqrt(T) */
    for (uint32_t j = 0; j < s->T; j++) squares += s->first[j].squares / s->T;
    to->margin_reached = least;
    to->rounding_z = s->totals[0].lost / sqrt(squares) / sqrt(s->T);
    to->relative_change = s->totals[0].original > 0 ? sqrt(s->totals[0].changed / s->totals[0].original) : 0;
    return wmk_embed_judge(s->e, after);
}

static wmk_status fit(stream *s)
{
    static const wmk_traffic nobody = {0};
    double least = 0;
    for (uint32_t j = 0; j < s->T; j++) s->e->margin[j] = s->e->options->margin * WMK_EMBED_FIRST;
    WMK_TRY(learn_rounding(s));
    for (int round = 0; round < WMK_EMBED_ROUNDS; round++) {
        wmk_reading *after = NULL;
        WMK_TRY(project_rows(s));
        WMK_TRY(edit_pass(s, 1, s->e->traffic != NULL ? s->e->traffic : &nobody));
        WMK_TRY(read_back(s, &after));
        if (wmk_embed_raise(s->e, after->score, round, &least)) return summarize(s, after, least);
        for (uint32_t j = 0; j < s->T; j++)
            if (s->e->sign[j] * after->score[j] < s->e->options->margin) s->e->margin[j] += s->slack;
        wmk_reading_free(after);
    }
    return wmk_embed_short(s->e, least);
}

static wmk_status make_stream(stream *s, wmk_embedding *e)
{
    *s = (stream){.e = e, .T = e->key->T, .chunks = wmk_tiles_chunks(&e->vector)};
    for (size_t t = 0; t < e->vector.count; t++) {
        if (e->views[t].codec != NULL) s->codecs = true;
        if (!wmk_tiles_can_write(&e->vector.place[t], &e->views[t])) return wmk_embed_not_written(e, t);
    }
    WMK_TRY(wmk_alloc(&s->first, s->T, sizeof *s->first));
    WMK_TRY(wmk_alloc(&s->edit, s->T, sizeof *s->edit));
    WMK_TRY(wmk_alloc(&s->totals, s->chunks, sizeof *s->totals));
    return wmk_alloc_aligned(&s->sum, (size_t)s->chunks * s->T * sizeof *s->sum);
}

wmk_status wmk_embed_stream(wmk_embedding *e)
{
    stream s;
    wmk_status status;
    WMK_TRY_GOTO(status, make_stream(&s, e), done);
    WMK_TRY_GOTO(status, count_rows(&s), done);
    WMK_TRY_GOTO(status, wmk_reading_of_sums(&e->before, &e->vector, s.T, s.first), done);
    WMK_TRY_GOTO(status, wmk_embed_check_before(e), done);
    s.balanced = !e->options->unbalanced;
    status = fit(&s);
    if (status == WMK_ERROR_NUMERIC && s.balanced) { /* few weights a bit: the sums cannot be kept as well */
        s.balanced = false;
        status = fit(&s);
    }
done:
    if (s.edit != NULL) sodium_memzero(s.edit, s.T * sizeof *s.edit); /* tells b */
    free(s.first);
    free(s.edit);
    free(s.totals);
    wmk_free_aligned(s.sum);
    return status;
}
