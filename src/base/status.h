/* base/status.h - how library code reports a failure. */
#ifndef WMK_BASE_STATUS_H
#define WMK_BASE_STATUS_H

#include <weightmark/base.h>

/* Not for users, but the training library calls these in the core one. */
#pragma GCC visibility push(default)

/* A status that is a failure: compilers and analysers then know that what a failed call leaves unset is not used. */
static inline wmk_status wmk_failed(wmk_status status) { return status == WMK_OK ? WMK_ERROR_INTERNAL : status; }

/* wmk_fail(status, format, ...) sets this thread's message and gives `status`, so that a failing check is one line:
 *     if (count > limit) return wmk_fail(WMK_ERROR_INPUT, "%s: header of %zu bytes, at most %zu are allowed", path, ...);
 * Name what, where and which rule. Control characters in the result are replaced by '?', so hostile names are safe to print. */
#define wmk_fail(status, ...) wmk_failed((wmk_set_message(__VA_ARGS__), (status)))
__attribute__((format(printf, 1, 2))) void wmk_set_message(const char *format, ...);

/* wmk_fail_errno(format, ...): wmk_fail(WMK_ERROR_SYSTEM, "<format>: <strerror(errno)>"); ENOENT and ENOTDIR become WMK_ERROR_MISSING, ENOMEM
 * WMK_ERROR_MEMORY, EEXIST WMK_ERROR_EXISTS. */
#define wmk_fail_errno(...) wmk_failed(wmk_set_message_errno(__VA_ARGS__))
__attribute__((format(printf, 1, 2))) wmk_status wmk_set_message_errno(const char *format, ...);

/* WMK_ERROR_MEMORY with a message that says how much was asked for. */
#define wmk_fail_memory(bytes) wmk_fail(WMK_ERROR_MEMORY, "out of memory: %zu bytes were refused", (size_t)(bytes))

/* wmk_fail_within(status, format, ...) puts "<format>: " before the present message, after "not supported: " where it begins so: for callers who know which file or key it was about. */
#define wmk_fail_within(status, ...) wmk_failed(wmk_set_message_within(status, __VA_ARGS__))
__attribute__((format(printf, 2, 3))) wmk_status wmk_set_message_within(wmk_status status, const char *format, ...);

/* Replaces by '?' what could drive a terminal, C1 controls (U+0080 to U+009F) included, and what is
 * not UTF-8, such as a character that was cut in two at the end of the buffer. */
void wmk_make_printable(char *text);

/* Leaves the function with the status of a call that failed. */
#define WMK_TRY(call)                                                                                                                                \
    do {                                                                                                                                             \
        wmk_status wmk_try_status_ = (call);                                                                                                         \
        if (wmk_try_status_ != WMK_OK) return wmk_try_status_;                                                                                       \
    } while (0)

/* The same where something must be released first: sets `status` and jumps to `label`. */
#define WMK_TRY_GOTO(status, call, label)                                                                                                            \
    do {                                                                                                                                             \
        (status) = (call);                                                                                                                           \
        if ((status) != WMK_OK) goto label;                                                                                                          \
    } while (0)

#pragma GCC visibility pop

#endif
