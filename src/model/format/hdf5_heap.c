/* model/format/hdf5_heap.c - version 2 B-trees (III.A.2), fractal heaps (III.G) and global heaps (III.E). */
#include <string.h>

#include "model/format/hdf5.h"

/* ---- version 2 B-trees ---- */

typedef struct tree2 {
    wmk_hdf5_image *image;
    unsigned type, record_bytes, depth, count_width;
    uint32_t node_bytes;
    unsigned total_width[WMK_HDF5_TREE_DEPTH_MAX]; /* [depth] of the number of records below a node of that depth */
    wmk_hdf5_record_fn visit;
    void *payload;
} tree2;

/* Widths follow from how many records a node can have, leaves (depth 0) and above; "Number of Records", III.A.2. */
static wmk_status tree2_widths(tree2 *t)
{
    const uint64_t head = 10; /* signature, version, type, checksum */
    if (t->record_bytes == 0 || t->node_bytes < head + t->record_bytes) return wmk_fail(WMK_ERROR_INPUT, "a B-tree whose nodes hold no record");
    uint64_t most = (t->node_bytes - head) / t->record_bytes, below = most;
    t->count_width = wmk_hdf5_width(most);
    for (unsigned depth = 1; depth <= t->depth; depth++) {
        uint64_t pointer = t->image->offset_bytes + t->count_width + t->total_width[depth - 1];
        if (t->node_bytes < head + pointer) return wmk_fail(WMK_ERROR_INPUT, "a B-tree whose nodes hold no record");
        most = (t->node_bytes - head - pointer) / (t->record_bytes + pointer);
        if (!wmk_mul_u64(most + 1, below, &below) || !wmk_add_u64(below, most, &below)) below = UINT64_MAX;
        t->total_width[depth] = wmk_hdf5_width(below);
    }
    return WMK_OK;
}

static wmk_status tree2_node(tree2 *t, uint64_t address, uint64_t records, unsigned depth)
{
    wmk_hdf5_cursor c;
    uint64_t size = 6 + records * t->record_bytes; /* both below 2^16 */
    const unsigned pointer = t->image->offset_bytes + t->count_width + (depth > 1 ? t->total_width[depth - 1] : 0);
    if (depth > 0) size += (records + 1) * pointer;
    if (size + 4 > t->node_bytes)
        return wmk_fail(WMK_ERROR_INPUT, "a B-tree node of %llu records is larger than its nodes are", (unsigned long long)records);
    WMK_TRY(wmk_hdf5_claim_at(t->image, address, size + 4, depth ? "BTIN" : "BTLF", "a B-tree node", &c));
    const unsigned char *begin = c.at - 4;
    WMK_TRY(wmk_hdf5_check(t->image, begin, size, "a B-tree node"));
    if (wmk_hdf5_take(&c, 1) != 0 || wmk_hdf5_take(&c, 1) != t->type) return wmk_fail(WMK_ERROR_INPUT, "a B-tree node of another type than its tree");
    wmk_hdf5_cursor children = {c.at + records * t->record_bytes, begin + size, false};
    for (uint64_t i = 0; i <= records; i++) {
        if (depth > 0) {
            uint64_t child = wmk_hdf5_take_address(t->image, &children), count = wmk_hdf5_take(&children, t->count_width);
            if (depth > 1) wmk_hdf5_take(&children, t->total_width[depth - 1]);
            if (count > UINT16_MAX) return wmk_fail(WMK_ERROR_INPUT, "a B-tree node of %llu records", (unsigned long long)count);
            WMK_TRY(tree2_node(t, child, count, depth - 1));
        }
        if (i == records) break;
        const unsigned char *record = wmk_hdf5_take_bytes(&c, t->record_bytes);
        WMK_TRY(t->visit(t->payload, (wmk_hdf5_cursor){record, record + t->record_bytes, false}, address, size));
    }
    return WMK_OK;
}

