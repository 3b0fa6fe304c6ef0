/* report/figure.c - a figure drawn by gnuplot: the script goes in through a temporary file, the SVG comes back through a pipe. */
#include <errno.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report/report.h"

extern char **environ;

static wmk_status quoted(wmk_buffer *script, const char *text)
{
    WMK_TRY(wmk_buffer_append(script, "'", 1));
    for (; *text; text++) {
        char c = (unsigned char)*text < ' ' ? ' ' : *text;
        WMK_TRY(wmk_buffer_append(script, c == '\'' ? "''" : &c, c == '\'' ? 2 : 1));
    }
    return wmk_buffer_append(script, "'", 1);
}

static wmk_status setting(wmk_buffer *script, const char *name, const char *text)
{
    WMK_TRY(wmk_buffer_printf(script, "set %s ", name));
    WMK_TRY(quoted(script, text));
    return wmk_buffer_append(script, "\n", 1);
}

/* gnuplot's axes end far below the doubles, a logarithmic one begins above 0; what lies outside, or is no number, is a gap. */
static bool is_gap(const wmk_figure *figure, double x, double y) { return !(fabs(x) < 1e100 && fabs(y) < 1e100) || (figure->log_y && !(y > 1e-100)); }

static wmk_status data_blocks(wmk_buffer *script, const wmk_figure *figure)
{
    size_t points = 0;
    for (size_t s = 0; s < figure->series_count; s++) {
        const wmk_series *series = &figure->series[s];
        WMK_TRY(wmk_buffer_printf(script, "$d%zu << END\n", s));
        for (size_t i = 0; i < series->count; i++) {
            bool gap = is_gap(figure, series->x[i], series->y[i]);
            WMK_TRY(gap ? wmk_buffer_printf(script, "NaN NaN\n") : wmk_buffer_printf(script, "%.9g %.9g\n", series->x[i], series->y[i]));
            points += !gap;
        }
        size_t last = series->count - 1;
        if (figure->steps && series->count > 1) /* the last bar ends where one more would begin */
            WMK_TRY(wmk_buffer_printf(script, "%.9g %.9g\n", 2 * series->x[last] - series->x[last - 1], series->y[last]));
        WMK_TRY(wmk_buffer_printf(script, "END\n"));
    }
    return points ? WMK_OK : wmk_fail(WMK_ERROR_ARGUMENT, "figure \"%s\": none of its points can be drawn", figure->title);
}

static wmk_status write_script(wmk_buffer *script, const wmk_figure *figure)
{
    static const char *const colours[] = {"#0969da", "#bf3989", "#1a7f37", "#bc4c00", "#6e7781", "#8250df"};
    WMK_TRY(wmk_buffer_printf(script,
                              "set terminal svg noenhanced size 760,430 font 'sans-serif,13' background '#ffffff'\n"
                              "set encoding utf8\nset datafile missing 'NaN'\nset grid lc '#d5dbe1'\nset border 3\nset tics nomirror\n"
                              "set key bmargin center horizontal\nset bmargin %g\n",
                              4 + (double)figure->series_count / 2)); /* legend of two names a line under the x label */
    WMK_TRY(setting(script, "title", figure->title));
    WMK_TRY(setting(script, "xlabel", figure->x_label));
    WMK_TRY(setting(script, "ylabel", figure->y_label));
    if (figure->log_y) WMK_TRY(wmk_buffer_printf(script, "set logscale y\nset format y '%%g'\n"));
    if (figure->y_min != 0 || figure->y_max != 0) WMK_TRY(wmk_buffer_printf(script, "set yrange [%g:%g]\n", figure->y_min, figure->y_max));
    if (figure->steps)
        WMK_TRY(wmk_buffer_printf(script, "set style fill transparent solid 0.25 noborder\n%s", figure->y_max != 0 ? "" : "set yrange [0:]\n"));
    WMK_TRY(data_blocks(script, figure));
    for (size_t s = 0; s < figure->series_count; s++) {
        const char *colour = colours[s % (sizeof colours / sizeof colours[0])];
        if (figure->steps) /* the outline of each histogram stays visible where several overlap */
            WMK_TRY(wmk_buffer_printf(script, "%s $d%zu using 1:2 with steps lw 1.5 lc rgb '%s' notitle", s ? "," : "plot", s, colour));
        WMK_TRY(wmk_buffer_printf(script, "%s $d%zu using 1:2 with %s lc rgb '%s' title ", s || figure->steps ? "," : "plot", s,
                                  figure->steps ? "fillsteps" : "linespoints pt 7 ps 0.4 lw 2", colour));
        WMK_TRY(quoted(script, figure->series[s].label));
    }
    return wmk_buffer_append(script, "\n", 1);
}

static wmk_status read_all(wmk_buffer *out, int fd)
{
    char chunk[16384];
    for (;;) {
        ssize_t got = read(fd, chunk, sizeof chunk);
        if (got == 0) return WMK_OK;
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return wmk_fail_errno("reading what gnuplot drew");
        WMK_TRY(wmk_buffer_append(out, chunk, (size_t)got));
    }
}

/* Starts gnuplot with `script` as standard input and the write end of `ends` as standard output; its complaints are dropped. */
static int spawn_gnuplot(pid_t *child, FILE *script, const int ends[2])
{
    char *const arguments[] = {"gnuplot", "-d", "-", NULL};
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error) return error;
    error = posix_spawn_file_actions_adddup2(&actions, fileno(script), STDIN_FILENO);
    if (!error) error = posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    if (!error) error = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", 1, 0);
    if (!error) error = posix_spawn_file_actions_addclose(&actions, ends[0]);
    if (!error) error = posix_spawnp(child, arguments[0], &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

static wmk_status run_gnuplot(wmk_buffer *svg, FILE *script)
{
    int ends[2];
    pid_t child;
    if (pipe(ends) != 0) return wmk_fail_errno("a pipe to gnuplot");
    int error = spawn_gnuplot(&child, script, ends);
    close(ends[1]);
    if (error) {
        close(ends[0]);
        if (error == ENOENT) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: figures without gnuplot (install the package gnuplot-nox)");
        errno = error;
        return wmk_fail_errno("starting gnuplot");
    }
    wmk_status status = read_all(svg, ends[0]);
    close(ends[0]);
    int exit_status = 0;
    while (waitpid(child, &exit_status, 0) < 0 && errno == EINTR) continue;
    if (status == WMK_OK && (exit_status != 0 || svg->size == 0))
        status = wmk_fail(WMK_ERROR_INTERNAL, "gnuplot did not draw the figure (exit status %d)", exit_status);
    return status;
}

wmk_status wmk_figure_svg(wmk_buffer *svg, const wmk_figure *figure)
{
    wmk_buffer script = {0};
    wmk_status status = write_script(&script, figure);
    FILE *file = status == WMK_OK ? tmpfile() : NULL;
    if (status == WMK_OK && !file) status = wmk_fail_errno("a temporary file for gnuplot");
    if (status == WMK_OK && (fwrite(script.data, 1, script.size, file) != script.size || fflush(file) != 0 || fseek(file, 0, SEEK_SET) != 0))
        status = wmk_fail_errno("writing gnuplot's script");
    if (status == WMK_OK) status = run_gnuplot(svg, file);
    if (file) fclose(file);
    wmk_buffer_free(&script);
    return status;
}
