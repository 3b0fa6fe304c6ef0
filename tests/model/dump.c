/* What the library sees in model files, as JSON, for tests in other languages. One line a file:
 *     {"status": "ok", "format": .., "metadata": {..}, "tensors": [{"name", "alias", "dtype", "shape", "layout", "layout_known", "packed", "file", "offset", "size",
 *      "blake2b": of the bytes as the view has them, "values": BLAKE2b of the elements as doubles, row-major, "values_f32": as floats, "writable"}]}   or
 *     {"status": "input", "message": ".."}
 * ("blake2b" and "values" are null where there is no such thing). Paths come as arguments or, without any, as lines on standard input.
 * With --copy IN OUT, the tensors and metadata of IN are written to OUT by wmk_model_write.
 * With --negate IN OUT NAME..., OUT is a patched copy of IN in which the elements of the named tensors change their sign. */
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weightmark/model.h>
#include "base/convert.h"

static json_t *hash_json(const void *bytes, size_t size)
{
    unsigned char hash[32];
    char hex[65];
    crypto_generichash(hash, sizeof hash, bytes, size, NULL, 0);
    sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
    return json_string(hex);
}

static uint64_t element_count(const wmk_tensor_view *view)
{
    uint64_t count = 1;
    for (uint32_t axis = 0; axis < view->rank; axis++) count *= view->shape[axis];
    return count;
}

/* The elements as doubles, and rounded to floats. */
static void set_values(json_t *json, const wmk_tensor_view *view)
{
    uint64_t count = view->data && wmk_tensor_is_readable(view) ? element_count(view) : 0;
    double *values = calloc(count + 1, sizeof *values);
    bool there = values && wmk_tensor_values(view, values) == WMK_OK;
    json_object_set_new(json, "values", there ? hash_json(values, count * sizeof *values) : json_null());
    float *narrow = (float *)(void *)values;
    for (uint64_t i = 0; i < count; i++) {
        float value = (float)values[i]; /* element i of narrow begins where no later double does */
        memcpy(narrow + i, &value, sizeof value);
    }
    json_object_set_new(json, "values_f32", there ? hash_json(narrow, count * sizeof *narrow) : json_null());
    free(values);
}

static json_t *tensor_json(const wmk_model *model, size_t index)
{
    const wmk_model_tensor *tensor = wmk_model_tensor_at(model, index);
    wmk_tensor_view view = tensor->view;
    void *unpacked = NULL;
    const char *damage = NULL;
    json_t *shape = json_array();
    for (uint32_t axis = 0; axis < view.rank; axis++) json_array_append_new(shape, json_integer((json_int_t)view.shape[axis]));
    if (tensor->packed && wmk_model_unpack(&unpacked, model, index) != WMK_OK) damage = wmk_error_message();
    if (unpacked) view.data = unpacked;
    json_t *json = json_pack("{s:s, s:s?, s:s, s:o, s:s, s:b, s:b, s:I, s:I, s:I, s:b, s:s?}", "name", view.name, "alias", tensor->alias, "dtype",
                             wmk_dtype_name(view.dtype), "shape", shape, "layout", view.layout, "layout_known", (int)tensor->layout_known, "packed",
                             (int)tensor->packed, "file", (json_int_t)tensor->file, "offset", (json_int_t)tensor->offset_bytes, "size",
                             (json_int_t)tensor->size_bytes, "writable", (int)wmk_tensor_is_writable(&view), "damage", damage);
    size_t bytes = unpacked || view.data_bytes ? view.data_bytes : tensor->size_bytes;
    json_object_set_new(json, "blake2b", view.data ? hash_json(view.data, bytes) : json_null());
    set_values(json, &view);
    free(unpacked);
    return json;
}

static json_t *model_json(const wmk_model *model)
{
    json_t *tensors = json_array(), *metadata = json_object();
    for (size_t i = 0; i < wmk_model_tensor_count(model); i++) json_array_append_new(tensors, tensor_json(model, i));
    for (size_t i = 0; i < wmk_model_metadata_count(model); i++) {
        const char *name, *value;
        wmk_model_metadata_at(model, i, &name, &value);
        json_object_set_new(metadata, name, json_string(value));
    }
    return json_pack("{s:s, s:s, s:o, s:o}", "status", "ok", "format", wmk_model_format(model), "metadata", metadata, "tensors", tensors);
}

