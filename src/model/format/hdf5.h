/* model/format/hdf5.h - a bounds-checked reader of the HDF5 that h5py and Keras write, over mapped bytes. HDF5 File Format Specification Version 3.0; sections are given as III.C.
 *
 * A file is an image: bytes that addresses count from. Every structure that is read is claimed; claims may not add up to more than the image, so that whatever refers to whatever, reading
 * ends after a time that its size bounds, and in the end no two may share a byte. */
#ifndef WMK_MODEL_FORMAT_HDF5_H
#define WMK_MODEL_FORMAT_HDF5_H

#include "base/memory.h"
#include "model/model.h"

#define WMK_HDF5_NOWHERE UINT64_MAX /* the undefined address */
enum { WMK_HDF5_DEPTH_MAX = 64, WMK_HDF5_FILTERS_MAX = 8, WMK_HDF5_INFLATE_MAX = 1032, WMK_HDF5_TREE_DEPTH_MAX = 16 };

/* Where reading stands in a structure. Reading past its end gives zeros and sets bad, which is asked once, after all fields. */
typedef struct wmk_hdf5_cursor {
    const unsigned char *at, *end;
    bool bad;
} wmk_hdf5_cursor;

static inline const unsigned char *wmk_hdf5_take_bytes(wmk_hdf5_cursor *cursor, uint64_t size)
{
    const unsigned char *at = cursor->at;
    if (cursor->bad || size > (uint64_t)(cursor->end - at)) {
        cursor->bad = true;
        return NULL;
    }
    cursor->at += size;
    return at;
}

/* A little-endian number of up to 8 bytes. */
static inline uint64_t wmk_hdf5_take(wmk_hdf5_cursor *cursor, unsigned size)
{
    const unsigned char *bytes = wmk_hdf5_take_bytes(cursor, size);
    uint64_t value = 0;
    for (unsigned i = size; bytes && i-- > 0;) value = value << 8 | bytes[i];
    return value;
}

typedef struct wmk_hdf5_claim {
    uint64_t begin, end;
    const char *what;          /* a constant */
    const unsigned char *name; /* [name_bytes] of the object's link, in the image */
    uint16_t name_bytes;
} wmk_hdf5_claim;

/* An image being read. */
typedef struct wmk_hdf5_image {
    const unsigned char *bytes;
    uint64_t size;
    uint8_t offset_bytes, length_bytes; /* widths of addresses and of sizes: 4 or 8 */
    uint64_t root;                      /* of the root group's object header */
    uint64_t end_at;                    /* where the end-of-file address is kept */
    uint64_t superblock_bytes;          /* before its checksum; 0: it has none */
    uint64_t user_block;                /* bytes before the image */
    wmk_hdf5_claim *claims;
    size_t claim_count, claim_capacity;
    uint64_t claimed;
    uint64_t searched;         /* bytes of global heaps gone through: they may be gone through often, but not without end */
    const unsigned char *name; /* [name_bytes] the link of what is being read, for claims */
    uint16_t name_bytes;
} wmk_hdf5_image;

/* ---- hdf5_image.c ---- */
/* Finds and reads the superblock (II.A). The caller frees image->claims. */
wmk_status wmk_hdf5_image_open(wmk_hdf5_image *image, const unsigned char *bytes, uint64_t size);
bool wmk_hdf5_probe(const unsigned char *bytes, size_t size);
/* A cursor over [address, address + size); INPUT when it is not all inside the image. */
wmk_status wmk_hdf5_at(const wmk_hdf5_image *image, uint64_t address, uint64_t size, const char *what, wmk_hdf5_cursor *out);
/* The same for a structure that begins with a signature of four letters (NULL: none), and claims it. */
wmk_status wmk_hdf5_claim_at(wmk_hdf5_image *image, uint64_t address, uint64_t size, const char *signature, const char *what, wmk_hdf5_cursor *out);
/* The checksum behind [begin, begin + size) (Jenkins' lookup3) is right. */
wmk_status wmk_hdf5_check(const wmk_hdf5_image *image, const unsigned char *begin, uint64_t size, const char *what);
/* No two claims share a byte. */
wmk_status wmk_hdf5_check_claims(wmk_hdf5_image *image);
uint32_t wmk_hdf5_checksum(const unsigned char *bytes, size_t size);
static inline uint64_t wmk_hdf5_take_address(const wmk_hdf5_image *image, wmk_hdf5_cursor *cursor)
{
    uint64_t address = wmk_hdf5_take(cursor, image->offset_bytes);
    return image->offset_bytes == 4 && address == UINT32_MAX ? WMK_HDF5_NOWHERE : address;
}
static inline uint64_t wmk_hdf5_take_length(const wmk_hdf5_image *image, wmk_hdf5_cursor *cursor)
{
    return wmk_hdf5_take(cursor, image->length_bytes);
}
/* Bytes that numbers up to `limit` need. */
unsigned wmk_hdf5_width(uint64_t limit);

