/* model/format/hdf5_chunk.c - where the chunks of a dataset are: version 1 B-trees (III.A.1) and the indexes of layout version 4 (VII). */
#include <stdlib.h>
#include <string.h>

#include "model/format/hdf5.h"

typedef struct reader {
    wmk_hdf5_dataset *d;
    wmk_hdf5_image *image;
    const wmk_hdf5_index *index;
    uint64_t grid_max[WMK_RANK_MAX], count_max; /* the grid that array indexes count by: it covers the largest shape allowed */
    unsigned order[WMK_RANK_MAX];               /* its axes, outermost first */
} reader;

static bool is_deflated(const wmk_hdf5_dataset *d, uint32_t mask)
{
    for (unsigned i = 0; i < d->filter_count; i++)
        if (d->filter[i].id == 1 && !(mask >> i & 1)) return true;
    return false;
}

static bool is_summed(const wmk_hdf5_dataset *d, uint32_t mask)
{
    for (unsigned i = 0; i < d->filter_count; i++)
        if (d->filter[i].id == 3 && !(mask >> i & 1)) return true;
    return false;
}

/* Checks and keeps one chunk; its number is set. */
static wmk_status add_chunk(reader *r, const wmk_hdf5_chunk *chunk)
{
    wmk_hdf5_dataset *d = r->d;
    wmk_hdf5_cursor data;
    uint64_t least = d->chunk_bytes;
    if (is_deflated(d, chunk->mask)) {
        if (chunk->stored_bytes < d->chunk_bytes / WMK_HDF5_INFLATE_MAX)
            return wmk_fail(WMK_ERROR_INPUT, "a chunk of %llu bytes cannot hold the %llu of its elements", (unsigned long long)chunk->stored_bytes,
                            (unsigned long long)d->chunk_bytes);
    } else if (chunk->stored_bytes != least + (is_summed(d, chunk->mask) ? 4 : 0)) {
        return wmk_fail(WMK_ERROR_INPUT, "a chunk of %llu bytes whose elements take %llu", (unsigned long long)chunk->stored_bytes,
                        (unsigned long long)d->chunk_bytes);
    }
    if (r->index->kind != 2) WMK_TRY(wmk_hdf5_claim_at(r->image, chunk->address, chunk->stored_bytes, NULL, "a chunk", &data));
    if (d->chunk_count == d->chunk_capacity) {
        size_t capacity = d->chunk_capacity ? 2 * d->chunk_capacity : 4;
        WMK_TRY(wmk_resize(&d->chunk, capacity, sizeof *d->chunk));
        d->chunk_capacity = capacity;
    }
    d->chunk[d->chunk_count++] = *chunk;
    return WMK_OK;
}

static wmk_status outside(void) { return wmk_fail(WMK_ERROR_INPUT, "a chunk outside of its shape"); }

/* ---- version 1 B-tree ---- */

