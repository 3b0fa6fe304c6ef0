/* base/status.c - the status of a call and its message, one message a thread. */
#include "base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

enum { MESSAGE_BYTES = 1024 };
static _Thread_local char message[MESSAGE_BYTES];

const char *wmk_error_message(void) { return message; }

const char *wmk_status_name(wmk_status status)
{
    static const char *const names[] = {"ok",     "argument", "input",  "missing",     "mismatch", "unsupported", "secret",
                                        "exists", "memory",   "system", "interrupted", "numeric",  "internal"};
    unsigned index = (unsigned)status;
    return index < sizeof names / sizeof names[0] ? names[index] : "unknown";
}

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
const char *wmk_version(void) { return TEXT(WMK_VERSION_MAJOR) "." TEXT(WMK_VERSION_MINOR) "." TEXT(WMK_VERSION_PATCH); }

void wmk_make_printable(char *text)
{
    const unsigned char *end = (const unsigned char *)text + strlen(text);
    for (unsigned char *at = (unsigned char *)text; at < end;) {
        size_t length = wmk_utf8_length(at, end);
        bool control = *at < ' ' || *at == 127 || (*at == 0xc2 && at[1] < 0xa0);
        if (length == 0 || control) *at = '?', length = 1;
        at += length;
    }
}

/* The text is formatted aside first: an argument may be the present message. */
static void set_from(const char *format, va_list arguments)
{
    char text[MESSAGE_BYTES];
    if (vsnprintf(text, sizeof text, format, arguments) < 0) text[0] = '\0'; /* NOLINT(clang-analyzer-valist.Uninitialized): every caller starts it */
    wmk_make_printable(text);
    memcpy(message, text, sizeof text);
}

void wmk_set_message(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    set_from(format, arguments);
    va_end(arguments);
}

static void append_message(const char *suffix)
{
    size_t length = strlen(message);
    snprintf(message + length, sizeof message - length, ": %s", suffix);
    wmk_make_printable(message);
}

wmk_status wmk_set_message_errno(const char *format, ...)
{
    int error = errno;
    char reason[128];
    va_list arguments;
    va_start(arguments, format);
    set_from(format, arguments);
    va_end(arguments);
    append_message(strerror_r(error, reason, sizeof reason));
    switch (error) {
    case ENOENT:
    case ENOTDIR:
        return WMK_ERROR_MISSING;
    case ENOMEM:
        return WMK_ERROR_MEMORY;
    case EEXIST:
        return WMK_ERROR_EXISTS;
    default:
        return WMK_ERROR_SYSTEM;
    }
}

wmk_status wmk_set_message_within(wmk_status status, const char *format, ...)
{
    static const char begin[] = "not supported: "; /* which stays in front */
    enum { BEGIN = sizeof begin - 1 };
    char inner[MESSAGE_BYTES];
    bool refusal = strncmp(message, begin, BEGIN) == 0;
    memcpy(inner, message, sizeof inner);
    va_list arguments;
    va_start(arguments, format);
    set_from(format, arguments);
    va_end(arguments);
    append_message(refusal ? inner + BEGIN : inner);
    if (refusal) {
        memmove(message + BEGIN, message, MESSAGE_BYTES - BEGIN - 1);
        memcpy(message, begin, BEGIN);
        wmk_make_printable(message);
    }
    return status;
}
