/* mark/carrier.c - geometry of the views, and the vector itself. */
#include "mark/carrier.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "mark/carrier_balance.h"
#include "mark/key.h"

void wmk_traffic_read(const wmk_traffic *traffic, const void *data, uint64_t bytes)
{
    if (traffic != NULL && traffic->passed != NULL) traffic->passed(traffic->payload, data, bytes);
    if (traffic != NULL && traffic->walked != NULL) traffic->walked(traffic->payload, bytes);
}

#define SMALL ((uint64_t)1 << 22) /* weights of a target that is not worth several threads */

static const char axis_letter[WMK_AXES] = {'D', 'H', 'W', 'I'};

static uint64_t extent_of(const char *layout, const uint64_t *shape, uint32_t rank, char letter)
{
    for (uint32_t a = 0; a < rank; a++)
        if (layout[a] == letter) return shape[a];
    return 1;
}

const char *wmk_view_name(const wmk_key *key, const wmk_tensor_view *views, size_t target)
{
    return views[target].name != NULL ? views[target].name : key->targets[target].name;
}

static void shape_text(char *text, size_t size, const char *layout, const uint64_t *shape, uint32_t rank)
{
    size_t used = (size_t)snprintf(text, size, "%.*s [", (int)WMK_RANK_MAX, layout);
    for (uint32_t a = 0; a < rank && used < size; a++)
        used += (size_t)snprintf(text + used, size - used, a == 0 ? "%llu" : ", %llu", (unsigned long long)shape[a]);
    if (used < size) snprintf(text + used, size - used, "]");
}

static wmk_status check_view(const wmk_key *key, const wmk_tensor_view *views, size_t t)
{
    const wmk_tensor_view *view = &views[t];
    const wmk_target *target = &key->targets[t];
    const char *name = wmk_view_name(key, views, t);
    if (!wmk_tensor_is_readable(view))
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: tensor %s: values of type %s cannot be read as weights", name,
                        wmk_dtype_name(view->dtype));
    if (view->rank > WMK_RANK_MAX || !wmk_layout_is_valid(view->layout, view->rank) || strchr(view->layout, 'O') == NULL)
        return wmk_fail(WMK_ERROR_MISMATCH, "tensor %s: its layout does not say which axis of %u is the filters'", name, view->rank);
    static const char letters[] = "ODHWI";
    for (const char *letter = letters; *letter != '\0'; letter++) {
        if (extent_of(view->layout, view->shape, view->rank, *letter) == extent_of(target->layout, target->shape, target->rank, *letter)) continue;
        char have[160], want[160];
        shape_text(have, sizeof have, view->layout, view->shape, view->rank);
        shape_text(want, sizeof want, target->layout, target->shape, target->rank);
        return wmk_fail(WMK_ERROR_MISMATCH, "tensor %s has shape %s, the key was made for %s", name, have, want);
    }
    return WMK_OK;
}

/* Of a view, or of a target whose view is missing (its layout then stands in). */
static void make_place(wmk_place *place, const char *layout, const uint64_t *shape, uint32_t rank)
{
    uint64_t step = 1;
    place->filters = place->filter_stride = place->per_filter = 1;
    for (int a = 0; a < WMK_AXES; a++) {
        place->extent[a] = 1;
        place->stride[a] = 0;
    }
    for (uint32_t i = rank; i-- > 0; step *= shape[i]) {
        if (layout[i] == 'O') {
            place->filters = shape[i];
            place->filter_stride = step;
            continue;
        }
        for (int a = 0; a < WMK_AXES; a++) {
            if (layout[i] != axis_letter[a]) continue;
            place->extent[a] = shape[i];
            place->stride[a] = step;
        }
        place->per_filter *= shape[i];
    }
    place->inner = place->filter_stride;
    place->outer = place->per_filter / place->inner;
}

wmk_status wmk_places_make(wmk_place *place, const wmk_key *key, const wmk_tensor_view *views, uint64_t *filters, uint64_t *channels)
{
    uint64_t column = 0, filter = 0, channel = 0;
    for (size_t t = 0; t < key->target_count; t++) {
        const wmk_target *target = &key->targets[t];
        if (views[t].data != NULL) {
            WMK_TRY(check_view(key, views, t));
            make_place(&place[t], views[t].layout, views[t].shape, views[t].rank);
        } else {
            make_place(&place[t], target->layout, target->shape, target->rank);
        }
        place[t].column = column;
        place[t].filter = filter;
        place[t].channels = wmk_balance_channels(&place[t]);
        place[t].channel = channel;
        column += place[t].per_filter * (key->carrier == WMK_CARRIER_MEAN ? 1 : place[t].filters);
        filter += place[t].filters;
        channel += place[t].channels;
    }
    if (column != key->M) return wmk_fail(WMK_ERROR_INTERNAL, "the key's targets hold %llu columns, not M", (unsigned long long)column);
    if (filters != NULL) *filters = filter;
    if (channels != NULL) *channels = channel;
    return WMK_OK;
}

