/* cli/originals.h - unmarked originals under the keys of all sides, and who was first. */
#ifndef WMK_CLI_ORIGINALS_H
#define WMK_CLI_ORIGINALS_H

#include <weightmark/mark_file.h>

#include "key_date.h"

/* What a key gives in an original. */
typedef struct original_reading {
    wmk_status status; /* not OK: `evidence` is unset */
    char message[256]; /* why */
    wmk_evidence evidence;
    wmk_verdict verdict; /* WMK_INCONCLUSIVE too where nothing could be read */
} original_reading;

typedef struct original_list {
    const text_list *keys, *files; /* names; borrowed */
    wmk_key *const *key;           /* [keys->count] borrowed */
    const key_date *date;          /* [keys->count] borrowed */
    size_t *file_of;               /* [keys->count] the original of each key; files->count: not at hand */
    original_reading *reading;     /* [keys->count][files->count] */
} original_list;

/* Finds for each file the keys whose digest it has, and reads all keys in all files. p is not multiplied
 * here: what matters is that nothing shows. Returns an exit code, having said what is wrong: a file that
 * is no key's original, two of one key. */
int originals_read(const cli_call *call, original_list *out);
void originals_free(original_list *list); /* a zeroed one is allowed */

void originals_print(const original_list *list, int key_width);
json_t *originals_json(const original_list *list);

/* Who was first of the keys that are marked in found [keys->count], at least two, in the model at `path`. */
void first_print(const original_list *list, const bool *found, const char *path);
json_t *first_json(const original_list *list, const bool *found, const char *path);
/* The rule in words. */
void first_rule_print(void);

#endif
