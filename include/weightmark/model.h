/* weightmark/model.h - model files as directories of tensors over mapped bytes. Files are hostile: every length, offset and count is checked. */
#ifndef WEIGHTMARK_MODEL_H
#define WEIGHTMARK_MODEL_H

#include <weightmark/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wmk_model wmk_model; /* an open model: immutable, may be shared between threads */

typedef struct wmk_model_tensor {
    wmk_tensor_view
        view; /* name, dtype, shape; layout: the container's or, failing that, guessed from the rank ("OI", "OIW", "OIHW", "OIDHW", "" below rank 2);
                               data points into the mapping, or is NULL where the element type has no plain bytes */
    uint64_t offset_bytes; /* of the data in its file */
    uint64_t size_bytes;
    uint32_t file; /* index for wmk_model_file_path */
} wmk_model_tensor;

/* Opens a model, recognised by content. MISSING/SYSTEM: cannot be opened; INPUT: truncated, corrupt, contradictory (message: file, tensor, rule);
 * UNSUPPORTED: a format or variant not read; MEMORY. The bytes stay mapped: a file that another program shortens while it is open ends the process (SIGBUS), as
 * with any mapping; one that is replaced by rename does not. */
WMK_EXPORT wmk_status wmk_model_open(wmk_model **out, const char *path);
WMK_EXPORT void wmk_model_close(wmk_model *model); /* NULL allowed */

/* What these return is borrowed until wmk_model_close. */
WMK_EXPORT const char *wmk_model_format(const wmk_model *model); /* "safetensors" */
WMK_EXPORT const char *wmk_model_path(const wmk_model *model);
WMK_EXPORT size_t wmk_model_tensor_count(const wmk_model *model);
WMK_EXPORT const wmk_model_tensor *wmk_model_tensor_at(const wmk_model *model, size_t index); /* file order; NULL out of range */
WMK_EXPORT const wmk_model_tensor *wmk_model_find(const wmk_model *model, const char *name);  /* NULL: none */
WMK_EXPORT const char *wmk_model_file_path(const wmk_model *model, uint32_t file);            /* NULL out of range */
/* Free-text metadata the container carries; out of range both are NULL. */
WMK_EXPORT size_t wmk_model_metadata_count(const wmk_model *model);
WMK_EXPORT void wmk_model_metadata_at(const wmk_model *model, size_t index, const char **name, const char **value);
WMK_EXPORT const char *wmk_model_metadata(const wmk_model *model, const char *name); /* NULL: none */

typedef struct wmk_metadata {
    const char *name, *value;
} wmk_metadata;

/* Writes a safetensors file, whole or not at all. Tensors are listed in the given order; their data begins at a multiple of 64 bytes and lies largest elements first, so
 * that each tensor is aligned to its element. metadata may be NULL when its count is 0. EXISTS unless replace; ARGUMENT: a name twice, missing, not UTF-8 or "__metadata__",
 * a view without data, dtype or with more than WMK_RANK_MAX axes; SYSTEM; MISSING: no such folder; INPUT: `path` is no regular file; MEMORY. */
WMK_EXPORT wmk_status wmk_model_write(const char *path, const wmk_tensor_view *tensors, size_t tensor_count, const wmk_metadata *metadata,
                                      size_t metadata_count, bool replace);

/* A copy of a model in which some tensors' bytes are changed and nothing else. */
typedef struct wmk_patch wmk_patch;
/* Copies model's file beside `path` (reflink where possible); model is borrowed until commit or abort. EXISTS unless replace; UNSUPPORTED: a model of several files;
 * INPUT: `path` is no regular file, or the model's own file was replaced since it was opened; MISSING: no such folder; SYSTEM; MEMORY. */
WMK_EXPORT wmk_status wmk_patch_begin(wmk_patch **out, const wmk_model *model, const char *path, bool replace);
/* Writable bytes of tensor `index` (of the model) in the copy: the present values, in the tensor's dtype and layout. NULL: no plain bytes. Valid until commit or abort. */
WMK_EXPORT void *wmk_patch_data(wmk_patch *patch, size_t index);
/* Puts the copy in place, atomically. Frees patch in every case. SYSTEM: no space left, ... ; EXISTS: unless replace. */
WMK_EXPORT wmk_status wmk_patch_commit(wmk_patch *patch);
WMK_EXPORT void wmk_patch_abort(wmk_patch *patch); /* NULL allowed */

#ifdef __cplusplus
}
#endif
#endif
