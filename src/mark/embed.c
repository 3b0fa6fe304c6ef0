/* mark/embed.c - embedding without training: the smallest change of w, written back, read again. */
#include "mark/embed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/convert.h"
#include "base/memory.h"
#include "base/secret.h"
#include "mark/evidence.h"
#include "mark/key.h"
#include "mark/read.h"
#include "mark/x.h"

wmk_status wmk_embed_impossible(const wmk_embedding *e, uint32_t j, double most)
{
    if (most == 0 || e->before->erased[j])
        return wmk_fail(WMK_ERROR_NUMERIC, "margin %g cannot be met: all weights of bit %u are zeros, or it has none (T = %u, M = %llu)",
                        e->options->margin, j, e->key->T, (unsigned long long)e->key->M);
    return wmk_fail(WMK_ERROR_NUMERIC, "margin %g cannot be met: bit %u has %.0f weights, which allow %.4g (T = %u, M = %llu)", e->options->margin, j,
                    most * most, most, e->key->T, (unsigned long long)e->key->M);
}

wmk_status wmk_embed_not_written(const wmk_embedding *e, size_t t)
{
    return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: tensor %s: %s is written in units of %u values, into which its %llu filters do not fall",
                    wmk_view_name(e->key, e->views, t), e->views[t].codec->name, e->views[t].codec->granule,
                    (unsigned long long)e->vector.place[t].filters);
}

wmk_status wmk_embed_short(const wmk_embedding *e, double least)
{
    return wmk_fail(WMK_ERROR_NUMERIC, "margin %g was not kept by what was stored: %.6g after %d attempts", e->options->margin, least,
                    WMK_EMBED_ROUNDS);
}

bool wmk_embed_raise(wmk_embedding *e, const double *score, int round, double *least)
{
    bool all = true;
    *least = INFINITY;
    for (uint32_t j = 0; j < e->key->T; j++) {
        double got = e->sign[j] * score[j];
        if (got < *least) *least = got;
        if (got >= e->options->margin) continue;
        all = false;
        /* growing, since a coarse type may need a whole step of it before anything changes */
        e->margin[j] += (1.1 + round) * (e->options->margin - got) + ldexp(1e-7, 2 * round) * e->options->margin;
    }
    return all;
}

/* ---- carriers that are held in memory ------------------------------------------------------------------------------------------- */

typedef struct held {
    wmk_embedding *e;
    double *w0, *w; /* [m] */
    double
        *share; /* carrier mean, unless zeros are filled: [m] what a change of 1 in w is for each of the weights that can change; 0: there is none */
    uint16_t *row; /* [m] where rows share no column */
    int8_t *sign;
    wmk_dual dual;
} held;

/* w' of every row from its own columns. */
static wmk_status change_rows(held *h)
{
    wmk_embedding *e = h->e;
    uint32_t T = e->key->T;
    uint64_t m = e->vector.m;
    double *sum = NULL; /* [T][3] */
    WMK_TRY(wmk_secret_alloc(&sum, (size_t)T * 3, sizeof *sum));
    for (size_t t = 0, c = 0; t < e->vector.count; t++) {
        const wmk_place *place = &e->vector.place[t];
        bool mean = e->vector.carrier == WMK_CARRIER_MEAN;
        uint64_t each = mean ? 1 : place->filters;
        for (uint64_t i = 0; i < place->per_filter * each; i++, c++) {
            if (h->row[c] == WMK_NO_ROW) continue;
            double *s = sum + (size_t)h->row[c] * 3, w = h->w0[c];
            s[0] += h->sign[c] * w;
            s[1] += w * w;
            bool there = mean ? h->share == NULL || h->share[c] > 0 : e->options->fill_zeros || w != 0;
            s[2] += there && e->vector.inverse[mean ? t : place->filter + i % each] > 0;
        }
    }
    wmk_status status = WMK_OK;
    for (uint32_t j = 0; j < T && status == WMK_OK; j++)
        if (!wmk_cone_project(&e->cone[j], e->sign[j] * sum[j * 3], sum[j * 3 + 1], sum[j * 3 + 2], e->margin[j]))
            status = wmk_embed_impossible(e, j, sqrt(sum[j * 3 + 2]));
    wmk_secret_free(sum);
    if (status != WMK_OK) return status;
    for (uint64_t c = 0; c < m; c++) {
        h->w[c] = h->w0[c];
        if (h->row[c] == WMK_NO_ROW) continue;
        uint16_t j = h->row[c];
        h->w[c] = e->cone[j].scale * h->w0[c] + e->cone[j].add * e->sign[j] * h->sign[c];
    }
    return WMK_OK;
}

