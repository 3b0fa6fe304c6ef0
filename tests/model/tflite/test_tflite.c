/* TFLite: values, layouts, names and a patched copy of reference.tflite (make_reference.py, which writes it through TensorFlow's own schema), and what no cut of it may do. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/convert.h"
#include "base/file.h"
#include "cmocka_wmk.h"
#include "model/model.h"

#define REFERENCE WMK_SOURCE_DIR "/tests/model/tflite/reference.tflite"

static void check_values(const wmk_model *model, const char *name, const char *layout, const double *expected, size_t count)
{
    const wmk_model_tensor *tensor = wmk_model_find(model, name);
    double values[16];
    assert_non_null(tensor);
    assert_string_equal(tensor->view.layout, layout);
    assert_true(tensor->layout_known == (layout[0] != 0));
    assert_ok(wmk_tensor_values(&tensor->view, values));
    for (size_t i = 0; i < count; i++) assert_true(values[i] == expected[i]);
    for (size_t begin = 0; begin < count; begin++) { /* any part alone */
        wmk_tensor_read(&tensor->view, begin, count - begin, values);
        for (size_t i = 0; begin + i < count; i++) assert_true(values[i] == expected[begin + i]);
    }
}

static void test_reference(void **state)
{
    (void)state;
    static const double kernel[] = {0, .25, .5, .75, 1, 1.25}, dense[] = {-32, 31.75, 0, -.25, -31.75, -31.5}, nibbles[] = {-1, -8, 7},
                        bias[] = {-500000, .75}, depthwise[] = {-3, -12, -.375, -1.5, -6, 0, 0, 0, .375, 1.5, 6, .75}, slope[] = {1, 2};
    wmk_model *model;
    assert_ok(wmk_model_open(&model, REFERENCE));
    assert_string_equal(wmk_model_format(model), "tflite");
    assert_string_equal(wmk_model_metadata(model, "description"), "reference");
    assert_int_equal(wmk_model_tensor_count(model), 6);
    check_values(model, "conv/kernel;conv/bias", "OHWI", kernel, 6);
    check_values(model, "depthwise", "IHWO", depthwise, 12);
    check_values(model, "dense", "OI", dense, 6);
    check_values(model, "nibbles", "", nibbles, 3);
    check_values(model, "bias", "", bias, 2);
    check_values(model, "slope", "", slope, 2);
    assert_string_equal(wmk_model_find(model, "conv/kernel;conv/bias")->alias, "conv/kernel");
    assert_null(wmk_model_find(model, "dense")->alias);
    assert_true(wmk_tensor_is_writable(&wmk_model_find(model, "slope")->view));
    assert_false(wmk_tensor_is_writable(&wmk_model_find(model, "dense")->view));
    wmk_model_close(model);
}

static void check_names(const char *path, const char *const (*expected)[2], size_t count)
{
    wmk_model *model;
    assert_ok(wmk_model_open(&model, path));
    assert_int_equal(wmk_model_tensor_count(model), count);
    for (size_t i = 0; i < count; i++) {
        const wmk_model_tensor *tensor = wmk_model_tensor_at(model, i);
        assert_string_equal(tensor->view.name, expected[i][0]);
        assert_true((tensor->alias == NULL) == (expected[i][1] == NULL));
        if (tensor->alias) assert_string_equal(tensor->alias, expected[i][1]);
    }
    wmk_model_close(model);
}

/* Names of fused layers, names that repeat, the same tensor twice (make_hostile.py). */
static void test_names(void **state)
{
    (void)state;
    static const char *const joined[][2] = {{";;", NULL}, {";b;c", "b"}, {";", NULL}},
                             *const twice[][2] = {{"a", NULL}, {"a#2", NULL}, {"a#3", NULL}, {"b;c", "b"}}, *const same[][2] = {{"a", NULL}};
    check_names(WMK_SOURCE_DIR "/tests/model/tflite/hostile/ok-names-joined.tflite", joined, 3);
    check_names(WMK_SOURCE_DIR "/tests/model/tflite/hostile/ok-names-twice.tflite", twice, 4);
    check_names(WMK_SOURCE_DIR "/tests/model/tflite/hostile/ok-tensor-twice.tflite", same, 1);
}

/* A tensor of two subgraphs, of which one tells its layout. */
static void test_layout_of_another_graph(void **state)
{
    (void)state;
    static const char *const files[] = {"one", "other"};
    for (size_t i = 0; i < 2; i++) {
        char path[512];
        wmk_model *model;
        snprintf(path, sizeof path, WMK_SOURCE_DIR "/tests/model/tflite/hostile/ok-%s-graph-tells.tflite", files[i]);
        assert_ok(wmk_model_open(&model, path));
        assert_int_equal(wmk_model_tensor_count(model), 1);
        assert_true(wmk_model_tensor_at(model, 0)->layout_known);
        assert_string_equal(wmk_model_tensor_at(model, 0)->view.layout, "OHWI");
        wmk_model_close(model);
    }
}

static void test_patch(void **state)
{
    (void)state;
    char path[] = "/tmp/wmk-test-tflite-XXXXXX";
    unsigned char *before, *after;
    size_t size, after_size;
    void *data;
    wmk_model *model;
    wmk_patch *patch;
    close(mkstemp(path));
    assert_ok(wmk_model_open(&model, REFERENCE));
    assert_ok(wmk_patch_begin(&patch, model, path, true));
    const wmk_model_tensor *tensor = wmk_model_find(model, "conv/kernel;conv/bias");
    size_t place = tensor->offset_bytes;
    assert_ok(wmk_patch_data(patch, (size_t)(tensor - wmk_model_tensor_at(model, 0)), &data));
    memcpy((char *)data + 20, &(float){-7}, 4);
    assert_ok(wmk_patch_commit(patch));
    wmk_model_close(model);
    assert_ok(wmk_file_read(&before, &size, REFERENCE, 1 << 20));
    assert_ok(wmk_file_read(&after, &after_size, path, 1 << 20));
    assert_int_equal(size, after_size);
    assert_memory_equal(after + place + 20, &(float){-7}, 4);
    memcpy(after + place + 20, before + place + 20, 4);
    assert_memory_equal(before, after, size);
    free(before);
    free(after);
    unlink(path);
}

/* Cut anywhere it is refused or has fewer tensors, and nothing outside of its bytes is read (the copy ends at an allocation's end, for the sanitizer to see). */
static void test_truncation(void **state)
{
    (void)state;
    unsigned char *bytes;
    size_t size;
    assert_ok(wmk_file_read(&bytes, &size, REFERENCE, 1 << 20));
    for (size_t cut = 0; cut < size; cut++) {
        unsigned char *copy = malloc(cut ? cut : 1);
        wmk_model *model = NULL;
        assert_non_null(copy);
        memcpy(copy, bytes, cut);
        wmk_status status = wmk_model_open_bytes(&model, copy, cut, "cut");
        if (status == WMK_OK)
            assert_true(cut + 16 > size); /* padding */
        else
            assert_int_equal(status, WMK_ERROR_INPUT);
        wmk_model_close(model);
        free(copy);
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reference), cmocka_unit_test(test_names), cmocka_unit_test(test_layout_of_another_graph),
                                       cmocka_unit_test(test_patch), cmocka_unit_test(test_truncation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