/* ---- hdf5_object.c: object headers (IV.A.1) ---- */
enum {
    WMK_HDF5_DATASPACE = 1,
    WMK_HDF5_LINK_INFO = 2,
    WMK_HDF5_DATATYPE = 3,
    WMK_HDF5_FILL_OLD = 4,
    WMK_HDF5_FILL = 5,
    WMK_HDF5_LINK = 6,
    WMK_HDF5_EXTERNAL = 7,
    WMK_HDF5_LAYOUT = 8,
    WMK_HDF5_FILTERS = 11,
    WMK_HDF5_ATTRIBUTE = 12,
    WMK_HDF5_CONTINUATION = 16,
    WMK_HDF5_SYMBOL_TABLE = 17,
    WMK_HDF5_ATTRIBUTE_INFO = 21
};
typedef struct wmk_hdf5_message {
    uint8_t type;
    bool shared; /* the body only says where the message is */
    wmk_hdf5_cursor body;
    uint64_t block, block_bytes; /* the checksummed block of the image that it lies in; no checksum: 0 bytes */
} wmk_hdf5_message;
typedef struct wmk_hdf5_object {
    wmk_hdf5_message *message; /* [count]; the caller frees it */
    size_t count;
} wmk_hdf5_object;
wmk_status wmk_hdf5_object_read(wmk_hdf5_object *out, wmk_hdf5_image *image, uint64_t address);
const wmk_hdf5_message *wmk_hdf5_object_find(const wmk_hdf5_object *object, uint8_t type); /* NULL: none */

/* ---- hdf5_heap.c: version 2 B-trees (III.A.2), fractal heaps (III.G), global heaps (III.E) ---- */
/* A record and the checksummed block (without its checksum) it lies in. */
typedef wmk_status (*wmk_hdf5_record_fn)(void *payload, wmk_hdf5_cursor record, uint64_t block, uint64_t block_bytes);
wmk_status wmk_hdf5_tree2(wmk_hdf5_image *image, uint64_t address, unsigned type, wmk_hdf5_record_fn visit, void *payload);
typedef struct wmk_hdf5_heap {
    uint64_t address, root, start_bytes, direct_bytes_max;
    unsigned width, rows, offset_width, length_width;
    uint16_t id_bytes;
    bool checksums;
} wmk_hdf5_heap;
wmk_status wmk_hdf5_heap_open(wmk_hdf5_heap *out, wmk_hdf5_image *image, uint64_t address);
/* The object that a heap ID stands for. */
wmk_status wmk_hdf5_heap_get(const wmk_hdf5_heap *heap, wmk_hdf5_image *image, wmk_hdf5_cursor id, wmk_hdf5_cursor *out);
/* The object in a global heap that a reference (address, index) stands for. */
wmk_status wmk_hdf5_global(wmk_hdf5_image *image, uint64_t address, uint64_t index, wmk_hdf5_cursor *out);

/* ---- hdf5_group.c ---- */
/* One hard link: a name that is not ended by a NUL, and an object header's address. Others are passed over. */
typedef wmk_status (*wmk_hdf5_link_fn)(void *payload, const unsigned char *name, size_t name_bytes, uint64_t address);
bool wmk_hdf5_is_group(const wmk_hdf5_object *object);
wmk_status wmk_hdf5_links(wmk_hdf5_image *image, const wmk_hdf5_object *object, wmk_hdf5_link_fn visit, void *payload);

/* ---- hdf5_attribute.c ---- */
typedef struct wmk_hdf5_attribute {
    wmk_hdf5_cursor name, type, space, data;
} wmk_hdf5_attribute;
typedef struct wmk_hdf5_attributes {
    wmk_hdf5_attribute *attribute; /* [count]; the caller frees it */
    size_t count, capacity;
} wmk_hdf5_attributes;
/* Those an object has, read once. Some that are kept elsewhere are left out. */
wmk_status wmk_hdf5_attributes_read(wmk_hdf5_attributes *out, wmk_hdf5_image *image, const wmk_hdf5_object *object);
bool wmk_hdf5_has_attribute(const wmk_hdf5_attributes *attributes, const char *name);
/* The text of a string attribute, a copy that the caller frees; NULL: no such attribute, or no single text of at most `limit` bytes. */
wmk_status wmk_hdf5_attribute_text(char **out, wmk_hdf5_image *image, const wmk_hdf5_attributes *attributes, const char *name, size_t limit);

