/* mark_file/rotary.h - llama.cpp stores the query and key matrices of some architectures with their rows in another order than Hugging Face. */
#ifndef WMK_MARK_FILE_ROTARY_H
#define WMK_MARK_FILE_ROTARY_H

#include "mark_file/rows.h"
#include <weightmark/mark.h>
#include <weightmark/model.h>

/* True when the tensor holds the target's rows in the other order; *rows is then set to undo it. Head counts are the model's: GGUF's metadata, or the config.json beside it. MEMORY. */
wmk_status wmk_rotary_rows(bool *out, wmk_rows *rows, const wmk_model *model, const wmk_model_tensor *tensor, const wmk_target *target);

#endif
