/* tests/fuzz/any_model.h - opens bytes as a model file of any kind. What opens is whole: every tensor lies inside the bytes or unpacks, is found by its name, its values can be read, and
 * values that are written back read the same. */
#ifndef WMK_TESTS_FUZZ_ANY_MODEL_H
#define WMK_TESTS_FUZZ_ANY_MODEL_H

#include <math.h>
#include <string.h>

#include "base/convert.h"
#include "base/json.h"
#include "base/memory.h"
#include "model/model.h"
#include "tests/fuzz/fuzz.h"

enum { FUZZ_BYTES_MAX = 1 << 20 }; /* of a tensor whose values are looked at */

/* `bytes` is a block of its own, so that the sanitizer sees every step beside it. */
static void fuzz_values(wmk_tensor_view view, const void *bytes, uint64_t count)
{
    double *values = malloc(count * sizeof *values + 1), *again = malloc(count * sizeof *again + 1);
    void *copy = malloc(view.data_bytes + 1);
    FUZZ_CHECK(values && again && copy);
    view.data = bytes;
    wmk_tensor_read(&view, 0, count, values);
    if (wmk_tensor_is_writable(&view)) {
        if (view.data_bytes) memcpy(copy, bytes, view.data_bytes);
        wmk_tensor_write(&view, copy, 0, count, values);
        view.data = copy;
        wmk_tensor_read(&view, 0, count, again);
        for (uint64_t i = 0; i < count; i++) FUZZ_CHECK(values[i] == again[i] || (isnan(values[i]) && isnan(again[i])));
    }
    free(values);
    free(again);
    free(copy);
}

static void fuzz_tensor(const wmk_model *model, size_t index, const uint8_t *data, size_t size)
{
    const wmk_model_tensor *tensor = wmk_model_tensor_at(model, index);
    wmk_tensor_view view = tensor->view;
    uint64_t count;
    void *bytes = NULL;
    FUZZ_CHECK(wmk_model_find(model, view.name) == tensor);
    for (const unsigned char *at = (const unsigned char *)view.name, *end = at + strlen(view.name), *next; at < end; at = next) {
        next = at + wmk_utf8_length(at, end);
        FUZZ_CHECK(next > at);
    }
    FUZZ_CHECK(view.rank <= WMK_RANK_MAX && wmk_product_u64(view.shape, view.rank, &count));
    FUZZ_CHECK(!view.layout[0] || wmk_layout_is_valid(view.layout, view.rank));
    FUZZ_CHECK(tensor->offset_bytes <= size && tensor->size_bytes <= size - tensor->offset_bytes);
    if (tensor->packed) {
        FUZZ_CHECK(!view.data);
        if (view.data_bytes > FUZZ_BYTES_MAX) return;
        wmk_status status = wmk_model_unpack(&bytes, model, index);
        FUZZ_CHECK(status == WMK_OK || status == WMK_ERROR_INPUT || status == WMK_ERROR_UNSUPPORTED);
        if (status != WMK_OK) return;
    } else if (view.data) {
        if (!view.data_bytes) FUZZ_CHECK(wmk_tensor_bytes(&view, &view.data_bytes) == WMK_OK);
        FUZZ_CHECK((const uint8_t *)view.data >= data && (size_t)((const uint8_t *)view.data - data) <= size);
        FUZZ_CHECK(view.data_bytes <= size - (size_t)((const uint8_t *)view.data - data));
        if (view.data_bytes > FUZZ_BYTES_MAX) return;
        bytes = malloc(view.data_bytes ? view.data_bytes : 1);
        FUZZ_CHECK(bytes);
        memcpy(bytes, view.data, view.data_bytes);
    }
    if (bytes && count <= FUZZ_BYTES_MAX && wmk_tensor_is_readable(&view)) fuzz_values(view, bytes, count);
    free(bytes);
}

/* path: for messages, and for what lies beside it. */
static inline int fuzz_any_model(const uint8_t *data, size_t size, const char *path)
{
    wmk_model *model = NULL;
    wmk_status status = wmk_model_open_bytes(&model, data, size, path);
    if (status != WMK_OK) {
        FUZZ_CHECK(status == WMK_ERROR_INPUT || status == WMK_ERROR_UNSUPPORTED);
        FUZZ_CHECK(!model && wmk_error_message()[0]);
        return 0;
    }
    for (size_t i = 0; i < wmk_model_tensor_count(model); i++) fuzz_tensor(model, i, data, size);
    wmk_model_close(model);
    return 0;
}

#endif
