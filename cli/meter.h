/* cli/meter.h - how far a walk through a model's weights is, on stderr, on a terminal only. */
#ifndef WMK_CLI_METER_H
#define WMK_CLI_METER_H

#include <stdatomic.h>

#include <weightmark/mark_file.h>

#include "line.h"

typedef struct cli_meter {
    cli_line line;
    const char *what;
    uint64_t total;        /* bytes */
    _Atomic uint64_t done; /* by all threads */
    atomic_flag busy;      /* one of them draws */
    double begun, drawn;   /* seconds */
} cli_meter;

/* For `key` in `model`, whose weights are read `passes` times. */
void meter_begin(cli_meter *meter, const common_settings *common, const char *what, const wmk_model *model, const wmk_key *key, unsigned passes);
/* The `walked` of wmk_verify_options and wmk_embed_options; payload: a meter. Nothing is drawn in the first second. */
void meter_walked(void *payload, uint64_t bytes);
/* The `searched` of wmk_verify_options. */
void meter_searched(void *payload, double share);
void meter_end(cli_meter *meter);

#endif
