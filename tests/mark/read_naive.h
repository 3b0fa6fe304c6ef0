/* read_naive.h - weights for the tests, in any layout and type, and everything a key reads from them in plain double loops straight from the
 * formulas of design and paper. Uses of the library: the dense elements of X, and nothing else. */
#ifndef WMK_TESTS_READ_NAIVE_H
#define WMK_TESTS_READ_NAIVE_H

#include "cmocka_wmk.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <weightmark/mark.h>

#define NAIVE_MAX 8 /* tensors */

/* One weight tensor: value[((((d H + h) W + w) I + i) O + o], extent in that order. */
typedef struct naive_tensor {
    char name[16];
    uint64_t extent[5]; /* D H W I O */
    double *value;
    wmk_target target;
    wmk_tensor_view view;
    unsigned char *bytes; /* what view.data points into, one byte past the start: unaligned, unless for training */
} naive_tensor;

typedef struct naive_set {
    size_t count;
    naive_tensor tensor[NAIVE_MAX];
    wmk_target target[NAIVE_MAX];
    wmk_tensor_view view[NAIVE_MAX];
} naive_set;

static inline uint64_t naive_random(uint64_t *state) /* splitmix64 */
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline double naive_uniform(uint64_t *state) { return ((double)(naive_random(state) >> 11) + 0.5) * 0x1p-53; }
static inline double naive_normal(uint64_t *state) { return sqrt(-2 * log(naive_uniform(state))) * cos(6.283185307179586 * naive_uniform(state)); }

static inline size_t naive_size(const naive_tensor *t) { return (size_t)(t->extent[0] * t->extent[1] * t->extent[2] * t->extent[3] * t->extent[4]); }

/* Heavy tails, filters of very different size, neighbours alike, some zeros, one filter all zeros (when there are five); every value is
 * k / 1024 times a power of two with |k| < 128, so that each float type holds it. */
static inline void naive_fill(naive_tensor *t, uint64_t seed)
{
    uint64_t state = seed, filters = t->extent[4];
    double last = 0;
    for (size_t k = 0; k < naive_size(t); k++) {
        uint64_t o = k % filters;
        last = 0.5 * last + naive_normal(&state);
        double v = last / sqrt(naive_uniform(&state) + 0.01);
        if (naive_random(&state) % 10 == 0) v = 0;
        v = fmax(-127, fmin(127, nearbyint(v * 8)));
        t->value[k] = filters >= 5 && o == 3 ? 0 : ldexp(v, (int)(o % 4) - 9);
    }
}

static inline uint16_t naive_half(double value, int mantissa) /* exact values only; mantissa 10: binary16, 7: bfloat16 */
{
    if (value == 0) return signbit(value) ? 0x8000 : 0;
    int exponent;
    double m = frexp(fabs(value), &exponent); /* in [0.5, 1) */
    int bias = mantissa == 10 ? 15 : 127;
    if (exponent < 2 - bias) return (uint16_t)((value < 0 ? 0x8000 : 0) | (int)ldexp(fabs(value), bias - 1 + mantissa)); /* subnormal */
    return (uint16_t)((value < 0 ? 0x8000 : 0) | ((exponent - 1 + bias) << mantissa) | (int)((2 * m - 1) * (1 << mantissa)));
}

