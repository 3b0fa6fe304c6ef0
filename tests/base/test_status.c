/* The status and its message: words, bounds, threads, hostile text. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "base/status.h"
#include "cmocka_wmk.h"

static void names_are_fixed(void **state)
{
    (void)state;
    assert_string_equal(wmk_status_name(WMK_OK), "ok");
    assert_string_equal(wmk_status_name(WMK_ERROR_SECRET), "secret");
    assert_string_equal(wmk_status_name(WMK_ERROR_INTERNAL), "internal");
    assert_string_equal(wmk_status_name((wmk_status)13), "unknown");
    assert_string_equal(wmk_status_name((wmk_status)-1), "unknown");
}

static void version_agrees_with_the_header(void **state)
{
    (void)state;
    char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", WMK_VERSION_MAJOR, WMK_VERSION_MINOR, WMK_VERSION_PATCH);
    assert_string_equal(wmk_version(), text);
    assert_string_equal(wmk_version(), WMK_PROJECT_VERSION);
}

static void message_is_one_printable_line(void **state)
{
    (void)state;
    assert_int_equal(wmk_fail(WMK_ERROR_INPUT, "tensor \"%s\"", "a\n\x1b[31mb\x7f\xc3\xa9"), WMK_ERROR_INPUT);
    assert_string_equal(wmk_error_message(), "tensor \"a??[31mb?\xc3\xa9\"");
    wmk_fail(WMK_ERROR_INPUT, "%s",
             "a\xc2\x9b"
             "2Jb\xc2\xa0\x9b\xe2\x82"); /* CSI as one character; a space that is none; no UTF-8 */
    assert_string_equal(wmk_error_message(), "a??2Jb\xc2\xa0???");
    char longer[4096];
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = 0;
    wmk_fail(WMK_ERROR_INPUT, "%s", longer);
    assert_int_equal(strlen(wmk_error_message()), 1023);
    wmk_fail_within(WMK_ERROR_INPUT, "%s", longer);
    assert_int_equal(strlen(wmk_error_message()), 1023);
    memcpy(longer + 1021, "\xe2\x82\xac", 3); /* a character of which the last byte has no room */
    wmk_fail(WMK_ERROR_INPUT, "%s", longer);
    assert_string_equal(wmk_error_message() + 1020, "x??");
}

static void the_present_message_may_be_an_argument(void **state)
{
    (void)state;
    wmk_fail(WMK_ERROR_INPUT, "inner");
    wmk_fail(WMK_ERROR_INPUT, "outer of %s", wmk_error_message());
    assert_string_equal(wmk_error_message(), "outer of inner");
    assert_int_equal(wmk_fail_within(WMK_ERROR_MISMATCH, "%s", "file"), WMK_ERROR_MISMATCH);
    assert_string_equal(wmk_error_message(), "file: outer of inner");
}

static void errno_becomes_a_status(void **state)
{
    (void)state;
    errno = ENOENT;
    assert_int_equal(wmk_fail_errno("a"), WMK_ERROR_MISSING);
    assert_string_equal(wmk_error_message(), "a: No such file or directory");
    errno = ENOSPC;
    assert_int_equal(wmk_fail_errno("b"), WMK_ERROR_SYSTEM);
    errno = ENOMEM;
    assert_int_equal(wmk_fail_errno("c"), WMK_ERROR_MEMORY);
    errno = EEXIST;
    assert_int_equal(wmk_fail_errno("d"), WMK_ERROR_EXISTS);
}

static void *other_thread(void *seen)
{
    strcpy(seen, wmk_error_message());
    wmk_fail(WMK_ERROR_INPUT, "theirs");
    return NULL;
}

static void every_thread_has_its_own(void **state)
{
    (void)state;
    char seen[64] = "not set";
    pthread_t thread;
    wmk_fail(WMK_ERROR_INPUT, "mine");
    assert_int_equal(pthread_create(&thread, NULL, other_thread, seen), 0);
    pthread_join(thread, NULL);
    assert_string_equal(seen, "");
    assert_string_equal(wmk_error_message(), "mine");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_fixed),
        cmocka_unit_test(version_agrees_with_the_header),
        cmocka_unit_test(message_is_one_printable_line),
        cmocka_unit_test(the_present_message_may_be_an_argument),
        cmocka_unit_test(errno_becomes_a_status),
        cmocka_unit_test(every_thread_has_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
