/* cli/help.c - help texts. */
#include "help.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "option.h"

__attribute__((format(printf, 3, 4))) static void add(char *text, size_t size, const char *format, ...)
{
    size_t used = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + used, size - used, format, arguments); /* NOLINT(clang-analyzer-valist.Uninitialized): started by va_start */
    va_end(arguments);
}

void option_left(const option_spec *option, char *text, size_t size)
{
    text[0] = 0;
    if (option->letter) add(text, size, "-%c, ", option->letter);
    add(text, size, "--%s", option->name);
    if (option->value_name) add(text, size, " %s", option->value_name);
}

void usage_line(const cli_command *command, char *line, size_t size)
{
    line[0] = 0;
    add(line, size, "weightmark %s", command->name);
    if (*command->operands) add(line, size, " %s", command->operands);
    for (size_t i = 0; option_at(command, i); i++) {
        const option_spec *option = option_at(command, i);
        char left[96] = "";
        if (option->letter && option->required)
            add(left, sizeof left, "-%c", option->letter);
        else
            add(left, sizeof left, "--%s", option->name);
        if (option->value_name) add(left, sizeof left, " %s", option->value_name);
        add(line, size, option->required ? " %s" : " [%s]", left);
        if (option->kind == OPTION_LIST) add(line, size, "...");
    }
}

/* Bytes of the next word: "[--x V]" is one. */
static size_t word_length(const char *text)
{
    size_t length = strcspn(text, " ");
    while (text[0] == '[' && text[length] && !memchr(text, ']', length)) length += 1 + strcspn(text + length + 1, " ");
    return length;
}

/* Breaks between words, so that no line of more than one word passes the last column. `column`: where the cursor is. */
static void print_wrapped(const char *text, size_t column, size_t indent)
{
    enum { WIDTH = 100 };
    bool first = true;
    while (*text) {
        size_t length = word_length(text);
        if (!first && column + 1 + length > WIDTH) {
            printf("\n%*s", (int)indent, "");
            column = indent;
        } else if (!first) {
            putchar(' ');
            column++;
        }
        printf("%.*s", (int)length, text);
        column += length;
        text += length;
        text += *text == ' ';
        first = false;
    }
    putchar('\n');
}

static void print_paragraphs(const char *text)
{
    while (*text) {
        const char *end = strstr(text, "\n\n");
        size_t length = end ? (size_t)(end - text) : strlen(text);
        char paragraph[2048];
        snprintf(paragraph, sizeof paragraph, "%.*s", (int)length, text);
        for (char *c = paragraph; *c; c++)
            if (*c == '\n') *c = ' ';
        putchar('\n');
        print_wrapped(paragraph, 0, 0);
        text += end ? length + 2 : length;
    }
}

static void print_options(const cli_command *command)
{
    enum { INDENT = 2, COLUMN = 34 };
    for (size_t i = 0; option_at(command, i); i++) {
        const option_spec *option = option_at(command, i);
        char left[96], help[512];
        option_left(option, left, sizeof left);
        int indent = option->letter ? INDENT : INDENT + 4; /* long names stand below each other */
        printf("%*s%s", indent, "", left);
        size_t column = (size_t)indent + strlen(left);
        if (column + 2 > COLUMN) {
            putchar('\n');
            column = 0;
        }
        printf("%*s", (int)(COLUMN - column), "");
        snprintf(help, sizeof help, "%s%s%s%s%s", option->help, option->required ? " (must be given)" : "", option->initial ? " (default " : "",
                 option->initial ? option->initial : "", option->initial ? ")" : "");
        print_wrapped(help, COLUMN, COLUMN);
    }
}

static void print_indented(const char *text)
{
    while (*text) {
        size_t length = strcspn(text, "\n");
        printf("  %.*s\n", (int)length, text);
        text += length + (text[length] == '\n');
    }
}

void print_help(const cli_command *command)
{
    char line[2048];
    usage_line(command, line, sizeof line);
    printf("Usage: ");
    print_wrapped(line, strlen("Usage: "), strlen("Usage: weightmark "));
    print_paragraphs(command->description);
    if (command->more_description) print_paragraphs(command->more_description());
    printf("\nOptions:\n");
    print_options(command);
    printf("\nExamples:\n");
    print_indented(command->examples);
}

void print_overview(void)
{
    printf("weightmark puts a keyed watermark into the weights of a neural network, finds it again,\n"
           "and says with an exact probability how sure it is.\n\n"
           "Usage: weightmark COMMAND [OPTIONS]\n"
           "       weightmark COMMAND --help | --help | --version\n\nCommands:\n");
    for (size_t i = 0; command_at(i); i++)
        printf("  %-10s %s%s\n", command_at(i)->name, command_at(i)->summary, command_at(i)->unavailable ? " (not in this build)" : "");
    printf("\nExit status: 0 done or found, 1 not found or inconclusive, 2 usage, 3 unusable input,\n"
           "4 system failure, 130 interrupted.\n");
}
