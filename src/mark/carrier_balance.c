/* mark/carrier_balance.c - one step towards a matrix whose rows and columns all have the same size (Sinkhorn and Knopp 1967,
 * here on squares), from a start that is told by medians of binary exponents: they are unmoved by whatever an attacker puts
 * into less than half of a channel. All of the start is in integers, so that every machine finds the same. */
#include "mark/carrier_balance.h"

#include <float.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "mark/carrier_kernel.h"
#include "mark/lane_kernel.h"

#define SAMPLE_MAX 256                     /* filters whose exponents are looked at, */
#define SAMPLE_LEAST 16                    /* or fewer where a filter is long, but no fewer than this */
#define SAMPLE_WEIGHTS ((uint64_t)1 << 22) /* weights of a sample, about */
#define EXPONENT_LEAST (-1022)
#define NONE 0x4000 /* in place of an exponent: the weight is 0. Above all exponents and their differences */
#define VALID 0x2000
#define NEAR 8
#define PIECE 512                         /* weights converted at a time */
#define POSITIONS 64                      /* of all sampled filters, transposed at a time */
#define ROUND 16384                       /* rows that lanes of 16 bits can count */
#define CHUNKS 32                         /* of filters, each with sums of its own */
#define SUMS ((uint64_t)1 << 21)          /* elements of all of these, about */
#define WORTH_THREADS ((uint64_t)1 << 15) /* weights */

struct wmk_balance {
    const wmk_tensor_view *view;
    const wmk_place *place;
    uint64_t per_filter, channels, window;
    size_t sampled, stride; /* filters of the sample, and with those that fill up the last lanes */
    bool wide;              /* there is enough work for several threads */
    uint32_t *channel_of;   /* [per_filter] in the order of memory: "position" below */
    uint32_t *positions;    /* [channels][window] of each channel */
    int16_t *exponent;      /* [per_filter][stride] */
    int16_t *a;             /* [channels] */
    int16_t *a_of;          /* [per_filter] of each position's channel */
    int16_t b[SAMPLE_MAX + WMK_LANES];
    double *scale;   /* [per_filter] 2^-a */
    double *sum;     /* [per_filter] over filters of (2^-a W / r)^2 */
    uint64_t chunks; /* of filters, where these are rows of memory */
    size_t threads;
    double *sums, *squares; /* [chunks][per_filter], [threads][per_filter]; the same */
    double *rms, *inverse;  /* [filters] the caller's */
    uint64_t lost;
    const wmk_traffic *traffic;
};

bool wmk_balance_applies(const wmk_place *place)
{
    uint64_t each = place->per_filter / place->extent[WMK_AXIS_I] * place->filters;
    return place->per_filter <= WMK_BALANCE_FILTER_MAX && each >= WMK_BALANCE_CHANNEL_LEAST;
}

uint64_t wmk_balance_channels(const wmk_place *place) { return wmk_balance_applies(place) ? place->extent[WMK_AXIS_I] : 1; }

/* Of this room's threads: 0 in a region that another one runs. */
static size_t thread_number(void) { return omp_get_level() > 1 ? 0 : (size_t)omp_get_thread_num(); }

/* ---- the start: exponents of a sample of filters ---- */

static int16_t exponent_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    int field = (int)(bits >> 52 & 0x7ff);
    if (field == 0x7ff || value == 0) return NONE;
    return (int16_t)(field == 0 ? EXPONENT_LEAST : field - 1023);
}

/* `count` weights of one filter from a position on, as doubles. */
static void read_positions(const wmk_balance *s, uint64_t filter, uint64_t position, size_t count, double *value)
{
    const wmk_place *place = s->place;
    for (size_t i = 0, n; i < count; i += n) {
        uint64_t u = (position + i) / place->inner, q = (position + i) % place->inner;
        n = place->inner - q < count - i ? (size_t)(place->inner - q) : count - i;
        wmk_view_read(s->view, (u * place->filters + filter) * place->inner + q, n, value + i);
    }
}

static void sample_exponents(wmk_balance *s)
{
    uint64_t blocks = (s->per_filter + POSITIONS - 1) / POSITIONS;
#pragma omp parallel for schedule(static) if (s->wide)
    for (uint64_t block = 0; block < blocks; block++) {
        double value[POSITIONS];
        uint64_t first = block * POSITIONS;
        size_t n = s->per_filter - first < POSITIONS ? (size_t)(s->per_filter - first) : POSITIONS;
        int16_t *to = s->exponent + first * s->stride;
        for (size_t k = 0; k < s->stride; k++) {
            if (k < s->sampled) read_positions(s, k * s->place->filters / s->sampled, first, n, value);
            for (size_t i = 0; i < n; i++) to[i * s->stride + k] = k < s->sampled ? exponent_of(value[i]) : NONE;
        }
    }
}

