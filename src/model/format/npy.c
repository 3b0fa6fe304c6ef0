/* model/format/npy.c - a file that holds one NumPy array (npy_head.c). It has no name there: it is called "arr_0", as numpy.savez calls an array without one, so that a key for it still
 * finds it when the file is called otherwise; the file's name is its alias. */
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "model/format/npy.h"
#include "model/model.h"

static int probe(const unsigned char *bytes, size_t size) { return size >= 6 && memcmp(bytes, "\x93NUMPY", 6) == 0 ? 90 : 0; }

/* "dir/dense.npy": "dense"; NULL where that is no UTF-8, as paths need not be. */
static wmk_status name_of_file(char **name, const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t size = strlen(base);
    if (size > 4 && strcmp(base + size - 4, ".npy") == 0) size -= 4;
    *name = NULL;
    for (size_t at = 0, length; at < size; at += length) {
        length = wmk_utf8_length((const unsigned char *)base + at, (const unsigned char *)base + size);
        if (length == 0) return WMK_OK;
    }
    return wmk_format(name, "%.*s", (int)size, base);
}

static wmk_status open_npy(wmk_model *model, uint32_t file)
{
    const wmk_map *map = &model->files[file].map;
    wmk_model_tensor tensor = {.file = file};
    wmk_npy *npy;
    char *name;
    WMK_TRY(wmk_alloc(&npy, 1, sizeof *npy));
    WMK_TRY(wmk_model_keep(model, npy));
    WMK_TRY(wmk_npy_read(npy, map->data, map->size));
    if (npy->is_object) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: an array of Python objects, which are pickled");
    WMK_TRY(name_of_file(&name, model->files[file].path));
    WMK_TRY(wmk_model_keep(model, name));
    tensor.view.name = "arr_0";
    tensor.alias = name;
    tensor.offset_bytes = npy->head_bytes;
    tensor.size_bytes = npy->data_bytes;
    if (wmk_npy_describe(&tensor.view, npy)) tensor.view.data = map->data + npy->head_bytes;
    return wmk_model_add_tensor(model, &tensor);
}

const wmk_container wmk_container_npy = {"npy", ".npy", probe, open_npy, NULL, NULL};