/* Puts values into `layout` and `dtype`. aligned: for training. */
static inline void naive_store(naive_tensor *t, const char *layout, wmk_dtype dtype, int aligned)
{
    static const char letter[] = "DHWIO";
    uint32_t rank = (uint32_t)strlen(layout);
    size_t size = wmk_dtype_bits(dtype) / 8, count = naive_size(t);
    free(t->bytes);
    t->bytes = malloc(count * size + 1);
    t->view = (wmk_tensor_view){.name = t->name, .dtype = dtype, .rank = rank, .data = t->bytes + (aligned ? 0 : 1)};
    strcpy(t->view.layout, layout);
    for (uint32_t a = 0; a < rank; a++) t->view.shape[a] = t->extent[strchr(letter, layout[a]) - letter];
    for (size_t e = 0; e < count; e++) {
        uint64_t index[5] = {0};
        size_t rest = e;
        for (uint32_t a = rank; a-- > 0; rest /= t->view.shape[a]) index[strchr(letter, layout[a]) - letter] = rest % t->view.shape[a];
        size_t k = 0;
        for (int a = 0; a < 5; a++) k = k * t->extent[a] + index[a];
        double v = t->value[k];
        float f = (float)v;
        uint16_t h = naive_half(v, dtype == WMK_F16 ? 10 : 7);
        const void *from = dtype == WMK_F64 ? (const void *)&v : dtype == WMK_F32 ? (const void *)&f : (const void *)&h;
        memcpy((unsigned char *)(uintptr_t)t->view.data + e * size, from, size);
    }
}

/* element of the view -> index into value */
static inline size_t naive_index(const naive_tensor *t, size_t e)
{
    static const char letter[] = "DHWIO";
    uint64_t index[5] = {0};
    for (uint32_t a = t->view.rank; a-- > 0; e /= t->view.shape[a]) index[strchr(letter, t->view.layout[a]) - letter] = e % t->view.shape[a];
    size_t k = 0;
    for (int a = 0; a < 5; a++) k = k * t->extent[a] + index[a];
    return k;
}

/* A codec that is neither linear nor of a known type: doubles, those of each eight in another order. Reads and writes single elements. */
static inline void naive_read_mixed(const wmk_tensor_view *view, uint64_t element, size_t count, double *values)
{
    for (size_t i = 0; i < count; i++)
        memcpy(&values[i], (const unsigned char *)view->data + 8 * ((element + i) ^ *(const uint64_t *)view->codec_context), 8);
}
static inline void naive_write_mixed(const wmk_tensor_view *view, void *data, uint64_t element, size_t count, const double *values)
{
    for (size_t i = 0; i < count; i++) memcpy((unsigned char *)data + 8 * ((element + i) ^ *(const uint64_t *)view->codec_context), &values[i], 8);
}
static const wmk_codec naive_mixed = {"mixed", naive_read_mixed, naive_write_mixed, 1};
static const uint64_t naive_mix = 5;

/* Puts tensor t's values into `layout` and the mixed codec. */
static inline void naive_set_mixed(naive_set *set, size_t t, const char *layout)
{
    naive_tensor *tensor = &set->tensor[t];
    size_t count = naive_size(tensor), room = (count + 7) / 8 * 8 * 8;
    naive_store(tensor, layout, WMK_F64, 0);
    unsigned char *mixed = calloc(room + 1, 1);
    for (size_t e = 0; e < count; e++) memcpy(mixed + 1 + 8 * (e ^ naive_mix), tensor->bytes + 1 + 8 * e, 8);
    free(tensor->bytes);
    tensor->bytes = mixed;
    tensor->view.data = mixed + 1;
    tensor->view.dtype = WMK_DTYPE_NONE;
    tensor->view.codec = &naive_mixed;
    tensor->view.codec_context = &naive_mix;
    tensor->view.data_bytes = room;
    set->view[t] = tensor->view;
}

static inline void naive_add(naive_set *set, uint64_t d, uint64_t h, uint64_t w, uint64_t i, uint64_t o, const char *key_layout)
{
    static const char letter[] = "DHWIO";
    naive_tensor *t = &set->tensor[set->count];
    snprintf(t->name, sizeof t->name, "layer%zu", set->count);
    uint64_t extent[5] = {d, h, w, i, o};
    memcpy(t->extent, extent, sizeof extent);
    t->value = calloc(naive_size(t), sizeof *t->value);
    naive_fill(t, 1000 + set->count);
    wmk_target *target = &set->target[set->count];
    *target = (wmk_target){.name = t->name, .rank = (uint32_t)strlen(key_layout)};
    strcpy(target->layout, key_layout);
    for (uint32_t a = 0; a < target->rank; a++) target->shape[a] = extent[strchr(letter, key_layout[a]) - letter];
    naive_store(t, key_layout, WMK_F32, 0);
    set->view[set->count++] = t->view;
}