static wmk_status tree1_node(reader *r, uint64_t address, int level)
{
    wmk_hdf5_cursor c;
    const wmk_hdf5_image *image = r->image;
    const unsigned offset = image->offset_bytes, key = 8 + 8 * (r->d->rank + 1);
    WMK_TRY(wmk_hdf5_at(image, address, 8, "a B-tree node", &c));
    uint64_t count = c.at[6] | (uint64_t)c.at[7] << 8;
    WMK_TRY(wmk_hdf5_claim_at(r->image, address, 8 + 2 * offset + count * (key + offset) + key, "TREE", "a B-tree node", &c));
    unsigned type = (unsigned)wmk_hdf5_take(&c, 1), own = (unsigned)wmk_hdf5_take(&c, 1);
    if (type != 1) return wmk_fail(WMK_ERROR_INPUT, "a B-tree of type %u where chunks belong", type);
    if (level < 0 ? own >= WMK_HDF5_TREE_DEPTH_MAX : own != (unsigned)level)
        return wmk_fail(WMK_ERROR_INPUT, "a B-tree node of level %u in the wrong place", own);
    wmk_hdf5_take_bytes(&c, 2 + 2 * offset);
    for (uint64_t i = 0; i < count; i++) {
        wmk_hdf5_chunk chunk = {.size_at = (uint64_t)(c.at - image->bytes), .size_width = 4};
        bool inside = true;
        chunk.stored_bytes = wmk_hdf5_take(&c, 4);
        chunk.mask_at = (uint64_t)(c.at - image->bytes);
        chunk.mask = (uint32_t)wmk_hdf5_take(&c, 4);
        for (unsigned axis = 0; axis < r->d->rank; axis++) {
            uint64_t at = wmk_hdf5_take(&c, 8), size = r->d->chunk_shape[axis];
            inside = inside && at % size == 0 && at / size < r->d->grid[axis];
            chunk.number = inside ? chunk.number * r->d->grid[axis] + at / size : 0;
        }
        wmk_hdf5_take(&c, 8);
        chunk.address_at = (uint64_t)(c.at - image->bytes);
        chunk.address = wmk_hdf5_take_address(image, &c);
        if (own) WMK_TRY(tree1_node(r, chunk.address, (int)own - 1));
        if (own) continue;
        if (!inside) return outside();
        WMK_TRY(add_chunk(r, &chunk));
    }
    return WMK_OK;
}

/* ---- one chunk; implicit ---- */

static wmk_status single_chunk(reader *r)
{
    const wmk_hdf5_index *index = r->index;
    wmk_hdf5_chunk chunk = {.address = index->address, .address_at = index->address_at, .block = index->block, .block_bytes = index->block_bytes};
    if (r->d->grid_count > 1) return wmk_fail(WMK_ERROR_INPUT, "an index of a single chunk for %llu", (unsigned long long)r->d->grid_count);
    if (r->d->grid_count == 0) return WMK_OK;
    chunk.stored_bytes = r->d->chunk_bytes;
    if (index->single_at) {
        chunk.stored_bytes = index->single_bytes;
        chunk.mask = index->single_mask;
        chunk.size_at = index->single_at;
        chunk.size_width = r->image->length_bytes;
        chunk.mask_at = index->single_at + r->image->length_bytes;
    } else if (r->d->filter_count) {
        return wmk_fail(WMK_ERROR_INPUT, "filters, and an index that keeps no sizes");
    }
    return add_chunk(r, &chunk);
}

/* The number of the chunk that an array index has in place `place`; false: it lies outside of the present shape. */
static bool number_of(const reader *r, uint64_t place, uint64_t *number)
{
    uint64_t at[WMK_RANK_MAX];
    *number = 0;
    for (unsigned i = r->d->rank; i-- > 1; place /= r->grid_max[r->order[i]]) at[r->order[i]] = place % r->grid_max[r->order[i]];
    at[r->order[0]] = place;
    for (unsigned axis = 0; axis < r->d->rank; axis++) {
        if (at[axis] >= r->d->grid[axis]) return false;
        *number = *number * r->d->grid[axis] + at[axis];
    }
    return true;
}

/* III.A "implicit": all chunks one after the other. */
static wmk_status implicit(reader *r)
{
    wmk_hdf5_cursor c;
    uint64_t bytes;
    if (r->d->filter_count) return wmk_fail(WMK_ERROR_INPUT, "filters, and an index that keeps no sizes");
    if (!wmk_mul_u64(r->count_max, r->d->chunk_bytes, &bytes)) return outside();
    WMK_TRY(wmk_hdf5_claim_at(r->image, r->index->address, bytes, NULL, "the chunks", &c));
    for (uint64_t i = 0; i < r->count_max; i++) {
        wmk_hdf5_chunk chunk = {.address = r->index->address + i * r->d->chunk_bytes, .stored_bytes = r->d->chunk_bytes};
        if (number_of(r, i, &chunk.number)) WMK_TRY(add_chunk(r, &chunk));
    }
    return WMK_OK;
}

/* ---- fixed array ---- */

