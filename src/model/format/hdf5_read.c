/* model/format/hdf5_read.c - from an image to tensors: every dataset of numbers that links lead to, by its path. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "model/format/hdf5.h"
#include "model/format/keras.h"

enum { PATH_MAX_BYTES = 1024, TEXT_MAX = 1024 };

typedef struct walk {
    wmk_hdf5_image image;
    wmk_model *model;
    wmk_hdf5_state *state;
    uint32_t file;
    bool is_keras, has_version, has_backend;
    char *config; /* a legacy file's model_config */
    char **layer; /* [state->count] the name beside the "vars" group a dataset lies in; borrowed, NULL elsewhere */
    size_t layer_capacity;
    uint64_t ancestors[WMK_HDF5_DEPTH_MAX];
    char path[PATH_MAX_BYTES + 1];
} walk;

/* A group whose links are followed. */
typedef struct group {
    walk *w;
    unsigned depth;
    size_t path_bytes; /* of its own path, in w->path */
    char *layer;
} group;

static wmk_status follow(void *payload, const unsigned char *name, size_t name_bytes, uint64_t address);

/* ---- datasets ---- */

/* Where the tensor's bytes are. */
static void place(const walk *w, const wmk_hdf5_dataset *d, wmk_model_tensor *tensor)
{
    uint64_t lowest = UINT64_MAX;
    tensor->view.data_bytes = d->elements * d->element_bytes;
    if (d->elements == 0) {
        tensor->view.data = w->image.bytes;
        tensor->offset_bytes = w->state->begin;
    } else if (d->storage != WMK_HDF5_CHUNKED && d->address != WMK_HDF5_NOWHERE) {
        tensor->view.data = w->image.bytes + d->address;
        tensor->offset_bytes = w->state->begin + d->address;
        tensor->size_bytes = d->bytes;
    } else if (d->storage == WMK_HDF5_CHUNKED && d->chunk && d->chunk_count && !d->sparse) {
        tensor->packed = true;
        for (size_t i = 0; i < d->chunk_count; i++) {
            if (d->chunk[i].address < lowest) lowest = d->chunk[i].address;
            tensor->size_bytes += d->chunk[i].stored_bytes;
        }
        tensor->offset_bytes = w->state->begin + lowest;
    }
}

static wmk_status keep_dataset(walk *w, wmk_hdf5_dataset *d, char *layer)
{
    wmk_hdf5_state *state = w->state;
    char *path;
    if (d->chunk) WMK_TRY(wmk_model_keep(w->model, d->chunk)); /* frees it on failure */
    if (state->count == state->capacity) {
        size_t capacity = state->capacity ? 2 * state->capacity : 64;
        WMK_TRY(wmk_resize(&state->dataset, capacity, sizeof *state->dataset));
        WMK_TRY(wmk_resize(&w->layer, capacity, sizeof *w->layer));
        state->capacity = capacity;
    }
    WMK_TRY(wmk_strdup(&path, w->path));
    WMK_TRY(wmk_model_keep(w->model, path));
    wmk_model_tensor tensor = {.view = {.name = path, .dtype = d->dtype, .rank = d->rank}, .file = w->file};
    memcpy(tensor.view.shape, d->shape, sizeof d->shape);
    place(w, d, &tensor);
    w->layer[state->count] = layer;
    state->dataset[state->count++] = *d;
    return wmk_model_add_tensor(w->model, &tensor);
}

static wmk_status read_dataset(walk *w, const wmk_hdf5_object *object, const wmk_hdf5_attributes *attributes, char *layer)
{
    wmk_hdf5_dataset d;
    char *text = NULL;
    wmk_status status = wmk_hdf5_dataset_read(&d, &w->image, object);
    if (status == WMK_OK && d.opaque2) { /* as Keras writes bfloat16 */
        status = wmk_hdf5_attribute_text(&text, &w->image, attributes, "dtype", TEXT_MAX);
        if (text && strcmp(text, "bfloat16") == 0) d.dtype = WMK_BF16;
        free(text);
    }
    if (status != WMK_OK || !d.dtype) {
        free(d.chunk);
        return status;
    }
    return keep_dataset(w, &d, layer);
}

