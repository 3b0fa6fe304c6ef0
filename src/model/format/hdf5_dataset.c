/* model/format/hdf5_dataset.c - what a dataset is: element type, shape, fill value, filters, and where its data lies (IV.A.2). */
#include <string.h>

#include "model/format/hdf5.h"

/* ---- element types (IV.A.2.d) ---- */

enum { CLASS_INTEGER = 0, CLASS_FLOAT = 1, CLASS_OPAQUE = 5, CLASS_ENUM = 8 };

static wmk_status integer_type(wmk_hdf5_cursor *c, unsigned flags, uint32_t bytes, wmk_dtype *dtype)
{
    static const wmk_dtype types[2][4] = {{WMK_U8, WMK_U16, WMK_U32, WMK_U64}, {WMK_I8, WMK_I16, WMK_I32, WMK_I64}};
    unsigned place = bytes == 1   ? 0
                     : bytes == 2 ? 1
                     : bytes == 4 ? 2
                                  : 3,
             offset = (unsigned)wmk_hdf5_take(c, 2), bits = (unsigned)wmk_hdf5_take(c, 2);
    if ((flags & 1) && bytes > 1) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: big-endian numbers");
    if (!c->bad && bytes == 1u << place && offset == 0 && bits == 8 * bytes) *dtype = types[(flags >> 3) & 1][place];
    return WMK_OK;
}

static wmk_status float_type(wmk_hdf5_cursor *c, unsigned flags, uint32_t bytes, wmk_dtype *dtype)
{
    static const struct {
        uint32_t bytes, exponent, mantissa, bias;
        wmk_dtype dtype;
    } types[] = {{8, 11, 52, 1023, WMK_F64}, {4, 8, 23, 127, WMK_F32}, {2, 5, 10, 15, WMK_F16}, {2, 8, 7, 127, WMK_BF16}};
    unsigned offset = (unsigned)wmk_hdf5_take(c, 2), bits = (unsigned)wmk_hdf5_take(c, 2), exponent_at = (unsigned)wmk_hdf5_take(c, 1);
    unsigned exponent = (unsigned)wmk_hdf5_take(c, 1), mantissa_at = (unsigned)wmk_hdf5_take(c, 1), mantissa = (unsigned)wmk_hdf5_take(c, 1);
    uint64_t bias = wmk_hdf5_take(c, 4);
    if (c->bad) return wmk_fail(WMK_ERROR_INPUT, "its datatype is cut off");
    if (flags & 0x41) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: big-endian numbers");
    bool ieee =
        offset == 0 && bits == 8 * bytes && mantissa_at == 0 && exponent_at == mantissa && (flags >> 4 & 3) == 2 && (flags >> 8 & 255) == bits - 1;
    for (size_t i = 0; ieee && i < sizeof types / sizeof types[0]; i++)
        if (types[i].bytes == bytes && types[i].exponent == exponent && types[i].mantissa == mantissa && types[i].bias == bias)
            *dtype = types[i].dtype;
    return *dtype ? WMK_OK
                  : wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: numbers of %u bytes with an exponent of %u bits and a mantissa of %u", bytes,
                             exponent, mantissa);
}

wmk_status wmk_hdf5_datatype(wmk_hdf5_cursor c, wmk_dtype *dtype, unsigned *type_class, uint32_t *bytes)
{
    unsigned head = (unsigned)wmk_hdf5_take(&c, 1), flags = (unsigned)wmk_hdf5_take(&c, 3);
    *dtype = WMK_DTYPE_NONE;
    *bytes = (uint32_t)wmk_hdf5_take(&c, 4);
    *type_class = head & 15;
    if (c.bad || *bytes == 0) return wmk_fail(WMK_ERROR_INPUT, "its datatype is cut off or of no size");
    if (*type_class == CLASS_INTEGER) return integer_type(&c, flags, *bytes, dtype);
    if (*type_class == CLASS_FLOAT) return float_type(&c, flags, *bytes, dtype);
    if (*type_class == CLASS_ENUM && *bytes == 1 && flags == 2 && (wmk_hdf5_take(&c, 1) & 15) == CLASS_INTEGER)
        *dtype = WMK_BOOL; /* as h5py writes it */
    return WMK_OK;
}

/* ---- shape (IV.A.2.b) ---- */

