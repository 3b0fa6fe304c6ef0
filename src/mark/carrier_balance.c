/* mark/carrier_balance.c - one step towards a matrix whose rows and columns all have the same size (Sinkhorn and Knopp 1967,
 * here on squares), from a start that is told by medians of binary exponents: they are unmoved by whatever an attacker puts
 * into less than half of a channel. All of the start is in integers, so that every machine finds the same. */
#include "mark/carrier_balance.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "mark/carrier_kernel.h"

#define SAMPLE_MAX 256                     /* filters whose exponents are looked at */
#define SAMPLE_LEAST 16                    /* unless there are fewer; */
#define SAMPLE_WEIGHTS ((uint64_t)1 << 22) /* so many weights of them, about */
#define NONE INT16_MIN                     /* no exponent: the weight is 0 */
#define EXPONENT_LEAST (-1022)
#define PIECE 512          /* weights converted at a time */
#define POSITIONS 64       /* of all sampled filters, transposed at a time */
#define FILTERS 32         /* whose medians are taken together: a cache line of exponents */
#define CHUNKS 32          /* of filters, each with sums of its own */
#define SUMS ((uint64_t)1 << 21) /* elements of all of these, about */
#define RESIDUAL_MAX 4096  /* of e - a - b: each is within 1023 of 0 and a mean of such, so their sums are within 4 * 1023 */
#define BINS (2 * RESIDUAL_MAX)

typedef struct balance {
    const wmk_tensor_view *view;
    const wmk_place *place;
    uint64_t per_filter, channels, window;
    size_t sampled;
    uint32_t *channel_of; /* [per_filter] in the order of memory: "position" below */
    uint32_t *positions;  /* [channels][window] of each channel */
    int16_t *exponent;    /* [per_filter][sampled] */
    int32_t *a;           /* [channels] */
    int32_t b[SAMPLE_MAX];
    double *scale; /* [per_filter] 2^-a */
    double *sum;   /* [per_filter] over filters of (2^-a W / r)^2 */
    double *rms, *inverse;
    uint64_t lost;
    const wmk_traffic *traffic;
} balance;

uint64_t wmk_balance_channels(const wmk_place *place)
{
    return place->per_filter > WMK_BALANCE_FILTER_MAX ? 1 : place->extent[WMK_AXIS_I];
}

/* Of this room's threads: 0 in a region that another one runs. */
static size_t thread_number(void) { return omp_get_level() > 1 ? 0 : (size_t)omp_get_thread_num(); }

/* ---- medians of small integers ---- */

typedef struct counts {
    uint32_t count[BINS];
    int32_t low, high; /* bins in use */
    uint64_t all;
} counts;

static void counts_begin(counts *c)
{
    c->low = BINS;
    c->high = -1;
    c->all = 0;
}

static void counts_add(counts *c, int32_t value)
{
    int32_t bin = value + RESIDUAL_MAX;
    c->count[bin]++;
    c->all++;
    if (bin < c->low) c->low = bin;
    if (bin > c->high) c->high = bin;
}

/* The lower median, 0 of nothing; the counts are empty again. */
static int32_t counts_take_median(counts *c)
{
    int32_t median = 0;
    uint64_t below = 0, wanted = c->all > 0 ? (c->all - 1) / 2 : 0;
    for (int32_t bin = c->low; bin <= c->high; bin++) {
        if (below <= wanted && wanted < below + c->count[bin]) median = bin - RESIDUAL_MAX;
        below += c->count[bin];
        c->count[bin] = 0;
    }
    counts_begin(c);
    return median;
}

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
static void read_positions(const balance *s, uint64_t filter, uint64_t position, size_t count, double *value)
{
    const wmk_place *place = s->place;
    for (size_t i = 0, n; i < count; i += n) {
        uint64_t u = (position + i) / place->inner, q = (position + i) % place->inner;
        n = place->inner - q < count - i ? (size_t)(place->inner - q) : count - i;
        wmk_view_read(s->view, (u * place->filters + filter) * place->inner + q, n, value + i);
    }
}

