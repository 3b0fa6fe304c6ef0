/* mark/key_file.h - the key file, for tests that need a cheap seal. */
#ifndef WMK_MARK_KEY_FILE_H
#define WMK_MARK_KEY_FILE_H

#include "mark/key.h"

#define WMK_KEY_FILE_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define WMK_KEY_FILE_VERSION 2

/* wmk_key_write with another cost of the seal. */
wmk_status wmk_key_write_cost(const wmk_key *key, const char *path, const char *passphrase, size_t passphrase_bytes, bool replace, uint32_t passes,
                              uint32_t memory_kib);

#endif