static inline void naive_set_layout(naive_set *set, size_t t, const char *layout, wmk_dtype dtype, int aligned)
{
    naive_store(&set->tensor[t], layout, dtype, aligned);
    set->view[t] = set->tensor[t].view;
}

static inline void naive_free(naive_set *set)
{
    for (size_t t = 0; t < set->count; t++) {
        free(set->tensor[t].value);
        free(set->tensor[t].bytes);
    }
}

static inline wmk_key *naive_key(const naive_set *set, wmk_scheme scheme, wmk_carrier carrier, uint32_t bits, bool ones, uint8_t seed)
{
    uint8_t bytes[WMK_SEED_BYTES];
    for (int i = 0; i < WMK_SEED_BYTES; i++) bytes[i] = (uint8_t)(seed * 37 + i);
    wmk_key_options o = WMK_KEY_OPTIONS_INIT;
    o.scheme = scheme;
    o.carrier = carrier;
    o.bits = bits;
    o.ones = ones;
    o.seed = bytes;
    o.created = 1700000000;
    o.targets = set->target;
    o.target_count = set->count;
    wmk_key *key = NULL;
    assert_ok(wmk_key_create(&key, &o));
    return key;
}

/* What carrier balanced divides one tensor's filters and input channels by: w = value 2^-a[i] / (r[o] c[i]). */
typedef struct naive_balance {
    int *a;    /* [I] */
    double *r; /* [O] */
    double *c; /* [I] */
} naive_balance;

static inline int naive_compare(const void *a, const void *b) { return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b); }

/* Of `list` [n]: the mean rounded down, or the element at (n - 1) / 2 when sorted; 0 of nothing. */
static inline int naive_middle(int *list, size_t n, bool median)
{
    long long sum = 0;
    if (n == 0) return 0;
    qsort(list, n, sizeof *list, naive_compare);
    for (size_t i = 0; i < n; i++) sum += list[i];
    return median ? list[(n - 1) / 2] : (int)floor((double)sum / (double)n);
}

/* Steps 2 and 3 of docs/spec.md, "a, r, c of balanced", over value [P][O]: the channels' exponents a, less b, or the sampled filters' b, less a. */
static inline void naive_exponents(const naive_tensor *t, const double *value, int *a, int *b, size_t K, bool filters, bool median)
{
    size_t O = t->extent[4], P = naive_size(t) / O, I = t->extent[3];
    int *list = malloc(P * K * sizeof *list);
    for (size_t g = 0; g < (filters ? K : I); g++) {
        size_t n = 0;
        for (size_t k = filters ? g : 0; k < (filters ? g + 1 : K); k++)
            for (size_t p = filters ? 0 : g; p < P; p += filters ? 1 : I) {
                double v = value[p * O + k * O / K];
                int e = v != 0 ? ilogb(v) : 0;
                if (v != 0) list[n++] = (e < -1022 ? -1022 : e) - (filters ? a[p % I] : b[k]);
            }
        *(filters ? &b[g] : &a[g]) = naive_middle(list, n, median);
    }
    free(list);
}

static inline void naive_balance_free(naive_balance *f)
{
    free(f->a);
    free(f->r);
    free(f->c);
}

/* Steps 1 to 3: a of `f` and nothing else. */
static inline void naive_start(naive_balance *f, const naive_tensor *t, const double *value)
{
    size_t O = t->extent[4], P = naive_size(t) / O, K = ((size_t)1 << 22) / P;
    K = K < 16 ? 16 : K > 256 ? 256 : K;
    K = K < O ? K : O;
    int *b = calloc(K, sizeof *b);
    naive_exponents(t, value, f->a, b, K, false, false);
    naive_exponents(t, value, f->a, b, K, true, true);
    naive_exponents(t, value, f->a, b, K, false, true);
    for (size_t i = 0; i < t->extent[3]; i++)
        if (f->a[i] < -1022) f->a[i] = -1022;
    free(b);
}