/* *numbers: false for a null dataspace, which holds nothing. */
static wmk_status read_shape(wmk_hdf5_dataset *d, const wmk_hdf5_image *image, wmk_hdf5_cursor c, bool *numbers)
{
    unsigned version = (unsigned)wmk_hdf5_take(&c, 1), rank = (unsigned)wmk_hdf5_take(&c, 1);
    unsigned flags = (unsigned)wmk_hdf5_take(&c, 1), kind = (unsigned)wmk_hdf5_take(&c, version == 1 ? 5 : 1);
    if (version != 1 && version != 2) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: dataspace version %u", version);
    if (rank > WMK_RANK_MAX) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: more than 8 axes");
    *numbers = version == 1 || kind != 2;
    d->rank = rank;
    for (unsigned axis = 0; axis < rank; axis++) d->shape[axis] = wmk_hdf5_take_length(image, &c);
    for (unsigned axis = 0; axis < rank; axis++) {
        d->shape_max[axis] = flags & 1 ? wmk_hdf5_take_length(image, &c) : d->shape[axis];
        if (image->length_bytes == 4 && d->shape_max[axis] == UINT32_MAX) d->shape_max[axis] = UINT64_MAX;
    }
    if (c.bad) return wmk_fail(WMK_ERROR_INPUT, "its dataspace is cut off");
    return WMK_OK;
}

/* ---- fill value (IV.A.2.e and f) ---- */

static void read_fill(wmk_hdf5_dataset *d, const wmk_hdf5_object *object)
{
    const wmk_hdf5_message *message = wmk_hdf5_object_find(object, WMK_HDF5_FILL);
    bool defined = true;
    wmk_hdf5_cursor c;
    if (message) {
        c = message->body;
        unsigned version = (unsigned)wmk_hdf5_take(&c, 1), flags = (unsigned)wmk_hdf5_take(&c, 1);
        if (version < 3) wmk_hdf5_take(&c, 1);
        defined = version < 3 ? (wmk_hdf5_take(&c, 1) != 0) : (flags & 32) != 0;
    } else if ((message = wmk_hdf5_object_find(object, WMK_HDF5_FILL_OLD)) != NULL) {
        c = message->body;
    } else {
        return;
    }
    uint64_t size = defined && !message->shared ? wmk_hdf5_take(&c, 4) : 0;
    const unsigned char *value = size == d->element_bytes && size <= sizeof d->fill ? wmk_hdf5_take_bytes(&c, size) : NULL;
    if (value) memcpy(d->fill, value, size);
}

/* ---- filters (IV.A.2.l) ---- */

enum { DEFLATE = 1, SHUFFLE = 2, FLETCHER32 = 3 };

static const char *filter_name(unsigned id)
{
    static const struct {
        unsigned id;
        const char *name;
    } names[] = {{4, "szip"},    {5, "nbit"},           {6, "scaleoffset"}, {32000, "lzf"},  {32001, "blosc"},
                 {32004, "lz4"}, {32008, "bitshuffle"}, {32013, "zfp"},     {32015, "zstd"}, {32026, "blosc2"}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].id == id) return names[i].name;
    return "an unknown one";
}

static wmk_status read_filters(wmk_hdf5_dataset *d, wmk_hdf5_cursor c)
{
    unsigned version = (unsigned)wmk_hdf5_take(&c, 1), count = (unsigned)wmk_hdf5_take(&c, 1);
    if (version != 1 && version != 2) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: filter message version %u", version);
    if (version == 1) wmk_hdf5_take(&c, 6);
    if (count > WMK_HDF5_FILTERS_MAX) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: %u filters, at most 8 are read", count);
    for (unsigned i = 0; i < count; i++) {
        unsigned id = (unsigned)wmk_hdf5_take(&c, 2), name = version == 1 || id >= 256 ? (unsigned)wmk_hdf5_take(&c, 2) : 0;
        wmk_hdf5_take(&c, 2);
        unsigned values = (unsigned)wmk_hdf5_take(&c, 2), first = 0;
        wmk_hdf5_take_bytes(&c, version == 1 ? (name + 7u) / 8 * 8 : name);
        for (unsigned v = 0; v < values; v++) {
            unsigned value = (unsigned)wmk_hdf5_take(&c, 4);
            if (v == 0) first = value;
        }
        if (version == 1 && values % 2) wmk_hdf5_take(&c, 4);
        if (c.bad) return wmk_fail(WMK_ERROR_INPUT, "its filters are cut off");
        if (id != DEFLATE && id != SHUFFLE && id != FLETCHER32)
            return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: filter %u (%s); deflate, shuffle and fletcher32 are read", id, filter_name(id));
        if (id == SHUFFLE && values && first != d->element_bytes)
            return wmk_fail(WMK_ERROR_INPUT, "it is shuffled for elements of %u bytes, its own have %u", first, d->element_bytes);
        for (unsigned before = 0; before < i; before++)
            if (d->filter[before].id == id) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: filter %u used twice", id);
        d->filter[i].id = (uint16_t)id;
        d->filter[i].parameter = id == DEFLATE && (!values || first > 9) ? 6 : first;
    }
    d->filter_count = (uint8_t)count;
    return WMK_OK;
}

