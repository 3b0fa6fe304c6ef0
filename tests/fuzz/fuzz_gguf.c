/* Opens bytes as a GGUF file. What opens is whole: every tensor lies inside the bytes, has the size its type and shape give, shares no byte with another and is found by its name; its
 * values can be read, and written back in Q8_0 leave the bytes as they are. */
#include <string.h>

#include "base/convert.h"
#include "base/memory.h"
#include "model/model.h"
#include "tests/fuzz/fuzz.h"

enum { VALUES_MAX = 1 << 20 };

static void check_values(const wmk_tensor_view *view, uint64_t bytes)
{
    uint64_t count;
    FUZZ_CHECK(wmk_product_u64(view->shape, view->rank, &count));
    if (!wmk_tensor_is_readable(view) || count > VALUES_MAX) return;
    double *values = malloc((count + 1) * sizeof *values);
    unsigned char *copy = malloc(bytes + 1);
    FUZZ_CHECK(values && copy);
    memcpy(copy, view->data, bytes);
    FUZZ_CHECK(wmk_tensor_values(view, values) == WMK_OK);
    if (view->codec && view->codec->write) {
        wmk_tensor_write(view, copy, 0, count, values);
        FUZZ_CHECK(memcmp(copy, view->data, bytes) == 0);
        for (uint64_t i = 0; i < count; i++) values[i] = values[i] * 1.7 + 1e-3;
        wmk_tensor_write(view, copy, 0, count, values);
    }
    free(values);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wmk_model *model = NULL;
    if (size < 4 || memcmp(data, "GGUF", 4) != 0) return 0; /* other containers have fuzzers of their own */
    wmk_status status = wmk_model_open_bytes(&model, data, size, "input.gguf");
    if (status != WMK_OK) {
        FUZZ_CHECK(status == WMK_ERROR_INPUT || status == WMK_ERROR_UNSUPPORTED);
        FUZZ_CHECK(!model && wmk_error_message()[0]);
        return 0;
    }
    for (size_t i = 0; i < wmk_model_tensor_count(model); i++) {
        const wmk_model_tensor *tensor = wmk_model_tensor_at(model, i);
        uint64_t bytes;
        FUZZ_CHECK(wmk_tensor_bytes(&tensor->view, &bytes) == WMK_OK && bytes == tensor->size_bytes);
        FUZZ_CHECK(tensor->offset_bytes <= size && bytes <= size - tensor->offset_bytes);
        FUZZ_CHECK((const uint8_t *)tensor->view.data == data + tensor->offset_bytes);
        FUZZ_CHECK(wmk_model_find(model, tensor->view.name) == tensor);
        FUZZ_CHECK(!tensor->view.layout[0] || wmk_layout_is_valid(tensor->view.layout, tensor->view.rank));
        if (i > 0 && bytes > 0 && tensor[-1].size_bytes > 0)
            FUZZ_CHECK(tensor[-1].offset_bytes + tensor[-1].size_bytes <= tensor->offset_bytes ||
                       tensor->offset_bytes + bytes <= tensor[-1].offset_bytes);
        check_values(&tensor->view, bytes);
    }
    for (size_t i = 0; i < wmk_model_metadata_count(model); i++) {
        const char *name, *value;
        wmk_model_metadata_at(model, i, &name, &value);
        FUZZ_CHECK(name && value && strlen(value) <= 64 * size);
    }
    wmk_model_close(model);
    return 0;
}
