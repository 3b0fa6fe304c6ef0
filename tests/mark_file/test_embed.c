/* Embedding into a file against embedding in memory: the same bytes, whatever the number of threads; and what it proves against what verify finds. */
#include <omp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/convert.h"
#include "cmocka_wmk.h"
#include <weightmark/mark_file.h>

enum { TENSORS = 3, BITS = 64 };

static char folder[] = "/tmp/wmk-test-embed-XXXXXX";

static const struct {
    const char *name, *layout;
    wmk_dtype dtype;
    uint32_t rank;
    uint64_t shape[4];
} layers[TENSORS] = {{"wide", "OI", WMK_BF16, 2, {700, 2048}}, {"conv", "OIHW", WMK_F16, 4, {96, 40, 3, 3}}, {"tall", "OI", WMK_F32, 2, {90, 900}}};

static int enter(void **state)
{
    (void)state;
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    (void)state;
    unlink("model");
    unlink("copy");
    return chdir("/") == 0 && rmdir(folder) == 0 ? 0 : -1;
}

static uint64_t elements(int t)
{
    uint64_t n = 1;
    for (uint32_t a = 0; a < layers[t].rank; a++) n *= layers[t].shape[a];
    return n;
}

static void write_model(void)
{
    wmk_tensor_view views[TENSORS];
    uint64_t state = 5;
    for (int t = 0; t < TENSORS; t++) {
        uint64_t n = elements(t);
        double *values = malloc(n * sizeof *values);
        for (uint64_t i = 0; i < n; i++) {
            values[i] = 0;
            for (int k = 0; k < 4; k++) {
                state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
                values[i] += 0.1 * ((double)(state >> 11) * 0x1p-53 - 0.5);
            }
        }
        void *data = malloc(n * 8);
        views[t] = (wmk_tensor_view){.name = layers[t].name, .dtype = layers[t].dtype, .rank = layers[t].rank, .data = data};
        memcpy(views[t].shape, layers[t].shape, sizeof layers[t].shape);
        wmk_tensor_write(&views[t], data, 0, n, values);
        free(values);
    }
    assert_ok(wmk_model_write("model", views, TENSORS, NULL, 0, true));
    for (int t = 0; t < TENSORS; t++) free((void *)(uintptr_t)views[t].data);
}

static wmk_key *make_key(void)
{
    wmk_target targets[TENSORS];
    const uint8_t seed[WMK_SEED_BYTES] = {3};
    for (int t = 0; t < TENSORS; t++) {
        targets[t] = (wmk_target){.name = layers[t].name, .rank = layers[t].rank};
        strcpy(targets[t].layout, layers[t].layout);
        memcpy(targets[t].shape, layers[t].shape, sizeof layers[t].shape);
    }
    wmk_key_options options = WMK_KEY_OPTIONS_INIT;
    options.scheme = WMK_SCHEME_PARTITION;
    options.carrier = WMK_CARRIER_WEIGHTS;
    options.bits = BITS;
    options.seed = seed;
    options.created = 1;
    options.targets = targets;
    options.target_count = TENSORS;
    wmk_key *key;
    assert_ok(wmk_key_create(&key, &options));
    return key;
}

static void a_file_as_memory(void **state)
{
    (void)state;
    write_model();
    wmk_key *key = make_key();
    wmk_model *model, *copy;
    wmk_tensor_view views[TENSORS];
    void *in_memory[TENSORS];
    wmk_embed_options options = WMK_EMBED_OPTIONS_INIT;
    wmk_embed_summary in_file, own;
    assert_ok(wmk_model_open(&model, "model"));
    for (int t = 0; t < TENSORS; t++) {
        views[t] = wmk_model_find(model, layers[t].name)->view;
        strcpy(views[t].layout, layers[t].layout);
        in_memory[t] = malloc(elements(t) * 8);
    }
    assert_ok(wmk_mark_embed(key, views, in_memory, &options, &own));
    assert_true(own.margin_reached >= 8 && own.errors_after == 0);
    int threads = omp_get_max_threads();
    for (int n = 1; n <= 3; n += 2) {
        wmk_verification proof, found;
        wmk_verify_options verify = WMK_VERIFY_OPTIONS_INIT;
        omp_set_num_threads(n);
        assert_ok(wmk_model_embed(model, key, "copy", true, &options, NULL, NULL, &in_file, &proof));
        assert_true(in_file.z_after == own.z_after && in_file.margin_reached == own.margin_reached &&
                    in_file.relative_change == own.relative_change && in_file.rounding_z == own.rounding_z && in_file.z_before == own.z_before);
        assert_ok(wmk_model_open(&copy, "copy"));
        for (int t = 0; t < TENSORS; t++) {
            const wmk_model_tensor *tensor = wmk_model_find(copy, layers[t].name);
            assert_memory_equal(tensor->view.data, in_memory[t], tensor->size_bytes);
        }
        assert_ok(wmk_model_verify(&found, copy, key, &verify));
        assert_int_equal(found.evidence.verdict, WMK_FOUND);
        assert_true(found.evidence.z == proof.evidence.z && found.evidence.log10_p == proof.evidence.log10_p);
        assert_memory_equal(found.reading->y, proof.reading->y, BITS * sizeof(double));
        assert_int_equal(proof.tensor_count, TENSORS);
        assert_string_equal(proof.tensors[0], "wide");
        wmk_verification_free(&found);
        wmk_verification_free(&proof);
        wmk_model_close(copy);
    }
    omp_set_num_threads(threads);
    for (int t = 0; t < TENSORS; t++) free(in_memory[t]);
    wmk_model_close(model);
    wmk_key_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_file_as_memory)};
    return cmocka_run_group_tests(tests, enter, leave);
}
