/* E_R from its formula, its gradient by finite differences of that formula with the normalising factors held, over schemes, carriers
 * and layouts; a step allocates nothing. */
#include "read_naive.h"

#include <omp.h>
#include <sys/mman.h>

/* ---- allocations: the linker's --wrap sends all calls of our code here ---- */

static volatile bool counting;
static volatile size_t allocations;

static void count(void)
{
    if (counting) __atomic_add_fetch(&allocations, 1, __ATOMIC_RELAXED);
}

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes)
{
    count();
    return __real_malloc(bytes);
}

void *__real_calloc(size_t n, size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes)
{
    count();
    return __real_calloc(n, bytes);
}

void *__real_realloc(void *block, size_t bytes);
void *__wrap_realloc(void *block, size_t bytes);
void *__wrap_realloc(void *block, size_t bytes)
{
    count();
    return __real_realloc(block, bytes);
}

void *__real_mmap(void *address, size_t bytes, int protection, int flags, int file, off_t offset);
void *__wrap_mmap(void *address, size_t bytes, int protection, int flags, int file, off_t offset);
void *__wrap_mmap(void *address, size_t bytes, int protection, int flags, int file, off_t offset)
{
    count();
    return __real_mmap(address, bytes, protection, flags, file, offset);
}

/* ---- E_R ---- */

static const wmk_scheme schemes[] = {WMK_SCHEME_DIRECT, WMK_SCHEME_DIFF, WMK_SCHEME_RANDOM, WMK_SCHEME_PARTITION};

typedef struct model {
    naive_set *set;
    const wmk_key *key;
    bool normalized;
    double kappa;
    double *divisor; /* [M] held */
    double *length;  /* [T] held */
    float *x;        /* [T][M] */
} model;

/* w with the factors of `m`, whatever the weights are now. */
static double *w_held(const model *m)
{
    const naive_set *set = m->set;
    double *w = calloc(wmk_key_m(m->key), sizeof *w);
    size_t column = 0;
    for (size_t k = 0; k < set->count; k++) {
        const naive_tensor *t = &set->tensor[k];
        size_t O = t->extent[4], n = naive_size(t), each = wmk_key_carrier(m->key) == WMK_CARRIER_MEAN ? O : 1;
        for (size_t e = 0; e < n; e++) w[column + e / each] += t->value[e] / (double)each;
        column += n / each;
    }
    for (size_t c = 0; c < column; c++) w[c] = m->divisor[c] > 0 ? w[c] / m->divisor[c] : 0;
    return w;
}

static double e_r(const model *m)
{
    uint32_t T = wmk_key_bit_count(m->key);
    uint64_t M = wmk_key_m(m->key);
    uint8_t *b = calloc(T, 1);
    wmk_key_bits(m->key, b);
    double *w = w_held(m), sum = 0;
    for (uint32_t j = 0; j < T; j++) {
        double y = 0;
        for (uint64_t c = 0; c < M; c++) y += m->x[j * M + c] * w[c];
        y = m->length[j] > 0 ? m->kappa * y / m->length[j] : 0;
        double sigma = 1 / (1 + exp(-y));
        sum -= b[j] ? log(sigma) : log(1 - sigma); /* eq. 4 as printed: good for the moderate y of these tests */
    }
    free(w);
    free(b);
    return sum;
}

static void hold(model *m)
{
    uint32_t T = wmk_key_bit_count(m->key);
    uint64_t M = wmk_key_m(m->key);
    m->divisor = calloc(M, sizeof *m->divisor);
    m->length = calloc(T, sizeof *m->length);
    m->x = malloc(T * M * sizeof *m->x);
    double *w = naive_w(m->set, wmk_key_carrier(m->key), M, m->divisor);
    for (uint32_t j = 0; j < T; j++) {
        assert_ok(wmk_key_x(m->key, j, 0, M, m->x + j * M));
        for (uint64_t c = 0; c < M; c++) m->length[j] += m->x[j * M + c] != 0 ? w[c] * w[c] : 0;
        m->length[j] = m->normalized ? sqrt(m->length[j]) : 1;
    }
    free(w);
}

