/* Patched copies in which tensors are written anew, in parts and more than once, against the same changes made to the file's bytes by hand. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmocka_wmk.h"
#include "model/patch.h"

enum { BIG = 3 << 20, SMALL = 333, MIDDLE = 2 << 20 }; /* floats: panels large enough to be given back */

static char folder[] = "/tmp/wmk-test-patch-XXXXXX";

static int enter(void **state)
{
    (void)state;
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    (void)state;
    unlink("model");
    unlink("copy");
    return chdir("/") == 0 && rmdir(folder) == 0 ? 0 : -1;
}

static unsigned char *contents(const char *path, size_t *size)
{
    wmk_map map;
    assert_ok(wmk_map_open(&map, path));
    unsigned char *bytes = malloc(map.size);
    memcpy(bytes, map.data, map.size);
    *size = map.size;
    wmk_map_close(&map);
    return bytes;
}

static wmk_model *make_model(void)
{
    static const struct {
        const char *name;
        uint64_t count;
    } part[] = {{"big", BIG}, {"small", SMALL}, {"middle", MIDDLE}};
    wmk_tensor_view views[3];
    for (int t = 0; t < 3; t++) {
        float *values = malloc(part[t].count * sizeof *values);
        for (uint64_t i = 0; i < part[t].count; i++) values[i] = (float)(i % 1000 + 1000 * (uint64_t)t);
        views[t] = (wmk_tensor_view){.name = part[t].name, .dtype = WMK_F32, .rank = 1, .shape = {part[t].count}, .data = values};
    }
    assert_ok(wmk_model_write("model", views, 3, NULL, 0, true));
    for (int t = 0; t < 3; t++) free((void *)(uintptr_t)views[t].data);
    wmk_model *model;
    assert_ok(wmk_model_open(&model, "model"));
    return model;
}

static size_t index_of(const wmk_model *model, const char *name)
{
    size_t i = 0;
    while (strcmp(wmk_model_tensor_at(model, i)->view.name, name) != 0) i++;
    return i;
}

/* Element i of `big` in a round: some stretches as they were, others not. */
static float next_value(uint64_t i, int round)
{
    float was = (float)(i % 1000);
    return i / 100000 % 3 == (uint64_t)round % 3 ? was : was + (float)round;
}

static void compare(const unsigned char *want, size_t size)
{
    size_t copy_size;
    unsigned char *copy = contents("copy", &copy_size);
    assert_int_equal(copy_size, size);
    for (size_t i = 0; i < size; i++)
        if (copy[i] != want[i]) fail_msg("byte %zu is %d, not %d", i, copy[i], want[i]);
    free(copy);
    unlink("copy");
}

/* rounds: how often it is written; flushed: what part of it, in twentieths, from the end on, the last one excepted. */
static void write_anew(int rounds, uint64_t flushed)
{
    size_t size;
    wmk_model *model = make_model();
    unsigned char *want = contents("model", &size);
    wmk_patch *patch;
    void *big, *middle;
    size_t index = index_of(model, "big");
    assert_ok(wmk_patch_begin(&patch, model, "copy", false));
    assert_ok(wmk_patch_data_anew(patch, index, &big));
    assert_ok(wmk_patch_data(patch, index_of(model, "middle"), &middle));
    assert_memory_equal(middle, wmk_model_find(model, "middle")->view.data, MIDDLE * 4);
    for (int round = 1; round <= rounds; round++)
        for (uint64_t k = 20; k-- > 0;) { /* from the end to the beginning */
            uint64_t from = BIG / 20 * k, to = k == 19 ? BIG : BIG / 20 * (k + 1);
            for (uint64_t i = from; i < to; i++) ((float *)big)[i] = next_value(i, round);
            if (k == 19 || k >= flushed) continue;
            assert_ok(wmk_patch_flush(patch, index, 4 * from, 4 * (to - from)));
            wmk_patch_give_back(patch, (const float *)big + from, 4 * (to - from));
            assert_true(((float *)big)[from + 5] == next_value(from + 5, round) && ((float *)big)[to - 1] == next_value(to - 1, round));
        }
    ((float *)middle)[7] = 42;
    ((float *)middle)[MIDDLE - 1] = 43;
    wmk_patch_give_back(patch, "elsewhere", 9); /* is left alone */
    for (uint64_t i = 0; i < BIG; i++) {
        float value = next_value(i, rounds);
        memcpy(want + wmk_model_find(model, "big")->offset_bytes + 4 * i, &value, 4);
    }
    float changed[] = {42, 43};
    uint64_t offset = wmk_model_find(model, "middle")->offset_bytes;
    memcpy(want + offset + 4 * 7, &changed[0], 4);
    memcpy(want + offset + 4 * (MIDDLE - 1), &changed[1], 4);
    assert_ok(wmk_patch_commit(patch));
    wmk_model_close(model);
    compare(want, size);
    free(want);
}

static void written_once(void **state)
{
    (void)state;
    write_anew(1, 20);
}

static void written_again(void **state)
{
    (void)state;
    write_anew(4, 20);
}

static void partly_flushed(void **state)
{
    (void)state;
    write_anew(1, 0);
    write_anew(2, 9);
}

static void nothing_written(void **state)
{
    (void)state;
    size_t size;
    wmk_model *model = make_model();
    unsigned char *want = contents("model", &size);
    wmk_patch *patch;
    assert_ok(wmk_patch_begin(&patch, model, "copy", false));
    assert_ok(wmk_patch_commit(patch));
    wmk_model_close(model);
    compare(want, size);
    free(want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(written_once), cmocka_unit_test(written_again), cmocka_unit_test(partly_flushed),
                                       cmocka_unit_test(nothing_written)};
    return cmocka_run_group_tests(tests, enter, leave);
}
