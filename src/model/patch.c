/* model/patch.c - a copy of a model with some tensors' bytes changed.
 *
 * The caller writes into a private (copy-on-write) mapping of the copy; commit puts what differs into the copy with pwrite. A shared mapping would save that step, but a full disk
 * would then end the process with SIGBUS where a status is promised, as the copy may share extents with its source and needs space only when it is written. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "model/model.h"
#include "model/patch.h"

enum { CHUNK_BYTES = 64 * 1024 };

struct wmk_patch {
    const wmk_model *model;
    wmk_output *output;
    unsigned char *bytes; /* [model->files[0].map.size] the copy, mapped privately */
    bool *touched;        /* [tensor_count] handed out */
    bool written;
};

/* The file was opened once to be mapped and once to be copied: they must be the same file still, or offsets would mean nothing. */
static wmk_status check_same(const wmk_patch *patch)
{
    const wmk_model *model = patch->model;
    size_t head = model->files[0].map.size;
    for (size_t i = 0; i < model->tensor_count; i++)
        if (model->tensors[i].offset_bytes < head) head = model->tensors[i].offset_bytes;
    if (memcmp(patch->bytes, model->files[0].map.data, head) == 0) return WMK_OK;
    return wmk_fail(WMK_ERROR_INPUT, "%s: another file took its place while it was open", wmk_model_path(model));
}

static wmk_status map_copy(wmk_patch *patch)
{
    const char *path = wmk_model_path(patch->model);
    size_t size = patch->model->files[0].map.size;
    struct stat info;
    int fd = open(wmk_output_temporary_path(patch->output), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return wmk_fail_errno("%s: the copy", path);
    void *bytes = MAP_FAILED;
    wmk_status status = WMK_OK;
    if (fstat(fd, &info) != 0)
        status = wmk_fail_errno("%s: the copy", path);
    else if ((uint64_t)info.st_size != size)
        status = wmk_fail(WMK_ERROR_INPUT, "%s: another file took its place while it was open", path);
    else if ((bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0)) == MAP_FAILED)
        status = wmk_fail_errno("%s: mapping %zu bytes of the copy", path, size);
    else
        patch->bytes = bytes;
    close(fd);
    return status;
}

static void release(wmk_patch *patch)
{
    if (patch->bytes) munmap(patch->bytes, patch->model->files[0].map.size);
    free(patch->touched);
    free(patch);
}

wmk_status wmk_patch_begin(wmk_patch **out, const wmk_model *model, const char *path, bool replace)
{
    wmk_patch *patch;
    wmk_status status;
    if (model->file_count != 1)
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: %s: changing a model of %zu files", wmk_model_path(model), model->file_count);
    WMK_TRY(wmk_alloc(&patch, 1, sizeof *patch));
    patch->model = model;
    WMK_TRY_GOTO(status, wmk_alloc(&patch->touched, model->tensor_count, sizeof *patch->touched), failed);
    WMK_TRY_GOTO(status, wmk_output_begin_copy(&patch->output, path, replace, wmk_model_path(model)), failed);
    WMK_TRY_GOTO(status, map_copy(patch), failed);
    WMK_TRY_GOTO(status, check_same(patch), failed);
    *out = patch;
    return WMK_OK;
failed:
    wmk_patch_abort(patch);
    return status;
}

void *wmk_patch_data(wmk_patch *patch, size_t index)
{
    const wmk_model_tensor *tensor = wmk_model_tensor_at(patch->model, index);
    if (!tensor || !tensor->view.data) return NULL;
    patch->touched[index] = true;
    return patch->bytes + tensor->offset_bytes;
}

static wmk_status write_tensor(wmk_patch *patch, const wmk_model_tensor *tensor)
{
    const unsigned char *now = patch->bytes + tensor->offset_bytes, *before = tensor->view.data;
    for (uint64_t done = 0; done < tensor->size_bytes; done += CHUNK_BYTES) {
        size_t size = tensor->size_bytes - done < CHUNK_BYTES ? tensor->size_bytes - done : CHUNK_BYTES;
        if (memcmp(now + done, before + done, size) == 0) continue;
        WMK_TRY(wmk_output_write_at(patch->output, now + done, size, tensor->offset_bytes + done));
    }
    return WMK_OK;
}

wmk_status wmk_patch_write(wmk_patch *patch)
{
    for (size_t i = 0; !patch->written && i < patch->model->tensor_count; i++)
        if (patch->touched[i]) WMK_TRY(write_tensor(patch, &patch->model->tensors[i]));
    patch->written = true;
    return WMK_OK;
}

const char *wmk_patch_temporary_path(const wmk_patch *patch) { return wmk_output_temporary_path(patch->output); }

wmk_status wmk_patch_commit(wmk_patch *patch)
{
    wmk_status status = wmk_patch_write(patch);
    if (status != WMK_OK) {
        wmk_patch_abort(patch);
        return status;
    }
    wmk_output *output = patch->output;
    release(patch);
    return wmk_output_commit(output);
}

void wmk_patch_abort(wmk_patch *patch)
{
    if (!patch) return;
    wmk_output_abort(patch->output);
    release(patch);
}
