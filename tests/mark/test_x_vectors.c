/* Keys, sub-keys, b and X against the known answers in tests/mark/vectors. */
#include "cmocka_wmk.h"

#include "base/file.h"
#include "mark/vector_models.h"
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

/* Numbers to 1e-9 of the largest of their list, all else as it stands. */
static void assert_alike(const char *name, const json_t *expected, const json_t *found)
{
    size_t i;
    json_t *value;
    double largest = 0;
    if (!json_is_array(expected) || !json_is_real(json_array_get(expected, 0))) {
        if (!json_equal(expected, found)) fail_msg("%s differs", name);
        return;
    }
    assert_int_equal(json_array_size(expected), json_array_size(found));
    json_array_foreach(expected, i, value) largest = fmax(largest, fabs(json_number_value(value)));
    json_array_foreach(expected, i, value)
    {
        double a = json_number_value(value), b = json_number_value(json_array_get(found, i));
        if (fabs(a - b) > 1e-9 * largest) fail_msg("%s[%zu]: %.17g, not %.17g", name, i, b, a);
    }
}

static json_t *load(const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, VECTORS "/%s", name);
    json_t *cases = json_load_file(path, 0, NULL);
    assert_non_null(cases);
    assert_true(json_array_size(cases) > 0);
    return cases;
}

static void test_originals(void **state)
{
    (void)state;
    size_t i, k;
    json_t *expected = load("original.json"), *found = json_deep_copy(expected), *one, *other;
    json_array_foreach(found, i, one)
    {
        json_t *known = json_array_get(expected, i);
        json_object_del(one, "original");
        vector_original_answer(one);
        const char *name = json_string_value(member(one, "name")), *like = json_string_value(json_object_get(one, "like"));
        assert_alike(name, member(known, "original"), member(one, "original"));
        json_array_foreach(expected, k, other)
        {
            const char *its_like = json_string_value(json_object_get(other, "like")), *its_name = json_string_value(member(other, "name"));
            bool same = strcmp(like ? like : name, its_like ? its_like : its_name) == 0;
            assert_int_equal(same, json_equal(member(known, "original"), member(other, "original")));
        }
    }
    json_decref(expected);
    json_decref(found);
}

static void test_balanced(void **state)
{
    (void)state;
    size_t i, t;
    json_t *expected = load("balanced.json"), *one, *factors;
    json_array_foreach(expected, i, one)
    {
        json_t *found = json_deep_copy(one);
        json_object_del(found, "y");
        json_object_del(found, "factors");
        vector_balanced_answer(found, VECTORS);
        assert_alike("y", member(one, "y"), member(found, "y"));
        json_array_foreach(member(one, "factors"), t, factors)
        {
            static const char *const names[] = {"none", "a", "r", "c"};
            for (int k = 0; k < 4 && !json_is_null(factors); k++)
                assert_alike(names[k], member(factors, names[k]), member(json_array_get(member(found, "factors"), t), names[k]));
        }
        json_decref(found);
    }
    json_decref(expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_known_answers), cmocka_unit_test(test_file_bytes), cmocka_unit_test(test_originals),
                                       cmocka_unit_test(test_balanced)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
