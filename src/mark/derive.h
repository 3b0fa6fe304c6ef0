/* mark/derive.h - from a key's seed and id to sub-keys and key stream (docs/spec.md, "Sub-keys", "Key stream"). Everything here is secret:
 * root, sub-keys and key stream are made inside wmk_secret_call only, since libsodium keeps what it works with on the stack. */
#ifndef WMK_MARK_DERIVE_H
#define WMK_MARK_DERIVE_H

#include "mark/key.h"

#define WMK_BLOCK_BYTES 64 /* of ChaCha20 */

/* Sub-key numbers: 1 for b, 16 + scheme for X. */
#define WMK_SUBKEY_BITS 1
#define WMK_SUBKEY_X 16

/* To be called before anything of libsodium. SYSTEM: no random bytes. */
wmk_status wmk_sodium_ready(void);

/* What all sub-keys of a key follow from: it depends on every part of the key through its id. */
void wmk_key_root(uint8_t root[WMK_SUBKEY_BYTES], const uint8_t seed[WMK_SEED_BYTES], const uint8_t id[WMK_KEY_ID_BYTES]);
void wmk_subkey(uint8_t subkey[WMK_SUBKEY_BYTES], uint64_t number, const uint8_t root[WMK_SUBKEY_BYTES]);

/* out[0, bytes): the key stream (ChaCha20 with 64-bit nonce and 64-bit block counter) of `nonce` from block number `block` on. */
void wmk_key_stream(uint8_t *out, size_t bytes, const uint8_t subkey[WMK_SUBKEY_BYTES], uint64_t nonce, uint64_t block);

static inline void wmk_store_u32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> 8 * i);
}
static inline void wmk_store_u64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++) p[i] = (uint8_t)(v >> 8 * i);
}
static inline uint64_t wmk_load_u64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

#endif
