/* Marks in model files: which tensors, what verify finds by which name and at what price, what embed changes in a file and what it must not. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/convert.h"
#include "base/file.h"
#include "base/memory.h"
#include "cmocka_wmk.h"
#include <weightmark/mark_file.h>

static char folder[] = "/tmp/wmk-test-mark-file-XXXXXX";
static char model_path[64], marked_path[64], other_path[64];

static const struct {
    const char *name;
    wmk_dtype dtype;
    uint32_t rank;
    uint64_t shape[4];
} layers[] = {
    {"conv1.weight", WMK_BF16, 4, {16, 3, 3, 3}},
    {"conv2.0.conv1.weight", WMK_F32, 4, {16, 16, 3, 3}},
    {"conv2.0.conv2.weight", WMK_F32, 4, {16, 16, 3, 3}},
    {"conv2.1.conv1.weight", WMK_F16, 4, {16, 16, 3, 3}},
    {"conv2.1.conv2.weight", WMK_F32, 4, {16, 16, 3, 3}},
    {"conv2.1.bn1.weight", WMK_F32, 1, {16}},
    {"fc.weight", WMK_F64, 2, {10, 16}},
    {"fc.bias", WMK_F32, 1, {10}},
    {"quantised", WMK_I8, 2, {4, 4}},
    {"none", WMK_F32, 2, {0, 4}},
    {"steps", WMK_I64, 0, {0}},
};
enum { LAYERS = sizeof layers / sizeof layers[0], FLOAT_WEIGHTS = 6 };

/* Sums of uniform numbers: near enough to normal. */
static double noise(uint64_t *state)
{
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        sum += (double)(*state >> 11) / 9007199254740992.0 - 0.5;
    }
    return 0.1 * sum;
}

/* The layers above with noise in them. nan: the layer whose weight 5 is not a number, or NULL. skip: a layer to leave out, or NULL. */
static void write_model(const char *path, const char *nan, const char *skip, uint64_t seed)
{
    wmk_tensor_view views[LAYERS];
    size_t count = 0;
    for (size_t i = 0; i < LAYERS; i++) {
        wmk_tensor_view view = {.name = layers[i].name, .dtype = layers[i].dtype, .rank = layers[i].rank};
        uint64_t elements = 1;
        for (uint32_t axis = 0; axis < view.rank; axis++) elements *= view.shape[axis] = layers[i].shape[axis];
        unsigned char *data = calloc(elements + 1, 8);
        assert_non_null(data);
        for (uint64_t j = 0; wmk_dtype_is_float(view.dtype) && j < elements; j++) {
            double value = nan && j == 5 && strcmp(view.name, nan) == 0 ? (double)NAN : noise(&seed);
            wmk_write_f64(data + j * wmk_dtype_bits(view.dtype) / 8, view.dtype, &value, 1);
        }
        view.data = data;
        if (skip && strcmp(view.name, skip) == 0)
            free(data);
        else
            views[count++] = view;
    }
    assert_ok(wmk_model_write(path, views, count, NULL, 0, true));
    for (size_t i = 0; i < count; i++) free((void *)(uintptr_t)views[i].data);
}

static wmk_model *opened(const char *path)
{
    wmk_model *model;
    assert_ok(wmk_model_open(&model, path));
    return model;
}

/* A key for what `selectors` choose in the model of the test. */
static wmk_key *key_for(const char *selectors, wmk_scheme scheme, wmk_carrier carrier, uint8_t seed_byte)
{
    wmk_key *key;
    wmk_targets all, chosen;
    uint8_t seed[WMK_SEED_BYTES];
    wmk_model *model = opened(model_path);
    memset(seed, seed_byte, sizeof seed);
    assert_ok(wmk_targets_of_model(&all, model));
    assert_ok(wmk_targets_select(&chosen, &all, selectors));
    wmk_key_options options = WMK_KEY_OPTIONS_INIT;
    options.scheme = scheme, options.carrier = carrier, options.bits = 100, options.seed = seed, options.created = 1;
    options.targets = chosen.target, options.target_count = chosen.count;
    assert_ok(wmk_key_create(&key, &options));
    wmk_targets_free(&all);
    wmk_targets_free(&chosen);
    wmk_model_close(model);
    return key;
}