/* ---- groups ---- */

static wmk_status add_text(walk *w, const wmk_hdf5_attributes *attributes, const char *name, bool *has)
{
    char *text;
    if (*has) return WMK_OK;
    WMK_TRY(wmk_hdf5_attribute_text(&text, &w->image, attributes, name, TEXT_MAX));
    if (!text) return WMK_OK;
    *has = true;
    WMK_TRY(wmk_model_keep(w->model, text));
    return wmk_model_add_metadata(w->model, name, text);
}

static bool ends_in(const char *path, size_t size, const char *part)
{
    size_t length = strlen(part);
    return size >= length && memcmp(path + size - length, part, length) == 0 && (size == length || path[size - length - 1] == '/');
}

/* What attributes say about the model and its layers. */
static wmk_status look_at_group(group *g, const wmk_hdf5_attributes *attributes)
{
    walk *w = g->w;
    bool top = g->path_bytes == 0 || strcmp(w->path, "model_weights") == 0;
    if (top && (wmk_hdf5_has_attribute(attributes, "keras_version") || wmk_hdf5_has_attribute(attributes, "layer_names"))) w->is_keras = true;
    if (top) WMK_TRY(add_text(w, attributes, "keras_version", &w->has_version));
    if (top) WMK_TRY(add_text(w, attributes, "backend", &w->has_backend));
    if (g->path_bytes == 0) WMK_TRY(wmk_hdf5_attribute_text(&w->config, &w->image, attributes, "model_config", SIZE_MAX));
    if (ends_in(w->path, g->path_bytes, "_layer_checkpoint_dependencies")) w->is_keras = true;
    if (!ends_in(w->path, g->path_bytes, "vars")) return WMK_OK;
    w->is_keras = true;
    WMK_TRY(wmk_hdf5_attribute_text(&g->layer, &w->image, attributes, "name", TEXT_MAX));
    return g->layer ? wmk_model_keep(w->model, g->layer) : WMK_OK;
}

static wmk_status read_object(group *g, uint64_t address, char *layer)
{
    walk *w = g->w;
    wmk_hdf5_attributes attributes = {0};
    wmk_hdf5_object object;
    wmk_status status = wmk_hdf5_object_read(&object, &w->image, address);
    if (status == WMK_OK) status = wmk_hdf5_attributes_read(&attributes, &w->image, &object);
    bool is_group = wmk_hdf5_is_group(&object), is_dataset = wmk_hdf5_object_find(&object, WMK_HDF5_LAYOUT) != NULL;
    if (status == WMK_OK && is_dataset) status = read_dataset(w, &object, &attributes, layer);
    if (status == WMK_OK && is_group && !is_dataset) status = look_at_group(g, &attributes);
    /* the place in the file comes once, at the object that it is about */
    if ((status == WMK_ERROR_INPUT || status == WMK_ERROR_UNSUPPORTED) && g->path_bytes)
        status = wmk_fail_within(status, "%s \"%s\"", is_dataset ? "tensor" : "group", w->path);
    free(attributes.attribute);
    if (status == WMK_OK && is_group && !is_dataset) {
        w->ancestors[g->depth] = address;
        status = wmk_hdf5_links(&w->image, &object, follow, g);
    }
    free(object.message);
    return status;
}

