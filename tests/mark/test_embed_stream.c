/* Partition over single weights, of every size of model: kernels keep their sums, rounding to narrow types is reckoned with, large
 * models are written once, units that cross filters are refused. */
#include "embed_naive.h"

static wmk_key *partition_key(wmk_carrier carrier, const wmk_target *targets, size_t count, uint32_t bits, uint8_t seed_byte)
{
    const uint8_t seed[WMK_SEED_BYTES] = {seed_byte, 5};
    wmk_key_options made = WMK_KEY_OPTIONS_INIT;
    made.scheme = WMK_SCHEME_PARTITION;
    made.carrier = carrier;
    made.bits = bits;
    made.targets = targets;
    made.target_count = count;
    made.seed = seed;
    made.created = 1;
    wmk_key *key;
    assert_ok(wmk_key_create(&key, &made));
    return key;
}

/* Largest |sum of the change| of a 3 x 3 kernel of the first tensor, and of a filter of the second (OI), over the norm of the change. */
static double largest_sum(const double *conv, const double *linear, const double *old_conv, const double *old_linear)
{
    double largest = 0, squares = 0;
    for (int kernel = 0; kernel < 32 * 20; kernel++) {
        double sum = 0;
        for (int i = 9 * kernel; i < 9 * kernel + 9; i++) sum += conv[i] - old_conv[i], squares += pow(conv[i] - old_conv[i], 2);
        largest = fmax(largest, fabs(sum));
    }
    for (int filter = 0; filter < 10; filter++) {
        double sum = 0;
        for (int i = 50 * filter; i < 50 * filter + 50; i++) sum += linear[i] - old_linear[i], squares += pow(linear[i] - old_linear[i], 2);
        largest = fmax(largest, fabs(sum));
    }
    return largest / sqrt(squares / (32 * 20 * 9 + 500));
}

static void kernels_keep_their_sums(void **state)
{
    (void)state;
    static double conv[32 * 20 * 9], linear[10 * 50], new_conv[32 * 20 * 9], new_linear[10 * 50];
    uint64_t random = 5;
    for (int i = 0; i < 32 * 20 * 9; i++) conv[i] = naive_normal(&random);
    for (int i = 0; i < 500; i++) linear[i] = naive_normal(&random);
    const wmk_target targets[] = {{"conv", "OIHW", 4, {32, 20, 3, 3}}, {"linear", "OI", 2, {10, 50}}};
    const wmk_tensor_view views[] = {{"conv", WMK_F64, 4, {32, 20, 3, 3}, "OIHW", conv, NULL, NULL, 0},
                                     {"linear", WMK_F64, 2, {10, 50}, "OI", linear, NULL, NULL, 0}};
    void *const out[] = {new_conv, new_linear};
    wmk_key *key = partition_key(WMK_CARRIER_WEIGHTS, targets, 2, 32, 1);
    wmk_embed_options options = WMK_EMBED_OPTIONS_INIT;
    wmk_embed_summary balanced, smallest;
    options.margin = 4;
    assert_ok(wmk_mark_embed(key, views, out, &options, &balanced));
    assert_true(balanced.margin_reached >= 4 && balanced.errors_after == 0);
    assert_true(largest_sum(new_conv, new_linear, conv, linear) < 1e-5); /* changes are made in single precision */
    options.unbalanced = true;
    assert_ok(wmk_mark_embed(key, views, out, &options, &smallest));
    assert_true(smallest.margin_reached >= 4);
    assert_true(largest_sum(new_conv, new_linear, conv, linear) > 1);
    assert_true(smallest.relative_change < balanced.relative_change && balanced.relative_change < 1.15 * smallest.relative_change);
    wmk_key_free(key);
}

/* ---- narrow types: weights that lie on their type's grid already, and changes far below its steps ---- */

typedef struct narrow_model {
    wmk_tensor_view view[2];
    unsigned char *bytes[2];
    uint64_t weights;
} narrow_model;

static void make_narrow(narrow_model *m, wmk_dtype dtype, uint64_t scale)
{
    const uint64_t shape[2][4] = {{64 * scale, 32, 3, 3}, {96, 320 * scale}};
    uint64_t random = 77;
    m->weights = 0;
    for (int t = 0; t < 2; t++) {
        wmk_tensor_view *v = &m->view[t];
        *v = (wmk_tensor_view){.name = t ? "linear" : "conv", .dtype = dtype, .rank = t ? 2 : 4, .layout = "OIHW"};
        memcpy(v->shape, shape[t], sizeof shape[t]);
        if (t == 1) strcpy(v->layout, "OI");
        if (dtype == WMK_Q8_0) v->codec = &q8;
        uint64_t n = t ? shape[1][0] * shape[1][1] : shape[0][0] * 32 * 9;
        double *values = malloc(n * sizeof *values);
        for (uint64_t i = 0; i < n; i++) values[i] = 0.05 * naive_normal(&random);
        v->data = m->bytes[t] = malloc(n * 8);
        wmk_tensor_write(v, m->bytes[t], 0, n, values);
        free(values);
        m->weights += n;
    }
}