enum { RUN = 1024 }; /* elements converted at a time; whole granules of them when they are written */

/* Each weight moves by what its w moved, times what it had been divided by. As double when exact, else in the view's type. */
static wmk_status write_target(const held *h, size_t t, void *output, bool exact)
{
    const wmk_vector *v = &h->e->vector;
    const wmk_place *place = &v->place[t];
    bool mean = v->carrier == WMK_CARRIER_MEAN;
    wmk_tensor_view from = v->views[t];
    uint64_t run = from.codec != NULL ? RUN - RUN % from.codec->granule : RUN;
    uint64_t *position = NULL;
    WMK_TRY(wmk_alloc(&position, place->per_filter, sizeof *position));
    wmk_place_positions(place, position);
    uint64_t total = place->per_filter * place->filters, q = 0, f = 0, u = 0;
    for (uint64_t element = 0; element < total; element += run) {
        double x[RUN];
        size_t n = total - element < run ? (size_t)(total - element) : run;
        wmk_view_read(&from, element, n, x);
        for (size_t i = 0; i < n; i++) {
            uint64_t p = position[u * place->inner + q], c = place->column + (mean ? p : p * place->filters + f);
            double change = (h->w[c] - h->w0[c]) * wmk_vector_unit(v, t, p, f) * (h->share != NULL ? h->share[c] : 1);
            if (x[i] != 0 || h->e->options->fill_zeros) x[i] += change;
            if (++q < place->inner) continue;
            q = 0;
            if (++f < place->filters) continue;
            f = 0;
            u++;
        }
        if (exact)
            memcpy((double *)output + element, x, n * sizeof *x);
        else
            wmk_tensor_write(&from, output, element, n, x);
    }
    free(position);
    return WMK_OK;
}

/* What was stored, which must still be numbers. */
static wmk_status read_stored(wmk_reading **out, const wmk_key *key, const wmk_tensor_view *views)
{
    wmk_vector vector;
    wmk_status status = wmk_vector_open(&vector, key, views, NULL);
    if (status == WMK_ERROR_INPUT) return wmk_fail_within(WMK_ERROR_NUMERIC, "the change does not fit the stored type");
    WMK_TRY(status);
    status = wmk_embed_fits(key, &vector);
    if (status == WMK_OK) status = wmk_vector_read(out, key, &vector);
    wmk_vector_close(&vector);
    return status;
}

static wmk_status read_back(const held *h, void *const *outputs, bool exact, wmk_reading **out)
{
    size_t count = h->e->vector.count;
    wmk_tensor_view *views = NULL;
    WMK_TRY(wmk_alloc(&views, count, sizeof *views));
    for (size_t t = 0; t < count; t++) {
        views[t] = h->e->views[t];
        views[t].data = outputs[t];
        if (exact) {
            views[t].dtype = WMK_F64;
            views[t].codec = NULL;
        }
    }
    wmk_status status = read_stored(out, h->e->key, views);
    free(views);
    return status;
}

wmk_status wmk_embed_fits(const wmk_key *key, const wmk_vector *vector)
{
    if (vector->weights_lost == 0) return WMK_OK;
    for (size_t t = 0; t < vector->count; t++)
        if (vector->damaged[t]) wmk_view_not_finite(&vector->views[t], &vector->place[t], wmk_view_name(key, vector->views, t));
    return wmk_fail_within(WMK_ERROR_NUMERIC, "the change does not fit the stored type"); /* the views were finite */
}

static wmk_status z_of(const wmk_embedding *e, const wmk_reading *reading, double *z, uint32_t *errors)
{
    wmk_evidence evidence = {0};
    uint32_t ties;
    uint8_t *b = NULL;
    WMK_TRY(wmk_secret_alloc(&b, e->key->T, 1));
    for (uint32_t j = 0; j < e->key->T; j++) b[j] = e->sign[j] > 0;
    wmk_evidence_count(&evidence, e->key, b, reading, &ties);
    wmk_secret_free(b);
    *errors = evidence.bit_errors;
    *z = evidence.z;
    return WMK_OK;
}

