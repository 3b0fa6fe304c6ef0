/* model/format/zip.c - reads zip archives. The central directory is the truth; every local header and data descriptor must agree with it, or two readers could see two archives.
 * zip_change.c changes a copy. PKWARE APPNOTE.TXT 6.3.10: local header 4.3.7, data descriptor 4.3.9, directory 4.3.12, its end 4.3.14 to 4.3.16, zip64 sizes 4.5.3. */
#include "model/format/zip.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/memory.h"
#include "model/format/zip_fields.h"

/* Deflate makes at most 258 bytes of 2 bits; zlib states 1032 to 1 (zlib.net/zlib_tech.html). */
enum { DEFLATE_RATIO_MAX = 1032 };

enum { FLAG_ENCRYPTED = 1 << 0, FLAG_PATCH = 1 << 5, FLAG_STRONG = 1 << 6, FLAG_MASKED = 1 << 13 };

/* ---- fields ---- */

uint64_t wmk_zip_get(const unsigned char *bytes, unsigned width)
{
    uint64_t value = 0;
    for (unsigned i = width; i-- > 0;) value = value << 8 | bytes[i];
    return value;
}

static uint32_t get16(const unsigned char *bytes) { return (uint32_t)wmk_zip_get(bytes, 2); }
static uint32_t get32(const unsigned char *bytes) { return (uint32_t)wmk_zip_get(bytes, 4); }
static uint64_t get64(const unsigned char *bytes) { return wmk_zip_get(bytes, 8); }

/* A 32-bit field of all ones has its number in the zip64 extra field, in this order: size, stored size, offset. Without that extra it is a number like others. */
static void widen(const unsigned char *bytes, const unsigned char *extra, size_t extra_bytes, wmk_zip_number *const *fields, size_t count)
{
    while (extra_bytes >= 4 && get16(extra) != 1) {
        size_t skip = 4 + (size_t)get16(extra + 2);
        if (skip > extra_bytes) return; /* padding that some tools leave there */
        extra += skip;
        extra_bytes -= skip;
    }
    if (extra_bytes < 4) return;
    size_t left = get16(extra + 2) < extra_bytes - 4 ? get16(extra + 2) : extra_bytes - 4;
    extra += 4;
    for (size_t i = 0; i < count && left >= 8; i++) {
        if (fields[i]->value != UINT32_MAX) continue;
        *fields[i] = (wmk_zip_number){(size_t)(extra - bytes), get64(extra), 8};
        extra += 8;
        left -= 8;
    }
}

static wmk_zip_number number(const unsigned char *bytes, size_t at) { return (wmk_zip_number){at, get32(bytes + at), 4}; }

size_t wmk_zip_central_fields(wmk_zip_fields *out, const unsigned char *record, size_t size)
{
    if (size < WMK_ZIP_CENTRAL_BYTES || get32(record) != WMK_ZIP_CENTRAL) return 0;
    size_t name = get16(record + 28), extra = get16(record + 30), comment = get16(record + 32);
    if (name + extra + comment > size - WMK_ZIP_CENTRAL_BYTES) return 0;
    *out = (wmk_zip_fields){.flags = get16(record + 8),
                            .method = get16(record + 10),
                            .crc = number(record, 16),
                            .stored = number(record, 20),
                            .bytes = number(record, 24),
                            .local = number(record, 42),
                            .disk = get16(record + 34),
                            .name_bytes = name};
    widen(record, record + WMK_ZIP_CENTRAL_BYTES + name, extra, (wmk_zip_number *[]){&out->bytes, &out->stored, &out->local}, 3);
    return WMK_ZIP_CENTRAL_BYTES + name + extra + comment;
}

size_t wmk_zip_local_fields(wmk_zip_fields *out, const unsigned char *record, size_t size)
{
    if (size < WMK_ZIP_LOCAL_BYTES || get32(record) != WMK_ZIP_LOCAL) return 0;
    size_t name = get16(record + 26), extra = get16(record + 28);
    if (name + extra > size - WMK_ZIP_LOCAL_BYTES) return 0;
    *out = (wmk_zip_fields){.flags = get16(record + 6),
                            .method = get16(record + 8),
                            .crc = number(record, 14),
                            .stored = number(record, 18),
                            .bytes = number(record, 22),
                            .name_bytes = name};
    widen(record, record + WMK_ZIP_LOCAL_BYTES + name, extra, (wmk_zip_number *[]){&out->bytes, &out->stored}, 2);
    return WMK_ZIP_LOCAL_BYTES + name + extra;
}

