/* mark_file/match.h - the tensors of a model that are a key's targets. */
#ifndef WMK_MARK_FILE_MATCH_H
#define WMK_MARK_FILE_MATCH_H

#include <weightmark/mark_file.h>
#include "mark_file/fit.h"

#define WMK_NO_TENSOR SIZE_MAX

typedef struct wmk_match {
    const wmk_model *model; /* borrowed */
    const wmk_key *key;     /* borrowed */
    size_t count;           /* of the key's targets, and of what follows */
    size_t *tensor;         /* the model's tensor; WMK_NO_TENSOR: missing */
    wmk_match_how *how;
    wmk_fit *fit;           /* square: still open, see wmk_match_view */
    uint64_t *weights;      /* of the target, those that the tensor has; 0: missing */
    wmk_tensor_view *views; /* as the targets see them, for wmk_mark_read; those that are missing have no data */
    size_t missing;
    void **blocks; /* [block_count] bytes and contexts that the views need */
    size_t block_count;
} wmk_match;

/* Finds every target by its name: as the map says, else exactly, by the tensor's alias, by a name that
 * differs in the usual ways. A tensor is one target's only, has values that can be read, and the target's
 * sizes or, where no such tensor is found, others.
 * complete: all must be there in their own sizes, as for embedding.
 * MISSING, MISMATCH, UNSUPPORTED: none is (complete: one is not), with the first reason and the model's
 * path; what wmk_map_apply returns, and wmk_model_unpack. */
wmk_status wmk_match_by_name(wmk_match *out, const wmk_model *model, const wmk_key *key, const wmk_rename *map, size_t map_count, bool complete);
/* No target found yet. */
wmk_status wmk_match_begin(wmk_match *out, const wmk_model *model, const wmk_key *key);
/* Makes views[target] and weights[target] anew: `tensor` read in `way`, which must fit or overlap. bytes: NULL, or the tensor's unpacked bytes, which the caller keeps. */
wmk_status wmk_match_view(wmk_match *match, size_t target, size_t tensor, wmk_way way, const void *bytes);
void wmk_match_free(wmk_match *match); /* frees the contents; a zeroed struct is allowed */

/* Why target t cannot be read from match->tensor[t], or at all, and unless `complete` what to try. */
wmk_status wmk_match_reason(const wmk_match *match, size_t t, bool complete);

/* Lists in *out what was matched and counts weights; it is freed by wmk_verification_free, also after a failure. */
wmk_status wmk_verification_list(wmk_verification *out, const wmk_match *match);

/* Values, as they are or unpacked, that can be read. */
bool wmk_is_readable(const wmk_model_tensor *tensor);

/* MISSING: the model has no tensor `name`; the message lists the nearest names and ends with `advice`. */
wmk_status wmk_no_such_tensor(const wmk_model *model, const char *name, const char *advice);

#endif