/* What a weight is divided by: the divisor of its column. */
static double divisor_of(const model *m, size_t t, size_t k)
{
    const bool mean = wmk_key_carrier(m->key) == WMK_CARRIER_MEAN;
    size_t column = 0;
    for (size_t i = 0; i < t; i++) column += naive_size(&m->set->tensor[i]) / (mean ? m->set->tensor[i].extent[4] : 1);
    return m->divisor[column + k / (mean ? m->set->tensor[t].extent[4] : 1)];
}

/* gradient began at 0.125. Slopes are compared in the units that each weight is divided by, which may be far apart. */
static void check_slopes(const model *m, double factor, float *const *gradient)
{
    const naive_set *set = m->set;
    double largest = 0;
    for (size_t t = 0; t < set->count; t++)
        for (size_t e = 0; e < naive_size(&set->tensor[t]); e++)
            largest = fmax(largest, fabs(gradient[t][e] - 0.125) * divisor_of(m, t, naive_index(&set->tensor[t], e)));
    assert_true(largest > 0);
    uint64_t state = 5;
    for (size_t t = 0; t < set->count; t++)
        for (int n = 0; n < 40; n++) {
            const size_t e = naive_random(&state) % naive_size(&set->tensor[t]), k = naive_index(&set->tensor[t], e);
            const double divisor = divisor_of(m, t, k), unit = divisor > 0 ? divisor : 1, h = 1e-4 * unit;
            double *v = &set->tensor[t].value[k], old = *v;
            *v = old + h;
            double up = e_r(m);
            *v = old - h;
            double down = e_r(m);
            *v = old;
            double slope = factor * (up - down) / (2 * h), got = gradient[t][e] - 0.125;
            if (fabs(slope - got) > 1e-5 * largest / unit + 2e-7 * fabs(slope) + 2e-8)
                fail_msg("%s/%s %s element %zu: gradient %.9g, difference quotient %.9g (largest %.3g)", wmk_scheme_name(wmk_key_scheme(m->key)),
                         wmk_carrier_name(wmk_key_carrier(m->key)), set->view[t].layout, e, got, slope, largest / unit);
        }
}

static void check(naive_set *set, wmk_scheme scheme, wmk_carrier carrier, uint32_t bits)
{
    wmk_key *key = naive_key(set, scheme, carrier, bits, false, (uint8_t)(scheme * 3 + carrier));
    model m = {.set = set, .key = key, .normalized = naive_is_normalized(set, carrier), .kappa = 1};
    if (m.normalized) m.kappa = 0.7;
    hold(&m);
    wmk_regularizer *r = NULL;
    assert_ok(wmk_regularizer_create(&r, key, set->view, 0.7));
    float *gradient[NAIVE_MAX];
    for (size_t t = 0; t < set->count; t++) {
        gradient[t] = malloc(naive_size(&set->tensor[t]) * sizeof(float));
        for (size_t e = 0; e < naive_size(&set->tensor[t]); e++) gradient[t][e] = 0.125f;
    }
    double sum;
    uint32_t errors;
    const double factor = 3;
    allocations = 0;
    counting = true;
    wmk_status status = wmk_regularizer_step(r, factor, gradient, &sum, &errors);
    counting = false;
    assert_ok(status);
    assert_int_equal(allocations, 0);
    double want = e_r(&m);
    if (fabs(sum - want) > 1e-10 * want) fail_msg("%s/%s: E_R %.15g, not %.15g", wmk_scheme_name(scheme), wmk_carrier_name(carrier), sum, want);
    wmk_reading *reading = NULL;
    assert_ok(wmk_mark_read(&reading, key, set->view));
    uint8_t *b = calloc(bits, 1);
    wmk_key_bits(key, b);
    uint32_t wrong = 0;
    for (uint32_t j = 0; j < bits; j++) wrong += reading->bit[j] != b[j];
    assert_int_equal(errors, wrong);
    free(b);
    wmk_reading_free(reading);

    check_slopes(&m, factor, gradient);
    /* No gradient wanted: the same sum. */
    double again;
    assert_ok(wmk_regularizer_step(r, factor, NULL, &again, NULL));
    assert_true(again == sum);
    for (size_t t = 0; t < set->count; t++) free(gradient[t]);
    wmk_regularizer_free(r);
    free(m.divisor);
    free(m.length);
    free(m.x);
    wmk_key_free(key);
}

