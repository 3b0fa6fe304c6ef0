/* model/format/hdf5_patch.c - changed chunks back into a copy of the file: in place where they fit, else at its end; then the checksums of what refers to them. */
#include <stdlib.h>
#include <string.h>

#include "model/format/hdf5.h"
#include "model/patch.h"

typedef struct block {
    uint64_t begin, bytes;
} block;

typedef struct writer {
    const wmk_hdf5_state *state;
    wmk_output *output;
    bool grow, has_grown;
    uint64_t end;  /* of the image in the copy */
    block *blocks; /* [block_count] whose checksums are to be made */
    size_t block_count, block_capacity;
} writer;

static wmk_status write_at(writer *w, const void *bytes, size_t size, uint64_t address)
{
    return wmk_output_write_at(w->output, bytes, size, w->state->begin + address);
}

static wmk_status write_number(writer *w, uint64_t value, unsigned width, uint64_t address)
{
    unsigned char bytes[8];
    for (unsigned i = 0; i < width; i++) bytes[i] = (unsigned char)(value >> 8 * i);
    return write_at(w, bytes, width, address);
}

static wmk_status touch(writer *w, uint64_t begin, uint64_t bytes)
{
    if (bytes == 0 || (w->block_count && w->blocks[w->block_count - 1].begin == begin)) return WMK_OK;
    if (w->block_count == w->block_capacity) {
        size_t capacity = w->block_capacity ? 2 * w->block_capacity : 16;
        WMK_TRY(wmk_resize(&w->blocks, capacity, sizeof *w->blocks));
        w->block_capacity = capacity;
    }
    w->blocks[w->block_count++] = (block){begin, bytes};
    return WMK_OK;
}

/* What is stored of a changed chunk: no larger than before where harder compression helps. */
static wmk_status encode(const wmk_hdf5_dataset *d, const wmk_hdf5_chunk *chunk, const unsigned char *bytes, unsigned char **stored, uint64_t *size)
{
    WMK_TRY(wmk_hdf5_chunk_encode(d, chunk->mask, bytes, stored, size));
    if (*size <= chunk->stored_bytes) return WMK_OK;
    wmk_hdf5_dataset harder = *d;
    for (unsigned i = 0; i < harder.filter_count; i++)
        if (harder.filter[i].id == 1) harder.filter[i].parameter = 9;
    free(*stored);
    return wmk_hdf5_chunk_encode(&harder, chunk->mask, bytes, stored, size);
}

static wmk_status store(writer *w, const wmk_hdf5_chunk *chunk, const unsigned char *stored, uint64_t size)
{
    uint64_t address = chunk->address;
    if (size != chunk->stored_bytes && (chunk->size_width == 0 || (chunk->size_width < 8 && size >> 8 * chunk->size_width)))
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: a changed chunk of %llu bytes, more than its index can say", (unsigned long long)size);
    if (size > chunk->stored_bytes) {
        if (!w->grow)
            return wmk_fail(WMK_ERROR_UNSUPPORTED,
                            "not supported: changed values take more room than there is (a chunk of %llu bytes, now %llu), and nothing can be "
                            "moved in an HDF5 file inside of an archive",
                            (unsigned long long)chunk->stored_bytes, (unsigned long long)size);
        address = (w->end + 7) / 8 * 8;
        w->end = address + size;
        w->has_grown = true;
        if (w->state->offset_bytes == 4 && w->end > UINT32_MAX)
            return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: a file that would grow beyond its 32-bit addresses");
        WMK_TRY(write_number(w, address, w->state->offset_bytes, chunk->address_at));
    }
    if (size != chunk->stored_bytes) WMK_TRY(write_number(w, size, chunk->size_width, chunk->size_at));
    if (size != chunk->stored_bytes || address != chunk->address) WMK_TRY(touch(w, chunk->block, chunk->block_bytes));
    return write_at(w, stored, size, address);
}

/* before [chunk_bytes]: as the chunk is; now [chunk_bytes]: room. */
static wmk_status write_chunk(writer *w, const wmk_hdf5_dataset *d, const wmk_hdf5_chunk *chunk, unsigned char *data, unsigned char *before,
                              unsigned char *now)
{
    unsigned char *stored;
    uint64_t size;
    WMK_TRY(wmk_hdf5_chunk_decode(d, w->state->bytes, chunk, before));
    memcpy(now, before, d->chunk_bytes); /* what lies beyond the shape stays */
    wmk_hdf5_chunk_copy(d, chunk->number, data, now, true);
    if (memcmp(now, before, d->chunk_bytes) == 0) return WMK_OK;
    WMK_TRY(encode(d, chunk, now, &stored, &size));
    wmk_status status = store(w, chunk, stored, size);
    free(stored);
    return status;
}

