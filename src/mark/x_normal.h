/* mark/x_normal.h - the normal rule of docs/spec.md: four bytes of key stream become one N(0,1) value. Several forms of the same rule, equal
 * bit for bit; the plain one is the reference. */
#ifndef WMK_MARK_X_NORMAL_H
#define WMK_MARK_X_NORMAL_H

#include <weightmark/mark.h>

typedef struct wmk_normal_form {
    const char *name;                        /* "plain", "avx2", "avx512" */
    bool (*usable)(void);                    /* on this processor */
    void (*convert)(float *x, size_t count); /* in place: x holds 4 * count bytes of key stream; any alignment */
} wmk_normal_form;

/* The slowest first; the first, plain, is usable everywhere. NULL out of range. */
const wmk_normal_form *wmk_normal_form_at(size_t index);
/* The fastest usable one. */
const wmk_normal_form *wmk_normal_form_best(void);

/* wmk_x_normal (mark/x.h) by a form of choice. */
void wmk_x_normal_by(const wmk_normal_form *form, const wmk_key *key, uint32_t row, uint64_t column, size_t count, float *x);

#endif