uint64_t wmk_place_element(const wmk_place *place, uint64_t p, uint64_t filter)
{
    uint64_t element = filter * place->filter_stride;
    for (int a = WMK_AXES; a-- > 0;) {
        element += p % place->extent[a] * place->stride[a];
        p /= place->extent[a];
    }
    return element;
}

void wmk_place_positions(const wmk_place *place, uint64_t *position)
{
    uint64_t p = 0, outer_stride = place->inner * place->filters;
    for (uint64_t d = 0; d < place->extent[WMK_AXIS_D]; d++)
        for (uint64_t h = 0; h < place->extent[WMK_AXIS_H]; h++)
            for (uint64_t w = 0; w < place->extent[WMK_AXIS_W]; w++)
                for (uint64_t i = 0; i < place->extent[WMK_AXIS_I]; i++) {
                    uint64_t element =
                        d * place->stride[WMK_AXIS_D] + h * place->stride[WMK_AXIS_H] + w * place->stride[WMK_AXIS_W] + i * place->stride[WMK_AXIS_I];
                    position[element / outer_stride * place->inner + element % outer_stride] = p++;
                }
}

/* Divides target t's mean by its root mean square. */
static void normalize_mean(wmk_vector *v, size_t t)
{
    const wmk_place *place = &v->place[t];
    double *w = v->mean + place->column, squares = 0;
    for (uint64_t p = 0; p < place->per_filter; p++) squares += w[p] * w[p];
    v->rms[t] = sqrt(squares / (double)place->per_filter);
    v->inverse[t] = v->rms[t] > 0 ? 1 / v->rms[t] : 0;
    for (uint64_t p = 0; p < place->per_filter; p++) w[p] *= v->inverse[t];
}

/* The mean over filters of what are numbers, position by position; columns whose squares overflow count as 0. */
static void clean_sums(wmk_vector *v, size_t t, double *sums)
{
    const wmk_place *place = &v->place[t];
    v->damaged[t] = true;
    memset(sums, 0, place->per_filter * sizeof *sums);
    for (uint64_t u = 0; u < place->outer; u++)
        for (uint64_t f = 0; f < place->filters; f++)
            for (uint64_t q = 0; q < place->inner; q++) {
                double x;
                wmk_view_read(&v->views[t], (u * place->filters + f) * place->inner + q, 1, &x);
                v->weights_lost += wmk_values_clean(&x, 1);
                sums[u * place->inner + q] += x;
            }
    for (uint64_t s = 0; s < place->per_filter; s++) {
        double mean = sums[s] / (double)place->filters;
        if (isfinite(mean * mean)) continue;
        v->weights_lost += place->filters;
        sums[s] = 0;
    }
}

static wmk_status take_mean(wmk_vector *v, size_t t)
{
    const wmk_place *place = &v->place[t];
    double *sums = NULL;
    uint64_t *position = NULL;
    wmk_status status;
    WMK_TRY_GOTO(status, wmk_alloc(&sums, place->per_filter, sizeof *sums), done);
    WMK_TRY_GOTO(status, wmk_alloc(&position, place->per_filter, sizeof *position), done);
    wmk_view_filter_sums(&v->views[t], place, sums);
    wmk_place_positions(place, position);
    double check = 0;
    for (uint64_t s = 0; s < place->per_filter; s++) check += (sums[s] / (double)place->filters) * (sums[s] / (double)place->filters);
    if (!isfinite(check)) clean_sums(v, t, sums);
    for (uint64_t s = 0; s < place->per_filter; s++) v->mean[place->column + position[s]] = sums[s] / (double)place->filters;
    v->rms[t] = v->inverse[t] = 1;
    if (v->normalized) normalize_mean(v, t);
done:
    free(sums);
    free(position);
    return status;
}

