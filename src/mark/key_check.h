/* mark/key_check.h - the rules a key's content obeys, whoever it comes from. */
#ifndef WMK_MARK_KEY_CHECK_H
#define WMK_MARK_KEY_CHECK_H

#include "mark/key.h"

#define WMK_KEY_NAME_BYTES_MAX 1024                       /* of one target's name */
#define WMK_KEY_NAMES_BYTES_MAX ((size_t)8 * 1024 * 1024) /* of all names together, so that a key file stays below its limit */

/* Checks everything but struct_size and seed, and gives M. ARGUMENT; MISMATCH: T against M. */
wmk_status wmk_key_check(const wmk_key_options *options, uint64_t *M);

#endif
