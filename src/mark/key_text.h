/* mark/key_text.h - what is done to a key file's text before a JSON parser sees it. */
#ifndef WMK_MARK_KEY_TEXT_H
#define WMK_MARK_KEY_TEXT_H

#include "mark/key.h"

#define WMK_SEED_DIGITS (2 * WMK_SEED_BYTES)

/* Moves the 64 digits after "seed": out of the text, leaving zeros: the JSON library copies strings into memory that nobody wipes, and its
 * allocator can be replaced only for the whole process, which a library must not do. False when the text has no such member. */
bool wmk_key_text_take_seed(char *text, size_t size, char digits[WMK_SEED_DIGITS]);

/* Bounds what a parser of this text can allocate: nesting, and number of values. INPUT. */
wmk_status wmk_key_text_check(const char *text, size_t size);

/* Exactly 2 * bytes lower-case hexadecimal digits. */
bool wmk_unhex(uint8_t *out, size_t bytes, const char *digits);

#endif
