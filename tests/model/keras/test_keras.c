/* Keras: which axis of a weight is what, and an archive that Keras wrote (make_reference.py), read and changed. */
#include <stdlib.h>
#include <unistd.h>

#include "base/convert.h"
#include "cmocka_wmk.h"
#include "model/format/keras.h"
#include "model/format/zip.h"

#define FOLDER WMK_SOURCE_DIR "/tests/model/keras/"

/* keras.io, the layers' weights; shapes as get_weights gives them. */
static const struct {
    const char *path, *layer;
    uint32_t rank;
    uint64_t shape[5];
    uint32_t listed_rank;
    uint64_t listed[5];
    const char *layout, *alias;
    bool known;
} weights[] = {
    {"layers/dense/vars/0", "head", 2, {8, 9}, 2, {8, 9}, "IO", "head/kernel", true},
    {"layers/conv2d_12/vars/0", "conv2d_40", 4, {3, 3, 5, 7}, 4, {3, 3, 5, 7}, "HWIO", "conv2d_40/kernel", true},
    {"layers/conv1d/vars/0", NULL, 3, {3, 5, 7}, 3, {3, 5, 7}, "WIO", NULL, true},
    {"layers/conv3d/vars/0", NULL, 5, {2, 3, 4, 5, 7}, 5, {2, 3, 4, 5, 7}, "DHWIO", NULL, true},
    {"layers/conv2d_transpose/vars/0", NULL, 4, {3, 3, 7, 5}, 4, {3, 3, 7, 5}, "HWOI", NULL, true},
    {"layers/depthwise_conv2d/vars/0", NULL, 4, {3, 3, 5, 2}, 4, {3, 3, 10, 1}, "HWOI", NULL, true},
    {"layers/depthwise_conv1d/vars/0", NULL, 3, {3, 5, 2}, 3, {3, 10, 1}, "WOI", NULL, true},
    {"layers/separable_conv2d/vars/0", NULL, 4, {3, 3, 5, 2}, 4, {3, 3, 10, 1}, "HWOI", NULL, true},
    {"layers/separable_conv2d/vars/1", NULL, 4, {1, 1, 10, 7}, 4, {1, 1, 10, 7}, "HWIO", NULL, true},
    {"layers/mine/vars/0", "special", 4, {3, 3, 5, 2}, 4, {3, 3, 10, 1}, "HWOI", "special/kernel", true}, /* by the model's JSON */
    {"layers/multi_head_attention/query_dense/vars/0", "query", 3, {8, 2, 3}, 2, {8, 6}, "IO", "query/kernel", true},
    {"layers/multi_head_attention/query_dense/vars/1", "query", 2, {2, 3}, 1, {6}, "", NULL, true},
    {"layers/multi_head_attention/output_dense/vars/0", "attention_output", 3, {2, 3, 8}, 2, {6, 8}, "IO", "attention_output/kernel", true},
    {"layers/lstm/cell/vars/1", "lstm_cell", 2, {8, 32}, 2, {8, 32}, "IO", NULL, true},
    {"layers/gru/cell/vars/2", "gru_cell", 2, {2, 12}, 2, {2, 12}, "", NULL, true},
    {"layers/embedding/vars/0", NULL, 2, {11, 6}, 2, {11, 6}, "OI", NULL, true},
    {"layers/dense/vars/1", "head", 1, {9}, 1, {9}, "", NULL, true},
    {"layers/odd/vars/0", NULL, 3, {3, 5, 7}, 3, {3, 5, 7}, "WIO", NULL, false},
    {"optimizer/vars/2", "adam", 2, {8, 9}, 2, {8, 9}, "", NULL, true},
    {"optimizer_weights/adam/kernel:0", NULL, 2, {8, 9}, 2, {8, 9}, "", NULL, true},
    {"vars/0", "dense", 2, {8, 9}, 2, {8, 9}, "IO", "dense/kernel", true},
    {"model_weights/conv2d/conv2d/kernel:0", NULL, 4, {3, 3, 5, 7}, 4, {3, 3, 5, 7}, "HWIO", "conv2d/kernel", true},
    {"conv2d/conv2d/kernel:0", NULL, 4, {3, 3, 5, 7}, 4, {3, 3, 5, 7}, "HWIO", "conv2d/kernel", true},
    {"model_weights/dw/dw/depthwise_kernel:0", NULL, 4, {3, 3, 5, 2}, 4, {3, 3, 10, 1}, "HWOI", "dw/depthwise_kernel", true},
    {"model_weights/sep/sep/pointwise_kernel:0", NULL, 4, {1, 1, 10, 7}, 4, {1, 1, 10, 7}, "HWIO", "sep/pointwise_kernel", true},
    {"model_weights/special/special/kernel", NULL, 4, {3, 3, 5, 2}, 4, {3, 3, 10, 1}, "HWOI", "special/kernel", true},
    {"model_weights/up/up/kernel:0", NULL, 4, {3, 3, 7, 5}, 4, {3, 3, 7, 5}, "HWOI", "up/kernel", true},
    {"model_weights/lstm/lstm/lstm_cell/recurrent_kernel:0", NULL, 2, {8, 32}, 2, {8, 32}, "IO", "lstm/lstm_cell/recurrent_kernel", true},
    {"model_weights/e/e/embeddings:0", NULL, 2, {11, 6}, 2, {11, 6}, "OI", "e/embeddings", true},
    {"model_weights/mha/mha/key/kernel", NULL, 3, {8, 2, 3}, 2, {8, 6}, "IO", "mha/key/kernel", true},
    {"model_weights/gru/gru/gru_cell/bias:0", NULL, 2, {2, 12}, 2, {2, 12}, "", "gru/gru_cell/bias", true},
};