/* With or without a signature, with sizes of 4 or of 8 bytes: the form whose numbers are the directory's. */
size_t wmk_zip_descriptor_fields(wmk_zip_fields *out, const unsigned char *bytes, size_t size, const wmk_zip_member *member)
{
    for (unsigned form = 0; form < 4; form++) {
        size_t begin = form & 1 ? 0 : 4, width = form & 2 ? 8 : 4, end = begin + 4 + 2 * width;
        if (size < end || (begin && get32(bytes) != WMK_ZIP_DESCRIPTOR) || get32(bytes + begin) != member->crc) continue;
        uint64_t stored = wmk_zip_get(bytes + begin + 4, (unsigned)width), plain = wmk_zip_get(bytes + begin + 4 + width, (unsigned)width);
        if (stored != member->stored_bytes || plain != member->bytes) continue;
        *out = (wmk_zip_fields){
            .crc = number(bytes, begin), .stored = {begin + 4, stored, (unsigned)width}, .bytes = {begin + 4 + width, plain, (unsigned)width}};
        return end;
    }
    return 0;
}

/* ---- where the directory is ---- */

/* The end record: the one whose comment ends where the file does. NULL: none. */
static const unsigned char *find_end(const unsigned char *bytes, size_t size)
{
    for (size_t comment = 0; comment <= UINT16_MAX && size >= WMK_ZIP_END_BYTES + comment; comment++) {
        const unsigned char *end = bytes + size - WMK_ZIP_END_BYTES - comment;
        if (get32(end) == WMK_ZIP_END && get16(end + 20) == comment) return end;
    }
    return NULL;
}

bool wmk_zip_probe(const unsigned char *bytes, size_t size) { return size >= 4 && get32(bytes) == WMK_ZIP_LOCAL && find_end(bytes, size); }

/* The zip64 end record, named by a locator right before the end record; 0 in *out: there is none. */
static wmk_status find_end64(wmk_zip_end *out, const unsigned char *bytes, size_t end)
{
    out->end64 = 0;
    if (end < WMK_ZIP_LOCATOR_BYTES || get32(bytes + end - WMK_ZIP_LOCATOR_BYTES) != WMK_ZIP_LOCATOR) return WMK_OK;
    size_t locator = end - WMK_ZIP_LOCATOR_BYTES;
    uint64_t at = get64(bytes + locator + 8);
    if (locator < WMK_ZIP_END64_BYTES || at > locator - WMK_ZIP_END64_BYTES || get32(bytes + at) != WMK_ZIP_END64 ||
        get64(bytes + at + 4) != locator - at - 12)
        return wmk_fail(WMK_ERROR_INPUT, "zip: the zip64 end record is not where its locator says (byte %llu)", (unsigned long long)at);
    out->end64 = (size_t)at;
    out->locator = locator;
    return WMK_OK;
}

/* A field of the end record is the zip64 record's number, or all ones for it. */
static bool agrees(uint64_t small, uint64_t big, uint64_t ones) { return small == big || small == ones; }

