/* cli/console.h - what the program says: errors on stderr, answers on stdout, and neither lost in silence. */
#ifndef WMK_CLI_CONSOLE_H
#define WMK_CLI_CONSOLE_H

#include <jansson.h>

#include "command.h"

/* "weightmark verify: <message>" on stderr, one line. command NULL: the program itself. Each returns the exit code to leave with. */
__attribute__((format(printf, 2, 3))) int usage_error(const cli_command *command, const char *format, ...); /* EXIT_USAGE; points at --help */
__attribute__((format(printf, 3, 4))) int complain(const cli_command *command, int exit_code, const char *format, ...);
/* The message of the library call that just failed. */
int library_error(const cli_command *command, wmk_status status);

/* A remark on stderr ("weightmark embed: ..."), unless --quiet. */
__attribute__((format(printf, 2, 3))) void remark(const cli_call *call, const char *format, ...);

/* A name out of a file, on stdout, padded to `width`: control characters become '?', so that a hostile one cannot drive the terminal. */
void print_name(const char *name, int width);

/* Prints `object` on one line of stdout and releases it. NULL (out of memory) becomes EXIT_SYSTEM with a message. */
int print_json(const cli_call *call, json_t *object);
/* A real number, or null where it is none. */
json_t *json_number(double value);
/* Adds a value, which is taken over. Where memory runs out the whole becomes NULL, which json_pack and print_json pass on as a failure: a
 * list is complete or absent. */
void json_append(json_t **array, json_t *value);
void json_put(json_t **object, const char *name, json_t *value);
/* Text that is no UTF-8 (file names and arguments may be anything) loses every byte beyond ASCII to '?'. */
void make_utf8(char *text);
/* A string, made UTF-8. */
json_t *json_text(const char *text);

/* True where colour is wanted: a terminal that is not dumb, and NO_COLOR unset or empty (no-color.org). */
bool wants_colour(int fd);
bool is_terminal(int fd);

/* A stream that was closed at the start is held by a descriptor that cannot be used, so that no output file takes its number. */
void hold_standard_streams(void);
/* Flushes and closes stdout. `exit_code` unless that fails: then EXIT_SYSTEM with a message. */
int close_stdout(const cli_command *command, int exit_code);

#endif
