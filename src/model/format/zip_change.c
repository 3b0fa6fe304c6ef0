/* model/format/zip_change.c - new content for members in a copy of a zip archive. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/memory.h"
#include "model/format/zip_fields.h"

enum { CHUNK_BYTES = 1 << 14, CRC_AT_LOCAL = 14, CRC_AT_CENTRAL = 16 };

static wmk_status put(wmk_output *copy, uint64_t at, uint64_t value, unsigned width)
{
    unsigned char bytes[8];
    for (unsigned i = 0; i < width; i++) bytes[i] = (unsigned char)(value >> 8 * i);
    return wmk_output_write_at(copy, bytes, width, at);
}

/* A size or place in the record that begins at `record`. */
static wmk_status put_size(wmk_output *copy, uint64_t record, const wmk_zip_number *number, uint64_t value)
{
    if (number->width == 4 && value >= UINT32_MAX)
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: zip: the changed archive would be too large for its 32-bit sizes");
    return put(copy, record + number->at, value, number->width);
}

wmk_status wmk_zip_refresh(wmk_output *copy, const wmk_zip_member *member)
{
    unsigned char chunk[CHUNK_BYTES], after[WMK_ZIP_DESCRIPTOR_BYTES_MAX], header[WMK_ZIP_LOCAL_BYTES];
    wmk_zip_fields descriptor;
    uint32_t crc = 0;
    for (uint64_t done = 0; done < member->stored_bytes;) {
        size_t step = member->stored_bytes - done < sizeof chunk ? (size_t)(member->stored_bytes - done) : sizeof chunk;
        WMK_TRY(wmk_output_read_at(copy, chunk, step, member->offset + done));
        crc = wmk_zip_crc(crc, chunk, step);
        done += step;
    }
    WMK_TRY(wmk_output_read_at(copy, header, sizeof header, member->local));
    bool later = header[6] & WMK_ZIP_FLAG_DESCRIPTOR;
    if (later) { /* the directory follows the members, so that the longest descriptor's bytes are there */
        WMK_TRY(wmk_output_read_at(copy, after, sizeof after, member->offset + member->stored_bytes));
        if (wmk_zip_descriptor_fields(&descriptor, after, sizeof after, member))
            WMK_TRY(put(copy, member->offset + member->stored_bytes + descriptor.crc.at, crc, 4));
    }
    if (!later || wmk_zip_get(header + CRC_AT_LOCAL, 4) != 0) WMK_TRY(put(copy, member->local + CRC_AT_LOCAL, crc, 4));
    return put(copy, member->central + CRC_AT_CENTRAL, crc, 4);
}

/* ---- replacing ---- */

/* A member in the order of the file. Unsigned shifts wrap: a place and its shift give the new place. */
typedef struct change {
    const wmk_zip_member *member;
    const void *content;   /* NULL: as it is */
    unsigned char *packed; /* content, deflated; NULL: nothing to move for */
    uint64_t stored_bytes; /* new */
    uint64_t shift;        /* of its header */
    uint32_t crc;          /* new */
} change;

static int by_place(const void *left, const void *right)
{
    uint64_t a = ((const change *)left)->member->local, b = ((const change *)right)->member->local;
    return a < b ? -1 : a > b;
}

/* zlib counts in 32 bits. */
enum { STEP_BYTES = 1 << 30 };