static wmk_status embed_at(const char *from, const wmk_key *key, const char *to, bool replace)
{
    wmk_embed_options options = WMK_EMBED_OPTIONS_INIT;
    if (wmk_key_carrier(key) == WMK_CARRIER_MEAN) options.margin = 0.5; /* little room: margin < sqrt(M / T) */
    wmk_model *model = opened(from);
    wmk_status status = wmk_model_embed(model, key, to, replace, &options, NULL, NULL, NULL, NULL);
    wmk_model_close(model);
    return status;
}

static wmk_status verify_at(wmk_verification *out, const char *path, const wmk_key *key, const char *tensor, bool any_tensor)
{
    wmk_verify_options options = WMK_VERIFY_OPTIONS_INIT;
    options.tensor = tensor, options.any_tensor = any_tensor;
    wmk_model *model = opened(path);
    wmk_status status = wmk_model_verify(out, model, key, &options);
    wmk_model_close(model);
    return status;
}

static int set_up(void **state)
{
    (void)state;
    memcpy(folder + strlen(folder) - 6, "XXXXXX", 6);
    if (!mkdtemp(folder)) return -1;
    snprintf(model_path, sizeof model_path, "%s/model", folder);
    snprintf(marked_path, sizeof marked_path, "%s/marked", folder);
    snprintf(other_path, sizeof other_path, "%s/other", folder);
    write_model(model_path, NULL, NULL, 1);
    return 0;
}

/* Fails where a test left something else, as a temporary file would be. */
static int tear_down(void **state)
{
    (void)state;
    unlink(model_path);
    unlink(marked_path);
    unlink(other_path);
    return rmdir(folder);
}

/* ---- targets ---- */

static void test_targets_of_model(void **state)
{
    (void)state;
    wmk_targets all;
    wmk_model *model = opened(model_path);
    assert_ok(wmk_targets_of_model(&all, model));
    wmk_model_close(model); /* names are owned */
    assert_int_equal(all.count, FLOAT_WEIGHTS);
    for (size_t i = 0, layer = 0; i < all.count; i++, layer++) {
        while (!wmk_dtype_is_float(layers[layer].dtype) || layers[layer].rank < 2) layer++;
        assert_string_equal(all.target[i].name, layers[layer].name);
        assert_string_equal(all.target[i].layout, layers[layer].rank == 4 ? "OIHW" : "OI");
        assert_int_equal(all.target[i].rank, layers[layer].rank);
        assert_memory_equal(all.target[i].shape, layers[layer].shape, layers[layer].rank * sizeof(uint64_t));
    }
    wmk_targets_free(&all);
    wmk_targets_free(&all);
}

static void test_select(void **state)
{
    (void)state;
    static const struct {
        const char *selectors, *names; /* chosen, in the model's order */
    } cases[] = {
        {"fc.weight", "fc.weight"},
        {"fc.weight,conv1.weight", "conv1.weight fc.weight"},
        {"linear", "fc.weight"},
        {"conv", "conv1.weight conv2.0.conv1.weight conv2.0.conv2.weight conv2.1.conv1.weight conv2.1.conv2.weight"},
        {"all", "conv1.weight conv2.0.conv1.weight conv2.0.conv2.weight conv2.1.conv1.weight conv2.1.conv2.weight fc.weight"},
        {"*.conv1.weight", "conv2.0.conv1.weight conv2.1.conv1.weight"},
        {"conv2.?.conv[2-9].*", "conv2.0.conv2.weight conv2.1.conv2.weight"},
        {"conv2", "conv2.1.conv2.weight"},
        {"conv2,fc*", "conv2.1.conv2.weight fc.weight"},
        {"fc.weight,fc.weight", "fc.weight"},
    };
    wmk_targets all, chosen;
    wmk_model *model = opened(model_path);
    assert_ok(wmk_targets_of_model(&all, model));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char names[1024] = "";
        assert_ok(wmk_targets_select(&chosen, &all, cases[i].selectors));
        for (size_t j = 0; j < chosen.count; j++) {
            if (j) strcat(names, " ");
            strcat(names, chosen.target[j].name);
        }
        assert_string_equal(names, cases[i].names);
        wmk_targets_free(&chosen);
    }
    assert_fails(wmk_targets_select(&chosen, &all, "conv3"), WMK_ERROR_MISSING, "target \"conv3\" matches nothing; there are: conv1.weight, ");
    assert_fails(wmk_targets_select(&chosen, &all, "conv1"), WMK_ERROR_MISSING, "\"conv1\"");
    assert_fails(wmk_targets_select(&chosen, &all, "conv2,nothing*"), WMK_ERROR_MISSING, "\"nothing*\"");
    assert_fails(wmk_targets_select(&chosen, &all, "fc.weight,"), WMK_ERROR_MISSING, "\"\"");
    wmk_targets_free(&all);
    assert_fails(wmk_targets_select(&chosen, &all, "all"), WMK_ERROR_MISSING, "no tensor a mark can go into");
    wmk_model_close(model);
}

