/* weightmark/mark_file.h - marks in model files: choose targets, embed, verify, extract. */
#ifndef WEIGHTMARK_MARK_FILE_H
#define WEIGHTMARK_MARK_FILE_H

#include <weightmark/mark.h>
#include <weightmark/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A list of weight tensors a mark could go into. */
typedef struct wmk_targets {
    wmk_target *target; /* [count]; names owned */
    size_t count;
} wmk_targets;
WMK_EXPORT void wmk_targets_free(wmk_targets *targets); /* frees the contents; a zeroed struct is allowed */

/* Every tensor of `model` that can carry a mark: a float tensor of rank >= 2 with a layout. UNSUPPORTED is never returned for a tensor that cannot: it is left out. */
WMK_EXPORT wmk_status wmk_targets_of_model(wmk_targets *out, const wmk_model *model);

/* Picks from `from`, in its order, what any of the comma-separated `selectors` names: a tensor's full name; a glob (* ? [..]); `conv` (rank >= 3), `linear` (rank 2), `all`;
 * on a wide-residual host (names "convG.B.convC.weight") `convG`: the second convolution of the last block of group G (paper section 4.1).
 * MISSING: a selector that matches nothing (the message lists what there is). */
WMK_EXPORT wmk_status wmk_targets_select(wmk_targets *out, const wmk_targets *from, const char *selectors);

typedef struct wmk_verify_options {
    size_t struct_size;
    const char *tensor; /* NULL, or: read a one-target key from this tensor instead of the key's name (counted in tries: 1) */
    bool any_tensor;    /* a one-target key is tried on every tensor of the same shape; every try is paid for */
    uint64_t tries;     /* factor for choices made elsewhere (keys, files); >= 1 */
    double threshold_bits;
    uint32_t redraws;
} wmk_verify_options;
#define WMK_VERIFY_OPTIONS_INIT                                                                                                                      \
    {                                                                                                                                                \
        sizeof(wmk_verify_options), NULL, false, 1, WMK_THRESHOLD_BITS_DEFAULT, WMK_REDRAWS_DEFAULT                                                  \
    }

typedef struct wmk_verification {
    wmk_evidence evidence;
    wmk_reading *reading; /* owned */
    char **tensors;       /* [tensor_count] names of the tensors read, owned */
    size_t tensor_count;
    size_t tensors_missing;
} wmk_verification;
WMK_EXPORT void wmk_verification_free(wmk_verification *verification); /* frees the contents; a zeroed struct is allowed */

/* Looks for `key` in `model`. Targets are found by name; missing ones are erasures (MISSING when none is there); a shape that differs is MISMATCH.
 * ARGUMENT: an option out of its range, `tensor` and `any_tensor` together, either for a key of several tensors. Other statuses as wmk_mark_verify.
 * The caller frees *out with wmk_verification_free. */
WMK_EXPORT wmk_status wmk_model_verify(wmk_verification *out, const wmk_model *model, const wmk_key *key, const wmk_verify_options *options);

/* Told what the mark changes when that is computed and nothing has appeared at `path` yet. Non-zero: stop here. */
typedef int (*wmk_embed_confirm_fn)(const wmk_embed_summary *summary, void *payload);

/* Marks a copy of `model` at `path` (wmk_mark_embed, then a patch). Nothing is left at `path` on failure. confirm: may be NULL; when it stops the work, nothing is
 * left at `path` and the status is INTERRUPTED. summary may be NULL; it is set on success, and by INTERRUPTED to what would have been done.
 * MISSING: one of the key's tensors; EXISTS unless `replace`; SYSTEM; other statuses as wmk_mark_embed. */
WMK_EXPORT wmk_status wmk_model_embed(const wmk_model *model, const wmk_key *key, const char *path, bool replace, const wmk_embed_options *options,
                                      wmk_embed_confirm_fn confirm, void *payload, wmk_embed_summary *summary);

#ifdef __cplusplus
}
#endif
#endif
