/* HDF5: values, packed tensors and patched copies of files that libhdf5 wrote (make_reference.py), in place and grown; damage inside of chunks. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/convert.h"
#include "base/file.h"
#include "cmocka_wmk.h"
#include "model/format/hdf5.h"
#include "model/model.h"

#define FOLDER WMK_SOURCE_DIR "/tests/model/hdf5/"

enum { COUNT = 24 };
static const char *const names[] = {"plain/f32", "plain/f16", "compact", "chunks", "filtered", "deflated", "growing", "growing-twice"};
enum { NAMES = sizeof names / sizeof names[0] };

static size_t index_of(const wmk_model *model, const char *name)
{
    const wmk_model_tensor *tensor = wmk_model_find(model, name);
    if (!tensor) fail_msg("no tensor %s", name);
    return (size_t)(tensor - wmk_model_tensor_at(model, 0));
}

static void read_values(const wmk_model *model, const char *name, double *values)
{
    size_t index = index_of(model, name);
    wmk_tensor_view view = wmk_model_tensor_at(model, index)->view;
    void *bytes = NULL;
    assert_true(view.rank == 2 && view.shape[0] == 6 && view.shape[1] == 4);
    if (wmk_model_tensor_at(model, index)->packed) {
        assert_null(view.data);
        assert_ok(wmk_model_unpack(&bytes, model, index));
        view.data = bytes;
    }
    assert_ok(wmk_tensor_values(&view, values));
    free(bytes);
}

/* What patched tensors hold: `noise` makes every byte of a double matter, so that chunks no longer fit where they were. */
static double changed(int i, bool noise) { return noise ? (double)(i + 1) * 0.314159265358979 / 7 : -(double)i / 8; }

static void check(const wmk_model *model, const bool *is_changed, bool noise)
{
    for (size_t n = 0; n < NAMES; n++) {
        double values[COUNT];
        read_values(model, names[n], values);
        for (int i = 0; i < COUNT; i++) {
            double wanted = is_changed[n] ? changed(i, noise) : (double)i / 8, most = noise ? 2e-3 : 0;
            if (!(values[i] >= wanted - most && values[i] <= wanted + most)) fail_msg("%s[%d] is %g, not %g", names[n], i, values[i], wanted);
        }
    }
}

static void patch(const char *from, const char *to, const bool *is_changed, bool noise)
{
    wmk_model *model;
    wmk_patch *patch;
    assert_ok(wmk_model_open(&model, from));
    assert_ok(wmk_patch_begin(&patch, model, to, true));
    for (size_t n = 0; n < NAMES; n++) {
        double values[COUNT];
        void *data;
        if (!is_changed[n]) continue;
        size_t index = index_of(model, names[n]);
        assert_ok(wmk_patch_data(patch, index, &data));
        for (int i = 0; i < COUNT; i++) values[i] = changed(i, noise);
        wmk_tensor_write(&wmk_model_tensor_at(model, index)->view, data, 0, COUNT, values);
    }
    assert_ok(wmk_patch_commit(patch));
    wmk_model_close(model);
}

static const char *const files[] = {FOLDER "old.h5", FOLDER "new.h5"};
static const char copy_path[] = "test_hdf5_copy.h5", second_path[] = "test_hdf5_second.h5";

static void test_read(void **state)
{
    (void)state;
    const bool none[NAMES] = {false};
    for (size_t f = 0; f < 2; f++) {
        wmk_model *model;
        assert_ok(wmk_model_open(&model, files[f]));
        assert_string_equal(wmk_model_format(model), "hdf5");
        assert_string_equal(wmk_model_metadata(model, "backend"), "none");
        assert_int_equal(wmk_model_tensor_count(model), NAMES);
        check(model, none, false);
        wmk_model_close(model);
    }
}