/* A copy of a tensor's values with 0 for each number that is none: NaN, infinities, and all of a filter (carrier mean: of a column) whose
 * sum of squares overflows. *none: how many were not 0 and became so. f: its a is set for balanced, where squares are those of 2^-a W. */
static inline double *naive_finite(const naive_tensor *t, wmk_carrier carrier, naive_balance *f, uint64_t *none)
{
    bool mean = carrier == WMK_CARRIER_MEAN;
    size_t O = t->extent[4], P = naive_size(t) / O, I = t->extent[3], groups = mean ? P : O, each = P * O / groups;
    double *value = malloc(P * O * sizeof *value);
    *f = (naive_balance){calloc(I, sizeof *f->a), calloc(O, sizeof *f->r), calloc(I, sizeof *f->c)};
    *none = 0;
    for (size_t k = 0; k < P * O; k++) {
        value[k] = isfinite(t->value[k]) ? t->value[k] : 0;
        *none += !isfinite(t->value[k]);
    }
    if (carrier == WMK_CARRIER_BALANCED) naive_start(f, t, value);
    for (size_t g = 0; g < groups; g++) {
        double sum = 0;
        for (size_t n = 0; n < each; n++) {
            size_t k = mean ? g * O + n : n * O + g;
            sum += pow(ldexp(value[k], -f->a[k / O % I]), 2);
        }
        for (size_t n = 0; n < each && !isfinite(sum); n++) {
            size_t k = mean ? g * O + n : n * O + g;
            *none += value[k] != 0;
            value[k] = 0;
        }
    }
    return value;
}

/* Steps 4 and 5: r and c of `f`, whose a is known. */
static inline void naive_factors(naive_balance *f, const naive_tensor *t, const double *value)
{
    size_t O = t->extent[4], P = naive_size(t) / O, I = t->extent[3];
    for (size_t k = 0; k < P * O; k++) f->r[k % O] += pow(ldexp(value[k], -f->a[k / O % I]), 2) / (double)P;
    for (size_t o = 0; o < O; o++) f->r[o] = sqrt(f->r[o]);
    for (size_t k = 0; k < P * O; k++)
        if (f->r[k % O] > 0) f->c[k / O % I] += pow(ldexp(value[k], -f->a[k / O % I]) / f->r[k % O], 2) * (double)I / (double)(P * O);
    for (size_t i = 0; i < I; i++) f->c[i] = sqrt(f->c[i]);
}

/* w and divisors of one tensor over single weights, [P O] each. */
static inline void naive_single(const naive_tensor *t, wmk_carrier carrier, naive_balance *f, const double *value, double *w, double *divisor)
{
    size_t O = t->extent[4], P = naive_size(t) / O, I = t->extent[3];
    double *square = calloc(O, sizeof *square);
    for (size_t k = 0; k < P * O; k++) square[k % O] += value[k] * value[k];
    naive_factors(f, t, value);
    for (size_t k = 0; k < P * O; k++) {
        size_t o = k % O, i = k / O % I;
        if (carrier == WMK_CARRIER_WEIGHTS) {
            divisor[k] = sqrt(square[o] / (double)P);
            w[k] = divisor[k] > 0 ? value[k] / divisor[k] : 0;
        } else {
            double rc = f->r[o] * f->c[i];
            divisor[k] = ldexp(rc, f->a[i]);
            w[k] = rc > 0 ? ldexp(value[k], -f->a[i]) / rc : 0;
            if (rc > 0 && divisor[k] < 0x1p-1000) { /* no weight is multiplied by more than 2^1000 */
                divisor[k] = 0x1p-1000;
                w[k] = value[k] * 0x1p1000;
            }
        }
    }
    free(square);
}

