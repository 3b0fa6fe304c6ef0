/* cli/progress.h - how far the training is, on stderr. */
#ifndef WMK_CLI_PROGRESS_H
#define WMK_CLI_PROGRESS_H

#include <weightmark/train.h>

#include "command.h"

typedef struct cli_progress {
    bool quiet, terminal, ended;
    double drawn;    /* when the line was last drawn, in seconds */
    uint64_t tenths; /* lines printed where there is no terminal */
} cli_progress;

void progress_begin(cli_progress *progress, const common_settings *common);
/* A wmk_train_progress_fn; payload: a progress. Asks to stop after Ctrl-C. */
int progress_step(const wmk_train_progress *now, void *payload);
/* Leaves the line it drew. */
void progress_end(const cli_progress *progress);

#endif
