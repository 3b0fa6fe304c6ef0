/* A build without libcrypto, made here by linking timestamp_absent.c in its place: keys keep their
 * stored time stamp, requests are written, checks are refused. */
#include "cmocka_wmk.h"

#include <stdlib.h>
#include <unistd.h>

#include "mark/key_file.h"
#include "mark/timestamp.h"

#define REFUSAL "not supported: this build has no time stamps (libcrypto)"

static void test_absent(void **state)
{
    (void)state;
    char id[WMK_KEY_ID_CHARS + 1], path[] = "/tmp/wmk-absent-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    const wmk_target target = {"conv", "OIHW", 4, {64, 16, 3, 3}};
    wmk_key_options options = WMK_KEY_OPTIONS_INIT;
    options.targets = &target;
    options.target_count = 1;
    wmk_key *key, *back;
    wmk_authorities *authorities = NULL;
    wmk_timestamp found;
    size_t bytes;
    assert_ok(wmk_key_create(&key, &options));
    assert_ok(wmk_alloc(&key->timestamp, 5, 1));
    memcpy(key->timestamp, "token", key->timestamp_bytes = 5);
    assert_ok(wmk_key_write(key, path, NULL, 0, true));
    assert_ok(wmk_key_read(&back, path, NULL, 0));
    assert_memory_equal(wmk_key_timestamp(back, &bytes), "token", 5);
    assert_int_equal(bytes, 5);
    assert_fails(wmk_authorities_read(&authorities, path), WMK_ERROR_UNSUPPORTED, REFUSAL);
    wmk_authorities_free(authorities);
    assert_fails(wmk_key_date(&found, back, NULL), WMK_ERROR_UNSUPPORTED, REFUSAL);
    assert_fails(wmk_key_file_stamp(&found, path, path, NULL, true), WMK_ERROR_UNSUPPORTED, "not supported: ");
    wmk_key_id(back, id);
    assert_ok(wmk_timestamp_request(id, path, true));
    wmk_key_free(key);
    wmk_key_free(back);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_absent)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
