/* cli/verdict.c - what verify, embed and report say about a reading. */
#include "verdict.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

const char *verdict_words(wmk_verdict verdict)
{
    switch (verdict) {
    case WMK_FOUND:
        return "the mark of this key is in the model";
    case WMK_INCONCLUSIVE:
        return "something of this key's mark may be there; the evidence is too weak to say so";
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

json_t *verdict_json(const wmk_key *key, const wmk_verification *verification, const char *path)
{
    const wmk_evidence *evidence = &verification->evidence;
    char id[WMK_KEY_ID_CHARS + 1];
    json_t *tensors = json_array();
    wmk_key_id(key, id);
    for (size_t i = 0; i < verification->tensor_count; i++) json_append(&tensors, json_text(verification->tensors[i]));
    return json_pack("{s:s, s:i, s:i, s:o, s:o, s:o, s:o, s:I, s:o, s:s, s:o}", "verdict", wmk_verdict_name(evidence->verdict), "bits",
                     (int)evidence->bits, "bit_errors", (int)evidence->bit_errors, "ber", json_number(evidence->ber), "z", json_number(evidence->z),
                     "log10_p", json_number(evidence->log10_p), "evidence_bits", json_number(evidence->evidence_bits), "tries",
                     (json_int_t)evidence->tries, "tensors", tensors, "key_id", id, "model", json_text(path));
}

static void print_word(wmk_verdict verdict)
{
    const char *colour = verdict == WMK_FOUND ? "\033[1;32m" : verdict == WMK_INCONCLUSIVE ? "\033[1;33m" : "\033[1m";
    bool coloured = wants_colour(STDOUT_FILENO);
    printf("%s%s%s: %s\n", coloured ? colour : "", wmk_verdict_name(verdict), coloured ? "\033[0m" : "", verdict_words(verdict));
}

void verdict_print(const wmk_key *key, const wmk_verification *verification, const char *path)
{
    const wmk_evidence *evidence = &verification->evidence;
    char id[WMK_KEY_ID_CHARS + 1], p[64];
    wmk_key_id(key, id);
    probability_text(evidence->log10_p, p, sizeof p);
    print_word(evidence->verdict);
    printf("model     %s\n", path);
    printf("key id    %s\n", id);
    printf("bits      %u of %u wrong, BER %.4f", evidence->bit_errors, evidence->bits, evidence->ber);
    evidence->erased ? printf(" (%u more could not be read)\n", evidence->erased) : printf("\n");
    printf("score     z = %.2f\n", evidence->z);
    printf("p         %s%s%s\n", p,
           evidence->empirical                                                          ? " at least, from redrawn keys"
           : evidence->log10_p_soft < evidence->log10_p_hard && evidence->soft_is_bound ? " at most"
                                                                                        : "",
           evidence->tries > 1 ? ", all tries paid for" : "");
    printf("evidence  %.1f bits\n", evidence->evidence_bits);
    if (evidence->tries > 1) printf("tries     %llu\n", (unsigned long long)evidence->tries);
    for (size_t i = 0; i < verification->tensor_count; i++) {
        printf("%s", i ? "          " : "tensors   ");
        print_name(verification->tensors[i], 0);
        putchar('\n');
    }
    if (verification->tensors_missing) printf("missing   %zu tensors of the key are not in the model\n", verification->tensors_missing);
}
