/* Sub-keys, key stream, and b. */
#include "mark/derive.h"
#include "base/secret.h"
#include <sodium.h>
#include <string.h>

#define CONTEXT "wmk-mark"
_Static_assert(sizeof CONTEXT - 1 == crypto_kdf_CONTEXTBYTES && WMK_SUBKEY_BYTES == crypto_kdf_KEYBYTES, "sizes of crypto_kdf");
_Static_assert(WMK_SUBKEY_BYTES == crypto_stream_chacha20_KEYBYTES, "key size of ChaCha20");

wmk_status wmk_sodium_ready(void) { return sodium_init() < 0 ? wmk_fail(WMK_ERROR_SYSTEM, "the system gives no random bytes") : WMK_OK; }

void wmk_key_root(uint8_t root[WMK_SUBKEY_BYTES], const uint8_t seed[WMK_SEED_BYTES], const uint8_t id[WMK_KEY_ID_BYTES])
{
    static const uint8_t salt[crypto_generichash_blake2b_SALTBYTES];
    static const uint8_t personal[] = "weightmark mark2";
    _Static_assert(sizeof personal - 1 == crypto_generichash_blake2b_PERSONALBYTES, "personalisation");
    /* fails only for lengths out of range */
    crypto_generichash_blake2b_salt_personal(root, WMK_SUBKEY_BYTES, id, WMK_KEY_ID_BYTES, seed, WMK_SEED_BYTES, salt, personal);
}

void wmk_subkey(uint8_t subkey[WMK_SUBKEY_BYTES], uint64_t number, const uint8_t root[WMK_SUBKEY_BYTES])
{
    crypto_kdf_derive_from_key(subkey, WMK_SUBKEY_BYTES, number, CONTEXT, root); /* the same */
}

void wmk_key_stream(uint8_t *out, size_t bytes, const uint8_t subkey[WMK_SUBKEY_BYTES], uint64_t nonce, uint64_t block)
{
    uint8_t n[crypto_stream_chacha20_NONCEBYTES];
    wmk_store_u64(n, nonce);
    memset(out, 0, bytes);
    crypto_stream_chacha20_xor_ic(out, out, bytes, n, block, subkey);
}

typedef struct bits_call {
    const wmk_key *key;
    uint8_t *b;
} bits_call;

/* The bits are unpacked where their bytes lie, from the last on, so that none is overwritten before it is read. */
static void make_bits(void *argument)
{
    const bits_call *call = argument;
    uint8_t *b = call->b;
    wmk_key_stream(b, (call->key->T + 7) / 8, call->key->secret->bits, 0, 0);
    for (uint32_t j = call->key->T; j-- > 0;) b[j] = b[j / 8] >> j % 8 & 1;
}

void wmk_key_bits(const wmk_key *key, uint8_t *b)
{
    if (key->ones) {
        memset(b, 1, key->T);
        return;
    }
    wmk_secret_call(make_bits, &(bits_call){key, b});
}