/* *packed [*size] = content as a raw deflate stream; the caller frees it. */
static wmk_status pack(unsigned char **packed, uint64_t *size, const void *content, uint64_t bytes)
{
    z_stream stream = {0};
    int result = deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
    if (result != Z_OK) return result == Z_MEM_ERROR ? wmk_fail_memory(sizeof stream) : wmk_fail(WMK_ERROR_INTERNAL, "zlib does not start");
    uint64_t room = deflateBound(&stream, bytes), left = bytes;
    unsigned char *block;
    wmk_status status = wmk_alloc(&block, room, 1);
    *size = 0;
    stream.next_in = (unsigned char *)content; /* zlib only reads it */
    stream.next_out = block;
    while (status == WMK_OK && result == Z_OK) {
        uInt in = left < STEP_BYTES ? (uInt)left : STEP_BYTES, out = room - *size < STEP_BYTES ? (uInt)(room - *size) : STEP_BYTES;
        stream.avail_in = in;
        stream.avail_out = out;
        result = deflate(&stream, left <= STEP_BYTES ? Z_FINISH : Z_NO_FLUSH);
        left -= in - stream.avail_in;
        *size += out - stream.avail_out;
    }
    deflateEnd(&stream);
    if (status == WMK_OK && result != Z_STREAM_END) status = wmk_fail(WMK_ERROR_INTERNAL, "deflate did not end within its own bound");
    if (status == WMK_OK)
        *packed = block;
    else
        free(block);
    return status;
}

/* What each member becomes. */
static wmk_status plan(change *changes, size_t count)
{
    uint64_t shift = 0;
    for (size_t i = 0; i < count; i++) {
        change *c = &changes[i];
        c->shift = shift;
        c->stored_bytes = c->member->stored_bytes;
        if (!c->content) continue;
        c->crc = wmk_zip_crc(0, c->content, c->member->bytes);
        if (c->member->method == WMK_ZIP_STORED) continue;
        if (c->member->method != WMK_ZIP_DEFLATED)
            return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: zip: \"%s\" is compressed by method %u, only deflate is written", c->member->name,
                            c->member->method);
        WMK_TRY(pack(&c->packed, &c->stored_bytes, c->content, c->member->bytes));
        shift += c->stored_bytes - c->member->stored_bytes;
    }
    return WMK_OK;
}

/* Bytes [begin, end) of the copy to begin + shift; the two may overlap. */
static wmk_status move(wmk_output *copy, unsigned char *chunk, uint64_t begin, uint64_t end, uint64_t shift)
{
    bool down = shift > INT64_MAX;
    while (begin < end) {
        size_t step = end - begin < CHUNK_BYTES ? (size_t)(end - begin) : CHUNK_BYTES;
        uint64_t from = down ? begin : end - step;
        WMK_TRY(wmk_output_read_at(copy, chunk, step, from));
        WMK_TRY(wmk_output_write_at(copy, chunk, step, from + shift));
        if (down)
            begin += step;
        else
            end -= step;
    }
    return WMK_OK;
}

/* What lies between repacked members, and after the last. */
typedef struct piece {
    uint64_t begin, end, shift;
} piece;

/* What goes down is moved in ascending order, then what goes up in descending order. As the pieces keep their order none comes to lie on one that is still to be moved. */
static wmk_status move_pieces(wmk_output *copy, const piece *pieces, size_t count)
{
    unsigned char *chunk;
    wmk_status status = WMK_OK;
    WMK_TRY(wmk_alloc(&chunk, CHUNK_BYTES, 1));
    for (size_t i = 0; i < count && status == WMK_OK; i++)
        if (pieces[i].shift > INT64_MAX) status = move(copy, chunk, pieces[i].begin, pieces[i].end, pieces[i].shift);
    for (size_t i = count; i-- > 0 && status == WMK_OK;)
        if (pieces[i].shift != 0 && pieces[i].shift <= INT64_MAX) status = move(copy, chunk, pieces[i].begin, pieces[i].end, pieces[i].shift);
    free(chunk);
    return status;
}

/* Makes room, and puts the new bytes there. *shift: of all after the last member. */
static wmk_status put_contents(wmk_output *copy, const change *changes, size_t count, uint64_t size, uint64_t *shift)
{
    piece *pieces;
    size_t piece_count = 0;
    *shift = 0;
    WMK_TRY(wmk_alloc(&pieces, count + 1, sizeof *pieces));
    for (size_t i = 0; i < count; i++) {
        const wmk_zip_member *member = changes[i].member;
        if (!changes[i].packed) continue;
        *shift = changes[i].shift + changes[i].stored_bytes - member->stored_bytes;
        if (piece_count) pieces[piece_count - 1].end = member->offset;
        pieces[piece_count++] = (piece){member->offset + member->stored_bytes, size, *shift};
    }
    wmk_status status = move_pieces(copy, pieces, piece_count);
    free(pieces);
    for (size_t i = 0; i < count && status == WMK_OK; i++)
        if (changes[i].content)
            status = wmk_output_write_at(copy, changes[i].packed ? changes[i].packed : changes[i].content, changes[i].stored_bytes,
                                         changes[i].member->offset + changes[i].shift);
    if (status == WMK_OK && *shift > INT64_MAX) status = wmk_output_truncate(copy, size + *shift);
    return status;
}

