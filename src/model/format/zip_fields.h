/* model/format/zip_fields.h - records of a zip archive and where in them the numbers are, for zip.c and zip_change.c. */
#ifndef WMK_MODEL_FORMAT_ZIP_FIELDS_H
#define WMK_MODEL_FORMAT_ZIP_FIELDS_H

#include "model/format/zip.h"

enum { WMK_ZIP_STORED = 0, WMK_ZIP_DEFLATED = 8 };
enum { WMK_ZIP_FLAG_DESCRIPTOR = 1 << 3 }; /* checksum and sizes follow the stored bytes */

enum { /* signatures */
       WMK_ZIP_LOCAL = 0x04034b50,
       WMK_ZIP_CENTRAL = 0x02014b50,
       WMK_ZIP_DESCRIPTOR = 0x08074b50,
       WMK_ZIP_END = 0x06054b50,
       WMK_ZIP_END64 = 0x06064b50,
       WMK_ZIP_LOCATOR = 0x07064b50
};

enum { /* sizes without what varies */
       WMK_ZIP_LOCAL_BYTES = 30,
       WMK_ZIP_CENTRAL_BYTES = 46,
       WMK_ZIP_DESCRIPTOR_BYTES_MAX = 24,
       WMK_ZIP_END_BYTES = 22,
       WMK_ZIP_END64_BYTES = 56,
       WMK_ZIP_LOCATOR_BYTES = 20
};

/* A number and where it is: `width` bytes, little-endian, at `at` of its record. */
typedef struct wmk_zip_number {
    size_t at;
    uint64_t value;
    unsigned width;
} wmk_zip_number;

typedef struct wmk_zip_fields {
    uint32_t flags, method, disk;
    wmk_zip_number crc, stored, bytes, local;
    size_t name_bytes;
} wmk_zip_fields;

uint64_t wmk_zip_get(const unsigned char *bytes, unsigned width);
/* Each reads one record and gives its size; 0: it is none, or reaches past `size`. A descriptor is known by the member's numbers. */
size_t wmk_zip_central_fields(wmk_zip_fields *out, const unsigned char *record, size_t size);
size_t wmk_zip_local_fields(wmk_zip_fields *out, const unsigned char *record, size_t size);
size_t wmk_zip_descriptor_fields(wmk_zip_fields *out, const unsigned char *bytes, size_t size, const wmk_zip_member *member);

/* Where the central directory and its end records are in the file; end64 == 0: no zip64 record. */
typedef struct wmk_zip_end {
    size_t directory, count, end64, locator, end;
} wmk_zip_end;
wmk_status wmk_zip_find_directory(wmk_zip_end *out, const unsigned char *bytes, size_t size);

/* CRC-32 of what had `crc` so far (0: nothing), and then these. */
uint32_t wmk_zip_crc(uint32_t crc, const void *bytes, uint64_t size);

#endif