static void sample_exponents(balance *s)
{
    uint64_t blocks = (s->per_filter + POSITIONS - 1) / POSITIONS;
#pragma omp parallel for schedule(static) if (s->per_filter * s->sampled > PIECE * 32)
    for (uint64_t block = 0; block < blocks; block++) {
        double value[POSITIONS];
        uint64_t first = block * POSITIONS;
        size_t n = s->per_filter - first < POSITIONS ? (size_t)(s->per_filter - first) : POSITIONS;
        for (size_t k = 0; k < s->sampled; k++) {
            read_positions(s, k * s->place->filters / s->sampled, first, n, value);
            for (size_t i = 0; i < n; i++) s->exponent[(first + i) * s->sampled + k] = exponent_of(value[i]);
        }
    }
}

static int32_t floor_mean(int64_t sum, int64_t count)
{
    if (count == 0) return 0;
    int64_t quotient = sum / count;
    return (int32_t)(quotient - (sum % count < 0));
}

static void average_channels(balance *s)
{
#pragma omp parallel for schedule(static) if (s->per_filter * s->sampled > PIECE * 32)
    for (uint64_t i = 0; i < s->channels; i++) {
        int64_t sum = 0, count = 0;
        for (uint64_t w = 0; w < s->window; w++) {
            const int16_t *e = s->exponent + s->positions[i * s->window + w] * s->sampled;
            for (size_t k = 0; k < s->sampled; k++) {
                sum += e[k] == NONE ? 0 : e[k];
                count += e[k] != NONE;
            }
        }
        s->a[i] = floor_mean(sum, count);
    }
}

static void average_filters(balance *s)
{
    int64_t sum[SAMPLE_MAX] = {0}, count[SAMPLE_MAX] = {0};
#pragma omp parallel for schedule(static) reduction(+ : sum, count) if (s->per_filter * s->sampled > PIECE * 32)
    for (uint64_t p = 0; p < s->per_filter; p++) {
        const int16_t *e = s->exponent + p * s->sampled;
        int32_t a = s->a[s->channel_of[p]];
        for (size_t k = 0; k < s->sampled; k++) {
            sum[k] += e[k] == NONE ? 0 : e[k] - a;
            count[k] += e[k] != NONE;
        }
    }
    for (size_t k = 0; k < s->sampled; k++) s->b[k] = floor_mean(sum[k], count[k]);
}

static void add_filter_medians(balance *s, counts *all)
{
    size_t groups = (s->sampled + FILTERS - 1) / FILTERS;
#pragma omp parallel for schedule(dynamic, 1) if (s->per_filter * s->sampled > PIECE * 32)
    for (size_t g = 0; g < groups; g++) {
        counts *c = all + thread_number() * FILTERS;
        size_t first = g * FILTERS, n = s->sampled - first < FILTERS ? s->sampled - first : FILTERS;
        for (uint64_t p = 0; p < s->per_filter; p++) {
            const int16_t *e = s->exponent + p * s->sampled + first;
            int32_t a = s->a[s->channel_of[p]];
            for (size_t k = 0; k < n; k++)
                if (e[k] != NONE) counts_add(&c[k], e[k] - a - s->b[first + k]);
        }
        for (size_t k = 0; k < n; k++) s->b[first + k] += counts_take_median(&c[k]);
    }
}

static void add_channel_medians(balance *s, counts *all)
{
#pragma omp parallel for schedule(static) if (s->per_filter * s->sampled > PIECE * 32)
    for (uint64_t i = 0; i < s->channels; i++) {
        counts *c = all + thread_number() * FILTERS;
        for (uint64_t w = 0; w < s->window; w++) {
            const int16_t *e = s->exponent + s->positions[i * s->window + w] * s->sampled;
            for (size_t k = 0; k < s->sampled; k++)
                if (e[k] != NONE) counts_add(c, e[k] - s->a[i] - s->b[k]);
        }
        s->a[i] += counts_take_median(c);
    }
}

