/* mark_file/names.h - what other programs call the same tensor. */
#ifndef WMK_MARK_FILE_NAMES_H
#define WMK_MARK_FILE_NAMES_H

#include <stdbool.h>

#include "base/status.h"

/* The name in a form that renamings of the common kinds leave alone: parts joined by points, wrappers' prefixes ("model.", "module.") and words for a weight ("weight", "kernel:0",
 * "vars/0", "Conv2D") dropped, a transformer's layers in GGUF's words ("blk.3.attn_q"). The caller frees *out. MEMORY. */
wmk_status wmk_name_canonical(char **out, const char *name);

/* Rows of a rotary attention's query and key matrices: two halves of a head one after the other (Hugging Face), or pairs of their elements (GGUF and Meta's own files). */
typedef enum wmk_rotary { WMK_ROTARY_NONE, WMK_ROTARY_HALVES, WMK_ROTARY_PAIRS } wmk_rotary;
/* By the words that the two families use; NONE: no such matrix. *is_key: of keys, else of queries. */
wmk_rotary wmk_name_rotary(const char *name, bool *is_key);

#endif
