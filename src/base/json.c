/* base/json.c - RFC 8259, no more and no less. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

static wmk_status fail(const wmk_json *json, const char *what)
{
    return wmk_fail(WMK_ERROR_INPUT, "not valid JSON at byte %zu: %s", (size_t)(json->at - json->begin), what);
}

static void skip_space(wmk_json *json)
{
    while (json->at < json->end && (*json->at == ' ' || *json->at == '\t' || *json->at == '\n' || *json->at == '\r')) json->at++;
}

bool wmk_json_accept(wmk_json *json, char c)
{
    skip_space(json);
    if (json->at == json->end || *json->at != (unsigned char)c) return false;
    json->at++;
    return true;
}

wmk_status wmk_json_expect(wmk_json *json, char c)
{
    if (wmk_json_accept(json, c)) return WMK_OK;
    char what[] = "expected '?'";
    what[10] = c;
    return fail(json, what);
}

static bool accept_word(wmk_json *json, const char *word)
{
    size_t size = strlen(word);
    skip_space(json);
    if ((size_t)(json->end - json->at) < size || memcmp(json->at, word, size) != 0) return false;
    json->at += size;
    return true;
}

bool wmk_json_accept_null(wmk_json *json) { return accept_word(json, "null"); }

size_t wmk_utf8_length(const unsigned char *at, const unsigned char *end)
{
    /* RFC 3629, section 4: the range of the second byte depends on the first. */
    unsigned char first = *at, low = 0x80, high = 0xbf;
    size_t size;
    if (first < 0x80) return 1;
    if (first < 0xc2 || first > 0xf4) return 0;
    size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first == 0xe0) low = 0xa0;
    if (first == 0xed) high = 0x9f;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;
    if ((size_t)(end - at) < size || at[1] < low || at[1] > high) return 0;
    for (size_t i = 2; i < size; i++)
        if ((at[i] & 0xc0) != 0x80) return 0;
    return size;
}

/* Four hexadecimal digits at `at`; -1 when they are not there. */
static int32_t hex4(const wmk_json *json, const unsigned char *at)
{
    int32_t value = 0;
    if (json->end - at < 4) return -1;
    for (int i = 0; i < 4; i++) {
        unsigned char c = at[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

static char *put_utf8(char *out, uint32_t code)
{
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xc0 | code >> 6);
        *out++ = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *out++ = (char)(0xe0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 0x3f));
        *out++ = (char)(0x80 | (code & 0x3f));
    } else {
        *out++ = (char)(0xf0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 0x3f));
        *out++ = (char)(0x80 | (code >> 6 & 0x3f));
        *out++ = (char)(0x80 | (code & 0x3f));
    }
    return out;
}

/* What follows a backslash; json->at is on it. */
static wmk_status escape(wmk_json *json, char **out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    unsigned char c = *json->at;
    const char *place = c ? strchr(from, c) : NULL;
    if (place) {
        *(*out)++ = to[place - from];
        json->at++;
        return WMK_OK;
    }
    int32_t code = c == 'u' ? hex4(json, json->at + 1) : -1;
    if (code < 0) return fail(json, "unknown escape in a string");
    json->at += 5;
    if (code >= 0xdc00 && code <= 0xdfff) return fail(json, "half of a surrogate pair in a string");
    if (code >= 0xd800 && code <= 0xdbff) {
        int32_t low = json->end - json->at >= 6 && json->at[0] == '\\' && json->at[1] == 'u' ? hex4(json, json->at + 2) : -1;
        if (low < 0xdc00 || low > 0xdfff) return fail(json, "half of a surrogate pair in a string");
        json->at += 6;
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    *out = put_utf8(*out, (uint32_t)code);
    return WMK_OK;
}

wmk_status wmk_json_string(wmk_json *json, const char **text, size_t *size)
{
    char *out = json->text;
    if (!wmk_json_accept(json, '"')) return fail(json, "expected a string");
    for (;;) {
        if (json->at == json->end) return fail(json, "string without an end");
        unsigned char c = *json->at;
        if (c == '"') break;
        if (c < 0x20) return fail(json, "control character in a string");
        if (c == '\\') {
            json->at++;
            if (json->at == json->end) return fail(json, "string without an end");
            WMK_TRY(escape(json, &out));
            continue;
        }
        size_t length = wmk_utf8_length(json->at, json->end);
        if (length == 0) return fail(json, "not UTF-8");
        memcpy(out, json->at, length);
        out += length;
        json->at += length;
    }
    json->at++;
    *text = json->text;
    *size = (size_t)(out - json->text);
    *out++ = '\0';
    json->text = out;
    return WMK_OK;
}

static bool is_digit(const wmk_json *json) { return json->at < json->end && *json->at >= '0' && *json->at <= '9'; }

wmk_status wmk_json_u64(wmk_json *json, uint64_t *out)
{
    uint64_t value = 0;
    skip_space(json);
    if (!is_digit(json)) return fail(json, "expected a whole number");
    if (*json->at == '0' && json->end - json->at > 1 && json->at[1] >= '0' && json->at[1] <= '9') return fail(json, "number with a leading zero");
    for (; is_digit(json); json->at++) {
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, (uint64_t)(*json->at - '0'), &value))
            return fail(json, "number of 2^64 or more");
    }
    if (json->at < json->end && (*json->at == '.' || *json->at == 'e' || *json->at == 'E')) return fail(json, "expected a whole number");
    *out = value;
    return WMK_OK;
}

/* int frac exp of RFC 8259, section 6. */
static wmk_status skip_number(wmk_json *json)
{
    if (*json->at == '-') json->at++;
    if (!is_digit(json)) return fail(json, "expected a value");
    if (*json->at == '0')
        json->at++;
    else
        while (is_digit(json)) json->at++;
    if (json->at < json->end && *json->at == '.') {
        json->at++;
        if (!is_digit(json)) return fail(json, "number without digits after the point");
        while (is_digit(json)) json->at++;
    }
    if (json->at < json->end && (*json->at == 'e' || *json->at == 'E')) {
        json->at++;
        if (json->at < json->end && (*json->at == '+' || *json->at == '-')) json->at++;
        if (!is_digit(json)) return fail(json, "number without an exponent");
        while (is_digit(json)) json->at++;
    }
    return WMK_OK;
}

static wmk_status skip(wmk_json *json, unsigned depth)
{
    char *text = json->text; /* what is passed over need not be kept */
    const char *string;
    size_t size;
    if (depth > WMK_JSON_DEPTH_MAX) return fail(json, "nested too deeply");
    skip_space(json);
    if (json->at == json->end) return fail(json, "expected a value");
    bool object = *json->at == '{';
    if (object || *json->at == '[') {
        char close = object ? '}' : ']';
        json->at++;
        if (wmk_json_accept(json, close)) return WMK_OK;
        do {
            if (object) {
                WMK_TRY(wmk_json_string(json, &string, &size));
                json->text = text;
                WMK_TRY(wmk_json_expect(json, ':'));
            }
            WMK_TRY(skip(json, depth + 1));
        } while (wmk_json_accept(json, ','));
        return wmk_json_expect(json, close);
    }
    if (*json->at == '"') {
        WMK_TRY(wmk_json_string(json, &string, &size));
        json->text = text;
        return WMK_OK;
    }
    if (accept_word(json, "true") || accept_word(json, "false") || accept_word(json, "null")) return WMK_OK;
    return skip_number(json);
}

wmk_status wmk_json_skip(wmk_json *json) { return skip(json, 1); }

wmk_status wmk_json_end(wmk_json *json)
{
    skip_space(json);
    return json->at == json->end ? WMK_OK : fail(json, "something after the end");
}
