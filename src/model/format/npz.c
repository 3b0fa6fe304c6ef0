/* model/format/npz.c - a zip archive of NumPy arrays, NAME.npy each, stored (numpy.savez) or deflated (numpy.savez_compressed). Other members are passed over. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "model/format/npy.h"
#include "model/format/zip.h"
#include "model/format/zip_fields.h"
#include "model/model.h"
#include "model/patch.h"

/* Arrays of other archives may be called so, too: those containers are surer of themselves. */
static int probe(const unsigned char *bytes, size_t size)
{
    wmk_zip_end end;
    if (!wmk_zip_probe(bytes, size)) return 0;
    if (wmk_zip_find_directory(&end, bytes, size) == WMK_OK) return memmem(bytes + end.directory, size - end.directory, ".npy", 4) ? 55 : 0;
    return memmem(bytes, size < 4096 ? size : 4096, ".npy", 4) ? 52 : 0;
}

typedef struct archive {
    wmk_zip zip;
    wmk_npy *npy;   /* [zip.count] */
    size_t *member; /* [zip.count] of the tensors from `first` on */
    size_t first, count;
} archive;

/* ---- reading ---- */

/* The head of the array in a member: in the file, or inflated. */
static wmk_status read_head(const wmk_zip_member *member, const wmk_map *map, wmk_npy *npy)
{
    unsigned char first[12];
    uint64_t head_bytes, first_bytes = member->bytes < sizeof first ? member->bytes : sizeof first;
    if (member->method == WMK_ZIP_STORED) return wmk_npy_read(npy, map->data + member->offset, member->bytes);
    WMK_TRY(wmk_zip_read_begin(first, first_bytes, member, map));
    WMK_TRY(wmk_npy_head_bytes(first, first_bytes, &head_bytes));
    if (head_bytes > member->bytes) head_bytes = member->bytes; /* wmk_npy_read says so */
    unsigned char *head;
    WMK_TRY(wmk_alloc(&head, head_bytes, 1));
    wmk_status status = wmk_zip_read_begin(head, head_bytes, member, map);
    if (status == WMK_OK) status = wmk_npy_read(npy, head, member->bytes);
    free(head);
    return status;
}

/* "conv/kernel.npy": "conv/kernel"; NULL: no array. Cuts the member's own name. */
static char *array_name(char *name)
{
    size_t size = strlen(name);
    if (size < 4 || strcmp(name + size - 4, ".npy") != 0) return NULL;
    name[size - 4] = '\0';
    return name;
}

static wmk_status check_name(const char *name)
{
    const unsigned char *at = (const unsigned char *)name, *end = at + strlen(name);
    for (size_t length; at < end; at += length)
        if ((length = wmk_utf8_length(at, end)) == 0) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: a name that is not UTF-8");
    return WMK_OK;
}

static wmk_status add_array(wmk_model *model, uint32_t file, const wmk_zip_member *member, const char *name, wmk_npy *npy)
{
    const wmk_map *map = &model->files[file].map;
    wmk_model_tensor tensor = {.file = file, .view.name = name, .offset_bytes = member->offset, .size_bytes = member->stored_bytes};
    WMK_TRY(check_name(name));
    WMK_TRY(read_head(member, map, npy));
    bool there = wmk_npy_describe(&tensor.view, npy);
    if (member->method == WMK_ZIP_STORED) {
        tensor.offset_bytes += npy->head_bytes;
        tensor.size_bytes = npy->data_bytes;
        if (there) tensor.view.data = map->data + tensor.offset_bytes;
    } else {
        tensor.packed = there;
    }
    return wmk_model_add_tensor(model, &tensor);
}

/* The model owns what the archive consists of. */
static wmk_status keep_zip(wmk_model *model, const wmk_zip *zip)
{
    void *const blocks[] = {zip->member, zip->by_name, zip->names};
    wmk_status status = WMK_OK;
    for (size_t i = 0; i < sizeof blocks / sizeof blocks[0]; i++) {
        wmk_status kept = wmk_model_keep(model, blocks[i]); /* each is kept or freed */
        if (status == WMK_OK) status = kept;
    }
    return status;
}