/* An element of an array index: the address and, of filtered chunks, size and mask. */
static wmk_status element(reader *r, wmk_hdf5_cursor *c, uint64_t place, unsigned width, uint64_t block, uint64_t block_bytes)
{
    wmk_hdf5_chunk chunk = {.block = block, .block_bytes = block_bytes, .stored_bytes = r->d->chunk_bytes};
    const unsigned char *begin = r->image->bytes;
    chunk.address_at = (uint64_t)(c->at - begin);
    chunk.address = wmk_hdf5_take_address(r->image, c);
    if (width) {
        chunk.size_at = (uint64_t)(c->at - begin);
        chunk.size_width = width;
        chunk.stored_bytes = wmk_hdf5_take(c, width);
        chunk.mask_at = (uint64_t)(c->at - begin);
        chunk.mask = (uint32_t)wmk_hdf5_take(c, 4);
    }
    if (chunk.address == WMK_HDF5_NOWHERE) return WMK_OK;
    if (place >= r->count_max || !number_of(r, place, &chunk.number)) return outside();
    return add_chunk(r, &chunk);
}

/* Elements under one checksum: [address, address + head) comes before them. */
static wmk_status elements(reader *r, wmk_hdf5_cursor c, uint64_t first, uint64_t count, unsigned width, uint64_t address, uint64_t head)
{
    uint64_t size = head + count * (r->image->offset_bytes + (width ? width + 4 : 0));
    WMK_TRY(wmk_hdf5_check(r->image, r->image->bytes + address, size, "a block of the chunk index"));
    for (uint64_t i = 0; i < count; i++) WMK_TRY(element(r, &c, first + i, width, address, size));
    return WMK_OK;
}

/* The width of sizes in an array's elements, 0 where there are none. */
static wmk_status size_width(const reader *r, unsigned element_bytes, unsigned client, unsigned *width)
{
    unsigned plain = r->image->offset_bytes;
    *width = client ? element_bytes - plain - 4 : 0;
    bool good = client == (r->d->filter_count ? 1u : 0u) && (client ? element_bytes > plain + 4 && *width <= 8 : element_bytes == plain);
    return good ? WMK_OK : wmk_fail(WMK_ERROR_INPUT, "a chunk index whose elements have %u bytes", element_bytes);
}

static wmk_status fixed_array(reader *r)
{
    wmk_hdf5_image *image = r->image;
    const unsigned head = 8 + image->length_bytes + image->offset_bytes, block_head = 6 + image->offset_bytes;
    wmk_hdf5_cursor c;
    unsigned width;
    WMK_TRY(wmk_hdf5_claim_at(image, r->index->address, head + 4, "FAHD", "the chunk index", &c));
    WMK_TRY(wmk_hdf5_check(image, c.at - 4, head, "the chunk index"));
    unsigned version = (unsigned)wmk_hdf5_take(&c, 1), client = (unsigned)wmk_hdf5_take(&c, 1), bytes = (unsigned)wmk_hdf5_take(&c, 1);
    unsigned page_bits = (unsigned)wmk_hdf5_take(&c, 1);
    uint64_t count = wmk_hdf5_take_length(image, &c), address = wmk_hdf5_take_address(image, &c);
    if (version != 0 || page_bits > 31) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: a fixed array of version %u", version);
    WMK_TRY(size_width(r, bytes, client, &width));
    if (count != r->count_max || count > image->size)
        return wmk_fail(WMK_ERROR_INPUT, "a chunk index of %llu elements for %llu chunks", (unsigned long long)count,
                        (unsigned long long)r->count_max);
    if (address == WMK_HDF5_NOWHERE) return WMK_OK;
    const uint64_t page = (uint64_t)1 << page_bits, pages = count > page ? ((count - 1) >> page_bits) + 1 : 0, map = (pages + 7) / 8;
    WMK_TRY(wmk_hdf5_claim_at(image, address, block_head + map + (pages ? 0 : count * bytes) + 4, "FADB", "the chunk index", &c));
    c.at += 2 + image->offset_bytes;
    if (pages == 0) return elements(r, c, 0, count, width, address, block_head);
    const unsigned char *used = c.at;
    WMK_TRY(wmk_hdf5_check(image, image->bytes + address, block_head + map, "the chunk index"));
    address += block_head + map + 4;
    for (uint64_t i = 0; i < pages; i++, address += page * bytes + 4) {
        uint64_t here = i + 1 < pages ? page : count - i * page;
        if (!(used[i / 8] >> (7 - i % 8) & 1)) continue;
        WMK_TRY(wmk_hdf5_claim_at(image, address, here * bytes + 4, NULL, "a page of the chunk index", &c));
        WMK_TRY(elements(r, c, i * page, here, width, address, 0));
    }
    return WMK_OK;
}

