/* tests/cmocka_wmk.h - cmocka with its prerequisites, and checks on a status and its message. */
#ifndef WMK_TESTS_CMOCKA_WMK_H
#define WMK_TESTS_CMOCKA_WMK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <weightmark/base.h>

/* The call succeeds; otherwise the test fails with the library's message. */
#define assert_ok(call)                                                                                                                              \
    do {                                                                                                                                             \
        wmk_status assert_status_ = (call);                                                                                                          \
        if (assert_status_ != WMK_OK) fail_msg("%s: %s: %s", #call, wmk_status_name(assert_status_), wmk_error_message());                           \
    } while (0)

/* The call fails with `expected`, and its message holds `text`. */
#define assert_fails(call, expected, text)                                                                                                           \
    do {                                                                                                                                             \
        wmk_status assert_status_ = (call);                                                                                                          \
        if (assert_status_ != (expected)) fail_msg("%s: status %s, not %s", #call, wmk_status_name(assert_status_), wmk_status_name(expected));      \
        if (!strstr(wmk_error_message(), (text))) fail_msg("%s: message \"%s\" lacks \"%s\"", #call, wmk_error_message(), (text));                   \
    } while (0)

#endif
