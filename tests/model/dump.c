/* What the library sees in model files, as JSON, for tests in other languages. One line a file:
 *     {"status": "ok", "format": .., "metadata": {..}, "tensors": [{"name", "dtype", "shape", "layout", "offset", "size", "blake2b"}]}   or
 *     {"status": "input", "message": ".."}
 * Paths come as arguments or, without any, as lines on standard input.
 * With --copy IN OUT, the tensors and metadata of IN are written to OUT by wmk_model_write. */
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <weightmark/model.h>

static json_t *tensor_json(const wmk_model_tensor *tensor)
{
    unsigned char hash[32];
    char hex[65];
    json_t *shape = json_array();
    for (uint32_t axis = 0; axis < tensor->view.rank; axis++) json_array_append_new(shape, json_integer((json_int_t)tensor->view.shape[axis]));
    crypto_generichash(hash, sizeof hash, tensor->view.data, tensor->size_bytes, NULL, 0);
    sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
    return json_pack("{s:s, s:s, s:o, s:s, s:I, s:I, s:s}", "name", tensor->view.name, "dtype", wmk_dtype_name(tensor->view.dtype), "shape", shape,
                     "layout", tensor->view.layout, "offset", (json_int_t)tensor->offset_bytes, "size", (json_int_t)tensor->size_bytes, "blake2b",
                     hex);
}

static json_t *model_json(const wmk_model *model)
{
    json_t *tensors = json_array(), *metadata = json_object();
    for (size_t i = 0; i < wmk_model_tensor_count(model); i++) json_array_append_new(tensors, tensor_json(wmk_model_tensor_at(model, i)));
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

int main(int count, char **arguments)
{
    static char path[4096];
    int failed = sodium_init() < 0;
    if (count == 4 && strcmp(arguments[1], "--copy") == 0) return copy(arguments[2], arguments[3]);
    for (int i = 1; i < count; i++) failed |= dump(arguments[i]);
    while (count == 1 && fgets(path, sizeof path, stdin)) {
        path[strcspn(path, "\n")] = '\0';
        failed |= dump(path);
    }
    return failed;
}
