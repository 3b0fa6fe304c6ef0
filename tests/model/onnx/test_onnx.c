/* ONNX: values, layouts, names and patched copies of reference.onnx and reference-external.onnx (make_reference.py, which writes them with the reference library), what no cut of them may
 * do, and external data that is missing, short or shared. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/convert.h"
#include "base/file.h"
#include "base/protobuf.h"
#include "cmocka_wmk.h"
#include "model/model.h"

#define FOLDER WMK_SOURCE_DIR "/tests/model/onnx/"

/* ---- the wire ---- */

/* The examples of https://protobuf.dev/programming-guides/encoding: field 1 is 150, field 2 "testing", field 3 a message of the first, and fixed ones. */
static void test_wire(void **state)
{
    (void)state;
    static const unsigned char bytes[] = "\x08\x96\x01\x12\x07testing\x1a\x03\x08\x96\x01\x25\x01\x02\x03\x04\x29\x01\x02\x03\x04\x05\x06\x07\x88"
                                         "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    wmk_protobuf reader = {bytes, bytes + sizeof bytes - 1};
    wmk_protobuf_field field;
    bool more;
    assert_ok(wmk_protobuf_next(&reader, &field, &more));
    assert_true(more && field.number == 1 && field.wire == WMK_WIRE_VARINT && field.value == 150 && field.size == 2);
    assert_ok(wmk_protobuf_next(&reader, &field, &more));
    assert_true(more && field.number == 2 && field.wire == WMK_WIRE_BYTES && field.size == 7);
    assert_memory_equal(field.data, "testing", 7);
    assert_ok(wmk_protobuf_next(&reader, &field, &more));
    wmk_protobuf inner = wmk_protobuf_enter(&field);
    assert_ok(wmk_protobuf_next(&inner, &field, &more));
    assert_true(field.number == 1 && field.value == 150);
    assert_ok(wmk_protobuf_next(&inner, &field, &more));
    assert_false(more);
    assert_ok(wmk_protobuf_next(&reader, &field, &more));
    assert_true(field.number == 4 && field.wire == WMK_WIRE_32 && field.value == 0x04030201);
    assert_ok(wmk_protobuf_next(&reader, &field, &more));
    assert_true(field.number == 5 && field.wire == WMK_WIRE_64 && field.value == UINT64_C(0x8807060504030201));
    assert_ok(wmk_protobuf_next(&reader, &field, &more));
    assert_true(field.number == 1 && (int64_t)field.value == -1);
    assert_ok(wmk_protobuf_next(&reader, &field, &more));
    assert_false(more);
}

/* ---- reference.onnx ---- */

static const wmk_model_tensor *find(const wmk_model *model, const char *name, const char *layout, const char *alias)
{
    const wmk_model_tensor *tensor = wmk_model_find(model, name);
    assert_non_null(tensor);
    assert_string_equal(tensor->view.layout, layout);
    assert_true(tensor->layout_known);
    if (alias)
        assert_string_equal(tensor->alias, alias);
    else
        assert_null(tensor->alias);
    return tensor;
}

/* Element i is (i - 3) / 4. */
static double plain(size_t i) { return ((double)i - 3) / 4; }

/* Element i of what was stored as whole numbers. */
static double stored(size_t i) { return (double)(i % 13) - 6; }

static double by_column(size_t i)
{
    static const double scale[] = {.125, .25, .5, 1, 2}, zero[] = {0, 1, -1, 2, 3};
    return (stored(i) - zero[i % 5]) * scale[i % 5];
}

static double blocks_of_two_rows(size_t i) { return stored(i) * plain(i / 3 / 2 * 3 + i % 3); }

/* [3, 12]: rows of two blocks of eight, of which four bytes hold one, low half first; byte b is 7 b. */
static double narrow_blocks(size_t i)
{
    size_t row = i / 12, column = i % 12, byte = 8 * row + column / 2;
    unsigned half = (7 * byte >> (column % 2 ? 4 : 0)) & 15;
    return ((double)half - 8) * (plain(2 * row + column / 8) + 1);
}

/* The second direction's, in PyTorch's order of gates: i f g o. */
static double gates(size_t i)
{
    static const size_t rows[] = {8, 9, 12, 13, 14, 15, 10, 11};
    return plain(2 * rows[i / 2] + i % 2);
}

static void check_values(const wmk_model *model, const wmk_model_tensor *tensor, double (*expected)(size_t), size_t count)
{
    wmk_tensor_view view = tensor->view;
    void *unpacked = NULL;
    double values[64];
    if (tensor->packed) assert_ok(wmk_model_unpack(&unpacked, model, (size_t)(tensor - wmk_model_tensor_at(model, 0))));
    if (unpacked) view.data = unpacked;
    assert_ok(wmk_tensor_values(&view, values));
    for (size_t begin = 0; begin < count; begin++) { /* any part alone */
        for (size_t part = 1; part <= count - begin; part++) {
            wmk_tensor_read(&view, begin, part, values);
            for (size_t i = 0; i < part; i++) assert_true(values[i] == expected(begin + i));
        }
    }
    free(unpacked);
}

