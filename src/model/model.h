/* model/model.h - inside the room: the directory of tensors that every container fills, and what a container is.
 *
 * Data is read where it is mapped. A file that somebody else shortens while it is open ends the process with SIGBUS, as it does for every program that maps files; one that is
 * replaced by rename does not disturb us.
 */
#ifndef WMK_MODEL_MODEL_H
#define WMK_MODEL_MODEL_H

#include <weightmark/model.h>
#include "base/file.h"

typedef struct wmk_container wmk_container;

typedef struct wmk_model_file {
    char *path;
    wmk_map map;
    bool borrowed;                  /* the bytes are the caller's */
    const wmk_container *container; /* NULL: bytes that tensors of another file lie in (ONNX external data) */
    void *state;                    /* the container's own, under wmk_model_keep */
} wmk_model_file;

/* A place in a list by name, for look-up by bisection: unlike a hash table it cannot be slowed by chosen names. */
typedef struct wmk_name_entry {
    const char *name;
    size_t index;
} wmk_name_entry;

struct wmk_model {
    char *path; /* as it was opened: a file or a folder */
    bool is_folder;
    wmk_model_file *files; /* [file_count]; 0 is the one that was opened, or was found in the folder */
    size_t file_count;
    wmk_model_tensor *tensors; /* [tensor_count], in the file's order */
    size_t tensor_count, tensor_capacity;
    wmk_metadata *metadata; /* [metadata_count], in the file's order */
    size_t metadata_count, metadata_capacity;
    wmk_name_entry *tensor_names, *metadata_names; /* sorted */
    void **blocks;                                 /* [block_count] memory that names and values live in */
    size_t block_count;
};

/* A container: one file under format/ and one line in the table of model.c. */
struct wmk_container {
    const char *name;      /* what wmk_model_format says */
    const char *extension; /* of the usual file names, ".safetensors"; only picks whose complaint is shown when no content is recognised */
    /* How sure the bytes of a whole file make it that `open` is the one to ask: 0 not at all, up to 100; 50 is sure. Cheap, and safe on any bytes. */
    int (*probe)(const unsigned char *bytes, size_t size);
    /* Adds what lies in files[file] to the model; every offset, length and count in there is hostile. Each tensor's bytes must lie in its file. Names need not be checked for
     * repetition. INPUT messages name the tensor and rule; the caller puts the file's path before them. On failure the caller closes the model. model->files may move while files are added. */
    wmk_status (*open)(wmk_model *model, uint32_t file);
    /* Fills bytes [tensor->view.data_bytes] of a packed tensor. INPUT: damaged. NULL: no tensor is packed. */
    wmk_status (*unpack)(const wmk_model *model, const wmk_model_tensor *tensor, void *bytes);
    /* Called once for each file of a patch in which something changed, after every plain tensor's bytes are in the copy: brings checksums up to date, stores packed tensors.
     * See model/patch.h. NULL: nothing to do, and packed tensors cannot be changed. */
    wmk_status (*finish)(wmk_patch *patch, uint32_t file);
};

extern const wmk_container wmk_container_safetensors;
extern const wmk_container wmk_container_index;
extern const wmk_container wmk_container_onnx;
extern const wmk_container wmk_container_torch;        /* zip */
extern const wmk_container wmk_container_torch_legacy; /* pickles one after the other */
extern const wmk_container wmk_container_npy;
extern const wmk_container wmk_container_npz;
extern const wmk_container wmk_container_gguf;
extern const wmk_container wmk_container_hdf5;
extern const wmk_container wmk_container_keras;
extern const wmk_container wmk_container_tflite;

/* wmk_model_open on bytes that the caller keeps for the life of the model; path is for messages, and for what lies beside it. */
wmk_status wmk_model_open_bytes(wmk_model **out, const void *bytes, size_t size, const char *path);

/* The file in a folder that is its model: the one with the most usual name, else the only index of shards, else the only model file. *out is freed by the caller. INPUT: none, or several (the message names them). */
wmk_status wmk_folder_model(char **out, const char *folder);

/* For `open`. The view's layout is guessed from its rank when it is empty. Names, aliases, values and codec contexts are borrowed: put what they live in under wmk_model_keep. */
wmk_status wmk_model_add_tensor(wmk_model *model, const wmk_model_tensor *tensor);
wmk_status wmk_model_add_metadata(wmk_model *model, const char *name, const char *value);
/* Maps one more file, named relative to the folder of files[0]; *index is its number. `name` is hostile: INPUT when it is absolute or leads out of that folder.
 * The same file again has the same number. */
wmk_status wmk_model_add_file(wmk_model *model, const char *name, uint32_t *index);
/* Always one more file, and adds the tensors that its container finds in it (shards). Its metadata is kept when there was none before. */
wmk_status wmk_model_add_shard(wmk_model *model, const char *name, uint32_t *index);
/* `block` (from wmk_alloc) is freed with the model, and at once when this fails. */
wmk_status wmk_model_keep(wmk_model *model, void *block);

/* Bytes of `shape` elements of a dtype. INPUT with the rule: overflow, no whole number of bytes or blocks. */
wmk_status wmk_tensor_bytes(const wmk_tensor_view *view, uint64_t *out);

/* What a file that no container claims looks like ("a GGUF file"), by its first bytes; NULL: nothing known. */
const char *wmk_recognise(const unsigned char *bytes, size_t size);

#endif
