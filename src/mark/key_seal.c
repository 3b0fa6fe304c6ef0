#include "mark/key_seal.h"
#include "base/secret.h"
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

typedef struct box_call {
    const uint8_t *seed; /* to close: what goes into `box` */
    uint8_t *box;        /* NULL: to open */
    uint8_t *opened;     /* to open: what was in the seal's box */
    const wmk_seal *seal;
    const uint8_t *id;
    const char *passphrase;
    size_t passphrase_bytes;
    wmk_status status;
} box_call;

/* The key of the box. Argon2's own memory, as much as the seal says, is libsodium's and may be in a core dump. */
static wmk_status derive_box_key(uint8_t key[BOX_KEY_BYTES], const box_call *c)
{
    if (crypto_pwhash_argon2id(key, BOX_KEY_BYTES, c->passphrase, c->passphrase_bytes, c->seal->salt, c->seal->passes,
                               (size_t)c->seal->memory_kib * 1024, crypto_pwhash_argon2id_ALG_ARGON2ID13) == 0)
        return WMK_OK;
    return wmk_fail(WMK_ERROR_MEMORY, "out of memory: the passphrase's hash needs %u KiB", c->seal->memory_kib);
}

static void use_box(void *argument)
{
    box_call *c = argument;
    uint8_t key[BOX_KEY_BYTES];
    const wmk_seal *seal = c->seal;
    c->status = derive_box_key(key, c);
    if (c->status != WMK_OK) return;
    if (c->box != NULL)
        crypto_aead_xchacha20poly1305_ietf_encrypt(c->box, NULL, c->seed, WMK_SEED_BYTES, c->id, WMK_KEY_ID_BYTES, NULL, seal->nonce, key);
    else if (crypto_aead_xchacha20poly1305_ietf_decrypt(c->opened, NULL, NULL, seal->box, sizeof seal->box, c->id, WMK_KEY_ID_BYTES, seal->nonce,
                                                        key) != 0)
        c->status = wmk_fail(WMK_ERROR_SECRET, "wrong passphrase, or the sealed key was altered");
}

static wmk_status call_box(box_call *call)
{
    if (call->passphrase_bytes > crypto_pwhash_argon2id_PASSWD_MAX) return wmk_fail(WMK_ERROR_ARGUMENT, "a passphrase of 4 GiB or more");
    wmk_secret_call(use_box, call);
    return call->status;
}

wmk_status wmk_seal_close(wmk_seal *seal, const uint8_t seed[WMK_SEED_BYTES], const uint8_t id[WMK_KEY_ID_BYTES], const char *passphrase,
                          size_t passphrase_bytes)
{
    if (passphrase_bytes == 0) return wmk_fail(WMK_ERROR_ARGUMENT, "the passphrase is empty");
    randombytes_buf(seal->salt, sizeof seal->salt);
    randombytes_buf(seal->nonce, sizeof seal->nonce);
    box_call call = {.seed = seed, .box = seal->box, .seal = seal, .id = id, .passphrase = passphrase, .passphrase_bytes = passphrase_bytes};
    return call_box(&call);
}

wmk_status wmk_seal_open(uint8_t seed[WMK_SEED_BYTES], const wmk_seal *seal, const uint8_t id[WMK_KEY_ID_BYTES], const char *passphrase,
                         size_t passphrase_bytes)
{
    box_call call = {.opened = seed, .seal = seal, .id = id, .passphrase = passphrase, .passphrase_bytes = passphrase_bytes};
    return call_box(&call);
}
