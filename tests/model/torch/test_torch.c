/* Files that PyTorch wrote (make_reference.py), whose values are known: element i of tensor k, row-major, is 100 k + i. They are read, changed in a copy, and cut. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/convert.h"
#include "base/file.h"
#include "cmocka_wmk.h"
#include "model/format/zip.h"
#include "model/model.h"
#include "model/patch.h"

#define FOLDER WMK_SOURCE_DIR "/tests/model/torch/"

enum { VALUES_MAX = 64 };

typedef struct known {
    const char *name;
    double first, step;
    wmk_dtype dtype;
    uint32_t rank;
    uint64_t shape[4];
    bool readable, writable;
    const char *codec; /* NULL: none */
} known;

static const known reference[] = {
    {"model.plain", 0, 1, WMK_F32, 2, {2, 3}, true, true, NULL},
    {"model.half", 100, 1, WMK_F16, 1, {5}, true, true, NULL},
    {"model.last", 200, 1, WMK_F32, 4, {2, 3, 2, 2}, true, true, "strided"},
    {"list.0", 300, 1, WMK_F32, 2, {4, 3}, true, true, "strided"},
    {"list.1.0", 400, 1, WMK_F32, 2, {2, 2}, true, true, "strided"},
    {"repeated", 500, 0, WMK_F32, 1, {3}, true, false, "strided"},
    {"double", 600, 1, WMK_F64, 1, {3}, true, true, NULL},
    {"bfloat", 100, 1, WMK_BF16, 2, {2, 2}, true, true, "strided"},
    {"integers", 800, 1, WMK_I64, 1, {2}, false, false, NULL},
    {"quantised", 0, 1, WMK_I8, 2, {3, 4}, true, true, "scaled integers"},
};
enum { KNOWN = sizeof reference / sizeof reference[0] };

static const char *const files[] = {FOLDER "reference.pt", FOLDER "packed.pt", FOLDER "legacy.pt"};
enum { FILES = 3, PACKED = 1, LEGACY = 2 };

static size_t count_of(const known *k)
{
    size_t count = 1;
    for (uint32_t axis = 0; axis < k->rank; axis++) count *= k->shape[axis];
    return count;
}

/* The values of tensor `index`, unpacked where it is packed. */
static void values_of(const wmk_model *model, size_t index, double *values)
{
    wmk_tensor_view view = wmk_model_tensor_at(model, index)->view;
    void *bytes = NULL;
    if (wmk_model_tensor_at(model, index)->packed) {
        assert_ok(wmk_model_unpack(&bytes, model, index));
        view.data = bytes;
    }
    assert_ok(wmk_tensor_values(&view, values));
    free(bytes);
}

static void check_tensor(const wmk_model *model, size_t index, bool packed)
{
    const known *k = &reference[index];
    const wmk_model_tensor *tensor = wmk_model_tensor_at(model, index);
    double values[VALUES_MAX];
    assert_string_equal(tensor->view.name, k->name);
    assert_int_equal(tensor->view.dtype, k->dtype);
    assert_int_equal(tensor->view.rank, k->rank);
    assert_memory_equal(tensor->view.shape, k->shape, k->rank * sizeof k->shape[0]);
    assert_int_equal(tensor->packed, packed);
    assert_int_equal(wmk_tensor_is_readable(&tensor->view), k->readable);
    assert_int_equal(wmk_tensor_is_writable(&tensor->view), k->writable);
    if (k->codec)
        assert_string_equal(tensor->view.codec->name, k->codec);
    else
        assert_null(tensor->view.codec);
    if (!k->readable) return;
    values_of(model, index, values);
    for (size_t i = 0; i < count_of(k); i++) assert_true(values[i] == k->first + k->step * (double)i);
}

