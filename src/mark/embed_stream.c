/* mark/embed_stream.c - partition over single weights: read, try without writing until the margins hold as stored, write. */
#include <math.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/convert.h"
#include "base/memory.h"
#include "mark/carrier_tile.h"
#include "mark/embed.h"
#include "mark/key.h"

typedef double quad __attribute__((vector_size(32)));

typedef struct row_edit { /* a cone with its row's sign in it */
    double scale, add;
} row_edit;

typedef struct stream {
    wmk_embedding *e;
    uint32_t T, chunks;
    bool balanced;
    row_edit *edit; /* [T] */
    quad *sum;      /* [chunk][T] see the visitors */
    /* Sums of squares of the changed filters, relative to their old mean square: integers, so that their order does not matter. */
    int64_t *squares;                 /* [filters] */
    double *unit;                     /* [filters] one in these integers */
    double *inverse;                  /* [filters] 1 / RMS of the changed filter */
    double (*pending)[WMK_STRIP_MAX]; /* [chunk] sums not yet in `squares` */
    struct {
        uint64_t filter;
        size_t count;
    } held[WMK_CHUNKS_MAX];
    double changed[WMK_CHUNKS_MAX], original[WMK_CHUNKS_MAX]; /* ||dW||^2, ||W||^2 */
} stream;

/* {sign * v, v^2, 1, -}: what the projection of a row needs. */
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
static inline double wanted(row_edit edit, double value, int8_t sign, double rms) { return (edit.scale - 1) * value + edit.add * sign * rms; }

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

/* The weights of a strip as they will be: exact, and rounded to the stored type. The gain makes up for what the balance takes from a row's own columns. */
static void edit_strip(const stream *s, const wmk_strip *strip, double *exact, double *rounded)
{
    const double *rms = s->e->vector.rms + strip->filter;
    for (size_t i = 0; i < strip->count; i++) {
        double change = strip->gain * wanted(s->edit[strip->row[i]], strip->value[i], strip->sign[i], rms[i]);
        exact[i] = strip->value[i] + (strip->shift != NULL ? change - strip->shift[i] : change);
    }
    if (strip->dtype == WMK_F32) {
        for (size_t i = 0; i < strip->count; i++) rounded[i] = (double)(float)exact[i];
        return;
    }
    unsigned char stored[WMK_STRIP_MAX * 8];
    wmk_write_f64(stored, strip->dtype, exact, strip->count);
    wmk_read_f64(rounded, stored, strip->dtype, strip->count);
}

static void flush(stream *s, uint32_t chunk)
{
    for (size_t i = 0; i < s->held[chunk].count; i++) {
        uint64_t f = s->held[chunk].filter + i;
        double units = s->pending[chunk][i] * s->unit[f];
        int64_t add = units < 0x1p60 ? llrint(units) : (int64_t)1 << 60; /* so much is refused afterwards */
#pragma omp atomic
        s->squares[f] += add;
        s->pending[chunk][i] = 0;
    }
    s->held[chunk].count = 0;
}

static void visit_squares(void *payload, uint32_t chunk, const wmk_strip *strip)
{
    stream *s = payload;
    double exact[WMK_STRIP_MAX], rounded[WMK_STRIP_MAX];
    edit_strip(s, strip, exact, rounded);
    if (s->held[chunk].filter != strip->filter || s->held[chunk].count != strip->count) {
        flush(s, chunk);
        s->held[chunk].filter = strip->filter;
        s->held[chunk].count = strip->count;
    }
    for (size_t i = 0; i < strip->count; i++) {
        double v = rounded[i] * strip->inverse[i];
        s->pending[chunk][i] += v * v;
    }
}

/* {sign * v', v'^2, sign * (what rounding took), -}, v' over the changed filter's RMS. */
static void visit_result(void *payload, uint32_t chunk, const wmk_strip *strip)
{
    stream *s = payload;
    double exact[WMK_STRIP_MAX], rounded[WMK_STRIP_MAX], changed = 0, original = 0;
    const double *inverse = s->inverse + strip->filter;
    quad *sum = s->sum + (size_t)chunk * s->T;
    edit_strip(s, strip, exact, rounded);
    for (size_t i = 0; i < strip->count; i++) {
        double v = rounded[i] * inverse[i], lost = (exact[i] - rounded[i]) * inverse[i], change = rounded[i] - strip->value[i];
        sum[strip->row[i]] += (quad){strip->sign[i] * v, v * v, strip->sign[i] * lost, 0};
        changed += change * change;
        original += strip->value[i] * strip->value[i];
    }
    s->changed[chunk] += changed;
    s->original[chunk] += original;
}

static void visit_write(void *payload, uint32_t chunk, const wmk_strip *strip)
{
    (void)chunk;
    double rounded[WMK_STRIP_MAX];
    edit_strip(payload, strip, strip->value, rounded);
}

static wmk_tile_prepare preparation(const stream *s) { return s->balanced ? balance : NULL; }

static wmk_status sum_rows(stream *s, wmk_tile_prepare prepare, wmk_strip_visit visit)
{
    memset(s->sum, 0, (size_t)s->chunks * s->T * sizeof *s->sum);
    WMK_TRY(wmk_tiles_walk(s->e->key, &s->e->vector, prepare, visit, s, NULL));
    for (uint32_t c = 1; c < s->chunks; c++)
        for (uint32_t j = 0; j < s->T; j++) s->sum[j] += s->sum[(size_t)c * s->T + j];
    return WMK_OK;
}

