/* cli/option.h - a command line against a command's table of options. */
#ifndef WMK_CLI_OPTION_H
#define WMK_CLI_OPTION_H

#include "command.h"

/* Visits every option of a command: the common ones, its own, those known at run time. NULL when index is past the last. */
const option_spec *option_at(const cli_command *command, size_t index);
size_t option_count(const cli_command *command);

/* Fills call->settings (allocated) and call->operands from argv[1 ..]. Returns an exit code, EXIT_DONE when all is well; says on stderr what is wrong. */
int options_parse(cli_call *call, const cli_command *command, int argc, char **argv);
void options_free(cli_call *call);

/* The word of a list nearest to `word` by edit distance, or NULL when none is near. `at` gives the candidates, NULL past the last. */
const char *nearest_word(const char *word, const char *(*at)(const void *list, size_t index), const void *list);

#endif
