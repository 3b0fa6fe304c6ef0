/* mark/carrier_sums.c - sums over whole views, read front to back: squares of each filter, and the sum over filters. */
#include "mark/carrier.h"

#include <math.h>

#include "base/convert.h"
#include "base/memory.h"
#include "mark/carrier_kernel.h"

#define BLOCK WMK_SQUARES_BLOCK
#define SLAB_BYTES ((uint64_t)64 << 20)

void wmk_view_read(const wmk_tensor_view *view, uint64_t element, size_t count, double *out)
{
    if (view->codec == NULL && view->dtype == WMK_F32)
        wmk_widen_row(out, (const unsigned char *)view->data + element * 4, count);
    else
        wmk_tensor_read(view, element, count, out);
}

uint64_t wmk_view_bytes(const wmk_tensor_view *view, const wmk_place *place)
{
    uint32_t elements, bytes;
    if (view->data_bytes != 0 || !wmk_dtype_block(view->dtype, &elements, &bytes)) return view->data_bytes;
    return place->filters * place->per_filter / elements * bytes;
}

void wmk_view_fetch(const wmk_tensor_view *view, uint64_t element, size_t count)
{
    if (view->codec != NULL) return;
    size_t size = wmk_dtype_bits(view->dtype) / 8;
    const char *at = (const char *)view->data + element * size;
    for (size_t i = 0; i < count * size; i += 64) __builtin_prefetch(at + i);
}

/* Of a run of the view. */
static double squares_of_run(const wmk_tensor_view *view, uint64_t element, uint64_t count)
{
    double x[BLOCK], squares = 0;
    for (uint64_t i = 0; i < count; i += BLOCK, element += BLOCK) {
        size_t n = count - i < BLOCK ? (size_t)(count - i) : BLOCK;
        if (view->codec == NULL && view->dtype == WMK_F32) {
            squares += wmk_squares_row((const unsigned char *)view->data + element * 4, n);
        } else if (view->codec == NULL && view->dtype == WMK_BF16) {
            squares += wmk_squares_bf16((const unsigned char *)view->data + element * 2, n);
        } else {
            wmk_view_read(view, element, n, x);
            squares += wmk_squares_f64(x, n);
        }
    }
    return squares;
}

/* Adds to filters [first, last), squares [last - first], what lies at outer indices [from, to): one run of the view for each of these. */
static void squares_of(const wmk_tensor_view *view, const wmk_place *place, uint64_t first, uint64_t last, uint64_t from, uint64_t to,
                       double *squares)
{
    double x[BLOCK];
    for (uint64_t u = from; u < to; u++) {
        uint64_t base = (u * place->filters + first) * place->inner;
        if (place->inner > 1) {
            for (uint64_t f = first; f < last; f++, base += place->inner) squares[f - first] += squares_of_run(view, base, place->inner);
            continue;
        }
        if (u + 1 < place->outer) wmk_view_fetch(view, base + place->filters, (size_t)(last - first));
        wmk_view_read(view, base, (size_t)(last - first), x);
#pragma omp simd
        for (uint64_t f = first; f < last; f++) squares[f - first] += x[f - first] * x[f - first];
    }
}

void wmk_view_filter_square(const wmk_tensor_view *view, const wmk_place *place, uint64_t filter, double *square)
{
    *square = 0;
    squares_of(view, place, filter, filter + 1, 0, place->outer, square);
}

/* Slab after slab, each one stretch of memory: so many outer indices or, where there is one, so many filters. */
void wmk_view_filter_squares(const wmk_tensor_view *view, const wmk_place *place, double *squares, const wmk_traffic *traffic)
{
    uint64_t group = place->inner >= BLOCK ? 1 : BLOCK / place->inner, bytes = wmk_view_bytes(view, place), done = 0;
    uint64_t rows = place->outer > 1 ? place->outer : place->filters, slab = rows, step;
    if (traffic != NULL && bytes > SLAB_BYTES) slab = rows / (bytes / SLAB_BYTES) + 1;
    if (place->outer <= 1) slab = (slab + group - 1) / group * group;
    for (uint64_t f = 0; f < place->filters; f++) squares[f] = 0;
    for (uint64_t row = 0; row < rows; row += step) {
        step = rows - row < slab ? rows - row : slab;
        bool split = place->outer <= 1;
        uint64_t begin = split ? row : 0, filters = split ? step : place->filters, groups = (filters + group - 1) / group;
#pragma omp parallel for schedule(static) if (place->filters * place->per_filter > 16384)
        for (uint64_t g = 0; g < groups; g++) {
            uint64_t first = g * group, last = first + group < filters ? first + group : filters;
            squares_of(view, place, begin + first, begin + last, split ? 0 : row, split ? place->outer : row + step, squares + begin + first);
        }
        uint64_t now = row + step == rows ? bytes : bytes / rows * (row + step); /* about, where a codec lays the values otherwise */
        wmk_traffic_read(traffic, (const char *)view->data + done, now - done);
        done = now;
    }
}

