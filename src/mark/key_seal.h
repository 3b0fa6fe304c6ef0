/* mark/key_seal.h - a seed under a passphrase: Argon2id, then XChaCha20-Poly1305 (docs/spec.md, "Sealing"). */
#ifndef WMK_MARK_KEY_SEAL_H
#define WMK_MARK_KEY_SEAL_H

#include "mark/key.h"

#define WMK_SEAL_SALT_BYTES 16
#define WMK_SEAL_NONCE_BYTES 24
#define WMK_SEAL_BOX_BYTES (WMK_SEED_BYTES + 16)

/* What a sealing costs; a file that asks for more than the limits is refused before anything is computed. */
#define WMK_SEAL_PASSES 3
#define WMK_SEAL_MEMORY_KIB (256u * 1024)
#define WMK_SEAL_PASSES_MAX 64
#define WMK_SEAL_MEMORY_KIB_MIN 8
#define WMK_SEAL_MEMORY_KIB_MAX (1024u * 1024)
#define WMK_SEAL_WORK_KIB_MAX (4096u * 1024) /* passes * memory */

typedef struct wmk_seal {
    uint32_t passes, memory_kib;
    uint8_t salt[WMK_SEAL_SALT_BYTES];
    uint8_t nonce[WMK_SEAL_NONCE_BYTES];
    uint8_t box[WMK_SEAL_BOX_BYTES];
} wmk_seal;

/* True when passes and memory are within the limits. */
bool wmk_seal_is_affordable(uint64_t passes, uint64_t memory_kib);

/* Fills salt, nonce and box from seal->passes and seal->memory_kib; bound to the key's id. ARGUMENT: an empty passphrase; MEMORY. */
wmk_status wmk_seal_close(wmk_seal *seal, const uint8_t seed[WMK_SEED_BYTES], const uint8_t id[WMK_KEY_ID_BYTES], const char *passphrase,
                          size_t passphrase_bytes);
/* seed should be a block of base/secret.h. SECRET: wrong passphrase, or salt, nonce, box, cost or id were altered; MEMORY. */
wmk_status wmk_seal_open(uint8_t seed[WMK_SEED_BYTES], const wmk_seal *seal, const uint8_t id[WMK_KEY_ID_BYTES], const char *passphrase,
                         size_t passphrase_bytes);

#endif
