/* cli/originals.c - every key in every original, and the rule of who was first. */
#include "originals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verdict.h"

/* ---- which is whose ---- */

static bool is_original_of(const wmk_model *model, const wmk_key *key)
{
    uint8_t wanted[WMK_ORIGINAL_BYTES], found[WMK_ORIGINAL_BYTES];
    if (!wmk_key_original(key, wanted) || wmk_model_original(found, model, key, NULL, NULL) != WMK_OK) return false;
    return memcmp(wanted, found, sizeof wanted) == 0;
}

static int find_keys(const cli_call *call, original_list *list, size_t file, const wmk_model *model)
{
    const char *path = list->files->item[file];
    bool any = false;
    for (size_t k = 0; k < list->keys->count; k++) {
        if (!is_original_of(model, list->key[k])) continue;
        if (list->file_of[k] < list->files->count)
            return complain(call->command, EXIT_INPUT, "%s: the original of key %s, as %s is: give one of them", path, list->keys->item[k],
                            list->files->item[list->file_of[k]]);
        list->file_of[k] = file;
        any = true;
    }
    if (any) return EXIT_DONE;
    return complain(call->command, EXIT_INPUT,
                    "%s: the original of none of the keys: its weights do not have the digest that a key was made with (keygen --model)", path);
}

/* ---- readings ---- */

static void read_key(original_reading *out, const wmk_model *model, const wmk_key *key)
{
    const wmk_verify_options options = WMK_VERIFY_OPTIONS_INIT;
    wmk_verification found;
    *out = (original_reading){.status = wmk_model_verify(&found, model, key, &options), .verdict = WMK_INCONCLUSIVE};
    if (out->status != WMK_OK) {
        snprintf(out->message, sizeof out->message, "%s", wmk_error_message());
        make_utf8(out->message); /* where a character was cut in two */
        return;
    }
    out->evidence = found.evidence;
    out->verdict = found.evidence.verdict;
    wmk_verification_free(&found);
}

static int read_file(const cli_call *call, original_list *list, size_t file)
{
    wmk_model *model;
    wmk_status status = wmk_model_open(&model, list->files->item[file]);
    if (status != WMK_OK) return library_error(call->command, status);
    int exit_code = find_keys(call, list, file, model);
    for (size_t k = 0; exit_code == EXIT_DONE && k < list->keys->count; k++)
        read_key(&list->reading[k * list->files->count + file], model, list->key[k]);
    wmk_model_close(model);
    return exit_code;
}

int originals_read(const cli_call *call, original_list *list)
{
    size_t keys = list->keys->count, files = list->files->count;
    int exit_code = EXIT_DONE;
    list->file_of = calloc(keys + 1, sizeof *list->file_of);
    list->reading = calloc(keys * files + 1, sizeof *list->reading);
    if (!list->file_of || !list->reading) return complain(call->command, EXIT_SYSTEM, "out of memory");
    for (size_t k = 0; k < keys; k++) list->file_of[k] = files;
    for (size_t i = 0; exit_code == EXIT_DONE && i < files; i++) exit_code = read_file(call, list, i);
    return exit_code;
}

void originals_free(original_list *list)
{
    free(list->file_of);
    free(list->reading);
    *list = (original_list){0};
}

void originals_print(const original_list *list, int key_width)
{
    for (size_t i = 0; i < list->files->count; i++) {
        printf("original  ");
        print_name(list->files->item[i], 0);
        printf(" of");
        for (size_t k = 0; k < list->keys->count; k++) {
            if (list->file_of[k] != i) continue;
            putchar(' ');
            print_name(list->keys->item[k], 0);
        }
        putchar('\n');
        for (size_t k = 0; k < list->keys->count; k++) {
            const original_reading *reading = &list->reading[k * list->files->count + i];
            const wmk_verification shown = {.evidence = reading->evidence};
            bool read = reading->status == WMK_OK;
            verdict_row(read ? &shown : NULL, read ? NULL : reading->message, list->keys->item[k], key_width, list->files->item[i]);
        }
    }
}

static json_t *id_json(const wmk_key *key)
{
    char id[WMK_KEY_ID_CHARS + 1];
    wmk_key_id(key, id);
    return json_string(id);
}

static json_t *reading_json(const original_list *list, size_t k, size_t file)
{
    const original_reading *reading = &list->reading[k * list->files->count + file];
    if (reading->status != WMK_OK)
        return json_pack("{s:n, s:o, s:o}", "verdict", "error", json_text(reading->message), "key_id", id_json(list->key[k]));
    const wmk_evidence *evidence = &reading->evidence;
    return json_pack("{s:s, s:o, s:o, s:o, s:o}", "verdict", wmk_verdict_name(reading->verdict), "z", json_number(evidence->z), "log10_p",
                     json_number(evidence->log10_p), "evidence_bits", json_number(evidence->evidence_bits), "key_id", id_json(list->key[k]));
}

