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
    char **in_file;     /* NULL, or [count]: NULL, or the tensor's name in its file where the target's is another; owned */
    size_t count;
} wmk_targets;
WMK_EXPORT void wmk_targets_free(wmk_targets *targets); /* frees the contents; a zeroed struct is allowed */

/* Every tensor of `model` that can carry a mark: of rank >= 2, with a layout and values that can be written; of tensors that share their bytes the first. One whose name is made up by
 * an exporter ("onnx::MatMul_12", "layers/dense/vars/0") goes by the network's name for it, if there is one. UNSUPPORTED is never
 * returned for a tensor that cannot: it is left out. */
WMK_EXPORT wmk_status wmk_targets_of_model(wmk_targets *out, const wmk_model *model);

/* Picks from `from`, in its order, what any of the comma-separated `selectors` names: a tensor's full name, the target's or that in the file; a glob (* ? [..]); `conv` (rank >= 3), `linear` (rank 2), `all`;
 * on a wide-residual host (names "convG.B.convC.weight") `convG`: the second convolution of the last block of group G (paper section 4.1).
 * MISSING: a selector that matches nothing (the message lists what there is). */
WMK_EXPORT wmk_status wmk_targets_select(wmk_targets *out, const wmk_targets *from, const char *selectors);

/* One target whose tensor has another name in the model that is looked at. */
typedef struct wmk_rename {
    const char *target, *tensor; /* the key's name, the model's; borrowed */
    unsigned line;               /* for messages: where in a file it is written; 0: nowhere */
} wmk_rename;

/* Renames read from a file. */
typedef struct wmk_renames {
    wmk_rename *rename; /* [count]; names owned */
    size_t count;
} wmk_renames;
/* Lines `key-name = model-name` (white space around is dropped; empty lines and those that begin with # say nothing), or a JSON object {"key-name": "model-name", ...}.
 * INPUT, with the line: no such line, a name twice, more than 16 MiB; MISSING, SYSTEM: no such file; MEMORY. */
WMK_EXPORT wmk_status wmk_renames_read(wmk_renames *out, const char *path);
WMK_EXPORT void wmk_renames_free(wmk_renames *renames); /* frees the contents; a zeroed struct is allowed */

typedef struct wmk_verify_options {
    size_t struct_size;
    /* NULL, or: read a one-target key from this tensor; as a map of one line. */
    const char *tensor;
    /* Names mean nothing: targets take tensors of their shape by how well these agree with the key.
     * `tries` counts every choice (docs/spec.md, "Any tensor"). */
    bool any_tensor;
    uint64_t tries; /* factor for choices made elsewhere (keys, files); >= 1 */
    double threshold_bits;
    uint32_t redraws;
    /* [map_count] Goes before every other way to find a tensor; ignored by any_tensor. Lines that name
     * another tensor than the names lead to are choices that `tries` counts (docs/spec.md, "Map"). */
    const wmk_rename *map;
    size_t map_count;
    void (*walked)(
        void *payload,
        uint64_t bytes); /* NULL, or told, by any thread, of weights' bytes that were read through, once or twice all of them: for showing progress */
    void *walked_payload;
    /* any_tensor: NULL, or told, by one thread, which share of all comparisons is done, 0 to 1. */
    void (*searched)(void *payload, double share);
    void *searched_payload;
} wmk_verify_options;
#define WMK_VERIFY_OPTIONS_INIT                                                                                                                      \
    {                                                                                                                                                \
        sizeof(wmk_verify_options), NULL, false, 1, WMK_THRESHOLD_BITS_DEFAULT, WMK_REDRAWS_DEFAULT, NULL, 0, NULL, NULL, NULL, NULL                 \
    }

/* How a target's tensor was found. */
typedef enum wmk_match_how {
    WMK_MATCH_NONE = 0,
    WMK_MATCH_EXACT = 1,   /* it has the target's name */
    WMK_MATCH_MAP = 2,     /* the caller said so */
    WMK_MATCH_ALIAS = 3,   /* the network has the target's name for it */
    WMK_MATCH_RENAMED = 4, /* its name differs from the target's in the ways in which programs rename weights */
    WMK_MATCH_SHAPE = 5    /* any_tensor */
} wmk_match_how;
WMK_EXPORT const char *wmk_match_how_name(wmk_match_how how); /* "exact", "map", "alias", "renamed", "shape"; "none" */