/* By the library's own reading, which test_read checks against plain loops; the change by hand. */
static void check_narrow(wmk_carrier carrier, wmk_dtype dtype, uint64_t scale, double margin, uint32_t bits)
{
    narrow_model m;
    make_narrow(&m, dtype, scale);
    wmk_target targets[2];
    for (int t = 0; t < 2; t++) {
        targets[t] = (wmk_target){.name = m.view[t].name, .rank = m.view[t].rank};
        memcpy(targets[t].layout, m.view[t].layout, sizeof targets[t].layout);
        memcpy(targets[t].shape, m.view[t].shape, sizeof targets[t].shape);
    }
    wmk_key *key = partition_key(carrier, targets, 2, bits, (uint8_t)(margin + 16 * (int)dtype));
    void *out[2] = {malloc(m.weights * 8), malloc(m.weights * 8)};
    wmk_embed_options options = WMK_EMBED_OPTIONS_INIT;
    options.margin = margin;
    wmk_embed_summary summary;
    assert_ok(wmk_mark_embed(key, m.view, out, &options, &summary));
    wmk_tensor_view stored[2] = {m.view[0], m.view[1]};
    double changed = 0, all = 0;
    for (int t = 0; t < 2; t++) {
        stored[t].data = out[t];
        uint64_t n = t ? m.view[t].shape[0] * m.view[t].shape[1] : m.view[t].shape[0] * 32 * 9;
        for (uint64_t i = 0; i < n; i++) {
            double a, b;
            wmk_tensor_read(&m.view[t], i, 1, &a);
            wmk_tensor_read(&stored[t], i, 1, &b);
            changed += (b - a) * (b - a);
            all += a * a;
        }
    }
    wmk_reading *r;
    assert_ok(wmk_mark_read(&r, key, stored));
    double *s = naive_signs(key), least = INFINITY;
    for (uint32_t j = 0; j < bits; j++) least = fmin(least, s[j] * r->score[j]);
    const char *name = dtype == WMK_Q8_0 ? q8.name : wmk_dtype_name(dtype);
    if (least < margin) fail_msg("%s, margin %g: the smallest is %g", name, margin, least);
    assert_true(fabs(summary.margin_reached - least) < 1e-9);
    assert_true(fabs(summary.relative_change / sqrt(changed / all) - 1) < 1e-6);
    /* A wrong bit is made right at no more than what the steps of the type force upon it: never more than three times the change that an exact type takes. */
    wmk_reading *before;
    assert_ok(wmk_mark_read(&before, key, m.view));
    double exact = wmk_mark_cost_now(key, before, margin);
    wmk_reading_free(before);
    print_message("%-7s %-5s M = %llu, T = %u, margin %g: change %.5f (%.2f of an exact type's), smallest %.3f, rounding %.3f\n",
                  wmk_carrier_name(carrier), name, (unsigned long long)m.weights, bits, margin, summary.relative_change,
                  summary.relative_change / exact, least, summary.rounding_z);
    assert_true(summary.relative_change < 3 * exact && summary.relative_change > 0.9 * exact);
    wmk_reading_free(r);
    free(s);
    wmk_key_free(key);
    for (int t = 0; t < 2; t++) {
        free(out[t]);
        free(m.bytes[t]);
    }
}

static void rounding_is_part_of_it(void **state)
{
    (void)state;
    static const wmk_dtype types[] = {WMK_F16, WMK_BF16, WMK_Q8_0};
    for (int k = 0; k < 3; k++)
        for (int margin = 1; margin <= 8; margin *= 2) {
            bool other = margin == 2 || margin == 8;
            check_narrow(other ? WMK_CARRIER_WEIGHTS : WMK_CARRIER_BALANCED, types[k], 1, margin, 64);
            if (margin == 1 || margin == 8) /* a change of a few thousandths */
                check_narrow(other ? WMK_CARRIER_BALANCED : WMK_CARRIER_WEIGHTS, types[k], 8, margin, 8);
        }
}

/* ---- writing once ---- */

static wmk_status count_written(void *payload, size_t target, uint64_t offset, uint64_t bytes, const void *data)
{
    (void)target, (void)offset, (void)data;
    *(uint64_t *)payload += bytes;
    return WMK_OK;
}

