/* Opens bytes as a safetensors file. What opens is whole: every tensor lies inside the bytes, has the size its type and shape give, is found by its name, and together they cover
 * the data once; and written again it reads the same. */
#include <string.h>

#include "base/memory.h"
#include "model/format/safetensors.h"
#include "model/model.h"
#include "tests/fuzz/fuzz.h"

static void check_tensors(const wmk_model *model, const uint8_t *data, size_t size)
{
    uint64_t covered = 0;
    uint64_t begin = size;
    for (size_t i = 0; i < wmk_model_tensor_count(model); i++) {
        const wmk_model_tensor *tensor = wmk_model_tensor_at(model, i);
        uint64_t bytes;
        FUZZ_CHECK(wmk_tensor_bytes(&tensor->view, &bytes) == WMK_OK && bytes == tensor->size_bytes);
        FUZZ_CHECK(tensor->offset_bytes <= size && bytes <= size - tensor->offset_bytes);
        FUZZ_CHECK((const uint8_t *)tensor->view.data == data + tensor->offset_bytes);
        FUZZ_CHECK(wmk_model_find(model, tensor->view.name) == tensor);
        FUZZ_CHECK(!tensor->view.layout[0] || wmk_layout_is_valid(tensor->view.layout, tensor->view.rank));
        covered += bytes;
        if (tensor->offset_bytes < begin) begin = tensor->offset_bytes;
    }
    FUZZ_CHECK(covered == size - begin || wmk_model_tensor_count(model) == 0);
}

static void check_same(const wmk_model *model, const wmk_model *again)
{
    size_t count = wmk_model_tensor_count(model), texts = wmk_model_metadata_count(model);
    FUZZ_CHECK(wmk_model_tensor_count(again) == count && wmk_model_metadata_count(again) == texts);
    for (size_t i = 0; i < count; i++) {
        const wmk_model_tensor *a = wmk_model_tensor_at(model, i), *b = wmk_model_tensor_at(again, i);
        FUZZ_CHECK(strcmp(a->view.name, b->view.name) == 0 && a->view.dtype == b->view.dtype && a->view.rank == b->view.rank);
        FUZZ_CHECK(memcmp(a->view.shape, b->view.shape, sizeof a->view.shape) == 0 && a->size_bytes == b->size_bytes);
        FUZZ_CHECK(memcmp(a->view.data, b->view.data, a->size_bytes) == 0);
    }
    for (size_t i = 0; i < texts; i++) {
        const char *name, *value;
        wmk_model_metadata_at(model, i, &name, &value);
        FUZZ_CHECK(strcmp(wmk_model_metadata(again, name), value) == 0);
    }
}

static void check_round_trip(const wmk_model *model)
{
    size_t count = wmk_model_tensor_count(model);
    wmk_tensor_view *views;
    size_t *order;
    wmk_buffer file = {0};
    wmk_model *again;
    FUZZ_CHECK(wmk_alloc(&views, count, sizeof *views) == WMK_OK && wmk_alloc(&order, count, sizeof *order) == WMK_OK);
    for (size_t i = 0; i < count; i++) views[i] = wmk_model_tensor_at(model, i)->view;
    FUZZ_CHECK(wmk_safetensors_head(&file, order, views, count, model->metadata, model->metadata_count) == WMK_OK);
    FUZZ_CHECK(file.size % 64 == 0);
    for (size_t i = 0; i < count; i++) {
        const wmk_model_tensor *tensor = wmk_model_tensor_at(model, order[i]);
        FUZZ_CHECK(wmk_buffer_append(&file, tensor->view.data, tensor->size_bytes) == WMK_OK);
    }
    FUZZ_CHECK(wmk_model_open_bytes(&again, file.data, file.size, "again") == WMK_OK);
    check_same(model, again);
    wmk_model_close(again);
    wmk_buffer_free(&file);
    free(order);
    free(views);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wmk_model *model = NULL;
    wmk_status status = wmk_model_open_bytes(&model, data, size, "fuzz.safetensors");
    if (status != WMK_OK) {
        FUZZ_CHECK(status == WMK_ERROR_INPUT || status == WMK_ERROR_UNSUPPORTED);
        FUZZ_CHECK(!model && wmk_error_message()[0]);
        return 0;
    }
    if (model->files[0].container == &wmk_container_safetensors) { /* other containers have fuzzers of their own */
        check_tensors(model, data, size);
        check_round_trip(model);
    }
    wmk_model_close(model);
    return 0;
}