typedef struct wmk_matched {
    char *target, *tensor; /* names in the key and in the model, owned */
    wmk_match_how how;
    double share; /* of the target's weights, those that the tensor has: below 1 where it is smaller */
} wmk_matched;

/* Why a verdict is inconclusive. */
typedef enum wmk_reason {
    WMK_REASON_NONE = 0,       /* it is not */
    WMK_REASON_WEAK = 1,       /* some evidence, but less than the threshold */
    WMK_REASON_LITTLE_READ = 2 /* no evidence, in less than WMK_SHARE_LEAST of the key's weights */
} wmk_reason;
WMK_EXPORT const char *wmk_reason_name(wmk_reason reason); /* "none", "weak-evidence", "little-read" */

/* Evidence bits grow with the share of the weights that is read. A mark that is worth 64 bits in all
 * weights is worth 32 in half of them, and shows the 20 bits of `inconclusive` there nine times of ten.
 * Where less is read, that nothing was seen says too little to be called `not-found`. */
#define WMK_SHARE_LEAST 0.5

typedef struct wmk_verification {
    wmk_evidence evidence; /* verdict: with the rule of `reason` */
    wmk_reading *reading;  /* owned */
    char **tensors;        /* [tensor_count] names of the tensors read, owned by `matched` */
    wmk_matched *matched;  /* [tensor_count] the same with how they were found */
    size_t tensor_count;
    size_t tensors_missing;               /* targets without a tensor that can be read */
    size_t tensors_partial;               /* of tensor_count: of other sizes than the target */
    uint64_t weights_total, weights_read; /* of the key's targets: all, and those that the tensors have as numbers */
    double share_read;                    /* weights_read / weights_total */
    wmk_reason reason;
} wmk_verification;
WMK_EXPORT void wmk_verification_free(wmk_verification *verification); /* frees the contents; a zeroed struct is allowed */

/* Looks for `key` in `model`.
 *
 * A target's tensor is found by the options' map, else by its name, by the network's other name for it,
 * or by a name that differs as names do between frameworks (docs/spec.md, "Targets in another file").
 * A tensor of the target's number of axes but of other sizes is read where both have weights; one of the
 * target's sizes goes before. The order of axes is the container's where it knows one. Where both orders
 * of a square matrix are possible and nothing else tells, both are tried and p is doubled. Targets whose
 * tensors are missing or unreadable are erasures.
 *
 * out: the caller frees it with wmk_verification_free; it is set on success only.
 * MISSING, MISMATCH, UNSUPPORTED: no target is left, for the reason that the first of them has.
 * MISSING: a map that names what is not there. INPUT: a map that names a target or a tensor twice.
 * MISMATCH, UNSUPPORTED: a map that names a tensor which cannot be read as the target.
 * UNSUPPORTED: any_tensor with more than 2^28 pairs of target and tensor.
 * ARGUMENT: an option out of its range, `tensor` and `any_tensor` together, `tensor` for a key of several.
 * Other statuses as wmk_mark_verify and wmk_model_unpack. */
WMK_EXPORT wmk_status wmk_model_verify(wmk_verification *out, const wmk_model *model, const wmk_key *key, const wmk_verify_options *options);

/* What came of one pair. */
typedef struct wmk_pair {
    size_t model, key; /* numbers of the path and of the key */
    const char *path;
    bool opened;                          /* the model could be opened */
    wmk_status status;                    /* of wmk_model_open or wmk_model_verify; their message is this thread's */
    const wmk_verification *verification; /* borrowed; NULL unless status is OK */
} wmk_pair;
/* Non-zero: stop here. */
typedef int (*wmk_pair_fn)(void *payload, const wmk_pair *pair);

/* Looks for every one of `keys` in every one of the models at `paths`: whoever looks at several pairs
 * and picks what is found has looked that often, so every p is multiplied by their number.
 *
 * paths [path_count], keys [key_count]: borrowed.
 * options: as for wmk_model_verify; its `tries` is multiplied by the number of pairs, of which those that
 * cannot be read are some.
 * told: gets each pair once, keys of a model one after the other, models in their order. A model or a
 * pair that cannot be read does not stop the others.
 * Memory: one model is open at a time, and no result is kept.
 * ARGUMENT: no pair, or more than 2^64 tries. INTERRUPTED: `told` asked for it. MEMORY. */
