/* cli/option.c - getopt_long fed from a command's table. */
#include "option.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "console.h"

static const option_spec common_options[] = {
    {"json", 0, OPTION_FLAG, NULL, NULL, false, "print one JSON object on standard output", offsetof(common_settings, json)},
    {"quiet", 'q', OPTION_FLAG, NULL, NULL, false, "no progress on standard error", offsetof(common_settings, quiet)},
    {"threads", 0, OPTION_COUNT, "N", "0", false, "threads to use; 0: as many as there are cores", offsetof(common_settings, threads)},
    {"help", 'h', OPTION_FLAG, NULL, NULL, false, "show this help", offsetof(common_settings, help)},
};
enum { COMMON_COUNT = sizeof common_options / sizeof common_options[0], FIRST_LONG = 256 };

const option_spec *option_at(const cli_command *command, size_t index)
{
    const option_spec *more;
    if (index < command->option_count) return &command->options[index];
    index -= command->option_count;
    for (size_t i = 0; command->more_options && (more = command->more_options(i)) != NULL; i++, index--)
        if (index == 0) return more;
    return index < COMMON_COUNT ? &common_options[index] : NULL;
}

size_t option_count(const cli_command *command)
{
    size_t count = 0;
    while (option_at(command, count)) count++;
    return count;
}

/* Levenshtein distance with two rows; words longer than the row are far from everything. */
static size_t edit_distance(const char *a, const char *b)
{
    enum { LONGEST = 64 };
    size_t rows[2][LONGEST + 1], b_length = strlen(b);
    if (b_length > LONGEST || strlen(a) > LONGEST) return LONGEST;
    for (size_t j = 0; j <= b_length; j++) rows[0][j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t *above = rows[i % 2], *row = rows[(i + 1) % 2];
        row[0] = i + 1;
        for (size_t j = 0; j < b_length; j++) {
            size_t best = above[j] + (a[i] != b[j]);
            if (above[j + 1] + 1 < best) best = above[j + 1] + 1;
            if (row[j] + 1 < best) best = row[j] + 1;
            row[j + 1] = best;
        }
    }
    return rows[strlen(a) % 2][b_length];
}

const char *nearest_word(const char *word, const char *(*at)(const void *list, size_t index), const void *list)
{
    const char *best = NULL, *candidate;
    size_t best_distance = strlen(word) / 3 + 2; /* a slip or two; more is another word */
    for (size_t i = 0; (candidate = at(list, i)) != NULL; i++) {
        size_t distance = edit_distance(word, candidate);
        if (distance < best_distance) {
            best = candidate;
            best_distance = distance;
        }
    }
    return best;
}

static const char *option_name_at(const void *list, size_t index)
{
    const option_spec *option = option_at(list, index);
    return option ? option->name : NULL;
}

static int unknown_option(const cli_call *call, const char *given)
{
    char word[64];
    if (strncmp(given, "--", 2) != 0) return usage_error(call->command, "unknown option '%s'", given);
    snprintf(word, sizeof word, "%.*s", (int)strcspn(given + 2, "="), given + 2);
    const char *near = nearest_word(word, option_name_at, call->command);
    if (near) return usage_error(call->command, "unknown option '--%s' (did you mean '--%s'?)", word, near);
    return usage_error(call->command, "unknown option '--%s'", word);
}

static bool is_choice(const char *choices, const char *word)
{
    size_t length = strlen(word);
    for (const char *choice = choices; choice; choice = strchr(choice, '|') ? strchr(choice, '|') + 1 : NULL)
        if (length == strcspn(choice, "|") && strncmp(choice, word, length) == 0) return true;
    return false;
}

static int append_text(text_list *list, const char *text)
{
    const char **grown = realloc(list->item, (list->count + 1) * sizeof *grown);
    if (!grown) return EXIT_SYSTEM;
    grown[list->count++] = text;
    list->item = grown;
    return EXIT_DONE;
}

static int store(const cli_call *call, const option_spec *option, const char *text)
{
    char *end = NULL;
    void *value = (char *)call->settings + option->offset;
    switch (option->kind) {
    case OPTION_FLAG:
        *(bool *)value = true;
        return EXIT_DONE;
    case OPTION_TEXT:
        *(const char **)value = text;
        return EXIT_DONE;
    case OPTION_CHOICE:
        if (!is_choice(option->value_name, text))
            return usage_error(call->command, "--%s: '%s' is none of %s", option->name, text, option->value_name);
        *(const char **)value = text;
        return EXIT_DONE;
    case OPTION_LIST:
        return append_text(value, text);
    case OPTION_COUNT:
        errno = 0;
        *(uint64_t *)value = strtoull(text, &end, 10);
        if (text[0] < '0' || text[0] > '9' || *end || errno)
            return usage_error(call->command, "--%s: '%s' is not a whole number from 0", option->name, text);
        return EXIT_DONE;
    case OPTION_NUMBER:
        *(double *)value = strtod(text, &end);
        if (end == text || *end || !isfinite(*(double *)value)) return usage_error(call->command, "--%s: '%s' is not a number", option->name, text);
        return EXIT_DONE;
    }
    return EXIT_SYSTEM;
}

