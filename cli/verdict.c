/* cli/verdict.c - what verify, embed and report say about a reading. */
#include "verdict.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *verdict_words(const wmk_verification *verification)
{
    switch (verification->evidence.verdict) {
    case WMK_FOUND:
        return "the mark of this key is in the model";
    case WMK_INCONCLUSIVE:
        return verification->reason == WMK_REASON_LITTLE_READ
                   ? "no mark of this key shows, but too little of its weights could be read to say that none is there"
                   : "something of this key's mark may be there; the evidence is too weak to say so";
    case WMK_NOT_FOUND:
        break;
    }
    return "no mark of this key shows in the model";
}

void probability_text(double log10_p, char *text, size_t size)
{
    if (log10_p > -4)
        snprintf(text, size, "%.3g", pow(10, log10_p));
    else
        snprintf(text, size, "10^%.1f", log10_p);
}

/* A whole number as long as JSON readers keep it one (2^53). */
json_t *tries_json(uint64_t tries, double log10_tries)
{
    return tries <= (uint64_t)1 << 53 ? json_integer((json_int_t)tries) : json_number(pow(10, log10_tries));
}

json_t *verdict_json(const wmk_key *key, const wmk_verification *verification, const char *path, const key_date *date)
{
    const wmk_evidence *evidence = &verification->evidence;
    char id[WMK_KEY_ID_CHARS + 1];
    json_t *tensors = json_array(), *matched = json_array();
    wmk_key_id(key, id);
    for (size_t i = 0; i < verification->tensor_count; i++) {
        const wmk_matched *match = &verification->matched[i];
        json_append(&tensors, json_text(match->tensor));
        json_append(&matched, json_pack("{s:o, s:o, s:s, s:o}", "target", json_text(match->target), "tensor", json_text(match->tensor), "how",
                                        wmk_match_how_name(match->how), "share", json_number(match->share)));
    }
    json_t *object =
        json_pack("{s:s, s:i, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o}", "verdict", wmk_verdict_name(evidence->verdict), "bits",
                  (int)evidence->bits, "bit_errors", (int)evidence->bit_errors, "ber", json_number(evidence->ber), "z", json_number(evidence->z),
                  "log10_p", json_number(evidence->log10_p), "evidence_bits", json_number(evidence->evidence_bits), "tries",
                  tries_json(evidence->tries, evidence->log10_tries), "tensors", tensors, "key_id", id, "model", json_text(path), "matched", matched);
    json_put(&object, "dated", key_dated_json(date));
    json_put(&object, "dated_by", key_dated_by_json(date));
    json_put(&object, "share_read", json_number(verification->share_read));
    json_put(&object, "tensors_partial", json_integer((json_int_t)verification->tensors_partial));
    json_put(&object, "weights_lost", json_integer((json_int_t)verification->reading->weights_lost));
    json_put(&object, "tensors_missing", json_integer((json_int_t)verification->tensors_missing));
    json_put(&object, "reason", verification->reason == WMK_REASON_NONE ? json_null() : json_string(wmk_reason_name(verification->reason)));
    return object;
}

json_t *verdict_error_json(const wmk_key *key, const char *path)
{
    char id[WMK_KEY_ID_CHARS + 1];
    wmk_key_id(key, id);
    return json_pack("{s:n, s:o, s:s, s:o}", "verdict", "error", json_text(wmk_error_message()), "key_id", id, "model", json_text(path));
}

/* The verdict in its colour, padded to `width`. */
static void print_word(wmk_verdict verdict, int width)
{
    const char *colour = verdict == WMK_FOUND ? "\033[1;32m" : verdict == WMK_INCONCLUSIVE ? "\033[1;33m" : "\033[1m";
    bool coloured = wants_colour(STDOUT_FILENO);
    printf("%s%-*s%s", coloured ? colour : "", width, wmk_verdict_name(verdict), coloured ? "\033[0m" : "");
}

