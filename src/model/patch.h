/* model/patch.h - for those who look at a patched copy before it takes its place. */
#ifndef WMK_MODEL_PATCH_H
#define WMK_MODEL_PATCH_H

#include <weightmark/model.h>

/* Writes the changed bytes into the temporary copy; wmk_patch_data's bytes may not be changed afterwards. SYSTEM: no space left, ... . Commit does this when it was not done. */
wmk_status wmk_patch_write(wmk_patch *patch);
/* Where the copy is until commit. */
const char *wmk_patch_temporary_path(const wmk_patch *patch);

#endif
