/* mark/evidence.c - how unlikely a reading is in a model made without the key (docs/spec.md, "Evidence"). */
#include "mark/evidence.h"

#include <math.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/secret.h"
#include "mark/key.h"
#include "mark/read.h"

static const double per_ln_10 = 0.434294481903251827651, log2_10 = 3.32192809488736234787;

const char *wmk_verdict_name(wmk_verdict verdict)
{
    static const char *const names[] = {"not-found", "inconclusive", "found"};
    return (unsigned)verdict < 3 ? names[verdict] : "unknown";
}

static bool is_pick(const wmk_key *key) { return key->scheme == WMK_SCHEME_DIRECT || key->scheme == WMK_SCHEME_DIFF; }

void wmk_evidence_count(wmk_evidence *out, const wmk_key *key, const uint8_t *b, const wmk_reading *reading, uint32_t *ties)
{
    double sum = 0, squares = 0;
    *ties = 0;
    out->bits = out->erased = out->bit_errors = 0;
    for (uint32_t j = 0; j < reading->T; j++) {
        if (reading->erased[j]) {
            out->erased++;
            continue;
        }
        out->bits++;
        if (reading->bit[j] != b[j])
            out->bit_errors++;
        else if (reading->y[j] == 0)
            ++*ties;
        sum += b[j] ? reading->score[j] : -reading->score[j];
        squares += reading->score[j] * reading->score[j];
    }
    /* Rows of direct and diff have no randomness of their own: only the bits' signs do, and those are worth the scores' own length. */
    double unit = is_pick(key) ? squares : out->bits;
    out->z = unit > 0 ? sum / sqrt(unit) : 0;
    out->ber = out->bits > 0 ? (double)out->bit_errors / out->bits : 0.5;
}

/* Both p's and the tries are there: the corrected p, and the word. */
static void conclude(wmk_evidence *out, double threshold_bits)
{
    double least = out->log10_p_soft < out->log10_p_hard ? out->log10_p_soft : out->log10_p_hard;
    double p = least + log10(2) + out->log10_tries;
    out->log10_p = p < 0 ? p : 0;
    out->evidence_bits = out->log10_p < 0 ? -out->log10_p * log2_10 : 0;
    double maybe = threshold_bits < WMK_INCONCLUSIVE_BITS ? threshold_bits : WMK_INCONCLUSIVE_BITS;
    out->verdict = out->evidence_bits >= threshold_bits ? WMK_FOUND : out->evidence_bits >= maybe ? WMK_INCONCLUSIVE : WMK_NOT_FOUND;
}

static wmk_status check(uint64_t tries, double threshold_bits)
{
    if (tries < 1) return wmk_fail(WMK_ERROR_ARGUMENT, "tries is 0: at least the look that was taken counts");
    if (!(threshold_bits > 0) || !isfinite(threshold_bits))
        return wmk_fail(WMK_ERROR_ARGUMENT, "threshold of %g bits: it must be above 0", threshold_bits);
    return WMK_OK;
}

wmk_status wmk_evidence_judge(wmk_evidence *out, const wmk_key *key, const wmk_reading *reading, uint64_t tries, double threshold_bits)
{
    WMK_TRY(check(tries, threshold_bits));
    if (reading->T != key->T) return wmk_fail(WMK_ERROR_ARGUMENT, "a reading of %u bits is judged by a key of %u", reading->T, key->T);
    uint8_t *b = NULL;
    WMK_TRY(wmk_secret_alloc(&b, key->T, 1));
    wmk_key_bits(key, b);
    wmk_evidence e = {.tries = tries, .log10_tries = log10((double)tries)};
    uint32_t ties;
    wmk_evidence_count(&e, key, b, reading, &ties);
    wmk_secret_free(b);
    e.soft_is_bound = key->scheme != WMK_SCHEME_RANDOM;
    e.empirical = key->ones && is_pick(key);
    if (!e.empirical) {
        if (!e.soft_is_bound)
            e.log10_p_soft = e.bits > 0 ? wmk_log10_normal_tail(e.z) : 0;
        else
            e.log10_p_soft = e.z > 0 ? -0.5 * e.z * e.z * per_ln_10 : 0;
        /* A fixed bit is matched by y = 0 more often than every second time; a drawn one is not. */
        uint32_t matches = e.bits - e.bit_errors - (key->ones ? ties : 0);
        e.log10_p_hard = wmk_log10_binomial_tail(e.bits, matches);
    }
    conclude(&e, threshold_bits);
    *out = e;
    return WMK_OK;
}

