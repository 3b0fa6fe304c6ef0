/* mark_file/original.c - the digest of a key's targets in a model, by which a key is bound to the model it was made for. */
#include "mark/original.h"
#include "mark_file/match.h"

/* Who is told of the bytes that were read. */
typedef struct listener {
    void (*walked)(void *payload, uint64_t bytes);
    void *payload;
} listener;

static void read_bytes(void *payload, uint64_t bytes)
{
    const listener *to = payload;
    if (to->walked) to->walked(to->payload, bytes);
}

wmk_status wmk_model_original(uint8_t original[WMK_ORIGINAL_BYTES], const wmk_model *model, const wmk_key *key,
                              void (*walked)(void *payload, uint64_t bytes), void *walked_payload)
{
    wmk_match match = {0};
    listener to = {walked, walked_payload};
    const wmk_traffic traffic = {.payload = &to, .walked = read_bytes};
    wmk_status status = wmk_match_by_name(&match, model, key, NULL, 0, true);
    if (status == WMK_OK) status = wmk_views_original(original, key, match.views, &traffic);
    if (status != WMK_OK) status = wmk_fail_within(status, "%s", wmk_model_path(model));
    wmk_match_free(&match);
    return status;
}
