/* cli/key_date.h - when a key existed: its stored time stamp, checked against --ca. */
#ifndef WMK_CLI_KEY_DATE_H
#define WMK_CLI_KEY_DATE_H

#include <weightmark/mark.h>

#include "console.h"

/* What an undated key should have: 2^64 keys can be tried, 2^100 cannot. */
#define UNDATED_BITS 100.0

typedef struct key_date {
    enum {
        KEY_UNDATED,   /* no time stamp is stored */
        KEY_UNCHECKED, /* one is stored, and no --ca was given */
        KEY_REFUSED,   /* the stored one does not pass the check: `problem` says why */
        KEY_DATED
    } state;
    wmk_timestamp stamp; /* of KEY_DATED */
    char problem[384];
} key_date;

/* Reads --ca; path NULL: *out is NULL. Returns an exit code, having said what is wrong. */
int authorities_open(const cli_command *command, wmk_authorities **out, const char *path);
/* The key's date. authorities NULL: nothing is checked. Fails only where the system does: a bad time
 * stamp is an answer. Returns an exit code, having said what is wrong. */
int key_date_find(const cli_command *command, key_date *out, const wmk_key *key, const wmk_authorities *authorities);

/* "2026-11-28T10:00:00Z by SIGNER", or why there is no date. */
enum { KEY_DATE_CHARS = 512 };
void key_date_text(const key_date *date, char text[KEY_DATE_CHARS]);
/* A line "dated     ..." or "undated   ...". */
void key_date_print(const key_date *date);
/* The same as a part of a sentence: "dated ..." or "undated (...)". */
void key_date_phrase(const key_date *date, char phrase[KEY_DATE_CHARS]);
/* What an undated key's evidence is worth to somebody who suspects that it was made afterwards, on
 * indented lines; nothing for a dated key. */
void key_date_caution(const key_date *date, double evidence_bits, wmk_verdict verdict);
/* Values of "dated" and "dated_by": strings, or null where the date is not checked. date may be NULL. */
json_t *key_dated_json(const key_date *date);
json_t *key_dated_by_json(const key_date *date);

/* "2026-11-28T10:00:00Z". */
enum { UTC_CHARS = 32 };
void utc_text(int64_t seconds, char text[UTC_CHARS]);

#define OPTION_CA(type)                                                                                                                              \
    {                                                                                                                                                \
        "ca", 0, OPTION_TEXT, "FILE", NULL, false,                                                                                                   \
            "certificates (PEM) of the time-stamping authorities that you trust: checks the stored time stamp", offsetof(type, ca)                   \
    }

#endif
