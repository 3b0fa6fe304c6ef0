/* attack/attack.h - what one attack is: a row of the table in attack.c, one file each. */
#ifndef WMK_ATTACK_ATTACK_H
#define WMK_ATTACK_ATTACK_H

#include "base/status.h"
#include <weightmark/attack.h>

struct wmk_attack {
    const char *name, *summary;
    const wmk_attack_parameter *parameters;
    size_t parameter_count;
    /* Values arrive in the order of `parameters`, defaults filled in. On success *context is handed to apply and then free()d. */
    wmk_status (*parse)(void **context, const char *const *values);
    /* Changes one tensor's weights [count] in place. `seed` differs from tensor to tensor. */
    wmk_status (*apply)(const void *context, double *weights, size_t count, uint64_t seed);
};

extern const wmk_attack wmk_attack_prune;

#endif