static int16_t floor_mean(int64_t sum, int64_t count)
{
    if (count == 0) return 0;
    return (int16_t)(sum / count - (sum % count < 0));
}

static void average_channels(wmk_balance *s)
{
#pragma omp parallel for schedule(static) if (s->wide)
    for (uint64_t i = 0; i < s->channels; i++) {
        int64_t sum = 0, count = 0;
        for (uint64_t w = 0; w < s->window; w++) {
            const int16_t *e = s->exponent + s->positions[i * s->window + w] * s->stride;
            int32_t row = 0, there = 0;
            for (size_t k = 0; k < s->stride; k++) {
                row += e[k] == NONE ? 0 : e[k];
                there += e[k] != NONE;
            }
            sum += row;
            count += there;
        }
        s->a[i] = floor_mean(sum, count);
    }
}

static void spread_channels(wmk_balance *s)
{
    for (uint64_t p = 0; p < s->per_filter; p++) s->a_of[p] = s->a[s->channel_of[p]];
}

/* A search for medians, by halves, of as many sets as there are lanes. */
typedef struct search {
    int16_t low[WMK_LANES], high[WMK_LANES]; /* the median is in [low, high] */
    int64_t wanted[WMK_LANES];               /* how many are to be below or at it */
} search;

/* The middles; false when all are found. */
static bool search_middle(const search *find, int16_t middle[WMK_LANES])
{
    bool open = false;
    for (int k = 0; k < WMK_LANES; k++) {
        middle[k] = (int16_t)((find->low[k] + find->high[k]) >> 1);
        open = open || find->low[k] < find->high[k];
    }
    return open;
}

static void search_narrow(search *find, const int16_t middle[WMK_LANES], const int64_t below[WMK_LANES])
{
    for (int k = 0; k < WMK_LANES; k++) {
        if (middle[k] < find->low[k] || middle[k] >= find->high[k]) continue; /* it is known already */
        if (below[k] >= find->wanted[k])
            find->high[k] = middle[k];
        else
            find->low[k] = (int16_t)(middle[k] + 1);
    }
}

/* e - a of filters [first, first + lanes): how many are at `most` or below. */
static void count_filters(const wmk_balance *s, size_t first, const int16_t most[WMK_LANES], int64_t below[WMK_LANES])
{
    memset(below, 0, WMK_LANES * sizeof *below);
    for (uint64_t p = 0; p < s->per_filter; p += ROUND) {
        size_t n = s->per_filter - p < ROUND ? (size_t)(s->per_filter - p) : ROUND;
        int16_t counted[WMK_LANES];
        wmk_count_lanes(s->exponent + p * s->stride + first, s->stride, s->a_of + p, n, most, counted);
        for (int k = 0; k < WMK_LANES; k++) below[k] += counted[k];
    }
}

/* b_k: the lower median of e - a over each filter of the sample. */
static void find_filter_medians(wmk_balance *s)
{
#pragma omp parallel for schedule(dynamic, 1) if (s->wide)
    for (size_t first = 0; first < s->stride; first += WMK_LANES) {
        search find;
        int16_t middle[WMK_LANES];
        int64_t below[WMK_LANES];
        for (int k = 0; k < WMK_LANES; k++) middle[k] = VALID;
        count_filters(s, first, middle, below);
        for (int k = 0; k < WMK_LANES; k++) {
            find.low[k] = below[k] > 0 ? -VALID : 0;
            find.high[k] = below[k] > 0 ? VALID : 0;
            find.wanted[k] = (below[k] + 1) / 2;
        }
        for (int side = 0; side < 2; side++) { /* most medians are near 0 */
            for (int k = 0; k < WMK_LANES; k++) middle[k] = find.low[k] < find.high[k] ? (int16_t)(side ? NEAR - 1 : -NEAR - 1) : 0;
            count_filters(s, first, middle, below);
            search_narrow(&find, middle, below);
        }
        while (search_middle(&find, middle)) {
            count_filters(s, first, middle, below);
            search_narrow(&find, middle, below);
        }
        memcpy(s->b + first, find.low, sizeof find.low);
    }
}

