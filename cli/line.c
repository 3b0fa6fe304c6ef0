/* cli/line.c - a line of progress. */
#include "line.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "console.h"

size_t line_columns(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? (size_t)size.ws_col - 1 : 79;
}

void line_begin(cli_line *line, const common_settings *common) { *line = (cli_line){!common->quiet && is_terminal(STDERR_FILENO), false}; }

void line_show(cli_line *line, const char *text)
{
    if (!line->wanted) return;
    fprintf(stderr, "\r\033[K%.*s", (int)line_columns(), text);
    line->drawn = true;
}

void line_draw(cli_line *line, size_t done, size_t count, const char *what)
{
    char text[512];
    if (!line->wanted) return;
    snprintf(text, sizeof text, "%zu of %zu: %s", done + 1, count, what);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127) *c = '?';
    line_show(line, text);
}

void line_clear(cli_line *line)
{
    if (line->drawn) fputs("\r\033[K", stderr);
    line->drawn = false;
}
