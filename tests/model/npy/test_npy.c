/* NumPy's arrays and archives: values, packed arrays, and patched copies of files that numpy wrote (make_reference.py). */
#include <stdlib.h>
#include <unistd.h>

#include "base/convert.h"
#include "base/file.h"
#include "cmocka_wmk.h"
#include "model/format/zip.h"
#include "model/model.h"

#define FOLDER WMK_SOURCE_DIR "/tests/model/npy/"

enum { COUNT = 24 };

static size_t index_of(const wmk_model *model, const char *name)
{
    const wmk_model_tensor *tensor = wmk_model_find(model, name);
    assert_non_null(tensor);
    return (size_t)(tensor - wmk_model_tensor_at(model, 0));
}

/* Element i of every float array is i / 8 in row-major order, times `factor`; read whole, and from every element on. */
static void check_values(const wmk_model *model, const char *name, double factor)
{
    size_t index = index_of(model, name);
    const wmk_model_tensor *tensor = wmk_model_tensor_at(model, index);
    wmk_tensor_view view = tensor->view;
    double values[COUNT];
    void *bytes = NULL;
    assert_int_equal(view.rank, 3);
    assert_true(view.shape[0] == 2 && view.shape[1] == 3 && view.shape[2] == 4);
    assert_string_equal(view.layout, "OIW");
    assert_true(tensor->packed == (view.data == NULL));
    if (tensor->packed) {
        assert_ok(wmk_model_unpack(&bytes, model, index));
        view.data = bytes;
    }
    for (size_t begin = 0; begin < COUNT; begin++) {
        wmk_tensor_read(&view, begin, COUNT - begin, values);
        for (size_t i = begin; i < COUNT; i++) assert_true(values[i - begin] == factor * (double)i / 8);
    }
    free(bytes);
}

static void test_array(void **state)
{
    (void)state;
    wmk_model *model;
    unsigned char *bytes;
    size_t size;
    assert_ok(wmk_model_open(&model, FOLDER "reference.npy"));
    assert_string_equal(wmk_model_format(model), "npy");
    assert_int_equal(wmk_model_tensor_count(model), 1);
    check_values(model, "arr_0", 1); /* whatever the file is called */
    assert_string_equal(wmk_model_tensor_at(model, 0)->alias, "reference");
    wmk_model_close(model);
    assert_ok(wmk_file_read(&bytes, &size, FOLDER "reference.npy", 1 << 20));
    assert_ok(wmk_model_open_bytes(&model, bytes, size, "folder/\xff.npy")); /* no UTF-8 */
    assert_null(wmk_model_tensor_at(model, 0)->alias);
    wmk_model_close(model);
    free(bytes);
}

static void check_archive(const char *path, bool packed, double big, double fortran)
{
    static const char *const names[] = {"plain", "fortran", "big", "both", "steps"};
    wmk_model *model;
    assert_ok(wmk_model_open(&model, path));
    assert_string_equal(wmk_model_format(model), "npz");
    assert_int_equal(wmk_model_tensor_count(model), 5);
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(wmk_model_tensor_at(model, i)->view.name, names[i]);
        assert_true(wmk_model_tensor_at(model, i)->packed == packed);
    }
    check_values(model, "plain", 1);
    check_values(model, "fortran", fortran);
    check_values(model, "big", big);
    check_values(model, "both", 1);
    assert_int_equal(wmk_model_find(model, "steps")->view.dtype, WMK_I64);
    assert_false(wmk_tensor_is_readable(&wmk_model_find(model, "steps")->view));
    wmk_model_close(model);
}

static void test_archives(void **state)
{
    (void)state;
    check_archive(FOLDER "stored.npz", false, 1, 1);
    check_archive(FOLDER "deflated.npz", true, 1, 1);
}

static void scale(wmk_patch *patch, const wmk_model *model, const char *name, double factor)
{
    size_t index = index_of(model, name);
    wmk_tensor_view view = wmk_model_tensor_at(model, index)->view;
    double values[COUNT];
    void *data;
    assert_ok(wmk_patch_data(patch, index, &data));
    view.data = data;
    wmk_tensor_read(&view, 0, COUNT, values);
    for (size_t i = 0; i < COUNT; i++) values[i] *= factor;
    for (size_t i = 0; i < COUNT; i += 5) wmk_tensor_write(&view, data, i, i + 5 < COUNT ? 5 : COUNT - i, values + i); /* in parts */
}

/* Every member's content is as its checksum says. */
static void check_sums(const char *path)
{
    wmk_map map;
    wmk_zip zip;
    assert_ok(wmk_map_open(&map, path));
    assert_ok(wmk_zip_open(&zip, &map));
    for (size_t i = 0; i < zip.count; i++) {
        void *bytes = malloc(zip.member[i].bytes);
        assert_ok(wmk_zip_read(bytes, &zip.member[i], &map));
        free(bytes);
    }
    wmk_zip_close(&zip);
    wmk_map_close(&map);
}

static void check_patch(const char *from, bool packed)
{
    char path[] = "/tmp/wmk-test-npy-XXXXXX";
    wmk_model *model;
    wmk_patch *patch;
    close(mkstemp(path));
    assert_ok(wmk_model_open(&model, from));
    assert_ok(wmk_patch_begin(&patch, model, path, true));
    scale(patch, model, "big", -2);
    scale(patch, model, "fortran", 3);
    assert_ok(wmk_patch_commit(patch));
    wmk_model_close(model);
    check_archive(path, packed, -2, 3);
    check_archive(from, packed, 1, 1);
    check_sums(path);
    unlink(path);
}

static void test_patch_stored(void **state)
{
    (void)state;
    check_patch(FOLDER "stored.npz", false);
}

static void test_patch_deflated(void **state)
{
    (void)state;
    check_patch(FOLDER "deflated.npz", true);
}

/* A compressed array is only looked into when it is asked for: damage behind its head shows then. */
static void test_damage(void **state)
{
    (void)state;
    unsigned char *bytes;
    size_t size, damaged = 0;
    assert_ok(wmk_file_read(&bytes, &size, FOLDER "deflated.npz", 1 << 20));
    for (size_t at = 0; at < size; at++) {
        wmk_model *model = NULL;
        bytes[at] ^= 0x10;
        if (wmk_model_open_bytes(&model, bytes, size, "damaged.npz") == WMK_OK) {
            for (size_t i = 0; i < wmk_model_tensor_count(model); i++) {
                void *unpacked;
                wmk_status status = wmk_model_unpack(&unpacked, model, i);
                if (status == WMK_OK) {
                    free(unpacked);
                    continue;
                }
                assert_int_equal(status, WMK_ERROR_INPUT);
                assert_non_null(strstr(wmk_error_message(), "damaged"));
                assert_non_null(strstr(wmk_error_message(), wmk_model_tensor_at(model, i)->view.name));
                damaged++;
            }
        }
        wmk_model_close(model);
        bytes[at] ^= 0x10;
    }
    assert_true(damaged > 100);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_array),          cmocka_unit_test(test_archives), cmocka_unit_test(test_patch_stored),
        cmocka_unit_test(test_patch_deflated), cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
