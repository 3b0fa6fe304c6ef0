/* cli/tree.h - a model's tensors by the parts of their names. */
#ifndef WMK_CLI_TREE_H
#define WMK_CLI_TREE_H

#include <weightmark/model.h>

/* On stdout, an indented line a part; layers that are alike but for their number share one. False: out of memory. */
bool tree_print(const wmk_model *model);

/* "640", "12.3 kB", "1.7 GB". */
void bytes_text(uint64_t bytes, char *text, size_t size);

#endif
