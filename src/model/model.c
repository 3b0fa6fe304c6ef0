/* model/model.c - the directory of tensors, whatever container it came from. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "model/model.h"

/* Those that look closest come first: of equal probes the first wins. */
static const wmk_container *const containers[] = {&wmk_container_safetensors,  &wmk_container_index, &wmk_container_onnx, &wmk_container_gguf,
                                                  &wmk_container_tflite,       &wmk_container_npy,   &wmk_container_npz,  &wmk_container_torch,
                                                  &wmk_container_torch_legacy, &wmk_container_hdf5,  &wmk_container_keras};
enum { CONTAINER_COUNT = sizeof containers / sizeof containers[0] };

/* Below this a probe is a guess, and a file of some other kind that is recognised goes first. */
enum { PROBE_SURE = 50 };

/* ---- filling ---- */

wmk_status wmk_model_keep(wmk_model *model, void *block)
{
    wmk_status status = wmk_resize(&model->blocks, model->block_count + 1, sizeof *model->blocks);
    if (status == WMK_OK)
        model->blocks[model->block_count++] = block;
    else
        free(block);
    return status;
}

wmk_status wmk_model_add_tensor(wmk_model *model, const wmk_model_tensor *tensor)
{
    static const char *const guesses[] = {"", "", "OI", "OIW", "OIHW", "OIDHW"}; /* by rank: PyTorch's order */
    if (model->tensor_count == model->tensor_capacity) {
        size_t capacity = model->tensor_capacity ? 2 * model->tensor_capacity : 64;
        WMK_TRY(wmk_resize(&model->tensors, capacity, sizeof *model->tensors));
        model->tensor_capacity = capacity;
    }
    wmk_model_tensor *added = &model->tensors[model->tensor_count++];
    *added = *tensor;
    if (!added->view.layout[0] && added->view.rank < sizeof guesses / sizeof guesses[0]) strcpy(added->view.layout, guesses[added->view.rank]);
    return WMK_OK;
}

wmk_status wmk_model_add_metadata(wmk_model *model, const char *name, const char *value)
{
    if (model->metadata_count == model->metadata_capacity) {
        size_t capacity = model->metadata_capacity ? 2 * model->metadata_capacity : 16;
        WMK_TRY(wmk_resize(&model->metadata, capacity, sizeof *model->metadata));
        model->metadata_capacity = capacity;
    }
    model->metadata[model->metadata_count++] = (wmk_metadata){name, value};
    return WMK_OK;
}

/* Room for one more file, with its path. */
static wmk_status new_file(wmk_model *model, const char *path, wmk_model_file **out)
{
    WMK_TRY(wmk_resize(&model->files, model->file_count + 1, sizeof *model->files));
    wmk_model_file *file = &model->files[model->file_count];
    *file = (wmk_model_file){0};
    WMK_TRY(wmk_strdup(&file->path, path));
    model->file_count++;
    *out = file;
    return WMK_OK;
}

/* The path of a file that another one names. The name must stay in the model's folder; "." and empty parts are dropped, so that a file has one path. */
static wmk_status path_inside(char **out, const wmk_model *model, const char *name)
{
    const char *own = model->files[0].path, *slash = strrchr(own, '/');
    size_t folder = slash ? (size_t)(slash - own + 1) : 0, end = folder;
    char *path;
    if (!*name) return wmk_fail(WMK_ERROR_INPUT, "the name of another file is empty");
    if (*name == '/') return wmk_fail(WMK_ERROR_INPUT, "the file \"%.200s\" is not named relative to this one", name);
    WMK_TRY(wmk_alloc(&path, folder + strlen(name) + 1, 1));
    memcpy(path, own, folder);
    for (const char *part = name; *part; part += strspn(part, "/")) {
        size_t size = strcspn(part, "/");
        if (size == 2 && memcmp(part, "..", 2) == 0) {
            free(path);
            return wmk_fail(WMK_ERROR_INPUT, "the file \"%.200s\" lies outside of this one's folder", name);
        }
        if (size != 1 || *part != '.') {
            if (end > folder) path[end++] = '/';
            memcpy(path + end, part, size);
            end += size;
        }
        part += size;
    }
    *out = path;
    return WMK_OK;
}

