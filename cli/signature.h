/* cli/signature.h - signatures and checksums that a model carries, which a mark breaks. */
#ifndef WMK_CLI_SIGNATURE_H
#define WMK_CLI_SIGNATURE_H

#include <weightmark/model.h>

/* Names of metadata and of files beside the model that sign its bytes. count 0: none. */
typedef struct signature_list {
    char **name; /* [count] "model.sig", "metadata \"signature\"" */
    size_t count;
} signature_list;

/* False: out of memory. */
bool signatures_of(signature_list *out, const wmk_model *model);
void signatures_free(signature_list *list);

#endif