/* ---- hdf5_dataset.c ---- */
typedef enum wmk_hdf5_storage { WMK_HDF5_COMPACT, WMK_HDF5_CONTIGUOUS, WMK_HDF5_CHUNKED } wmk_hdf5_storage;
typedef struct wmk_hdf5_chunk {
    uint64_t number; /* in row-major order over the grid of chunks */
    uint64_t address, stored_bytes;
    uint32_t mask;       /* bit i: filter i was not applied */
    uint64_t address_at; /* where the index keeps the address, and the size if size_width != 0 */
    uint64_t size_at, mask_at;
    unsigned size_width;
    uint64_t block, block_bytes; /* the checksummed block that these lie in; no checksum: 0 bytes */
} wmk_hdf5_chunk;
typedef struct wmk_hdf5_dataset {
    wmk_dtype dtype; /* NONE: no numbers, passed over */
    bool opaque2;    /* two opaque bytes: bf16 if an attribute says so */
    uint32_t element_bytes, rank;
    uint64_t shape[WMK_RANK_MAX], shape_max[WMK_RANK_MAX], elements; /* shape_max: UINT64_MAX where it has no limit */
    wmk_hdf5_storage storage;
    uint64_t address, bytes;     /* of compact and contiguous data; NOWHERE: nothing was ever stored */
    uint64_t block, block_bytes; /* compact data: the checksummed block it lies in */
    unsigned char fill[8];
    uint8_t filter_count;
    struct {
        uint16_t id;
        uint32_t parameter; /* deflate: the level; shuffle: bytes of an element */
    } filter[WMK_HDF5_FILTERS_MAX];
    uint64_t chunk_shape[WMK_RANK_MAX], grid[WMK_RANK_MAX], chunk_bytes, grid_count;
    wmk_hdf5_chunk *chunk; /* [chunk_count] by number; freed by the owner */
    size_t chunk_count, chunk_capacity;
    bool sparse; /* so little is stored that it is not worth unpacking: no data */
} wmk_hdf5_dataset;
/* UNSUPPORTED, INPUT: as `open`; without the dataset's name. */
wmk_status wmk_hdf5_dataset_read(wmk_hdf5_dataset *out, wmk_hdf5_image *image, const wmk_hdf5_object *object);
/* A datatype (IV.A.2.d): its element type, NONE if that is no number; size of an element. */
wmk_status wmk_hdf5_datatype(wmk_hdf5_cursor body, wmk_dtype *dtype, unsigned *type_class, uint32_t *bytes);

/* ---- hdf5_chunk.c: where chunks are (III.A.1, VII) ---- */
typedef struct wmk_hdf5_index {
    unsigned kind; /* 0 a version 1 B-tree, else as layout messages of version 4 number them */
    uint64_t address, single_bytes;
    uint32_t single_mask;
    uint64_t address_at, single_at; /* in the image */
    uint64_t block, block_bytes;    /* the checksummed block that the layout message lies in */
    bool wide_sizes;                /* layout messages of version 5 */
} wmk_hdf5_index;
wmk_status wmk_hdf5_chunks_read(wmk_hdf5_dataset *dataset, wmk_hdf5_image *image, const wmk_hdf5_index *index);

/* ---- hdf5_filter.c ---- */
/* The dataset's elements, bytes [elements * element_bytes]. INPUT without the dataset's name. */
wmk_status wmk_hdf5_unpack(const wmk_hdf5_dataset *dataset, const unsigned char *image, void *bytes);
/* What one chunk holds, bytes [chunk_bytes], and the way back: *out is as it is stored, freed by the caller. */
wmk_status wmk_hdf5_chunk_decode(const wmk_hdf5_dataset *dataset, const unsigned char *image, const wmk_hdf5_chunk *chunk, unsigned char *bytes);
wmk_status wmk_hdf5_chunk_encode(const wmk_hdf5_dataset *dataset, uint32_t mask, const unsigned char *bytes, unsigned char **out,
                                 uint64_t *out_bytes);
/* Copies the part of a chunk that lies in the dataset between `bytes` (the dataset) and `chunk_bytes`. */
void wmk_hdf5_chunk_copy(const wmk_hdf5_dataset *dataset, uint64_t number, unsigned char *bytes, unsigned char *chunk_bytes, bool to_chunk);

/* ---- hdf5_read.c, hdf5_patch.c: images in files ---- */
/* What is kept of an image for unpacking and patching. */
typedef struct wmk_hdf5_state {
    uint64_t begin; /* of the image in its file */
    const unsigned char *bytes;
    uint64_t size;
    uint8_t offset_bytes;
    uint64_t end_at, superblock_bytes, user_block;
    size_t first;              /* the model's index of dataset 0 */
    wmk_hdf5_dataset *dataset; /* [count], under wmk_model_keep as this is */
    size_t count, capacity;
} wmk_hdf5_state;
/* Adds the datasets in bytes [begin, begin + size) of files[file]. keras: what is known of the model's layers, or NULL: then the image itself is asked. */
struct wmk_keras_layers;
wmk_status wmk_hdf5_read(wmk_hdf5_state **out, wmk_model *model, uint32_t file, uint64_t begin, uint64_t size, struct wmk_keras_layers *layers);
wmk_status wmk_hdf5_unpack_tensor(const wmk_hdf5_state *state, const wmk_model *model, const wmk_model_tensor *tensor, void *bytes);
/* Stores changed packed tensors and brings checksums up to date. grow: chunks that got larger may move to the file's end; else UNSUPPORTED. */
wmk_status wmk_hdf5_finish(const wmk_hdf5_state *state, wmk_patch *patch, uint32_t file, bool grow);

#endif
