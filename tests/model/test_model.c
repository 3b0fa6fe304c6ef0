/* Reading, writing and patching. reference.safetensors was written by the reference library (make_reference.py). */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "cmocka_wmk.h"
#include "model/model.h"
#include "model/patch.h"

#define REFERENCE WMK_SOURCE_DIR "/tests/model/reference.safetensors"

static char folder[] = "/tmp/wmk-test-model-XXXXXX";

/* A path in the test's folder; 8 may be in use at once. */
static const char *in_folder(const char *name)
{
    static char paths[8][512];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, 512, "%s/%s", folder, name);
    return path;
}

static int files_in_folder(void)
{
    int count = 0;
    DIR *listing = opendir(folder);
    assert_non_null(listing);
    for (struct dirent *entry; (entry = readdir(listing));) count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(listing);
    return count;
}

static int set_up(void **state)
{
    (void)state;
    memcpy(folder + strlen(folder) - 6, "XXXXXX", 6);
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    DIR *listing = opendir(folder);
    for (struct dirent *entry; listing && (entry = readdir(listing));)
        if (entry->d_name[0] != '.' || strncmp(entry->d_name, ".wmk", 4) == 0) unlink(in_folder(entry->d_name));
    if (listing) closedir(listing);
    return rmdir(folder);
}

static unsigned char *bytes_of(const char *path, size_t *size)
{
    unsigned char *bytes;
    assert_ok(wmk_file_read(&bytes, size, path, 1 << 24));
    return bytes;
}

static void test_reference_file(void **state)
{
    (void)state;
    static const float fc[6] = {0, .25f, .5f, .75f, 1, 1.25f};
    static const double wide[2] = {1e-300, -2.5};
    static const uint16_t minus_eight = 0xc800;
    static const char *const order[] = {"steps", "wide", "fc.weight", "conv.weight", "mask"};
    wmk_model *model;
    assert_ok(wmk_model_open(&model, REFERENCE));
    assert_string_equal(wmk_model_format(model), "safetensors");
    assert_string_equal(wmk_model_path(model), REFERENCE);
    assert_string_equal(wmk_model_file_path(model, 0), REFERENCE);
    assert_null(wmk_model_file_path(model, 1));
    assert_int_equal(wmk_model_tensor_count(model), 5);
    for (size_t i = 0; i < 5; i++) assert_string_equal(wmk_model_tensor_at(model, i)->view.name, order[i]);
    assert_null(wmk_model_tensor_at(model, 5));
    assert_null(wmk_model_find(model, "fc"));
    assert_null(wmk_model_find(model, ""));

    const wmk_model_tensor *tensor = wmk_model_find(model, "fc.weight");
    assert_non_null(tensor);
    assert_int_equal(tensor->view.dtype, WMK_F32);
    assert_int_equal(tensor->view.rank, 2);
    assert_int_equal(tensor->view.shape[0], 2);
    assert_int_equal(tensor->view.shape[1], 3);
    assert_string_equal(tensor->view.layout, "OI");
    assert_int_equal(tensor->offset_bytes, 0x180 + 24);
    assert_int_equal(tensor->size_bytes, 24);
    assert_memory_equal(tensor->view.data, fc, sizeof fc);
    tensor = wmk_model_find(model, "wide");
    assert_memory_equal(tensor->view.data, wide, sizeof wide);
    tensor = wmk_model_find(model, "conv.weight");
    assert_string_equal(tensor->view.layout, "OIHW");
    assert_memory_equal(tensor->view.data, &minus_eight, 2);
    tensor = wmk_model_find(model, "steps");
    assert_int_equal(tensor->view.rank, 0);
    assert_string_equal(tensor->view.layout, "");
    tensor = wmk_model_find(model, "mask");
    assert_int_equal(tensor->view.dtype, WMK_BOOL);
    assert_memory_equal(tensor->view.data, "\1\0\1", 3);

    const char *name, *value;
    assert_int_equal(wmk_model_metadata_count(model), 2);
    assert_string_equal(wmk_model_metadata(model, "format"), "np");
    assert_string_equal(wmk_model_metadata(model, "caf\xc3\xa9 \"q\""), "line\nbreak");
    assert_null(wmk_model_metadata(model, "none"));
    wmk_model_metadata_at(model, 1, &name, &value);
    assert_string_equal(name, "format");
    wmk_model_metadata_at(model, 2, &name, &value);
    assert_null(name);
    wmk_model_close(model);
    wmk_model_close(NULL);
}

