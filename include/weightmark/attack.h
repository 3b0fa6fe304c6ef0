/* weightmark/attack.h - what an adversary, or ordinary use, does to a marked model. */
#ifndef WEIGHTMARK_ATTACK_H
#define WEIGHTMARK_ATTACK_H

#include <stdbool.h>
#include <weightmark/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wmk_attack wmk_attack; /* a row of the table of attacks */

typedef struct wmk_attack_parameter { /* one of its options */
    const char *name;                 /* "rate" */
    const char *value_name;           /* "R" */
    const char *default_value;        /* NULL: must be given */
    const char *help;
} wmk_attack_parameter;

WMK_EXPORT size_t wmk_attack_count(void);
WMK_EXPORT const wmk_attack *wmk_attack_at(size_t index);       /* NULL out of range */
WMK_EXPORT const wmk_attack *wmk_attack_find(const char *name); /* NULL: none */
WMK_EXPORT const char *wmk_attack_name(const wmk_attack *attack);
WMK_EXPORT const char *wmk_attack_summary(const wmk_attack *attack); /* one line */
WMK_EXPORT size_t wmk_attack_parameters(const wmk_attack *attack, const wmk_attack_parameter **out);

typedef struct wmk_attack_setting {
    const char *name, *value;
} wmk_attack_setting;
typedef struct wmk_attack_result {
    uint64_t tensors, weights, changed; /* touched tensors, their weights, weights whose value changed */
    double relative_change;             /* ||dW|| / ||W|| over the touched tensors */
} wmk_attack_result;

/* Writes a damaged copy of `model` at `path`, whole or not at all. tensor: a glob over names, or NULL for every float weight of two or more
 * dimensions. ARGUMENT: unknown setting or value out of range; MISSING: the glob matches nothing; INPUT: a weight that is
 * no finite number; EXISTS unless replace. result may be NULL. */
WMK_EXPORT wmk_status wmk_attack_run(const wmk_attack *attack, const wmk_model *model, const char *tensor, const wmk_attack_setting *settings,
                                     size_t setting_count, uint64_t seed, const char *path, bool replace, wmk_attack_result *result);

/* The arithmetic of `attack prune`, for sweeps in memory: sets the round(rate * count) weights that come first in `order` to zero.
 * Ascending and descending go by |W|, ties by index; random by `seed`. weights [count]. */
typedef enum wmk_prune_order { WMK_PRUNE_ASCENDING = 0, WMK_PRUNE_DESCENDING = 1, WMK_PRUNE_RANDOM = 2 } wmk_prune_order;
WMK_EXPORT wmk_status wmk_prune(double *weights, size_t count, double rate, wmk_prune_order order, uint64_t seed);

#ifdef __cplusplus
}
#endif
#endif