static void test_reference(void **state)
{
    (void)state;
    wmk_model *model;
    assert_ok(wmk_model_open(&model, FOLDER "reference.onnx"));
    assert_string_equal(wmk_model_format(model), "onnx");
    assert_string_equal(wmk_model_metadata(model, "producer_name"), "test");
    assert_string_equal(wmk_model_metadata(model, "opset"), "ai.onnx 21, com.microsoft 1");
    assert_int_equal(wmk_model_tensor_count(model), 12);
    check_values(model, find(model, "conv.weight", "OIHW", NULL), plain, 12);
    check_values(model, find(model, "typed", "OI", NULL), plain, 8);
    check_values(model, find(model, "half", "OI", NULL), plain, 12);
    check_values(model, find(model, "q_quantized", "IO", "q"), by_column, 15);
    check_values(model, find(model, "four", "IO", NULL), blocks_of_two_rows, 15);
    const wmk_model_tensor *blocks = find(model, "onnx::MatMul_7_Q4", "OI", "encoder.layer.0.query.weight");
    assert_int_equal(blocks->view.rank, 2);
    assert_int_equal(blocks->view.shape[0], 3);
    assert_int_equal(blocks->view.shape[1], 12);
    check_values(model, blocks, narrow_blocks, 36);
    assert_false(wmk_tensor_is_writable(&blocks->view));
    assert_string_equal(find(model, "val_8[0]", "OI", "decoder.rnn.weight_ih_l0")->view.codec->name, "gates in another order");
    check_values(model, find(model, "val_8[1]", "OI", "decoder.rnn.weight_ih_l0_reverse"), gates, 16);
    assert_true(wmk_tensor_is_writable(&wmk_model_find(model, "val_8[1]")->view));
    assert_true(wmk_model_find(model, "half")->packed && wmk_model_find(model, "q_quantized")->packed);
    assert_string_equal(wmk_model_find(model, "four_scale")->view.layout, "");
    wmk_model_close(model);
}

static void test_patch(void **state)
{
    (void)state;
    char path[] = "/tmp/wmk-test-onnx-XXXXXX";
    unsigned char *before, *after;
    size_t size, after_size, changed = 0;
    void *data;
    wmk_model *model;
    wmk_patch *patch;
    close(mkstemp(path));
    assert_ok(wmk_model_open(&model, FOLDER "reference.onnx"));
    assert_ok(wmk_patch_begin(&patch, model, path, true));
    assert_ok(wmk_patch_data(patch, 1, &data));
    memset(data, 0x55, 32);
    assert_fails(wmk_patch_data(patch, 2, &data), WMK_ERROR_UNSUPPORTED, "\"half\"");
    assert_ok(wmk_patch_commit(patch));
    const unsigned char *place = (const unsigned char *)model->files[0].map.data;
    size_t offset = (size_t)((const unsigned char *)wmk_model_tensor_at(model, 1)->view.data - place);
    assert_ok(wmk_file_read(&before, &size, FOLDER "reference.onnx", 1 << 20));
    assert_ok(wmk_file_read(&after, &after_size, path, 1 << 20));
    assert_int_equal(size, after_size);
    for (size_t i = 0; i < size; i++) changed += before[i] != after[i] && (i < offset || i >= offset + 32 || after[i] != 0x55);
    assert_int_equal(changed, 0);
    for (size_t i = 0; i < 32; i++) assert_int_equal(after[offset + i], 0x55);
    free(before);
    free(after);
    wmk_model_close(model);
    unlink(path);
}

/* Before the graph's end no cut is a model; after it only a cut between two fields is one. */
static void test_truncation(void **state)
{
    (void)state;
    unsigned char *bytes;
    size_t size, whole = 0;
    assert_ok(wmk_file_read(&bytes, &size, FOLDER "reference.onnx", 1 << 20));
    for (size_t cut = 0; cut <= size; cut++) {
        unsigned char *copy = malloc(cut ? cut : 1);
        wmk_model *model = NULL;
        assert_non_null(copy);
        memcpy(copy, bytes, cut);
        wmk_status status = wmk_model_open_bytes(&model, copy, cut, "cut.onnx");
        whole += status == WMK_OK;
        assert_true(status == WMK_ERROR_INPUT || (status == WMK_OK && cut + 25 >= size)); /* the imports take 25 bytes */
        wmk_model_close(model);
        free(copy);
    }
    assert_int_equal(whole, 3);
    free(bytes);
}

