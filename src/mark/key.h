/* mark/key.h - what a key holds, for the files of this room. */
#ifndef WMK_MARK_KEY_H
#define WMK_MARK_KEY_H

#include "base/status.h"
#include <weightmark/mark.h>

#define WMK_KEY_M_MAX ((uint64_t)1 << 48) /* M over all targets */
#define WMK_KEY_ID_BYTES (WMK_KEY_ID_CHARS / 2)
#define WMK_SUBKEY_BYTES 32

/* The secret part: guarded, locked memory of sodium_malloc, wiped when it is freed. */
typedef struct wmk_key_secret {
    uint8_t seed[WMK_SEED_BYTES];
    uint8_t root[WMK_SUBKEY_BYTES]; /* while the sub-keys are made, then wiped */
    uint8_t bits[WMK_SUBKEY_BYTES]; /* sub-key of b */
    uint8_t x[WMK_SUBKEY_BYTES];    /* sub-key of X, the scheme's own */
} wmk_key_secret;

/* The part without the seed: immutable, shared by a key and all keys redrawn from it. */
typedef struct wmk_key_frame wmk_key_frame;

struct wmk_key {
    wmk_scheme scheme;
    wmk_carrier carrier;
    uint32_t T;
    uint64_t M; /* over all targets: 1 to WMK_KEY_M_MAX */
    bool ones;
    int64_t created;
    const wmk_target *targets; /* [target_count], checked: layouts valid, names unique, no axis of 0, products within M */
    size_t target_count;
    uint8_t original[WMK_ORIGINAL_BYTES]; /* zeros: none */
    uint8_t id[WMK_KEY_ID_BYTES];
    uint8_t *timestamp; /* [timestamp_bytes] the stored token, unchecked; NULL: none */
    size_t timestamp_bytes;
    wmk_key_secret *secret;
    wmk_key_frame *frame; /* owns targets and their names */
};

#endif
