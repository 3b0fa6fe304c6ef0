/* cli/help.h - help, man pages and shell completions, all read off the table of commands. */
#ifndef WMK_CLI_HELP_H
#define WMK_CLI_HELP_H

#include "command.h"

void print_overview(void);
void print_help(const cli_command *command);
/* "weightmark verify MODEL -k KEY [--tensor NAME] ..." into `line`. */
void usage_line(const cli_command *command, char *line, size_t size);
/* "-k, --key KEY" into `text`. */
void option_left(const option_spec *option, char *text, size_t size);

void print_man_overview(void);              /* weightmark(1) */
void print_man(const cli_command *command); /* weightmark-COMMAND(1) */
bool print_completion(const char *shell);   /* bash, zsh or fish; false: another */

#endif