static void test_read(void **state)
{
    (void)state;
    for (int f = 0; f < FILES; f++) {
        wmk_model *model;
        assert_ok(wmk_model_open(&model, files[f]));
        assert_string_equal(wmk_model_format(model), f == LEGACY ? "pytorch-legacy" : "pytorch");
        assert_string_equal(wmk_model_metadata(model, "framework"), "pytorch");
        assert_int_equal(wmk_model_tensor_count(model), KNOWN);
        for (size_t i = 0; i < KNOWN; i++) check_tensor(model, i, f == PACKED);
        wmk_model_close(model);
    }
}

/* Parts of a tensor are what the whole has there. */
static void test_parts(void **state)
{
    (void)state;
    wmk_model *model;
    assert_ok(wmk_model_open(&model, files[0]));
    for (size_t t = 0; t < KNOWN; t++) {
        const known *k = &reference[t];
        for (size_t from = 0; k->readable && from < count_of(k); from++) {
            for (size_t count = 1; count <= count_of(k) - from; count++) {
                double values[VALUES_MAX] = {0};
                wmk_tensor_read(&wmk_model_tensor_at(model, t)->view, from, count, values);
                for (size_t i = 0; i < count; i++) assert_true(values[i] == k->first + k->step * (double)(from + i));
                assert_true(values[count] == 0);
            }
        }
    }
    wmk_model_close(model);
}

/* A new value for each element that its type holds exactly. */
static double changed(size_t tensor, size_t element) { return tensor == KNOWN - 1 ? (double)(11 - element) : (double)(element * 2) - 8; }

/* Every archive member has the checksum that the directory gives. */
static void check_checksums(const char *path)
{
    wmk_map map;
    wmk_zip zip;
    unsigned char bytes[4096];
    assert_ok(wmk_map_open(&map, path));
    assert_ok(wmk_zip_open(&zip, &map));
    for (size_t i = 0; i < zip.count; i++) {
        assert_true(zip.member[i].bytes <= sizeof bytes);
        assert_ok(wmk_zip_read(bytes, &zip.member[i], &map));
    }
    wmk_zip_close(&zip);
    wmk_map_close(&map);
}

static void change_tensor(wmk_patch *patch, const wmk_model *model, size_t index)
{
    wmk_tensor_view view = wmk_model_tensor_at(model, index)->view;
    double values[VALUES_MAX];
    void *data;
    for (size_t i = 0; i < count_of(&reference[index]); i++) values[i] = changed(index, i);
    assert_ok(wmk_patch_data(patch, index, &data));
    view.data = data;
    wmk_tensor_write(&view, data, 0, count_of(&reference[index]), values);
}

/* Each subset by every other bit: what is in it has the new values, the rest the old ones. */
static void check_change(const char *path, const char *source, unsigned subset, bool archive)
{
    wmk_model *model;
    wmk_patch *patch;
    assert_ok(wmk_model_open(&model, source));
    assert_ok(wmk_patch_begin(&patch, model, path, true));
    for (size_t i = 0; i < KNOWN; i++)
        if (reference[i].writable && subset >> i & 1) change_tensor(patch, model, i);
    assert_ok(wmk_patch_commit(patch));
    wmk_model_close(model);
    if (archive) check_checksums(path);
    assert_ok(wmk_model_open(&model, path));
    assert_int_equal(wmk_model_tensor_count(model), KNOWN);
    for (size_t t = 0; t < KNOWN; t++) {
        const known *k = &reference[t];
        double values[VALUES_MAX];
        if (!k->readable) continue;
        values_of(model, t, values);
        for (size_t i = 0; i < count_of(k); i++)
            assert_true(values[i] == (k->writable && subset >> t & 1 ? changed(t, i) : k->first + k->step * (double)i));
    }
    wmk_model_close(model);
}

static void test_change(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "/tmp/weightmark-test-torch-%d", (int)getpid());
    for (int f = 0; f < FILES; f++)
        for (unsigned subset = 0; subset < 1u << KNOWN; subset += 57) check_change(path, files[f], subset, f != LEGACY);
    unlink(path);
}

