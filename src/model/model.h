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
    bool borrowed; /* the bytes are the caller's */
} wmk_model_file;

/* A place in a list by name, for look-up by bisection: unlike a hash table it cannot be slowed by chosen names. */
typedef struct wmk_name_entry {
    const char *name;
    size_t index;
} wmk_name_entry;

struct wmk_model {
    const wmk_container *container;
    wmk_model_file *files; /* [file_count]; 0 is the one that was opened */
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
    const char *name;
    /* How sure the first bytes make it that `open` is the one to ask: 0 not at all, up to 100. Cheap, and safe on any bytes. */
    int (*probe)(const unsigned char *bytes, size_t size);
    /* Fills the model from files[0]; every offset, length and count in there is hostile. Each tensor's bytes must lie in its file. Names need not be checked for
     * repetition. Messages name the file and tensor. On failure the caller closes the model. */
    wmk_status (*open)(wmk_model *model);
};

extern const wmk_container wmk_container_safetensors;

/* wmk_model_open on bytes that the caller keeps for the life of the model; path is for messages. */
wmk_status wmk_model_open_bytes(wmk_model **out, const void *bytes, size_t size, const char *path);

/* For `open`. The view's layout is guessed from its rank when it is empty. Names and values are borrowed: put what they live in under wmk_model_keep. */
wmk_status wmk_model_add_tensor(wmk_model *model, const wmk_model_tensor *tensor);
wmk_status wmk_model_add_metadata(wmk_model *model, const char *name, const char *value);
/* Maps one more file; *index is its number. */
wmk_status wmk_model_add_file(wmk_model *model, const char *path, uint32_t *index);
/* `block` (from wmk_alloc) is freed with the model, and at once when this fails. */
wmk_status wmk_model_keep(wmk_model *model, void *block);

/* Bytes of `shape` elements of a dtype. INPUT with the rule: overflow, a bit count that is no whole number of bytes. */
wmk_status wmk_tensor_bytes(const wmk_tensor_view *view, uint64_t *out);

/* What a file that no container claims looks like ("a GGUF file"), by its first bytes; NULL: nothing known. */
const char *wmk_recognise(const unsigned char *bytes, size_t size);

#endif