static wmk_status find_start(balance *s)
{
    counts *all = NULL;
    size_t count = (omp_in_parallel() ? 1 : (size_t)omp_get_max_threads()) * FILTERS;
    WMK_TRY(wmk_alloc(&all, count, sizeof *all));
    for (size_t i = 0; i < count; i++) counts_begin(&all[i]);
    sample_exponents(s);
    average_channels(s);
    average_filters(s);
    add_filter_medians(s, all);
    add_channel_medians(s, all);
    for (uint64_t p = 0; p < s->per_filter; p++) s->scale[p] = ldexp(1, -s->a[s->channel_of[p]]);
    free(all);
    return WMK_OK;
}

/* ---- one division by the filters' RMS, and the sums for that of the input channels ---- */

/* (2^-a W)^2 of one filter, which may hold what is no number, and their sum. */
static double filter_squares(const balance *s, uint64_t filter, double *square, bool cleaned, uint64_t *lost)
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

static void set_filter(balance *s, uint64_t filter, double sum)
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
static void tell_read(const balance *s, uint64_t part, uint64_t parts)
{
    uint64_t bytes = wmk_view_bytes(s->view, s->place), begin = bytes / parts * part, end = part + 1 == parts ? bytes : bytes / parts * (part + 1);
    wmk_traffic_read(s->traffic, (const char *)s->view->data + begin, end - begin);
}

/* Filters lie one after the other: each is read once, and its share is added while it is at hand. */
static wmk_status divide_by_rows(balance *s)
{
    const uint64_t filters = s->place->filters, fit = SUMS / s->per_filter, P = s->per_filter;
    uint64_t chunks = fit < 1 ? 1 : fit < CHUNKS ? fit : CHUNKS, lost = 0;
    if (chunks > filters) chunks = filters;
    int threads = omp_in_parallel() ? 1 : omp_get_max_threads();
    if ((uint64_t)threads > chunks) threads = (int)chunks;
    double *sums = NULL, *squares = NULL;
    wmk_status status;
    WMK_TRY_GOTO(status, wmk_alloc(&sums, chunks * P, sizeof *sums), done);
    WMK_TRY_GOTO(status, wmk_alloc(&squares, (uint64_t)threads * P, sizeof *squares), done);
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads) reduction(+ : lost) if (filters * P > PIECE * 32)
    for (uint64_t c = 0; c < chunks; c++) {
        double *square = squares + thread_number() * P;
        for (uint64_t f = filters * c / chunks; f < filters * (c + 1) / chunks; f++) {
            double sum = filter_squares(s, f, square, false, NULL);
            if (!isfinite(sum)) sum = filter_squares(s, f, square, true, &lost);
            set_filter(s, f, sum);
            add_filter(sums + c * P, square, s->inverse[f], P);
        }
        tell_read(s, c, chunks);
    }
    for (uint64_t c = 0; c < chunks; c++)
        for (uint64_t p = 0; p < P; p++) s->sum[p] += sums[c * P + p];
    s->lost += lost;
done:
    free(sums);
    free(squares);
    return status;
}

/* Filters of a group, which are neighbours in memory at each outer index. */
static uint64_t filters_together(const wmk_place *place) { return place->inner >= PIECE ? 1 : PIECE / place->inner; }

/* Adds (2^-a W)^2 of `n` filters at outer index u. */
static void add_outer(const balance *s, uint64_t u, uint64_t filter, uint64_t n, double *sum)
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

static void find_filters(balance *s)
{
    const wmk_place *place = s->place;
    uint64_t together = filters_together(place), groups = (place->filters + together - 1) / together;
#pragma omp parallel for schedule(static) if (place->filters * s->per_filter > PIECE * 32)
    for (uint64_t g = 0; g < groups; g++) {
        double sum[PIECE] = {0};
        uint64_t first = g * together, n = place->filters - first < together ? place->filters - first : together;
        for (uint64_t u = 0; u < place->outer; u++) add_outer(s, u, first, n, sum);
        for (uint64_t f = 0; f < n; f++) set_filter(s, first + f, sum[f]);
    }
}

/* Filters whose sums are no numbers, once more. */
static wmk_status repair_filters(balance *s, bool *damaged)
{
    double *square = NULL;
    *damaged = false;
    for (uint64_t f = 0; f < s->place->filters; f++) {
        if (isfinite(s->rms[f])) continue;
        if (!square) WMK_TRY(wmk_alloc(&square, s->per_filter, sizeof *square));
        *damaged = true;
        set_filter(s, f, filter_squares(s, f, square, true, &s->lost));
    }
    free(square);
    return WMK_OK;
}

