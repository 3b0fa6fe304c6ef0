/* model/format/hdf5_filter.c - chunks to and from what is stored of them: deflate, shuffle, fletcher32 (HDF5 User Guide, "Filters"). */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "model/format/hdf5.h"

enum { DEFLATE = 1, SHUFFLE = 2, FLETCHER32 = 3 };

/* Fletcher's checksum over 16-bit big-endian words, as HDF5 computes it; sums are folded before they can overflow. */
static uint32_t fletcher32(const unsigned char *bytes, size_t size)
{
    uint32_t sum1 = 0, sum2 = 0;
    for (size_t words = size / 2; words > 0;) {
        size_t now = words > 360 ? 360 : words;
        words -= now;
        for (; now > 0; now--, bytes += 2) {
            sum1 += (uint32_t)bytes[0] << 8 | bytes[1];
            sum2 += sum1;
        }
        sum1 = (sum1 & 0xffff) + (sum1 >> 16);
        sum2 = (sum2 & 0xffff) + (sum2 >> 16);
    }
    if (size % 2) {
        sum1 += (uint32_t)bytes[0] << 8;
        sum2 += sum1;
        sum1 = (sum1 & 0xffff) + (sum1 >> 16);
        sum2 = (sum2 & 0xffff) + (sum2 >> 16);
    }
    sum1 = (sum1 & 0xffff) + (sum1 >> 16);
    sum2 = (sum2 & 0xffff) + (sum2 >> 16);
    return sum2 << 16 | sum1;
}

/* Byte j of element i goes to place j * elements + i; bytes after the last whole element stay. */
static void shuffle(unsigned char *to, const unsigned char *from, size_t size, size_t element, bool back)
{
    size_t count = size / element;
    for (size_t j = 0; j < element; j++)
        for (size_t i = 0; i < count; i++) {
            if (back)
                to[i * element + j] = from[j * count + i];
            else
                to[j * count + i] = from[i * element + j];
        }
    memcpy(to + count * element, from + count * element, size - count * element);
}

static wmk_status inflate_into(unsigned char *to, size_t to_bytes, size_t *made, const unsigned char *from, size_t size)
{
    z_stream z = {0};
    int code = inflateInit(&z);
    if (code != Z_OK) return wmk_fail_memory(to_bytes);
    size_t done = 0, read = 0;
    do { /* zlib counts in 32 bits */
        z.avail_in = (uInt)(size - read > 1 << 30 ? 1 << 30 : size - read);
        z.next_in = (Bytef *)(uintptr_t)(from + read);
        z.avail_out = (uInt)(to_bytes - done > 1 << 30 ? 1 << 30 : to_bytes - done);
        z.next_out = to + done;
        uInt in = z.avail_in, out = z.avail_out;
        code = inflate(&z, Z_NO_FLUSH);
        read += in - z.avail_in;
        done += out - z.avail_out;
        if (in == z.avail_in && out == z.avail_out) break; /* no step forward: full, or cut off */
    } while (code == Z_OK);
    inflateEnd(&z);
    if (code == Z_MEM_ERROR) return wmk_fail_memory(to_bytes);
    if (code != Z_STREAM_END)
        return wmk_fail(WMK_ERROR_INPUT, done == to_bytes ? "a chunk inflates to more than its elements" : "a chunk's deflated data is damaged");
    *made = done;
    return WMK_OK;
}

wmk_status wmk_hdf5_chunk_decode(const wmk_hdf5_dataset *d, const unsigned char *image, const wmk_hdf5_chunk *chunk, unsigned char *bytes)
{
    const unsigned char *from = image + chunk->address;
    size_t size = chunk->stored_bytes, room = d->chunk_bytes + 4;
    unsigned char *spare[2] = {NULL, NULL};
    wmk_status status;
    unsigned turn = 0;
    WMK_TRY_GOTO(status, wmk_alloc(&spare[0], room, 1), done);
    WMK_TRY_GOTO(status, wmk_alloc(&spare[1], room, 1), done);
    for (unsigned i = d->filter_count; i-- > 0;) {
        if (chunk->mask >> i & 1) continue;
        unsigned char *to = spare[turn];
        if (d->filter[i].id == FLETCHER32) {
            wmk_hdf5_cursor c = {from + (size < 4 ? 0 : size - 4), from + size, false};
            uint32_t kept = (uint32_t)wmk_hdf5_take(&c, 4), sum = size < 4 ? 0 : fletcher32(from, size - 4);
            if (size < 4) status = wmk_fail(WMK_ERROR_INPUT, "a chunk too short for its checksum");
            uint32_t swapped = (sum & 0x00ff00ff) << 8 | (sum >> 8 & 0x00ff00ff); /* as HDF5 before 1.6.3 kept it on some machines */
            if (size >= 4 && kept != sum && kept != swapped) status = wmk_fail(WMK_ERROR_INPUT, "a chunk's checksum is wrong");
            if (status != WMK_OK) goto done;
            size -= 4;
            continue;
        }
        if (d->filter[i].id == DEFLATE) {
            WMK_TRY_GOTO(status, inflate_into(to, room, &size, from, size), done);
        } else if (size > room) {
            status = wmk_fail(WMK_ERROR_INPUT, "a chunk of more bytes than its elements");
            goto done;
        } else {
            shuffle(to, from, size, d->element_bytes, true);
        }
        from = to;
        turn = !turn;
    }
    if (size == d->chunk_bytes)
        memcpy(bytes, from, size);
    else
        status = wmk_fail(WMK_ERROR_INPUT, "a chunk of %zu bytes whose elements take %llu", size, (unsigned long long)d->chunk_bytes);
done:
    free(spare[0]);
    free(spare[1]);
    return status;
}

