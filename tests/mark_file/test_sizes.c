/* Tensors of other sizes than the key's: read where both have weights, counted, and never marked. */
#include "parts.h"

#include "mark_file/fit.h"
#include "mark_file/overlap.h"

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

static void test_order_of_axes(void **state)
{
    (void)state;
    static const struct {
        const char *target, *tensor;
        bool known;
        wmk_way way;
        bool square;
    } cases[] = {
        {"OI 10 32", "OI 11 32", false, WMK_WAY_ALONG, false},
        {"OI 10 32", "OI 33 10", false, WMK_WAY_ACROSS, false}, /* 320 in common, not 100 */
        {"OI 10 32", "IO 33 11", true, WMK_WAY_ACROSS, false},
        {"OI 1536 384", "OI 1541 384", false, WMK_WAY_ALONG, false},
        {"OI 384 1536", "OI 384 1541", false, WMK_WAY_ALONG, false},
        {"OI 32 32", "OI 33 33", false, WMK_WAY_ALONG, true},
        {"OI 32 32", "IO 33 33", true, WMK_WAY_ACROSS, true},
        {"OI 32 32", "IO 33 33", false, WMK_WAY_ALONG, true},
        {"OI 10 32", "OI 5 5", false, WMK_WAY_ALONG, true},
        {"OI 1 32", "OI 2 32", false, WMK_WAY_ALONG, false},
        {"OIHW 8 4 3 3", "OIHW 9 5 3 3", false, WMK_WAY_ALONG, false},
        {"OIHW 8 4 3 3", "HWIO 3 3 5 9", true, WMK_WAY_LETTERS, false},
        {"HWIO 3 3 4 8", "OIHW 9 5 3 3", false, WMK_WAY_LETTERS, false}, /* 288, not 81 */
        {"HWIO 3 3 4 8", "OIHW 3 3 5 9", false, WMK_WAY_ALONG, false},   /* letters guessed from the rank */
        {"OIHW 8 4 1 1", "OI 9 4", false, WMK_WAY_ALONG, false},
        {"OIHW 8 4 3 3", "OI 8 36", false, WMK_WAY_NONE, false},
        {"OI 8 4", "OI 0 4", false, WMK_WAY_NONE, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wmk_target target = {.name = "t"};
        wmk_model_tensor tensor = {.layout_known = cases[i].known};
        target.rank = parse(cases[i].target, target.layout, target.shape);
        tensor.view.rank = parse(cases[i].tensor, tensor.view.layout, tensor.view.shape);
        wmk_fit fit = wmk_fit_overlap(&tensor, &target);
        if (fit.way != cases[i].way || fit.square != cases[i].square || fit.partial != (fit.way != WMK_WAY_NONE))
            fail_msg("%s as %s: way %d, square %d", cases[i].tensor, cases[i].target, fit.way, fit.square);
    }
}

/* Every element, in runs of any length, against the definition. */
static void check_overlap(const char *target_text, const char *tensor_text, uint64_t common)
{
    wmk_target target = {.name = "t"};
    wmk_tensor_view view = {.name = "t", .dtype = WMK_F32};
    wmk_overlap overlap;
    uint64_t weights, own[WMK_RANK_MAX], elements = 1, count = 1;
    float data[4096];
    double values[4096];
    target.rank = parse(target_text, target.layout, target.shape);
    view.rank = parse(tensor_text, view.layout, view.shape);
    memcpy(own, view.shape, sizeof own);
    for (uint32_t a = 0; a < view.rank; a++) elements *= own[a];
    for (uint64_t i = 0; i < elements; i++) data[i] = (float)(i + 1);
    view.data = data;
    assert_ok(wmk_overlap_wrap(&view, &overlap, &target, &weights));
    assert_int_equal(weights, common);
    assert_true(wmk_tensor_is_readable(&view) && !wmk_tensor_is_writable(&view));
    for (uint32_t a = 0; a < view.rank; a++) count *= view.shape[a];
    for (size_t run = 1; run <= count; run = run * 3 + 1) {
        uint64_t there = 0;
        for (size_t at = 0; at < count; at += run) wmk_tensor_read(&view, at, at + run > count ? count - at : run, values + at);
        for (uint64_t i = 0; i < count; i++) {
            uint64_t rest = i, from = 0, stride = 1;
            bool inside = true;
            for (uint32_t a = view.rank; a-- > 0; rest /= view.shape[a]) {
                inside &= rest % view.shape[a] < own[a];
                from += rest % view.shape[a] * stride;
                stride *= own[a];
            }
            there += inside;
            if (values[i] != (inside ? (double)data[from] : 0))
                fail_msg("%s as %s: element %zu, runs of %zu", tensor_text, target_text, (size_t)i, run);
        }
        assert_int_equal(there, common);
    }
}

static void test_overlap(void **state)
{
    (void)state;
    check_overlap("OI 5 7", "OI 6 7", 35);
    check_overlap("OI 5 7", "OI 5 9", 35);
    check_overlap("OI 5 7", "OI 3 4", 12);
    check_overlap("OI 5 7", "IO 9 4", 28);
    check_overlap("OI 5 7", "OI 5 7", 35);
    check_overlap("OIHW 4 3 3 2", "OIHW 5 2 3 2", 48);
    check_overlap("OIHW 4 3 3 2", "OIHW 2 4 2 3", 2 * 3 * 2 * 2);
    check_overlap("OIHW 4 3 3 2", "HWIO 3 3 2 5", 3 * 2 * 2 * 4);
    check_overlap("OIHW 4 3 1 1", "OI 6 2", 8);
    check_overlap("O 4", "O 6", 4);
    wmk_target target = {.name = "t", .layout = "OI", .rank = 2, .shape = {4, 3}};
    wmk_tensor_view view = {.name = "t", .dtype = WMK_F32, .rank = 1, .shape = {4}, .layout = "O"};
    wmk_overlap overlap;
    uint64_t weights;
    assert_fails(wmk_overlap_wrap(&view, &overlap, &target, &weights), WMK_ERROR_MISMATCH, "no axis I");
}

/* ---- models ---- */

static const part small[] = {{"up.weight", "OI", 2, {48, 24}}, {"down.weight", "OI", 2, {24, 48}}, {"conv.weight", "OIHW", 4, {16, 8, 3, 3}}};
enum { SMALL = 3 };

/* Copies what two shapes have in common; the rest of `to` is left. The definition, and the oracle of these tests. */
static void copy_common(float *to, const part *to_part, const float *from, const part *from_part)
{
    uint64_t index[4] = {0};
    for (size_t i = 0; i < parts_elements(to_part); i++) {
        size_t rest = i, at = 0;
        bool inside = true;
        for (uint32_t a = to_part->rank; a-- > 0; rest /= to_part->shape[a]) index[a] = rest % to_part->shape[a];
        for (uint32_t a = 0; a < to_part->rank; a++) {
            inside &= index[a] < from_part->shape[a];
            at = at * from_part->shape[a] + index[a];
        }
        if (inside) to[i] = from[at];
    }
}

static void verify_file(wmk_verification *out, const char *path, const wmk_key *key)
{
    const wmk_verify_options options = WMK_VERIFY_OPTIONS_INIT;
    wmk_model *model = parts_open(path);
    assert_ok(wmk_model_verify(out, model, key, &options));
    wmk_model_close(model);
}

/* The marked model of `small` in the shapes `other`, noise where it has nothing; and again in the key's shapes, 0 where
 * those have nothing: the key reads the same from both. */
static void check_sizes(const part *other, uint64_t weights_read, size_t partial)
{
    wmk_key *key = parts_key(small, SMALL, WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 32, 1);
    wmk_embed_options embed = WMK_EMBED_OPTIONS_INIT;
    wmk_verification found, expected;
    float *noise = parts_values(other, SMALL, 8), *at = noise;
    embed.margin = 6;
    parts_write(parts_path("model"), small, SMALL, 5);
    wmk_model *model = parts_open(parts_path("model"));
    assert_ok(wmk_model_embed(model, key, parts_path("marked"), true, &embed, NULL, NULL, NULL, NULL));
    wmk_model *marked = parts_open(parts_path("marked"));
    size_t all = 0;
    for (size_t i = 0; i < SMALL; i++) {
        copy_common(at, &other[i], wmk_model_find(marked, small[i].name)->view.data, &small[i]);
        at += parts_elements(&other[i]);
        all += parts_elements(&small[i]);
    }
    parts_write_values(parts_path("other"), other, SMALL, noise);
    verify_file(&found, parts_path("other"), key);
    float *padded = calloc(all, sizeof *padded), *to = padded;
    assert_non_null(padded);
    at = noise;
    for (size_t i = 0; i < SMALL; i++) {
        copy_common(to, &small[i], at, &other[i]);
        to += parts_elements(&small[i]), at += parts_elements(&other[i]);
    }
    parts_write_values(parts_path("other"), small, SMALL, padded);
    verify_file(&expected, parts_path("other"), key);
    assert_true(fabs(found.evidence.z - expected.evidence.z) < 1e-9 && found.evidence.bit_errors == expected.evidence.bit_errors);
    assert_int_equal(found.evidence.tries, 1);
    assert_int_equal(found.weights_total, all);
    assert_int_equal(found.weights_read, weights_read);
    assert_true(found.share_read == (double)weights_read / (double)all);
    assert_int_equal(found.tensors_partial, partial);
    assert_int_equal(found.evidence.verdict, WMK_FOUND);
    assert_int_equal(found.reason, WMK_REASON_NONE);
    assert_true(expected.tensors_partial == 0 && expected.share_read == 1);
    wmk_verification_free(&found);
    wmk_verification_free(&expected);
    wmk_model_close(marked);
    wmk_model_close(model);
    wmk_key_free(key);
    free(padded);
    free(noise);
}

static void test_other_sizes(void **state)
{
    (void)state;
    static const part dummy_units[] = {{"up.weight", "", 2, {49, 25}}, {"down.weight", "", 2, {25, 49}}, {"conv.weight", "", 4, {17, 9, 3, 3}}};
    static const part fewer[] = {{"up.weight", "", 2, {40, 24}}, {"model.down.weight", "", 2, {24, 40}}, {"conv.weight", "", 4, {16, 7, 3, 3}}};
    check_sizes(dummy_units, 2 * 48 * 24 + 16 * 8 * 9, 3);
    check_sizes(fewer, 2 * 40 * 24 + 16 * 7 * 9, 3);
    check_sizes(small, 2 * 48 * 24 + 16 * 8 * 9, 0);
}

/* A name that leads to the target's sizes goes before one that leads to others; what only ends alike does not lead to
 * other sizes at all. */
static void test_equal_sizes_go_first(void **state)
{
    (void)state;
    static const part wanted[] = {{"a.b.fc.weight", "OI", 2, {12, 20}}, {"conv.weight", "OIHW", 4, {6, 4, 3, 3}}};
    static const part there[] = {
        {"a.b.fc.weight", "", 2, {13, 20}}, {"module.a.b.fc.weight", "", 2, {12, 20}}, {"b.conv.weight", "", 4, {7, 4, 3, 3}}};
    static const part ends[] = {{"fc.weight", "", 2, {13, 20}}, {"conv.weight", "", 4, {6, 4, 3, 3}}};
    wmk_key *key = parts_key(wanted, 2, WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 16, 1);
    wmk_verification found;
    parts_write(parts_path("model"), there, 3, 3);
    verify_file(&found, parts_path("model"), key);
    assert_int_equal(found.tensor_count, 1);
    assert_string_equal(found.matched[0].tensor, "module.a.b.fc.weight");
    assert_int_equal(found.tensors_partial, 0);
    wmk_verification_free(&found);
    parts_write(parts_path("model"), ends, 2, 3);
    verify_file(&found, parts_path("model"), key);
    assert_int_equal(found.tensor_count, 1);
    assert_string_equal(found.matched[0].tensor, "conv.weight");
    wmk_verification_free(&found);
    wmk_key_free(key);
}

/* Nothing seen in less than half of the weights is no answer; in half of them it is. */
static void test_little_read(void **state)
{
    (void)state;
    static const part wanted[] = {{"a", "OI", 2, {20, 40}}, {"b", "OI", 2, {20, 40}}};
    static const part half[] = {{"a", "", 2, {20, 40}}}, less[] = {{"a", "", 2, {20, 39}}}, other[] = {{"a", "", 3, {20, 40, 2}}};
    wmk_key *key = parts_key(wanted, 2, WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 16, 1);
    const wmk_verify_options options = WMK_VERIFY_OPTIONS_INIT;
    wmk_verification found;
    parts_write(parts_path("model"), half, 1, 3);
    verify_file(&found, parts_path("model"), key);
    assert_true(found.share_read == 0.5 && found.tensors_missing == 1);
    assert_int_equal(found.evidence.verdict, WMK_NOT_FOUND);
    assert_int_equal(found.reason, WMK_REASON_NONE);
    wmk_verification_free(&found);
    parts_write(parts_path("model"), less, 1, 3);
    verify_file(&found, parts_path("model"), key);
    assert_true(found.share_read == 0.4875 && found.tensors_partial == 1 && found.matched[0].share == 0.975);
    assert_int_equal(found.evidence.verdict, WMK_INCONCLUSIVE);
    assert_int_equal(found.reason, WMK_REASON_LITTLE_READ);
    assert_string_equal(wmk_reason_name(found.reason), "little-read");
    wmk_verification_free(&found);
    parts_write(parts_path("model"), other, 1, 3);
    wmk_model *model = parts_open(parts_path("model"));
    assert_fails(wmk_model_verify(&found, model, key, &options), WMK_ERROR_MISMATCH, "[20, 40, 2]");
    wmk_model_close(model);
    wmk_key_free(key);
}

static void test_never_marked(void **state)
{
    (void)state;
    static const part wanted[] = {{"a", "OI", 2, {20, 40}}}, there[] = {{"a", "", 2, {21, 40}}};
    wmk_key *key = parts_key(wanted, 1, WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 16, 1);
    const wmk_embed_options options = WMK_EMBED_OPTIONS_INIT;
    parts_write(parts_path("model"), there, 1, 3);
    wmk_model *model = parts_open(parts_path("model"));
    assert_fails(wmk_model_embed(model, key, parts_path("marked"), false, &options, NULL, NULL, NULL, NULL), WMK_ERROR_MISMATCH, "[21, 40]");
    wmk_model_close(model);
    wmk_key_free(key);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, parts_set_up, parts_tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_of_axes), cmocka_unit_test(test_overlap), TEST(test_other_sizes),
        TEST(test_equal_sizes_go_first),      TEST(test_little_read),         TEST(test_never_marked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
