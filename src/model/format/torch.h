/* model/format/torch.h - what the two PyTorch containers share: finding tensors in a pickle, and reading those that are no plain run of elements. */
#ifndef WMK_MODEL_FORMAT_TORCH_H
#define WMK_MODEL_FORMAT_TORCH_H

#include "model/format/pickle.h"
#include "model/format/zip.h"
#include "model/model.h"

/* What a pickle says of a storage: ('storage', class, key, location, number of elements[, view]). */
typedef struct wmk_torch_storage_id {
    const char *key; /* borrowed, without NUL */
    size_t key_bytes;
    wmk_dtype dtype;        /* NONE: untyped, or a type that is not listed */
    uint32_t element_bytes; /* 1 when untyped */
    uint64_t bytes;
    uint64_t view_bytes; /* where the storage begins in the one that is stored (files before 0.4) */
} wmk_torch_storage_id;

/* Where its bytes are. */
typedef struct wmk_torch_storage {
    const unsigned char *data; /* NULL: deflated */
    uint64_t offset_bytes;     /* of the stored bytes in the file */
    uint64_t stored_bytes;     /* differs from the storage's bytes when deflated */
    size_t member;             /* the container's own number for it */
} wmk_torch_storage;

/* Where an added tensor's bytes are: in which storage, from which byte on. */
typedef struct wmk_torch_place {
    size_t member;
    uint64_t offset_bytes;
} wmk_torch_place;

/* A pickle whose tensors are added to a model. */
typedef struct wmk_torch_source {
    wmk_model *model;
    uint32_t file;
    const wmk_pickle *pickle;
    uint64_t pickle_bytes;
    wmk_status (*find)(const struct wmk_torch_source *source, const wmk_torch_storage_id *id, wmk_torch_storage *out);
    void *payload;          /* for find */
    wmk_torch_place *place; /* [place_count] of the tensors, in the order they were added; the caller frees it */
    size_t place_count, place_capacity;
    unsigned char *free; /* memory under wmk_model_keep, of which free_bytes are left */
    size_t free_bytes;
} wmk_torch_source;

/* Adds every tensor that is reached from the pickle's root through dicts, lists, tuples and modules. Its name is the path to it, joined with ".": the keys of dicts, the indexes of
 * lists, the names of a module's parameters, buffers and modules. */
wmk_status wmk_torch_add_tensors(wmk_torch_source *source);
/* The same for the tuple of a TorchScript archive's constants, under the names that the code has for them: "CONSTANTS.c0", ... */
wmk_status wmk_torch_add_constants(wmk_torch_source *source);
/* The calls a PyTorch file may ask for. None is made. */
bool wmk_torch_may_call(const wmk_pickle *pickle, const wmk_pickle_value *global, const wmk_pickle_value *arguments);
/* A storage of the pickle; *is_storage is false for a persistent id that is something else. */
wmk_status wmk_torch_storage_of(const wmk_pickle *pickle, uint32_t id, wmk_torch_storage_id *out, bool *is_storage);

/* Memory that lives as long as the model. */
wmk_status wmk_torch_memory(wmk_torch_source *source, size_t bytes, void *out_pointer);

/* If `id` is (or stands for) a tensor: what it is, without a name, and its place. dtype NONE: a type that is not listed. */
wmk_status wmk_torch_tensor(wmk_torch_source *source, uint32_t id, wmk_model_tensor *out, wmk_torch_place *place, bool *is_tensor);
/* `id` behind what only wraps it (a parameter and its tensor, a list's type tag). */
uint32_t wmk_torch_unwrap(const wmk_pickle *pickle, uint32_t id);

/* How elements lie and what their integers stand for: the context of wmk_torch_codec's codecs. */
typedef struct wmk_torch_layout {
    uint64_t stride[WMK_RANK_MAX]; /* in elements */
    bool quantised;                /* value = (integer - zero point) * scale */
    double scale;                  /* where no axis has its own */
    int64_t zero;
    const unsigned char *scales, *zeros; /* by channel of `axis`; NULL: scale and zero */
    wmk_dtype scale_dtype, zero_dtype;   /* F64 or F32; zeros may be I64, too */
    uint32_t axis;
} wmk_torch_layout;
/* The codec for a layout; one that only reads for types that are not written, and where two elements share a byte. */
const wmk_codec *wmk_torch_codec(const wmk_torch_layout *layout, bool only_read);

#endif