wmk_status wmk_zip_find_directory(wmk_zip_end *out, const unsigned char *bytes, size_t size)
{
    const unsigned char *end = find_end(bytes, size);
    if (!end) return wmk_fail(WMK_ERROR_INPUT, "zip: no end of a central directory: truncated");
    out->end = (size_t)(end - bytes);
    WMK_TRY(find_end64(out, bytes, out->end));
    uint64_t disk = get16(end + 4), start_disk = get16(end + 6), here = get16(end + 8), count = get16(end + 10);
    uint64_t directory_bytes = get32(end + 12), directory = get32(end + 16);
    if (out->end64) {
        const unsigned char *wide = bytes + out->end64;
        if (!agrees(disk, get32(wide + 16), UINT16_MAX) || !agrees(start_disk, get32(wide + 20), UINT16_MAX) ||
            !agrees(here, get64(wide + 24), UINT16_MAX) || !agrees(count, get64(wide + 32), UINT16_MAX) ||
            !agrees(directory_bytes, get64(wide + 40), UINT32_MAX) || !agrees(directory, get64(wide + 48), UINT32_MAX))
            return wmk_fail(WMK_ERROR_INPUT, "zip: the two end records contradict each other");
        disk = get32(wide + 16);
        start_disk = get32(wide + 20);
        here = get64(wide + 24);
        count = get64(wide + 32);
        directory_bytes = get64(wide + 40);
        directory = get64(wide + 48);
    }
    if (disk != 0 || start_disk != 0 || here != count) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: zip: an archive of several disks");
    uint64_t limit = out->end64 ? out->end64 : out->end;
    if (directory > limit || directory_bytes != limit - directory)
        return wmk_fail(WMK_ERROR_INPUT, "zip: a central directory of %llu bytes at byte %llu does not end where its end record begins (byte %llu)",
                        (unsigned long long)directory_bytes, (unsigned long long)directory, (unsigned long long)limit);
    if (count > directory_bytes / WMK_ZIP_CENTRAL_BYTES)
        return wmk_fail(WMK_ERROR_INPUT, "zip: %llu members in a central directory of %llu bytes", (unsigned long long)count,
                        (unsigned long long)directory_bytes);
    out->directory = (size_t)directory;
    out->count = (size_t)count;
    return WMK_OK;
}

/* ---- members ---- */

/* What the directory says of a member, apart from its place. */
static wmk_status check_record(const wmk_zip_member *member, const wmk_zip_fields *fields)
{
    if (fields->flags & (FLAG_ENCRYPTED | FLAG_STRONG | FLAG_MASKED))
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: zip: \"%s\" is encrypted", member->name);
    if (fields->flags & FLAG_PATCH) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: zip: \"%s\" is patched data", member->name);
    if (fields->disk != 0 && fields->disk != UINT16_MAX)
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: zip: \"%s\" lies on another disk", member->name);
    if (member->method == WMK_ZIP_STORED && member->bytes != member->stored_bytes)
        return wmk_fail(WMK_ERROR_INPUT, "zip: \"%s\": stored in %llu bytes, and said to be %llu", member->name,
                        (unsigned long long)member->stored_bytes, (unsigned long long)member->bytes);
    if (member->method == WMK_ZIP_DEFLATED && member->bytes / DEFLATE_RATIO_MAX > member->stored_bytes)
        return wmk_fail(WMK_ERROR_INPUT, "zip: \"%s\": %llu deflated bytes cannot become %llu: a zip bomb", member->name,
                        (unsigned long long)member->stored_bytes, (unsigned long long)member->bytes);
    return WMK_OK;
}

/* Finds the member's stored bytes behind its local header, which must agree; *end is the first byte after them and their descriptor. `limit`: where the directory begins. */
static wmk_status check_local(wmk_zip_member *member, const unsigned char *bytes, size_t limit, uint64_t *end)
{
    wmk_zip_fields local, descriptor;
    if (member->local >= limit)
        return wmk_fail(WMK_ERROR_INPUT, "zip: \"%s\": its header would lie at byte %llu, beyond the members", member->name,
                        (unsigned long long)member->local);
    size_t header = wmk_zip_local_fields(&local, bytes + member->local, limit - (size_t)member->local);
    if (!header) return wmk_fail(WMK_ERROR_INPUT, "zip: \"%s\": no header at byte %llu", member->name, (unsigned long long)member->local);
    bool later = local.flags & WMK_ZIP_FLAG_DESCRIPTOR;
    if (local.name_bytes != strlen(member->name) || memcmp(bytes + member->local + WMK_ZIP_LOCAL_BYTES, member->name, local.name_bytes) != 0 ||
        local.method != member->method || (local.flags & FLAG_ENCRYPTED))
        return wmk_fail(WMK_ERROR_INPUT, "zip: \"%s\": its header and the central directory contradict each other", member->name);
    if (!(later && local.crc.value == 0) && local.crc.value != member->crc)
        return wmk_fail(WMK_ERROR_INPUT, "zip: \"%s\": its header and the central directory give different checksums", member->name);
    bool unsaid =
        later && (local.bytes.value == 0 || local.bytes.value == UINT32_MAX) && (local.stored.value == 0 || local.stored.value == UINT32_MAX);
    if (!unsaid && (local.bytes.value != member->bytes || local.stored.value != member->stored_bytes))
        return wmk_fail(WMK_ERROR_INPUT, "zip: \"%s\": its header and the central directory give different sizes", member->name);
    member->offset = member->local + header;
    if (member->stored_bytes > limit - member->offset)
        return wmk_fail(WMK_ERROR_INPUT, "zip: \"%s\": its %llu bytes at byte %llu reach past the members' end at byte %zu", member->name,
                        (unsigned long long)member->stored_bytes, (unsigned long long)member->offset, limit);
    *end = member->offset + member->stored_bytes;
    if (!later) return WMK_OK;
    size_t size = wmk_zip_descriptor_fields(&descriptor, bytes + *end, limit - (size_t)*end, member);
    if (!size) return wmk_fail(WMK_ERROR_INPUT, "zip: \"%s\": the descriptor after its bytes contradicts the central directory", member->name);
    *end += size;
    return WMK_OK;
}

