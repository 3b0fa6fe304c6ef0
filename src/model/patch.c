/* model/patch.c - a copy of a model with some tensors' bytes changed.
 *
 * The caller writes into a private (copy-on-write) mapping of the copy; flush and commit put what differs into the copy with pwrite. A shared mapping would save that step, but a
 * full disk would then end the process with SIGBUS where a status is promised, as the copy may share extents with its source and needs space only when it is written.
 *
 * Where the file system cannot share extents the copy begins as a hole and is filled as late as can be: what the caller is going to write anew is never copied first. */
#include "model/patch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

enum {
    CHUNK_BYTES = 64 * 1024,
    FILL_BYTES = 8 << 20,
    GIVE_BACK_BYTES = 1 << 20,
    HUGE_PAGE = 2 << 20,
    LARGE_BYTES = 1 << 30 /* not to be left in the page cache */
};

typedef struct range {
    uint64_t begin, end;
} range;

typedef struct file_copy {
    wmk_output *output;
    unsigned char *bytes; /* the copy, mapped privately; NULL: not asked for yet */
    range *filled;        /* [filled_count] where it holds source's or new bytes; ascending, apart */
    size_t filled_count, filled_capacity;
} file_copy;

/* What is known of a tensor. */
typedef struct tensor_state {
    bool touched; /* handed out */
    bool anew;    /* to be written as a whole: nothing was copied for it */
    bool flushed; /* the copy differs from the source, whatever the mapping says */
} tensor_state;

struct wmk_patch {
    const wmk_model *model;
    file_copy *copies;         /* [model->file_count] */
    void **packed;             /* [tensor_count] new bytes of packed tensors */
    tensor_state *state;       /* [tensor_count] */
    wmk_output_folder *folder; /* of a model of several files */
    char *path;                /* of the copy until commit */
    bool written;
};

/* ---- what the copy holds ---- */