/* z of the change before it was rounded. */
static wmk_status exact_z(const held *h, double *z)
{
    size_t count = h->e->vector.count;
    double **exact = NULL;
    wmk_reading *reading = NULL;
    uint32_t errors;
    wmk_status status;
    WMK_TRY(wmk_alloc(&exact, count, sizeof *exact));
    for (size_t t = 0; t < count; t++) {
        WMK_TRY_GOTO(status, wmk_alloc(&exact[t], h->e->vector.place[t].per_filter * h->e->vector.place[t].filters, sizeof **exact), done);
        WMK_TRY_GOTO(status, write_target(h, t, exact[t], true), done);
    }
    WMK_TRY_GOTO(status, read_back(h, (void *const *)exact, true, &reading), done);
    status = z_of(h->e, reading, z, &errors);
done:
    for (size_t t = 0; t < count; t++) free(exact[t]);
    free(exact);
    wmk_reading_free(reading);
    return status;
}

double wmk_embed_change(const wmk_embedding *e)
{
    double changed = 0, original = 0;
    for (size_t t = 0; t < e->vector.count; t++) {
        wmk_tensor_view from = e->views[t], to = from;
        to.data = e->outputs[t];
        uint64_t total = e->vector.place[t].per_filter * e->vector.place[t].filters;
        for (uint64_t element = 0; element < total; element += RUN) {
            double a[RUN], b[RUN];
            size_t n = total - element < RUN ? (size_t)(total - element) : RUN;
            wmk_view_read(&from, element, n, a);
            wmk_view_read(&to, element, n, b);
            for (size_t i = 0; i < n; i++) {
                changed += (b[i] - a[i]) * (b[i] - a[i]);
                original += a[i] * a[i];
            }
        }
    }
    return original > 0 ? sqrt(changed / original) : 0;
}

static wmk_status summarize(held *h, wmk_reading *after)
{
    wmk_embed_summary *s = &h->e->summary;
    double exact = 0, least = INFINITY;
    WMK_TRY(wmk_embed_judge(h->e, after));
    for (uint32_t j = 0; j < after->T; j++) least = fmin(least, h->e->sign[j] * after->score[j]);
    s->margin_reached = least;
    s->relative_change = wmk_embed_change(h->e);
    WMK_TRY(exact_z(h, &exact));
    s->rounding_z = exact - s->z_after;
    return WMK_OK;
}

/* Writes h->w and reads it. */
static wmk_status store(held *h, wmk_reading **after)
{
    for (size_t t = 0; t < h->e->vector.count; t++) WMK_TRY(write_target(h, t, h->e->outputs[t], false));
    return read_back(h, h->e->outputs, false, after);
}

static wmk_status fit_margin(held *h, bool shared)
{
    wmk_embedding *e = h->e;
    double least = 0;
    for (int round = 0; round < WMK_EMBED_ROUNDS; round++) {
        if (shared) {
            WMK_TRY(wmk_dual_margin(&h->dual, e->margin));
            WMK_TRY(wmk_dual_apply(&h->dual, e, h->w0, h->w));
        } else {
            WMK_TRY(change_rows(h));
        }
        wmk_reading *after = NULL;
        WMK_TRY(store(h, &after));
        wmk_status status = WMK_OK;
        bool all = wmk_embed_raise(e, after->score, round, &least);
        if (all)
            status = summarize(h, after);
        else
            wmk_reading_free(after);
        if (all || status != WMK_OK) return status;
    }
    return wmk_embed_short(e, least);
}

static wmk_status fit_eq6(held *h)
{
    wmk_embedding *e = h->e;
    wmk_reading *after = NULL;
    WMK_TRY(wmk_dual_eq6(&h->dual, e->options->lambda, &e->summary.eq6_distance, &e->summary.eq6_e_r));
    WMK_TRY(wmk_dual_apply(&h->dual, e, h->w0, h->w));
    WMK_TRY(store(h, &after));
    return summarize(h, after);
}

static wmk_status deal_rows(held *h)
{
    const wmk_key *key = h->e->key;
    WMK_TRY(wmk_secret_alloc(&h->row, key->M, sizeof *h->row));
    WMK_TRY(wmk_secret_alloc(&h->sign, key->M, 1));
    return wmk_x_rows(key, h->row, h->sign);
}

