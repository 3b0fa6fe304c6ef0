/* mark_file/views.h - a key's targets looked up in a model. */
#ifndef WMK_MARK_FILE_VIEWS_H
#define WMK_MARK_FILE_VIEWS_H

#include <weightmark/mark_file.h>

/* views [wmk_key_target_count(key)]: each target's tensor of that name. One that is missing gets the target's own shape and no data and is counted in *missing; MISSING when
 * all are, or more than `missing_allowed`. */
wmk_status wmk_views_of_key(wmk_tensor_view *views, size_t *missing, const wmk_model *model, const wmk_key *key, size_t missing_allowed);

/* The tensor as the target sees it. A container that knows no layouts leaves only a guess in the view; where the shape is exactly the target's, the target's layout is right. */
wmk_tensor_view wmk_view_for_target(const wmk_tensor_view *tensor, const wmk_target *target);

/* True when `view` holds float values and, axis by axis through the layouts, has the target's shape. */
bool wmk_view_fits(const wmk_tensor_view *view, const wmk_target *target);

/* MISSING: the model has no tensor `name`; the message lists the nearest names. */
wmk_status wmk_no_such_tensor(const wmk_model *model, const char *name);

/* Puts the model's path before the present message of a failure, but after "not supported: " where it begins so. Returns status. */
wmk_status wmk_fail_in_model(wmk_status status, const wmk_model *model);

#endif