/* Each alone, then all, to values that take no more room and to ones that do; and of that copy another one. */
static void test_patch(void **state)
{
    (void)state;
    for (size_t f = 0; f < 2; f++)
        for (size_t n = 0; n <= NAMES; n++)
            for (int noise = 0; noise < 2; noise++) {
                bool is_changed[NAMES], all[NAMES];
                for (size_t i = 0; i < NAMES; i++) is_changed[i] = n == NAMES || i == n, all[i] = true;
                wmk_model *model;
                patch(files[f], copy_path, is_changed, noise);
                assert_ok(wmk_model_open(&model, copy_path));
                check(model, is_changed, noise);
                wmk_model_close(model);
                if (n < NAMES) continue;
                patch(copy_path, second_path, all, noise);
                assert_ok(wmk_model_open(&model, second_path));
                check(model, all, noise);
                wmk_model_close(model);
            }
    unlink(copy_path);
    unlink(second_path);
}

/* The copy is cut or has a byte changed: a status and never a step outside of the bytes; what opens unpacks or says why not. */
static void open_and_unpack(const unsigned char *bytes, size_t size)
{
    wmk_model *model = NULL;
    unsigned char *own = malloc(size ? size : 1);
    assert_non_null(own);
    memcpy(own, bytes, size);
    wmk_status status = wmk_model_open_bytes(&model, own, size, "damaged.h5");
    assert_true(status == WMK_OK || status == WMK_ERROR_INPUT || status == WMK_ERROR_UNSUPPORTED);
    for (size_t i = 0; status == WMK_OK && i < wmk_model_tensor_count(model); i++) {
        void *unpacked;
        if (!wmk_model_tensor_at(model, i)->packed) continue;
        wmk_status inner = wmk_model_unpack(&unpacked, model, i);
        assert_true(inner == WMK_OK || inner == WMK_ERROR_INPUT);
        if (inner == WMK_OK) free(unpacked);
    }
    wmk_model_close(model);
    free(own);
}

static void test_damage(void **state)
{
    (void)state;
    for (size_t f = 0; f < 2; f++) {
        unsigned char *bytes;
        size_t size;
        assert_ok(wmk_file_read(&bytes, &size, files[f], 1 << 20));
        for (size_t cut = 0; cut < size; cut += 13) open_and_unpack(bytes, cut);
        for (size_t at = 0; at < size; at += 3) {
            unsigned char before = bytes[at];
            bytes[at] ^= (unsigned char)(1u << at % 8);
            open_and_unpack(bytes, size);
            bytes[at] = before;
        }
        free(bytes);
    }
}

/* A changed byte in a chunk is seen by its checksum, or by inflating. */
static void test_chunk_damage(void **state)
{
    (void)state;
    static const char *const damaged[] = {"filtered", "deflated", "growing-twice"};
    for (size_t f = 0; f < 2; f++)
        for (size_t n = 0; n < sizeof damaged / sizeof damaged[0]; n++) {
            wmk_model *model;
            unsigned char *bytes;
            size_t size;
            void *unpacked;
            assert_ok(wmk_file_read(&bytes, &size, files[f], 1 << 20));
            assert_ok(wmk_model_open_bytes(&model, bytes, size, "chunk.h5"));
            size_t index = index_of(model, damaged[n]);
            bytes[wmk_model_tensor_at(model, index)->offset_bytes + 5] ^= 0x55;
            assert_fails(wmk_model_unpack(&unpacked, model, index), WMK_ERROR_INPUT, "a chunk");
            assert_non_null(strstr(wmk_error_message(), damaged[n]));
            wmk_model_close(model);
            free(bytes);
        }
}

/* lookup3.c, driver5: the values its author states. */
static void test_checksum(void **state)
{
    (void)state;
    assert_int_equal(wmk_hdf5_checksum((const unsigned char *)"Four score and seven years ago", 30), 0x17770551);
    assert_int_equal(wmk_hdf5_checksum((const unsigned char *)"", 0), 0xdeadbeef);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_read), cmocka_unit_test(test_patch), cmocka_unit_test(test_damage),
                                       cmocka_unit_test(test_chunk_damage), cmocka_unit_test(test_checksum)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
