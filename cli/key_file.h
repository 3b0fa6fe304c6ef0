/* cli/key_file.h - keys by file name, with the passphrase a sealed one needs. */
#ifndef WMK_CLI_KEY_FILE_H
#define WMK_CLI_KEY_FILE_H

#include <weightmark/mark.h>

#include "console.h"
#include "key_date.h"

enum { PASSPHRASE_BYTES_MAX = 4096 };
typedef struct cli_passphrase {
    char text[PASSPHRASE_BYTES_MAX + 1];
    size_t bytes;
    bool given;
} cli_passphrase;

/* The first line of `path` without its newline; path NULL: none is given. Returns an exit code, having said what is wrong. Wipe after use. */
int passphrase_read(const cli_command *command, cli_passphrase *out, const char *path);
void passphrase_wipe(cli_passphrase *passphrase);

/* Opens a key file. Returns an exit code, having said what is wrong. */
int key_open(const cli_command *command, wmk_key **out, const char *path, const char *passphrase_file);

/* What a key is, without its secrets: {"key_id": ..., ...}; NULL: out of memory. `path` is the file it lies in. */
json_t *key_json(const wmk_key *key, const char *path, const key_date *date);
void key_print(const wmk_key *key, const key_date *date);

/* "OIHW" shapes as text: "[64, 64, 3, 3]". */
void shape_text(uint32_t rank, const uint64_t *shape, char *text, size_t size);
json_t *shape_json(uint32_t rank, const uint64_t *shape);

#endif