/* ---- embedding ---- */

/* Bytes outside the key's tensors, and the source, stay. */
static void test_embed_changes_its_tensors_only(void **state)
{
    (void)state;
    size_t size, marked_size;
    unsigned char *before, *source, *marked;
    wmk_embed_summary summary;
    const wmk_embed_options options = WMK_EMBED_OPTIONS_INIT;
    wmk_key *key = key_for("conv1.weight,conv2.*", WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 1);
    assert_ok(wmk_file_read(&before, &size, model_path, 1 << 20));
    wmk_model *model = opened(model_path);
    assert_ok(wmk_model_embed(model, key, marked_path, false, &options, NULL, NULL, &summary, NULL));
    assert_int_equal(summary.errors_after, 0);
    assert_true(summary.errors_before > 10 && summary.z_after > 50 && summary.relative_change > 0);
    assert_ok(wmk_file_read(&source, &marked_size, model_path, 1 << 20));
    assert_ok(wmk_file_read(&marked, &marked_size, marked_path, 1 << 20));
    assert_int_equal(marked_size, size);
    assert_memory_equal(before, source, size);
    for (size_t i = 0; i < wmk_key_target_count(key); i++) {
        const wmk_model_tensor *tensor = wmk_model_find(model, wmk_key_target(key, i)->name);
        assert_memory_not_equal(marked + tensor->offset_bytes, before + tensor->offset_bytes, tensor->size_bytes);
        memcpy(marked + tensor->offset_bytes, before + tensor->offset_bytes, tensor->size_bytes);
    }
    assert_memory_equal(marked, before, size);

    wmk_verification found;
    assert_ok(verify_at(&found, marked_path, key, NULL, false));
    assert_int_equal(found.evidence.verdict, WMK_FOUND);
    assert_int_equal(found.evidence.bit_errors, 0);
    assert_true(fabs(found.evidence.z - summary.z_after) < 1e-9);
    assert_int_equal(found.tensor_count, 5);
    assert_int_equal(found.tensors_missing, 0);
    assert_string_equal(found.tensors[0], "conv1.weight");
    wmk_verification_free(&found);
    wmk_verification_free(&found);
    free(before);
    free(source);
    free(marked);
    wmk_model_close(model);
    wmk_key_free(key);
}

static void test_embed_in_place(void **state)
{
    (void)state;
    wmk_verification found;
    wmk_key *key = key_for("conv", WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 2),
            *stranger = key_for("conv", WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 3);
    assert_fails(embed_at(model_path, key, model_path, false), WMK_ERROR_EXISTS, "model");
    assert_ok(verify_at(&found, model_path, key, NULL, false));
    assert_int_equal(found.evidence.verdict, WMK_NOT_FOUND);
    wmk_verification_free(&found);
    assert_ok(embed_at(model_path, key, model_path, true));
    assert_ok(verify_at(&found, model_path, key, NULL, false));
    assert_int_equal(found.evidence.verdict, WMK_FOUND);
    wmk_verification_free(&found);
    assert_ok(verify_at(&found, model_path, stranger, NULL, false));
    assert_int_equal(found.evidence.verdict, WMK_NOT_FOUND);
    wmk_verification_free(&found);
    wmk_key_free(key);
    wmk_key_free(stranger);
}

