/* model/format/torch.c - reads PyTorch's zip files (torch/serialization.py _save, since 1.6) and TorchScript archives (torch/csrc/jit/serialization): in one folder, whatever its
 * name, data.pkl, a pickle of the objects, version, byteorder, and data/KEY, the storages as raw bytes, stored and aligned. TorchScript has its constants in constants.pkl and
 * constants/KEY. torch.load looks at no checksum, and torch.save can be told to write none that is right: the pickle's is not checked where it is stored. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/format/torch.h"
#include "model/format/zip_fields.h"
#include "model/patch.h"

enum { WORD_BYTES = 16 };

/* The container's state of a file. */
typedef struct archive {
    wmk_zip zip; /* its parts are under wmk_model_keep */
    size_t first, count;
    wmk_torch_place *place; /* [count] of tensors first, first + 1, ... */
} archive;

/* Where a pickle's storages are. */
typedef struct folder {
    const archive *archive;
    const wmk_map *map;
    char *path; /* "archive/data/" */
} folder;

/* The directory at the end names a data.pkl, or what is there of a file that was cut begins with one. */
static int probe(const unsigned char *bytes, size_t size)
{
    wmk_zip_end end;
    if (size < 4 || wmk_zip_get(bytes, 4) != WMK_ZIP_LOCAL) return 0;
    if (wmk_zip_find_directory(&end, bytes, size) == WMK_OK) return memmem(bytes + end.directory, size - end.directory, "/data.pkl", 9) ? 80 : 0;
    return memmem(bytes, size < 4096 ? size : 4096, "/data.pkl", 9) ? 60 : 0;
}

/* ---- storages ---- */

static wmk_status find_storage(const wmk_torch_source *source, const wmk_torch_storage_id *id, wmk_torch_storage *out)
{
    const folder *f = source->payload;
    char *name;
    WMK_TRY(wmk_format(&name, "%s%.*s", f->path, (int)(id->key_bytes < 256 ? id->key_bytes : 256), id->key));
    const wmk_zip_member *member = wmk_zip_find(&f->archive->zip, name);
    wmk_status status = WMK_OK;
    if (!member)
        status = wmk_fail(WMK_ERROR_INPUT, "its storage \"%s\" is not in the archive", name);
    else if (member->bytes != id->bytes)
        status = wmk_fail(WMK_ERROR_INPUT, "its storage \"%s\" has %llu bytes, the pickle says %llu", name, (unsigned long long)member->bytes,
                          (unsigned long long)id->bytes);
    else if (member->method != WMK_ZIP_STORED && member->method != WMK_ZIP_DEFLATED)
        status = wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: its storage \"%s\" is compressed by method %u, only deflate is read", name,
                          member->method);
    free(name);
    WMK_TRY(status);
    *out = (wmk_torch_storage){
        .offset_bytes = member->offset, .stored_bytes = member->stored_bytes, .member = (size_t)(member - f->archive->zip.member)};
    if (member->method == WMK_ZIP_STORED) out->data = f->map->data + member->offset;
    return WMK_OK;
}

/* ---- opening ---- */

static const wmk_zip_member *find_in(const wmk_zip *zip, const char *root, const char *name, wmk_status *status)
{
    char *path;
    *status = wmk_format(&path, "%s%s", root, name);
    if (*status != WMK_OK) return NULL;
    const wmk_zip_member *member = wmk_zip_find(zip, path);
    free(path);
    return member;
}

/* A member's content: where it is mapped, or unpacked, to be freed then. */
static wmk_status content(const wmk_zip_member *member, const wmk_map *map, const unsigned char **bytes, void **unpacked)
{
    *unpacked = NULL;
    *bytes = map->data + member->offset;
    if (member->method == WMK_ZIP_STORED) return WMK_OK;
    if (member->bytes > WMK_PICKLE_BYTES_MAX)
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: \"%s\" has %llu bytes, at most %d are read", member->name,
                        (unsigned long long)member->bytes, WMK_PICKLE_BYTES_MAX);
    WMK_TRY(wmk_alloc(unpacked, member->bytes, 1));
    *bytes = *unpacked;
    wmk_status status = wmk_zip_read(*unpacked, member, map);
    if (status != WMK_OK) free(*unpacked);
    return status;
}