/* Chunks that were never stored hold the fill value; if that was changed there is no place for it. */
static wmk_status check_missing(const wmk_hdf5_dataset *d, const unsigned char *data, unsigned char *chunk, unsigned char *fill)
{
    size_t next = 0;
    for (uint64_t number = 0; number < d->grid_count; number++) {
        if (next < d->chunk_count && d->chunk[next].number == number) {
            next++;
            continue;
        }
        for (uint64_t i = 0; i < d->chunk_bytes / d->element_bytes; i++) memcpy(fill + i * d->element_bytes, d->fill, d->element_bytes);
        memcpy(chunk, fill, d->chunk_bytes);
        wmk_hdf5_chunk_copy(d, number, (unsigned char *)(uintptr_t)data, chunk, true);
        if (memcmp(chunk, fill, d->chunk_bytes) != 0)
            return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: changing values of which the file stores only that they are all the same");
    }
    return WMK_OK;
}

static wmk_status write_dataset(writer *w, const wmk_hdf5_dataset *d, void *data)
{
    unsigned char *before, *now;
    wmk_status status = WMK_OK;
    WMK_TRY(wmk_alloc(&before, d->chunk_bytes, 1));
    WMK_TRY_GOTO(status, wmk_alloc(&now, d->chunk_bytes, 1), no_room);
    status = d->chunk_count < d->grid_count ? check_missing(d, data, before, now) : WMK_OK;
    for (size_t i = 0; status == WMK_OK && i < d->chunk_count; i++) status = write_chunk(w, d, &d->chunk[i], data, before, now);
    free(now);
no_room:
    free(before);
    return status;
}

static int by_begin(const void *left, const void *right)
{
    const block *a = left, *b = right;
    return a->begin < b->begin ? -1 : a->begin > b->begin;
}

static wmk_status write_checksums(writer *w)
{
    if (w->block_count > 1) qsort(w->blocks, w->block_count, sizeof *w->blocks, by_begin);
    for (size_t i = 0; i < w->block_count; i++) {
        const block *b = &w->blocks[i];
        unsigned char *bytes;
        if (i > 0 && b->begin == w->blocks[i - 1].begin) continue;
        WMK_TRY(wmk_alloc(&bytes, b->bytes, 1));
        wmk_status status = wmk_output_read_at(w->output, bytes, b->bytes, w->state->begin + b->begin);
        if (status == WMK_OK) status = write_number(w, wmk_hdf5_checksum(bytes, b->bytes), 4, b->begin + b->bytes);
        free(bytes);
        WMK_TRY(status);
    }
    return WMK_OK;
}

/* The end-of-file address follows what was appended. */
static wmk_status write_end(writer *w)
{
    const wmk_hdf5_state *state = w->state;
    if (!w->has_grown) return WMK_OK;
    WMK_TRY(write_number(w, state->user_block + w->end, state->offset_bytes, state->end_at));
    return touch(w, 0, state->superblock_bytes);
}

static wmk_status write_all(writer *w, wmk_patch *patch)
{
    const wmk_model *model = wmk_patch_model(patch);
    for (size_t i = 0; i < w->state->count; i++) {
        const wmk_hdf5_dataset *d = &w->state->dataset[i];
        size_t index = w->state->first + i;
        if (!wmk_patch_changed(patch, index)) continue;
        if (d->storage == WMK_HDF5_COMPACT) WMK_TRY(touch(w, d->block, d->block_bytes));
        if (!model->tensors[index].packed) continue;
        void *data;
        WMK_TRY(wmk_patch_data(patch, index, &data));
        wmk_status status = write_dataset(w, d, data);
        if (status != WMK_OK) return wmk_fail_within(status, "tensor \"%s\"", model->tensors[index].view.name);
    }
    WMK_TRY(write_end(w));
    return write_checksums(w);
}

wmk_status wmk_hdf5_finish(const wmk_hdf5_state *state, wmk_patch *patch, uint32_t file, bool grow)
{
    writer w = {.state = state, .output = wmk_patch_output(patch, file), .grow = grow, .end = state->size};
    wmk_status status = write_all(&w, patch);
    free(w.blocks);
    return status;
}
