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
    const char *tensor; /* NULL, or: read a one-target key from this tensor instead of the key's name (counted in tries: 1) */
    bool
        any_tensor; /* names mean nothing: every target takes, of the tensors whose shape fits, the one that speaks loudest for the key; every choice is paid for */
    uint64_t tries; /* factor for choices made elsewhere (keys, files); >= 1 */
    double threshold_bits;
    uint32_t redraws;
    const wmk_rename *map; /* [map_count] goes before every other way to find a tensor; ignored by any_tensor */
    size_t map_count;
    void (*walked)(
        void *payload,
        uint64_t bytes); /* NULL, or told, by any thread, of weights' bytes that were read through, once or twice all of them: for showing progress */
    void *walked_payload;
} wmk_verify_options;
#define WMK_VERIFY_OPTIONS_INIT                                                                                                                      \
    {                                                                                                                                                \
        sizeof(wmk_verify_options), NULL, false, 1, WMK_THRESHOLD_BITS_DEFAULT, WMK_REDRAWS_DEFAULT, NULL, 0, NULL, NULL                             \
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
} wmk_matched;

typedef struct wmk_verification {
    wmk_evidence evidence;
    wmk_reading *reading; /* owned */
    char **tensors;       /* [tensor_count] names of the tensors read, owned by `matched` */
    wmk_matched *matched; /* [tensor_count] the same with how they were found */
    size_t tensor_count;
    size_t tensors_missing; /* not there, of another shape, or of values that cannot be read */
} wmk_verification;
WMK_EXPORT void wmk_verification_free(wmk_verification *verification); /* frees the contents; a zeroed struct is allowed */

/* Looks for `key` in `model`. A target's tensor is found by the options' map, else by its name, by the network's other name for it, or by a name that differs as names do between frameworks
 * (docs/spec.md, "Targets in another file"); its axes by the container's layout where it knows one. Where both orders of a square matrix's axes are possible and nothing else tells, both
 * are tried and p is doubled. Tensors that are missing, of another shape or unreadable are erasures; when none is left: MISSING, MISMATCH or UNSUPPORTED, as the first of them is.
 * MISSING also: a map that names what is not there. ARGUMENT: an option out of its range, `tensor` and `any_tensor` together, `tensor` for a key of several. Other statuses as
 * wmk_mark_verify and wmk_model_unpack. The caller frees *out with wmk_verification_free. */
WMK_EXPORT wmk_status wmk_model_verify(wmk_verification *out, const wmk_model *model, const wmk_key *key, const wmk_verify_options *options);

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