/* A filter's sum of squares without what is no number; 0 when it overflows all the same. */
static double clean_square(wmk_vector *v, size_t t, uint64_t filter)
{
    const wmk_place *place = &v->place[t];
    uint64_t there = 0;
    double squares = 0;
    v->damaged[t] = true;
    for (uint64_t u = 0; u < place->outer; u++)
        for (uint64_t q = 0; q < place->inner; q++) {
            double x;
            wmk_view_read(&v->views[t], (u * place->filters + filter) * place->inner + q, 1, &x);
            v->weights_lost += wmk_values_clean(&x, 1);
            there += x != 0;
            squares += x * x;
        }
    if (isfinite(squares)) return squares;
    v->weights_lost += there;
    return 0;
}

static void take_rms(wmk_vector *v, size_t t)
{
    const wmk_place *place = &v->place[t];
    double *rms = v->rms + place->filter, *inverse = v->inverse + place->filter;
    wmk_view_filter_squares(&v->views[t], place, rms, v->traffic);
    for (uint64_t f = 0; f < place->filters; f++) {
        if (!isfinite(rms[f])) rms[f] = clean_square(v, t, f);
        rms[f] = sqrt(rms[f] / (double)place->per_filter);
        inverse[f] = rms[f] > 0 ? 1 / rms[f] : 0;
    }
}

static bool is_small(const wmk_vector *v, size_t t) { return v->views[t].data != NULL && v->place[t].per_filter * v->place[t].filters <= SMALL; }

static wmk_status take_balance(wmk_vector *v, size_t t)
{
    const wmk_place *place = &v->place[t];
    double *channel = v->channel + place->channel, *channel_rms = v->channel_rms + place->channel;
    wmk_balance *balance;
    if (!wmk_balance_applies(place)) {
        *channel = *channel_rms = 1;
        take_rms(v, t);
        return WMK_OK;
    }
    WMK_TRY(wmk_balance_create(&balance, &v->views[t], place));
    uint64_t lost = wmk_balance_compute(balance, channel, channel_rms, v->rms + place->filter, v->inverse + place->filter, v->traffic);
    wmk_balance_free(balance);
    v->damaged[t] = lost > 0;
#pragma omp atomic
    v->weights_lost += lost;
    return WMK_OK;
}

/* Small targets side by side; large ones use all threads themselves. */
static wmk_status take_small(wmk_vector *v)
{
    bool failed = false;
    if (v->carrier != WMK_CARRIER_BALANCED) return WMK_OK;
#pragma omp parallel for schedule(dynamic, 1) reduction(|| : failed) if (v->count > 1)
    for (size_t t = 0; t < v->count; t++)
        if (is_small(v, t)) failed = failed || take_balance(v, t) != WMK_OK;
    return failed ? wmk_fail_memory(1) : WMK_OK; /* a message that another thread set is not seen here */
}

static wmk_status take_factors(wmk_vector *v, size_t t)
{
    switch (v->carrier) {
    case WMK_CARRIER_MEAN:
        return take_mean(v, t);
    case WMK_CARRIER_WEIGHTS:
        take_rms(v, t);
        return WMK_OK;
    case WMK_CARRIER_BALANCED:
        return is_small(v, t) ? WMK_OK : take_balance(v, t);
    }
    return wmk_fail(WMK_ERROR_INTERNAL, "a key of carrier %d", (int)v->carrier);
}

static wmk_status make_vector(wmk_vector *v, const wmk_key *key)
{
    bool mean = v->carrier == WMK_CARRIER_MEAN;
    uint64_t channels;
    WMK_TRY(wmk_alloc(&v->place, v->count, sizeof *v->place));
    WMK_TRY(wmk_alloc(&v->damaged, v->count, sizeof *v->damaged));
    WMK_TRY(wmk_places_make(v->place, key, v->views, &v->filters, &channels));
    if (mean) WMK_TRY(wmk_alloc(&v->mean, v->m, sizeof *v->mean));
    uint64_t factors = mean ? v->count : v->filters;
    WMK_TRY(wmk_alloc(&v->rms, factors, sizeof *v->rms));
    WMK_TRY(wmk_alloc(&v->inverse, factors, sizeof *v->inverse));
    if (v->carrier != WMK_CARRIER_BALANCED) return WMK_OK;
    WMK_TRY(wmk_alloc(&v->channel, channels, sizeof *v->channel));
    return wmk_alloc(&v->channel_rms, channels, sizeof *v->channel_rms);
}

