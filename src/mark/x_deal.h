/* mark/x_deal.h - the partition rule of docs/spec.md: two bytes of key stream become a deal, that is a row and a sign. Several forms, equal bit for bit. */
#ifndef WMK_MARK_X_DEAL_H
#define WMK_MARK_X_DEAL_H

#include "mark/x.h"

typedef struct wmk_deal_form {
    const char *name; /* "plain", "avx2" */
    bool (*usable)(void);
    /* In place: deal holds 2 * count bytes of key stream. T is at most WMK_BITS_MAX. */
    void (*convert)(uint16_t *deal, size_t count, uint32_t T);
} wmk_deal_form;

/* The slowest first; the first, plain, is usable everywhere. NULL out of range. */
const wmk_deal_form *wmk_deal_form_at(size_t index);
const wmk_deal_form *wmk_deal_form_best(void);

/* wmk_x_deal (mark/x.h) by a form of choice. */
void wmk_x_deal_by(const wmk_deal_form *form, const wmk_key *key, uint64_t column, size_t count, uint16_t *deal);

#endif