static wmk_status map_file(wmk_model *model, const char *path, uint32_t *index)
{
    wmk_model_file *file;
    WMK_TRY(new_file(model, path, &file));
    *index = (uint32_t)(model->file_count - 1);
    return wmk_map_open(&file->map, path);
}

/* With `again`, a file that is open already is found. */
static wmk_status add_file(wmk_model *model, const char *name, bool again, uint32_t *index)
{
    char *path;
    WMK_TRY(path_inside(&path, model, name));
    if (model->files[0].borrowed) {
        free(path);
        return wmk_fail(WMK_ERROR_INPUT, "the file \"%.200s\" is needed, and this one is only bytes in memory", name);
    }
    size_t found = again ? 0 : model->file_count;
    while (found < model->file_count && strcmp(model->files[found].path, path) != 0) found++;
    *index = (uint32_t)found;
    wmk_status status = found < model->file_count ? WMK_OK : map_file(model, path, index);
    free(path);
    return status;
}

wmk_status wmk_model_add_file(wmk_model *model, const char *name, uint32_t *index) { return add_file(model, name, true, index); }

wmk_status wmk_tensor_bytes(const wmk_tensor_view *view, uint64_t *out)
{
    uint64_t elements, bits;
    uint32_t block, bytes;
    if (!wmk_dtype_block(view->dtype, &block, &bytes)) return wmk_fail(WMK_ERROR_INPUT, "it has no element type");
    if (!wmk_product_u64(view->shape, view->rank, &elements) || !wmk_mul_u64(elements, 8 * (uint64_t)bytes, &bits))
        return wmk_fail(WMK_ERROR_INPUT, "its shape gives more bits than 64-bit numbers count");
    if (block > 4) { /* a row is whole blocks */
        if (view->rank == 0 || view->shape[view->rank - 1] % block != 0)
            return wmk_fail(WMK_ERROR_INPUT, "a row of %llu elements is no whole number of blocks of %u (%s)",
                            (unsigned long long)(view->rank ? view->shape[view->rank - 1] : 1), block, wmk_dtype_name(view->dtype));
    } else if (elements % block != 0 && elements * wmk_dtype_bits(view->dtype) % 8 != 0) {
        return wmk_fail(WMK_ERROR_INPUT, "%llu elements of %s are no whole number of bytes", (unsigned long long)elements,
                        wmk_dtype_name(view->dtype));
    }
    *out = block > 4 ? elements / block * bytes : elements * wmk_dtype_bits(view->dtype) / 8;
    return WMK_OK;
}

/* ---- names ---- */

static int by_name(const void *left, const void *right)
{
    return strcmp(((const wmk_name_entry *)left)->name, ((const wmk_name_entry *)right)->name);
}

/* Sorts `entries`; the first name that is there twice, or NULL. */
static const char *sort_names(wmk_name_entry *entries, size_t count)
{
    qsort(entries, count, sizeof *entries, by_name);
    for (size_t i = 1; i < count; i++)
        if (strcmp(entries[i - 1].name, entries[i].name) == 0) return entries[i].name;
    return NULL;
}

static const wmk_name_entry *find_name(const wmk_name_entry *entries, size_t count, const char *name)
{
    wmk_name_entry wanted = {name, 0};
    return count ? bsearch(&wanted, entries, count, sizeof *entries, by_name) : NULL;
}

