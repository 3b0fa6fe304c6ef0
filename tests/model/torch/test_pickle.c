/* Pickles that Python wrote (make_reference.py), in every protocol, and the values they stand for. */
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "cmocka_wmk.h"
#include "model/format/pickle.h"

static bool all(const wmk_pickle *pickle, const wmk_pickle_value *global, const wmk_pickle_value *arguments)
{
    (void)pickle;
    (void)global;
    (void)arguments;
    return true;
}

static const wmk_pickle_value *item(const wmk_pickle *pickle, uint32_t id, uint32_t i)
{
    assert_true(i < pickle->value[id].count);
    return &pickle->value[pickle->value[id].item[i]];
}

/* VALUES of make_reference.py. Protocol 0 writes floats and bytes as lines, which are not read as such. */
static void check_values(int protocol)
{
    static const int64_t integers[] = {0, 255, 256, 65536, -1, INT32_MIN, 2147483648, INT64_MIN};
    wmk_pickle pickle;
    char path[256];
    unsigned char *bytes;
    size_t size, used;
    snprintf(path, sizeof path, "%s/tests/model/torch/values-%d.pickle", WMK_SOURCE_DIR, protocol);
    assert_ok(wmk_file_read(&bytes, &size, path, 1 << 16));
    assert_ok(wmk_pickle_read(&pickle, &used, bytes, size, all));
    assert_int_equal(used, size);
    uint32_t root = pickle.root;
    assert_int_equal(pickle.value[root].kind, WMK_PICKLE_LIST);
    assert_int_equal(pickle.value[root].count, 21);
    assert_int_equal(item(&pickle, root, 0)->kind, WMK_PICKLE_NONE);
    assert_int_equal(item(&pickle, root, 1)->kind, WMK_PICKLE_BOOL);
    assert_true(item(&pickle, root, 1)->integer == 1 && item(&pickle, root, 2)->integer == 0);
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(item(&pickle, root, 3 + i)->kind, WMK_PICKLE_INT);
        assert_true(item(&pickle, root, 3 + i)->integer == integers[i]);
    }
    assert_int_equal(item(&pickle, root, 11)->kind, WMK_PICKLE_OTHER);
    if (protocol > 0)
        assert_true(item(&pickle, root, 12)->real == 1.5 && item(&pickle, root, 13)->real == 0 && 1 / item(&pickle, root, 13)->real < 0);
    assert_true(wmk_pickle_is_text(item(&pickle, root, 14), "text") && !wmk_pickle_is_text(item(&pickle, root, 14), "tex"));
    assert_int_equal(item(&pickle, root, 16)->kind, WMK_PICKLE_TUPLE);
    assert_int_equal(item(&pickle, root, 16)->count, 0);
    assert_int_equal(item(&pickle, root, 18)->count, 4);
    assert_true(pickle.value[item(&pickle, root, 18)->item[3]].integer == 4);
    assert_true(pickle.value[wmk_pickle_get(&pickle, pickle.value[root].item[19], "a")].integer == 1);
    assert_int_equal(wmk_pickle_get(&pickle, pickle.value[root].item[19], "b"), 0);
    wmk_pickle_free(&pickle);
    free(bytes);
}

static void test_values(void **state)
{
    (void)state;
    for (int protocol = 0; protocol < 6; protocol++) check_values(protocol);
}

/* A call and an instance remember what and with what; what BUILD gave, and the items. */
static void test_objects(void **state)
{
    (void)state;
    static const char bytes[] = "\x80\x02"
                                "ca.b\nC\n(K\x01K\x02tR}X\x01\0\0\0sK\x03sb(X\x01\0\0\0kK\x04u(K\x05K\x06"
                                "e."
                                "the rest";
    wmk_pickle pickle;
    size_t used;
    assert_ok(wmk_pickle_read(&pickle, &used, bytes, sizeof bytes - 1, all));
    assert_int_equal(used, sizeof bytes - 1 - 8);
    const wmk_pickle_value *object = &pickle.value[pickle.root];
    assert_int_equal(object->kind, WMK_PICKLE_OBJECT);
    assert_true(wmk_pickle_is_global(&pickle.value[object->callee], "a.b", "C") && !wmk_pickle_is_global(&pickle.value[object->callee], "a", "C"));
    assert_true(item(&pickle, object->arguments, 1)->integer == 2);
    assert_true(pickle.value[wmk_pickle_get(&pickle, object->state, "s")].integer == 3);
    assert_true(pickle.value[wmk_pickle_get(&pickle, pickle.root, "k")].integer == 4);
    assert_int_equal(object->count, 6);
    assert_true(item(&pickle, pickle.root, 2)->integer == 1 && item(&pickle, pickle.root, 3)->integer == 5);
    assert_true(item(&pickle, pickle.root, 4)->integer == 2 && item(&pickle, pickle.root, 5)->integer == 6);
    wmk_pickle_free(&pickle);
}

static bool none(const wmk_pickle *pickle, const wmk_pickle_value *global, const wmk_pickle_value *arguments)
{
    return !all(pickle, global, arguments);
}

static void test_calls(void **state)
{
    (void)state;
    static const char bytes[] = "\x80\x02"
                                "ca.b\nC\n)R.";
    wmk_pickle pickle;
    size_t used;
    assert_fails(wmk_pickle_read(&pickle, &used, bytes, sizeof bytes - 1, none), WMK_ERROR_UNSUPPORTED,
                 "the pickle calls a.b.C; nothing was executed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_objects), cmocka_unit_test(test_calls)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
