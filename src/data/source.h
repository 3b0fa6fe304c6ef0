/* data/source.h - the bytes of a file in order, inflated on the way where it is gzip. The file may be hostile. */
#ifndef WMK_DATA_SOURCE_H
#define WMK_DATA_SOURCE_H

#include "base/status.h"

typedef struct wmk_source wmk_source;
wmk_status wmk_source_open(wmk_source **out, const char *path);
void wmk_source_close(wmk_source *source); /* NULL allowed */

/* An upper bound of the bytes to come, so that a header's promise is checked before memory is reserved for it. */
uint64_t wmk_source_bound(const wmk_source *source);
/* The next `size` bytes. INPUT: fewer are there, or the gzip stream is damaged. */
wmk_status wmk_source_read(wmk_source *source, void *bytes, size_t size);
/* INPUT: bytes are left, or gzip's checksum or length is wrong. */
wmk_status wmk_source_end(wmk_source *source);

#endif