/* e - b of one channel: how many are at `most` or below. */
static int64_t count_channel(const wmk_balance *s, uint64_t channel, int16_t most)
{
    int64_t below = 0;
    for (uint64_t w = 0; w < s->window; w++) {
        const int16_t *e = s->exponent + s->positions[channel * s->window + w] * s->stride;
        below += wmk_count_row(e, s->b, s->stride, most);
    }
    return below;
}

/* a_i: the lower median of e - b over each channel. */
static void find_channel_medians(wmk_balance *s)
{
#pragma omp parallel for schedule(static) if (s->wide)
    for (uint64_t i = 0; i < s->channels; i++) {
        int64_t all = count_channel(s, i, VALID);
        int low = all > 0 ? -VALID : 0, high = all > 0 ? VALID : 0;
        for (int step = 0; low < high; step++) { /* most medians are near the mean */
            int middle = step == 0 ? s->a[i] - NEAR - 1 : step == 1 ? s->a[i] + NEAR - 1 : (low + high) >> 1;
            if (middle < low || middle >= high) continue;
            if (count_channel(s, i, (int16_t)middle) >= (all + 1) / 2)
                high = middle;
            else
                low = middle + 1;
        }
        s->a[i] = (int16_t)(low < EXPONENT_LEAST ? EXPONENT_LEAST : low); /* so that 2^-a is a number */
    }
}

static void find_start(wmk_balance *s)
{
    sample_exponents(s);
    average_channels(s);
    spread_channels(s);
    find_filter_medians(s);
    find_channel_medians(s);
    for (uint64_t p = 0; p < s->per_filter; p++) s->scale[p] = ldexp(1, -s->a[s->channel_of[p]]);
}

/* ---- one division by the filters' RMS, and the sums for that of the input channels ---- */

/* (2^-a W)^2 of one filter, which may hold what is no number, and their sum. */
static double filter_squares(const wmk_balance *s, uint64_t filter, double *square, bool cleaned, uint64_t *lost)
{
    double value[PIECE], sum = 0;
    uint64_t bad = 0, there = 0;
    for (uint64_t p = 0; p < s->per_filter; p += PIECE) {
        size_t n = s->per_filter - p < PIECE ? (size_t)(s->per_filter - p) : PIECE;
        read_positions(s, filter, p, n, value);
        if (cleaned) bad += wmk_values_clean(value, n);
        for (size_t i = 0; cleaned && i < n; i++) there += value[i] != 0;
        sum += wmk_squares_scaled(square + p, value, s->scale + p, n);
    }
    if (!cleaned) return sum;
    if (!isfinite(sum)) bad += there;
    *lost += bad;
    return isfinite(sum) ? sum : 0;
}

static void set_filter(wmk_balance *s, uint64_t filter, double sum)
{
    s->rms[filter] = sqrt(sum / (double)s->per_filter);
    s->inverse[filter] = s->rms[filter] > 0 ? 1 / s->rms[filter] : 0;
}

static void add_filter(double *sum, double *square, double inverse, size_t count)
{
    double by = inverse * inverse;
    if (inverse == 0) return;
    if (isfinite(by)) {
        wmk_add_scaled(sum, square, by, count);
        return;
    }
    for (size_t i = 0; i < count; i++) sum[i] += square[i] * inverse * inverse;
}

/* Part number `part` of so many was read. */
static void tell_read(const wmk_balance *s, uint64_t part, uint64_t parts)
{
    uint64_t bytes = wmk_view_bytes(s->view, s->place), begin = bytes / parts * part, end = part + 1 == parts ? bytes : bytes / parts * (part + 1);
    wmk_traffic_read(s->traffic, (const char *)s->view->data + begin, end - begin);
}

/* Filters lie one after the other: each is read once, and its share is added while it is at hand. */
static void divide_by_rows(wmk_balance *s)
{
    const uint64_t filters = s->place->filters, P = s->per_filter;
    uint64_t lost = 0;
    memset(s->sums, 0, s->chunks * P * sizeof *s->sums);
#pragma omp parallel for schedule(dynamic, 1) num_threads((int)s->threads) reduction(+ : lost) if (s->wide)
    for (uint64_t c = 0; c < s->chunks; c++) {
        double *square = s->squares + thread_number() * P;
        for (uint64_t f = filters * c / s->chunks; f < filters * (c + 1) / s->chunks; f++) {
            double sum = filter_squares(s, f, square, false, NULL);
            if (!isfinite(sum)) sum = filter_squares(s, f, square, true, &lost);
            set_filter(s, f, sum);
            add_filter(s->sums + c * P, square, s->inverse[f], P);
        }
        tell_read(s, c, s->chunks);
    }
    for (uint64_t c = 0; c < s->chunks; c++)
        for (uint64_t p = 0; p < P; p++) s->sum[p] += s->sums[c * P + p];
    s->lost += lost;
}

