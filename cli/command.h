/* cli/command.h - what a command is: a row of the table in main.c, one cmd_*.c each. Its one array of options feeds the parser, the usage
 * line, --help, the man page and the shell completions. docs/add-a-command.md goes through the steps. */
#ifndef WMK_CLI_COMMAND_H
#define WMK_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <weightmark/base.h>

#include "exit_code.h"

typedef enum option_kind {
    OPTION_FLAG,   /* bool */
    OPTION_TEXT,   /* const char * */
    OPTION_CHOICE, /* const char *, one of the words of value_name, which '|' separates */
    OPTION_LIST,   /* text_list: may be given several times */
    OPTION_COUNT,  /* uint64_t */
    OPTION_NUMBER  /* double, finite */
} option_kind;

typedef struct text_list {
    const char **item; /* borrowed from argv; the array is owned by whoever parsed */
    size_t count;
} text_list;

typedef struct option_spec { /* NOLINT(clang-analyzer-optin.performance.Padding): members in the order in which a row reads best */
    const char *name;
    char letter; /* 0: none */
    option_kind kind;
    const char *value_name; /* NULL for a flag */
    const char *initial;    /* the value where the option is not given, as one would type it; NULL: zero */
    bool required;
    const char *help;
    size_t offset; /* of the value in the command's settings */
} option_spec;

/* The first member of every command's settings. */
typedef struct common_settings {
    bool help, json, quiet;
    uint64_t threads; /* 0: as many as there are cores */
} common_settings;

typedef struct cli_command cli_command;

/* One run of a command. */
typedef struct cli_call {
    const cli_command *command;
    const void *settings;
    const common_settings *common;
    text_list operands;
} cli_call;

struct cli_command {
    const char *name;
    const char *operands; /* as in the usage line: "MODEL"; "" for none */
    size_t operand_min, operand_max;
    const char *summary;                   /* one line, lower case, no full stop */
    const char *description;               /* paragraphs separated by empty lines */
    const char *(*more_description)(void); /* a paragraph known at run time only; NULL: none */
    const char *examples;                  /* lines as typed, a comment line above each */
    const option_spec *options;
    size_t option_count;
    /* Options known at run time only (the attacks'), after `options`: the index-th, NULL past the last. May be NULL. */
    const option_spec *(*more_options)(size_t index);
    size_t settings_bytes;
    int (*run)(const cli_call *call); /* returns an exit code; says on stderr what went wrong */
    const char *unavailable;          /* NULL, or why this build cannot run it */
};

extern const cli_command command_keygen, command_key, command_train, command_eval, command_embed, command_verify, command_extract, command_inspect,
    command_attack, command_report, command_help;

/* The table, in the order of --help. */
const cli_command *command_at(size_t index);       /* NULL out of range */
const cli_command *command_find(const char *name); /* NULL: none */

#define OPTION_ARRAY(options) .options = (options), .option_count = sizeof(options) / sizeof((options)[0])
/* Rows that several commands share. */
#define OPTION_OUTPUT(type, what)                                                                                                                    \
    {                                                                                                                                                \
        "output", 'o', OPTION_TEXT, "FILE", NULL, true, what, offsetof(type, output)                                                                 \
    }
#define OPTION_FORCE(type)                                                                                                                           \
    {                                                                                                                                                \
        "force", 'f', OPTION_FLAG, NULL, NULL, false, "replace an output that exists", offsetof(type, force)                                         \
    }
#define OPTION_KEY(type, needed)                                                                                                                     \
    {                                                                                                                                                \
        "key", 'k', OPTION_TEXT, "KEY", NULL, needed, "key file", offsetof(type, key)                                                                \
    }
#define OPTION_PASSPHRASE(type)                                                                                                                      \
    {                                                                                                                                                \
        "passphrase-file", 0, OPTION_TEXT, "FILE", NULL, false, "file whose first line opens a sealed key", offsetof(type, passphrase_file)          \
    }
#define OPTION_DATA(type)                                                                                                                            \
    {                                                                                                                                                \
        "data", 0, OPTION_TEXT, "NAME|DIR", "fashion-mnist", false,                                                                                  \
            "data set: a name (fashion-mnist, cifar-10, cifar-100) or the folder of its files", offsetof(type, data)                                 \
    }

#endif
