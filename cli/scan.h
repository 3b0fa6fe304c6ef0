/* cli/scan.h - the models that the operands of a command stand for: files, and what lies in folders. */
#ifndef WMK_CLI_SCAN_H
#define WMK_CLI_SCAN_H

#include "command.h"

typedef struct model_list {
    char **path; /* [count] */
    size_t count;
} model_list;

/* A file stands for itself, whatever it holds. A folder stands for the model it is (an index and its shards, the only model file) and for every other model file in it and below; what is no model
 * file is passed over there, and what a model consists of is no model again. Links are followed; a folder is searched once. Returns an exit code, having said what is wrong: a folder without models. */
int model_list_make(const cli_call *call, model_list *out);
void model_list_free(model_list *list); /* a zeroed one is allowed */

#endif
