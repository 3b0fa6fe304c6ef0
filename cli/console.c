/* cli/console.c - messages, JSON, colour, and the last word on stdout. */
#include "console.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Bytes of the control character at c: names come from files and command lines, and a terminal obeys U+0000 to U+001F, U+007F and, as two bytes of
 * UTF-8, U+0080 to U+009F. 0: none. */
static int control_bytes(const char *c)
{
    const unsigned char *b = (const unsigned char *)c;
    if (b[0] < ' ' || b[0] == 127) return 1;
    return b[0] == 0xc2 && b[1] >= 0x80 && b[1] < 0xa0 ? 2 : 0;
}

static void say(const cli_command *command, const char *format, va_list arguments, const char *tail)
{
    char text[2048];
    vsnprintf(text, sizeof text, format, arguments); /* NOLINT(clang-analyzer-valist.Uninitialized): started by va_start */
    for (char *c = text; *c; c++)
        for (int n = control_bytes(c); n > 0; n--) c[n - 1] = '?';
    fprintf(stderr, "weightmark%s%s: %s%s\n", command ? " " : "", command ? command->name : "", text, tail);
}

int usage_error(const cli_command *command, const char *format, ...)
{
    char tail[128];
    snprintf(tail, sizeof tail, "; see 'weightmark %s%s--help'", command ? command->name : "", command ? " " : "");
    va_list arguments;
    va_start(arguments, format);
    say(command, format, arguments, tail);
    va_end(arguments);
    return EXIT_USAGE;
}

int complain(const cli_command *command, int exit_code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    say(command, format, arguments, "");
    va_end(arguments);
    return exit_code;
}

int library_error(const cli_command *command, wmk_status status)
{
    return complain(command, exit_code_of(status), "%s%s", wmk_error_message(), status == WMK_ERROR_EXISTS ? "; --force replaces it" : "");
}

void remark(const cli_call *call, const char *format, ...)
{
    if (call->common->quiet) return;
    va_list arguments;
    va_start(arguments, format);
    say(call->command, format, arguments, "");
    va_end(arguments);
}

typedef struct json_output {
    char *text;
    size_t size;
    bool failed;
} json_output;

/* jansson 2.14 goes on after a failed write, leaving a key out: the failure is remembered here. */
static int append_json(const char *text, size_t size, void *payload)
{
    json_output *output = payload;
    char *grown = output->failed ? NULL : realloc(output->text, output->size + size + 1);
    if (!grown) {
        output->failed = true;
        return -1;
    }
    memcpy(grown + output->size, text, size);
    output->text = grown;
    output->size += size;
    return 0;
}

int print_json(const cli_call *call, json_t *object)
{
    json_output output = {NULL, 0, false};
    bool done = object && json_dump_callback(object, append_json, &output, JSON_REAL_PRECISION(15)) == 0 && !output.failed;
    json_decref(object);
    if (done) {
        fwrite(output.text, 1, output.size, stdout); /* a failure shows when stdout is closed */
        putchar('\n');
    }
    free(output.text);
    return done ? EXIT_DONE : complain(call->command, EXIT_SYSTEM, "out of memory while writing JSON");
}

void print_name(const char *name, int width)
{
    int written = 0;
    for (; *name; name++, written++) {
        int control = control_bytes(name);
        putchar(control ? '?' : *name);
        if (control == 2) name++;
    }
    if (written < width) printf("%*s", width - written, "");
}

json_t *json_number(double value) { return isfinite(value) ? json_real(value) : json_null(); }

static void drop(json_t **whole)
{
    json_decref(*whole);
    *whole = NULL;
}

void json_append(json_t **array, json_t *value)
{
    if (json_array_append_new(*array, value) != 0) drop(array);
}

void json_put(json_t **object, const char *name, json_t *value)
{
    if (json_object_set_new(*object, name, value) != 0) drop(object);
}

void make_utf8(char *text)
{
    json_t *string = json_string(text);
    for (char *c = text; !string && *c; c++)
        if (*c & 0x80) *c = '?';
    json_decref(string);
}

json_t *json_text(const char *text)
{
    char *plain = strdup(text);
    if (plain) make_utf8(plain);
    json_t *string = plain ? json_string(plain) : NULL;
    free(plain);
    return string;
}

bool is_terminal(int fd)
{
    const char *term = getenv("TERM");
    return isatty(fd) && !(term && strcmp(term, "dumb") == 0);
}

bool wants_colour(int fd)
{
    const char *no_color = getenv("NO_COLOR");
    return is_terminal(fd) && !(no_color && *no_color);
}

void hold_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd) _exit(EXIT_SYSTEM);
}

int close_stdout(const cli_command *command, int exit_code)
{
    bool failed = ferror(stdout) != 0;
    errno = 0;
    if (fclose(stdout) != 0) failed = true;
    if (!failed) return exit_code;
    return complain(command, EXIT_SYSTEM, "standard output: %s", errno ? strerror(errno) : "write error");
}