static wmk_status open_npz(wmk_model *model, uint32_t file)
{
    archive *a;
    WMK_TRY(wmk_alloc(&a, 1, sizeof *a));
    WMK_TRY(wmk_model_keep(model, a));
    model->files[file].state = a;
    a->first = model->tensor_count;
    WMK_TRY(wmk_zip_open(&a->zip, &model->files[file].map));
    WMK_TRY(keep_zip(model, &a->zip));
    WMK_TRY(wmk_alloc(&a->npy, a->zip.count, sizeof *a->npy));
    WMK_TRY(wmk_model_keep(model, a->npy));
    WMK_TRY(wmk_alloc(&a->member, a->zip.count, sizeof *a->member));
    WMK_TRY(wmk_model_keep(model, a->member));
    for (size_t i = 0; i < a->zip.count; i++) {
        const char *name = array_name((char *)(uintptr_t)a->zip.member[i].name);
        if (!name) continue;
        wmk_status status = add_array(model, file, &a->zip.member[i], name, &a->npy[i]);
        if (status == WMK_ERROR_INPUT || status == WMK_ERROR_UNSUPPORTED) return wmk_fail_within(status, "array \"%s\"", name);
        WMK_TRY(status);
        a->member[a->count++] = i;
    }
    return WMK_OK;
}

static wmk_status unpack(const wmk_model *model, const wmk_model_tensor *tensor, void *bytes)
{
    const wmk_model_file *file = &model->files[tensor->file];
    const archive *a = file->state;
    size_t index = a->member[(size_t)(tensor - model->tensors) - a->first];
    unsigned char *content;
    WMK_TRY(wmk_alloc(&content, a->zip.member[index].bytes, 1));
    wmk_status status = wmk_zip_read(content, &a->zip.member[index], &file->map);
    if (status == WMK_OK) memcpy(bytes, content + a->npy[index].head_bytes, a->npy[index].data_bytes);
    free(content);
    return status;
}

/* ---- a patched copy ---- */

/* The new content of a deflated member: its head, which does not change, and the new elements. */
static wmk_status new_content(wmk_patch *patch, const wmk_map *map, const archive *a, size_t i, void **content)
{
    const wmk_zip_member *member = &a->zip.member[a->member[i]];
    const wmk_npy *npy = &a->npy[a->member[i]];
    void *data;
    WMK_TRY(wmk_patch_data(patch, a->first + i, &data));
    WMK_TRY(wmk_alloc(content, member->bytes, 1));
    memcpy((unsigned char *)*content + npy->head_bytes, data, npy->data_bytes);
    return wmk_zip_read_begin(*content, npy->head_bytes, member, map);
}

static wmk_status finish(wmk_patch *patch, uint32_t index)
{
    const wmk_model *model = wmk_patch_model(patch);
    const wmk_model_file *file = &model->files[index];
    const archive *a = file->state;
    wmk_output *copy = wmk_patch_output(patch, index);
    void **contents;
    bool repack = false;
    WMK_TRY(wmk_alloc(&contents, a->zip.count, sizeof *contents));
    wmk_status status = WMK_OK;
    for (size_t i = 0; i < a->count && status == WMK_OK; i++) {
        if (!wmk_patch_changed(patch, a->first + i)) continue;
        if (model->tensors[a->first + i].packed) {
            status = new_content(patch, &file->map, a, i, &contents[a->member[i]]);
            repack = true;
        } else {
            status = wmk_zip_refresh(copy, &a->zip.member[a->member[i]]);
        }
    }
    if (status == WMK_OK && repack) status = wmk_zip_replace(copy, &a->zip, &file->map, (const void *const *)contents);
    for (size_t i = 0; i < a->zip.count; i++) free(contents[i]);
    free(contents);
    return status;
}

const wmk_container wmk_container_npz = {"npz", ".npz", probe, open_npz, unpack, finish};
