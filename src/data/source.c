/* data/source.c - a file's bytes in order, plain or gzip (RFC 1952, one member), told apart by the first two bytes. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/file.h"
#include "base/memory.h"
#include "data/source.h"

struct wmk_source {
    wmk_map map;
    size_t position; /* plain: the next byte */
    char *path;
    uint64_t delivered;
    bool gzip, ended;
    z_stream stream;
};

/* Deflate's greatest ratio is 1032 : 1 (zlib's technical notes). */
#define GREATEST_RATIO 1032u

static wmk_status start_gzip(wmk_source *source)
{
    if (source->map.size > UINT_MAX)
        return wmk_fail(WMK_ERROR_INPUT, "%s: %zu bytes, a gzip file of at most 4 GiB is read", source->path, source->map.size);
    if (inflateInit2(&source->stream, 16 + MAX_WBITS) != Z_OK) return wmk_fail_memory(sizeof source->stream);
    source->gzip = true;
    source->stream.next_in = (z_const Bytef *)source->map.data;
    source->stream.avail_in = (uInt)source->map.size;
    return WMK_OK;
}

wmk_status wmk_source_open(wmk_source **out, const char *path)
{
    wmk_source *source;
    WMK_TRY(wmk_alloc(&source, 1, sizeof *source));
    wmk_status status;
    WMK_TRY_GOTO(status, wmk_strdup(&source->path, path), failed);
    WMK_TRY_GOTO(status, wmk_map_open(&source->map, path), failed);
    if (source->map.size >= 2 && source->map.data[0] == 0x1f && source->map.data[1] == 0x8b) WMK_TRY_GOTO(status, start_gzip(source), failed);
    *out = source;
    return WMK_OK;
failed:
    wmk_source_close(source);
    return status;
}

void wmk_source_close(wmk_source *source)
{
    if (!source) return;
    if (source->gzip) inflateEnd(&source->stream);
    wmk_map_close(&source->map);
    free(source->path);
    free(source);
}

uint64_t wmk_source_bound(const wmk_source *source)
{
    if (!source->gzip) return source->map.size - source->position;
    return (uint64_t)source->stream.avail_in * GREATEST_RATIO + 65536; /* the window may hold bytes already taken in */
}

static wmk_status too_short(const wmk_source *source, size_t got, size_t size)
{
    return wmk_fail(WMK_ERROR_INPUT, "%s: ends after %llu bytes, %llu are needed", source->path, (unsigned long long)source->delivered + got,
                    (unsigned long long)source->delivered + size);
}

/* Inflates up to size bytes; *got may be less only at the stream's end. */
static wmk_status inflate_some(wmk_source *source, void *bytes, size_t size, size_t *got)
{
    *got = 0;
    while (*got < size && !source->ended) {
        size_t rest = size - *got;
        uInt room = rest > UINT_MAX ? UINT_MAX : (uInt)rest;
        source->stream.next_out = (Bytef *)bytes + *got;
        source->stream.avail_out = room;
        int result = inflate(&source->stream, Z_NO_FLUSH);
        *got += room - source->stream.avail_out;
        if (result == Z_STREAM_END)
            source->ended = true;
        else if (result == Z_BUF_ERROR)
            return too_short(source, *got, size);
        else if (result == Z_MEM_ERROR)
            return wmk_fail_memory(size);
        else if (result != Z_OK)
            return wmk_fail(WMK_ERROR_INPUT, "%s: damaged gzip stream after %llu bytes (%s)", source->path,
                            (unsigned long long)source->delivered + *got, source->stream.msg ? source->stream.msg : "data error");
    }
    return WMK_OK;
}

wmk_status wmk_source_read(wmk_source *source, void *bytes, size_t size)
{
    if (source->gzip) {
        size_t got;
        WMK_TRY(inflate_some(source, bytes, size, &got));
        if (got < size) return too_short(source, got, size);
    } else {
        size_t rest = source->map.size - source->position;
        if (rest < size) return too_short(source, rest, size);
        if (size) memcpy(bytes, source->map.data + source->position, size);
        source->position += size;
    }
    source->delivered += size;
    return WMK_OK;
}

wmk_status wmk_source_end(wmk_source *source)
{
    bool left = source->position < source->map.size;
    if (source->gzip) {
        unsigned char byte;
        size_t got;
        WMK_TRY(inflate_some(source, &byte, 1, &got)); /* reads on to the checksum */
        left = got > 0 || source->stream.avail_in > 0;
    }
    if (left)
        return wmk_fail(WMK_ERROR_INPUT, "%s: more bytes follow the %llu that its header promises", source->path,
                        (unsigned long long)source->delivered);
    return WMK_OK;
}
