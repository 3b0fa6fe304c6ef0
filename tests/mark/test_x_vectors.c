/* Keys, sub-keys, b and X against the known answers in tests/mark/vectors. */
#include "cmocka_wmk.h"

#include "base/file.h"
#include "mark/vector_json.h"
#include <unistd.h>

#define VECTORS WMK_SOURCE_DIR "/tests/mark/vectors"

static void test_known_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < VECTOR_CASES; i++) {
        const vector_case *c = &vector_cases[i];
        char path[4096];
        snprintf(path, sizeof path, VECTORS "/%s.key", c->name);
        wmk_key *key;
        assert_ok(wmk_key_read(&key, path, c->passphrase, c->passphrase ? strlen(c->passphrase) : 0));

        json_t *found = vector_json(key, c);
        snprintf(path, sizeof path, VECTORS "/%s.json", c->name);
        json_t *expected = json_load_file(path, 0, NULL);
        assert_non_null(expected);
        const char *name;
        json_t *value;
        json_object_foreach(expected, name, value)
        {
            if (!json_equal(value, json_object_get(found, name))) fail_msg("%s: %s differs", c->name, name);
        }
        assert_int_equal(json_object_size(expected), json_object_size(found));
        json_decref(found);
        json_decref(expected);
        wmk_key_free(key);
    }
}

/* A plain key file is a function of the key: the bytes written today are those written then. */
static void test_file_bytes(void **state)
{
    (void)state;
    char folder[] = "/tmp/wmk-vectors-XXXXXX", path[4096], written[64];
    assert_non_null(mkdtemp(folder));
    snprintf(written, sizeof written, "%s/k", folder);
    for (size_t i = 0; i < VECTOR_CASES; i++) {
        const vector_case *c = &vector_cases[i];
        if (c->passphrase) continue;
        wmk_key *key;
        assert_ok(vector_key(&key, c));
        assert_ok(wmk_key_write(key, written, NULL, 0, true));
        wmk_key_free(key);
        snprintf(path, sizeof path, VECTORS "/%s.key", c->name);
        wmk_map a, b;
        assert_ok(wmk_map_open(&a, path));
        assert_ok(wmk_map_open(&b, written));
        assert_int_equal(a.size, b.size);
        assert_memory_equal(a.data, b.data, a.size);
        wmk_map_close(&a);
        wmk_map_close(&b);
    }
    unlink(written);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_known_answers), cmocka_unit_test(test_file_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