/* Input channels of different size, and one of zeros. */
static void scale_channels(naive_tensor *t)
{
    const size_t O = t->extent[4], I = t->extent[3];
    for (size_t k = 0; k < naive_size(t); k++) {
        const size_t i = k / O % I;
        t->value[k] = i == 2 ? 0 : ldexp(t->value[k], (int)(i * 5 % 7) - 3);
    }
}

static void gradient_is_the_formulas(void **state)
{
    (void)state;
    static const char *const layouts[] = {"OIHW", "HWIO", "OHWI", "IHWO", "IOHW"};
    for (int l = 0; l < 5; l++) {
        naive_set set = {0};
        naive_add(&set, 1, 3, 3, 4, 7, "OIHW");
        scale_channels(&set.tensor[0]);
        naive_set_layout(&set, 0, layouts[l], WMK_F32, 1);
        for (int s = 0; s < 4; s++)
            for (int c = WMK_CARRIER_MEAN; c <= WMK_CARRIER_BALANCED; c++) check(&set, schemes[s], (wmk_carrier)c, 12);
        naive_add(&set, 1, 1, 1, 19, 8, "OI");
        scale_channels(&set.tensor[1]);
        naive_set_layout(&set, 1, l % 2 ? "IO" : "OI", WMK_F32, 1);
        for (int s = 0; s < 4; s++)
            for (int c = WMK_CARRIER_MEAN; c <= WMK_CARRIER_BALANCED; c++) check(&set, schemes[s], (wmk_carrier)c, 12);
        naive_free(&set);
    }
}

/* One step's gradient and sum by 1 and by 3 threads. */
static void same_bits(const char *layout)
{
    naive_set set = {0};
    naive_add(&set, 1, 3, 3, 64, 64, "OIHW");
    scale_channels(&set.tensor[0]);
    naive_set_layout(&set, 0, layout, WMK_F32, 1);
    size_t n = naive_size(&set.tensor[0]);
    int threads = omp_get_max_threads();
    for (int s = 0; s < 4; s++)
        for (int c = WMK_CARRIER_MEAN; c <= WMK_CARRIER_BALANCED; c++) {
            wmk_key *key = naive_key(&set, schemes[s], (wmk_carrier)c, 64, false, 9);
            wmk_regularizer *r = NULL;
            assert_ok(wmk_regularizer_create(&r, key, set.view, 1));
            float *one = calloc(n, sizeof *one), *three = calloc(n, sizeof *three);
            double sum[2];
            omp_set_num_threads(1);
            assert_ok(wmk_regularizer_step(r, 0.01, &one, &sum[0], NULL));
            omp_set_num_threads(3);
            assert_ok(wmk_regularizer_step(r, 0.01, &three, &sum[1], NULL));
            assert_true(sum[0] == sum[1]);
            assert_memory_equal(one, three, n * sizeof *one);
            free(one);
            free(three);
            wmk_regularizer_free(r);
            wmk_key_free(key);
        }
    omp_set_num_threads(threads);
    naive_free(&set);
}

static void same_bits_for_any_thread_count(void **state)
{
    (void)state;
    same_bits("OIHW");
    same_bits("HWIO");
    same_bits("IHWO");
}

