/* cli/completion.c - shell completions, made from the table: completions/ holds them, and a test compares. */
#include <stdio.h>
#include <string.h>

#include "help.h"
#include "option.h"

static void print_commands(void)
{
    for (size_t i = 0; command_at(i); i++) printf("%s%s", i ? " " : "", command_at(i)->name);
}

/* "direct|diff" as words. */
static void print_choices(const char *choices)
{
    for (; choices && *choices; choices++) putchar(*choices == '|' ? ' ' : *choices);
}

/* The words after an option whose value is one of a few. */
static void print_bash_choices(void)
{
    printf("    case $1:$prev in\n");
    for (size_t i = 0; command_at(i); i++)
        for (size_t o = 0; option_at(command_at(i), o); o++) {
            const option_spec *option = option_at(command_at(i), o);
            if (option->kind != OPTION_CHOICE) continue;
            printf("    %s:--%s) words='", command_at(i)->name, option->name);
            print_choices(option->value_name);
            printf("'; return ;;\n");
        }
    printf("    esac\n");
}

/* _weightmark_words COMMAND: sets `words` to what may follow; empty where a file name may. */
static void print_bash_words(void)
{
    printf("_weightmark_words() {\n    words=\n");
    print_bash_choices();
    printf("    case $cur in -*) ;; *) return ;; esac\n    case $1 in\n");
    for (size_t i = 0; command_at(i); i++) {
        printf("    %s) words='", command_at(i)->name);
        for (size_t o = 0; option_at(command_at(i), o); o++) printf("%s--%s", o ? " " : "", option_at(command_at(i), o)->name);
        printf("' ;;\n");
    }
    printf("    esac\n}\n");
}

static void print_bash(void)
{
    printf("# bash completion for weightmark; made by: weightmark help --completion bash\n");
    print_bash_words();
    printf("_weightmark() {\n    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} words\n"
           "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        words='");
    print_commands();
    printf(" --help --version'\n    else\n        _weightmark_words \"${COMP_WORDS[1]}\"\n    fi\n"
           "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\ncomplete -o default -F _weightmark weightmark\n");
}

/* Text inside single quotes, for zsh's _arguments (brackets and colons) and fish. */
static void print_quoted(const char *text, const char *escaped)
{
    for (; *text; text++) {
        if (*text == '\'')
            printf("'\\''");
        else
            printf("%s%c", strchr(escaped, *text) ? "\\" : "", *text);
    }
}

static void print_zsh(void)
{
    printf("#compdef weightmark\n# zsh completion for weightmark; made by: weightmark help --completion zsh\nlocal -a commands\ncommands=(\n");
    for (size_t i = 0; command_at(i); i++) {
        printf("  '%s:", command_at(i)->name);
        print_quoted(command_at(i)->summary, "");
        printf("'\n");
    }
    printf(")\nif (( CURRENT == 2 )); then\n  _describe command commands\n  return\nfi\nlocal command=$words[2]\nshift words\n(( CURRENT-- ))\ncase "
           "$command in\n");
    for (size_t i = 0; command_at(i); i++) {
        printf("%s)\n  _arguments -s", command_at(i)->name);
        for (size_t o = 0; option_at(command_at(i), o); o++) {
            const option_spec *option = option_at(command_at(i), o);
            printf(" \\\n    '%s--%s[", option->kind == OPTION_LIST ? "*" : "", option->name);
            print_quoted(option->help, "[]:");
            printf("]");
            if (option->value_name) {
                printf(":");
                print_quoted(option->value_name, ":");
                printf(":");
                if (option->kind == OPTION_CHOICE) {
                    printf("(");
                    print_choices(option->value_name);
                    printf(")");
                } else if (option->kind == OPTION_TEXT || option->kind == OPTION_LIST)
                    printf("_files");
            }
            printf("'");
        }
        printf(" \\\n    '*:file:_files'\n  ;;\n");
    }
    printf("esac\n");
}

static void print_fish(void)
{
    printf("# fish completion for weightmark; made by: weightmark help --completion fish\n");
    for (size_t i = 0; command_at(i); i++) {
        printf("complete -c weightmark -n __fish_use_subcommand -f -a %s -d '", command_at(i)->name);
        print_quoted(command_at(i)->summary, "");
        printf("'\n");
        for (size_t o = 0; option_at(command_at(i), o); o++) {
            const option_spec *option = option_at(command_at(i), o);
            printf("complete -c weightmark -n '__fish_seen_subcommand_from %s' -l %s", command_at(i)->name, option->name);
            if (option->letter) printf(" -s %c", option->letter);
            if (option->value_name) printf(" -r");
            if (option->kind == OPTION_CHOICE) {
                printf(" -f -a '");
                print_choices(option->value_name);
                printf("'");
            }
            printf(" -d '");
            print_quoted(option->help, "");
            printf("'\n");
        }
    }
}

bool print_completion(const char *shell)
{
    if (strcmp(shell, "bash") == 0)
        print_bash();
    else if (strcmp(shell, "zsh") == 0)
        print_zsh();
    else if (strcmp(shell, "fish") == 0)
        print_fish();
    else
        return false;
    return true;
}