/* Filters of a group, which are neighbours in memory at each outer index. */
static uint64_t filters_together(const wmk_place *place) { return place->inner >= PIECE ? 1 : PIECE / place->inner; }

/* Adds (2^-a W)^2 of `n` filters at outer index u. */
static void add_outer(const wmk_balance *s, uint64_t u, uint64_t filter, uint64_t n, double *sum)
{
    double value[PIECE];
    const wmk_place *place = s->place;
    uint64_t inner = place->inner, base = (u * place->filters + filter) * inner;
    const double *scale = s->scale + u * inner;
    for (uint64_t at = 0, now; at < n * inner; at += now) {
        now = n * inner - at < PIECE ? n * inner - at : PIECE;
        wmk_view_read(s->view, base + at, (size_t)now, value);
        if (inner == 1) {
#pragma omp simd
            for (uint64_t f = 0; f < now; f++) sum[f] += (value[f] * *scale) * (value[f] * *scale);
            continue;
        }
        for (uint64_t i = 0; i < now; i++) {
            double x = value[i] * scale[(at + i) % inner];
            sum[(at + i) / inner] += x * x;
        }
    }
}

static void find_filters(wmk_balance *s)
{
    const wmk_place *place = s->place;
    uint64_t together = filters_together(place), groups = (place->filters + together - 1) / together;
#pragma omp parallel for schedule(static) if (s->wide)
    for (uint64_t g = 0; g < groups; g++) {
        double sum[PIECE] = {0};
        uint64_t first = g * together, n = place->filters - first < together ? place->filters - first : together;
        for (uint64_t u = 0; u < place->outer; u++) add_outer(s, u, first, n, sum);
        for (uint64_t f = 0; f < n; f++) set_filter(s, first + f, sum[f]);
    }
}

/* Filters whose sums are no numbers, once more; whether there was one. */
static bool repair_filters(wmk_balance *s)
{
    bool damaged = false;
    for (uint64_t f = 0; f < s->place->filters; f++) {
        if (isfinite(s->rms[f])) continue;
        damaged = true;
        set_filter(s, f, filter_squares(s, f, s->squares, true, &s->lost));
    }
    return damaged;
}

/* Filters that count as 0 because their squares overflow: a scaled weight of theirs may be infinite. */
static void drop_filters(const wmk_balance *s, uint64_t filter, uint64_t inner, size_t at, size_t count, double *value)
{
    for (size_t i = 0; i < count; i++)
        if (s->inverse[filter + (at + i) / inner] == 0) value[i] = 0;
}

/* Filters are strewn over the tensor: it is read twice, in the order of memory. */
static void divide_by_strips(wmk_balance *s)
{
    const wmk_place *place = s->place;
    uint64_t together = filters_together(place), inner = place->inner;
    find_filters(s);
    bool damaged = repair_filters(s);
#pragma omp parallel for schedule(static) if (s->wide)
    for (uint64_t u = 0; u < place->outer; u++) {
        double value[PIECE];
        const double *scale = s->scale + u * inner;
        double *sum = s->sum + u * inner;
        for (uint64_t f = 0; f < place->filters; f += together) {
            uint64_t n = (place->filters - f < together ? place->filters - f : together) * inner, now;
            for (uint64_t at = 0; at < n; at += now) {
                now = n - at < PIECE ? n - at : PIECE;
                wmk_view_read(s->view, (u * place->filters + f) * inner + at, (size_t)now, value);
                if (damaged) drop_filters(s, f, inner, (size_t)at, (size_t)now, value);
                if (damaged) wmk_values_clean(value, (size_t)now);
                for (uint64_t i = 0; i < now; i++) {
                    uint64_t q = inner == 1 ? 0 : (at + i) % inner, filter = f + (inner == 1 ? at + i : (at + i) / inner);
                    double x = value[i] * scale[q] * s->inverse[filter];
                    sum[q] += x * x;
                }
            }
        }
    }
    tell_read(s, 0, 1);
}

/* ---- the whole ---- */