/* ---- extensible array ---- */

/* Super block u has 2^(u/2) data blocks of 2^((u+1)/2) * block_elements elements; those of the first ones hang from the index block. */
typedef struct extensible {
    unsigned page_bits;
    uint64_t block_elements, page_elements, first; /* first: place of the next data block's first element */
    unsigned element_bytes, width, offset_width;
} extensible;

/* used: the bits that say which pages are there, this block's from bit `page` on; NULL: no pages. */
static wmk_status data_block(reader *r, extensible *e, uint64_t address, uint64_t count, const unsigned char *used, uint64_t page)
{
    wmk_hdf5_cursor c;
    const unsigned head = 6 + r->image->offset_bytes + e->offset_width;
    const uint64_t first = e->first, page_bytes = e->page_elements * e->element_bytes;
    e->first += count;
    if (address == WMK_HDF5_NOWHERE) return WMK_OK;
    if (count > r->image->size) return wmk_fail(WMK_ERROR_INPUT, "a block of the chunk index that does not fit the file");
    WMK_TRY(wmk_hdf5_claim_at(r->image, address, head + (used ? 0 : count * e->element_bytes) + 4, "EADB", "a block of the chunk index", &c));
    c.at += head - 4;
    if (!used) return elements(r, c, first, count, e->width, address, head);
    WMK_TRY(wmk_hdf5_check(r->image, r->image->bytes + address, head, "a block of the chunk index"));
    address += head + 4;
    for (uint64_t i = 0; i < count >> e->page_bits; i++, page++, address += page_bytes + 4) {
        if (!(used[page / 8] >> (7 - page % 8) & 1)) continue;
        WMK_TRY(wmk_hdf5_claim_at(r->image, address, page_bytes + 4, NULL, "a page of the chunk index", &c));
        WMK_TRY(elements(r, c, first + i * e->page_elements, e->page_elements, e->width, address, 0));
    }
    return WMK_OK;
}

static wmk_status super_block(reader *r, extensible *e, uint64_t address, uint64_t blocks, uint64_t count)
{
    wmk_hdf5_cursor c;
    const unsigned head = 6 + r->image->offset_bytes + e->offset_width;
    const uint64_t pages = count > e->page_elements ? count >> e->page_bits : 0, map = (pages + 7) / 8;
    if (address == WMK_HDF5_NOWHERE) {
        e->first += blocks * count; /* may wrap around, and is then beyond every shape */
        return WMK_OK;
    }
    if (blocks > UINT32_MAX || map > UINT32_MAX) return wmk_fail(WMK_ERROR_INPUT, "a block of the chunk index that does not fit the file");
    uint64_t all, size = blocks * (map + r->image->offset_bytes);
    if (!wmk_add_u64(size, head + 4, &all)) all = UINT64_MAX;
    WMK_TRY(wmk_hdf5_claim_at(r->image, address, all, "EASB", "a block of the chunk index", &c));
    WMK_TRY(wmk_hdf5_check(r->image, c.at - 4, head + size, "a block of the chunk index"));
    c.at += head - 4;
    const unsigned char *used = wmk_hdf5_take_bytes(&c, blocks * map);
    for (uint64_t i = 0; i < blocks; i++) WMK_TRY(data_block(r, e, wmk_hdf5_take_address(r->image, &c), count, pages ? used : NULL, i * pages));
    return WMK_OK;
}

