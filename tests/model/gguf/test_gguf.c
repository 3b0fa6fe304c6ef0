/* The numbers in GGUF's blocks against the reference library's (reference.gguf, reference.f32: make_reference.py), writing of Q8_0, and models in parts. */
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/convert.h"
#include "base/file.h"
#include "base/memory.h"
#include "cmocka_wmk.h"
#include "model/model.h"

#define FOLDER WMK_SOURCE_DIR "/tests/model/gguf"

enum { ROW = 256 };

static void test_reference(void **state)
{
    (void)state;
    wmk_model *model;
    unsigned char *bytes;
    size_t size;
    double values[ROW];
    assert_ok(wmk_model_open(&model, FOLDER "/reference.gguf"));
    assert_ok(wmk_file_read(&bytes, &size, FOLDER "/reference.f32", 1 << 20));
    size_t count = wmk_model_tensor_count(model);
    assert_int_equal(count, 16);
    assert_int_equal(size, count * ROW * sizeof(float));
    for (size_t i = 0; i < count; i++) {
        const wmk_tensor_view *view = &wmk_model_tensor_at(model, i)->view;
        assert_string_equal(view->name, wmk_dtype_name(view->dtype));
        assert_ok(wmk_tensor_values(view, values));
        for (size_t e = 0; e < ROW; e++) {
            float expected;
            memcpy(&expected, bytes + (i * ROW + e) * sizeof expected, sizeof expected);
            if (values[e] != (double)expected) fail_msg("%s: element %zu is %.17g, not %.17g", view->name, e, values[e], (double)expected);
        }
    }
    assert_string_equal(wmk_model_format(model), "gguf");
    assert_string_equal(wmk_model_metadata(model, "llama.attention.head_count"), "32");
    free(bytes);
    wmk_model_close(model);
}

/* A run from any element to any other holds the same values as the whole. */
static void test_runs(void **state)
{
    (void)state;
    wmk_model *model;
    double all[ROW], run[ROW + 1];
    assert_ok(wmk_model_open(&model, FOLDER "/reference.gguf"));
    for (size_t i = 0; i < wmk_model_tensor_count(model); i++) {
        const wmk_tensor_view *view = &wmk_model_tensor_at(model, i)->view;
        assert_ok(wmk_tensor_values(view, all));
        for (size_t first = 0; first < ROW; first += 1 + first % 7) {
            for (size_t count = 0; first + count <= ROW; count += 1 + count % 11) {
                run[count] = -77;
                wmk_tensor_read(view, first, count, run);
                assert_memory_equal(run, all + first, count * sizeof *run);
                assert_true(run[count] == -77);
            }
        }
    }
    wmk_model_close(model);
}

/* Longer than what is decoded at once, from the middle of a block. */
static void test_long_run(void **state)
{
    (void)state;
    enum { BLOCKS = 100 };
    unsigned char blocks[BLOCKS][34];
    double values[BLOCKS * 32];
    wmk_tensor_view view = {.dtype = WMK_Q8_0, .rank = 1, .shape = {BLOCKS * 32}, .data = blocks};
    wmk_model *model;
    assert_ok(wmk_model_open(&model, FOLDER "/reference.gguf"));
    view.codec = wmk_model_find(model, "q8_0")->view.codec;
    for (int b = 0; b < BLOCKS; b++) {
        blocks[b][0] = 0;
        blocks[b][1] = 0x3c; /* 1.0 */
        for (int l = 0; l < 32; l++) blocks[b][2 + l] = (unsigned char)((b * 32 + l) % 251 - 125);
    }
    wmk_tensor_read(&view, 17, BLOCKS * 32 - 17, values);
    for (int e = 17; e < BLOCKS * 32; e++) assert_true(values[e - 17] == e % 251 - 125);
    wmk_model_close(model);
}

/* ---- writing Q8_0 ---- */

enum { MANY = 1 << 17 };

typedef struct matrix {
    wmk_model *model;
    wmk_tensor_view view; /* of `blocks` */
    unsigned char *blocks;
    double *values; /* [MANY] for the tests */
} matrix;

static matrix zeros(void)
{
    matrix t;
    assert_ok(wmk_model_open(&t.model, FOLDER "/reference.gguf"));
    assert_ok(wmk_alloc(&t.blocks, MANY / 32, 34));
    assert_ok(wmk_alloc(&t.values, MANY, sizeof *t.values));
    t.view = wmk_model_find(t.model, "q8_0")->view;
    t.view.data = t.blocks;
    assert_int_equal(t.view.codec->granule, 32);
    return t;
}

static void release(matrix *t)
{
    wmk_model_close(t->model);
    free(t->blocks);
    free(t->values);
}

static void write_all(matrix *t) { wmk_tensor_write(&t->view, t->blocks, 0, MANY, t->values); }