static wmk_status follow(void *payload, const unsigned char *name, size_t name_bytes, uint64_t address)
{
    const group *parent = payload;
    walk *w = parent->w;
    group g = {w, parent->depth + 1, parent->path_bytes, NULL};
    for (size_t at = 0, step; at < name_bytes; at += step)
        if ((step = wmk_utf8_length(name + at, name + name_bytes)) == 0 || name[at] == 0)
            return wmk_fail(WMK_ERROR_INPUT, "group \"%s\": the name of one of its links is no UTF-8 text", w->path);
    if (name_bytes == 0) return wmk_fail(WMK_ERROR_INPUT, "group \"%s\": a link without a name", w->path);
    if (g.path_bytes + 1 + name_bytes > PATH_MAX_BYTES)
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: group \"%s\": a path of more than %d bytes", w->path, PATH_MAX_BYTES);
    if (g.path_bytes) w->path[g.path_bytes++] = '/';
    memcpy(w->path + g.path_bytes, name, name_bytes);
    g.path_bytes += name_bytes;
    w->path[g.path_bytes] = '\0';
    if (g.depth == WMK_HDF5_DEPTH_MAX)
        return wmk_fail(WMK_ERROR_INPUT, "group \"%.60s...\": nested deeper than %d groups", w->path, WMK_HDF5_DEPTH_MAX);
    for (unsigned i = 0; i < g.depth; i++)
        if (w->ancestors[i] == address) return wmk_fail(WMK_ERROR_INPUT, "group \"%s\": a link to a group that it lies in", w->path);
    w->image.name = name;
    w->image.name_bytes = (uint16_t)name_bytes;
    WMK_TRY(read_object(&g, address, parent->layer));
    w->path[parent->path_bytes] = '\0';
    return WMK_OK;
}

/* ---- layouts ---- */

static wmk_status set_layouts(walk *w, wmk_keras_layers *layers)
{
    wmk_keras_layers own = {0};
    if (!layers && w->config) { /* its JSON only helps: damage there is no reason to refuse the weights */
        if (wmk_keras_layers_read(&own, (const unsigned char *)w->config, strlen(w->config)) == WMK_OK) layers = &own;
    }
    wmk_status status = WMK_OK;
    for (size_t i = 0; status == WMK_OK && i < w->state->count; i++) {
        wmk_model_tensor *tensor = &w->model->tensors[w->state->first + i];
        char *alias;
        memset(tensor->view.layout, 0, sizeof tensor->view.layout); /* no guess in another framework's order */
        status = wmk_keras_layout(tensor, tensor->view.name, w->layer[i], layers, &alias);
        tensor->alias = alias;
        if (alias) status = wmk_model_keep(w->model, alias);
    }
    wmk_keras_layers_free(&own);
    return status;
}

static wmk_status read_all(walk *w, uint64_t size, wmk_keras_layers *layers)
{
    wmk_hdf5_state *state = w->state;
    group root = {w, 0, 0, NULL};
    WMK_TRY(wmk_hdf5_image_open(&w->image, w->model->files[w->file].map.data + state->begin, size));
    state->begin += (uint64_t)(w->image.bytes - (w->model->files[w->file].map.data + state->begin));
    WMK_TRY(read_object(&root, w->image.root, NULL));
    WMK_TRY(wmk_hdf5_check_claims(&w->image));
    state->bytes = w->image.bytes;
    state->size = w->image.size;
    state->offset_bytes = w->image.offset_bytes;
    state->end_at = w->image.end_at;
    state->user_block = w->image.user_block;
    state->superblock_bytes = w->image.superblock_bytes;
    return w->is_keras || layers ? set_layouts(w, layers) : WMK_OK;
}

wmk_status wmk_hdf5_read(wmk_hdf5_state **out, wmk_model *model, uint32_t file, uint64_t begin, uint64_t size, wmk_keras_layers *layers)
{
    walk *w;
    wmk_hdf5_state *state;
    WMK_TRY(wmk_alloc(&state, 1, sizeof *state));
    WMK_TRY(wmk_model_keep(model, state));
    WMK_TRY(wmk_alloc(&w, 1, sizeof *w));
    *w = (walk){.model = model, .state = state, .file = file, .has_version = layers, .has_backend = layers}; /* an archive says these itself */
    state->begin = begin;
    state->first = model->tensor_count;
    wmk_status status = read_all(w, size, layers);
    wmk_status kept = state->dataset ? wmk_model_keep(model, state->dataset) : WMK_OK;
    free(w->image.claims);
    free(w->layer);
    free(w->config);
    free(w);
    *out = state;
    return status != WMK_OK ? status : kept;
}

wmk_status wmk_hdf5_unpack_tensor(const wmk_hdf5_state *state, const wmk_model *model, const wmk_model_tensor *tensor, void *bytes)
{
    size_t index = (size_t)(tensor - model->tensors) - state->first;
    return wmk_hdf5_unpack(&state->dataset[index], state->bytes, bytes);
}