static int dump(const char *path)
{
    wmk_model *model = NULL;
    wmk_status status = wmk_model_open(&model, path);
    json_t *json = status == WMK_OK ? model_json(model) : json_pack("{s:s, s:s}", "status", wmk_status_name(status), "message", wmk_error_message());
    if (!json) return 2;
    json_dumpf(json, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(json);
    wmk_model_close(model);
    return 0;
}

static int copy(const char *from, const char *to)
{
    wmk_model *model;
    if (wmk_model_open(&model, from) != WMK_OK) return 1;
    size_t count = wmk_model_tensor_count(model), texts = wmk_model_metadata_count(model);
    wmk_tensor_view *views = calloc(count + 1, sizeof *views);
    wmk_metadata *metadata = calloc(texts + 1, sizeof *metadata);
    if (!views || !metadata) return 2;
    for (size_t i = 0; i < count; i++) views[i] = wmk_model_tensor_at(model, i)->view;
    for (size_t i = 0; i < texts; i++) wmk_model_metadata_at(model, i, &metadata[i].name, &metadata[i].value);
    wmk_status status = wmk_model_write(to, views, count, metadata, texts, false);
    if (status != WMK_OK) fprintf(stderr, "%s\n", wmk_error_message());
    free(views);
    free(metadata);
    wmk_model_close(model);
    return status != WMK_OK;
}

static wmk_status negate_tensor(wmk_patch *patch, const wmk_model *model, const char *name)
{
    enum { AT_ONCE = 4096 }; /* a multiple of every codec's granule */
    double values[AT_ONCE];
    const wmk_model_tensor *tensor = wmk_model_find(model, name);
    void *data;
    if (!tensor || !wmk_tensor_is_writable(&tensor->view)) return WMK_ERROR_MISSING;
    size_t index = (size_t)(tensor - wmk_model_tensor_at(model, 0));
    wmk_status status = wmk_patch_data(patch, index, &data);
    if (status != WMK_OK) return status;
    wmk_tensor_view view = tensor->view;
    view.data = data;
    uint64_t count = element_count(&view);
    for (uint64_t done = 0; done < count; done += AT_ONCE) {
        size_t now = count - done < AT_ONCE ? (size_t)(count - done) : AT_ONCE;
        wmk_tensor_read(&view, done, now, values);
        for (size_t i = 0; i < now; i++) values[i] = -values[i];
        wmk_tensor_write(&view, data, done, now, values);
    }
    return WMK_OK;
}

static int negate(const char *from, const char *to, char **names, int count)
{
    wmk_model *model;
    wmk_patch *patch;
    wmk_status status = wmk_model_open(&model, from);
    if (status == WMK_OK) {
        status = wmk_patch_begin(&patch, model, to, false);
        bool begun = status == WMK_OK;
        for (int i = 0; status == WMK_OK && i < count; i++) status = negate_tensor(patch, model, names[i]);
        if (status == WMK_OK)
            status = wmk_patch_commit(patch);
        else if (begun)
            wmk_patch_abort(patch);
        wmk_model_close(model);
    }
    if (status != WMK_OK) fprintf(stderr, "%s: %s\n", wmk_status_name(status), wmk_error_message());
    return status != WMK_OK;
}

int main(int count, char **arguments)
{
    static char path[4096];
    int failed = sodium_init() < 0;
    if (count == 4 && strcmp(arguments[1], "--copy") == 0) return copy(arguments[2], arguments[3]);
    if (count >= 4 && strcmp(arguments[1], "--negate") == 0) return negate(arguments[2], arguments[3], arguments + 4, count - 4);
    for (int i = 1; i < count; i++) failed |= dump(arguments[i]);
    while (count == 1 && fgets(path, sizeof path, stdin)) {
        path[strcspn(path, "\n")] = '\0';
        failed |= dump(path);
    }
    return failed;
}