static wmk_status project_rows(stream *s, const quad *first)
{
    for (uint32_t j = 0; j < s->T; j++) {
        wmk_cone cone;
        double sign = s->e->sign[j];
        if (!wmk_cone_project(&cone, sign * first[j][0], first[j][1], first[j][2], s->e->margin[j]))
            return wmk_embed_impossible(s->e, j, sqrt(first[j][2]));
        s->edit[j] = (row_edit){cone.scale, cone.add * sign};
    }
    return WMK_OK;
}

static wmk_status new_rms(stream *s)
{
    const wmk_vector *v = &s->e->vector;
    memset(s->squares, 0, v->filters * sizeof *s->squares);
    WMK_TRY(wmk_tiles_walk(s->e->key, v, preparation(s), visit_squares, s, NULL));
    for (uint32_t c = 0; c < s->chunks; c++) flush(s, c);
    for (size_t t = 0; t < v->count; t++) {
        const wmk_place *place = &v->place[t];
        for (uint64_t f = place->filter; f < place->filter + place->filters; f++) {
            if (s->squares[f] >= (int64_t)1 << 60)
                return wmk_fail(WMK_ERROR_NUMERIC, "tensor %s: a filter would grow beyond all measure", wmk_view_name(s->e->key, v->views, t));
            double ratio = sqrt((double)s->squares[f] / s->unit[f] / (double)place->per_filter); /* new RMS over old */
            s->inverse[f] = ratio > 0 ? v->inverse[f] / ratio : 0;
        }
    }
    return WMK_OK;
}

/* score, and z less what rounding cost it. */
static void score_rows(stream *s, double *score)
{
    double lost = 0;
    for (uint32_t j = 0; j < s->T; j++) {
        double length = sqrt(s->sum[j][1]);
        score[j] = length > 0 ? s->sum[j][0] / length : 0;
        if (length > 0) lost += s->e->sign[j] * s->sum[j][2] / length;
    }
    s->e->summary.rounding_z = lost / sqrt(s->T);
    double changed = 0, original = 0;
    for (uint32_t c = 0; c < s->chunks; c++) {
        changed += s->changed[c];
        original += s->original[c];
        s->changed[c] = s->original[c] = 0;
    }
    s->e->summary.relative_change = original > 0 ? sqrt(changed / original) : 0;
}

static wmk_status make_stream(stream *s, wmk_embedding *e)
{
    *s = (stream){.e = e, .T = e->before->T, .chunks = wmk_tiles_chunks(&e->vector)};
    WMK_TRY(wmk_alloc(&s->edit, s->T, sizeof *s->edit));
    WMK_TRY(wmk_alloc_aligned(&s->sum, (size_t)s->chunks * s->T * sizeof *s->sum));
    WMK_TRY(wmk_alloc(&s->squares, e->vector.filters, sizeof *s->squares));
    WMK_TRY(wmk_alloc(&s->unit, e->vector.filters, sizeof *s->unit));
    WMK_TRY(wmk_alloc(&s->inverse, e->vector.filters, sizeof *s->inverse));
    WMK_TRY(wmk_alloc(&s->pending, s->chunks, sizeof *s->pending));
    for (size_t t = 0; t < e->vector.count; t++)
        for (uint64_t f = 0; f < e->vector.place[t].filters; f++) /* room for a thousandfold growth */
            s->unit[e->vector.place[t].filter + f] = exp2(50 - ceil(log2((double)e->vector.place[t].per_filter)));
    return WMK_OK;
}

static wmk_status fit(stream *s, const quad *first, double *score)
{
    double least = 0;
    for (uint32_t j = 0; j < s->T; j++) s->e->margin[j] = s->e->options->margin * WMK_EMBED_FIRST;
    for (int round = 0; round < WMK_EMBED_ROUNDS; round++) {
        WMK_TRY(project_rows(s, first));
        WMK_TRY(new_rms(s));
        WMK_TRY(sum_rows(s, preparation(s), visit_result));
        score_rows(s, score);
        if (wmk_embed_raise(s->e, score, round, &least)) {
            s->e->summary.margin_reached = least;
            return wmk_tiles_walk(s->e->key, &s->e->vector, preparation(s), visit_write, s, s->e->outputs);
        }
    }
    return wmk_embed_short(s->e, least);
}

wmk_status wmk_embed_stream(wmk_embedding *e)
{
    for (size_t t = 0; t < e->vector.count; t++)
        if (e->views[t].codec != NULL) return wmk_embed_not_written(e, t); /* TODO */
    stream s;
    quad *first = NULL;
    double *score = NULL;
    wmk_status status;
    WMK_TRY_GOTO(status, make_stream(&s, e), done);
    WMK_TRY_GOTO(status, wmk_alloc(&score, s.T, sizeof *score), done);
    WMK_TRY_GOTO(status, wmk_alloc_aligned(&first, s.T * sizeof *first), done);
    WMK_TRY_GOTO(status, sum_rows(&s, NULL, visit_count), done);
    memcpy(first, s.sum, s.T * sizeof *first);
    s.balanced = !e->options->unbalanced;
    status = fit(&s, first, score);
    if (status == WMK_ERROR_NUMERIC && s.balanced) { /* few weights a bit: the sums cannot be kept as well */
        s.balanced = false;
        status = fit(&s, first, score);
    }
    if (status != WMK_OK) goto done;
    double z = 0;
    for (uint32_t j = 0; j < s.T; j++) z += e->sign[j] * score[j];
    e->summary.z_after = z / sqrt(s.T);
done:
    if (s.edit != NULL) sodium_memzero(s.edit, s.T * sizeof *s.edit); /* tells b */
    free(s.edit);
    wmk_free_aligned(s.sum);
    free(s.squares);
    free(s.unit);
    free(s.inverse);
    free(s.pending);
    free(score);
    wmk_free_aligned(first);
    return status;
}