static wmk_status map_channels(wmk_balance *s)
{
    uint64_t *position = NULL, *used = NULL;
    wmk_status status;
    WMK_TRY_GOTO(status, wmk_alloc(&position, s->per_filter, sizeof *position), done);
    WMK_TRY_GOTO(status, wmk_alloc(&used, s->channels, sizeof *used), done);
    wmk_place_positions(s->place, position);
    for (uint64_t p = 0; p < s->per_filter; p++) {
        uint64_t i = position[p] % s->channels;
        s->channel_of[p] = (uint32_t)i;
        s->positions[i * s->window + used[i]++] = (uint32_t)p;
    }
done:
    free(position);
    free(used);
    return status;
}

static wmk_status make_room(wmk_balance *s)
{
    const uint64_t P = s->per_filter;
    WMK_TRY(wmk_alloc(&s->channel_of, P, sizeof *s->channel_of));
    WMK_TRY(wmk_alloc(&s->positions, P, sizeof *s->positions));
    WMK_TRY(wmk_alloc_aligned(&s->exponent, P * s->stride * sizeof *s->exponent));
    WMK_TRY(wmk_alloc(&s->a, s->channels, sizeof *s->a));
    WMK_TRY(wmk_alloc(&s->a_of, P, sizeof *s->a_of));
    WMK_TRY(wmk_alloc(&s->scale, P, sizeof *s->scale));
    WMK_TRY(wmk_alloc(&s->sum, P, sizeof *s->sum));
    WMK_TRY(wmk_alloc(&s->squares, s->threads * P, sizeof *s->squares));
    if (s->place->outer == 1) WMK_TRY(wmk_alloc(&s->sums, s->chunks * P, sizeof *s->sums));
    return map_channels(s);
}

static uint64_t at_most(uint64_t value, uint64_t most) { return value < most ? value : most; }

static void plan(wmk_balance *s, const wmk_tensor_view *view, const wmk_place *place)
{
    const uint64_t P = place->per_filter, filters = place->filters, fit = at_most(SAMPLE_WEIGHTS / P, SAMPLE_MAX);
    size_t threads = omp_in_parallel() ? 1 : (size_t)omp_get_max_threads();
    s->view = view;
    s->place = place;
    s->per_filter = P;
    s->channels = place->extent[WMK_AXIS_I];
    s->window = P / s->channels;
    s->sampled = (size_t)at_most(fit < SAMPLE_LEAST ? SAMPLE_LEAST : fit, filters);
    s->stride = (s->sampled + WMK_LANES - 1) / WMK_LANES * WMK_LANES;
    s->wide = filters * P > WORTH_THREADS && threads > 1;
    s->chunks = at_most(SUMS / P < 1 ? 1 : at_most(SUMS / P, CHUNKS), filters);
    s->threads = s->wide && place->outer == 1 ? (size_t)at_most(threads, s->chunks) : 1;
}

wmk_status wmk_balance_create(wmk_balance **out, const wmk_tensor_view *view, const wmk_place *place)
{
    wmk_balance *s;
    WMK_TRY(wmk_alloc(&s, 1, sizeof *s));
    plan(s, view, place);
    wmk_status status = make_room(s);
    if (status == WMK_OK)
        *out = s;
    else
        wmk_balance_free(s);
    return status;
}

uint64_t wmk_balance_compute(wmk_balance *s, double *channel, double *channel_rms, double *rms, double *inverse, const wmk_traffic *traffic)
{
    double each = (double)s->window * (double)s->place->filters;
    s->rms = rms;
    s->inverse = inverse;
    s->traffic = traffic;
    s->lost = 0;
    memset(s->sum, 0, s->per_filter * sizeof *s->sum);
    find_start(s);
    if (s->place->outer == 1)
        divide_by_rows(s);
    else
        divide_by_strips(s);
    for (uint64_t i = 0; i < s->channels; i++) {
        double sum = 0;
        for (uint64_t w = 0; w < s->window; w++) sum += s->sum[s->positions[i * s->window + w]];
        double c = sqrt(sum / each);
        channel[i] = c > 0 ? fmin(ldexp(1, -s->a[i]) / c, DBL_MAX) : 0; /* times 0, that of a lost filter, is 0 */
        if (channel_rms != NULL) channel_rms[i] = c > 0 ? ldexp(c, s->a[i]) : 0;
    }
    return s->lost;
}

void wmk_balance_free(wmk_balance *s)
{
    if (s == NULL) return;
    free(s->channel_of);
    free(s->positions);
    wmk_free_aligned(s->exponent);
    free(s->a);
    free(s->a_of);
    free(s->scale);
    free(s->sum);
    free(s->squares);
    free(s->sums);
    free(s);
}
