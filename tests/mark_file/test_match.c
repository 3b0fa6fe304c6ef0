/* Names in one form, axes that fit, rows put back: the parts by which a key's tensors are known again in a converted model. */
#include <stdlib.h>

#include "base/convert.h"
#include "cmocka_wmk.h"
#include "mark_file/fit.h"
#include "mark_file/names.h"
#include "mark_file/rows.h"

static void test_canonical_names(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"conv1.weight", "conv1"},
        {"module.layer1.0.conv2.weight", "layer1.0.conv2"},
        {"_orig_mod.module.layer1.0.conv2.weight", "layer1.0.conv2"},
        {"conv2.1.conv2.weight", "conv2.1.conv2"}, /* a layer may be named as its group is */
        {"weight", "weight"},
        {"model", "model"},
        {"", ""},
        {"...", ""},
        {"a..b", "a.b"},
        /* Keras 2 and 3, their files, TensorFlow Lite, ONNX Runtime's quantiser */
        {"conv2d/kernel:0", "conv2d"},
        {"conv2d/conv2d/kernel:0", "conv2d"},
        {"model_weights/conv2d/sequential/conv2d/kernel", "conv2d"},
        {"layers/conv2d/vars/0", "conv2d"},
        {"layers/conv2d/vars/1", "conv2d.vars.1"}, /* the bias, or a recurrent kernel */
        {"_layer_checkpoint_dependencies/dense_1/vars/0", "dense_1"},
        {"model/conv2d/Conv2D;model/conv2d/BiasAdd/ReadVariableOp", "conv2d"},
        {"StatefulPartitionedCall/model/dense/MatMul", "dense"},
        {"fc.weight_quantized", "fc"},
        {"separable/depthwise_kernel", "separable"},
        /* transformers */
        {"model.layers.3.self_attn.q_proj.weight", "blk.3.attn_q"},
        {"blk.3.attn_q.weight", "blk.3.attn_q"},
        {"layers.3.attention.wq.weight", "blk.3.attn_q"},
        {"base_model.model.model.layers.3.mlp.down_proj.base_layer.weight", "blk.3.ffn_down"},
        {"transformer.h.11.attn.c_attn.weight", "blk.11.attn_qkv"},
        {"h.11.mlp.c_proj.weight", "blk.11.ffn_down"},
        {"bert.encoder.layer.0.attention.self.query.weight", "encoder.blk.0.attn_q"},
        {"encoder.layer.0.attention.output.dense.weight", "encoder.blk.0.attn_output"},
        {"encoder.layer.0.output.dense.weight", "encoder.blk.0.ffn_down"},
        {"model.embed_tokens.weight", "token_embd"},
        {"lm_head.weight", "output"},
        {"model.norm.weight", "output_norm"},
        {"layer1.0.norm.weight", "layer1.0.norm"}, /* too common a word for more */
        {"layer.0.conv.weight", "layer.0.conv"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *name;
        assert_ok(wmk_name_canonical(&name, cases[i][0]));
        assert_string_equal(name, cases[i][1]);
        free(name);
    }
    char deep[1001]; /* more parts than are told apart */
    for (size_t i = 0; i + 1 < sizeof deep; i++) deep[i] = i % 2 ? '.' : 'a';
    deep[1000] = '\0';
    char *name;
    assert_ok(wmk_name_canonical(&name, deep));
    assert_int_equal(strncmp(name, "a.a.a.", 6), 0);
    free(name);
}

static void test_rotary_names(void **state)
{
    (void)state;
    bool is_key = false;
    assert_int_equal(wmk_name_rotary("model.layers.0.self_attn.q_proj.weight", &is_key), WMK_ROTARY_HALVES);
    assert_false(is_key);
    assert_int_equal(wmk_name_rotary("blk.0.attn_k.weight", &is_key), WMK_ROTARY_PAIRS);
    assert_true(is_key);
    assert_int_equal(wmk_name_rotary("layers.0.attention.wk.weight", &is_key), WMK_ROTARY_PAIRS);
    assert_int_equal(wmk_name_rotary("blk.0.attn_k_norm.weight", &is_key), WMK_ROTARY_NONE);
    assert_int_equal(wmk_name_rotary("blk.0.attn_v.weight", &is_key), WMK_ROTARY_NONE);
    assert_int_equal(wmk_name_rotary("seq_projection", &is_key), WMK_ROTARY_NONE);
}

/* "OI 10 32": a layout and its shape. */
static uint32_t parse(const char *text, char *layout, uint64_t *shape)
{
    uint32_t rank = 0;
    size_t letters = strcspn(text, " ");
    memset(layout, 0, sizeof(wmk_layout));
    if (*text != '?') memcpy(layout, text, letters);
    for (char *at = (char *)(uintptr_t)text + letters; *at;) shape[rank++] = strtoull(at, &at, 10);
    return rank;
}

