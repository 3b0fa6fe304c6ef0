/* cli/exit_code.h - what the program's exit status says (docs/json.md lists them for users). */
#ifndef WMK_CLI_EXIT_CODE_H
#define WMK_CLI_EXIT_CODE_H

#include <weightmark/base.h>

enum {
    EXIT_DONE = 0,         /* done, or: found */
    EXIT_NEGATIVE = 1,     /* a negative answer: not found, inconclusive, undated */
    EXIT_USAGE = 2,        /* the command line is wrong */
    EXIT_INPUT = 3,        /* an input or output cannot be used as given */
    EXIT_SYSTEM = 4,       /* memory, disk, operating system, or a defect of weightmark */
    EXIT_INTERRUPTED = 130 /* Ctrl-C or SIGTERM; what was finished is kept */
};

static inline int exit_code_of(wmk_status status)
{
    switch (status) {
    case WMK_OK:
        return EXIT_DONE;
    case WMK_ERROR_ARGUMENT:
        return EXIT_USAGE;
    case WMK_ERROR_INPUT:
    case WMK_ERROR_MISSING:
    case WMK_ERROR_MISMATCH:
    case WMK_ERROR_UNSUPPORTED:
    case WMK_ERROR_SECRET:
    case WMK_ERROR_EXISTS:
    case WMK_ERROR_NUMERIC:
        return EXIT_INPUT;
    case WMK_ERROR_INTERRUPTED:
        return EXIT_INTERRUPTED;
    case WMK_ERROR_MEMORY:
    case WMK_ERROR_SYSTEM:
    case WMK_ERROR_INTERNAL:
        break;
    }
    return EXIT_SYSTEM;
}

#endif