static int decline(const wmk_embed_summary *summary, void *payload)
{
    *(double *)payload = summary->z_after;
    return access(marked_path, F_OK) == 0 ? 2 : 1;
}

static int take_the_place(const wmk_embed_summary *summary, void *payload)
{
    (void)summary, (void)payload;
    FILE *other = fopen(marked_path, "w");
    return other == NULL || fclose(other) != 0;
}

static void test_embed_confirm(void **state)
{
    (void)state;
    double z = 0;
    wmk_embed_summary summary = {0};
    const wmk_embed_options options = WMK_EMBED_OPTIONS_INIT;
    wmk_key *key = key_for("conv", WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 1);
    wmk_model *model = opened(model_path);
    assert_fails(wmk_model_embed(model, key, marked_path, false, &options, decline, &z, &summary, NULL), WMK_ERROR_INTERRUPTED,
                 "nothing was written");
    assert_true(z > 50 && summary.z_after == z);
    assert_int_equal(access(marked_path, F_OK), -1);
    summary.z_after = -1; /* any other failure leaves it alone: here one at the end, where the target appears while the copy is made */
    assert_fails(wmk_model_embed(model, key, marked_path, false, &options, take_the_place, NULL, &summary, NULL), WMK_ERROR_EXISTS, marked_path);
    assert_true(summary.z_after == -1);
    wmk_model_close(model);
    wmk_key_free(key);
}

static void test_embed_refusals(void **state)
{
    (void)state;
    wmk_key *key = key_for("conv2", WMK_SCHEME_RANDOM, WMK_CARRIER_MEAN, 1), *all = key_for("all", WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 1);
    char missing[96];
    snprintf(missing, sizeof missing, "%s/no/such", folder);
    write_model(other_path, NULL, "conv2.1.conv2.weight", 1);
    assert_fails(embed_at(other_path, key, marked_path, false), WMK_ERROR_MISSING,
                 "no tensor \"conv2.1.conv2.weight\" among its 10; nearest: conv2.0.conv2.weight, conv2.1.conv1.weight");
    assert_fails(embed_at(other_path, all, marked_path, false), WMK_ERROR_MISSING, "no tensor \"conv2.1.conv2.weight\"");
    write_model(other_path, "conv2.1.conv2.weight", NULL, 1);
    assert_fails(embed_at(other_path, key, marked_path, false), WMK_ERROR_INPUT, "conv2.1.conv2.weight");
    assert_non_null(strstr(wmk_error_message(), other_path));
    assert_fails(embed_at(model_path, key, missing, false), WMK_ERROR_MISSING, "no/such");
    assert_fails(embed_at(model_path, key, folder, true), WMK_ERROR_INPUT, "folder");
    assert_ok(embed_at(model_path, key, marked_path, false));
    assert_fails(embed_at(model_path, key, marked_path, false), WMK_ERROR_EXISTS, "marked");
    wmk_key_free(key);
    wmk_key_free(all);
}

/* A key that names another shape, and one that names integers. Other sizes are read, but never marked. */
static void test_mismatch(void **state)
{
    (void)state;
    wmk_verification found;
    wmk_target target = {.name = "fc.weight", .layout = "OIHW", .rank = 4, .shape = {10, 17, 3, 3}};
    wmk_key_options options = WMK_KEY_OPTIONS_INIT;
    wmk_key *key;
    options.bits = 8, options.targets = &target, options.target_count = 1;
    assert_ok(wmk_key_create(&key, &options));
    assert_fails(verify_at(&found, model_path, key, NULL, false), WMK_ERROR_MISMATCH, "17, 3, 3]");
    wmk_key_free(key);
    target = (wmk_target){.name = "fc.weight", .layout = "OI", .rank = 2, .shape = {10, 17}};
    assert_ok(wmk_key_create(&key, &options));
    assert_fails(embed_at(model_path, key, marked_path, false), WMK_ERROR_MISMATCH, "fc.weight");
    wmk_key_free(key);
    target = (wmk_target){.name = "quantised", .layout = "OI", .rank = 2, .shape = {4, 4}}, options.bits = 2;
    assert_ok(wmk_key_create(&key, &options));
    assert_fails(verify_at(&found, model_path, key, NULL, false), WMK_ERROR_UNSUPPORTED, "quantised");
    assert_int_equal(strncmp(wmk_error_message(), "not supported:", 14), 0);
    assert_non_null(strstr(wmk_error_message(), model_path));
    assert_fails(embed_at(model_path, key, marked_path, false), WMK_ERROR_UNSUPPORTED, "quantised");
    assert_int_equal(strncmp(wmk_error_message(), "not supported:", 14), 0);
    wmk_key_free(key);
}