/* The folder in which data.pkl lies, with its slash: the first member's. */
static wmk_status find_root(wmk_model *model, const wmk_zip *zip, const char **root)
{
    static const char file[] = "/data.pkl";
    for (size_t i = 0; i < zip->count; i++) {
        const char *name = zip->member[i].name, *slash = strchr(name, '/');
        char *copy;
        if (!slash || strcmp(slash, file) != 0) continue;
        WMK_TRY(wmk_alloc(&copy, (size_t)(slash - name) + 2, 1));
        memcpy(copy, name, (size_t)(slash - name) + 1);
        *root = copy;
        return wmk_model_keep(model, copy);
    }
    return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: a zip archive with no data.pkl in its folder");
}

/* Adds the tensors of one pickle, whose storages lie in `storages`. */
static wmk_status read_pickle(wmk_torch_source *source, const wmk_zip_member *member, folder *f, const char *root, const char *storages,
                              wmk_status (*add)(wmk_torch_source *source))
{
    wmk_pickle pickle = {0};
    const unsigned char *bytes;
    void *unpacked;
    size_t used;
    WMK_TRY(content(member, f->map, &bytes, &unpacked));
    wmk_status status = wmk_pickle_read(&pickle, &used, bytes, member->bytes, wmk_torch_may_call);
    if (status == WMK_OK) status = wmk_format(&f->path, "%s%s", root, storages);
    if (status == WMK_OK) {
        source->pickle = &pickle;
        source->pickle_bytes = used;
        status = add(source);
        free(f->path);
        f->path = NULL;
        source->pickle = NULL;
    }
    wmk_pickle_free(&pickle);
    free(unpacked);
    return status;
}

/* A member of a few bytes as text; too long: "". */
static wmk_status read_word(const wmk_zip_member *member, const wmk_map *map, char word[WORD_BYTES])
{
    memset(word, 0, WORD_BYTES);
    if (!member || member->bytes >= WORD_BYTES) return WMK_OK;
    if (member->method != WMK_ZIP_STORED) return wmk_zip_read(word, member, map);
    memcpy(word, map->data + member->offset, member->bytes);
    return WMK_OK;
}

static wmk_status add_metadata(wmk_model *model, const wmk_zip *zip, const wmk_map *map, const char *root, bool script)
{
    wmk_status status;
    const wmk_zip_member *version = find_in(zip, root, "version", &status);
    WMK_TRY(status);
    char *name, *text;
    WMK_TRY(wmk_alloc(&text, WORD_BYTES, 1));
    WMK_TRY(wmk_model_keep(model, text));
    WMK_TRY(read_word(version, map, text));
    text[strcspn(text, "\n")] = '\0';
    WMK_TRY(wmk_model_add_metadata(model, "framework", script ? "torchscript" : "pytorch"));
    WMK_TRY(wmk_strdup(&name, root));
    name[strlen(name) - 1] = '\0';
    WMK_TRY(wmk_model_keep(model, name));
    WMK_TRY(wmk_model_add_metadata(model, "root", name));
    return *text ? wmk_model_add_metadata(model, "version", text) : WMK_OK;
}

static wmk_status read_archive(wmk_model *model, wmk_torch_source *source, folder *f)
{
    const char *root;
    char word[WORD_BYTES];
    const wmk_zip *zip = &f->archive->zip;
    wmk_status status;
    WMK_TRY(find_root(model, zip, &root));
    const wmk_zip_member *order = find_in(zip, root, "byteorder", &status);
    WMK_TRY(status);
    WMK_TRY(read_word(order, f->map, word));
    if (strcmp(word, "big") == 0) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: big-endian data");
    const wmk_zip_member *constants = find_in(zip, root, "constants.pkl", &status);
    WMK_TRY(status);
    const wmk_zip_member *data = find_in(zip, root, "data.pkl", &status);
    WMK_TRY(status);
    WMK_TRY(add_metadata(model, zip, f->map, root, constants));
    WMK_TRY(read_pickle(source, data, f, root, "data/", wmk_torch_add_tensors));
    return constants ? read_pickle(source, constants, f, root, "constants/", wmk_torch_add_constants) : WMK_OK;
}

static wmk_status keep_zip(wmk_model *model, wmk_zip *zip)
{
    void *blocks[] = {zip->member, zip->by_name, zip->names};
    wmk_status status = WMK_OK;
    for (size_t i = 0; i < 3; i++) {
        if (status == WMK_OK)
            status = wmk_model_keep(model, blocks[i]); /* frees it when it fails */
        else
            free(blocks[i]);
    }
    return status;
}

