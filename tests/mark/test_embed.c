/* Embedding: margins hold as stored, in every layout and type; the change is the smallest (Dykstra's projections as the oracle); eq. 6 at its
 * stationary point. */
#include "embed_naive.h"

/* The largest margin a scheme can be asked for here. */
static double margin_for(wmk_scheme scheme, bool normalized)
{
    if (scheme == WMK_SCHEME_DIRECT) return normalized ? 1 : 1.5;
    if (scheme == WMK_SCHEME_DIFF) return normalized ? 1.4 : 1.5;
    return scheme == WMK_SCHEME_RANDOM ? 1.5 : 2;
}

static void margins_hold_as_stored(void **state)
{
    (void)state;
    static const wmk_dtype types[] = {WMK_F32, WMK_BF16, WMK_F64, WMK_F16};
    static const char *const layouts[] = {"OIHW", "HWIO", "IHWO", "OHWI"};
    for (int k = 0; k < 4; k++) {
        naive_set set = {0};
        naive_add(&set, 1, 3, 3, 24, 10, "OIHW");
        naive_set_layout(&set, 0, layouts[k], types[k], 0);
        for (int more = 0; more < 2; more++) {
            for (int s = 0; s < 4; s++)
                for (int c = WMK_CARRIER_MEAN; c <= WMK_CARRIER_BALANCED; c++) {
                    bool normalized = naive_is_normalized(&set, (wmk_carrier)c);
                    double margin = margin_for(schemes[s], normalized);
                    /* rows of single weights, and those of a filter of zeros, could not be turned: a set without zeros for them */
                    if (normalized && s < 2) {
                        for (size_t t = 0; t < set.count; t++)
                            for (size_t i = 0; i < naive_size(&set.tensor[t]); i++)
                                if (set.tensor[t].value[i] == 0) set.tensor[t].value[i] = 0x1p-9;
                        for (size_t t = 0; t < set.count; t++) naive_set_layout(&set, t, set.view[t].layout, set.view[t].dtype, 0);
                    }
                    embed_and_check(&set, schemes[s], (wmk_carrier)c, 8, (s + c + k) % 2, margin);
                }
            naive_add(&set, 1, 1, 1, 60, 12, "OI");
            naive_set_layout(&set, 1, k == 1 ? "IO" : "OI", types[k], 0);
        }
        naive_free(&set);
    }
}

/* A strong mark over all weights of a model-like set: the change is margin * sqrt(T / M) (design section 3). */
static void cost_of_a_strong_mark(void **state)
{
    (void)state;
    naive_set set = {0};
    naive_add(&set, 1, 3, 3, 64, 64, "OIHW");
    naive_add(&set, 1, 3, 3, 64, 128, "OIHW");
    uint64_t random = 1;
    for (size_t t = 0; t < 2; t++) {
        for (size_t k = 0; k < naive_size(&set.tensor[t]); k++) set.tensor[t].value[k] = (float)naive_normal(&random);
        naive_set_layout(&set, t, "OIHW", WMK_F32, 0);
    }
    embed_and_check(&set, WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 64, true, 8);
    wmk_key *key = naive_key(&set, WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 64, false, 3);
    void *out[2] = {set.tensor[0].bytes + 1, set.tensor[1].bytes + 1};
    wmk_embed_options options = WMK_EMBED_OPTIONS_INIT;
    options.unbalanced = true;
    wmk_embed_summary summary;
    assert_ok(wmk_mark_embed(key, set.view, out, &options, &summary));
    double want = 8 * sqrt(64. / (double)wmk_key_m(key));
    assert_true(fabs(summary.relative_change / want - 1) < 0.05);
    assert_true(fabs(summary.z_after / 64 - 1) < 0.001);
    /* The forecasts: from the present readings, and for a model of which only the size is known. */
    wmk_key_free(key);
    key = naive_key(&set, WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 64, false, 4);
    void *fresh[2] = {malloc(4 * naive_size(&set.tensor[0])), malloc(4 * naive_size(&set.tensor[1]))};
    wmk_reading *present;
    assert_ok(wmk_mark_read(&present, key, set.view));
    for (options.margin = 0.5; options.margin <= 16; options.margin *= 2) {
        assert_ok(wmk_mark_embed(key, set.view, fresh, &options, &summary));
        double now = wmk_mark_cost_now(key, present, options.margin), expected = wmk_mark_cost(wmk_key_m(key), 64, options.margin);
        if (fabs(summary.relative_change / now - 1) > 0.01 || fabs(expected / now - 1) > 0.1)
            fail_msg("margin %g: change %.5g, forecast %.5g and %.5g", options.margin, summary.relative_change, now, expected);
    }
    assert_true(wmk_mark_cost(1000, 10, 0) == 0 && wmk_mark_cost_now(key, present, 0) == 0);
    assert_true(isinf(wmk_mark_cost(1000, 10, 10)) && isinf(wmk_mark_cost_now(key, present, 60)));
    wmk_reading_free(present);
    free(fresh[0]);
    free(fresh[1]);
    wmk_key_free(key);
    naive_free(&set);
}