/* ---- verifying ---- */

static void test_erasures(void **state)
{
    (void)state;
    wmk_verification found;
    wmk_key *key = key_for("conv", WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 4), *one = key_for("conv2", WMK_SCHEME_RANDOM, WMK_CARRIER_MEAN, 4);
    assert_ok(embed_at(model_path, key, marked_path, false));
    wmk_model *marked = opened(marked_path);
    wmk_tensor_view views[LAYERS];
    size_t kept = 0;
    for (size_t i = 0; i < wmk_model_tensor_count(marked); i++) {
        views[kept] = wmk_model_tensor_at(marked, i)->view;
        if (strcmp(views[kept].name, "conv2.1.conv2.weight") != 0) kept++;
    }
    assert_ok(wmk_model_write(other_path, views, kept, NULL, 0, true));
    assert_ok(verify_at(&found, other_path, key, NULL, false));
    assert_int_equal(found.evidence.verdict, WMK_FOUND);
    assert_int_equal(found.tensors_missing, 1);
    assert_int_equal(found.tensor_count, 4);
    assert_int_equal(found.reading->weights_missing, 16 * 16 * 9);
    wmk_verification_free(&found);
    assert_fails(verify_at(&found, other_path, one, NULL, false), WMK_ERROR_MISSING, "nearest: conv2.0.conv2.weight");
    assert_ok(wmk_model_write(other_path, views, 0, NULL, 0, true));
    assert_fails(verify_at(&found, other_path, key, NULL, false), WMK_ERROR_MISSING, "5 of the key's 5 tensors are missing");
    wmk_model_close(marked);
    wmk_key_free(key);
    wmk_key_free(one);
}

/* The marked tensor under another name: found when it is named, and by shape; either way p pays for all that it could have been. */
static void test_other_tensor(void **state)
{
    (void)state;
    wmk_verification named, any, twice;
    wmk_verify_options options = WMK_VERIFY_OPTIONS_INIT;
    wmk_verification none;
    wmk_key *key = key_for("conv2.0.conv1.weight", WMK_SCHEME_RANDOM, WMK_CARRIER_MEAN, 5),
            *all = key_for("all", WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 5);
    assert_ok(embed_at(model_path, key, marked_path, false));
    wmk_model *marked = opened(marked_path);
    options.struct_size--;
    assert_fails(wmk_model_verify(&none, marked, key, &options), WMK_ERROR_ARGUMENT, "WMK_VERIFY_OPTIONS_INIT");
    options.struct_size++;
    wmk_tensor_view views[LAYERS];
    size_t count = wmk_model_tensor_count(marked);
    for (size_t i = 0; i < count; i++) {
        views[i] = wmk_model_tensor_at(marked, i)->view;
        if (strcmp(views[i].name, "conv2.0.conv1.weight") == 0) views[i].name = "renamed";
    }
    assert_ok(wmk_model_write(other_path, views, count, NULL, 0, true));
    assert_fails(verify_at(&named, other_path, key, NULL, false), WMK_ERROR_MISSING, "conv2.0.conv1.weight");
    assert_fails(verify_at(&named, other_path, key, "rename", false), WMK_ERROR_MISSING, "nearest: renamed");
    assert_ok(verify_at(&named, other_path, key, "renamed", false));
    assert_ok(verify_at(&any, other_path, key, NULL, true));
    assert_int_equal(named.evidence.verdict, WMK_FOUND);
    assert_int_equal(any.evidence.verdict, WMK_FOUND);
    assert_int_equal(named.evidence.tries, 4 + 1); /* of that shape, whatever their float type, or of another */
    assert_int_equal(any.evidence.tries, 1 + 4);   /* none, or one of that shape */
    assert_true(fabs(named.evidence.evidence_bits - any.evidence.evidence_bits) < 1e-9);
    assert_int_equal(any.tensor_count, 1);
    assert_string_equal(any.tensors[0], "renamed");
    wmk_model *other = opened(other_path);
    options.any_tensor = true, options.tries = 8;
    assert_ok(wmk_model_verify(&twice, other, key, &options));
    assert_int_equal(twice.evidence.tries, 40);
    options.tensor = "renamed";
    assert_fails(wmk_model_verify(&twice, other, key, &options), WMK_ERROR_ARGUMENT, "any is asked for");
    options.any_tensor = false, options.tries = 0;
    assert_fails(wmk_model_verify(&twice, other, key, &options), WMK_ERROR_ARGUMENT, "above 0");
    assert_fails(verify_at(&named, other_path, all, "renamed", false), WMK_ERROR_ARGUMENT, "only a key of one tensor");
    wmk_model_close(other);
    wmk_model_close(marked);
    wmk_verification_free(&named);
    wmk_verification_free(&any);
    wmk_verification_free(&twice);
    wmk_key_free(key);
    wmk_key_free(all);
}