static const unsigned char three_bytes[3] = {7, 8, 9};
static const float four_floats[4] = {1, -2, 3.5f, 0};
static const double one_double = 1e100;
static const wmk_tensor_view written[] = {
    {"bytes \"\\\n", WMK_U8, 1, {3}, "", three_bytes, NULL, NULL, 0},
    {"weight", WMK_F32, 4, {2, 2, 1, 1}, "OIHW", four_floats, NULL, NULL, 0},
    {"none", WMK_F32, 2, {0, 5}, "", NULL, NULL, NULL, 0},
    {"scale", WMK_F64, 0, {0}, "", &one_double, NULL, NULL, 0},
};

static void test_write(void **state)
{
    (void)state;
    const char *path = in_folder("a.safetensors"), *again = in_folder("b.safetensors");
    const wmk_metadata metadata[] = {{"z", "last\tfirst"}, {"a", ""}};
    assert_ok(wmk_model_write(path, written, 4, metadata, 2, false));
    assert_ok(wmk_model_write(again, written, 4, metadata, 2, false));
    size_t size, again_size;
    unsigned char *bytes = bytes_of(path, &size), *again_bytes = bytes_of(again, &again_size);
    assert_int_equal(size, again_size);
    assert_memory_equal(bytes, again_bytes, size);
    free(bytes);
    free(again_bytes);

    wmk_model *model;
    uint64_t first = UINT64_MAX;
    assert_ok(wmk_model_open(&model, path));
    assert_int_equal(wmk_model_tensor_count(model), 4);
    for (size_t i = 0; i < 4; i++) {
        const wmk_model_tensor *tensor = wmk_model_tensor_at(model, i);
        assert_string_equal(tensor->view.name, written[i].name);
        assert_int_equal(tensor->view.dtype, written[i].dtype);
        assert_int_equal(tensor->view.rank, written[i].rank);
        assert_memory_equal(tensor->view.shape, written[i].shape, written[i].rank * sizeof(uint64_t));
        if (tensor->size_bytes) assert_memory_equal(tensor->view.data, written[i].data, tensor->size_bytes);
        assert_int_equal((uintptr_t)tensor->view.data % (wmk_dtype_bits(tensor->view.dtype) / 8), 0);
        if (tensor->offset_bytes < first) first = tensor->offset_bytes;
    }
    assert_int_equal(first % 64, 0);
    assert_string_equal(wmk_model_metadata(model, "z"), "last\tfirst");
    assert_string_equal(wmk_model_metadata(model, "a"), "");
    wmk_model_close(model);
    assert_int_equal(files_in_folder(), 2);
}

