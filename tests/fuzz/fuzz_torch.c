/* Opens bytes as a PyTorch file: an archive, a legacy file or, where they begin as neither, the pickle of an archive with two storages. Every tensor of what opens lies inside the bytes,
 * can be read, and what is written back reads the same. */
#include <math.h>
#include <string.h>

#include "base/convert.h"
#include "base/memory.h"
#include "model/model.h"
#include "tests/fuzz/fuzz.h"

enum { VALUES_MAX = 1 << 17, UNPACK_BYTES_MAX = 1 << 22, TENSORS_MAX = 64 };

/* ---- an archive around a pickle ---- */

static void put(wmk_buffer *buffer, uint64_t value, unsigned width)
{
    unsigned char bytes[8];
    for (unsigned i = 0; i < width; i++) bytes[i] = (unsigned char)(value >> 8 * i);
    FUZZ_CHECK(wmk_buffer_append(buffer, bytes, width) == WMK_OK);
}

static void put_bytes(wmk_buffer *buffer, const void *bytes, size_t size) { FUZZ_CHECK(wmk_buffer_append(buffer, bytes, size) == WMK_OK); }

/* What the local header and the directory have in common: flags to the length of the extra field. Stored members' checksums are not looked at. */
static void put_entry(wmk_buffer *buffer, const char *name, size_t size)
{
    put(buffer, 0, 8);
    put(buffer, 0, 4);
    put(buffer, size, 4);
    put(buffer, size, 4);
    put(buffer, strlen(name), 2);
    put(buffer, 0, 2);
}

static void put_member(wmk_buffer *file, wmk_buffer *directory, const char *name, const void *bytes, size_t size)
{
    size_t local = file->size;
    put(file, 0x04034b50, 4);
    put(file, 20, 2);
    put_entry(file, name, size);
    put_bytes(file, name, strlen(name));
    put_bytes(file, bytes, size);
    put(directory, 0x02014b50, 4);
    put(directory, 20, 2);
    put(directory, 20, 2);
    put_entry(directory, name, size);
    put(directory, 0, 8);
    put(directory, 0, 2);
    put(directory, local, 4);
    put_bytes(directory, name, strlen(name));
}

static void wrap(wmk_buffer *file, const uint8_t *pickle, size_t size)
{
    static const unsigned char storage[64] = {1, 2, 3, [30] = 60, [33] = 0x3c, [60] = 1};
    wmk_buffer directory = {0};
    put_member(file, &directory, "a/data.pkl", pickle, size);
    put_member(file, &directory, "a/data/0", storage, sizeof storage);
    put_member(file, &directory, "a/data/1", storage, 16);
    size_t at = file->size;
    put_bytes(file, directory.data, directory.size);
    put(file, 0x06054b50, 4);
    put(file, 0, 4);
    put(file, 3, 2);
    put(file, 3, 2);
    put(file, directory.size, 4);
    put(file, at, 4);
    put(file, 0, 2);
    wmk_buffer_free(&directory);
}

/* ---- tensors ---- */

static void check_values(const wmk_tensor_view *view, uint64_t bytes)
{
    uint64_t count;
    double *values, *again;
    unsigned char *copy;
    FUZZ_CHECK(wmk_product_u64(view->shape, view->rank, &count));
    if (count > VALUES_MAX || !wmk_tensor_is_readable(view)) return;
    FUZZ_CHECK(wmk_alloc(&values, count, sizeof *values) == WMK_OK && wmk_alloc(&again, count, sizeof *again) == WMK_OK);
    FUZZ_CHECK(wmk_alloc(&copy, bytes, 1) == WMK_OK);
    FUZZ_CHECK(wmk_tensor_values(view, values) == WMK_OK);
    if (wmk_tensor_is_writable(view) && !(view->codec && strstr(view->codec->name, "integers"))) { /* a scale of 0 or infinity loses the integers */
        wmk_tensor_view written = *view;
        memcpy(copy, view->data, bytes);
        written.data = copy;
        wmk_tensor_write(&written, copy, 0, count, values);
        FUZZ_CHECK(wmk_tensor_values(&written, again) == WMK_OK);
        for (uint64_t i = 0; i < count; i++) FUZZ_CHECK(values[i] == again[i] || (isnan(values[i]) && isnan(again[i])));
    } else if (wmk_tensor_is_writable(view)) {
        memcpy(copy, view->data, bytes);
        wmk_tensor_write(view, copy, 0, count, values);
    }
    free(copy);
    free(again);
    free(values);
}

static void check_tensor(const wmk_model *model, size_t index, const uint8_t *data, size_t size)
{
    const wmk_model_tensor *tensor = wmk_model_tensor_at(model, index);
    wmk_tensor_view view = tensor->view;
    uint64_t bytes = view.data_bytes;
    void *unpacked;
    FUZZ_CHECK(wmk_model_find(model, view.name) == tensor && view.dtype != WMK_DTYPE_NONE && view.rank <= WMK_RANK_MAX);
    FUZZ_CHECK(tensor->offset_bytes <= size && tensor->size_bytes <= size - tensor->offset_bytes);
    if (view.data) {
        FUZZ_CHECK(!tensor->packed && (const uint8_t *)view.data == data + tensor->offset_bytes && bytes == tensor->size_bytes);
        check_values(&view, bytes);
    } else if (tensor->packed && bytes <= UNPACK_BYTES_MAX) {
        wmk_status status = wmk_model_unpack(&unpacked, model, index);
        FUZZ_CHECK(status == WMK_OK || status == WMK_ERROR_INPUT);
        if (status != WMK_OK) return;
        view.data = unpacked;
        check_values(&view, bytes);
        free(unpacked);
    }
}

static void check_file(const uint8_t *data, size_t size)
{
    wmk_model *model = NULL;
    wmk_status status = wmk_model_open_bytes(&model, data, size, "fuzz.pt");
    if (status != WMK_OK) {
        FUZZ_CHECK(status == WMK_ERROR_INPUT || status == WMK_ERROR_UNSUPPORTED);
        FUZZ_CHECK(!model && wmk_error_message()[0]);
        return;
    }
    for (size_t i = 0; i < wmk_model_tensor_count(model) && i < TENSORS_MAX; i++) check_tensor(model, i, data, size);
    wmk_model_close(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t legacy[] = {0x80, 2, 0x8a, 10, 0x6c, 0xfc};
    bool whole = (size >= 2 && memcmp(data, "PK", 2) == 0) || (size >= sizeof legacy && memcmp(data, legacy, sizeof legacy) == 0);
    wmk_buffer file = {0};
    if (whole) {
        check_file(data, size);
        return 0;
    }
    wrap(&file, data, size);
    uint8_t *exact = malloc(file.size); /* a buffer has room after its end */
    FUZZ_CHECK(exact);
    memcpy(exact, file.data, file.size);
    check_file(exact, file.size);
    free(exact);
    wmk_buffer_free(&file);
    return 0;
}