wmk_status wmk_hdf5_chunk_encode(const wmk_hdf5_dataset *d, uint32_t mask, const unsigned char *bytes, unsigned char **out, uint64_t *out_bytes)
{
    unsigned char *from, *to;
    size_t size = d->chunk_bytes;
    WMK_TRY(wmk_alloc(&from, size + 4, 1));
    memcpy(from, bytes, size);
    for (unsigned i = 0; i < d->filter_count; i++) {
        if (mask >> i & 1) continue;
        if (d->filter[i].id == FLETCHER32) {
            uint32_t sum = fletcher32(from, size);
            wmk_status status = wmk_resize(&from, size + 4, 1);
            if (status != WMK_OK) {
                free(from);
                return status;
            }
            for (unsigned b = 0; b < 4; b++) from[size + b] = (unsigned char)(sum >> 8 * b);
            size += 4;
            continue;
        }
        bool deflate = d->filter[i].id == DEFLATE;
        uLongf made = deflate ? compressBound(size) : size;
        wmk_status status = wmk_alloc(&to, made, 1);
        if (status == WMK_OK && !deflate) shuffle(to, from, size, d->element_bytes, false);
        if (status == WMK_OK && deflate && compress2(to, &made, from, size, (int)d->filter[i].parameter) != Z_OK) {
            status = wmk_fail_memory(made);
            free(to);
        }
        free(from);
        if (status != WMK_OK) return status;
        from = to;
        size = made;
    }
    *out = from;
    *out_bytes = size;
    return WMK_OK;
}

/* Rows along the last axis, one memcpy each. */
void wmk_hdf5_chunk_copy(const wmk_hdf5_dataset *d, uint64_t number, unsigned char *bytes, unsigned char *chunk_bytes, bool to_chunk)
{
    uint64_t begin[WMK_RANK_MAX] = {0}, size[WMK_RANK_MAX] = {0}, at[WMK_RANK_MAX] = {0};
    unsigned rank = d->rank, last = rank - 1;
    for (unsigned axis = rank; axis-- > 0; number /= d->grid[axis]) {
        begin[axis] = number % d->grid[axis] * d->chunk_shape[axis];
        size[axis] = d->shape[axis] - begin[axis] < d->chunk_shape[axis] ? d->shape[axis] - begin[axis] : d->chunk_shape[axis];
    }
    for (;;) {
        uint64_t in_all = 0, in_chunk = 0;
        for (unsigned axis = 0; axis < rank; axis++) {
            in_all = in_all * d->shape[axis] + begin[axis] + at[axis];
            in_chunk = in_chunk * d->chunk_shape[axis] + at[axis];
        }
        unsigned char *a = bytes + in_all * d->element_bytes, *c = chunk_bytes + in_chunk * d->element_bytes;
        memcpy(to_chunk ? c : a, to_chunk ? a : c, size[last] * d->element_bytes);
        unsigned axis = last;
        while (axis > 0 && ++at[axis - 1] == size[axis - 1]) at[--axis] = 0;
        if (axis == 0) return;
    }
}

wmk_status wmk_hdf5_unpack(const wmk_hdf5_dataset *d, const unsigned char *image, void *bytes)
{
    unsigned char *chunk;
    wmk_status status = WMK_OK;
    if (d->elements == 0) return WMK_OK;
    if (d->chunk_count < d->grid_count)
        for (uint64_t i = 0; i < d->elements; i++) memcpy((unsigned char *)bytes + i * d->element_bytes, d->fill, d->element_bytes);
    if (d->chunk_count == 0) return WMK_OK;
    WMK_TRY(wmk_alloc(&chunk, d->chunk_bytes, 1));
    for (size_t i = 0; status == WMK_OK && i < d->chunk_count; i++) {
        status = wmk_hdf5_chunk_decode(d, image, &d->chunk[i], chunk);
        if (status == WMK_OK) wmk_hdf5_chunk_copy(d, d->chunk[i].number, bytes, chunk, false);
    }
    free(chunk);
    return status;
}
