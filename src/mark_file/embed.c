/* mark_file/embed.c - marks a copy of a model, and reads the mark from the copy before it takes its place. Neither the model nor the copy is ever held in memory as a
 * whole: what was read or written goes back to the system at once. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "mark/embed.h"
#include "mark/original.h"
#include "mark_file/match.h"
#include "model/patch.h"

typedef struct embedding {
    const wmk_model *model;
    const wmk_key *key;
    const wmk_embed_options *options;
    wmk_embed_confirm_fn confirm; /* may be NULL */
    void *payload;
    wmk_embed_summary *summary;
    wmk_verification *proof; /* may be NULL */
    wmk_match match;
    void **outputs;      /* [targets] */
    bool *anew;          /* [targets] every byte of it is written */
    wmk_reading *stored; /* read back from the bytes that went into the copy */
    wmk_patch *patch;
} embedding;

static void passed(void *payload, const void *data, uint64_t bytes)
{
    const embedding *job = payload;
    wmk_patch_give_back(job->patch, data, bytes);
}

static void walked(void *payload, uint64_t bytes)
{
    const embedding *job = payload;
    if (job->options->walked) job->options->walked(job->options->walked_payload, bytes);
}

static wmk_status written(void *payload, size_t target, uint64_t offset, uint64_t bytes, const void *data)
{
    const embedding *job = payload;
    size_t tensor = job->match.tensor[target];
    return data ? wmk_patch_put(job->patch, tensor, offset, bytes, data) : wmk_patch_flush(job->patch, tensor, offset, bytes);
}

/* Whether embedding writes every byte of the tensor. */
static bool is_written_whole(const wmk_model_tensor *tensor, const wmk_tensor_view *view)
{
    uint64_t bytes;
    if (tensor->packed || view->codec || view->data != tensor->view.data) return false;
    return wmk_tensor_bytes(view, &bytes) == WMK_OK && (view->data_bytes == 0 || view->data_bytes == bytes);
}

/* The targets lie in the copy as they do in the model: what was read back from those bytes is what anybody finds who opens it. */
static bool lies_the_same(const embedding *job, const wmk_model *copy, const wmk_match *found)
{
    for (size_t t = 0; t < job->match.count; t++) {
        if (found->tensor[t] != job->match.tensor[t]) return false;
        const wmk_model_tensor *a = wmk_model_tensor_at(job->model, job->match.tensor[t]), *b = wmk_model_tensor_at(copy, found->tensor[t]);
        const wmk_tensor_view *v = &job->match.views[t], *w = &found->views[t];
        if (!is_written_whole(a, v) || b->packed || w->codec || a->file != b->file || a->offset_bytes != b->offset_bytes || v->dtype != w->dtype ||
            v->rank != w->rank || memcmp(v->shape, w->shape, sizeof v->shape[0] * v->rank) != 0 || strcmp(v->layout, w->layout) != 0)
            return false;
    }
    return true;
}

/* The copy is opened as any model is and its tensors are found anew. Where they lie just as they did, the reading of the bytes that were handed to the system for it is what anybody finds;
 * else the copy is read. */
static wmk_status prove(embedding *job)
{
    wmk_model *copy;
    wmk_verification proof = {0};
    wmk_match found = {0};
    WMK_TRY(wmk_model_open(&copy, wmk_patch_temporary_path(job->patch)));
    wmk_status status = wmk_match_by_name(&found, copy, job->key, NULL, 0, true);
    if (status == WMK_OK && job->stored && lies_the_same(job, copy, &found)) {
        proof.reading = job->stored;
        job->stored = NULL;
        status = wmk_evidence_judge(&proof.evidence, job->key, proof.reading, 1, WMK_THRESHOLD_BITS_DEFAULT);
    } else if (status == WMK_OK) {
        uint32_t redraws = job->proof ? WMK_REDRAWS_DEFAULT : 1;
        status = wmk_mark_verify(&proof.evidence, &proof.reading, job->key, found.views, 1, WMK_THRESHOLD_BITS_DEFAULT, redraws);
    }
    if (status == WMK_OK && proof.evidence.bit_errors != job->summary->errors_after)
        status = wmk_fail(WMK_ERROR_SYSTEM, "the marked copy reads back with %u bits wrong, %u were expected", proof.evidence.bit_errors,
                          job->summary->errors_after);
    if (status == WMK_OK && job->proof) status = wmk_verification_list(&proof, &found);
    if (status == WMK_OK) job->summary->z_after = proof.evidence.z;
    if (status == WMK_OK && job->proof)
        *job->proof = proof;
    else
        wmk_verification_free(&proof);
    wmk_match_free(&found);
    wmk_model_close(copy);
    return status;
}

