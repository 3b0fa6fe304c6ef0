/* model/format/zip.h - zip archives over mapped bytes, zip64 included: the directory, reading a member, and changing one in a copy. PKWARE APPNOTE.TXT 6.3.10. */
#ifndef WMK_MODEL_FORMAT_ZIP_H
#define WMK_MODEL_FORMAT_ZIP_H

#include "base/file.h"

typedef struct wmk_zip_member {
    const char *name; /* owned by the zip */
    uint16_t method;  /* 0 stored, 8 deflated; others are listed and cannot be read */
    uint32_t crc;     /* CRC-32 of the content */
    uint64_t bytes;   /* of the content */
    uint64_t stored_bytes;
    uint64_t offset;  /* of the stored bytes in the file */
    uint64_t local;   /* of its local header */
    uint64_t central; /* of its record in the central directory */
} wmk_zip_member;

typedef struct wmk_zip {
    wmk_zip_member *member; /* [count], in the central directory's order */
    size_t count;
    const wmk_zip_member **by_name; /* [count], sorted */
    char *names;
} wmk_zip;

/* True when the bytes begin and end as an archive does; cheap. */
bool wmk_zip_probe(const unsigned char *bytes, size_t size);
/* Reads and checks the central directory: one disk, nothing encrypted, every member inside the file, no two overlapping, no name twice, no content that deflate could not make of its
 * stored bytes (1032 to 1). INPUT, UNSUPPORTED, MEMORY. The caller frees with wmk_zip_close. */
wmk_status wmk_zip_open(wmk_zip *out, const wmk_map *map);
void wmk_zip_close(wmk_zip *zip);                                         /* a zeroed one is allowed */
const wmk_zip_member *wmk_zip_find(const wmk_zip *zip, const char *name); /* NULL: none */
/* bytes [member->bytes] = the content, inflated where it is deflated, its CRC checked. INPUT: damaged; UNSUPPORTED: another method; MEMORY. */
wmk_status wmk_zip_read(void *bytes, const wmk_zip_member *member, const wmk_map *map);
/* bytes [wanted] = the first bytes of the content, of which there are at least so many; the CRC, which is of the whole, is not checked. */
wmk_status wmk_zip_read_begin(void *bytes, uint64_t wanted, const wmk_zip_member *member, const wmk_map *map);

/* In a copy of the archive: the CRC of a stored member whose bytes were changed in place (local header or data descriptor, and central directory), taken from the copy. */
wmk_status wmk_zip_refresh(wmk_output *copy, const wmk_zip_member *member);
/* In a copy of the archive: members get new content of the same size (content[i]; NULL: as it is), deflated where they were; everything after the first that changes its stored size is
 * moved and the directory rewritten; all else stays as it is byte for byte. */
wmk_status wmk_zip_replace(wmk_output *copy, const wmk_zip *zip, const wmk_map *map, const void *const *content);

#endif