WMK_EXPORT wmk_status wmk_model_verify_many(const char *const *paths, size_t path_count, const wmk_key *const *keys, size_t key_count,
                                            const wmk_verify_options *options, wmk_pair_fn told, void *payload);

/* One of several keys that were found in one model, and what its holder shows. */
typedef struct wmk_claim {
    bool dated;                    /* a checked time stamp (wmk_key_date) says when the key existed */
    int64_t seconds;               /* that time, since 1970, UTC */
    int64_t accuracy_microseconds; /* as in wmk_timestamp; -1: not stated, taken for a second */
    bool original;                 /* the model is at hand whose digest is the key's (wmk_model_original) */
} wmk_claim;

/* Why the files do not say who was first. */
typedef enum wmk_first_reason {
    WMK_FIRST_KNOWN = 0,       /* they do */
    WMK_FIRST_NO_DATE = 1,     /* no key is dated */
    WMK_FIRST_SAME_DATE = 2,   /* the oldest date is no older than another, within their accuracy */
    WMK_FIRST_NO_ORIGINAL = 3, /* the original of the key with the oldest date is not at hand */
    WMK_FIRST_OTHER_MARK = 4,  /* that original shows, or may show, another of the keys */
    WMK_FIRST_OWN_MARK = 5     /* that original shows, or may show, the key itself: such a key was made for it */
} wmk_first_reason;
WMK_EXPORT const char *wmk_first_reason_name(wmk_first_reason reason); /* "known", "no-date", "same-date", ... */

/* The rule of who was first (docs/spec.md, "Commitment"): of several keys found in one model, the one
 * whose date is oldest, whose original shows none of the other keys, and in whose original it is itself
 * not found, was first; otherwise the files do not say.
 *
 * claims [count]. A key without a date is taken for the younger one: if its mark was there first, the
 * other's original shows it.
 * verdicts [count][count]: row k, column o is what key k gives in the original of key o; unused where that
 * is not at hand. They must not be multiplied by tries: that would favour the claim.
 * *oldest: the number of the key with the oldest date, which was first if the result is WMK_FIRST_KNOWN;
 * `count` for WMK_FIRST_NO_DATE. */
WMK_EXPORT wmk_first_reason wmk_claims_first(size_t *oldest, const wmk_claim *claims, size_t count, const wmk_verdict *verdicts);

/* The digest of the key's targets in `model` (wmk_mark_original), found there by name as for embedding: all must be there.
 * Of the key only its targets count, so a key without an original can be asked before the one with it is made.
 * walked: NULL, or told, by any thread, of weights' bytes that were read: all of them once. Statuses as wmk_model_embed. */
WMK_EXPORT wmk_status wmk_model_original(uint8_t original[WMK_ORIGINAL_BYTES], const wmk_model *model, const wmk_key *key,
                                         void (*walked)(void *payload, uint64_t bytes), void *walked_payload);

/* Told what the mark changes when that is computed and nothing has appeared at `path` yet. Non-zero: stop here. */
typedef int (*wmk_embed_confirm_fn)(const wmk_embed_summary *summary, void *payload);

/* Marks a copy of `model` at `path` (wmk_mark_embed, then a patch). Nothing is left at `path` on failure. confirm: may be NULL; when it stops the work, nothing is
 * left at `path` and the status is INTERRUPTED. summary may be NULL; it is set on success, and by INTERRUPTED to what would have been done.
 * proof: NULL, or what the bytes of the copy say, as wmk_model_verify with the options' defaults would; set on success, the caller frees it with wmk_verification_free.
 * MISSING: one of the key's tensors; MISMATCH: a model that is not the key's original, unless options->other_model; EXISTS unless `replace`; SYSTEM; other statuses as wmk_mark_embed. */
WMK_EXPORT wmk_status wmk_model_embed(const wmk_model *model, const wmk_key *key, const char *path, bool replace, const wmk_embed_options *options,
                                      wmk_embed_confirm_fn confirm, void *payload, wmk_embed_summary *summary, wmk_verification *proof);

#ifdef __cplusplus
}
#endif
#endif