/* The blocks that the index block refers to, itself last read by `c`. direct: so many super blocks have their data blocks there. */
static wmk_status extensible_blocks(reader *r, extensible *e, wmk_hdf5_cursor c, unsigned supers, unsigned direct)
{
    for (unsigned u = 0; u < supers; u++) {
        const uint64_t blocks = (uint64_t)1 << u / 2, count = e->block_elements << (u + 1) / 2;
        for (uint64_t i = 0; u < direct && i < blocks; i++) WMK_TRY(data_block(r, e, wmk_hdf5_take_address(r->image, &c), count, NULL, 0));
        if (u >= direct) WMK_TRY(super_block(r, e, wmk_hdf5_take_address(r->image, &c), blocks, count));
    }
    return WMK_OK;
}

static wmk_status extensible_array(reader *r)
{
    wmk_hdf5_image *image = r->image;
    const unsigned head = 12 + 6 * image->length_bytes + image->offset_bytes;
    wmk_hdf5_cursor c;
    extensible e = {0};
    WMK_TRY(wmk_hdf5_claim_at(image, r->index->address, head + 4, "EAHD", "the chunk index", &c));
    WMK_TRY(wmk_hdf5_check(image, c.at - 4, head, "the chunk index"));
    unsigned version = (unsigned)wmk_hdf5_take(&c, 1), client = (unsigned)wmk_hdf5_take(&c, 1);
    e.element_bytes = (unsigned)wmk_hdf5_take(&c, 1);
    unsigned bits = (unsigned)wmk_hdf5_take(&c, 1), own = (unsigned)wmk_hdf5_take(&c, 1);
    e.block_elements = wmk_hdf5_take(&c, 1);
    uint64_t pointers = wmk_hdf5_take(&c, 1);
    unsigned page_bits = (unsigned)wmk_hdf5_take(&c, 1), block_bits = 0, pointer_bits = 0;
    wmk_hdf5_take_bytes(&c, 6 * image->length_bytes); /* counts of what there is */
    uint64_t address = wmk_hdf5_take_address(image, &c);
    if (version != 0) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: an extensible array of version %u", version);
    WMK_TRY(size_width(r, e.element_bytes, client, &e.width));
    while (e.block_elements >> (block_bits + 1)) block_bits++;
    while (pointers >> (pointer_bits + 1)) pointer_bits++;
    const unsigned supers = 1 + bits - block_bits, direct = 2 * pointer_bits;
    if (e.block_elements != (uint64_t)1 << block_bits || pointers != (uint64_t)1 << pointer_bits || bits > 63 || bits < block_bits ||
        page_bits > 31 || direct > supers || block_bits + pointer_bits > page_bits)
        return wmk_fail(WMK_ERROR_INPUT, "a chunk index whose table of blocks has no sense");
    e.page_bits = page_bits;
    e.page_elements = (uint64_t)1 << page_bits;
    e.offset_width = (bits + 7) / 8;
    if (address == WMK_HDF5_NOWHERE) return WMK_OK;
    const uint64_t size = 6 + image->offset_bytes + own * e.element_bytes + (2 * (pointers - 1) + supers - direct) * image->offset_bytes;
    WMK_TRY(wmk_hdf5_claim_at(image, address, size + 4, "EAIB", "the chunk index", &c));
    WMK_TRY(wmk_hdf5_check(image, c.at - 4, size, "the chunk index"));
    c.at += 2 + image->offset_bytes;
    for (unsigned i = 0; i < own; i++) WMK_TRY(element(r, &c, i, e.width, address, size));
    e.first = own;
    return extensible_blocks(r, &e, c, supers, direct);
}

/* ---- version 2 B-tree ---- */