/* X over the bound that is kept gives what a kept one does: the same key's gradient by finite steps of E_R along the gradient itself. */
static void x_made_anew(void **state)
{
    (void)state;
    naive_set set = {0};
    naive_add(&set, 1, 1, 1, 520, 512, "OI"); /* 266,240 columns, 256 bits: 68 M elements */
    naive_set_layout(&set, 0, "OI", WMK_F32, 1);
    wmk_key *key = naive_key(&set, WMK_SCHEME_RANDOM, WMK_CARRIER_WEIGHTS, 256, false, 9);
    wmk_regularizer *r = NULL;
    assert_ok(wmk_regularizer_create(&r, key, set.view, 1));
    wmk_reading *reading = NULL;
    assert_ok(wmk_mark_read(&reading, key, set.view));
    uint8_t b[256];
    wmk_key_bits(key, b);
    double want = 0, coefficient[256], sum;
    for (int j = 0; j < 256; j++) {
        double s = b[j] ? 1 : -1;
        want += log1p(exp(-s * reading->y[j]));
        coefficient[j] = -s / (1 + exp(s * reading->y[j]));
    }
    size_t n = naive_size(&set.tensor[0]);
    float *gradient = calloc(n, sizeof *gradient);
    assert_ok(wmk_regularizer_step(r, 1, &gradient, &sum, NULL));
    assert_true(fabs(sum - want) < 1e-9 * want);
    double *divisor = calloc(n, sizeof *divisor), *w = naive_w(&set, WMK_CARRIER_WEIGHTS, n, divisor), length = 0;
    for (size_t c = 0; c < n; c++) length += w[c] * w[c];
    length = sqrt(length);
    uint64_t random = 3;
    for (int k = 0; k < 50; k++) {
        size_t e = naive_random(&random) % n, o = e / 520, i = e % 520, column = i * 512 + o;
        double slope = 0;
        for (uint32_t j = 0; j < 256; j++) {
            float x;
            assert_ok(wmk_key_x(key, j, column, 1, &x));
            slope += coefficient[j] * x / length;
        }
        slope = divisor[column] > 0 ? slope / divisor[column] : 0;
        assert_true(fabs(gradient[e] - slope) < 1e-6 * fabs(slope) + 1e-9);
    }
    free(gradient);
    free(divisor);
    free(w);
    wmk_reading_free(reading);
    wmk_regularizer_free(r);
    wmk_key_free(key);
    naive_free(&set);
}

/* Large |X w|: no overflow, no loss of the small side. */
static void stable_when_sure(void **state)
{
    (void)state;
    naive_set set = {0};
    naive_add(&set, 1, 1, 1, 4, 1, "OI");
    double values[4] = {800, -800, 40, -40};
    memcpy(set.tensor[0].value, values, sizeof values);
    naive_set_layout(&set, 0, "OI", WMK_F32, 1);
    wmk_key *key = naive_key(&set, WMK_SCHEME_DIRECT, WMK_CARRIER_MEAN, 4, true, 1);
    wmk_regularizer *r = NULL;
    assert_ok(wmk_regularizer_create(&r, key, set.view, 1));
    float gradient[4] = {0}, *to = gradient;
    double sum;
    uint32_t errors;
    assert_ok(wmk_regularizer_step(r, 1, &to, &sum, &errors));
    assert_true(fabs(sum - (840 + 2 * exp(-40))) < 1e-12 * 840);
    assert_int_equal(errors, 2);
    assert_true(gradient[0] == 0 && gradient[1] == -1 && gradient[3] == -1);
    assert_true(fabs(gradient[2] + exp(-40)) < 1e-6 * exp(-40));
    ((float *)(uintptr_t)set.view[0].data)[2] = NAN;
    assert_fails(wmk_regularizer_step(r, 1, &to, &sum, NULL), WMK_ERROR_NUMERIC, "layer0");
    wmk_regularizer_free(r);
    set.view[0].data = NULL;
    assert_fails(wmk_regularizer_create(&r, key, set.view, 1), WMK_ERROR_MISSING, "layer0");
    wmk_key_free(key);
    naive_free(&set);
}

