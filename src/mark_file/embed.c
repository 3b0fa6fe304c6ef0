/* mark_file/embed.c - marks a copy of a model, and reads the mark from the copy before it takes its place. */
#include <stdlib.h>

#include "base/memory.h"
#include "mark_file/match.h"
#include "model/patch.h"

/* What the file on disk says, not the buffers it was written from: the copy is opened as any model is. */
static wmk_status read_back(const wmk_patch *patch, const wmk_key *key, wmk_embed_summary *summary)
{
    wmk_model *copy;
    wmk_reading *reading = NULL;
    wmk_evidence evidence;
    wmk_match match = {0};
    WMK_TRY(wmk_model_open(&copy, wmk_patch_temporary_path(patch)));
    wmk_status status = wmk_match_by_name(&match, copy, key, NULL, 0, true);
    if (status == WMK_OK) status = wmk_mark_read(&reading, key, match.views);
    if (status == WMK_OK) status = wmk_evidence_judge(&evidence, key, reading, 1, WMK_THRESHOLD_BITS_DEFAULT);
    if (status == WMK_OK && evidence.bit_errors != summary->errors_after)
        status =
            wmk_fail(WMK_ERROR_SYSTEM, "the marked copy reads back with %u bits wrong, %u were expected", evidence.bit_errors, summary->errors_after);
    if (status == WMK_OK) summary->z_after = evidence.z;
    wmk_reading_free(reading);
    wmk_match_free(&match);
    wmk_model_close(copy);
    return status;
}

typedef struct embedding {
    const wmk_model *model;
    const wmk_key *key;
    const wmk_embed_options *options;
    wmk_embed_confirm_fn confirm; /* may be NULL */
    void *payload;
    wmk_embed_summary *summary;
    wmk_match match;
    void **outputs; /* [targets] */
} embedding;

static wmk_status embed_into(wmk_patch *patch, const embedding *job)
{
    size_t count = wmk_key_target_count(job->key);
    for (size_t i = 0; i < count; i++) WMK_TRY(wmk_patch_data(patch, job->match.tensor[i], &job->outputs[i]));
    WMK_TRY(wmk_mark_embed(job->key, job->match.views, job->outputs, job->options, job->summary));
    if (job->confirm && job->confirm(job->summary, job->payload) != 0)
        return wmk_fail(WMK_ERROR_INTERRUPTED, "embedding was stopped; nothing was written");
    WMK_TRY(wmk_patch_write(patch));
    return read_back(patch, job->key, job->summary);
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
                           wmk_embed_confirm_fn confirm, void *payload, wmk_embed_summary *summary)
{
    wmk_embed_summary own = {0};
    embedding job = {.model = model, .key = key, .options = options, .confirm = confirm, .payload = payload, .summary = &own};
    size_t count = wmk_key_target_count(key);
    wmk_patch *patch = NULL;
    wmk_status status;
    WMK_TRY_GOTO(status, wmk_alloc(&job.outputs, count, sizeof *job.outputs), done);
    WMK_TRY_GOTO(status, wmk_match_by_name(&job.match, model, key, NULL, 0, true), done);
    WMK_TRY_GOTO(status, check_fit(&job), done);
    WMK_TRY_GOTO(status, wmk_patch_begin(&patch, model, path, replace), done);
    status = embed_into(patch, &job);
    if (status != WMK_OK) {
        status = wmk_fail_within(status, "%s", wmk_model_path(model));
        goto done;
    }
    status = wmk_patch_commit(patch);
    patch = NULL;
done:
    if (summary && (status == WMK_OK || status == WMK_ERROR_INTERRUPTED)) *summary = own;
    wmk_patch_abort(patch);
    free(job.outputs);
    wmk_match_free(&job.match);
    return status;
}
