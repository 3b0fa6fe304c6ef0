#include "mark/key_text.h"
#include <string.h>

#define DEPTH_MAX 4                             /* object, targets, target, shape */
#define VALUES_MAX (16u * WMK_TARGETS_MAX + 64) /* a target is at most 12 values with their commas and brackets */

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

bool wmk_unhex(uint8_t *out, size_t bytes, const char *digits)
{
    for (size_t i = 0; i < 2 * bytes; i++) {
        char c = digits[i];
        unsigned v = c >= '0' && c <= '9' ? (unsigned)(c - '0') : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
        if (v > 15) return false;
        out[i / 2] = (uint8_t)(i % 2 ? out[i / 2] | v : v << 4);
    }
    return true;
}

/* In JSON, "seed" with both quotes and no backslash before is a whole string; with a colon after it, a member's name. */
bool wmk_key_text_take_seed(char *text, size_t size, char digits[WMK_SEED_DIGITS])
{
    static const char name[] = "\"seed\"";
    const size_t name_size = sizeof name - 1;
    const char *end = text + size;
    for (char *at = text; (at = memmem(at, (size_t)(end - at), name, name_size)); at += name_size) {
        if (at > text && at[-1] == '\\') continue;
        char *p = at + name_size;
        while (p < end && is_space(*p)) p++;
        if (p == end || *p++ != ':') continue;
        while (p < end && is_space(*p)) p++;
        if (p == end || *p++ != '"' || (size_t)(end - p) < WMK_SEED_DIGITS + 1 || p[WMK_SEED_DIGITS] != '"') continue;
        memcpy(digits, p, WMK_SEED_DIGITS);
        memset(p, '0', WMK_SEED_DIGITS);
        return true;
    }
    return false;
}

wmk_status wmk_key_text_check(const char *text, size_t size)
{
    size_t depth = 0, values = 0;
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            values++;
            if (++depth > DEPTH_MAX) return wmk_fail(WMK_ERROR_INPUT, "not a weightmark key: nested deeper than %d", DEPTH_MAX);
        } else if (c == ']' || c == '}') {
            if (depth) depth--;
        } else if (c == ',') {
            values++;
        }
        if (values > VALUES_MAX) return wmk_fail(WMK_ERROR_INPUT, "not a weightmark key: more than %u values", VALUES_MAX);
    }
    return WMK_OK;
}