static wmk_status index_names(wmk_model *model)
{
    const char *twice;
    WMK_TRY(wmk_alloc(&model->tensor_names, model->tensor_count, sizeof *model->tensor_names));
    WMK_TRY(wmk_alloc(&model->metadata_names, model->metadata_count, sizeof *model->metadata_names));
    for (size_t i = 0; i < model->tensor_count; i++) model->tensor_names[i] = (wmk_name_entry){model->tensors[i].view.name, i};
    for (size_t i = 0; i < model->metadata_count; i++) model->metadata_names[i] = (wmk_name_entry){model->metadata[i].name, i};
    if ((twice = sort_names(model->tensor_names, model->tensor_count)) != NULL)
        return wmk_fail(WMK_ERROR_INPUT, "%s: tensor \"%s\" is listed twice", wmk_model_path(model), twice);
    if ((twice = sort_names(model->metadata_names, model->metadata_count)) != NULL)
        return wmk_fail(WMK_ERROR_INPUT, "%s: metadata \"%s\" is listed twice", wmk_model_path(model), twice);
    return WMK_OK;
}

/* ---- opening ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);
    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

/* The container whose probe is surest. Content decides; where it says nothing the name only picks whose complaint the caller will read. */
static wmk_status choose(wmk_model_file *file)
{
    int best = 0;
    if (file->map.size == 0) return wmk_fail(WMK_ERROR_INPUT, "the file is empty");
    for (size_t i = 0; i < CONTAINER_COUNT; i++) {
        int score = containers[i]->probe(file->map.data, file->map.size);
        if (score > best) {
            best = score;
            file->container = containers[i];
        }
    }
    if (best >= PROBE_SURE) return WMK_OK;
    const char *other = wmk_recognise(file->map.data, file->map.size);
    if (other) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: looks like %s", other);
    for (size_t i = 0; best == 0 && i < CONTAINER_COUNT; i++) {
        if (ends_with(file->path, containers[i]->extension)) {
            best = 1;
            file->container = containers[i];
        }
    }
    return best > 0 ? WMK_OK : wmk_fail(WMK_ERROR_INPUT, "is not a model file weightmark knows");
}

wmk_status wmk_model_probe(const char *path)
{
    wmk_model_file file = {0};
    WMK_TRY(wmk_strdup(&file.path, path));
    wmk_status status = wmk_map_open(&file.map, path);
    if (status == WMK_OK) {
        status = choose(&file);
        if (status != WMK_OK) status = wmk_fail_within(status, "%s", path);
        wmk_map_close(&file.map);
    }
    free(file.path);
    return status;
}

static wmk_status open_file(wmk_model *model, uint32_t index)
{
    wmk_status status = choose(&model->files[index]);
    if (status == WMK_OK) status = model->files[index].container->open(model, index);
    if (status == WMK_ERROR_INPUT || status == WMK_ERROR_UNSUPPORTED || status == WMK_ERROR_MISSING) /* a shard is */
        return wmk_fail_within(status, "%s", model->files[index].path);
    return status;
}

wmk_status wmk_model_add_shard(wmk_model *model, const char *name, uint32_t *index)
{
    size_t before = model->metadata_count;
    WMK_TRY(add_file(model, name, false, index));
    WMK_TRY(open_file(model, *index));
    if (before > 0) model->metadata_count = before; /* every shard repeats it: the first that has any speaks for all */
    return WMK_OK;
}

static wmk_status fill(wmk_model *model, const char *path, const void *bytes, size_t size)
{
    wmk_model_file *file;
    struct stat info;
    char *inside = NULL;
    WMK_TRY(wmk_strdup(&model->path, path));
    model->is_folder = !bytes && stat(path, &info) == 0 && S_ISDIR(info.st_mode);
    if (model->is_folder) WMK_TRY(wmk_folder_model(&inside, path));
    wmk_status status = new_file(model, inside ? inside : path, &file);
    free(inside);
    WMK_TRY(status);
    if (bytes) {
        file->borrowed = true;
        file->map = (wmk_map){bytes, size, {0}};
    } else {
        WMK_TRY(wmk_map_open(&file->map, file->path));
    }
    WMK_TRY(open_file(model, 0));
    return index_names(model);
}