static void test_fits(void **state)
{
    (void)state;
    static const struct {
        const char *target, *tensor;
        bool known;
        wmk_way way;
        bool square;
        int vote;
        const char *read_as; /* the view's layout and shape afterwards */
    } cases[] = {
        {"OI 10 32", "OI 10 32", false, WMK_WAY_ALONG, false, 0, "OI 10 32"},
        {"OI 10 32", "OI 10 32", true, WMK_WAY_ALONG, false, 1, "OI 10 32"},
        {"OI 10 32", "IO 32 10", true, WMK_WAY_ACROSS, false, 1, "IO 32 10"},
        {"OI 10 32", "OI 32 10", false, WMK_WAY_ACROSS, false, -1, "IO 32 10"}, /* the container's guess is wrong */
        {"OI 10 32", "IO 10 32", true, WMK_WAY_ALONG, false, -1, "OI 10 32"},   /* the key's was */
        {"OI 10 32", "OI 10 33", false, WMK_WAY_NONE, false, 0, NULL},
        {"OI 32 32", "OI 32 32", false, WMK_WAY_ALONG, true, 0, "OI 32 32"},
        {"OI 32 32", "IO 32 32", true, WMK_WAY_ACROSS, true, 0, "IO 32 32"},
        {"IO 32 32", "OI 32 32", false, WMK_WAY_ALONG, true, 0, "IO 32 32"},
        {"OI 10 32", "? 10 32", false, WMK_WAY_ALONG, false, 0, "OI 10 32"},
        {"OI 10 32", "OIHW 10 32 1 1", true, WMK_WAY_ALONG, false, 1, "OI 10 32"},
        {"OIHW 10 32 1 1", "IO 32 10", true, WMK_WAY_ACROSS, false, 1, "IO 32 10"},
        {"OIHW 10 32 1 1", "HWIO 1 1 32 10", true, WMK_WAY_ACROSS, false, 1, "IO 32 10"},
        {"OI 1 32", "IO 32 1", true, WMK_WAY_ALONG, false, 0, "OI 1 32"},
        {"OIHW 1 1 1 1", "OI 1 1", true, WMK_WAY_ALONG, false, 0, "O 1"},
        {"OIHW 8 4 3 5", "HWIO 3 5 4 8", true, WMK_WAY_LETTERS, false, 1, "HWIO 3 5 4 8"},
        {"HWIO 3 5 4 8", "OIHW 8 4 3 5", false, WMK_WAY_LETTERS, false, 1, "OIHW 8 4 3 5"},
        {"HWIO 3 5 4 8", "OIHW 3 5 4 8", false, WMK_WAY_ALONG, false, 0, "HWIO 3 5 4 8"},
        {"OIHW 3 5 4 8", "HWIO 3 5 4 8", true, WMK_WAY_ALONG, false, 0, "OIHW 3 5 4 8"}, /* an array whose layout nobody knew when the key was made */
        {"OIHW 8 4 3 5", "HWIO 3 5 8 4", true, WMK_WAY_NONE, false, 0, NULL},
        {"OIHW 24 1 3 3", "HWOI 3 3 24 1", true, WMK_WAY_LETTERS, false, 1, "HWOI 3 3 24 1"}, /* depthwise */
        {"OIHW 8 4 3 5", "OI 8 60", true, WMK_WAY_NONE, false, 0, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wmk_target target = {.name = "t"};
        wmk_model_tensor tensor = {.layout_known = cases[i].known};
        wmk_layout layout;
        uint64_t shape[WMK_RANK_MAX];
        target.rank = parse(cases[i].target, target.layout, target.shape);
        tensor.view.rank = parse(cases[i].tensor, tensor.view.layout, tensor.view.shape);
        wmk_fit fit = wmk_fit_of(&tensor, &target);
        if (fit.way != cases[i].way || fit.square != cases[i].square || fit.vote != cases[i].vote)
            fail_msg("%s as %s: way %d, square %d, vote %d", cases[i].tensor, cases[i].target, fit.way, fit.square, fit.vote);
        if (fit.way == WMK_WAY_NONE) continue;
        wmk_tensor_view view = tensor.view;
        bool reshaped = wmk_fit_apply(&view, &target, fit.way, false);
        uint32_t rank = parse(cases[i].read_as, layout, shape);
        assert_int_equal(reshaped, rank != tensor.view.rank || memcmp(shape, tensor.view.shape, rank * sizeof shape[0]) != 0);
        assert_int_equal(view.rank, rank);
        assert_string_equal(view.layout, layout);
        assert_memory_equal(view.shape, shape, rank * sizeof shape[0]);
        assert_true(wmk_layout_is_valid(view.layout, view.rank));
    }
}

/* Rows in the order of llama.cpp and back, by any runs of elements. The oracle is the definition: row (head, i, half) is row (head, half, i). */
static void test_rows(void **state)
{
    (void)state;
    enum { HEADS = 3, HALF = 4, COLUMNS = 5, ROWS = HEADS * HALF * 2, COUNT = ROWS * COLUMNS };
    float data[COUNT], back[COUNT];
    double values[COUNT];
    for (int i = 0; i < COUNT; i++) data[i] = (float)i;
    wmk_tensor_view inner = {.name = "t", .dtype = WMK_F32, .rank = 2, .shape = {ROWS, COLUMNS}, .layout = "OI", .data = data}, view = inner;
    wmk_rows rows = {.row_elements = COLUMNS, .middle = 2, .rest = HALF};
    wmk_rows_wrap(&view, &rows, &inner);
    assert_true(wmk_tensor_is_readable(&view) && wmk_tensor_is_writable(&view));
    for (size_t run = 1; run <= COUNT; run += 6) {
        for (size_t at = 0; at < COUNT; at += run) wmk_tensor_read(&view, at, at + run > COUNT ? COUNT - at : run, values + at);
        for (int head = 0; head < HEADS; head++)
            for (int half = 0; half < 2; half++)
                for (int i = 0; i < HALF; i++)
                    for (int c = 0; c < COLUMNS; c++)
                        assert_true(values[((head * 2 + half) * HALF + i) * COLUMNS + c] == ((head * HALF + i) * 2 + half) * COLUMNS + c);
    }
    memset(back, 0, sizeof back);
    for (size_t at = 0; at < COUNT; at += 7) wmk_tensor_write(&view, back, at, at + 7 > COUNT ? COUNT - at : 7, values + at);
    assert_memory_equal(back, data, sizeof data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canonical_names),
        cmocka_unit_test(test_rotary_names),
        cmocka_unit_test(test_fits),
        cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