static double inner(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* Nearest point of { v : axis . v >= margin ||v|| }. */
static void project_cone(const double *v, const double *axis, double margin, size_t n, double *out)
{
    double length = sqrt(inner(axis, axis, n)), along = inner(axis, v, n) / length, squares = inner(v, v, n), cosine = margin / length,
           sine = sqrt(1 - cosine * cosine);
    double across = sqrt(fmax(0, squares - along * along));
    if (along >= cosine * sqrt(squares)) {
        memcpy(out, v, n * sizeof *v);
        return;
    }
    double edge = along * cosine + across * sine;
    for (size_t i = 0; i < n; i++) {
        double u = axis[i] / length;
        out[i] = edge <= 0 ? 0 : edge * (cosine * u + sine * (v[i] - along * u) / across);
    }
}

/* Dykstra's alternating projections converge to the nearest point of the intersection of convex sets. */
static void dykstra(const double *w, const double *axes, const double *margin, size_t sets, size_t n, double *out)
{
    double *rest = calloc(sets * n, sizeof *rest), *v = calloc(n, sizeof *v);
    memcpy(out, w, n * sizeof *w);
    for (int round = 0; round < 20000; round++)
        for (size_t j = 0; j < sets; j++) {
            for (size_t i = 0; i < n; i++) v[i] = out[i] + rest[j * n + i];
            project_cone(v, axes + j * n, margin[j], n, out);
            for (size_t i = 0; i < n; i++) rest[j * n + i] = v[i] - out[i];
        }
    free(rest);
    free(v);
}

static void change_is_the_smallest(void **state)
{
    (void)state;
    for (int s = 0; s < 4; s++) {
        naive_set set = {0};
        naive_add(&set, 1, 1, 1, 40, 3, "OI");
        for (size_t k = 0; k < naive_size(&set.tensor[0]); k++) set.tensor[0].value[k] += 0x1p-9;
        naive_set_layout(&set, 0, "OI", WMK_F64, 0);
        const uint32_t T = 6;
        wmk_key *key = naive_key(&set, schemes[s], WMK_CARRIER_MEAN, T, false, 21);
        double *sign = naive_signs(key), *w = naive_w(&set, WMK_CARRIER_MEAN, 40, NULL), axes[6 * 40], margin[6], want[40], ask = 1.2;
        for (uint32_t j = 0; j < T; j++) {
            float x[40];
            assert_ok(wmk_key_x(key, j, 0, 40, x));
            double entries = 0;
            for (int i = 0; i < 40; i++) {
                axes[j * 40 + i] = sign[j] * x[i];
                entries += x[i] * x[i];
            }
            margin[j] = s < 2 ? ask * sqrt(entries / 40) : ask; /* direct, diff: score = y / (RMS(w) ||X_j||) */
        }
        if (schemes[s] == WMK_SCHEME_PARTITION) { /* the cone is over the row's own columns */
            memcpy(want, w, sizeof want);
            for (uint32_t j = 0; j < T; j++) {
                double part[40], axis[40], near[40];
                size_t n = 0;
                for (int i = 0; i < 40; i++)
                    if (axes[j * 40 + i] != 0) {
                        part[n] = w[i];
                        axis[n++] = axes[j * 40 + i];
                    }
                project_cone(part, axis, ask, n, near);
                for (int i = 0, k = 0; i < 40; i++)
                    if (axes[j * 40 + i] != 0) want[i] = near[k++];
                if (inner(near, near, n) == 0) /* nearest is the cone's tip, which carries nothing: a short vector in the cone stands for it */
                    for (int i = 0; i < 40; i++)
                        if (axes[j * 40 + i] != 0) want[i] = NAN;
            }
        } else {
            dykstra(w, axes, margin, T, 40, want);
        }
        void *out = malloc(40 * 3 * 8);
        wmk_embed_options options = WMK_EMBED_OPTIONS_INIT;
        options.margin = ask;
        assert_ok(wmk_mark_embed(key, set.view, &out, &options, NULL));
        embed_take(&set.tensor[0], out);
        double *got = naive_w(&set, WMK_CARRIER_MEAN, 40, NULL), size = sqrt(inner(w, w, 40));
        for (int i = 0; i < 40; i++)
            if (!isnan(want[i]) && fabs(got[i] - want[i]) > 2e-5 * size)
                fail_msg("%s: w[%d] %.9g, nearest point has %.9g", wmk_scheme_name(schemes[s]), i, got[i], want[i]);
        free(got);
        free(out);
        free(w);
        free(sign);
        wmk_key_free(key);
        naive_free(&set);
    }
}

static void equation_6(void **state)
{
    (void)state;
    for (int s = 0; s < 3; s++) {
        naive_set set = {0};
        naive_add(&set, 1, 3, 3, 10, 5, "OIHW");
        naive_set_layout(&set, 0, "OIHW", WMK_F64, 0);
        const uint32_t T = 32, M = 90;
        wmk_key *key = naive_key(&set, schemes[s], WMK_CARRIER_MEAN, T, false, 5);
        double *sign = naive_signs(key), *w0 = naive_w(&set, WMK_CARRIER_MEAN, M, NULL), last = INFINITY;
        for (double lambda = 1; lambda <= 100; lambda *= 10) {
            void *out = malloc(450 * 8);
            wmk_embed_options options = WMK_EMBED_OPTIONS_INIT;
            options.eq6 = true;
            options.lambda = lambda;
            wmk_embed_summary summary;
            assert_ok(wmk_mark_embed(key, set.view, &out, &options, &summary));
            double value[450];
            memcpy(value, set.tensor[0].value, sizeof value);
            embed_take(&set.tensor[0], out);
            double *w = naive_w(&set, WMK_CARRIER_MEAN, M, NULL), slope[90], distance = 0, e = 0;
            memcpy(set.tensor[0].value, value, sizeof value);
            for (uint32_t c = 0; c < M; c++) {
                slope[c] = w[c] - w0[c];
                distance += 0.5 * slope[c] * slope[c];
            }
            for (uint32_t j = 0; j < T; j++) {
                float x[90];
                double y = 0;
                assert_ok(wmk_key_x(key, j, 0, M, x));
                for (uint32_t c = 0; c < M; c++) y += x[c] * w[c];
                e += log1p(exp(-sign[j] * y)) / T;
                for (uint32_t c = 0; c < M; c++) slope[c] -= lambda / T * sign[j] * x[c] / (1 + exp(sign[j] * y));
            }
            double largest = 0;
            for (uint32_t c = 0; c < M; c++) largest = fmax(largest, fabs(slope[c]));
            if (largest > 1e-6) fail_msg("%s lambda %g: the gradient of eq. 6 is %g at the end", wmk_scheme_name(schemes[s]), lambda, largest);
            assert_true(fabs(summary.eq6_distance - distance) < 1e-6 * (1 + distance));
            assert_true(fabs(summary.eq6_e_r - e) < 1e-6);
            assert_true(e < last); /* a larger lambda buys a smaller E_R */
            last = e;
            free(w);
            free(out);
        }
        free(w0);
        free(sign);
        wmk_key_free(key);
        naive_free(&set);
    }
}

static void what_cannot_be(void **state)
{
    (void)state;
    naive_set set = {0};
    naive_add(&set, 1, 3, 3, 2, 4, "OIHW");
    void *out = malloc(72 * 4);
    wmk_embed_options options = WMK_EMBED_OPTIONS_INIT;
    wmk_key *key = naive_key(&set, WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 60, false, 1);
    assert_fails(wmk_mark_embed(key, set.view, &out, &options, NULL), WMK_ERROR_NUMERIC, "cannot be met");
    wmk_key_free(key);
    key = naive_key(&set, WMK_SCHEME_RANDOM, WMK_CARRIER_MEAN, 16, false, 1); /* 16 bits on 18 values */
    assert_fails(wmk_mark_embed(key, set.view, &out, &options, NULL), WMK_ERROR_NUMERIC, "16 bits on 18 values allow less than");
    wmk_key_free(key);
    key = naive_key(&set, WMK_SCHEME_RANDOM, WMK_CARRIER_MEAN, 64, false, 1); /* more than twice as many: no vector has all signs */
    assert_fails(wmk_mark_embed(key, set.view, &out, &options, NULL), WMK_ERROR_NUMERIC, "64 bits on 18 values allow less than 0.");
    options.margin = 0;
    assert_fails(wmk_mark_embed(key, set.view, &out, &options, NULL), WMK_ERROR_ARGUMENT, "margin");
    options.eq6 = true;
    options.lambda = -1;
    assert_fails(wmk_mark_embed(key, set.view, &out, &options, NULL), WMK_ERROR_ARGUMENT, "lambda");
    set.view[0].data = NULL;
    options.lambda = 1;
    assert_fails(wmk_mark_embed(key, set.view, &out, &options, NULL), WMK_ERROR_MISSING, "layer0");
    wmk_key_free(key);
    set.view[0] = set.tensor[0].view;
    key = naive_key(&set, WMK_SCHEME_RANDOM, WMK_CARRIER_WEIGHTS, 16, false, 1);
    assert_fails(wmk_mark_embed(key, set.view, &out, &options, NULL), WMK_ERROR_ARGUMENT, "eq. 6");
    wmk_key_free(key);
    naive_free(&set);
    naive_set none = {0};
    naive_add(&none, 1, 1, 1, 30, 4, "OI");
    memset(none.tensor[0].value, 0, naive_size(&none.tensor[0]) * sizeof(double));
    naive_set_layout(&none, 0, "OI", WMK_F32, 0);
    for (int s = 2; s < 4; s++)
        for (int c = WMK_CARRIER_MEAN; c <= WMK_CARRIER_BALANCED; c++) {
            key = naive_key(&none, schemes[s], (wmk_carrier)c, 4, false, 1);
            options = (wmk_embed_options)WMK_EMBED_OPTIONS_INIT;
            assert_fails(wmk_mark_embed(key, none.view, &out, &options, NULL), WMK_ERROR_NUMERIC, "zeros");
            wmk_key_free(key);
        }
    naive_free(&none);
    free(out);
}

/* A finite model of which the change leaves what its type holds: the margin's fault, not the input's. */
static void change_beyond_the_type(void **state)
{
    (void)state;
    naive_set set = {0};
    naive_add(&set, 1, 1, 1, 64, 2, "OI");
    for (size_t i = 0; i < naive_size(&set.tensor[0]); i++) set.tensor[0].value[i] = i % 6 < 3 ? 65504 : -65504; /* the largest of binary16 */
    naive_set_layout(&set, 0, "OI", WMK_F16, 0);
    unsigned char stored[128 * 2];
    void *out = stored;
    wmk_embed_options options = WMK_EMBED_OPTIONS_INIT;
    options.margin = 2;
    for (int c = WMK_CARRIER_MEAN; c <= WMK_CARRIER_BALANCED; c++) {
        wmk_key *key = naive_key(&set, WMK_SCHEME_PARTITION, (wmk_carrier)c, 4, false, 1);
        assert_fails(wmk_mark_embed(key, set.view, &out, &options, NULL), WMK_ERROR_NUMERIC, "does not fit the stored type: tensor layer0: element");
        wmk_key_free(key);
    }
    options.struct_size++;
    assert_fails(wmk_mark_embed(NULL, set.view, &out, &options, NULL), WMK_ERROR_ARGUMENT, "WMK_EMBED_OPTIONS_INIT");
    naive_free(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(margins_hold_as_stored), cmocka_unit_test(cost_of_a_strong_mark),
        cmocka_unit_test(change_is_the_smallest), cmocka_unit_test(equation_6),
        cmocka_unit_test(what_cannot_be),         cmocka_unit_test(change_beyond_the_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