/* A weight that is no number is refused and named, wherever it is; the gradients stay as they were. When it is gone the step is what it was. */
static void numbers_that_are_none(void **state)
{
    (void)state;
    static const char *const layouts[] = {"OIHW", "HWIO", "OHWI", "IOHW"};
    static const float values[] = {NAN, INFINITY, -INFINITY};
    for (int l = 0; l < 4; l++)
        for (int c = WMK_CARRIER_MEAN; c <= WMK_CARRIER_BALANCED; c++)
            for (int s = 0; s < 4; s++) {
                naive_set set = {0};
                naive_add(&set, 1, 1, 1, 19, 8, "OI");
                naive_add(&set, 1, 3, 3, 4, 7, "OIHW");
                naive_set_layout(&set, 0, "OI", WMK_F32, 1);
                naive_set_layout(&set, 1, layouts[l], WMK_F32, 1);
                wmk_key *key = naive_key(&set, schemes[s], (wmk_carrier)c, 6, false, 4);
                wmk_regularizer *r;
                assert_ok(wmk_regularizer_create(&r, key, set.view, 1));
                float first[152] = {0}, second[252] = {0}, *weights = (float *)(uintptr_t)set.view[1].data;
                float *const gradients[] = {first, second};
                double sum, again;
                assert_ok(wmk_regularizer_step(r, 1, NULL, &sum, NULL));
                for (int k = 0; k < 12; k++) {
                    const size_t e = (size_t)k * 20 + (size_t)l;
                    const float was = weights[e];
                    weights[e] = values[k % 3];
                    assert_fails(wmk_regularizer_step(r, 1, gradients, &again, NULL), WMK_ERROR_NUMERIC, "layer1");
                    weights[e] = was;
                }
                for (int e = 0; e < 152; e++) assert_true(first[e] == 0);
                for (int e = 0; e < 252; e++) assert_true(second[e] == 0);
                assert_ok(wmk_regularizer_step(r, 1, NULL, &again, NULL));
                assert_true(sum == again);
                wmk_regularizer_free(r);
                wmk_key_free(key);
                naive_free(&set);
            }
}

/* Filters of more than 2^22 weights are read as carrier weights. */
static void filters_too_long(void **state)
{
    (void)state;
    enum { LONG = (1 << 22) + 64, T = 2 };
    naive_set set = {0};
    naive_add(&set, 1, 1, 1, LONG, 1, "OI");
    naive_set_layout(&set, 0, "OI", WMK_F32, 1);
    wmk_key *key = naive_key(&set, WMK_SCHEME_PARTITION, WMK_CARRIER_BALANCED, T, false, 4);
    wmk_regularizer *r;
    assert_ok(wmk_regularizer_create(&r, key, set.view, 1));
    float *gradient = calloc(LONG, sizeof *gradient);
    double sum, want = 0, *signs = naive_signs(key), y[T] = {0}, length[T] = {0};
    uint16_t *row = calloc(LONG, sizeof *row);
    int8_t *sign = calloc(LONG, 1);
    assert_ok(wmk_key_partition(key, 0, LONG, row, sign));
    assert_ok(wmk_regularizer_step(r, 1, &gradient, &sum, NULL));
    const double *value = set.tensor[0].value;
    for (size_t k = 0; k < LONG; k++) {
        y[row[k]] += sign[k] * value[k];
        length[row[k]] += value[k] * value[k];
    }
    for (int j = 0; j < T; j++) {
        y[j] /= sqrt(length[j]);
        want += log1p(exp(-signs[j] * y[j]));
    }
    assert_true(fabs(sum - want) < 1e-9 * want);
    for (size_t k = 0; k < LONG; k += 4099) { /* d y / d W = X / (l r), and l = length / r */
        const int j = row[k];
        double slope = -signs[j] / (1 + exp(signs[j] * y[j])) * sign[k] / sqrt(length[j]);
        assert_true(fabs(gradient[k] - slope) < 1e-6 * fabs(slope));
    }
    free(row);
    free(sign);
    free(signs);
    free(gradient);
    wmk_regularizer_free(r);
    wmk_key_free(key);
    naive_free(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradient_is_the_formulas), cmocka_unit_test(same_bits_for_any_thread_count), cmocka_unit_test(x_made_anew),
        cmocka_unit_test(stable_when_sure),         cmocka_unit_test(numbers_that_are_none),          cmocka_unit_test(filters_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
