/* base/output.h - temporary names, shared by output files and output folders. */
#ifndef WMK_BASE_OUTPUT_H
#define WMK_BASE_OUTPUT_H

#include <stdbool.h>
#include "base/status.h"

/* "<folder of target>/.wmk-<16 hexadecimal digits>"; the caller frees it. */
wmk_status wmk_temporary_name(char **out, const char *target);
/* From take to give, wmk_abort_outputs removes what has this name. give: true when it has not done so; else the string is the handler's, and what it names is gone. */
wmk_status wmk_temporary_take(char *temporary);
bool wmk_temporary_give(const char *temporary);
/* Removes a folder of a temporary name with all that is in it, as far as that can be done; what another thread writes meanwhile too. Async-signal-safe. */
void wmk_remove_folder(const char *path);
/* So that a new name in `target`'s folder survives a power cut; a folder that cannot be synced is no reason to fail. */
void wmk_sync_folder(const char *target);

#endif