static double scale_of(const matrix *t, size_t block)
{
    return (double)wmk_f16_to_f32((uint16_t)(t->blocks[block * 34] | t->blocks[block * 34 + 1] << 8));
}

/* Any smooth numbers. */
static double wave(size_t i) { return sin((double)i * 0.37) + 0.3 * cos((double)i * 1.7); }

static void test_write_new(void **state)
{
    (void)state;
    matrix t = zeros();
    double *back = malloc(MANY * sizeof *back);
    for (size_t i = 0; i < MANY; i++) t.values[i] = wave(i);
    write_all(&t);
    wmk_tensor_read(&t.view, 0, MANY, back);
    for (size_t b = 0; b < MANY / 32; b++) {
        float largest = 0;
        for (size_t i = b * 32; i < b * 32 + 32; i++) largest = fmaxf(largest, fabsf((float)t.values[i]));
        float d = largest / 127; /* and below: quantize_row_q8_0_ref */
        double stored = (double)wmk_f16_to_f32(wmk_f32_to_f16(d)), ours = 0, theirs = 0;
        assert_true(scale_of(&t, b) == stored);
        for (size_t i = b * 32; i < b * 32 + 32; i++) {
            ours += pow(back[i] - t.values[i], 2);
            theirs += pow((double)roundf((float)t.values[i] * (1 / d)) * stored - t.values[i], 2);
        }
        assert_true(ours <= theirs);
    }
    free(back);
    release(&t);
}

/* What is there already is not changed, whatever block it is. */
static void test_write_same(void **state)
{
    (void)state;
    matrix t = zeros();
    unsigned char *before = malloc(MANY / 32 * 34);
    for (size_t i = 0; i < MANY / 32 * 34; i++) t.blocks[i] = (unsigned char)(i * i % 253);
    for (size_t b = 0; b < MANY / 32; b++) t.blocks[b * 34 + 1] &= 0xbb;               /* finite scales */
    for (size_t l = 0; l < 32; l++) t.blocks[5 * 34 + 2 + l] = (unsigned char)(l % 4); /* a scale that wastes bits */
    memcpy(before, t.blocks, MANY / 32 * 34);
    wmk_tensor_read(&t.view, 0, MANY, t.values);
    write_all(&t);
    assert_memory_equal(t.blocks, before, MANY / 32 * 34);
    t.values[77] += 3 * scale_of(&t, 77 / 32); /* one element by whole steps: the others stay, as does the scale */
    t.blocks[77 / 32 * 34 + 2 + 77 % 32] = before[77 / 32 * 34 + 2 + 77 % 32] = 5;
    t.values[77] = 8 * scale_of(&t, 77 / 32);
    write_all(&t);
    assert_int_equal(t.blocks[77 / 32 * 34 + 2 + 77 % 32], 8);
    t.blocks[77 / 32 * 34 + 2 + 77 % 32] = 5;
    assert_memory_equal(t.blocks, before, MANY / 32 * 34);
    free(before);
    release(&t);
}

/* A block that moves a little keeps its scale, and every element goes to the nearest step. */
static void test_write_near(void **state)
{
    (void)state;
    matrix t = zeros();
    double *wanted = malloc(MANY * sizeof *wanted), *scale = malloc(MANY / 32 * sizeof *scale);
    for (size_t i = 0; i < MANY; i++) t.values[i] = wave(i);
    write_all(&t);
    for (size_t b = 0; b < MANY / 32; b++) scale[b] = scale_of(&t, b);
    wmk_tensor_read(&t.view, 0, MANY, wanted);
    for (size_t i = 0; i < MANY; i++) wanted[i] = t.values[i] = wanted[i] * 0.97 + 0.01 * wave(3 * i) * scale[i / 32];
    write_all(&t);
    wmk_tensor_read(&t.view, 0, MANY, t.values);
    for (size_t i = 0; i < MANY; i++) {
        assert_true(scale_of(&t, i / 32) == scale[i / 32]);
        assert_true(fabs(t.values[i] - wanted[i]) <= 0.5000001 * scale[i / 32]);
    }
    free(wanted);
    free(scale);
    release(&t);
}