static void test_write_refusals(void **state)
{
    (void)state;
    const char *path = in_folder("a.safetensors");
    wmk_tensor_view view = written[1];
    const wmk_tensor_view twice[] = {written[1], written[0], written[1]};
    const wmk_metadata twice_metadata[] = {{"a", "1"}, {"a", "2"}}, no_value = {"a", NULL}, not_utf8 = {"a", "\xff"};
    assert_fails(wmk_model_write(path, twice, 3, NULL, 0, false), WMK_ERROR_ARGUMENT, "tensor \"weight\" is given twice");
    assert_fails(wmk_model_write(path, NULL, 0, twice_metadata, 2, false), WMK_ERROR_ARGUMENT, "metadata \"a\" is given twice");
    assert_fails(wmk_model_write(path, NULL, 0, &no_value, 1, false), WMK_ERROR_ARGUMENT, "without a name or value");
    assert_fails(wmk_model_write(path, NULL, 0, &not_utf8, 1, false), WMK_ERROR_ARGUMENT, "not UTF-8");
    view.data = NULL;
    assert_fails(wmk_model_write(path, &view, 1, NULL, 0, false), WMK_ERROR_ARGUMENT, "without data");
    view = written[1], view.dtype = WMK_DTYPE_NONE;
    assert_fails(wmk_model_write(path, &view, 1, NULL, 0, false), WMK_ERROR_ARGUMENT, "no dtype");
    view = written[1], view.rank = 9;
    assert_fails(wmk_model_write(path, &view, 1, NULL, 0, false), WMK_ERROR_ARGUMENT, "9 axes");
    view = written[1], view.dtype = WMK_F4, view.rank = 1, view.shape[0] = 3;
    assert_fails(wmk_model_write(path, &view, 1, NULL, 0, false), WMK_ERROR_ARGUMENT, "no whole number of bytes");
    view = written[1], view.name = "__metadata__";
    assert_fails(wmk_model_write(path, &view, 1, NULL, 0, false), WMK_ERROR_ARGUMENT, "metadata");
    assert_fails(wmk_model_write(in_folder("no/a"), written, 4, NULL, 0, false), WMK_ERROR_MISSING, "no/a");
    assert_int_equal(files_in_folder(), 0);
    assert_ok(wmk_model_write(path, NULL, 0, NULL, 0, false));
    assert_fails(wmk_model_write(path, written, 4, NULL, 0, false), WMK_ERROR_EXISTS, "a.safetensors");
    assert_ok(wmk_model_write(path, written, 4, NULL, 0, true));
    assert_int_equal(files_in_folder(), 1);
}

static void *data_of(wmk_patch *patch, size_t index)
{
    void *data = NULL;
    assert_ok(wmk_patch_data(patch, index, &data));
    return data;
}

/* The copy differs from its source in the handed-out tensor's changed bytes and nowhere else; the source does not change, also when it is the target. */
static void test_patch(void **state)
{
    (void)state;
    size_t size, patched_size;
    unsigned char *before = bytes_of(REFERENCE, &size);
    const char *path = in_folder("patched.safetensors");
    wmk_model *model;
    wmk_patch *patch;
    assert_ok(wmk_model_open(&model, REFERENCE));
    assert_ok(wmk_patch_begin(&patch, model, path, false));
    void *data;
    assert_fails(wmk_patch_data(patch, 5, &data), WMK_ERROR_ARGUMENT, "tensor 5");
    uint16_t *conv = data_of(patch, 3);
    assert_int_equal(conv[0], 0xc800);
    conv[1] = 0x1234;
    assert_int_equal(access(path, F_OK), -1);
    assert_ok(wmk_patch_commit(patch));
    unsigned char *after = bytes_of(path, &patched_size), *kept = bytes_of(REFERENCE, &patched_size);
    assert_memory_equal(before, kept, size);
    assert_int_equal(after[0x180 + 48 + 2], 0x34);
    assert_int_equal(after[0x180 + 48 + 3], 0x12);
    memcpy(after + 0x180 + 48 + 2, before + 0x180 + 48 + 2, 2);
    assert_memory_equal(before, after, size);
    free(after);
    free(kept);
    free(before);
    wmk_model_close(model);

    assert_ok(wmk_model_open(&model, path)); /* in place */
    assert_fails(wmk_patch_begin(&patch, model, path, false), WMK_ERROR_EXISTS, "patched");
    assert_ok(wmk_patch_begin(&patch, model, path, true));
    *(float *)data_of(patch, 2) = 42;
    assert_ok(wmk_patch_commit(patch));
    assert_true(*(const float *)wmk_model_find(model, "fc.weight")->view.data == 0);
    wmk_model_close(model);
    assert_ok(wmk_model_open(&model, path));
    assert_true(*(const float *)wmk_model_find(model, "fc.weight")->view.data == 42);
    assert_int_equal(*((const uint16_t *)wmk_model_find(model, "conv.weight")->view.data + 1), 0x1234);
    wmk_model_close(model);
    assert_int_equal(files_in_folder(), 1);
}