wmk_status wmk_evidence_pay(wmk_evidence *evidence, uint64_t factor, double threshold_bits)
{
    WMK_TRY(check(factor, threshold_bits));
    if (!wmk_mul_u64(evidence->tries, factor, &evidence->tries)) evidence->tries = UINT64_MAX;
    evidence->log10_tries += log10((double)factor);
    conclude(evidence, threshold_bits);
    return WMK_OK;
}

/* The seed of stranger number `index`: fixed by the key, so that a verdict can be repeated, and unknown without it. */
static void stranger_seed(uint8_t seed[WMK_SEED_BYTES], const wmk_key *key, uint64_t index)
{
    uint8_t message[16] = "wmkrdraw";
    for (int i = 0; i < 8; i++) message[8 + i] = (uint8_t)(index >> (8 * i));
    crypto_generichash(seed, WMK_SEED_BYTES, message, sizeof message, key->secret->seed, WMK_SEED_BYTES);
}

/* p = (1 + strangers at least as good) / (1 + strangers), for z and for the matching bits. */
static wmk_status redraw(wmk_evidence *e, const wmk_key *key, const wmk_vector *vector, uint32_t redraws)
{
    uint64_t soft = 1, hard = 1;
    uint8_t seed[WMK_SEED_BYTES], *b = NULL;
    WMK_TRY(wmk_alloc(&b, key->T, 1)); /* all ones: no secret */
    memset(b, 1, key->T);
    wmk_status status = WMK_OK;
    for (uint32_t i = 0; i < redraws; i++) {
        wmk_key *stranger = NULL;
        wmk_reading *reading = NULL;
        stranger_seed(seed, key, i);
        WMK_TRY_GOTO(status, wmk_key_redraw(&stranger, key, seed), done);
        status = wmk_vector_read(&reading, stranger, vector);
        if (status == WMK_OK) {
            wmk_evidence other;
            uint32_t ties;
            wmk_evidence_count(&other, stranger, b, reading, &ties);
            soft += other.z >= e->z - 1e-9 * fabs(e->z); /* equal but for rounding is equal */
            /* by the share of right bits, since keys may lose different numbers of bits to zeros */
            hard += (uint64_t)(other.bits - other.bit_errors) * e->bits >= (uint64_t)(e->bits - e->bit_errors) * other.bits;
        }
        wmk_reading_free(reading);
        wmk_key_free(stranger);
        if (status != WMK_OK) goto done;
    }
    e->log10_p_soft = log10((double)soft / ((double)redraws + 1));
    e->log10_p_hard = log10((double)hard / ((double)redraws + 1));
done:
    free(b);
    return status;
}

typedef struct redraw_call {
    wmk_evidence *e;
    const wmk_key *key;
    const wmk_vector *vector;
    uint32_t redraws;
    wmk_status status;
} redraw_call;

static void redraw_hidden(void *argument)
{
    redraw_call *call = argument;
    call->status = redraw(call->e, call->key, call->vector, call->redraws);
}

wmk_status wmk_mark_verify(wmk_evidence *out, wmk_reading **reading, const wmk_key *key, const wmk_tensor_view *views, uint64_t tries,
                           double threshold_bits, uint32_t redraws)
{
    WMK_TRY(check(tries, threshold_bits));
    wmk_vector vector;
    WMK_TRY(wmk_vector_open(&vector, key, views, NULL));
    wmk_reading *mine = NULL;
    wmk_evidence e;
    wmk_status status;
    WMK_TRY_GOTO(status, wmk_vector_read(&mine, key, &vector), done);
    WMK_TRY_GOTO(status, wmk_evidence_judge(&e, key, mine, tries, threshold_bits), done);
    if (e.empirical) {
        redraw_call call = {&e, key, &vector, redraws, WMK_OK};
        wmk_secret_call(redraw_hidden, &call);
        WMK_TRY_GOTO(status, call.status, done);
        conclude(&e, threshold_bits);
    }
    *out = e;
    if (reading != NULL) {
        *reading = mine;
        mine = NULL;
    }
done:
    wmk_reading_free(mine);
    wmk_vector_close(&vector);
    return status;
}