/* The inner dimension is long: a run of it, over all filters. */
static void sums_of_run(const wmk_tensor_view *view, const wmk_place *place, uint64_t u, uint64_t q, size_t n, double *sums)
{
    double x[BLOCK];
    bool direct = view->codec == NULL && view->dtype == WMK_F32 && (uintptr_t)view->data % sizeof(float) == 0;
    for (size_t i = 0; i < n; i++) sums[i] = 0;
    for (uint64_t f = 0; f < place->filters; f++) {
        if (direct) {
            const float *from = (const float *)view->data + (u * place->filters + f) * place->inner + q;
#pragma omp simd
            for (size_t i = 0; i < n; i++) sums[i] += from[i];
            continue;
        }
        wmk_view_read(view, (u * place->filters + f) * place->inner + q, n, x);
        for (size_t i = 0; i < n; i++) sums[i] += x[i];
    }
}

/* It is short: whole filters are converted together. */
static void sums_of_outer(const wmk_tensor_view *view, const wmk_place *place, uint64_t u, double *sums)
{
    double x[BLOCK];
    uint64_t inner = place->inner, group = BLOCK / inner;
    for (uint64_t q = 0; q < inner; q++) sums[q] = 0;
    for (uint64_t f = 0; f < place->filters; f += group) {
        uint64_t n = place->filters - f < group ? place->filters - f : group;
        wmk_view_read(view, (u * place->filters + f) * inner, (size_t)(n * inner), x);
        for (uint64_t k = 0; k < n; k++)
            for (uint64_t q = 0; q < inner; q++) sums[q] += x[k * inner + q];
    }
}

void wmk_view_filter_sums(const wmk_tensor_view *view, const wmk_place *place, double *sums)
{
    bool large = place->filters * place->per_filter > 16384;
    if (place->inner < 128) {
#pragma omp parallel for schedule(static) if (large)
        for (uint64_t u = 0; u < place->outer; u++) sums_of_outer(view, place, u, sums + u * place->inner);
        return;
    }
    uint64_t run = place->inner < 2 * BLOCK ? 128 : BLOCK, runs = (place->inner + run - 1) / run;
#pragma omp parallel for collapse(2) schedule(static) if (large)
    for (uint64_t u = 0; u < place->outer; u++)
        for (uint64_t r = 0; r < runs; r++) {
            uint64_t q = r * run, n = place->inner - q < run ? place->inner - q : run;
            sums_of_run(view, place, u, q, (size_t)n, sums + u * place->inner + q);
        }
}

uint64_t wmk_values_clean(double *value, size_t count)
{
    uint64_t lost = 0;
    for (size_t i = 0; i < count; i++) {
        if (isfinite(value[i])) continue;
        value[i] = 0;
        lost++;
    }
    return lost;
}

wmk_status wmk_view_not_finite(const wmk_tensor_view *view, const wmk_place *place, const char *name)
{
    uint64_t count = place->filters * place->per_filter;
    double largest = 0;
    uint64_t at = 0;
    for (uint64_t e = 0; e < count; e += BLOCK) {
        double x[BLOCK];
        size_t n = count - e < BLOCK ? (size_t)(count - e) : BLOCK;
        wmk_view_read(view, e, n, x);
        for (size_t i = 0; i < n; i++) {
            if (!isfinite(x[i]))
                return wmk_fail(WMK_ERROR_INPUT, "tensor %s: element %llu is %s", name, (unsigned long long)e + i,
                                isnan(x[i]) ? "not a number" : "infinite");
            if (fabs(x[i]) > largest) {
                largest = fabs(x[i]);
                at = e + i;
            }
        }
    }
    return wmk_fail(WMK_ERROR_INPUT, "tensor %s: element %llu is %g: too large to square", name, (unsigned long long)at, largest);
}
