/* weightmark/model.h - model files as directories of tensors over mapped bytes. Files are hostile: every length, offset and count is checked. */
#ifndef WEIGHTMARK_MODEL_H
#define WEIGHTMARK_MODEL_H

#include <weightmark/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wmk_model wmk_model; /* an open model: immutable, may be shared between threads */

typedef struct wmk_model_tensor {
    wmk_tensor_view view;   /* name, dtype, shape; layout: the container's or, failing that, guessed from the rank ("OI", "OIW", "OIHW", "OIDHW", "" below rank 2);
                               data points into the mapping, or is NULL where the element type has no plain bytes */
    uint64_t offset_bytes;  /* of the data in its file */
    uint64_t size_bytes;
    uint32_t file;          /* index for wmk_model_file_path */
} wmk_model_tensor;

/* Opens a model, recognised by content. MISSING/SYSTEM: cannot be opened; INPUT: truncated, corrupt, contradictory (message: file, tensor, rule);
 * UNSUPPORTED: a format or variant not read; MEMORY. The bytes stay mapped: a file that another program shortens while it is open ends the process (SIGBUS), as
 * with any mapping; one that is replaced by rename does not. */
WMK_EXPORT wmk_status wmk_model_open(wmk_model **out, const char *path);
WMK_EXPORT void wmk_model_close(wmk_model *model);

WMK_EXPORT const char *wmk_model_format(const wmk_model *model); /* "safetensors" */
WMK_EXPORT const char *wmk_model_path(const wmk_model *model);
WMK_EXPORT size_t wmk_model_tensor_count(const wmk_model *model);
WMK_EXPORT const wmk_model_tensor *wmk_model_tensor_at(const wmk_model *model, size_t index); /* file order; NULL out of range */
WMK_EXPORT const wmk_model_tensor *wmk_model_find(const wmk_model *model, const char *name);  /* NULL: none */
WMK_EXPORT const char *wmk_model_file_path(const wmk_model *model, uint32_t file);
/* Free-text metadata the container carries. */
WMK_EXPORT size_t wmk_model_metadata_count(const wmk_model *model);
WMK_EXPORT void wmk_model_metadata_at(const wmk_model *model, size_t index, const char **name, const char **value);
WMK_EXPORT const char *wmk_model_metadata(const wmk_model *model, const char *name); /* NULL: none */

typedef struct wmk_metadata {
    const char *name, *value;
} wmk_metadata;

/* Writes a safetensors file, whole or not at all: tensors in the given order, data 64-byte aligned. EXISTS unless replace; ARGUMENT: a name twice, a view without data;
 * SYSTEM; MEMORY. */
WMK_EXPORT wmk_status wmk_model_write(const char *path, const wmk_tensor_view *tensors, size_t tensor_count, const wmk_metadata *metadata,
                                      size_t metadata_count, bool replace);

/* A copy of a model in which some tensors' bytes are changed and nothing else. */
typedef struct wmk_patch wmk_patch;
/* Copies model's file beside `path` (reflink where possible). EXISTS unless replace. */
WMK_EXPORT wmk_status wmk_patch_begin(wmk_patch **out, const wmk_model *model, const char *path, bool replace);
/* Writable bytes of tensor `index` (of the model) in the copy: the present values, in the tensor's dtype and layout. NULL: no plain bytes. Valid until commit or abort. */
WMK_EXPORT void *wmk_patch_data(wmk_patch *patch, size_t index);
/* Puts the copy in place, atomically. Frees patch in every case. */
WMK_EXPORT wmk_status wmk_patch_commit(wmk_patch *patch);
WMK_EXPORT void wmk_patch_abort(wmk_patch *patch);

#ifdef __cplusplus
}
#endif
#endif