wmk_status wmk_hdf5_tree2(wmk_hdf5_image *image, uint64_t address, unsigned type, wmk_hdf5_record_fn visit, void *payload)
{
    wmk_hdf5_cursor c;
    tree2 t = {.image = image, .visit = visit, .payload = payload};
    const unsigned size = 4 + 12 + image->offset_bytes + 2 + image->length_bytes;
    WMK_TRY(wmk_hdf5_claim_at(image, address, size + 4, "BTHD", "a B-tree header", &c));
    WMK_TRY(wmk_hdf5_check(image, c.at - 4, size, "a B-tree header"));
    unsigned version = (unsigned)wmk_hdf5_take(&c, 1);
    t.type = (unsigned)wmk_hdf5_take(&c, 1);
    t.node_bytes = (uint32_t)wmk_hdf5_take(&c, 4);
    t.record_bytes = (unsigned)wmk_hdf5_take(&c, 2);
    t.depth = (unsigned)wmk_hdf5_take(&c, 2);
    wmk_hdf5_take(&c, 2);
    uint64_t root = wmk_hdf5_take_address(image, &c), records = wmk_hdf5_take(&c, 2);
    if (version != 0) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: B-tree header version %u", version);
    if (t.type != type) return wmk_fail(WMK_ERROR_INPUT, "a B-tree of type %u where type %u belongs", t.type, type);
    if (t.depth >= WMK_HDF5_TREE_DEPTH_MAX) return wmk_fail(WMK_ERROR_INPUT, "a B-tree of depth %u", t.depth);
    WMK_TRY(tree2_widths(&t));
    if (root == WMK_HDF5_NOWHERE) return WMK_OK;
    return tree2_node(&t, root, records, t.depth);
}

/* ---- fractal heaps ---- */

static unsigned log2_of(uint64_t value)
{
    unsigned bits = 0;
    while (value >>= 1) bits++;
    return bits;
}

static bool is_power(uint64_t value) { return value && (value & (value - 1)) == 0; }

wmk_status wmk_hdf5_heap_open(wmk_hdf5_heap *out, wmk_hdf5_image *image, uint64_t address)
{
    wmk_hdf5_cursor c;
    const unsigned offset = image->offset_bytes, length = image->length_bytes, size = 22 + 12 * length + 3 * offset;
    WMK_TRY(wmk_hdf5_claim_at(image, address, size + 4, "FRHP", "a fractal heap", &c));
    const unsigned char *begin = c.at - 4;
    unsigned version = (unsigned)wmk_hdf5_take(&c, 1);
    *out = (wmk_hdf5_heap){.address = address, .id_bytes = (uint16_t)wmk_hdf5_take(&c, 2)};
    unsigned filters = (unsigned)wmk_hdf5_take(&c, 2);
    out->checksums = wmk_hdf5_take(&c, 1) & 2;
    uint64_t object_max = wmk_hdf5_take(&c, 4);
    wmk_hdf5_take_bytes(&c, 10 * length + 2 * offset); /* huge objects, free space, counts */
    out->width = (unsigned)wmk_hdf5_take(&c, 2);
    out->start_bytes = wmk_hdf5_take_length(image, &c);
    out->direct_bytes_max = wmk_hdf5_take_length(image, &c);
    unsigned bits = (unsigned)wmk_hdf5_take(&c, 2);
    wmk_hdf5_take(&c, 2);
    out->root = wmk_hdf5_take_address(image, &c);
    out->rows = (unsigned)wmk_hdf5_take(&c, 2);
    if (version != 0 || filters)
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: a fractal heap %s", filters ? "with filters" : "of another version");
    WMK_TRY(wmk_hdf5_check(image, begin, size, "a fractal heap"));
    if (!is_power(out->start_bytes) || !is_power(out->direct_bytes_max) || out->start_bytes > out->direct_bytes_max || !is_power(out->width) ||
        bits == 0 || bits > 63 || out->direct_bytes_max >> bits || out->rows > 64)
        return wmk_fail(WMK_ERROR_INPUT, "a fractal heap whose table of blocks has no sense");
    out->offset_width = (bits + 7) / 8;
    unsigned by_block = (log2_of(out->direct_bytes_max) + 7) / 8, by_object = wmk_hdf5_width(object_max);
    out->length_width = by_block < by_object ? by_block : by_object;
    return WMK_OK;
}

/* The block that `*offset` falls in within an indirect block: its child's number; *offset becomes relative to the child, *bytes is the child's size. */
static bool heap_child(const wmk_hdf5_heap *heap, unsigned rows, uint64_t *offset, uint64_t *child, uint64_t *bytes)
{
    uint64_t begin = 0, block = heap->start_bytes;
    for (unsigned row = 0; row < rows; row++) {
        uint64_t all;
        if (!wmk_mul_u64(block, heap->width, &all)) return false;
        if (*offset - begin < all) {
            *child = (uint64_t)row * heap->width + (*offset - begin) / block;
            *offset = (*offset - begin) % block;
            *bytes = block;
            return true;
        }
        begin += all;
        if (row > 0) block *= 2;
    }
    return false;
}

