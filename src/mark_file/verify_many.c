/* mark_file/verify_many.c - every pair of some models and some keys. */
#include <stdlib.h>

#include "base/memory.h"
#include <weightmark/mark_file.h>

typedef struct many {
    const wmk_key *const *keys;
    size_t key_count;
    wmk_verify_options options; /* tries: of all pairs too */
    wmk_pair_fn told;
    void *payload;
} many;

static wmk_status tell(const many *m, const wmk_pair *pair)
{
    return m->told(m->payload, pair) == 0 ? WMK_OK : wmk_fail(WMK_ERROR_INTERRUPTED, "verifying was stopped");
}

static wmk_status verify_pair(const many *m, wmk_pair pair, const wmk_model *model)
{
    wmk_verification found;
    pair.status = wmk_model_verify(&found, model, m->keys[pair.key], &m->options);
    if (pair.status != WMK_OK) return tell(m, &pair);
    pair.verification = &found;
    wmk_status status = tell(m, &pair);
    wmk_verification_free(&found);
    return status;
}

/* All keys of a model that could not be opened: the message is the same for each. */
static wmk_status tell_unopened(const many *m, wmk_pair pair)
{
    char *message;
    WMK_TRY(wmk_strdup(&message, wmk_error_message()));
    wmk_status status = WMK_OK;
    for (pair.key = 0; status == WMK_OK && pair.key < m->key_count; pair.key++) {
        wmk_set_message("%s", message);
        status = tell(m, &pair);
    }
    free(message);
    return status;
}

wmk_status wmk_model_verify_many(const char *const *paths, size_t path_count, const wmk_key *const *keys, size_t key_count,
                                 const wmk_verify_options *options, wmk_pair_fn told, void *payload)
{
    many m = {keys, key_count, *options, told, payload};
    uint64_t pairs;
    if (path_count == 0 || key_count == 0) return wmk_fail(WMK_ERROR_ARGUMENT, "verify: %zu models and %zu keys are no pair", path_count, key_count);
    if (!wmk_mul_u64(path_count, key_count, &pairs) || !wmk_mul_u64(pairs, options->tries, &m.options.tries))
        return wmk_fail(WMK_ERROR_ARGUMENT, "verify: tries of %llu times %zu models times %zu keys is more than 2^64",
                        (unsigned long long)options->tries, path_count, key_count);
    for (size_t i = 0; i < path_count; i++) {
        wmk_model *model;
        wmk_pair pair = {.model = i, .path = paths[i]};
        pair.status = wmk_model_open(&model, paths[i]);
        pair.opened = pair.status == WMK_OK;
        if (!pair.opened) {
            WMK_TRY(tell_unopened(&m, pair));
            continue;
        }
        wmk_status status = WMK_OK;
        for (pair.key = 0; status == WMK_OK && pair.key < key_count; pair.key++) status = verify_pair(&m, pair, model);
        wmk_model_close(model);
        WMK_TRY(status);
    }
    return WMK_OK;
}
