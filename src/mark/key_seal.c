#include "mark/key_seal.h"
#include <sodium.h>

_Static_assert(WMK_SEAL_SALT_BYTES == crypto_pwhash_argon2id_SALTBYTES, "salt");
_Static_assert(WMK_SEAL_NONCE_BYTES == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce");
_Static_assert(WMK_SEAL_BOX_BYTES == WMK_SEED_BYTES + crypto_aead_xchacha20poly1305_ietf_ABYTES, "box");
#define BOX_KEY_BYTES crypto_aead_xchacha20poly1305_ietf_KEYBYTES

bool wmk_seal_is_affordable(uint64_t passes, uint64_t memory_kib)
{
    return passes >= 1 && passes <= WMK_SEAL_PASSES_MAX && memory_kib >= WMK_SEAL_MEMORY_KIB_MIN && memory_kib <= WMK_SEAL_MEMORY_KIB_MAX &&
           passes * memory_kib <= WMK_SEAL_WORK_KIB_MAX;
}

/* The key of the box, in locked memory that the caller frees with sodium_free. */
static wmk_status box_key(uint8_t **out, const wmk_seal *seal, const char *passphrase, size_t passphrase_bytes)
{
    if (passphrase_bytes > crypto_pwhash_argon2id_PASSWD_MAX) return wmk_fail(WMK_ERROR_ARGUMENT, "a passphrase of 4 GiB or more");
    uint8_t *key = sodium_malloc(BOX_KEY_BYTES);
    if (!key) return wmk_fail(WMK_ERROR_MEMORY, "out of memory: locked memory was refused");
    if (crypto_pwhash_argon2id(key, BOX_KEY_BYTES, passphrase, passphrase_bytes, seal->salt, seal->passes, (size_t)seal->memory_kib * 1024,
                               crypto_pwhash_argon2id_ALG_ARGON2ID13) != 0) {
        sodium_free(key);
        return wmk_fail(WMK_ERROR_MEMORY, "out of memory: the passphrase's hash needs %u KiB", seal->memory_kib);
    }
    *out = key;
    return WMK_OK;
}

wmk_status wmk_seal_close(wmk_seal *seal, const uint8_t seed[WMK_SEED_BYTES], const uint8_t id[WMK_KEY_ID_BYTES], const char *passphrase,
                          size_t passphrase_bytes)
{
    if (passphrase_bytes == 0) return wmk_fail(WMK_ERROR_ARGUMENT, "the passphrase is empty");
    randombytes_buf(seal->salt, sizeof seal->salt);
    randombytes_buf(seal->nonce, sizeof seal->nonce);
    uint8_t *key = NULL;
    WMK_TRY(box_key(&key, seal, passphrase, passphrase_bytes));
    crypto_aead_xchacha20poly1305_ietf_encrypt(seal->box, NULL, seed, WMK_SEED_BYTES, id, WMK_KEY_ID_BYTES, NULL, seal->nonce, key);
    sodium_free(key);
    return WMK_OK;
}

wmk_status wmk_seal_open(uint8_t seed[WMK_SEED_BYTES], const wmk_seal *seal, const uint8_t id[WMK_KEY_ID_BYTES], const char *passphrase,
                         size_t passphrase_bytes)
{
    uint8_t *key = NULL;
    WMK_TRY(box_key(&key, seal, passphrase, passphrase_bytes));
    int bad = crypto_aead_xchacha20poly1305_ietf_decrypt(seed, NULL, NULL, seal->box, sizeof seal->box, id, WMK_KEY_ID_BYTES, seal->nonce, key);
    sodium_free(key);
    return bad ? wmk_fail(WMK_ERROR_SECRET, "wrong passphrase, or the sealed key was altered") : WMK_OK;
}
