/* cli/key_date.c - a key's date in words and in JSON. */
#include "key_date.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

void utc_text(int64_t seconds, char text[UTC_CHARS])
{
    time_t time = (time_t)seconds;
    struct tm utc;
    if (!gmtime_r(&time, &utc) || strftime(text, UTC_CHARS, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0) snprintf(text, UTC_CHARS, "unknown");
}

int authorities_open(const cli_command *command, wmk_authorities **out, const char *path)
{
    *out = NULL;
    wmk_status status = path ? wmk_authorities_read(out, path) : WMK_OK;
    return status == WMK_OK ? EXIT_DONE : library_error(command, status);
}

int key_date_find(const cli_command *command, key_date *out, const wmk_key *key, const wmk_authorities *authorities)
{
    size_t bytes;
    *out = (key_date){.state = wmk_key_timestamp(key, &bytes) ? KEY_UNCHECKED : KEY_UNDATED};
    if (out->state == KEY_UNDATED || !authorities) return EXIT_DONE;
    wmk_status status = wmk_key_date(&out->stamp, key, authorities);
    if (exit_code_of(status) == EXIT_SYSTEM) return library_error(command, status);
    out->state = status == WMK_OK ? KEY_DATED : KEY_REFUSED;
    if (status != WMK_OK) snprintf(out->problem, sizeof out->problem, "%s", wmk_error_message());
    make_utf8(out->problem); /* where a character was cut in two */
    return EXIT_DONE;
}

void key_date_text(const key_date *date, char text[KEY_DATE_CHARS])
{
    char when[UTC_CHARS];
    switch (date->state) {
    case KEY_DATED:
        utc_text(date->stamp.seconds, when);
        snprintf(text, KEY_DATE_CHARS, "%s by %s", when, date->stamp.signer);
        return;
    case KEY_REFUSED:
        snprintf(text, KEY_DATE_CHARS, "the stored time stamp is refused: %s", date->problem);
        return;
    case KEY_UNCHECKED:
        snprintf(text, KEY_DATE_CHARS, "a time stamp is stored; --ca FILE checks it");
        return;
    case KEY_UNDATED:
        break;
    }
    snprintf(text, KEY_DATE_CHARS, "no time stamp is stored");
}

void key_date_print(const key_date *date)
{
    char text[KEY_DATE_CHARS];
    key_date_text(date, text);
    printf("%-9s %s\n", date->state == KEY_DATED ? "dated" : "undated", text);
}

void key_date_phrase(const key_date *date, char phrase[KEY_DATE_CHARS])
{
    char text[KEY_DATE_CHARS];
    key_date_text(date, text);
    bool dated = date->state == KEY_DATED;
    snprintf(phrase, KEY_DATE_CHARS, "%s%.*s%s", dated ? "dated " : "undated (", KEY_DATE_CHARS - 12, text, dated ? "" : ")");
}

void key_date_caution(const key_date *date, double evidence_bits, wmk_verdict verdict)
{
    if (date->state == KEY_DATED || verdict == WMK_NOT_FOUND) return;
    printf("          Nothing proves that the key is older than the model. Who tries N keys on the finished\n"
           "          model reaches log2 N bits: ");
    if (evidence_bits >= UNDATED_BITS)
        printf("%.1f bits are out of reach.\n", evidence_bits);
    else
        printf("%.1f bits after about 2^%.0f keys.\n", evidence_bits, evidence_bits);
    if (verdict == WMK_FOUND && evidence_bits < UNDATED_BITS)
        printf("          An undated key should have %.0f bits: 2^64 keys can be tried.\n", UNDATED_BITS);
}

json_t *key_dated_json(const key_date *date)
{
    char when[UTC_CHARS];
    if (!date || date->state != KEY_DATED) return json_null();
    utc_text(date->stamp.seconds, when);
    return json_text(when);
}

json_t *key_dated_by_json(const key_date *date) { return date && date->state == KEY_DATED ? json_text(date->stamp.signer) : json_null(); }
