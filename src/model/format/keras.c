/* model/format/keras.c - Keras 3 models (.keras): a zip archive of metadata.json, config.json (the layers) and model.weights.h5, stored without compression.
 * keras.io/guides/serialization_and_saving, and keras/src/saving/saving_lib.py. The weights are read and changed where they lie in the archive. */
#include "model/format/keras.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "model/format/hdf5.h"
#include "model/format/zip.h"
#include "model/format/zip_fields.h"
#include "model/patch.h"

static const char weights_name[] = "model.weights.h5";

typedef struct archive {
    wmk_zip_member weights;
    wmk_hdf5_state *image;
} archive;

static bool holds(const unsigned char *bytes, size_t size, const char *text) { return memmem(bytes, size, text, strlen(text)) != NULL; }

static int probe(const unsigned char *bytes, size_t size)
{
    wmk_zip_end end;
    if (size < 4 || wmk_zip_get(bytes, 4) != WMK_ZIP_LOCAL) return 0;
    bool whole = wmk_zip_find_directory(&end, bytes, size) == WMK_OK;
    const unsigned char *names = whole ? bytes + end.directory : bytes; /* a cut archive shows its first names still */
    size_t length = whole ? size - end.directory : size < 4096 ? size : 4096;
    return holds(names, length, "config.json") && (holds(names, length, "metadata.json") || holds(names, length, weights_name)) ? 75 : 0;
}

/* {"keras_version": "3.15.1", "date_saved": "..."}; what is no text is passed over. */
static wmk_status add_texts(wmk_model *model, const unsigned char *bytes, size_t size)
{
    char *text;
    const char *name, *value;
    size_t length;
    WMK_TRY(wmk_alloc(&text, size + 1, 1));
    WMK_TRY(wmk_model_keep(model, text));
    wmk_json json = {bytes, bytes, bytes + size, text};
    WMK_TRY(wmk_json_expect(&json, '{'));
    if (wmk_json_accept(&json, '}')) return wmk_json_end(&json);
    do {
        WMK_TRY(wmk_json_string(&json, &name, &length));
        WMK_TRY(wmk_json_expect(&json, ':'));
        bool is_object = wmk_json_accept(&json, '{'); /* also steps over white space */
        if (is_object) json.at--;
        if (json.at < json.end && *json.at == '"') {
            WMK_TRY(wmk_json_string(&json, &value, &length));
            WMK_TRY(wmk_model_add_metadata(model, name, value));
        } else {
            WMK_TRY(wmk_json_skip(&json));
        }
    } while (wmk_json_accept(&json, ','));
    WMK_TRY(wmk_json_expect(&json, '}'));
    return wmk_json_end(&json);
}

/* A member's content, with a NUL after it; NULL: none of that name. */
static wmk_status read_member(unsigned char **out, size_t *size, const wmk_zip *zip, const wmk_map *map, const char *name)
{
    const wmk_zip_member *member = wmk_zip_find(zip, name);
    *out = NULL;
    *size = 0;
    if (!member) return WMK_OK;
    WMK_TRY(wmk_alloc(out, member->bytes + 1, 1));
    wmk_status status = wmk_zip_read(*out, member, map);
    *size = (size_t)member->bytes;
    if (status == WMK_OK) return WMK_OK;
    free(*out);
    *out = NULL;
    return wmk_fail_within(status, "%s", name);
}

static wmk_status read_layers(wmk_keras_layers *layers, const wmk_zip *zip, const wmk_map *map)
{
    unsigned char *json;
    size_t size;
    WMK_TRY(read_member(&json, &size, zip, map, "config.json"));
    if (!json) return WMK_OK;
    wmk_status status = wmk_keras_layers_read(layers, json, size);
    free(json);
    return status == WMK_OK ? WMK_OK : wmk_fail_within(status, "config.json");
}

static wmk_status read_metadata(wmk_model *model, const wmk_zip *zip, const wmk_map *map)
{
    unsigned char *json;
    size_t size;
    WMK_TRY(read_member(&json, &size, zip, map, "metadata.json"));
    if (!json) return WMK_OK;
    wmk_status status = add_texts(model, json, size);
    free(json);
    return status == WMK_OK ? WMK_OK : wmk_fail_within(status, "metadata.json");
}

static wmk_status read_archive(wmk_model *model, uint32_t file, archive *a, const wmk_zip *zip, wmk_keras_layers *layers)
{
    const wmk_map *map = &model->files[file].map;
    const wmk_zip_member *weights = wmk_zip_find(zip, weights_name);
    if (!weights)
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: a Keras archive without %s (weights in several files, or in another format)",
                        weights_name);
    if (weights->method != 0)
        return wmk_fail(WMK_ERROR_UNSUPPORTED,
                        "not supported: %s is compressed in the archive, which Keras does not do: unpack it, or save the model with Keras again",
                        weights_name);
    a->weights = *weights;
    a->weights.name = weights_name;
    WMK_TRY(read_metadata(model, zip, map));
    WMK_TRY(read_layers(layers, zip, map));
    wmk_status status = wmk_hdf5_read(&a->image, model, file, weights->offset, weights->bytes, layers);
    return status == WMK_ERROR_INPUT || status == WMK_ERROR_UNSUPPORTED ? wmk_fail_within(status, "%s", weights_name) : status;
}

static wmk_status open_keras(wmk_model *model, uint32_t file)
{
    archive *a;
    wmk_zip zip;
    wmk_keras_layers layers = {0};
    WMK_TRY(wmk_alloc(&a, 1, sizeof *a));
    WMK_TRY(wmk_model_keep(model, a));
    model->files[file].state = a;
    WMK_TRY(wmk_zip_open(&zip, &model->files[file].map));
    wmk_status status = read_archive(model, file, a, &zip, &layers);
    wmk_keras_layers_free(&layers);
    wmk_zip_close(&zip);
    return status;
}

static wmk_status unpack(const wmk_model *model, const wmk_model_tensor *tensor, void *bytes)
{
    const archive *a = model->files[tensor->file].state;
    return wmk_hdf5_unpack_tensor(a->image, model, tensor, bytes);
}

static wmk_status finish(wmk_patch *patch, uint32_t file)
{
    const archive *a = wmk_patch_model(patch)->files[file].state;
    WMK_TRY(wmk_hdf5_finish(a->image, patch, file, false));
    return wmk_zip_refresh(wmk_patch_output(patch, file), &a->weights);
}

const wmk_container wmk_container_keras = {"keras", ".keras", probe, open_keras, unpack, finish};