/* Zeros stay 0, and what they would have changed by the other filters' weights at their position do. */
static wmk_status find_shares(held *h)
{
    const wmk_vector *v = &h->e->vector;
    WMK_TRY(wmk_alloc(&h->share, v->m, sizeof *h->share));
    for (size_t t = 0; t < v->count; t++) {
        const wmk_place *place = &v->place[t];
        for (uint64_t p = 0; p < place->per_filter; p++) {
            uint64_t there = 0;
            for (uint64_t f = 0; f < place->filters; f++) {
                double x;
                wmk_view_read(&v->views[t], wmk_place_element(place, p, f), 1, &x);
                there += x != 0;
            }
            h->share[place->column + p] = there > 0 ? (double)place->filters / (double)there : 0;
        }
    }
    return WMK_OK;
}

static wmk_status open_held(held *h, bool shared)
{
    wmk_embedding *e = h->e;
    for (size_t t = 0; t < e->vector.count; t++) {
        const wmk_codec *codec = e->views[t].codec;
        uint64_t weights = e->vector.place[t].per_filter * e->vector.place[t].filters;
        if (codec != NULL && (codec->granule > RUN || weights % codec->granule != 0)) return wmk_embed_not_written(e, t);
    }
    WMK_TRY(wmk_alloc(&h->w0, e->vector.m, sizeof *h->w0));
    WMK_TRY(wmk_alloc(&h->w, e->vector.m, sizeof *h->w));
    wmk_vector_block(&e->vector, 0, e->vector.m, h->w0);
    if (e->vector.carrier == WMK_CARRIER_MEAN && !e->options->fill_zeros) WMK_TRY(find_shares(h));
    return shared ? wmk_dual_open(&h->dual, e, h->w0) : deal_rows(h);
}

static wmk_status embed_held(wmk_embedding *e)
{
    held h = {.e = e};
    /* A raw mean is measured by one length, random rows share columns; other rows have supports of their own. Eq. 6 is written for the former. */
    bool shared = e->key->scheme == WMK_SCHEME_RANDOM || (e->key->scheme != WMK_SCHEME_PARTITION && !e->vector.normalized);
    wmk_status status = open_held(&h, shared);
    if (status == WMK_OK) status = e->options->eq6 ? fit_eq6(&h) : fit_margin(&h, shared);
    wmk_dual_close(&h.dual);
    free(h.w0);
    free(h.w);
    free(h.share);
    wmk_secret_free(h.row);
    wmk_secret_free(h.sign);
    return status;
}

/* ---- the call ------------------------------------------------------------------------------------------------------------------- */

static wmk_status check_call(const wmk_key *key, const wmk_tensor_view *views, void *const *outputs, const wmk_embed_options *options)
{
    if (options->struct_size != sizeof *options)
        return wmk_fail(WMK_ERROR_ARGUMENT, "embed options of %zu bytes, this library's are %zu: use WMK_EMBED_OPTIONS_INIT", options->struct_size,
                        sizeof *options);
    if (options->eq6) {
        if (!(options->lambda > 0) || !isfinite(options->lambda))
            return wmk_fail(WMK_ERROR_ARGUMENT, "lambda of %g: eq. 6 wants one above 0", options->lambda);
        if (key->carrier != WMK_CARRIER_MEAN || key->target_count != 1)
            return wmk_fail(WMK_ERROR_ARGUMENT, "eq. 6 is for the mean of one tensor, the key has carrier %s and %zu", wmk_carrier_name(key->carrier),
                            key->target_count);
        if (key->scheme == WMK_SCHEME_PARTITION) return wmk_fail(WMK_ERROR_ARGUMENT, "eq. 6 is for the paper's schemes: direct, diff, random");
    } else if (!(options->margin > 0) || !isfinite(options->margin)) {
        return wmk_fail(WMK_ERROR_ARGUMENT, "margin of %g: it must be above 0", options->margin);
    }
    for (size_t t = 0; t < key->target_count; t++) {
        if (views[t].data == NULL)
            return wmk_fail(WMK_ERROR_MISSING, "tensor %s is missing: embedding needs all of the key's targets", wmk_view_name(key, views, t));
        if (outputs[t] == NULL) return wmk_fail(WMK_ERROR_ARGUMENT, "no output for tensor %s", wmk_view_name(key, views, t));
        if (!wmk_tensor_is_writable(&views[t]))
            return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: tensor %s: values of type %s can be read and not written",
                            wmk_view_name(key, views, t), wmk_dtype_name(views[t].dtype));
    }
    return WMK_OK;
}