typedef struct extent {
    uint64_t begin, end;
    const char *name;
} extent;

static int by_begin(const void *left, const void *right)
{
    const extent *a = left, *b = right;
    return a->begin < b->begin ? -1 : a->begin > b->begin;
}

static int by_name(const void *left, const void *right)
{
    return strcmp((*(const wmk_zip_member *const *)left)->name, (*(const wmk_zip_member *const *)right)->name);
}

static wmk_status check_overlaps(wmk_zip *zip, extent *extents)
{
    qsort(extents, zip->count, sizeof *extents, by_begin);
    for (size_t i = 1; i < zip->count; i++)
        if (extents[i].begin < extents[i - 1].end)
            return wmk_fail(WMK_ERROR_INPUT, "zip: \"%s\" overlaps \"%s\"", extents[i].name, extents[i - 1].name);
    for (size_t i = 0; i < zip->count; i++) zip->by_name[i] = &zip->member[i];
    qsort(zip->by_name, zip->count, sizeof *zip->by_name, by_name);
    for (size_t i = 1; i < zip->count; i++)
        if (strcmp(zip->by_name[i - 1]->name, zip->by_name[i]->name) == 0)
            return wmk_fail(WMK_ERROR_INPUT, "zip: \"%s\" is listed twice", zip->by_name[i]->name);
    return WMK_OK;
}

static wmk_status read_directory(wmk_zip *zip, const unsigned char *bytes, const wmk_zip_end *end, extent *extents)
{
    size_t at = end->directory, limit = end->end64 ? end->end64 : end->end;
    char *name = zip->names;
    for (size_t i = 0; i < zip->count; i++) {
        wmk_zip_member *member = &zip->member[i];
        wmk_zip_fields fields;
        size_t size = wmk_zip_central_fields(&fields, bytes + at, limit - at);
        if (!size) return wmk_fail(WMK_ERROR_INPUT, "zip: entry %zu of %zu of the central directory is damaged", i, zip->count);
        memcpy(name, bytes + at + WMK_ZIP_CENTRAL_BYTES, fields.name_bytes); /* the NUL is there: the block was zeroed */
        *member = (wmk_zip_member){.name = name,
                                   .method = (uint16_t)fields.method,
                                   .crc = (uint32_t)fields.crc.value,
                                   .bytes = fields.bytes.value,
                                   .stored_bytes = fields.stored.value,
                                   .local = fields.local.value,
                                   .central = at};
        if (strlen(name) != fields.name_bytes || !fields.name_bytes)
            return wmk_fail(WMK_ERROR_INPUT, "zip: entry %zu of the central directory has no name, or one with a NUL in it", i);
        WMK_TRY(check_record(member, &fields));
        WMK_TRY(check_local(member, bytes, end->directory, &extents[i].end));
        extents[i].begin = member->local;
        extents[i].name = name;
        name += fields.name_bytes + 1;
        at += size;
    }
    if (at != limit) return wmk_fail(WMK_ERROR_INPUT, "zip: %zu bytes of the central directory belong to no member", limit - at);
    return check_overlaps(zip, extents);
}