static wmk_status open_torch(wmk_model *model, uint32_t file)
{
    archive *a;
    wmk_map map = model->files[file].map;
    WMK_TRY(wmk_alloc(&a, 1, sizeof *a));
    WMK_TRY(wmk_model_keep(model, a));
    WMK_TRY(wmk_zip_open(&a->zip, &map));
    WMK_TRY(keep_zip(model, &a->zip));
    a->first = model->tensor_count;
    folder f = {.archive = a, .map = &map};
    wmk_torch_source source = {.model = model, .file = file, .find = find_storage, .payload = &f};
    wmk_status status = read_archive(model, &source, &f);
    a->place = source.place;
    a->count = source.place_count;
    model->files[file].state = a;
    if (!source.place) return status;
    wmk_status kept = wmk_model_keep(model, source.place);
    return status != WMK_OK ? status : kept;
}

/* ---- deflated storages ---- */

static wmk_status inflate_storage(unsigned char **bytes, const wmk_zip_member *member, const wmk_map *map)
{
    WMK_TRY(wmk_alloc(bytes, member->bytes, 1));
    wmk_status status = wmk_zip_read(*bytes, member, map);
    if (status != WMK_OK) free(*bytes);
    return status;
}

static wmk_status unpack(const wmk_model *model, const wmk_model_tensor *tensor, void *bytes)
{
    const wmk_model_file *file = &model->files[tensor->file];
    const archive *a = file->state;
    const wmk_torch_place *place = &a->place[(size_t)(tensor - model->tensors) - a->first];
    unsigned char *storage;
    WMK_TRY(inflate_storage(&storage, &a->zip.member[place->member], &file->map));
    memcpy(bytes, storage + place->offset_bytes, tensor->view.data_bytes); /* checked to lie in there when it was opened */
    free(storage);
    return WMK_OK;
}

/* ---- changing ---- */

/* Several tensors may lie in one deflated storage: what each changed goes there. */
static wmk_status merge(unsigned char **storage, const wmk_zip_member *member, const wmk_map *map, uint64_t offset, const unsigned char *bytes,
                        uint64_t size, const unsigned char *before)
{
    if (!*storage) WMK_TRY(inflate_storage(storage, member, map));
    for (uint64_t i = 0; i < size; i++)
        if (bytes[i] != before[i]) (*storage)[offset + i] = bytes[i];
    return WMK_OK;
}

/* New content of the deflated members, each once; `stale` marks the stored ones whose bytes changed in the copy. */
static wmk_status collect(wmk_patch *patch, const wmk_model_file *file, unsigned char **contents, bool *stale)
{
    const wmk_model *model = wmk_patch_model(patch);
    const archive *a = file->state;
    for (size_t i = 0; i < a->count; i++) {
        size_t index = a->first + i;
        const wmk_model_tensor *tensor = &model->tensors[index];
        const wmk_torch_place *place = &a->place[i];
        void *bytes, *before;
        if (!wmk_patch_changed(patch, index)) continue;
        if (!tensor->packed) {
            stale[place->member] = true;
            continue;
        }
        WMK_TRY(wmk_patch_data(patch, index, &bytes));
        WMK_TRY(wmk_model_unpack(&before, model, index));
        wmk_status status =
            merge(&contents[place->member], &a->zip.member[place->member], &file->map, place->offset_bytes, bytes, tensor->view.data_bytes, before);
        free(before);
        WMK_TRY(status);
    }
    return WMK_OK;
}

static wmk_status finish(wmk_patch *patch, uint32_t index)
{
    const wmk_model_file *file = &wmk_patch_model(patch)->files[index];
    const archive *a = file->state;
    unsigned char **contents = NULL;
    bool *stale = NULL, repack = false;
    wmk_status status = wmk_alloc(&contents, a->zip.count, sizeof *contents);
    if (status == WMK_OK) status = wmk_alloc(&stale, a->zip.count, sizeof *stale);
    if (status == WMK_OK) status = collect(patch, file, contents, stale);
    for (size_t i = 0; i < a->zip.count && status == WMK_OK; i++) {
        repack = repack || contents[i];
        if (stale[i]) status = wmk_zip_refresh(wmk_patch_output(patch, index), &a->zip.member[i]);
    }
    if (status == WMK_OK && repack) status = wmk_zip_replace(wmk_patch_output(patch, index), &a->zip, &file->map, (const void *const *)contents);
    for (size_t i = 0; contents && i < a->zip.count; i++) free(contents[i]);
    free(contents);
    free(stale);
    return status;
}

const wmk_container wmk_container_torch = {"pytorch", ".pt", probe, open_torch, unpack, finish};