/* ---- layout (IV.A.2.i) ---- */

static wmk_status chunk_sizes(wmk_hdf5_dataset *d, wmk_hdf5_cursor *c, unsigned axes, unsigned width)
{
    if (axes != d->rank + 1 || d->rank == 0) return wmk_fail(WMK_ERROR_INPUT, "chunks of %u axes for a shape of %u", axes - 1, d->rank);
    d->grid_count = 1;
    d->chunk_bytes = d->element_bytes;
    for (unsigned axis = 0; axis < d->rank; axis++) {
        uint64_t size = d->chunk_shape[axis] = wmk_hdf5_take(c, width);
        if (size == 0) return wmk_fail(WMK_ERROR_INPUT, "chunks of no elements");
        d->grid[axis] = d->shape[axis] / size + (d->shape[axis] % size != 0);
        if (!wmk_mul_u64(d->grid_count, d->grid[axis], &d->grid_count) || !wmk_mul_u64(d->chunk_bytes, size, &d->chunk_bytes))
            return wmk_fail(WMK_ERROR_INPUT, "chunks of more bytes than 64-bit numbers count");
    }
    if (wmk_hdf5_take(c, width) != d->element_bytes) return wmk_fail(WMK_ERROR_INPUT, "the elements of its chunks have another size than its own");
    return WMK_OK;
}

static wmk_status chunked_3(wmk_hdf5_dataset *d, wmk_hdf5_image *image, wmk_hdf5_cursor c)
{
    wmk_hdf5_index index = {0};
    unsigned axes = (unsigned)wmk_hdf5_take(&c, 1);
    index.address = wmk_hdf5_take_address(image, &c);
    WMK_TRY(chunk_sizes(d, &c, axes, 4));
    if (c.bad) return wmk_fail(WMK_ERROR_INPUT, "its layout is cut off");
    return wmk_hdf5_chunks_read(d, image, &index);
}

static wmk_status chunked_4(wmk_hdf5_dataset *d, wmk_hdf5_image *image, wmk_hdf5_cursor c, const wmk_hdf5_message *message, unsigned version)
{
    static const uint8_t parameters[] = {0, 0, 0, 1, 5, 6}; /* bytes of them, by index type */
    wmk_hdf5_index index = {.block = message->block, .block_bytes = message->block_bytes, .wide_sizes = version == 5};
    unsigned flags = (unsigned)wmk_hdf5_take(&c, 1), axes = (unsigned)wmk_hdf5_take(&c, 1), width = (unsigned)wmk_hdf5_take(&c, 1);
    if (width < 1 || width > 8) return wmk_fail(WMK_ERROR_INPUT, "chunk sizes in %u bytes", width);
    WMK_TRY(chunk_sizes(d, &c, axes, width));
    index.kind = (unsigned)wmk_hdf5_take(&c, 1);
    if (index.kind < 1 || index.kind > 5) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: chunk index type %u", index.kind);
    if (flags & 1) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: filters that leave out the chunks at the edge");
    if (index.kind == 1 && (flags & 2)) {
        index.single_at = (uint64_t)(c.at - image->bytes);
        index.single_bytes = wmk_hdf5_take_length(image, &c);
        index.single_mask = (uint32_t)wmk_hdf5_take(&c, 4);
    } else {
        wmk_hdf5_take_bytes(&c, parameters[index.kind]);
    }
    index.address_at = (uint64_t)(c.at - image->bytes);
    index.address = wmk_hdf5_take_address(image, &c);
    if (c.bad) return wmk_fail(WMK_ERROR_INPUT, "its layout is cut off");
    return wmk_hdf5_chunks_read(d, image, &index);
}

