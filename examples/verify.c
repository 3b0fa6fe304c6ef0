/* Is this model ours? The whole program a user of libweightmark needs:
 *     cc verify.c $(pkg-config --cflags --libs weightmark) -o verify
 *     ./verify model.safetensors owner.key
 * Ends with 0 when the mark is found, 1 when it is not, 3 when a file cannot be used. */
#include <stdio.h>
#include <weightmark/mark_file.h>

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: verify MODEL KEY\n");
        return 2;
    }
    wmk_model *model = NULL;
    wmk_key *key = NULL;
    wmk_verification verification = {0};
    wmk_verify_options options = WMK_VERIFY_OPTIONS_INIT;

    wmk_status status = wmk_model_open(&model, argv[1]);
    if (status == WMK_OK) status = wmk_key_read(&key, argv[2], NULL, 0);
    if (status == WMK_OK) status = wmk_model_verify(&verification, model, key, &options);

    int result = 3;
    if (status == WMK_OK) {
        const wmk_evidence *evidence = &verification.evidence;
        printf("%s: %u of %u bits wrong, %.1f bits of evidence\n", wmk_verdict_name(evidence->verdict), evidence->bit_errors, evidence->bits,
               evidence->evidence_bits);
        result = evidence->verdict == WMK_FOUND ? 0 : 1;
    } else {
        fprintf(stderr, "verify: %s\n", wmk_error_message());
    }
    wmk_verification_free(&verification);
    wmk_key_free(key);
    wmk_model_close(model);
    return result;
}
