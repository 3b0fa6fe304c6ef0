/* mark_file/verify.c - looks for a key's mark in a model. */
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "mark_file/views.h"

void wmk_verification_free(wmk_verification *verification)
{
    for (size_t i = 0; i < verification->tensor_count; i++) free(verification->tensors[i]);
    free(verification->tensors);
    wmk_reading_free(verification->reading);
    *verification = (wmk_verification){0};
}

/* Reads `views` and fills *out with the evidence, the reading and the names of the views that have data. */
static wmk_status judge(wmk_verification *out, const wmk_key *key, const wmk_tensor_view *views, size_t count, uint64_t tries,
                        const wmk_verify_options *options)
{
    wmk_verification found = {0};
    wmk_status status = wmk_mark_verify(&found.evidence, &found.reading, key, views, tries, options->threshold_bits, options->redraws);
    if (status == WMK_OK) status = wmk_alloc(&found.tensors, count, sizeof *found.tensors);
    for (size_t i = 0; status == WMK_OK && i < count; i++) {
        if (!views[i].data)
            found.tensors_missing++;
        else if ((status = wmk_strdup(&found.tensors[found.tensor_count], views[i].name)) == WMK_OK)
            found.tensor_count++;
    }
    if (status == WMK_OK)
        *out = found;
    else
        wmk_verification_free(&found);
    return status;
}

static wmk_status by_name(wmk_verification *out, const wmk_model *model, const wmk_key *key, const wmk_verify_options *options)
{
    size_t count = wmk_key_target_count(key), missing;
    wmk_tensor_view *views;
    WMK_TRY(wmk_alloc(&views, count, sizeof *views));
    wmk_status status = wmk_views_of_key(views, &missing, model, key, count);
    if (status == WMK_OK) status = wmk_fail_in_model(judge(out, key, views, count, options->tries, options), model);
    free(views);
    return status;
}

static wmk_status one_tensor(wmk_verification *out, const wmk_model *model, const wmk_key *key, const wmk_verify_options *options)
{
    const wmk_model_tensor *tensor = wmk_model_find(model, options->tensor);
    if (!tensor) return wmk_no_such_tensor(model, options->tensor);
    wmk_tensor_view view = wmk_view_for_target(&tensor->view, wmk_key_target(key, 0));
    return wmk_fail_in_model(judge(out, key, &view, 1, options->tries, options), model);
}

/* True when `a` says more: log p decides, z where both are at its end. */
static bool is_stronger(const wmk_evidence *a, const wmk_evidence *b) { return a->log10_p != b->log10_p ? a->log10_p < b->log10_p : a->z > b->z; }

/* The strongest of all tensors of the target's shape. All of them are paid for, also those that turn out to be unreadable (a NaN somewhere else in a model must not
 * hide the mark); only when none can be read is that the answer. */
static wmk_status any_tensor(wmk_verification *out, const wmk_model *model, const wmk_key *key, const wmk_verify_options *options)
{
    const wmk_target *target = wmk_key_target(key, 0);
    size_t count = wmk_model_tensor_count(model);
    uint64_t candidates = 0, tries;
    for (size_t i = 0; i < count; i++) candidates += wmk_view_fits(&wmk_model_tensor_at(model, i)->view, target);
    if (candidates == 0)
        return wmk_fail(WMK_ERROR_MISSING, "%s: no float tensor has the shape of the key's \"%s\"", wmk_model_path(model), target->name);
    if (!wmk_mul_u64(candidates, options->tries, &tries)) return wmk_fail(WMK_ERROR_ARGUMENT, "verify: 2^64 tries or more");
    wmk_verification best = {0};
    wmk_status status = WMK_OK;
    for (size_t i = 0; i < count; i++) {
        const wmk_model_tensor *tensor = wmk_model_tensor_at(model, i);
        wmk_verification next;
        if (!wmk_view_fits(&tensor->view, target)) continue;
        wmk_tensor_view view = wmk_view_for_target(&tensor->view, target);
        status = judge(&next, key, &view, 1, tries, options);
        if (status == WMK_ERROR_INPUT) continue;
        if (status != WMK_OK) break;
        if (best.reading && !is_stronger(&next.evidence, &best.evidence)) {
            wmk_verification_free(&next);
            continue;
        }
        wmk_verification_free(&best);
        best = next;
    }
    if (best.reading && (status == WMK_OK || status == WMK_ERROR_INPUT)) {
        *out = best;
        return WMK_OK;
    }
    wmk_verification_free(&best);
    return wmk_fail_in_model(status, model);
}

wmk_status wmk_model_verify(wmk_verification *out, const wmk_model *model, const wmk_key *key, const wmk_verify_options *options)
{
    if (options->struct_size != sizeof *options)
        return wmk_fail(WMK_ERROR_ARGUMENT, "verify options of %zu bytes, this library's are %zu: use WMK_VERIFY_OPTIONS_INIT", options->struct_size,
                        sizeof *options);
    if (options->tries == 0 || !(options->threshold_bits > 0)) return wmk_fail(WMK_ERROR_ARGUMENT, "verify: tries and threshold must be above 0");
    if (!options->tensor && !options->any_tensor) return by_name(out, model, key, options);
    if (options->tensor && options->any_tensor) return wmk_fail(WMK_ERROR_ARGUMENT, "verify: one tensor is named and any is asked for");
    if (wmk_key_target_count(key) != 1)
        return wmk_fail(WMK_ERROR_ARGUMENT, "verify: only a key of one tensor can be read from another one; this key has %zu",
                        wmk_key_target_count(key));
    return options->tensor ? one_tensor(out, model, key, options) : any_tensor(out, model, key, options);
}
