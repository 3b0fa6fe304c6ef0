/* model/patch.h - a patched copy, for those who look at it before it takes its place and for the containers' `finish`. */
#ifndef WMK_MODEL_PATCH_H
#define WMK_MODEL_PATCH_H

#include "model/model.h"

/* Writes the changed bytes into the temporary copy and lets the containers finish; wmk_patch_data's bytes may not be changed afterwards. SYSTEM: no space left, ... . Commit does this
 * when it was not done. */
wmk_status wmk_patch_write(wmk_patch *patch);
/* wmk_patch_data for a tensor whose every byte the caller is going to write: what is there until then is anything, and is not copied first. */
wmk_status wmk_patch_data_anew(wmk_patch *patch, size_t index, void **data);
/* Writes `size` bytes of tensor `index` from `offset` on straight into the copy: of one that was handed out anew, whose bytes there are not looked at then. ARGUMENT: outside of it; SYSTEM.
 * One call at a time, as with wmk_patch_flush. */
wmk_status wmk_patch_put(wmk_patch *patch, size_t index, uint64_t offset, uint64_t size, const void *data);
/* Gives back the memory of a stretch of the model's mapping, or of flushed bytes of wmk_patch_data's; they are read from their file again. Other addresses are left alone. Any thread. */
void wmk_patch_give_back(const wmk_patch *patch, const void *data, uint64_t size);
/* Where the copy is until commit: a file, or a folder. */
const char *wmk_patch_temporary_path(const wmk_patch *patch);

/* For `finish`. */
const wmk_model *wmk_patch_model(const wmk_patch *patch);
/* True when wmk_patch_data was asked for tensor `index`: its bytes there are the new ones, also of a packed tensor. */
bool wmk_patch_changed(const wmk_patch *patch, size_t index);
/* The copy of files[file], into which everything but packed tensors was written. wmk_output_write_at changes it, wmk_output_truncate cuts it, wmk_output_read_at reads it. */
wmk_output *wmk_patch_output(wmk_patch *patch, uint32_t file);

#endif