json_t *originals_json(const original_list *list)
{
    json_t *originals = json_array();
    for (size_t i = 0; i < list->files->count; i++) {
        json_t *of = json_array(), *readings = json_array();
        for (size_t k = 0; k < list->keys->count; k++) {
            if (list->file_of[k] == i) json_append(&of, id_json(list->key[k]));
            json_append(&readings, reading_json(list, k, i));
        }
        json_append(&originals, json_pack("{s:o, s:o, s:o}", "original", json_text(list->files->item[i]), "of", of, "readings", readings));
    }
    return originals;
}

/* ---- who was first ---- */

/* *oldest: the key with the oldest date; keys->count where no key has one, or memory ran out. */
static wmk_first_reason find_first(const original_list *list, const bool *found, size_t *oldest)
{
    size_t keys = list->keys->count, files = list->files->count, count = 0;
    size_t *number = calloc(keys + 1, sizeof *number);
    wmk_claim *claims = calloc(keys + 1, sizeof *claims);
    wmk_verdict *verdicts = calloc(keys * keys + 1, sizeof *verdicts);
    wmk_first_reason reason = WMK_FIRST_NO_DATE;
    *oldest = keys;
    for (size_t k = 0; number && k < keys; k++)
        if (found[k]) number[count++] = k;
    for (size_t a = 0; number && claims && verdicts && a < count; a++) {
        size_t k = number[a];
        const key_date *date = &list->date[k];
        claims[a] = (wmk_claim){date->state == KEY_DATED, date->stamp.seconds, date->stamp.accuracy_microseconds, list->file_of[k] < files};
        for (size_t o = 0; o < count; o++) {
            size_t file = list->file_of[number[o]];
            verdicts[a * count + o] = file < files ? list->reading[k * files + file].verdict : WMK_INCONCLUSIVE;
        }
    }
    if (number && claims && verdicts) {
        size_t first;
        reason = wmk_claims_first(&first, claims, count, verdicts);
        if (first < count) *oldest = number[first];
    }
    free(number);
    free(claims);
    free(verdicts);
    return reason;
}

void first_print(const original_list *list, const bool *found, const char *path)
{
    size_t oldest;
    wmk_first_reason reason = find_first(list, found, &oldest);
    const char *key = oldest < list->keys->count ? list->keys->item[oldest] : "";
    printf("first     ");
    print_name(path, 0);
    printf(reason == WMK_FIRST_KNOWN ? ": the key " : ": the files do not say: ");
    switch (reason) {
    case WMK_FIRST_KNOWN:
        print_name(key, 0);
        printf(" was first: the oldest date, and its original shows no mark of these keys");
        break;
    case WMK_FIRST_NO_DATE:
        printf("no key found in it has a date that was checked (key --timestamp, --ca)");
        break;
    case WMK_FIRST_SAME_DATE:
        printf("no date is older than all others by more than their accuracy");
        break;
    case WMK_FIRST_NO_ORIGINAL:
        printf("the original of the key with the oldest date is needed (--original): ");
        print_name(key, 0);
        break;
    case WMK_FIRST_OTHER_MARK:
        printf("the original of the key with the oldest date shows, or may show, another of the keys: ");
        print_name(key, 0);
        break;
    case WMK_FIRST_OWN_MARK:
        printf("the key with the oldest date is found in its own original, so it was made for it: ");
        print_name(key, 0);
        break;
    }
    putchar('\n');
}

void first_rule_print(void)
{
    printf("rule      Of several keys found in one file, the one whose date is oldest, whose original shows none of\n"
           "          the other keys, and in whose original it is itself not found, was first. It takes the time\n"
           "          stamps (--ca) and the originals of both sides (--original).\n");
}

json_t *first_json(const original_list *list, const bool *found, const char *path)
{
    size_t oldest;
    json_t *ids = json_array();
    wmk_first_reason reason = find_first(list, found, &oldest);
    for (size_t k = 0; k < list->keys->count; k++)
        if (found[k]) json_append(&ids, id_json(list->key[k]));
    return json_pack("{s:o, s:o, s:o, s:s}", "model", json_text(path), "found", ids, "first",
                     reason == WMK_FIRST_KNOWN ? id_json(list->key[oldest]) : json_null(), "reason", wmk_first_reason_name(reason));
}