/* w [M] of the tensors whose view has data. divisor: NULL, or [M] what each column was divided by. */
static inline double *naive_w(const naive_set *set, wmk_carrier carrier, uint64_t m, double *divisor)
{
    double *w = calloc(m, sizeof *w), *mine = calloc(m, sizeof *mine);
    size_t column = 0;
    for (size_t k = 0; k < set->count; k++) {
        const naive_tensor *t = &set->tensor[k];
        size_t O = t->extent[4], P = naive_size(t) / O, columns = carrier == WMK_CARRIER_MEAN ? P : P * O;
        /* Filters that are too long to be balanced, or input channels with too few weights. */
        wmk_carrier own = carrier == WMK_CARRIER_BALANCED && (P > (1 << 22) || O * P / t->extent[3] < 8) ? WMK_CARRIER_WEIGHTS : carrier;
        uint64_t none;
        naive_balance f;
        double *value = naive_finite(t, own, &f, &none), sum = 0;
        if (set->view[k].data && carrier != WMK_CARRIER_MEAN) naive_single(t, own, &f, value, w + column, mine + column);
        for (size_t p = 0; set->view[k].data && carrier == WMK_CARRIER_MEAN && p < P; p++) {
            for (size_t o = 0; o < O; o++) w[column + p] += value[p * O + o];
            w[column + p] /= O;
            sum += w[column + p] * w[column + p];
        }
        double root = set->count == 1 ? 1 : sqrt(sum / P);
        for (size_t p = 0; carrier == WMK_CARRIER_MEAN && p < P; p++) {
            mine[column + p] = root;
            if (root > 0) w[column + p] /= root;
        }
        column += columns;
        naive_balance_free(&f);
        free(value);
    }
    assert_true(column == m);
    if (divisor) memcpy(divisor, mine, m * sizeof *mine);
    free(mine);
    return w;
}

/* Whether y_j is in units of l_j: all but the paper's one raw mean. */
static inline bool naive_is_normalized(const naive_set *set, wmk_carrier carrier) { return carrier != WMK_CARRIER_MEAN || set->count > 1; }

/* y, score [T] */
static inline void naive_read(const wmk_key *key, const double *w, bool normalized, double *y, double *score, uint8_t *erased)
{
    uint64_t m = wmk_key_m(key);
    wmk_scheme scheme = wmk_key_scheme(key);
    float *x = malloc(m * sizeof *x);
    for (uint32_t j = 0; j < wmk_key_bit_count(key); j++) {
        assert_ok(wmk_key_x(key, j, 0, m, x));
        double dot = 0, seen = 0, all = 0, row = 0;
        for (uint64_t c = 0; c < m; c++) {
            dot += x[c] * w[c];
            all += w[c] * w[c];
            row += (double)x[c] * x[c];
            if (x[c] != 0) seen += w[c] * w[c];
        }
        bool pick = scheme == WMK_SCHEME_DIRECT || scheme == WMK_SCHEME_DIFF;
        double deviation = normalized || !pick ? sqrt(seen) : sqrt(all / m) * sqrt(row);
        erased[j] = seen == 0;
        score[j] = seen == 0 ? 0 : dot / deviation;
        y[j] = seen == 0 ? 0 : normalized ? dot / sqrt(seen) : dot;
    }
    free(x);
}

/* s_j = 2 b_j - 1; the caller frees it. */
static inline double *naive_signs(const wmk_key *key)
{
    uint32_t T = wmk_key_bit_count(key);
    uint8_t *b = calloc(T, 1);
    double *s = calloc(T, sizeof *s);
    wmk_key_bits(key, b);
    for (uint32_t j = 0; j < T; j++) s[j] = b[j] ? 1 : -1;
    free(b);
    return s;
}

#endif
