/* Embedding: margins hold as stored, in every layout and type; the change is the smallest (Dykstra's projections as the oracle); eq. 6 at its
 * stationary point. */
#include "read_naive.h"

#include "base/convert.h"
#include "mark/embed.h"

static const wmk_scheme schemes[] = {WMK_SCHEME_DIRECT, WMK_SCHEME_DIFF, WMK_SCHEME_RANDOM, WMK_SCHEME_PARTITION};

static double *signs_of(const wmk_key *key)
{
    uint32_t T = wmk_key_bit_count(key);
    uint8_t *b = calloc(T, 1);
    double *s = calloc(T, sizeof *s);
    wmk_key_bits(key, b);
    for (uint32_t j = 0; j < T; j++) s[j] = b[j] ? 1 : -1;
    free(b);
    return s;
}

/* Takes the stored bytes back into value[], so that the plain loops see what was written. F32 and BF16. */
static void take_back(naive_tensor *t, const unsigned char *bytes)
{
    size_t size = wmk_dtype_bits(t->view.dtype) / 8;
    for (size_t e = 0; e < naive_size(t); e++) {
        uint32_t bits = 0;
        float f;
        if (size == 8) {
            memcpy(&t->value[naive_index(t, e)], bytes + 8 * e, 8);
            continue;
        }
        memcpy((unsigned char *)&bits + (4 - size), bytes + size * e, size);
        memcpy(&f, &bits, sizeof f);
        t->value[naive_index(t, e)] = f;
    }
}

/* The largest margin a scheme can be asked for here. */
static double margin_for(wmk_scheme scheme, bool normalized)
{
    if (scheme == WMK_SCHEME_DIRECT) return normalized ? 1 : 1.5;
    if (scheme == WMK_SCHEME_DIFF) return normalized ? 1.4 : 1.5;
    return scheme == WMK_SCHEME_RANDOM ? 1.5 : 2;
}

static void embed_and_check(naive_set *set, wmk_scheme scheme, wmk_carrier carrier, uint32_t bits, bool in_place, double margin)
{
    wmk_key *key = naive_key(set, scheme, carrier, bits, false, (uint8_t)(scheme + 7 * carrier));
    bool normalized = carrier == WMK_CARRIER_WEIGHTS || set->count > 1;
    uint64_t M = wmk_key_m(key);
    double *s = signs_of(key), *y = calloc(bits, sizeof *y), *score = calloc(bits, sizeof *score), *old[NAIVE_MAX];
    uint8_t *erased = calloc(bits, 1);
    void *out[NAIVE_MAX];
    for (size_t t = 0; t < set->count; t++) {
        size_t n = naive_size(&set->tensor[t]);
        old[t] = malloc(n * sizeof(double));
        memcpy(old[t], set->tensor[t].value, n * sizeof(double));
        out[t] = in_place ? (void *)(uintptr_t)set->view[t].data : malloc(n * 8);
    }
    wmk_embed_options options = WMK_EMBED_OPTIONS_INIT;
    options.margin = margin;
    wmk_embed_summary summary;
    wmk_status status = wmk_mark_embed(key, set->view, out, &options, &summary);
    if (status != WMK_OK) fail_msg("%s/%s: %s", wmk_scheme_name(scheme), wmk_carrier_name(carrier), wmk_error_message());
    double changed = 0, all = 0, z = 0, least = INFINITY;
    for (size_t t = 0; t < set->count; t++) {
        take_back(&set->tensor[t], out[t]);
        for (size_t k = 0; k < naive_size(&set->tensor[t]); k++) {
            double d = set->tensor[t].value[k] - old[t][k];
            changed += d * d;
            all += old[t][k] * old[t][k];
        }
    }
    double *w = naive_w(set, carrier, M, NULL);
    naive_read(key, w, normalized, y, score, erased);
    for (uint32_t j = 0; j < bits; j++) {
        if (s[j] * score[j] < margin * (1 - 1e-12))
            fail_msg("%s/%s bit %u: %.9g of %g", wmk_scheme_name(scheme), wmk_carrier_name(carrier), j, s[j] * score[j], margin);
        least = fmin(least, s[j] * score[j]);
        z += s[j] * score[j];
    }
    assert_true(fabs(summary.relative_change - sqrt(changed / all)) < 1e-9);
    assert_true(summary.relative_change > 0);
    assert_true(fabs(summary.margin_reached - least) < 1e-9 * least);
    assert_int_equal(summary.errors_after, 0);
    assert_true(summary.z_before < summary.z_after);
    if (scheme == WMK_SCHEME_RANDOM || scheme == WMK_SCHEME_PARTITION) assert_true(fabs(summary.z_after - z / sqrt(bits)) < 1e-9 * summary.z_after);
    assert_true(fabs(summary.rounding_z) < 0.05 * summary.z_after);
    for (size_t t = 0; t < set->count; t++) {
        memcpy(set->tensor[t].value, old[t], naive_size(&set->tensor[t]) * sizeof(double));
        naive_set_layout(set, t, set->view[t].layout, set->view[t].dtype, 0);
        free(old[t]);
        if (!in_place) free(out[t]);
    }
    free(w);
    free(s);
    free(y);
    free(score);
    free(erased);
    wmk_key_free(key);
}