static wmk_status open_model(wmk_model **out, const char *path, const void *bytes, size_t size)
{
    wmk_model *model;
    WMK_TRY(wmk_alloc(&model, 1, sizeof *model));
    wmk_status status = fill(model, path, bytes, size);
    if (status != WMK_OK) {
        wmk_model_close(model);
        return status;
    }
    *out = model;
    return WMK_OK;
}

wmk_status wmk_model_open(wmk_model **out, const char *path) { return open_model(out, path, NULL, 0); }

wmk_status wmk_model_open_bytes(wmk_model **out, const void *bytes, size_t size, const char *path) { return open_model(out, path, bytes, size); }

wmk_status wmk_model_unpack(void **bytes, const wmk_model *model, size_t index)
{
    const wmk_model_tensor *tensor = wmk_model_tensor_at(model, index);
    if (!tensor || !tensor->packed) return wmk_fail(WMK_ERROR_ARGUMENT, "%s: tensor %zu is not packed", model->path, index);
    const wmk_model_file *file = &model->files[tensor->file];
    void *block;
    WMK_TRY(wmk_alloc(&block, tensor->view.data_bytes, 1));
    wmk_status status = file->container->unpack(model, tensor, block);
    if (status != WMK_OK) {
        free(block);
        return status == WMK_ERROR_INPUT ? wmk_fail_within(status, "%s: tensor \"%s\"", file->path, tensor->view.name) : status;
    }
    *bytes = block;
    return WMK_OK;
}

void wmk_model_close(wmk_model *model)
{
    if (!model) return;
    for (size_t i = 0; i < model->file_count; i++) {
        if (!model->files[i].borrowed) wmk_map_close(&model->files[i].map);
        free(model->files[i].path);
    }
    for (size_t i = 0; i < model->block_count; i++) free(model->blocks[i]);
    free(model->files);
    free(model->path);
    free(model->tensors);
    free(model->metadata);
    free(model->tensor_names);
    free(model->metadata_names);
    free(model->blocks);
    free(model);
}

/* ---- asking ---- */

/* An index says only where the shards are: the format is theirs. */
const char *wmk_model_format(const wmk_model *model)
{
    for (size_t i = 0; i < model->file_count; i++)
        if (model->files[i].container && model->files[i].container != &wmk_container_index) return model->files[i].container->name;
    return wmk_container_index.name;
}

const char *wmk_model_path(const wmk_model *model) { return model->path; }

uint32_t wmk_model_file_count(const wmk_model *model) { return (uint32_t)model->file_count; }

size_t wmk_model_tensor_count(const wmk_model *model) { return model->tensor_count; }

const wmk_model_tensor *wmk_model_tensor_at(const wmk_model *model, size_t index)
{
    return index < model->tensor_count ? &model->tensors[index] : NULL;
}

const wmk_model_tensor *wmk_model_find(const wmk_model *model, const char *name)
{
    const wmk_name_entry *entry = find_name(model->tensor_names, model->tensor_count, name);
    return entry ? &model->tensors[entry->index] : NULL;
}

const char *wmk_model_file_path(const wmk_model *model, uint32_t file) { return file < model->file_count ? model->files[file].path : NULL; }

size_t wmk_model_metadata_count(const wmk_model *model) { return model->metadata_count; }

void wmk_model_metadata_at(const wmk_model *model, size_t index, const char **name, const char **value)
{
    bool there = index < model->metadata_count;
    *name = there ? model->metadata[index].name : NULL;
    *value = there ? model->metadata[index].value : NULL;
}

const char *wmk_model_metadata(const wmk_model *model, const char *name)
{
    const wmk_name_entry *entry = find_name(model->metadata_names, model->metadata_count, name);
    return entry ? model->metadata[entry->index].value : NULL;
}