wmk_status wmk_hdf5_heap_get(const wmk_hdf5_heap *heap, wmk_hdf5_image *image, wmk_hdf5_cursor id, wmk_hdf5_cursor *out)
{
    unsigned kind = (unsigned)wmk_hdf5_take(&id, 1);
    if (kind != 0) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: an object that a fractal heap keeps outside of its blocks");
    uint64_t offset = wmk_hdf5_take(&id, heap->offset_width), length = wmk_hdf5_take(&id, heap->length_width);
    uint64_t address = heap->root, bytes = heap->start_bytes;
    unsigned rows = heap->rows;
    if (id.bad || address == WMK_HDF5_NOWHERE) return wmk_fail(WMK_ERROR_INPUT, "a fractal heap's object is nowhere");
    const unsigned block_head = 5 + image->offset_bytes + heap->offset_width;
    const unsigned direct_rows = log2_of(heap->direct_bytes_max) - log2_of(heap->start_bytes) + 2;
    for (int depth = 0; rows > 0; depth++) { /* through indirect blocks */
        uint64_t child, at;
        wmk_hdf5_cursor c;
        if (depth == 8 || !heap_child(heap, rows, &offset, &child, &bytes)) return wmk_fail(WMK_ERROR_INPUT, "an offset outside of its fractal heap");
        if (!wmk_add_u64(address, block_head + child * image->offset_bytes, &at)) at = UINT64_MAX;
        WMK_TRY(wmk_hdf5_at(image, address, 4, "a fractal heap's block", &c));
        if (memcmp(c.at, "FHIB", 4) != 0) return wmk_fail(WMK_ERROR_INPUT, "no \"FHIB\" at byte %llu", (unsigned long long)address);
        WMK_TRY(wmk_hdf5_at(image, at, image->offset_bytes, "a fractal heap's block", &c));
        address = wmk_hdf5_take_address(image, &c);
        bool direct = child / heap->width < direct_rows;
        rows = direct ? 0 : log2_of(bytes) - log2_of(heap->start_bytes * heap->width) + 1; /* an indirect child spans its size in rows */
        if (!direct && bytes < heap->start_bytes * heap->width) return wmk_fail(WMK_ERROR_INPUT, "a fractal heap whose table of blocks has no sense");
    }
    if (length == 0 || offset < block_head || offset > bytes || length > bytes - offset)
        return wmk_fail(WMK_ERROR_INPUT, "an object outside of its fractal heap's block");
    WMK_TRY(wmk_hdf5_at(image, address, bytes, "a fractal heap's block", out));
    if (memcmp(out->at, "FHDB", 4) != 0) return wmk_fail(WMK_ERROR_INPUT, "no \"FHDB\" at byte %llu", (unsigned long long)address);
    *out = (wmk_hdf5_cursor){out->at + offset, out->at + offset + length, false};
    return WMK_OK;
}

/* ---- global heaps ---- */

wmk_status wmk_hdf5_global(wmk_hdf5_image *image, uint64_t address, uint64_t index, wmk_hdf5_cursor *out)
{
    wmk_hdf5_cursor c;
    const unsigned head = 8 + image->length_bytes;
    WMK_TRY(wmk_hdf5_at(image, address, head, "a global heap", &c));
    if (memcmp(c.at, "GCOL", 4) != 0) return wmk_fail(WMK_ERROR_INPUT, "no \"GCOL\" at byte %llu", (unsigned long long)address);
    c.at += 8;
    uint64_t size = wmk_hdf5_take_length(image, &c);
    if (size < head) return wmk_fail(WMK_ERROR_INPUT, "a global heap of %llu bytes", (unsigned long long)size);
    WMK_TRY(wmk_hdf5_at(image, address, size, "a global heap", &c));
    c.at += head;
    while ((size_t)(c.end - c.at) >= 8u + image->length_bytes) {
        uint64_t number = wmk_hdf5_take(&c, 2);
        wmk_hdf5_take(&c, 6);
        uint64_t bytes = wmk_hdf5_take_length(image, &c);
        if (number == 0) break; /* free space to the end */
        const unsigned char *object = wmk_hdf5_take_bytes(&c, bytes);
        if (!object) break;
        image->searched += 8u + image->length_bytes;
        if (image->searched / 64 > image->size)
            return wmk_fail(WMK_ERROR_INPUT, "texts of its attributes lie so deep in one global heap that finding them would not end");
        if (number == index) {
            *out = (wmk_hdf5_cursor){object, object + bytes, false};
            return WMK_OK;
        }
        wmk_hdf5_take_bytes(&c, (8 - bytes % 8) % 8);
    }
    return wmk_fail(WMK_ERROR_INPUT, "the global heap at byte %llu has no object %llu", (unsigned long long)address, (unsigned long long)index);
}