static wmk_status read_layout(wmk_hdf5_dataset *d, wmk_hdf5_image *image, const wmk_hdf5_message *message)
{
    wmk_hdf5_cursor c = message->body;
    unsigned version = (unsigned)wmk_hdf5_take(&c, 1), kind = (unsigned)wmk_hdf5_take(&c, 1);
    if (version < 3 || version > 5) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: data layout version %u", version);
    if (kind > 2)
        return wmk_fail(WMK_ERROR_UNSUPPORTED, kind == 3 ? "not supported: a virtual dataset" : "not supported: data layout class %u", kind);
    d->storage = (wmk_hdf5_storage)kind;
    if (d->storage == WMK_HDF5_CHUNKED) return version == 3 ? chunked_3(d, image, c) : chunked_4(d, image, c, message, version);
    if (d->filter_count) return wmk_fail(WMK_ERROR_INPUT, "filters on data that is not in chunks");
    if (d->storage == WMK_HDF5_COMPACT) {
        d->bytes = wmk_hdf5_take(&c, 2);
        d->address = (uint64_t)(c.at - image->bytes);
        d->block = message->block;
        d->block_bytes = message->block_bytes;
        wmk_hdf5_take_bytes(&c, d->bytes);
    } else {
        d->address = wmk_hdf5_take_address(image, &c);
        d->bytes = wmk_hdf5_take_length(image, &c);
    }
    if (c.bad) return wmk_fail(WMK_ERROR_INPUT, "its layout is cut off");
    uint64_t needed = d->elements * d->element_bytes;
    if (d->address != WMK_HDF5_NOWHERE && d->bytes != needed)
        return wmk_fail(WMK_ERROR_INPUT, "type and shape need %llu bytes, its data has %llu", (unsigned long long)needed,
                        (unsigned long long)d->bytes);
    if (d->storage == WMK_HDF5_CONTIGUOUS && d->address != WMK_HDF5_NOWHERE && d->bytes > 0)
        WMK_TRY(wmk_hdf5_claim_at(image, d->address, d->bytes, NULL, "the data", &c));
    return WMK_OK;
}

/* ---- all of it ---- */

static wmk_status need(const wmk_hdf5_object *object, uint8_t type, const char *what, const wmk_hdf5_message **out)
{
    *out = wmk_hdf5_object_find(object, type);
    if (!*out) return wmk_fail(WMK_ERROR_INPUT, "it has no %s", what);
    if ((*out)->shared) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: a %s that is kept elsewhere", what);
    return WMK_OK;
}

wmk_status wmk_hdf5_dataset_read(wmk_hdf5_dataset *out, wmk_hdf5_image *image, const wmk_hdf5_object *object)
{
    const wmk_hdf5_message *message;
    unsigned type_class;
    bool numbers = false;
    uint64_t bits;
    *out = (wmk_hdf5_dataset){.address = WMK_HDF5_NOWHERE};
    WMK_TRY(need(object, WMK_HDF5_DATATYPE, "datatype", &message));
    WMK_TRY(wmk_hdf5_datatype(message->body, &out->dtype, &type_class, &out->element_bytes));
    out->opaque2 = type_class == CLASS_OPAQUE && out->element_bytes == 2;
    if (!out->dtype && !out->opaque2) return WMK_OK;
    WMK_TRY(need(object, WMK_HDF5_DATASPACE, "dataspace", &message));
    WMK_TRY(read_shape(out, image, message->body, &numbers));
    if (!numbers) out->dtype = WMK_DTYPE_NONE, out->opaque2 = false;
    if (!numbers) return WMK_OK;
    if (!wmk_product_u64(out->shape, out->rank, &out->elements) || !wmk_mul_u64(out->elements, 8 * (uint64_t)out->element_bytes, &bits))
        return wmk_fail(WMK_ERROR_INPUT, "its shape gives more bits than 64-bit numbers count");
    if (wmk_hdf5_object_find(object, WMK_HDF5_EXTERNAL)) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: data in other files");
    read_fill(out, object);
    message = wmk_hdf5_object_find(object, WMK_HDF5_FILTERS);
    if (message && message->shared) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: filters that are kept elsewhere");
    if (message) WMK_TRY(read_filters(out, message->body));
    WMK_TRY(need(object, WMK_HDF5_LAYOUT, "data layout", &message));
    return read_layout(out, image, message);
}