/* Filters are strewn over the tensor: it is read twice, in the order of memory. */
static wmk_status divide_by_strips(balance *s)
{
    const wmk_place *place = s->place;
    bool damaged;
    uint64_t together = filters_together(place), inner = place->inner;
    find_filters(s);
    WMK_TRY(repair_filters(s, &damaged));
#pragma omp parallel for schedule(static) if (place->filters * s->per_filter > PIECE * 32)
    for (uint64_t u = 0; u < place->outer; u++) {
        double value[PIECE];
        const double *scale = s->scale + u * inner;
        double *sum = s->sum + u * inner;
        for (uint64_t f = 0; f < place->filters; f += together) {
            uint64_t n = (place->filters - f < together ? place->filters - f : together) * inner, now;
            for (uint64_t at = 0; at < n; at += now) {
                now = n - at < PIECE ? n - at : PIECE;
                wmk_view_read(s->view, (u * place->filters + f) * inner + at, (size_t)now, value);
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
    return WMK_OK;
}

/* ---- the whole ---- */

static wmk_status map_channels(balance *s)
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

static wmk_status make_room(balance *s)
{
    WMK_TRY(wmk_alloc(&s->channel_of, s->per_filter, sizeof *s->channel_of));
    WMK_TRY(wmk_alloc(&s->positions, s->per_filter, sizeof *s->positions));
    WMK_TRY(wmk_alloc(&s->exponent, s->per_filter * s->sampled, sizeof *s->exponent));
    WMK_TRY(wmk_alloc(&s->a, s->channels, sizeof *s->a));
    WMK_TRY(wmk_alloc(&s->scale, s->per_filter, sizeof *s->scale));
    return wmk_alloc(&s->sum, s->per_filter, sizeof *s->sum);
}

static wmk_status compute(balance *s)
{
    WMK_TRY(make_room(s));
    WMK_TRY(map_channels(s));
    WMK_TRY(find_start(s));
    free(s->exponent);
    s->exponent = NULL;
    return s->place->outer == 1 ? divide_by_rows(s) : divide_by_strips(s);
}

static uint64_t sample_size(const wmk_place *place)
{
    uint64_t fit = SAMPLE_WEIGHTS / place->per_filter, count = fit < SAMPLE_LEAST ? SAMPLE_LEAST : fit;
    if (count > SAMPLE_MAX) count = SAMPLE_MAX;
    return count < place->filters ? count : place->filters;
}

static void take_channels(const balance *s, double *channel, double *channel_rms)
{
    double each = (double)s->window * (double)s->place->filters;
    for (uint64_t i = 0; i < s->channels; i++) {
        double sum = 0;
        for (uint64_t w = 0; w < s->window; w++) sum += s->sum[s->positions[i * s->window + w]];
        double c = sqrt(sum / each);
        channel[i] = c > 0 ? ldexp(1, -s->a[i]) / c : 0;
        channel_rms[i] = c > 0 ? ldexp(c, s->a[i]) : 0;
    }
}

wmk_status wmk_view_balance(const wmk_tensor_view *view, const wmk_place *place, double *channel, double *channel_rms,
                            double *rms, double *inverse, uint64_t *lost, const wmk_traffic *traffic)
{
    balance s = {.view = view,
                 .place = place,
                 .per_filter = place->per_filter,
                 .channels = place->extent[WMK_AXIS_I],
                 .window = place->per_filter / place->extent[WMK_AXIS_I],
                 .sampled = (size_t)sample_size(place),
                 .rms = rms,
                 .inverse = inverse,
                 .traffic = traffic};
    wmk_status status = compute(&s);
    if (status == WMK_OK) {
        take_channels(&s, channel, channel_rms);
        *lost = s.lost;
    }
    free(s.channel_of);
    free(s.positions);
    free(s.exponent);
    free(s.a);
    free(s.scale);
    free(s.sum);
    return status;
}