/* The first range that ends behind `at`. */
static size_t range_after(const file_copy *copy, uint64_t at)
{
    size_t low = 0, high = copy->filled_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (copy->filled[middle].end > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static wmk_status add_range(file_copy *copy, uint64_t begin, uint64_t end)
{
    if (begin == end) return WMK_OK;
    size_t first = range_after(copy, begin), last;
    if (first > 0 && copy->filled[first - 1].end == begin) first--;
    for (last = first; last < copy->filled_count && copy->filled[last].begin <= end; last++) {
        if (copy->filled[last].begin < begin) begin = copy->filled[last].begin;
        if (copy->filled[last].end > end) end = copy->filled[last].end;
    }
    if (first == last && copy->filled_count == copy->filled_capacity) {
        size_t capacity = 2 * copy->filled_capacity + 16;
        WMK_TRY(wmk_resize(&copy->filled, capacity, sizeof *copy->filled));
        copy->filled_capacity = capacity;
    }
    memmove(&copy->filled[first + 1], &copy->filled[last], (copy->filled_count - last) * sizeof *copy->filled);
    copy->filled[first] = (range){begin, end};
    copy->filled_count = copy->filled_count + 1 - (last - first);
    return WMK_OK;
}

/* The whole pages inside of [begin, begin + size). */
static void give_back(const unsigned char *begin, uint64_t size)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = ((uintptr_t)begin + page - 1) / page * page,
              last = ((uintptr_t)begin + size) / page * page;
    if (last > first) madvise((void *)first, last - first, MADV_DONTNEED); /* both mappings read the same from their file again */
}

/* The same of a model's mapping, which nobody writes to: outwards to whole huge pages, since one that is given back in part is mapped in small pages from then on. */
static void give_back_source(const wmk_map *map, const unsigned char *begin, uint64_t size)
{
    const uintptr_t low = (uintptr_t)map->data, high = low + map->size;
    uintptr_t first = (uintptr_t)begin / HUGE_PAGE * HUGE_PAGE, last = ((uintptr_t)begin + size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    if (first < low) first = low;
    if (last > high) last = high;
    if (last > first) give_back((const unsigned char *)first, last - first);
}

static wmk_status write_range(wmk_patch *patch, uint32_t file, const unsigned char *bytes, uint64_t begin, uint64_t end)
{
    file_copy *copy = &patch->copies[file];
    WMK_TRY(wmk_output_write_at(copy->output, bytes, end - begin, begin));
    return add_range(copy, begin, end);
}

/* A page of the private mapping that was written to no longer shows what the file gets: where a stretch that was just filled shares its first or last page with another tensor, the
 * mapping gets the bytes too. Pages that are all its own nobody has written to. */
static void show_edges(file_copy *copy, const unsigned char *from, uint64_t begin, uint64_t end)
{
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), first = (begin + page - 1) / page * page, last = end / page * page;
    if (!copy->bytes || copy->bytes == from) return;
    if (first >= last) {
        memcpy(copy->bytes + begin, from + begin, end - begin);
        return;
    }
    memcpy(copy->bytes + begin, from + begin, first - begin);
    memcpy(copy->bytes + last, from + last, end - last);
}

/* Puts source's bytes, or the mapping's, where [begin, end) of the copy holds nothing yet. */
static wmk_status fill(wmk_patch *patch, uint32_t file, uint64_t begin, uint64_t end, const unsigned char *from)
{
    file_copy *copy = &patch->copies[file];
    const unsigned char *source = patch->model->files[file].map.data;
    while (begin < end) {
        size_t next = range_after(copy, begin);
        uint64_t gap = next < copy->filled_count && copy->filled[next].begin < end ? copy->filled[next].begin : end;
        for (uint64_t part; begin < gap; begin += part) {
            part = gap - begin < FILL_BYTES ? gap - begin : FILL_BYTES;
            WMK_TRY(write_range(patch, file, from + begin, begin, begin + part));
            show_edges(copy, from, begin, begin + part);
            give_back_source(&patch->model->files[file].map, source + begin, part);
        }
        next = range_after(copy, begin);
        if (next < copy->filled_count && copy->filled[next].begin <= begin) begin = copy->filled[next].end;
    }
    return WMK_OK;
}

/* ---- begin ---- */

/* The part of a file's path that lies below its model's folder. */
static const char *name_in_folder(const wmk_model *model, size_t file)
{
    const char *slash = strrchr(model->files[0].path, '/');
    return model->files[file].path + (slash ? slash - model->files[0].path + 1 : 0);
}

/* The file was opened once to be mapped and once to be copied: they must be the same file still, or offsets would mean nothing. */
static wmk_status copy_file(wmk_patch *patch, size_t file, const char *path, bool replace)
{
    const wmk_model_file *source = &patch->model->files[file];
    bool cloned;
    WMK_TRY(wmk_output_begin_like(&patch->copies[file].output, path, replace, source->path, &cloned));
    WMK_TRY(wmk_map_check(&source->map, source->path));
    return cloned ? add_range(&patch->copies[file], 0, source->map.size) : WMK_OK;
}

static bool is_model_file(void *payload, const char *relative)
{
    const wmk_patch *patch = payload;
    for (size_t i = 0; i < patch->model->file_count; i++)
        if (strcmp(name_in_folder(patch->model, i), relative) == 0) return true;
    return false;
}

static wmk_status copy_folder(wmk_patch *patch, const char *path, bool replace)
{
    const wmk_model *model = patch->model;
    struct stat source;
    if (model->is_folder && stat(model->path, &source) != 0) return wmk_fail_errno("%s", model->path);
    WMK_TRY(wmk_output_folder_begin(&patch->folder, path, model->is_folder ? source.st_mode & 0777 : 0777, replace));
    const char *folder = wmk_output_folder_path(patch->folder);
    if (model->is_folder) WMK_TRY(wmk_output_folder_copy(patch->folder, model->path, is_model_file, patch));
    for (size_t i = 0; i < model->file_count; i++) {
        char *target;
        WMK_TRY(wmk_format(&target, "%s/%s", folder, name_in_folder(model, i)));
        wmk_status status = wmk_make_folders(target, strlen(folder) + 1);
        if (status == WMK_OK) status = copy_file(patch, i, target, false);
        free(target);
        WMK_TRY(status);
    }
    WMK_TRY(wmk_output_folder_check(patch->folder, is_model_file, patch)); /* before the work, not only after it */
    return model->is_folder ? wmk_strdup(&patch->path, folder) : wmk_format(&patch->path, "%s/%s", folder, name_in_folder(model, 0));
}

static void release(wmk_patch *patch)
{
    for (size_t i = 0; patch->copies && i < patch->model->file_count; i++) {
        if (patch->copies[i].bytes) munmap(patch->copies[i].bytes, patch->model->files[i].map.size);
        free(patch->copies[i].filled);
    }
    for (size_t i = 0; patch->packed && i < patch->model->tensor_count; i++) free(patch->packed[i]);
    free(patch->copies);
    free(patch->packed);
    free(patch->state);
    free(patch->path);
    free(patch);
}

wmk_status wmk_patch_begin(wmk_patch **out, const wmk_model *model, const char *path, bool replace)
{
    wmk_patch *patch;
    wmk_status status;
    if (model->files[0].borrowed) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: %s: changing a model that is no file", model->path);
    WMK_TRY(wmk_alloc(&patch, 1, sizeof *patch));
    patch->model = model;
    WMK_TRY_GOTO(status, wmk_alloc(&patch->copies, model->file_count, sizeof *patch->copies), failed);
    WMK_TRY_GOTO(status, wmk_alloc(&patch->packed, model->tensor_count, sizeof *patch->packed), failed);
    WMK_TRY_GOTO(status, wmk_alloc(&patch->state, model->tensor_count, sizeof *patch->state), failed);
    if (model->file_count > 1 || model->is_folder) {
        WMK_TRY_GOTO(status, copy_folder(patch, path, replace), failed);
    } else {
        WMK_TRY_GOTO(status, copy_file(patch, 0, path, replace), failed);
        WMK_TRY_GOTO(status, wmk_strdup(&patch->path, wmk_output_temporary_path(patch->copies[0].output)), failed);
    }
    *out = patch;
    return WMK_OK;
failed:
    wmk_patch_abort(patch);
    return status;
}

/* ---- data ---- */

static wmk_status map_copy(wmk_patch *patch, uint32_t file)
{
    file_copy *copy = &patch->copies[file];
    const wmk_model_file *source = &patch->model->files[file];
    if (copy->bytes) return WMK_OK;
    int fd = open(wmk_output_temporary_path(copy->output), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return wmk_fail_errno("%s: the copy", source->path);
    void *bytes = mmap(NULL, source->map.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
    wmk_status status = bytes != MAP_FAILED ? WMK_OK : wmk_fail_errno("%s: mapping %zu bytes of the copy", source->path, source->map.size);
    if (status == WMK_OK) copy->bytes = bytes;
    close(fd);
    return status;
}

/* Where the tensor's data lies in its file, and how long it is; false: nowhere. */
static bool place_of(const wmk_patch *patch, const wmk_model_tensor *tensor, uint64_t *offset, uint64_t *size)
{
    const wmk_map *map = &patch->model->files[tensor->file].map;
    const unsigned char *data = tensor->view.data;
    if (!data || data < map->data || data > map->data + map->size) return false;
    *offset = (uint64_t)(data - map->data);
    *size = tensor->view.data_bytes;
    return *size != 0 || wmk_tensor_bytes(&tensor->view, size) == WMK_OK;
}

static wmk_status hand_out(wmk_patch *patch, size_t index, bool anew, void **data)
{
    const wmk_model_tensor *tensor = wmk_model_tensor_at(patch->model, index);
    uint64_t offset, size;
    if (!tensor) return wmk_fail(WMK_ERROR_ARGUMENT, "tensor %zu of %zu", index, patch->model->tensor_count);
    const wmk_model_file *file = &patch->model->files[tensor->file];
    tensor_state *state = &patch->state[index];
    if (tensor->packed) {
        if (!file->container || !file->container->finish)
            return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: %s: tensor \"%s\" is compressed and cannot be changed", file->path,
                            tensor->view.name);
        if (!patch->packed[index]) WMK_TRY(wmk_model_unpack(&patch->packed[index], patch->model, index));
        *data = patch->packed[index];
    } else {
        if (!place_of(patch, tensor, &offset, &size))
            return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: %s: tensor \"%s\" has no plain values to change", file->path, tensor->view.name);
        if (!anew && !state->anew) WMK_TRY(fill(patch, tensor->file, offset, offset + size, file->map.data));
        WMK_TRY(map_copy(patch, tensor->file));
        *data = patch->copies[tensor->file].bytes + offset;
        state->anew = state->anew || (anew && !state->touched);
    }
    state->touched = true;
    return WMK_OK;
}

wmk_status wmk_patch_data(wmk_patch *patch, size_t index, void **data) { return hand_out(patch, index, false, data); }

wmk_status wmk_patch_data_anew(wmk_patch *patch, size_t index, void **data) { return hand_out(patch, index, true, data); }

void wmk_patch_give_back(const wmk_patch *patch, const void *data, uint64_t size)
{
    const unsigned char *begin = data;
    for (size_t i = 0; i < patch->model->file_count; i++) {
        const wmk_map *map = &patch->model->files[i].map;
        const unsigned char *copy = patch->copies[i].bytes;
        if (begin >= map->data && begin + size <= map->data + map->size)
            give_back_source(map, begin, size);
        else if (copy && begin >= copy && begin + size <= copy + map->size)
            give_back(begin, size);
    }
}

static wmk_status outside(uint64_t offset, uint64_t size, uint64_t all)
{
    return wmk_fail(WMK_ERROR_ARGUMENT, "bytes %llu to %llu of %llu", (unsigned long long)offset, (unsigned long long)(offset + size),
                    (unsigned long long)all);
}

wmk_status wmk_patch_put(wmk_patch *patch, size_t index, uint64_t offset, uint64_t size, const void *data)
{
    const wmk_model_tensor *tensor = wmk_model_tensor_at(patch->model, index);
    uint64_t begin, all;
    if (!tensor || !patch->state[index].anew || !place_of(patch, tensor, &begin, &all))
        return wmk_fail(WMK_ERROR_ARGUMENT, "tensor %zu was not handed out to be written anew", index);
    if (offset > all || size > all - offset) return outside(offset, size, all);
    begin += offset;
    const wmk_model_file *file = &patch->model->files[tensor->file];
    wmk_output *output = patch->copies[tensor->file].output;
    bool read_again = file->container && file->container->finish; /* checksums */
    WMK_TRY(file->map.size < LARGE_BYTES || read_again ? wmk_output_write_at(output, data, size, begin)
                                                       : wmk_output_write_through(output, data, size, begin));
    WMK_TRY(add_range(&patch->copies[tensor->file], begin, begin + size));
    show_edges(&patch->copies[tensor->file], (const unsigned char *)data - begin, begin, begin + size);
    patch->state[index].flushed = true;
    return WMK_OK;
}

wmk_status wmk_patch_flush(wmk_patch *patch, size_t index, uint64_t offset, uint64_t size)
{
    const wmk_model_tensor *tensor = wmk_model_tensor_at(patch->model, index);
    uint64_t begin, all;
    if (!tensor || !patch->state[index].touched || patch->packed[index] || !place_of(patch, tensor, &begin, &all)) return WMK_OK;
    if (offset > all || size > all - offset) return outside(offset, size, all);
    tensor_state *state = &patch->state[index];
    uint64_t at = begin + offset;
    const unsigned char *now = patch->copies[tensor->file].bytes + at, *before = patch->model->files[tensor->file].map.data + at;
    bool compare = !state->anew && !state->flushed; /* else the copy holds something else than the source */
    for (uint64_t done = 0, part; done < size; done += part) {
        part = !compare ? size : size - done < CHUNK_BYTES ? size - done : CHUNK_BYTES;
        if (compare && memcmp(now + done, before + done, part) == 0) continue;
        WMK_TRY(write_range(patch, tensor->file, now + done, at + done, at + done + part));
    }
    state->flushed = true;
    if (size >= GIVE_BACK_BYTES) {
        give_back(now, size);
        give_back_source(&patch->model->files[tensor->file].map, before, size);
    }
    return WMK_OK;
}

/* ---- write, commit ---- */

const wmk_model *wmk_patch_model(const wmk_patch *patch) { return patch->model; }

bool wmk_patch_changed(const wmk_patch *patch, size_t index) { return patch->state[index].touched; }

wmk_output *wmk_patch_output(wmk_patch *patch, uint32_t file) { return patch->copies[file].output; }

static wmk_status finish_file(wmk_patch *patch, uint32_t file)
{
    const wmk_container *container = patch->model->files[file].container;
    bool any = false;
    for (size_t i = 0; !any && i < patch->model->tensor_count; i++) any = patch->state[i].touched && patch->model->tensors[i].file == file;
    if (!any || !container || !container->finish) return WMK_OK;
    wmk_status status = container->finish(patch, file);
    return status == WMK_OK ? WMK_OK : wmk_fail_within(status, "%s", patch->model->files[file].path);
}

wmk_status wmk_patch_write(wmk_patch *patch)
{
    if (patch->written) return WMK_OK;
    for (size_t i = 0; i < patch->model->tensor_count; i++) {
        uint64_t offset, size;
        const wmk_model_tensor *tensor = &patch->model->tensors[i];
        if (!patch->state[i].touched || !place_of(patch, tensor, &offset, &size)) continue;
        if (patch->state[i].anew) /* what was not flushed */
            WMK_TRY(fill(patch, tensor->file, offset, offset + size, patch->copies[tensor->file].bytes));
        else
            WMK_TRY(wmk_patch_flush(patch, i, 0, size));
    }
    for (uint32_t file = 0; file < patch->model->file_count; file++)
        WMK_TRY(fill(patch, file, 0, patch->model->files[file].map.size, patch->model->files[file].map.data));
    for (uint32_t file = 0; file < patch->model->file_count; file++) WMK_TRY(finish_file(patch, file));
    for (uint32_t file = 0; patch->folder && file < patch->model->file_count; file++) { /* in the temporary folder still */
        wmk_output *output = patch->copies[file].output;
        patch->copies[file].output = NULL;
        WMK_TRY(wmk_output_commit(output));
    }
    patch->written = true;
    return WMK_OK;
}

const char *wmk_patch_temporary_path(const wmk_patch *patch) { return patch->path; }

wmk_status wmk_patch_commit(wmk_patch *patch)
{
    wmk_status status = wmk_patch_write(patch);
    if (status != WMK_OK) {
        wmk_patch_abort(patch);
        return status;
    }
    wmk_output *output = patch->copies[0].output;
    wmk_output_folder *folder = patch->folder;
    release(patch);
    return folder ? wmk_output_folder_commit(folder) : wmk_output_commit(output);
}

void wmk_patch_abort(wmk_patch *patch)
{
    if (!patch) return;
    for (size_t i = 0; patch->copies && i < patch->model->file_count; i++) wmk_output_abort(patch->copies[i].output);
    wmk_output_folder_abort(patch->folder);
    release(patch);
}