/* ---- external data ---- */

typedef struct sandbox {
    char folder[64], model[96], data[96], copy[96], copy_model[128], copy_data[128];
    unsigned char *bytes, *values;
    size_t size, values_size;
} sandbox;

static int set_up(void **state)
{
    sandbox *s = calloc(1, sizeof *s);
    if (!s) return -1;
    strcpy(s->folder, "/tmp/wmk-test-onnx-XXXXXX");
    if (!mkdtemp(s->folder)) return -1;
    snprintf(s->model, sizeof s->model, "%s/model.onnx", s->folder);
    snprintf(s->data, sizeof s->data, "%s/reference.bin", s->folder);
    snprintf(s->copy, sizeof s->copy, "%s/copy", s->folder);
    snprintf(s->copy_model, sizeof s->copy_model, "%s/model.onnx", s->copy);
    snprintf(s->copy_data, sizeof s->copy_data, "%s/reference.bin", s->copy);
    assert_ok(wmk_file_read(&s->bytes, &s->size, FOLDER "reference-external.onnx", 1 << 20));
    assert_ok(wmk_file_read(&s->values, &s->values_size, FOLDER "reference.bin", 1 << 20));
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    sandbox *s = *state;
    unlink(s->copy_model);
    unlink(s->copy_data);
    rmdir(s->copy);
    unlink(s->model);
    unlink(s->data);
    rmdir(s->folder);
    free(s->bytes);
    free(s->values);
    free(s);
    return 0;
}

static void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* Writes the model with `b`'s offset ("24") replaced by another of two digits. */
static void write_with_offset(const sandbox *s, const char *digits)
{
    unsigned char *copy = malloc(s->size), *at;
    assert_non_null(copy);
    memcpy(copy, s->bytes, s->size);
    at = memmem(copy, s->size, "offset\x12\x02\x32\x34", 10);
    assert_non_null(at);
    memcpy(at + 8, digits, 2);
    write_file(s->model, copy, s->size);
    free(copy);
}

static void test_external(void **state)
{
    sandbox *s = *state;
    wmk_model *model;
    wmk_patch *patch;
    void *data;
    write_file(s->model, s->bytes, s->size);
    write_file(s->data, s->values, s->values_size);
    assert_ok(wmk_model_open(&model, s->model));
    assert_int_equal(wmk_model_file_count(model), 2);
    const wmk_model_tensor *b = wmk_model_find(model, "b");
    assert_int_equal(b->offset_bytes, 24);
    assert_string_equal(wmk_model_file_path(model, b->file), s->data);
    check_values(model, find(model, "a", "IO", NULL), plain, 6);
    check_values(model, b, plain, 8);
    assert_ok(wmk_patch_begin(&patch, model, s->copy, false));
    assert_ok(wmk_patch_data(patch, (size_t)(b - wmk_model_tensor_at(model, 0)), &data));
    double value = 100;
    memcpy((unsigned char *)data + 8, &value, sizeof value);
    assert_ok(wmk_patch_commit(patch));
    wmk_model_close(model);
    unsigned char *bytes;
    size_t size;
    assert_ok(wmk_file_read(&bytes, &size, s->copy_model, 1 << 20));
    assert_true(size == s->size && memcmp(bytes, s->bytes, size) == 0);
    free(bytes);
    assert_ok(wmk_file_read(&bytes, &size, s->copy_data, 1 << 20));
    memcpy(s->values + 24 + 8, &value, sizeof value);
    assert_true(size == s->values_size && memcmp(bytes, s->values, size) == 0);
    free(bytes);
}

static void test_external_damage(void **state)
{
    sandbox *s = *state;
    wmk_model *model;
    write_file(s->model, s->bytes, s->size);
    assert_fails(wmk_model_open(&model, s->model), WMK_ERROR_MISSING, "reference.bin");
    write_file(s->data, s->values, s->values_size - 1);
    assert_fails(wmk_model_open(&model, s->model), WMK_ERROR_INPUT, "tensor \"b\": its external data ends at byte 24 + 64, \"reference.bin\" has 87");
    write_file(s->data, s->values, s->values_size);
    write_with_offset(s, "20");
    assert_fails(wmk_model_open(&model, s->model), WMK_ERROR_INPUT, "tensor \"b\": its external data overlaps that of \"a\"");
    write_with_offset(s, "25");
    assert_fails(wmk_model_open(&model, s->model), WMK_ERROR_INPUT, "ends at byte 25 + 64");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_wire),
                                       cmocka_unit_test(test_reference),
                                       cmocka_unit_test(test_patch),
                                       cmocka_unit_test(test_truncation),
                                       cmocka_unit_test_setup_teardown(test_external, set_up, tear_down),
                                       cmocka_unit_test_setup_teardown(test_external_damage, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
