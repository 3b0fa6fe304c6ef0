/* mark_file/verify.c - looks for a key's mark in a model. */
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "mark/read.h"
#include "mark_file/choose.h"
#include "mark_file/map.h"
#include "mark_file/match.h"

void wmk_verification_free(wmk_verification *verification)
{
    for (size_t i = 0; i < verification->tensor_count; i++) {
        free(verification->matched[i].target);
        free(verification->matched[i].tensor);
    }
    free(verification->matched);
    free(verification->tensors);
    wmk_reading_free(verification->reading);
    *verification = (wmk_verification){0};
}

wmk_status wmk_verification_list(wmk_verification *out, const wmk_match *match)
{
    WMK_TRY(wmk_alloc(&out->tensors, match->count, sizeof *out->tensors));
    WMK_TRY(wmk_alloc(&out->matched, match->count, sizeof *out->matched));
    for (size_t t = 0; t < match->count; t++) {
        const wmk_target *target = wmk_key_target(match->key, t);
        uint64_t weights;
        wmk_product_u64(target->shape, target->rank, &weights); /* a key's products do not overflow */
        out->weights_total += weights;
        if (!match->views[t].data) continue;
        wmk_matched *matched = &out->matched[out->tensor_count++];
        WMK_TRY(wmk_strdup(&matched->target, target->name));
        WMK_TRY(wmk_strdup(&matched->tensor, wmk_model_tensor_at(match->model, match->tensor[t])->view.name));
        matched->how = match->how[t];
        matched->share = (double)match->weights[t] / (double)weights;
        out->weights_read += match->weights[t];
        out->tensors_partial += match->fit[t].partial;
        out->tensors[out->tensor_count - 1] = matched->tensor;
    }
    out->tensors_missing = match->missing;
    out->weights_read -= out->reading->weights_lost < out->weights_read ? out->reading->weights_lost : out->weights_read;
    out->share_read = (double)out->weights_read / (double)out->weights_total;
    return WMK_OK;
}

/* Says why a verdict is open, and opens one that stands on too few of the key's weights. */
static void give_reason(wmk_verification *out)
{
    out->reason = out->evidence.verdict == WMK_INCONCLUSIVE ? WMK_REASON_WEAK : WMK_REASON_NONE;
    if (out->evidence.verdict != WMK_NOT_FOUND || out->share_read >= WMK_SHARE_LEAST) return;
    out->evidence.verdict = WMK_INCONCLUSIVE;
    out->reason = WMK_REASON_LITTLE_READ;
}

const char *wmk_reason_name(wmk_reason reason)
{
    static const char *const names[] = {"none", "weak-evidence", "little-read"};
    return (unsigned)reason < sizeof names / sizeof names[0] ? names[reason] : "none";
}

static void walked(void *payload, uint64_t bytes)
{
    const wmk_verify_options *options = payload;
    options->walked(options->walked_payload, bytes);
}

/* wmk_mark_verify, whose progress may be followed where no keys are redrawn. */
static wmk_status look(wmk_evidence *evidence, wmk_reading **reading, const wmk_match *match, const wmk_verify_options *options)
{
    if (!options->walked || wmk_key_ones(match->key))
        return wmk_mark_verify(evidence, reading, match->key, match->views, options->tries, options->threshold_bits, options->redraws);
    const wmk_traffic traffic = {.payload = (void *)(uintptr_t)options, .walked = walked};
    WMK_TRY(wmk_views_read(reading, match->key, match->views, &traffic));
    return wmk_evidence_judge(evidence, match->key, *reading, options->tries, options->threshold_bits);
}

/* Reads the views and fills *out with the evidence, `tries` with all factors, the reading and the names. */
static wmk_status judge(wmk_verification *out, const wmk_match *match, const wmk_factors *factors, const wmk_verify_options *options)
{
    wmk_verification found = {0};
    wmk_status status = look(&found.evidence, &found.reading, match, options);
    for (size_t i = 0; status == WMK_OK && i < factors->count; i++)
        status = wmk_evidence_pay(&found.evidence, factors->factor[i], options->threshold_bits);
    if (status == WMK_OK) status = wmk_verification_list(&found, match);
    if (status == WMK_OK) give_reason(&found);
    if (status == WMK_OK)
        *out = found;
    else
        wmk_verification_free(&found);
    return status;
}

static wmk_status find(wmk_match *match, wmk_factors *factors, const wmk_model *model, const wmk_key *key, const wmk_verify_options *options)
{
    if (options->any_tensor) {
        WMK_TRY(wmk_match_begin(match, model, key));
        return wmk_choose_any(match, factors, options->searched, options->searched_payload);
    }
    wmk_rename one = {wmk_key_target(key, 0)->name, options->tensor, 0};
    const wmk_rename *map = options->tensor ? &one : options->map;
    size_t count = options->tensor ? 1 : options->map_count;
    WMK_TRY(wmk_match_by_name(match, model, key, map, count, false));
    if (count > 0) WMK_TRY(wmk_map_factors(factors, match));
    return wmk_choose_orders(match, factors);
}

static wmk_status check(const wmk_key *key, const wmk_verify_options *options)
{
    if (options->struct_size != sizeof *options)
        return wmk_fail(WMK_ERROR_ARGUMENT, "verify options of %zu bytes, this library's are %zu: use WMK_VERIFY_OPTIONS_INIT", options->struct_size,
                        sizeof *options);
    if (options->tries == 0 || !(options->threshold_bits > 0)) return wmk_fail(WMK_ERROR_ARGUMENT, "verify: tries and threshold must be above 0");
    if (options->tensor && options->any_tensor) return wmk_fail(WMK_ERROR_ARGUMENT, "verify: one tensor is named and any is asked for");
    if (options->tensor && wmk_key_target_count(key) != 1)
        return wmk_fail(WMK_ERROR_ARGUMENT, "verify: only a key of one tensor can be read from another one; this key has %zu: a map names them",
                        wmk_key_target_count(key));
    return WMK_OK;
}

wmk_status wmk_model_verify(wmk_verification *out, const wmk_model *model, const wmk_key *key, const wmk_verify_options *options)
{
    wmk_match match = {0};
    wmk_factors factors = {NULL, 0};
    WMK_TRY(check(key, options));
    wmk_status status = find(&match, &factors, model, key, options);
    if (status == WMK_OK) {
        status = judge(out, &match, &factors, options);
        if (status != WMK_OK) status = wmk_fail_within(status, "%s", wmk_model_path(model));
    }
    wmk_factors_free(&factors);
    wmk_match_free(&match);
    return status;
}