wmk_status wmk_zip_open(wmk_zip *out, const wmk_map *map)
{
    wmk_zip_end end;
    extent *extents = NULL;
    wmk_zip zip = {0};
    wmk_status status;
    WMK_TRY(wmk_zip_find_directory(&end, map->data, map->size));
    zip.count = end.count;
    WMK_TRY_GOTO(status, wmk_alloc(&extents, zip.count, sizeof *extents), done);
    WMK_TRY_GOTO(status, wmk_alloc(&zip.member, zip.count, sizeof *zip.member), done);
    WMK_TRY_GOTO(status, wmk_alloc(&zip.by_name, zip.count, sizeof *zip.by_name), done);
    WMK_TRY_GOTO(status, wmk_alloc(&zip.names, end.end - end.directory, 1), done); /* each record is longer than its name and a NUL */
    status = read_directory(&zip, map->data, &end, extents);
done:
    free(extents);
    if (status == WMK_OK)
        *out = zip;
    else
        wmk_zip_close(&zip);
    return status;
}

void wmk_zip_close(wmk_zip *zip)
{
    free(zip->member);
    free(zip->by_name);
    free(zip->names);
    *zip = (wmk_zip){0};
}

const wmk_zip_member *wmk_zip_find(const wmk_zip *zip, const char *name)
{
    const wmk_zip_member wanted = {.name = name}, *key = &wanted;
    const wmk_zip_member **found = zip->count ? bsearch(&key, zip->by_name, zip->count, sizeof *zip->by_name, by_name) : NULL;
    return found ? *found : NULL;
}

/* ---- content ---- */

uint32_t wmk_zip_crc(uint32_t crc, const void *bytes, uint64_t size) { return (uint32_t)crc32_z(crc, bytes, size); }

/* A call of inflate takes and gives at most this much. */
enum { STEP_BYTES = 1 << 30 };

/* The first `wanted` bytes, or all. */
static wmk_status inflate_member(void *bytes, uint64_t wanted, const wmk_zip_member *member, const unsigned char *stored)
{
    z_stream stream = {0};
    uint64_t in = member->stored_bytes, out = wanted;
    unsigned char nothing = 0; /* inflate wants a place also for no bytes */
    int result = inflateInit2(&stream, -MAX_WBITS);
    if (result != Z_OK) return result == Z_MEM_ERROR ? wmk_fail_memory(sizeof stream) : wmk_fail(WMK_ERROR_INTERNAL, "zlib does not start");
    stream.next_in = (unsigned char *)stored; /* z_const is not defined: zlib only reads */
    stream.next_out = out ? bytes : &nothing;
    do {
        uInt in_step = in < STEP_BYTES ? (uInt)in : STEP_BYTES, out_step = out < STEP_BYTES ? (uInt)out : STEP_BYTES;
        stream.avail_in = in_step;
        stream.avail_out = out_step;
        result = inflate(&stream, Z_NO_FLUSH);
        in -= in_step - stream.avail_in;
        out -= out_step - stream.avail_out;
    } while (result == Z_OK);
    inflateEnd(&stream);
    if (result == Z_MEM_ERROR) return wmk_fail_memory(sizeof stream);
    if (out == 0 && wanted < member->bytes) return WMK_OK;
    if (result != Z_STREAM_END || in != 0 || out != 0)
        return wmk_fail(WMK_ERROR_INPUT, "zip: \"%s\": the deflated bytes are damaged or give another size than %llu bytes", member->name,
                        (unsigned long long)member->bytes);
    return WMK_OK;
}

wmk_status wmk_zip_read_begin(void *bytes, uint64_t wanted, const wmk_zip_member *member, const wmk_map *map)
{
    const unsigned char *stored = map->data + member->offset;
    if (member->method == WMK_ZIP_STORED)
        memcpy(bytes, stored, wanted);
    else if (member->method == WMK_ZIP_DEFLATED)
        return inflate_member(bytes, wanted, member, stored);
    else
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: zip: \"%s\" is compressed by method %u, only deflate is read", member->name,
                        member->method);
    return WMK_OK;
}

wmk_status wmk_zip_read(void *bytes, const wmk_zip_member *member, const wmk_map *map)
{
    WMK_TRY(wmk_zip_read_begin(bytes, member->bytes, member, map));
    if (wmk_zip_crc(0, bytes, member->bytes) != member->crc)
        return wmk_fail(WMK_ERROR_INPUT, "zip: \"%s\": its checksum is wrong: damaged", member->name);
    return WMK_OK;
}
