/* calibrate_cases.h - small models cut out of a real one's weights, and keys that are looked for in them in all the
 * ways in which a verdict can be reached. */
#ifndef WMK_TESTS_CALIBRATE_CASES_H
#define WMK_TESTS_CALIBRATE_CASES_H

#include "calibration.h"

#include "mark_file/match.h"

/* Tensors of one shape; names are prefix0, prefix1, ... */
typedef struct case_part {
    const char *prefix;
    unsigned copies;
    wmk_layout layout;
    uint32_t rank;
    uint64_t shape[4];
    bool damaged; /* holds NaN, infinities, a filter that overflows, one of zeros: in binary64 */
} case_part;

typedef enum case_way {
    CASE_BY_NAME,  /* once for all keys, since names do not depend on them */
    CASE_BY_ORDER, /* the order of axes is found out from the weights */
    CASE_ANY,      /* --any-tensor */
    CASE_BEST_MAP  /* the smallest p of all maps: two targets */
} case_way;

enum { CASE_PARTS = 4 };
typedef struct calibrate_case {
    const char *name;
    case_way way;
    uint32_t bits; /* T */
    case_part targets[CASE_PARTS], tensors[CASE_PARTS];
} calibrate_case;

extern const calibrate_case calibrate_cases[];
extern const size_t calibrate_case_count;

/* A case over real weights. */
typedef struct case_model {
    const calibrate_case *from;
    wmk_model *model;
    wmk_target *targets; /* [target_count]; names owned */
    size_t target_count;
} case_model;

/* Cuts the case's tensors out of `source`, a tensor whose filters are its first axis: blocks of rows and columns that
 * follow one another. Nothing stays on the disk. A message on failure; case_close in any case. */
wmk_status case_open(case_model *out, const calibrate_case *from, const wmk_tensor_view *source);
void case_close(case_model *model);

/* Looks for `keys` strangers of the kind of `key`, whose targets are the case's. */
wmk_status case_run(calibration *out, const case_model *model, const wmk_key *key, uint32_t first, uint32_t keys);

#endif