/* A NaN in another tensor does not hide the mark from a search, nor does one in its own tensor: it counts as 0 and as not read. */
static void test_nan(void **state)
{
    (void)state;
    wmk_verification found;
    wmk_key *key = key_for("conv2.0.conv2.weight", WMK_SCHEME_RANDOM, WMK_CARRIER_MEAN, 6);
    write_model(other_path, "conv2.0.conv1.weight", NULL, 1);
    assert_ok(embed_at(other_path, key, marked_path, false));
    assert_ok(verify_at(&found, marked_path, key, NULL, true));
    assert_int_equal(found.evidence.verdict, WMK_FOUND);
    assert_int_equal(found.evidence.tries, 5);
    assert_string_equal(found.tensors[0], "conv2.0.conv2.weight");
    wmk_verification_free(&found);
    write_model(other_path, "conv2.0.conv2.weight", NULL, 1);
    assert_ok(verify_at(&found, other_path, key, NULL, false));
    assert_int_equal(found.reading->weights_lost, 1);
    assert_int_equal(found.weights_total - found.weights_read, 1);
    assert_true(found.share_read < 1 && found.tensors_partial == 0);
    wmk_verification_free(&found);
    wmk_key_free(key);
}

/* A key made where the layout was known (Keras' HWIO, say) reads a file whose container knows none: the same shape means the same layout. */
static void test_layout_of_the_key(void **state)
{
    (void)state;
    wmk_verification found;
    wmk_key *key;
    wmk_target target = {.name = "fc.weight", .layout = "IO", .rank = 2, .shape = {10, 16}};
    wmk_key_options options = WMK_KEY_OPTIONS_INIT;
    options.bits = 8, options.scheme = WMK_SCHEME_DIRECT, options.targets = &target, options.target_count = 1;
    assert_ok(wmk_key_create(&key, &options));
    assert_int_equal(wmk_key_m(key), 10);
    assert_ok(embed_at(model_path, key, marked_path, false));
    assert_ok(verify_at(&found, marked_path, key, NULL, false));
    assert_int_equal(found.evidence.bit_errors, 0);
    wmk_verification_free(&found);
    wmk_key_free(key);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_targets_of_model),
        TEST(test_select),
        TEST(test_embed_changes_its_tensors_only),
        TEST(test_embed_in_place),
        TEST(test_embed_confirm),
        TEST(test_embed_refusals),
        TEST(test_mismatch),
        TEST(test_erasures),
        TEST(test_other_tensor),
        TEST(test_nan),
        TEST(test_layout_of_the_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