/* A model large enough that the rounding is learnt from a sample: that tells what all weights do, so everything is written once. */
static void large_models_are_written_once(void **state)
{
    (void)state;
    enum { FILTERS = 256, CHANNELS = 7296, DIFFERENT = 999983 };
    const uint64_t n = (uint64_t)FILTERS * CHANNELS * 9;
    uint16_t *weights = malloc(n * sizeof *weights), *stored = malloc(n * sizeof *stored);
    assert_true(weights && stored);
    uint64_t random = 21;
    for (uint64_t i = 0; i < n; i++) { /* about normal, filters of different size */
        double sum = i < DIFFERENT ? naive_uniform(&random) + naive_uniform(&random) + naive_uniform(&random) - 1.5 : 0;
        weights[i] = i < DIFFERENT ? wmk_f64_to_bf16(sum * (1 + (double)(i / 5000) / 200)) : weights[i - DIFFERENT];
    }
    static const struct {
        const char *layout;
        uint32_t rank;
        uint64_t shape[4];
        wmk_carrier carrier;
    } shapes[] = {{"OIHW", 4, {FILTERS, CHANNELS, 3, 3}, WMK_CARRIER_BALANCED}, {"OI", 2, {FILTERS, CHANNELS * 9}, WMK_CARRIER_WEIGHTS}};
    for (int k = 0; k < 2; k++) {
        wmk_target target = {.name = "w", .rank = shapes[k].rank};
        wmk_tensor_view view = {.name = "w", .dtype = WMK_BF16, .rank = shapes[k].rank, .data = weights};
        strcpy(target.layout, shapes[k].layout);
        strcpy(view.layout, shapes[k].layout);
        memcpy(target.shape, shapes[k].shape, sizeof shapes[k].shape);
        memcpy(view.shape, shapes[k].shape, sizeof shapes[k].shape);
        wmk_key *key = partition_key(shapes[k].carrier, &target, 1, 64, (uint8_t)k);
        uint64_t bytes = 0;
        const wmk_traffic traffic = {.payload = &bytes, .written = count_written};
        void *out = stored;
        wmk_embed_options options = WMK_EMBED_OPTIONS_INIT;
        wmk_embed_summary summary;
        assert_ok(wmk_mark_embed_into(key, &view, &out, &options, &traffic, &summary, NULL));
        print_message("%s, %s: smallest margin %.4f, written %.0f times\n", wmk_carrier_name(shapes[k].carrier), shapes[k].layout,
                      summary.margin_reached, (double)bytes / (2 * (double)n));
        assert_true(bytes == 2 * n);
        assert_true(summary.margin_reached >= 8 && summary.margin_reached < 8.1);
        wmk_key_free(key);
    }
    free(weights);
    free(stored);
}

/* ---- units ---- */

/* A codec whose units hold weights of several filters cannot be written filter by filter. */
static void units_across_filters(void **state)
{
    (void)state;
    static unsigned char bytes[64 * 16 / 32 * BLOCK8], stored[sizeof bytes];
    static const struct {
        const char *layout;
        uint64_t shape[2];
    } shapes[] = {{"OI", {64, 16}}, {"IO", {64, 16}}};
    for (int k = 0; k < 2; k++) {
        wmk_target target = {.name = "w", .rank = 2, .shape = {shapes[k].shape[0], shapes[k].shape[1]}};
        wmk_tensor_view view = {
            .name = "w", .dtype = WMK_Q8_0, .rank = 2, .shape = {shapes[k].shape[0], shapes[k].shape[1]}, .data = bytes, .codec = &q8};
        strcpy(target.layout, shapes[k].layout);
        strcpy(view.layout, shapes[k].layout);
        double values[64 * 16];
        for (int i = 0; i < 64 * 16; i++) values[i] = i % 17 - 8;
        write_q8(&view, bytes, 0, 64 * 16, values);
        wmk_key *key = partition_key(k ? WMK_CARRIER_BALANCED : WMK_CARRIER_WEIGHTS, &target, 1, 2, 1);
        void *out = stored;
        wmk_embed_options options = WMK_EMBED_OPTIONS_INIT;
        options.margin = 2;
        memcpy(stored, bytes, sizeof bytes);
        assert_fails(wmk_mark_embed(key, &view, &out, &options, NULL), WMK_ERROR_UNSUPPORTED, "units of 32 values");
        wmk_key_free(key);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_keep_their_sums),
        cmocka_unit_test(rounding_is_part_of_it),
        cmocka_unit_test(large_models_are_written_once),
        cmocka_unit_test(units_across_filters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