static void margins_hold_as_stored(void **state)
{
    (void)state;
    static const wmk_dtype types[] = {WMK_F32, WMK_BF16, WMK_F64};
    static const char *const layouts[] = {"OIHW", "HWIO", "IHWO"};
    for (int k = 0; k < 3; k++) {
        naive_set set = {0};
        naive_add(&set, 1, 3, 3, 24, 10, "OIHW");
        naive_set_layout(&set, 0, layouts[k], types[k], 0);
        for (int more = 0; more < 2; more++) {
            for (int s = 0; s < 4; s++)
                for (int c = WMK_CARRIER_MEAN; c <= WMK_CARRIER_WEIGHTS; c++) {
                    bool normalized = c == WMK_CARRIER_WEIGHTS || set.count > 1;
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
        double *sign = signs_of(key), *w = naive_w(&set, WMK_CARRIER_MEAN, 40, NULL), axes[6 * 40], margin[6], want[40], ask = 1.2;
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
        take_back(&set.tensor[0], out);
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
        double *sign = signs_of(key), *w0 = naive_w(&set, WMK_CARRIER_MEAN, M, NULL), last = INFINITY;
        for (double lambda = 1; lambda <= 100; lambda *= 10) {
            void *out = malloc(450 * 8);
            wmk_embed_options options = WMK_EMBED_OPTIONS_INIT;
            options.eq6 = true;
            options.lambda = lambda;
            wmk_embed_summary summary;
            assert_ok(wmk_mark_embed(key, set.view, &out, &options, &summary));
            double value[450];
            memcpy(value, set.tensor[0].value, sizeof value);
            take_back(&set.tensor[0], out);
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
        for (int c = WMK_CARRIER_MEAN; c <= WMK_CARRIER_WEIGHTS; c++) {
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
    for (int c = WMK_CARRIER_MEAN; c <= WMK_CARRIER_WEIGHTS; c++) {
        wmk_key *key = naive_key(&set, WMK_SCHEME_PARTITION, (wmk_carrier)c, 4, false, 1);
        assert_fails(wmk_mark_embed(key, set.view, &out, &options, NULL), WMK_ERROR_NUMERIC, "does not fit the stored type: tensor layer0: element");
        wmk_key_free(key);
    }
    options.struct_size++;
    assert_fails(wmk_mark_embed(NULL, set.view, &out, &options, NULL), WMK_ERROR_ARGUMENT, "WMK_EMBED_OPTIONS_INIT");
    naive_free(&set);
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
    wmk_key_options made = WMK_KEY_OPTIONS_INIT;
    made.scheme = WMK_SCHEME_PARTITION;
    made.carrier = WMK_CARRIER_WEIGHTS;
    made.bits = 32;
    made.targets = targets;
    made.target_count = 2;
    wmk_key *key;
    assert_ok(wmk_key_create(&key, &made));
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

/* Blocks of 32: a scale in binary16 and 32 signed bytes, as GGUF's Q8_0 (ggml-quants.c, quantize_row_q8_0_ref). */
enum { BLOCK8 = 34 };
static void read_q8(const wmk_tensor_view *view, uint64_t element, size_t count, double *values)
{
    for (size_t i = 0; i < count; i++) {
        const unsigned char *block = (const unsigned char *)view->data + (element + i) / 32 * BLOCK8;
        uint16_t half;
        memcpy(&half, block, 2);
        values[i] = (double)wmk_f16_to_f32(half) * (int8_t)block[2 + (element + i) % 32];
    }
}
static void write_q8(const wmk_tensor_view *view, void *data, uint64_t element, size_t count, const double *values)
{
    (void)view;
    assert_true(element % 32 == 0 && count % 32 == 0);
    for (size_t b = 0; b < count / 32; b++) {
        const double *from = values + 32 * b;
        unsigned char *block = (unsigned char *)data + (element / 32 + b) * BLOCK8;
        double largest = 0;
        for (int i = 0; i < 32; i++) largest = fmax(largest, fabs(from[i]));
        uint16_t half = wmk_f64_to_f16(largest / 127);
        double scale = wmk_f16_to_f32(half);
        memcpy(block, &half, 2);
        for (int i = 0; i < 32; i++) block[2 + i] = (unsigned char)(int8_t)fmax(-127, fmin(127, scale > 0 ? nearbyint(from[i] / scale) : 0));
    }
}
static const wmk_codec q8 = {"q8_0", read_q8, write_q8, 32};

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
static void check_narrow(wmk_dtype dtype, uint64_t scale, double margin, uint32_t bits)
{
    narrow_model m;
    make_narrow(&m, dtype, scale);
    wmk_target targets[2];
    for (int t = 0; t < 2; t++) {
        targets[t] = (wmk_target){.name = m.view[t].name, .rank = m.view[t].rank};
        memcpy(targets[t].layout, m.view[t].layout, sizeof targets[t].layout);
        memcpy(targets[t].shape, m.view[t].shape, sizeof targets[t].shape);
    }
    wmk_key_options made = WMK_KEY_OPTIONS_INIT;
    made.scheme = WMK_SCHEME_PARTITION;
    made.carrier = WMK_CARRIER_WEIGHTS;
    made.bits = bits;
    made.targets = targets;
    made.target_count = 2;
    const uint8_t seed[WMK_SEED_BYTES] = {9, (uint8_t)margin, (uint8_t)dtype};
    made.seed = seed;
    wmk_key *key;
    assert_ok(wmk_key_create(&key, &made));
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
    double *s = signs_of(key), least = INFINITY;
    for (uint32_t j = 0; j < bits; j++) least = fmin(least, s[j] * r->score[j]);
    if (least < margin) fail_msg("%s, margin %g: the smallest is %g", wmk_dtype_name(dtype), margin, least);
    assert_true(fabs(summary.margin_reached - least) < 1e-9);
    assert_true(fabs(summary.relative_change / sqrt(changed / all) - 1) < 1e-6);
    /* A wrong bit is made right at no more than what the steps of the type force upon it: never more than three times the change that an exact type takes. */
    wmk_reading *before;
    assert_ok(wmk_mark_read(&before, key, m.view));
    double exact = wmk_mark_cost_now(key, before, margin);
    wmk_reading_free(before);
    print_message("%-5s M = %llu, T = %u, margin %g: change %.5f (%.2f of an exact type's), smallest %.3f, rounding %.3f\n", wmk_dtype_name(dtype),
                  (unsigned long long)m.weights, bits, margin, summary.relative_change, summary.relative_change / exact, least, summary.rounding_z);
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
            check_narrow(types[k], 1, margin, 64);
            if (margin == 1 || margin == 8) check_narrow(types[k], 8, margin, 8); /* a change of a few thousandths */
        }
}

/* ---- targets that are the same bytes ---- */

static wmk_key *partition_key(const wmk_target *targets, size_t count, uint32_t bits, uint8_t seed_byte)
{
    const uint8_t seed[WMK_SEED_BYTES] = {seed_byte, 5};
    wmk_key_options made = WMK_KEY_OPTIONS_INIT;
    made.scheme = WMK_SCHEME_PARTITION;
    made.carrier = WMK_CARRIER_WEIGHTS;
    made.bits = bits;
    made.targets = targets;
    made.target_count = count;
    made.seed = seed;
    wmk_key *key;
    assert_ok(wmk_key_create(&key, &made));
    return key;
}

/* Tied layers: what is said to be stored is what is there in the end. */
static void tied_targets(void **state)
{
    (void)state;
    enum { N = 96 * 400 };
    static float weights[N], stored[N];
    uint64_t random = 8;
    for (int i = 0; i < N; i++) weights[i] = (float)naive_normal(&random);
    const wmk_target targets[] = {{"a", "OI", 2, {96, 400}}, {"b", "OI", 2, {96, 400}}};
    const wmk_tensor_view views[] = {{"a", WMK_F32, 2, {96, 400}, "OI", weights, NULL, NULL, 0},
                                     {"b", WMK_F32, 2, {96, 400}, "OI", weights, NULL, NULL, 0}};
    const wmk_tensor_view after[] = {{"a", WMK_F32, 2, {96, 400}, "OI", stored, NULL, NULL, 0},
                                     {"b", WMK_F32, 2, {96, 400}, "OI", stored, NULL, NULL, 0}};
    void *const out[] = {stored, stored};
    wmk_key *key = partition_key(targets, 2, 8, 3);
    wmk_embed_options options = WMK_EMBED_OPTIONS_INIT;
    wmk_embed_summary summary;
    options.margin = 6;
    wmk_status status = wmk_mark_embed(key, views, out, &options, &summary);
    assert_true(status == WMK_OK || status == WMK_ERROR_NUMERIC); /* the later of two changes undoes the earlier: it may not be possible */
    if (status == WMK_OK) {
        wmk_reading *r;
        double *s = signs_of(key), least = INFINITY;
        assert_ok(wmk_mark_read(&r, key, after));
        for (uint32_t j = 0; j < 8; j++) least = fmin(least, s[j] * r->score[j]);
        assert_true(least >= 6 && fabs(least - summary.margin_reached) < 1e-9);
        wmk_reading_free(r);
        free(s);
    }
    wmk_key_free(key);
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
    enum { FILTERS = 256, CHANNELS = 7680 };
    const uint64_t n = (uint64_t)FILTERS * CHANNELS * 9;
    uint16_t *weights = malloc(n * sizeof *weights), *stored = malloc(n * sizeof *stored);
    assert_true(weights && stored);
    uint64_t random = 21;
    for (uint64_t i = 0; i < n; i++) /* about normal, filters of different size */
        weights[i] = wmk_f64_to_bf16((naive_uniform(&random) + naive_uniform(&random) + naive_uniform(&random) - 1.5) *
                                     (1 + (double)(i / (9 * CHANNELS)) / FILTERS));
    static const struct {
        const char *layout;
        uint32_t rank;
        uint64_t shape[4];
    } shapes[] = {{"OIHW", 4, {FILTERS, CHANNELS, 3, 3}}, {"OI", 2, {FILTERS, CHANNELS * 9}}, {"OHWI", 4, {FILTERS, 3, 3, CHANNELS}}};
    for (int k = 0; k < 3; k++) {
        wmk_target target = {.name = "w", .rank = shapes[k].rank};
        wmk_tensor_view view = {.name = "w", .dtype = WMK_BF16, .rank = shapes[k].rank, .data = weights};
        strcpy(target.layout, shapes[k].layout);
        strcpy(view.layout, shapes[k].layout);
        memcpy(target.shape, shapes[k].shape, sizeof shapes[k].shape);
        memcpy(view.shape, shapes[k].shape, sizeof shapes[k].shape);
        wmk_key *key = partition_key(&target, 1, 64, (uint8_t)k);
        uint64_t bytes = 0;
        const wmk_traffic traffic = {.payload = &bytes, .written = count_written};
        void *out = stored;
        wmk_embed_options options = WMK_EMBED_OPTIONS_INIT;
        wmk_embed_summary summary;
        assert_ok(wmk_mark_embed_into(key, &view, &out, &options, &traffic, &summary, NULL));
        print_message("%s: smallest margin %.4f, written %.0f times\n", shapes[k].layout, summary.margin_reached, (double)bytes / (2 * (double)n));
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
        wmk_key *key = partition_key(&target, 1, 2, 1);
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
        cmocka_unit_test(margins_hold_as_stored),
        cmocka_unit_test(cost_of_a_strong_mark),
        cmocka_unit_test(change_is_the_smallest),
        cmocka_unit_test(equation_6),
        cmocka_unit_test(what_cannot_be),
        cmocka_unit_test(change_beyond_the_type),
        cmocka_unit_test(kernels_keep_their_sums),
        cmocka_unit_test(rounding_is_part_of_it),
        cmocka_unit_test(tied_targets),
        cmocka_unit_test(large_models_are_written_once),
        cmocka_unit_test(units_across_filters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