static const char json[] =
    "{\"class_name\": \"Functional\", \"config\": {\"name\": \"model\", \"layers\": ["
    "{\"class_name\": \"DepthwiseConv2D\", \"config\": {\"dtype\": {\"class_name\": \"DTypePolicy\", \"config\": {\"name\": \"float32\"}},"
    " \"name\": \"special\"}}, {\"config\": {\"name\": \"up\"}, \"class_name\": \"Conv2DTranspose\"}]}}";

static void test_layouts(void **state)
{
    (void)state;
    wmk_keras_layers layers;
    assert_ok(wmk_keras_layers_read(&layers, (const unsigned char *)json, sizeof json - 1));
    for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++) {
        wmk_model_tensor tensor = {.view.rank = weights[i].rank};
        char *alias;
        memcpy(tensor.view.shape, weights[i].shape, sizeof weights[i].shape);
        assert_ok(wmk_keras_layout(&tensor, weights[i].path, weights[i].layer, &layers, &alias));
        bool same = tensor.view.rank == weights[i].listed_rank && strcmp(tensor.view.layout, weights[i].layout) == 0;
        for (uint32_t axis = 0; same && axis < weights[i].listed_rank; axis++) same = tensor.view.shape[axis] == weights[i].listed[axis];
        if (!same || tensor.layout_known != weights[i].known) fail_msg("%s: layout %s", weights[i].path, tensor.view.layout);
        if (weights[i].alias ? !alias || strcmp(alias, weights[i].alias) != 0 : alias != NULL) fail_msg("%s: alias %s", weights[i].path, alias);
        assert_true(!tensor.view.layout[0] || wmk_layout_is_valid(tensor.view.layout, tensor.view.rank));
        free(alias);
    }
    wmk_keras_layers_free(&layers);
}

static void check_kernel(const wmk_model *model, double factor)
{
    const wmk_model_tensor *kernel = wmk_model_find(model, "layers/dense/vars/0");
    double values[6];
    assert_non_null(kernel);
    assert_true(kernel->view.rank == 2 && kernel->view.shape[0] == 3 && kernel->view.shape[1] == 2 && kernel->layout_known);
    assert_string_equal(kernel->view.layout, "IO");
    assert_string_equal(kernel->alias, "head/kernel");
    assert_ok(wmk_tensor_values(&kernel->view, values));
    for (int i = 0; i < 6; i++) assert_true(values[i] == factor * i / 8);
}

/* Every member's checksum is right. */
static void check_archive(const char *path)
{
    wmk_map map;
    wmk_zip zip;
    assert_ok(wmk_map_open(&map, path));
    assert_ok(wmk_zip_open(&zip, &map));
    assert_int_equal(zip.count, 3);
    for (size_t i = 0; i < zip.count; i++) {
        void *bytes = malloc(zip.member[i].bytes + 1);
        assert_non_null(bytes);
        assert_ok(wmk_zip_read(bytes, &zip.member[i], &map));
        free(bytes);
    }
    wmk_zip_close(&zip);
    wmk_map_close(&map);
}

static void test_archive(void **state)
{
    (void)state;
    static const char path[] = "test_keras_copy.keras";
    wmk_model *model;
    wmk_patch *patch;
    void *data;
    double values[6];
    assert_ok(wmk_model_open(&model, FOLDER "reference.keras"));
    assert_string_equal(wmk_model_format(model), "keras");
    assert_non_null(wmk_model_metadata(model, "keras_version"));
    check_kernel(model, 1);
    const wmk_model_tensor *kernel = wmk_model_find(model, "layers/dense/vars/0");
    assert_ok(wmk_patch_begin(&patch, model, path, true));
    assert_ok(wmk_patch_data(patch, (size_t)(kernel - wmk_model_tensor_at(model, 0)), &data));
    for (int i = 0; i < 6; i++) values[i] = -(double)i / 8;
    wmk_tensor_write(&kernel->view, data, 0, 6, values);
    assert_ok(wmk_patch_commit(patch));
    wmk_model_close(model);
    check_archive(path);
    assert_ok(wmk_model_open(&model, path));
    check_kernel(model, -1);
    wmk_model_close(model);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_layouts), cmocka_unit_test(test_archive)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