/* The tensors that were read, with the targets' names where those differ; of many only the first. */
static void print_tensors(const wmk_verification *verification)
{
    enum { SHOWN = 16 };
    size_t count = verification->tensor_count, shown = count > SHOWN + 1 ? SHOWN : count, renamed = 0;
    for (size_t i = 0; i < count; i++) {
        const wmk_matched *match = &verification->matched[i];
        bool other = match->how != WMK_MATCH_EXACT;
        renamed += other;
        if (i >= shown) continue;
        printf("%s", i ? "          " : "tensors   ");
        print_name(match->tensor, 0);
        if (other) {
            printf(" for ");
            print_name(match->target, 0);
            printf(" (%s)", wmk_match_how_name(match->how));
        }
        if (match->share < 1) printf(", other sizes: %.1f %% of it", 100 * match->share);
        putchar('\n');
    }
    if (shown < count) printf("          ... and %zu more\n", count - shown);
    if (renamed > 0 && shown < count) printf("          %zu of %zu have other names than in the key\n", renamed, count);
}

/* How much of the key's weights the verdict stands on, where that is not all. */
static void print_share(const wmk_verification *verification)
{
    uint64_t lost = verification->reading->weights_lost;
    if (lost) printf("counted   as 0: %llu weights that are no finite numbers, or of filters too large to square\n", (unsigned long long)lost);
    if (verification->weights_read == verification->weights_total && verification->tensors_partial == 0) return;
    printf("read      %.3g %% of the key's weights", 100 * verification->share_read);
    if (verification->tensors_partial) printf("; tensors of other sizes: %zu", verification->tensors_partial);
    if (verification->tensors_missing) printf("; missing: %zu (if they have other names: --map or --any-tensor)", verification->tensors_missing);
    putchar('\n');
}

void verdict_print(const wmk_key *key, const wmk_verification *verification, const char *path, const key_date *date)
{
    const wmk_evidence *evidence = &verification->evidence;
    char id[WMK_KEY_ID_CHARS + 1], p[64];
    wmk_key_id(key, id);
    probability_text(evidence->log10_p, p, sizeof p);
    print_word(evidence->verdict, 0);
    printf(": %s\n", verdict_words(verification));
    printf("model     %s\n", path);
    printf("key id    %s\n", id);
    if (date) key_date_print(date);
    if (date) key_date_caution(date, evidence->evidence_bits, verification->reason == WMK_REASON_LITTLE_READ ? WMK_NOT_FOUND : evidence->verdict);
    printf("bits      %u of %u wrong, BER %.4f", evidence->bit_errors, evidence->bits, evidence->ber);
    evidence->erased ? printf(" (%u more could not be read)\n", evidence->erased) : printf("\n");
    printf("score     z = %.2f\n", evidence->z);
    printf("p         %s%s%s\n", p,
           evidence->empirical                                                          ? " at least, from redrawn keys"
           : evidence->log10_p_soft < evidence->log10_p_hard && evidence->soft_is_bound ? " at most"
                                                                                        : "",
           evidence->tries > 1 ? ", all tries paid for" : "");
    printf("evidence  %.1f bits\n", evidence->evidence_bits);
    if (evidence->tries > 1 && evidence->tries < UINT64_MAX) printf("tries     %llu\n", (unsigned long long)evidence->tries);
    if (evidence->tries == UINT64_MAX) printf("tries     10^%.1f\n", evidence->log10_tries);
    print_share(verification);
    print_tensors(verification);
}

void verdict_row_head(int key_width) { printf("%-12s  %10s  %11s  %9s  %-*s  %s\n", "verdict", "evidence", "wrong", "z", key_width, "key", "model"); }

void verdict_row(const wmk_verification *verification, const char *message, const char *key_name, int key_width, const char *path)
{
    if (verification) {
        const wmk_evidence *evidence = &verification->evidence;
        char wrong[32];
        snprintf(wrong, sizeof wrong, "%u/%u", evidence->bit_errors, evidence->bits);
        print_word(evidence->verdict, 12);
        printf("  %10.1f  %11s  %9.2f  ", evidence->evidence_bits, wrong, evidence->z);
    } else {
        printf("%-12s  %10s  %11s  %9s  ", "-", "-", "-", "-");
    }
    print_name(key_name, key_width);
    printf("  ");
    print_name(message && strstr(message, path) ? message : path, 0);
    if (message && !strstr(message, path)) {
        printf("  ");
        print_name(message, 0);
    }
    putchar('\n');
}
