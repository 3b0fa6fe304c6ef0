/* cli/line.h - one line on stderr that is drawn anew, on a terminal only. */
#ifndef WMK_CLI_LINE_H
#define WMK_CLI_LINE_H

#include "command.h"

typedef struct cli_line {
    bool wanted; /* a terminal, and not --quiet */
    bool drawn;
} cli_line;

void line_begin(cli_line *line, const common_settings *common);
/* "3 of 120: what". */
void line_draw(cli_line *line, size_t done, size_t count, const char *what);
void line_show(cli_line *line, const char *text);
/* Before anything else is written to the terminal. */
void line_clear(cli_line *line);

/* Columns that a line on stderr may fill without being wrapped, which would leave it standing when the next one is drawn. */
size_t line_columns(void);

#endif
