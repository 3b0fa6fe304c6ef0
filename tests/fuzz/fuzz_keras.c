/* Opens bytes as the config.json and the weights of a Keras archive: the first two bytes say how long the JSON is. */
#include "model/format/keras.h"
#include "tests/fuzz/any_model.h"

/* Layouts for every kind of path, with shapes from the input. */
static void fuzz_layouts(const wmk_keras_layers *layers, const uint8_t *data, size_t size)
{
    static const char *const paths[] = {
        "layers/dense/vars/0", "a/query_dense/vars/1", "layers/lstm/cell/vars/2", "model_weights/x/x/depthwise_kernel:0", "vars/0", "embeddings:0"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0] && size > 9; i++) {
        wmk_model_tensor tensor = {.view.rank = data[0] % (WMK_RANK_MAX + 1)};
        uint64_t before, after;
        char *alias, layer[4] = {(char)data[1], (char)data[2], 0, 0};
        for (unsigned axis = 0; axis < tensor.view.rank; axis++) tensor.view.shape[axis] = data[1 + axis];
        FUZZ_CHECK(wmk_product_u64(tensor.view.shape, tensor.view.rank, &before));
        FUZZ_CHECK(wmk_keras_layout(&tensor, paths[i], i % 2 ? layer : NULL, layers, &alias) == WMK_OK);
        FUZZ_CHECK(wmk_product_u64(tensor.view.shape, tensor.view.rank, &after) && after == before);
        FUZZ_CHECK(!tensor.view.layout[0] || wmk_layout_is_valid(tensor.view.layout, tensor.view.rank));
        free(alias);
    }
}

static bool is_zip(const uint8_t *data, size_t size) { return size > 4 && memcmp(data, "PK\3\4", 4) == 0; }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wmk_keras_layers layers;
    size_t json = size < 2 ? 0 : data[0] | (size_t)data[1] << 8;
    if (size < 2 || json > size - 2) return is_zip(data, size) ? fuzz_any_model(data, size, "input.keras") : 0;
    if (wmk_keras_layers_read(&layers, data + 2, json) == WMK_OK) fuzz_layouts(&layers, data + 2 + json, size - 2 - json);
    wmk_keras_layers_free(&layers);
    return is_zip(data, size) ? fuzz_any_model(data, size, "input.keras") : 0;
}