/* What a quantised type cannot hold becomes the nearest that it can. */
static void test_quantised_limits(void **state)
{
    (void)state;
    static const double wanted[] = {1e30, -1e30, INFINITY, -INFINITY, 0.5, 1.5, 2.49, -107.6, NAN, 0, 0, 0};
    static const double given[] = {147, -108, 147, -108, 0, 2, 2, -108, -108, 0, 0, 0};
    wmk_model *model;
    signed char data[12];
    double values[12];
    assert_ok(wmk_model_open(&model, files[0]));
    wmk_tensor_view view = wmk_model_find(model, "quantised")->view;
    view.data = data;
    wmk_tensor_write(&view, data, 0, 12, wanted);
    assert_ok(wmk_tensor_values(&view, values));
    for (size_t i = 0; i < 12; i++) assert_true(values[i] == given[i]);
    wmk_model_close(model);
}

static void test_script(void **state)
{
    (void)state;
    wmk_model *model;
    double values[6];
    assert_ok(wmk_model_open(&model, FOLDER "script.pt"));
    assert_string_equal(wmk_model_metadata(model, "framework"), "torchscript");
    assert_string_equal(wmk_model_metadata(model, "root"), "script");
    assert_int_equal(wmk_model_tensor_count(model), 2);
    assert_string_equal(wmk_model_tensor_at(model, 0)->view.name, "weight");
    assert_string_equal(wmk_model_tensor_at(model, 1)->view.name, "inner.weight");
    values_of(model, 0, values);
    for (int i = 0; i < 6; i++) assert_true(values[i] == i);
    values_of(model, 1, values);
    assert_true(values[0] == 100);
    wmk_model_close(model);
}

/* Cut anywhere, a file is refused, and nothing outside its bytes is read (the copy ends at an allocation's end, for the sanitizer to see). */
static void test_truncation(void **state)
{
    (void)state;
    for (int f = 0; f < FILES; f++) {
        unsigned char *bytes;
        size_t size;
        assert_ok(wmk_file_read(&bytes, &size, files[f], 1 << 20));
        for (size_t cut = 32; cut < size; cut += f == LEGACY ? 1 : 7) {
            unsigned char *copy = malloc(cut);
            wmk_model *model = NULL;
            assert_non_null(copy);
            memcpy(copy, bytes, cut);
            wmk_status status = wmk_model_open_bytes(&model, copy, cut, "cut");
            assert_true(status == WMK_ERROR_INPUT || status == WMK_ERROR_UNSUPPORTED);
            assert_null(model);
            free(copy);
        }
        free(bytes);
    }
}

/* A damaged storage does not keep the rest from being read, and is refused when it is asked for. */
static void test_damaged_storage(void **state)
{
    (void)state;
    unsigned char *bytes;
    size_t size;
    wmk_zip zip;
    wmk_model *model;
    void *unpacked;
    double values[VALUES_MAX];
    assert_ok(wmk_file_read(&bytes, &size, files[PACKED], 1 << 20));
    assert_ok(wmk_zip_open(&zip, &(wmk_map){.data = bytes, .size = size}));
    const wmk_zip_member *member = wmk_zip_find(&zip, "reference/data/0");
    assert_non_null(member);
    bytes[member->offset + member->stored_bytes / 2] ^= 16;
    wmk_zip_close(&zip);
    assert_ok(wmk_model_open_bytes(&model, bytes, size, "damaged"));
    assert_fails(wmk_model_unpack(&unpacked, model, 0), WMK_ERROR_INPUT, "tensor \"model.plain\": zip: \"reference/data/0\"");
    values_of(model, 1, values);
    assert_true(values[0] == 100);
    wmk_model_close(model);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_read),           cmocka_unit_test(test_parts),
                                       cmocka_unit_test(test_change),         cmocka_unit_test(test_quantised_limits),
                                       cmocka_unit_test(test_script),         cmocka_unit_test(test_truncation),
                                       cmocka_unit_test(test_damaged_storage)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