/* The numbers in the records of one member, which have been moved. */
static wmk_status put_records(wmk_output *copy, const change *c, const wmk_map *map, uint64_t directory_shift)
{
    const wmk_zip_member *member = c->member;
    uint64_t central = member->central + directory_shift, local = member->local + c->shift, after = member->offset + member->stored_bytes;
    wmk_zip_fields fields;
    wmk_zip_central_fields(&fields, map->data + member->central, map->size - member->central);
    if (c->shift) WMK_TRY(put_size(copy, central, &fields.local, local));
    if (!c->content) return WMK_OK;
    WMK_TRY(put(copy, central + CRC_AT_CENTRAL, c->crc, 4));
    WMK_TRY(put_size(copy, central, &fields.stored, c->stored_bytes));
    wmk_zip_local_fields(&fields, map->data + member->local, map->size - member->local);
    bool later = fields.flags & WMK_ZIP_FLAG_DESCRIPTOR; /* then a header may say nothing of its own */
    if (!later || fields.crc.value != 0) WMK_TRY(put(copy, local + CRC_AT_LOCAL, c->crc, 4));
    if (!later || (fields.stored.value != 0 && fields.stored.value == member->stored_bytes))
        WMK_TRY(put_size(copy, local, &fields.stored, c->stored_bytes));
    if (!later) return WMK_OK;
    wmk_zip_descriptor_fields(&fields, map->data + after, map->size - after, member);
    uint64_t descriptor = member->offset + c->shift + c->stored_bytes;
    WMK_TRY(put(copy, descriptor + fields.crc.at, c->crc, 4));
    return put_size(copy, descriptor, &fields.stored, c->stored_bytes);
}

/* The end records say where the directory and each other are. */
static wmk_status put_end(wmk_output *copy, const wmk_map *map, uint64_t shift)
{
    static const wmk_zip_number directory = {16, 0, 4}, directory64 = {48, 0, 8}, end64 = {8, 0, 8};
    wmk_zip_end end;
    if (shift == 0) return WMK_OK;
    WMK_TRY(wmk_zip_find_directory(&end, map->data, map->size));
    if (end.end64) {
        WMK_TRY(put_size(copy, end.end64 + shift, &directory64, end.directory + shift));
        WMK_TRY(put_size(copy, end.locator + shift, &end64, end.end64 + shift));
    }
    if (end.end64 && wmk_zip_get(map->data + end.end + directory.at, 4) == UINT32_MAX) return WMK_OK;
    return put_size(copy, end.end + shift, &directory, end.directory + shift);
}

wmk_status wmk_zip_replace(wmk_output *copy, const wmk_zip *zip, const wmk_map *map, const void *const *content)
{
    change *changes;
    uint64_t shift;
    WMK_TRY(wmk_alloc(&changes, zip->count, sizeof *changes));
    for (size_t i = 0; i < zip->count; i++) changes[i] = (change){.member = &zip->member[i], .content = content[i]};
    qsort(changes, zip->count, sizeof *changes, by_place);
    wmk_status status = plan(changes, zip->count);
    if (status == WMK_OK) status = put_contents(copy, changes, zip->count, map->size, &shift);
    for (size_t i = 0; i < zip->count && status == WMK_OK; i++) status = put_records(copy, &changes[i], map, shift);
    if (status == WMK_OK) status = put_end(copy, map, shift);
    for (size_t i = 0; i < zip->count; i++) free(changes[i].packed);
    free(changes);
    return status;
}
