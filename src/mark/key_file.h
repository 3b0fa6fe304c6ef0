/* mark/key_file.h - the key file, for other files of this room and for tests. */
#ifndef WMK_MARK_KEY_FILE_H
#define WMK_MARK_KEY_FILE_H

#include "base/memory.h"
#include "mark/key.h"

#define WMK_KEY_FILE_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define WMK_KEY_FILE_VERSION 2

/* wmk_key_write with another cost of the seal. */
wmk_status wmk_key_write_cost(const wmk_key *key, const char *path, const char *passphrase, size_t passphrase_bytes, bool replace, uint32_t passes,
                              uint32_t memory_kib);

/* A key file whose seal stays closed. */
typedef struct wmk_key_public {
    unsigned char *text; /* [size] the whole file: of a plain key with its seed */
    size_t size;
    char id[WMK_KEY_ID_CHARS + 1]; /* checked for a plain key; of a sealed one what the file states */
    bool is_sealed, is_stamped;
    size_t stamp_begin,
        stamp_end; /* text[begin, end): the value of "timestamp" with white space before it; without one both are where the member goes */
} wmk_key_public;
/* Statuses as wmk_key_read, but for a sealed key. The caller frees it, which wipes the text. */
wmk_status wmk_key_public_read(wmk_key_public *out, const char *path);
void wmk_key_public_free(wmk_key_public *key);
/* Appends `bytes` as a JSON string in base64. */
wmk_status wmk_append_base64(wmk_buffer *text, const uint8_t *bytes, size_t size);

#endif