wmk_status wmk_embed_check_before(wmk_embedding *e)
{
    WMK_TRY(z_of(e, e->before, &e->summary.z_before, &e->summary.errors_before));
    for (uint32_t j = 0; !e->options->eq6 && j < e->key->T; j++)
        if (e->before->erased[j] && e->key->scheme != WMK_SCHEME_DIRECT && e->key->scheme != WMK_SCHEME_DIFF) return wmk_embed_impossible(e, j, 0);
    return WMK_OK;
}

wmk_status wmk_embed_judge(wmk_embedding *e, wmk_reading *after)
{
    e->after = after;
    return z_of(e, after, &e->summary.z_after, &e->summary.errors_after);
}

/* Views whose bytes the outputs write over are read from a copy, as targets may have to be raised and the change made again. */
static wmk_status keep_originals(wmk_tensor_view **out, void ***copies, const wmk_embedding *e)
{
    size_t count = e->key->target_count;
    WMK_TRY(wmk_alloc(out, count, sizeof **out));
    WMK_TRY(wmk_alloc(copies, count, sizeof **copies));
    for (size_t t = 0; t < count; t++) {
        (*out)[t] = e->views[t];
        if (e->outputs[t] != e->views[t].data) continue;
        uint64_t bytes = wmk_view_bytes(&e->views[t], &e->vector.place[t]);
        WMK_TRY(wmk_alloc(&(*copies)[t], bytes, 1));
        memcpy((*copies)[t], e->views[t].data, bytes);
        (*out)[t].data = (*copies)[t];
    }
    return WMK_OK;
}

static wmk_status open_embedding(wmk_embedding *e)
{
    uint32_t T = e->key->T;
    uint8_t *b = NULL;
    WMK_TRY(wmk_secret_alloc(&e->sign, T, sizeof *e->sign));
    WMK_TRY(wmk_alloc(&e->margin, T, sizeof *e->margin));
    WMK_TRY(wmk_alloc(&e->cone, T, sizeof *e->cone));
    WMK_TRY(wmk_secret_alloc(&b, T, 1));
    wmk_key_bits(e->key, b);
    for (uint32_t j = 0; j < T; j++) {
        e->sign[j] = b[j] ? 1 : -1;
        e->margin[j] = e->options->margin * WMK_EMBED_FIRST;
    }
    wmk_secret_free(b);
    WMK_TRY(wmk_vector_open(&e->vector, e->key, e->views, e->traffic));
    for (size_t t = 0; e->vector.weights_lost > 0 && t < e->vector.count; t++)
        if (e->vector.damaged[t]) return wmk_view_not_finite(&e->views[t], &e->vector.place[t], wmk_view_name(e->key, e->views, t));
    return WMK_OK;
}

static wmk_status embed_opened(wmk_embedding *e)
{
    if (e->key->scheme == WMK_SCHEME_PARTITION && e->key->carrier != WMK_CARRIER_MEAN) return wmk_embed_stream(e);
    WMK_TRY(wmk_vector_read(&e->before, e->key, &e->vector));
    WMK_TRY(wmk_embed_check_before(e));
    return embed_held(e);
}

wmk_status wmk_mark_embed_into(const wmk_key *key, const wmk_tensor_view *views, void *const *outputs, const wmk_embed_options *options,
                               const wmk_traffic *traffic, wmk_embed_summary *summary, wmk_reading **stored)
{
    WMK_TRY(check_call(key, views, outputs, options));
    wmk_embedding e = {.key = key, .views = views, .outputs = outputs, .options = options, .traffic = traffic};
    wmk_tensor_view *pristine = NULL;
    void **copies = NULL;
    wmk_status status = open_embedding(&e);
    if (status == WMK_OK) status = keep_originals(&pristine, &copies, &e);
    if (status == WMK_OK) {
        e.views = e.vector.views = pristine;
        status = embed_opened(&e);
    }
    if (status == WMK_OK && summary != NULL) *summary = e.summary;
    for (size_t t = 0; copies != NULL && t < key->target_count; t++) free(copies[t]);
    free(copies);
    free(pristine);
    if (status == WMK_OK && stored != NULL)
        *stored = e.after;
    else
        wmk_reading_free(e.after);
    wmk_reading_free(e.before);
    wmk_vector_close(&e.vector);
    wmk_secret_free(e.sign);
    free(e.margin);
    free(e.cone);
    return status;
}

wmk_status wmk_mark_embed(const wmk_key *key, const wmk_tensor_view *views, void *const *outputs, const wmk_embed_options *options,
                          wmk_embed_summary *summary)
{
    return wmk_mark_embed_into(key, views, outputs, options, NULL, summary, NULL);
}