/* INPUT when all that is there is no number. */
static wmk_status check_left(const wmk_vector *v, const wmk_key *key)
{
    if (v->weights_lost == 0) return WMK_OK;
    for (uint64_t i = 0; i < (v->mean ? v->m : v->filters); i++)
        if (v->mean ? v->mean[i] != 0 : v->inverse[i] > 0) return WMK_OK;
    for (size_t t = 0; t < v->count; t++)
        if (v->damaged[t]) return wmk_view_not_finite(&v->views[t], &v->place[t], wmk_view_name(key, v->views, t));
    return WMK_OK;
}

wmk_status wmk_vector_open(wmk_vector *out, const wmk_key *key, const wmk_tensor_view *views, const wmk_traffic *traffic)
{
    wmk_vector v = {.views = views, .traffic = traffic, .count = key->target_count, .carrier = key->carrier, .m = key->M};
    bool mean = v.carrier == WMK_CARRIER_MEAN;
    v.normalized = !mean || v.count > 1;
    wmk_status status;
    WMK_TRY_GOTO(status, make_vector(&v, key), failed);
    WMK_TRY_GOTO(status, take_small(&v), failed);
    size_t present = 0;
    for (size_t t = 0; t < v.count; t++) {
        uint64_t weights = v.place[t].per_filter * v.place[t].filters;
        if (views[t].data == NULL) {
            if (!mean) v.weights_missing += weights;
            continue;
        }
        present++;
        v.weights_read += weights;
        WMK_TRY_GOTO(status, take_factors(&v, t), failed);
    }
    if (present == 0)
        status = wmk_fail(WMK_ERROR_MISSING, "none of the key's %zu target tensors is there (%s ...)", v.count, wmk_view_name(key, views, 0));
    else
        status = check_left(&v, key);
    if (status != WMK_OK) goto failed;
    *out = v;
    return WMK_OK;
failed:
    wmk_vector_close(&v);
    return status;
}

void wmk_vector_close(wmk_vector *vector)
{
    free(vector->place);
    free(vector->mean);
    free(vector->rms);
    free(vector->inverse);
    free(vector->channel);
    free(vector->channel_rms);
    free(vector->damaged);
    memset(vector, 0, sizeof *vector);
}

/* The target of `column`: the last whose first column is not beyond it. */
static size_t target_of(const wmk_vector *v, uint64_t column)
{
    size_t low = 0, high = v->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (v->place[middle].column <= column)
            low = middle;
        else
            high = middle;
    }
    return low;
}

double wmk_vector_unit(const wmk_vector *v, size_t t, uint64_t p, uint64_t filter)
{
    const wmk_place *place = &v->place[t];
    if (v->carrier == WMK_CARRIER_MEAN) return v->rms[t];
    double unit = v->rms[place->filter + filter];
    return v->channel == NULL ? unit : unit * v->channel_rms[place->channel + p % place->channels];
}

uint64_t wmk_vector_next(const wmk_vector *v, uint64_t column)
{
    for (size_t t = target_of(v, column); t < v->count; t++)
        if (v->views[t].data != NULL) return column > v->place[t].column ? column : v->place[t].column;
    return v->m;
}

void wmk_vector_block(const wmk_vector *v, uint64_t column, size_t count, double *w)
{
    if (v->carrier == WMK_CARRIER_MEAN) {
        memcpy(w, v->mean + column, count * sizeof *w);
        return;
    }
    for (size_t t = target_of(v, column); count > 0; t++) {
        const wmk_place *place = &v->place[t];
        uint64_t at = column - place->column, left = place->per_filter * place->filters - at;
        size_t n = left < count ? (size_t)left : count;
        uint64_t filter = at % place->filters, base = wmk_place_element(place, at / place->filters, 0), p = at / place->filters;
        for (size_t i = 0; i < n; i++) {
            w[i] = 0;
            if (v->views[t].data != NULL) {
                wmk_view_read(&v->views[t], base + filter * place->filter_stride, 1, &w[i]);
                if (v->damaged[t]) wmk_values_clean(&w[i], 1);
                double by = v->inverse[place->filter + filter];
                if (v->channel != NULL) by = fmin(by * v->channel[place->channel + p % place->channels], WMK_FACTOR_MAX);
                w[i] *= by;
            }
            if (++filter == place->filters && i + 1 < n) {
                filter = 0;
                base = wmk_place_element(place, ++p, 0);
            }
        }
        column += n;
        w += n;
        count -= n;
    }
}