/* Types 10 and 11: address, of filtered chunks size and mask, and the chunk's place along each axis. */
static wmk_status tree2_record(void *payload, wmk_hdf5_cursor record, uint64_t block, uint64_t block_bytes)
{
    reader *r = payload;
    const wmk_hdf5_dataset *d = r->d;
    const unsigned plain = r->image->offset_bytes + 8 * d->rank, bytes = (unsigned)(record.end - record.at);
    wmk_hdf5_chunk chunk = {.block = block, .block_bytes = block_bytes, .stored_bytes = d->chunk_bytes};
    if (d->filter_count ? bytes <= plain + 4 || bytes > plain + 12 : bytes != plain)
        return wmk_fail(WMK_ERROR_INPUT, "a chunk index whose records have %u bytes", bytes);
    chunk.address_at = (uint64_t)(record.at - r->image->bytes);
    chunk.address = wmk_hdf5_take_address(r->image, &record);
    if (d->filter_count) {
        chunk.size_at = (uint64_t)(record.at - r->image->bytes);
        chunk.size_width = bytes - plain - 4;
        chunk.stored_bytes = wmk_hdf5_take(&record, chunk.size_width);
        chunk.mask_at = (uint64_t)(record.at - r->image->bytes);
        chunk.mask = (uint32_t)wmk_hdf5_take(&record, 4);
    }
    for (unsigned axis = 0; axis < d->rank; axis++) {
        uint64_t at = wmk_hdf5_take(&record, 8);
        if (at >= d->grid[axis]) return outside();
        chunk.number = chunk.number * d->grid[axis] + at;
    }
    return add_chunk(r, &chunk);
}

/* ---- all of them ---- */

static int by_number(const void *left, const void *right)
{
    const wmk_hdf5_chunk *a = left, *b = right;
    return a->number < b->number ? -1 : a->number > b->number;
}

static wmk_status bad_shape(void) { return wmk_fail(WMK_ERROR_INPUT, "a chunk index that its largest shape does not allow"); }

static wmk_status read_index(reader *r)
{
    const wmk_hdf5_index *index = r->index;
    if (index->address == WMK_HDF5_NOWHERE) return WMK_OK;
    if (index->kind == 0) return tree1_node(r, index->address, -1);
    if (index->kind == 1) return single_chunk(r);
    if (index->kind == 5) return wmk_hdf5_tree2(r->image, index->address, r->d->filter_count ? 11 : 10, tree2_record, r);
    unsigned unlimited = 0, next = 0;
    for (unsigned axis = 0; axis < r->d->rank; axis++) {
        uint64_t most = r->d->shape_max[axis], size = r->d->chunk_shape[axis];
        r->grid_max[axis] = most / size + (most % size != 0);
        if (r->grid_max[axis] < r->d->grid[axis]) return bad_shape();
        if (most == UINT64_MAX) unlimited = 1, r->order[next++] = axis; /* an axis without limit counts slowest */
    }
    if (next != (index->kind == 4 ? 1u : 0u)) return bad_shape();
    r->count_max = unlimited ? UINT64_MAX : 1;
    for (unsigned axis = 0; axis < r->d->rank; axis++) {
        if (r->grid_max[axis] == 0) return WMK_OK; /* no elements, now or ever */
        if (r->d->shape_max[axis] != UINT64_MAX) r->order[next++] = axis;
        if (!unlimited && !wmk_mul_u64(r->count_max, r->grid_max[axis], &r->count_max)) return bad_shape();
    }
    return index->kind == 2 ? implicit(r) : index->kind == 3 ? fixed_array(r) : extensible_array(r);
}

wmk_status wmk_hdf5_chunks_read(wmk_hdf5_dataset *d, wmk_hdf5_image *image, const wmk_hdf5_index *index)
{
    reader r = {.d = d, .image = image, .index = index};
    uint64_t stored = 0;
    WMK_TRY(read_index(&r));
    if (d->chunk_count > 1) qsort(d->chunk, d->chunk_count, sizeof *d->chunk, by_number);
    for (size_t i = 0; i < d->chunk_count; i++) {
        if (i > 0 && d->chunk[i].number == d->chunk[i - 1].number) return wmk_fail(WMK_ERROR_INPUT, "a chunk is there twice");
        stored += d->chunk[i].stored_bytes;
    }
    d->sparse = d->elements * d->element_bytes / WMK_HDF5_INFLATE_MAX > stored;
    return WMK_OK;
}