static void test_patch_abort(void **state)
{
    (void)state;
    wmk_model *model;
    wmk_patch *patch;
    assert_ok(wmk_model_open(&model, REFERENCE));
    assert_ok(wmk_patch_begin(&patch, model, in_folder("a"), false));
    *(double *)data_of(patch, 1) = 3;
    wmk_patch_abort(patch);
    wmk_patch_abort(NULL);
    assert_int_equal(files_in_folder(), 0);
    assert_fails(wmk_patch_begin(&patch, model, in_folder("no/a"), false), WMK_ERROR_MISSING, "no/a");
    wmk_model_close(model);
}

/* The path now names another file than the one that is open. */
static void test_patch_replaced(void **state)
{
    (void)state;
    const char *path = in_folder("a.safetensors");
    wmk_model *model;
    wmk_patch *patch;
    const wmk_metadata short_text = {"a", "1"}, other_text = {"a", "2"};
    assert_ok(wmk_model_write(path, written, 4, &short_text, 1, false));
    assert_ok(wmk_model_open(&model, path));
    assert_ok(wmk_model_write(path, written, 4, &other_text, 1, true)); /* same size, another header */
    assert_fails(wmk_patch_begin(&patch, model, in_folder("b"), false), WMK_ERROR_INPUT, "another file took its place");
    assert_ok(wmk_model_write(path, written, 1, &short_text, 1, true));
    assert_fails(wmk_patch_begin(&patch, model, in_folder("b"), false), WMK_ERROR_INPUT, "another file took its place");
    wmk_model_close(model);
    assert_int_equal(files_in_folder(), 1);
}

/* No room for the changed bytes: a status, not a signal, and nothing stays. A limit on file sizes stands in for the full disk. */
static void test_patch_no_room(void **state)
{
    (void)state;
    wmk_model *model;
    wmk_patch *patch;
    struct rlimit before, limit;
    assert_ok(wmk_model_open(&model, REFERENCE));
    assert_ok(wmk_patch_begin(&patch, model, in_folder("a"), false));
    *(float *)data_of(patch, 2) = 42;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){100, before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    wmk_status status = wmk_patch_commit(patch);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, WMK_ERROR_SYSTEM);
    assert_non_null(strstr(wmk_error_message(), strerror(EFBIG)));
    assert_int_equal(files_in_folder(), 0);
    wmk_model_close(model);
}

/* 500 tensors: every name is found, and opening is fast (under 5 ms is asked for; the bound here leaves room for sanitizers and a busy machine). */
static void test_many_tensors(void **state)
{
    (void)state;
    enum { COUNT = 500 };
    static char names[COUNT][64];
    static wmk_tensor_view views[COUNT];
    const char *path = in_folder("many.safetensors");
    for (size_t i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "model.layers.%zu.self_attn.q_proj.weight", i * 7919 % COUNT);
        views[i] = (wmk_tensor_view){names[i], WMK_F32, 2, {2, 2}, "OI", four_floats, NULL, NULL, 0};
    }
    assert_ok(wmk_model_write(path, views, COUNT, NULL, 0, false));
    double best = 1e9;
    for (int run = 0; run < 10; run++) {
        struct timespec begin, end;
        wmk_model *model;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        assert_ok(wmk_model_open(&model, path));
        clock_gettime(CLOCK_MONOTONIC, &end);
        double seconds = (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
        if (seconds < best) best = seconds;
        for (size_t i = 0; i < COUNT; i++) {
            assert_ptr_equal(wmk_model_find(model, names[i]), wmk_model_tensor_at(model, i));
            assert_string_equal(wmk_model_tensor_at(model, i)->view.name, names[i]);
        }
        wmk_model_close(model);
    }
    print_message("opening %d tensors: %.3f ms\n", COUNT, 1e3 * best);
    assert_true(best < 0.05);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_file),
        cmocka_unit_test_setup_teardown(test_write, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_write_refusals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_patch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_patch_abort, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_patch_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_patch_no_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_tensors, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
