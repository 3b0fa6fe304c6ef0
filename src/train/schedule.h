/* train/schedule.h - the learning rate of a step. */
#ifndef WMK_TRAIN_SCHEDULE_H
#define WMK_TRAIN_SCHEDULE_H

#include "base/status.h"

typedef double (*wmk_schedule)(double rate, uint64_t step, uint64_t steps); /* step in [0, steps) */
/* ARGUMENT with the list of names when `name` is none. */
wmk_status wmk_schedule_find(wmk_schedule *out, const char *name);

#endif
