/* cli/main.c - the table of commands and the way to one of them. */
#include <omp.h>
#include <stdio.h>
#include <string.h>

#include "console.h"
#include "core_dump.h"
#include "help.h"
#include "interrupt.h"
#include "option.h"

/* One line a command. */
static const cli_command *const commands[] = {
    &command_keygen,  &command_key,     &command_train,  &command_eval,   &command_embed, &command_verify,
    &command_extract, &command_inspect, &command_attack, &command_report, &command_help,
};
enum { COMMAND_COUNT = sizeof commands / sizeof commands[0], THREADS_MAX = 4096 };

const cli_command *command_at(size_t index) { return index < COMMAND_COUNT ? commands[index] : NULL; }

const cli_command *command_find(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i]->name, name) == 0) return commands[i];
    return NULL;
}

static const char *command_name_at(const void *list, size_t index)
{
    (void)list;
    return index < COMMAND_COUNT ? commands[index]->name : NULL;
}

static int unknown_command(const char *name)
{
    const char *near = nearest_word(name, command_name_at, NULL);
    if (name[0] == '-') return usage_error(NULL, "unknown option '%s'", name);
    if (near) return usage_error(NULL, "unknown command '%s' (did you mean '%s'?)", name, near);
    return usage_error(NULL, "unknown command '%s'", name);
}

static int run_command(const cli_command *command, int argc, char **argv)
{
    cli_call call;
    int exit_code = options_parse(&call, command, argc, argv);
    if (exit_code == EXIT_DONE && call.common->threads > THREADS_MAX) exit_code = usage_error(command, "--threads: at most %d", THREADS_MAX);
    if (exit_code == EXIT_DONE && call.common->help)
        print_help(command);
    else if (exit_code == EXIT_DONE) {
        if (call.common->threads) omp_set_num_threads((int)call.common->threads);
        exit_code = command->run(&call);
    }
    options_free(&call);
    return exit_code;
}

/* A command that this build lacks still explains itself. */
static int unavailable_command(const cli_command *command, int argc, char **argv)
{
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        print_help(command);
        return EXIT_DONE;
    }
    return complain(command, EXIT_INPUT, "%s", command->unavailable);
}

int main(int argc, char **argv)
{
    const cli_command *command = NULL;
    int exit_code = core_dump_forbid();
    if (exit_code != EXIT_DONE) return exit_code;
    hold_standard_streams();
    interrupt_install();
    if (argc < 2)
        exit_code = usage_error(NULL, "no command given");
    else if (strcmp(argv[1], "--version") == 0)
        printf("weightmark %s\n", wmk_version());
    else if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        print_overview();
    else if (!(command = command_find(argv[1])))
        exit_code = unknown_command(argv[1]);
    else if (command->unavailable)
        exit_code = unavailable_command(command, argc - 1, argv + 1);
    else
        exit_code = run_command(command, argc - 1, argv + 1);
    return close_stdout(command, exit_code);
}
