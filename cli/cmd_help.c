/* cli/cmd_help.c - weightmark help: the same as --help, and where the man pages and completions come from. */
#include "console.h"
#include "help.h"

typedef struct help_settings {
    common_settings common;
    bool man;
    const char *completion;
} help_settings;

static int run(const cli_call *call)
{
    const help_settings *settings = call->settings;
    const cli_command *about = NULL;
    if (settings->completion) return print_completion(settings->completion) ? EXIT_DONE : EXIT_USAGE;
    if (call->operands.count && !(about = command_find(call->operands.item[0])))
        return usage_error(call->command, "no command '%s'", call->operands.item[0]);
    if (settings->man)
        about ? print_man(about) : print_man_overview();
    else
        about ? print_help(about) : print_overview();
    return EXIT_DONE;
}

static const option_spec options[] = {
    {"man", 0, OPTION_FLAG, NULL, NULL, false, "print the man page, in man(7)", offsetof(help_settings, man)},
    {"completion", 0, OPTION_CHOICE, "bash|zsh|fish", NULL, false, "print the completions of a shell", offsetof(help_settings, completion)},
};

const cli_command command_help = {
    .name = "help",
    .operands = "[COMMAND]",
    .operand_max = 1,
    .summary = "explain a command",
    .description = "Prints what 'weightmark COMMAND --help' prints. For packagers: --man prints the command's man page, --completion the\n"
                   "completions of a shell; docs/man and completions hold both.",
    .examples = "# What can verify do?\n"
                "weightmark help verify\n"
                "# Completions for this shell\n"
                "source <(weightmark help --completion bash)",
    OPTION_ARRAY(options),
    .settings_bytes = sizeof(help_settings),
    .run = run,
};