/* One key marks one model: from the two sides of a marked model the mark of any other that bears it can be subtracted. */
static wmk_status check_original(const embedding *job)
{
    uint8_t wanted[WMK_ORIGINAL_BYTES], found[WMK_ORIGINAL_BYTES];
    const wmk_traffic traffic = {.payload = (void *)(uintptr_t)job, .walked = walked, .passed = passed};
    if (job->options->other_model || !wmk_key_original(job->key, wanted)) return WMK_OK;
    WMK_TRY(wmk_views_original(found, job->key, job->match.views, &traffic));
    if (memcmp(wanted, found, sizeof wanted) == 0) return WMK_OK;
    return wmk_fail(WMK_ERROR_MISMATCH, "these are not the weights that the key was made for; one key marks one model, since a mark that is in "
                                        "two can be subtracted: make another key with keygen --model");
}

static wmk_status embed_into(embedding *job)
{
    const wmk_traffic traffic = {job, walked, passed, written, job->anew};
    WMK_TRY(check_original(job));
    for (size_t t = 0; t < job->match.count; t++) {
        size_t index = job->match.tensor[t];
        job->anew[t] = is_written_whole(wmk_model_tensor_at(job->model, index), &job->match.views[t]);
        WMK_TRY(job->anew[t] ? wmk_patch_data_anew(job->patch, index, &job->outputs[t]) : wmk_patch_data(job->patch, index, &job->outputs[t]));
    }
    WMK_TRY(wmk_mark_embed_into(job->key, job->match.views, job->outputs, job->options, &traffic, job->summary, &job->stored));
    if (job->confirm && job->confirm(job->summary, job->payload) != 0)
        return wmk_fail(WMK_ERROR_INTERRUPTED, "embedding was stopped; nothing was written");
    WMK_TRY(wmk_patch_write(job->patch));
    return prove(job);
}

/* So that nothing is copied for a key that cannot go in. */
static wmk_status check_fit(const embedding *job)
{
    for (size_t i = 0; i < wmk_key_target_count(job->key); i++) {
        const wmk_tensor_view *view = &job->match.views[i];
        if (!wmk_tensor_is_writable(view))
            return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: %s: tensor \"%s\" holds %s; a mark goes into f64, f32, f16, bf16 or q8_0",
                            wmk_model_path(job->model), view->name, view->codec ? view->codec->name : wmk_dtype_name(view->dtype));
    }
    return WMK_OK;
}

wmk_status wmk_model_embed(const wmk_model *model, const wmk_key *key, const char *path, bool replace, const wmk_embed_options *options,
                           wmk_embed_confirm_fn confirm, void *payload, wmk_embed_summary *summary, wmk_verification *proof)
{
    wmk_embed_summary own = {0};
    embedding job = {.model = model, .key = key, .options = options, .confirm = confirm, .payload = payload, .summary = &own, .proof = proof};
    size_t count = wmk_key_target_count(key);
    wmk_status status;
    WMK_TRY_GOTO(status, wmk_alloc(&job.outputs, count, sizeof *job.outputs), done);
    WMK_TRY_GOTO(status, wmk_alloc(&job.anew, count, sizeof *job.anew), done);
    WMK_TRY_GOTO(status, wmk_match_by_name(&job.match, model, key, NULL, 0, true), done);
    WMK_TRY_GOTO(status, check_fit(&job), done);
    WMK_TRY_GOTO(status, wmk_patch_begin(&job.patch, model, path, replace), done);
    status = embed_into(&job);
    if (status != WMK_OK) {
        status = wmk_fail_within(status, "%s", wmk_model_path(model));
        goto done;
    }
    status = wmk_patch_commit(job.patch);
    job.patch = NULL;
    if (status != WMK_OK && proof) wmk_verification_free(proof);
done:
    if (summary && (status == WMK_OK || status == WMK_ERROR_INTERRUPTED)) *summary = own;
    wmk_patch_abort(job.patch);
    wmk_reading_free(job.stored);
    free(job.outputs);
    free(job.anew);
    wmk_match_free(&job.match);
    return status;
}