static void test_write_extremes(void **state)
{
    (void)state;
    matrix t = zeros();
    unsigned char before[34];
    double back[32];
    for (int i = 0; i < 32; i++) t.values[i] = i;
    wmk_tensor_write(&t.view, t.blocks, 0, 32, t.values);
    memcpy(before, t.blocks, sizeof before);
    const double never[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) { /* a block cannot hold those */
        t.values[5] = never[i];
        wmk_tensor_write(&t.view, t.blocks, 0, 32, t.values);
        assert_memory_equal(t.blocks, before, sizeof before);
    }
    t.values[5] = 1e300; /* beyond the largest scale */
    wmk_tensor_write(&t.view, t.blocks, 0, 32, t.values);
    wmk_tensor_read(&t.view, 0, 32, back);
    assert_true(back[5] == 65504.0 * 127);
    for (int i = 0; i < 32; i++) t.values[i] = 1e-30; /* below the smallest */
    wmk_tensor_write(&t.view, t.blocks, 0, 32, t.values);
    wmk_tensor_read(&t.view, 0, 32, back);
    for (int i = 0; i < 32; i++) assert_true(back[i] == 0);
    for (int i = 0; i < 32; i++) t.values[i] = -0.25 * i; /* from a block of zeros */
    wmk_tensor_write(&t.view, t.blocks, 0, 32, t.values);
    wmk_tensor_read(&t.view, 0, 32, back);
    for (int i = 0; i < 32; i++) assert_true(fabs(back[i] - t.values[i]) < 0.062);
    release(&t);
}

/* ---- parts ---- */

static void test_parts(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c"};
    for (int part = 1; part <= 3; part++) {
        char path[512];
        wmk_model *model;
        snprintf(path, sizeof path, FOLDER "/parts/sound-%05d-of-00003.gguf", part);
        assert_ok(wmk_model_open(&model, path));
        assert_int_equal(wmk_model_file_count(model), 3);
        assert_int_equal(wmk_model_tensor_count(model), 3);
        for (size_t i = 0; i < 3; i++) {
            const wmk_model_tensor *tensor = wmk_model_tensor_at(model, i);
            double values[2];
            assert_string_equal(tensor->view.name, names[i]);
            assert_ok(wmk_tensor_values(&tensor->view, values));
            assert_true(values[0] == 1 && values[1] == 2);
            snprintf(path, sizeof path, "sound-%05d-of-00003.gguf", (int)i + 1);
            assert_non_null(strstr(wmk_model_file_path(model, tensor->file), path));
        }
        assert_string_equal(wmk_model_metadata(model, "only"), "0"); /* the first part's metadata, whichever was opened */
        assert_string_equal(wmk_model_metadata(model, "split.no"), "0");
        wmk_model_close(model);
    }
}

static void test_bad_parts(void **state)
{
    (void)state;
    static const struct {
        const char *stem;
        wmk_status status;
        const char *text;
    } cases[] = {
        {"lost", WMK_ERROR_MISSING, "lost-00002-of-00002.gguf"},
        {"other-kind", WMK_ERROR_INPUT, "the part \"other-kind-00002-of-00002.gguf\" is no GGUF file"},
        {"no-part", WMK_ERROR_INPUT, "no-part-00002-of-00002.gguf: this file is no part of a split model"},
        {"wrong-number", WMK_ERROR_INPUT, "its name must end in \"-00001-of-00002.gguf\""},
        {"wrong-count", WMK_ERROR_INPUT, "its name must end in \"-00002-of-00003.gguf\""},
        {"tensors-lost", WMK_ERROR_INPUT, "split.tensors.count is 3, the parts hold 2 tensors"},
        {"same-name", WMK_ERROR_INPUT, "tensor \"a\" is listed twice"},
        {"damaged", WMK_ERROR_INPUT, "damaged-00002-of-00002.gguf: truncated: tensor \"b\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char path[512];
        wmk_model *model;
        snprintf(path, sizeof path, FOLDER "/parts/%s-00001-of-00002.gguf", cases[i].stem);
        assert_fails(wmk_model_open(&model, path), cases[i].status, cases[i].text);
    }
}

/* Cut anywhere, a sound file is refused. */
static void test_truncation(void **state)
{
    (void)state;
    unsigned char *bytes;
    size_t size;
    wmk_model *model;
    assert_ok(wmk_file_read(&bytes, &size, FOLDER "/reference.gguf", 1 << 20));
    assert_ok(wmk_model_open(&model, FOLDER "/reference.gguf"));
    const wmk_model_tensor *last = wmk_model_tensor_at(model, wmk_model_tensor_count(model) - 1);
    size_t end = (size_t)(last->offset_bytes + last->size_bytes); /* what follows is padding */
    wmk_model_close(model);
    for (size_t cut = 0; cut <= size; cut++) {
        unsigned char *copy = malloc(cut ? cut : 1);
        assert_non_null(copy);
        memcpy(copy, bytes, cut);
        model = NULL;
        assert_int_equal(wmk_model_open_bytes(&model, copy, cut, "cut"), cut >= end ? WMK_OK : WMK_ERROR_INPUT);
        wmk_model_close(model);
        free(copy);
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference),  cmocka_unit_test(test_runs),       cmocka_unit_test(test_long_run),       cmocka_unit_test(test_write_new),
        cmocka_unit_test(test_write_same), cmocka_unit_test(test_write_near), cmocka_unit_test(test_write_extremes), cmocka_unit_test(test_parts),
        cmocka_unit_test(test_bad_parts),  cmocka_unit_test(test_truncation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
