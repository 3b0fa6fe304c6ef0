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
        view; /* name, dtype, shape; layout: the container's or its operators' or, failing that, guessed from the rank ("OI", "OIW", "OIHW", "OIDHW", "" below
                              rank 2); data points into the mapping, or is NULL where the bytes are packed or cannot be read as values */
    uint64_t offset_bytes; /* of the data in its file, as stored */
    uint64_t size_bytes;   /* as stored */
    uint32_t file;         /* index for wmk_model_file_path */
    bool layout_known;     /* the container or the operator that uses the tensor says which axis is what: no guess */
    bool packed;           /* compressed or in pieces: wmk_model_unpack gives its bytes */
    const char *alias;     /* another name the network has for it (the path of the layer that uses it), or NULL */
} wmk_model_tensor;

/* Opens a model: a file, recognised by content, or a folder as a hub holds it (an index of shards, or one model file). MISSING/SYSTEM: cannot be opened; INPUT: truncated, corrupt,
 * contradictory (message: file, tensor, rule); UNSUPPORTED: a format or variant not read; MEMORY. The bytes stay mapped: a file that another program shortens while it is
 * open ends the process (SIGBUS), as with any mapping; one that is replaced by rename does not. */
WMK_EXPORT wmk_status wmk_model_open(wmk_model **out, const char *path);
WMK_EXPORT void wmk_model_close(wmk_model *model); /* NULL allowed */
/* Whether a file, by its content or failing that by its name, is one that wmk_model_open would try to read: for searching folders. INPUT: no model file, or no file; UNSUPPORTED: a kind that is
 * known and not read; others as wmk_model_open. */
WMK_EXPORT wmk_status wmk_model_probe(const char *path);

/* The bytes of a packed tensor as its view would have them; the caller frees *bytes. INPUT: they are damaged; ARGUMENT: not packed, out of range; MEMORY. */
WMK_EXPORT wmk_status wmk_model_unpack(void **bytes, const wmk_model *model, size_t index);

/* What these return is borrowed until wmk_model_close. */
WMK_EXPORT const char *wmk_model_format(const wmk_model *model);  /* "safetensors" */
WMK_EXPORT const char *wmk_model_path(const wmk_model *model);    /* as it was opened */
WMK_EXPORT uint32_t wmk_model_file_count(const wmk_model *model); /* of several files a patch makes a folder */
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
 * a view without data or dtype, with a codec, or with more than WMK_RANK_MAX axes; SYSTEM; MISSING: no such folder; INPUT: `path` is no regular file; MEMORY. */
WMK_EXPORT wmk_status wmk_model_write(const char *path, const wmk_tensor_view *tensors, size_t tensor_count, const wmk_metadata *metadata,
                                      size_t metadata_count, bool replace);

/* A copy of a model in which some tensors' bytes are changed and nothing else (but checksums that the container keeps). */
typedef struct wmk_patch wmk_patch;
/* Copies model's file (reflink where possible) beside `path`; of a model of several files `path` becomes a folder: of a model that was opened as a folder with everything
 * that lies in it, else with the model's files. model is borrowed until commit or abort. EXISTS unless replace (a folder is never replaced by a file, nor a file by a folder); INPUT: `path` is no
 * regular file, or the model's own file was replaced since it was opened; MISSING: no such folder; SYSTEM; MEMORY. */
WMK_EXPORT wmk_status wmk_patch_begin(wmk_patch **out, const wmk_model *model, const char *path, bool replace);
/* *data = writable bytes of tensor `index` (of the model) in the copy: the present values, laid out as the view's data (a packed tensor's as wmk_model_unpack gives
 * them). Valid until commit or abort. UNSUPPORTED: no bytes that can be changed; INPUT, MEMORY: as wmk_model_unpack. */
WMK_EXPORT wmk_status wmk_patch_data(wmk_patch *patch, size_t index, void **data);
/* Bytes [offset, offset + size) of tensor `index` are final: they go to the disk and their memory is given back. Optional, for models larger than memory; commit does it for the
 * rest. SYSTEM. */
WMK_EXPORT wmk_status wmk_patch_flush(wmk_patch *patch, size_t index, uint64_t offset, uint64_t size);
/* Puts the copy in place, atomically. Frees patch in every case. SYSTEM: no space left, ... ; EXISTS: unless replace. */
WMK_EXPORT wmk_status wmk_patch_commit(wmk_patch *patch);
WMK_EXPORT void wmk_patch_abort(wmk_patch *patch); /* NULL allowed */

#ifdef __cplusplus
}
#endif
#endif