/* getopt's tables; a long option's value is FIRST_LONG + its index. */
static int build_tables(const cli_command *command, size_t count, struct option *longs, char *letters)
{
    *letters++ = ':'; /* a missing argument is told apart from an unknown option */
    for (size_t i = 0; i < count; i++) {
        const option_spec *option = option_at(command, i);
        longs[i] = (struct option){option->name, option->kind != OPTION_FLAG, NULL, FIRST_LONG + (int)i};
        if (option->letter) {
            *letters++ = option->letter;
            if (option->kind != OPTION_FLAG) *letters++ = ':';
        }
    }
    return EXIT_DONE;
}

static const option_spec *option_of(const cli_command *command, size_t count, int code)
{
    if (code >= FIRST_LONG) return option_at(command, (size_t)(code - FIRST_LONG));
    for (size_t i = 0; i < count; i++)
        if (option_at(command, i)->letter == code) return option_at(command, i);
    return NULL;
}

static int read_options(cli_call *call, size_t count, bool *given, int argc, char **argv)
{
    struct option *longs = calloc(count + 1, sizeof *longs);
    char *letters = calloc(2 * count + 2, 1);
    int exit_code = longs && letters ? build_tables(call->command, count, longs, letters) : EXIT_SYSTEM, code;
    opterr = 0;
    optind = 0; /* glibc: begin anew */
    while (exit_code == EXIT_DONE && (code = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        const option_spec *option;
        if (code == ':')
            exit_code = usage_error(call->command, "%s needs a value", argv[optind - 1]);
        else if (code == '?' && optopt && optopt < FIRST_LONG)
            exit_code = usage_error(call->command, "unknown option '-%c'", optopt);
        else if (code == '?' && optopt)
            exit_code = usage_error(call->command, "%s takes no value", argv[optind - 1]);
        else if (code == '?')
            exit_code = unknown_option(call, argv[optind - 1]);
        else {
            option = option_of(call->command, count, code);
            for (size_t i = 0; i < count; i++) given[i] |= option_at(call->command, i) == option;
            exit_code = store(call, option, optarg);
        }
    }
    for (int i = optind; exit_code == EXIT_DONE && i < argc; i++) exit_code = append_text(&call->operands, argv[i]);
    free(longs);
    free(letters);
    return exit_code;
}

static int check_complete(const cli_call *call, size_t count, const bool *given)
{
    const cli_command *command = call->command;
    if (call->operands.count < command->operand_min) return usage_error(command, "too few arguments: %s is needed", command->operands);
    if (call->operands.count > command->operand_max)
        return usage_error(command, "'%s' is one argument too many", call->operands.item[command->operand_max]);
    for (size_t i = 0; i < count; i++) {
        const option_spec *option = option_at(command, i);
        if (option->required && !given[i]) return usage_error(command, "--%s %s must be given", option->name, option->value_name);
    }
    return EXIT_DONE;
}

int options_parse(cli_call *call, const cli_command *command, int argc, char **argv)
{
    size_t count = option_count(command);
    void *settings = calloc(1, command->settings_bytes);
    bool *given = calloc(count, sizeof *given);
    *call = (cli_call){command, settings, settings, {NULL, 0}};
    int exit_code = settings && given ? EXIT_DONE : EXIT_SYSTEM;
    for (size_t i = 0; exit_code == EXIT_DONE && i < count; i++)
        if (option_at(command, i)->initial) exit_code = store(call, option_at(command, i), option_at(command, i)->initial);
    if (exit_code == EXIT_DONE) exit_code = read_options(call, count, given, argc, argv);
    if (exit_code == EXIT_DONE && !call->common->help) exit_code = check_complete(call, count, given);
    free(given);
    return exit_code == EXIT_SYSTEM ? complain(command, EXIT_SYSTEM, "out of memory") : exit_code; /* nothing else here ends so */
}

void options_free(cli_call *call)
{
    for (size_t i = 0; call->settings && i < option_count(call->command); i++) {
        const option_spec *option = option_at(call->command, i);
        if (option->kind == OPTION_LIST) free(((text_list *)((char *)call->settings + option->offset))->item);
    }
    free((void *)call->settings);
    free(call->operands.item);
}
