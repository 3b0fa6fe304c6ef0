/* wmk_attack_run on a model file: which tensors are touched, what the copy holds, and what is refused. */
#include "cmocka_wmk.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <weightmark/attack.h>

static char folder[] = "/tmp/wmk-attack-XXXXXX";
static char model_path[64], out_path[64];
static const float weights[4][2] = {{1, -4}, {0.5f, 3}, {-2, 0.25f}, {8, -0.125f}};
static const float bias[4] = {0.01f, 0.02f, 0.03f, 0.04f};

static void write_model(const void *first)
{
    wmk_tensor_view views[3] = {{.name = "fc.weight", .dtype = WMK_F32, .rank = 2, .shape = {4, 2}, .layout = "OI", .data = first},
                                {.name = "fc.bias", .dtype = WMK_F32, .rank = 1, .shape = {4}, .data = bias},
                                {.name = "other.weight", .dtype = WMK_F32, .rank = 2, .shape = {4, 2}, .layout = "OI", .data = weights}};
    assert_int_equal(wmk_model_write(model_path, views, 3, NULL, 0, true), WMK_OK);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(model_path, sizeof model_path, "%s/m.safetensors", folder);
    snprintf(out_path, sizeof out_path, "%s/o.safetensors", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(model_path);
    unlink(out_path);
    return rmdir(folder); /* fails when something unfinished was left behind */
}

static wmk_status attack(const char *glob, const char *rate, const char *order, bool replace, wmk_attack_result *result)
{
    wmk_model *model;
    wmk_attack_setting settings[2] = {{"rate", rate}, {"order", order}};
    assert_int_equal(wmk_model_open(&model, model_path), WMK_OK);
    wmk_status status = wmk_attack_run(wmk_attack_find("prune"), model, glob, settings, order ? 2 : 1, 1, out_path, replace, result);
    wmk_model_close(model);
    return status;
}

static void read_tensor(float *out, size_t count, const char *name)
{
    wmk_model *model;
    assert_int_equal(wmk_model_open(&model, out_path), WMK_OK);
    const wmk_model_tensor *tensor = wmk_model_find(model, name);
    assert_non_null(tensor);
    assert_int_equal(tensor->size_bytes, count * sizeof *out);
    memcpy(out, tensor->view.data, count * sizeof *out);
    wmk_model_close(model);
}

/* By hand: |W| sorted is 0.125 0.25 0.5 1 | 2 3 4 8. */
static void every_matrix(void **state)
{
    (void)state;
    static const float half[8] = {0, -4, 0, 3, -2, 0, 8, 0};
    wmk_attack_result result;
    float got[8];
    write_model(weights);
    assert_int_equal(attack(NULL, "0.5", NULL, true, &result), WMK_OK);
    assert_int_equal(result.tensors, 2);
    assert_int_equal(result.weights, 16);
    assert_int_equal(result.changed, 8);
    double kept = 4 + 9 + 16 + 64, lost = 0.125 * 0.125 + 0.25 * 0.25 + 0.5 * 0.5 + 1;
    assert_true(fabs(result.relative_change - sqrt(lost / (kept + lost))) < 1e-12);
    read_tensor(got, 8, "fc.weight");
    assert_memory_equal(got, half, sizeof half);
    read_tensor(got, 8, "other.weight");
    assert_memory_equal(got, half, sizeof half);
    read_tensor(got, 4, "fc.bias");
    assert_memory_equal(got, bias, sizeof bias);
}

static void one_tensor_descending(void **state)
{
    (void)state;
    static const float expected[8] = {1, 0, 0.5f, 3, -2, 0.25f, 0, -0.125f};
    wmk_attack_result result;
    float got[8];
    write_model(weights);
    assert_int_equal(attack("fc.w*", "0.25", "descending", true, &result), WMK_OK);
    assert_int_equal(result.tensors, 1);
    read_tensor(got, 8, "fc.weight");
    assert_memory_equal(got, expected, sizeof expected);
    read_tensor(got, 8, "other.weight");
    assert_memory_equal(got, weights, sizeof weights);
}

static void refusals(void **state)
{
    (void)state;
    struct stat before, after;
    write_model(weights);
    assert_int_equal(attack(NULL, "0.5", NULL, true, NULL), WMK_OK);
    assert_int_equal(stat(out_path, &before), 0);
    assert_int_equal(attack(NULL, "0.5", NULL, false, NULL), WMK_ERROR_EXISTS);
    assert_int_equal(attack("none*", "0.5", NULL, true, NULL), WMK_ERROR_MISSING);
    assert_int_equal(attack(NULL, "1.5", NULL, true, NULL), WMK_ERROR_ARGUMENT);
    assert_int_equal(attack(NULL, "half", NULL, true, NULL), WMK_ERROR_ARGUMENT);
    assert_int_equal(attack(NULL, "0.5", "sideways", true, NULL), WMK_ERROR_ARGUMENT);
    float bad[4][2] = {{1, 2}, {3, NAN}, {5, 6}, {7, 8}};
    write_model(bad);
    assert_int_equal(attack(NULL, "0.5", NULL, true, NULL), WMK_ERROR_INPUT);
    assert_non_null(strstr(wmk_error_message(), "fc.weight"));
    assert_non_null(strstr(wmk_error_message(), "m.safetensors"));
    assert_int_equal(stat(out_path, &after), 0);
    assert_true(before.st_ino == after.st_ino && before.st_size == after.st_size); /* each refusal left the old output alone */
}

static void settings_are_checked(void **state)
{
    (void)state;
    wmk_model *model;
    wmk_attack_setting unknown = {"strength", "1"};
    write_model(weights);
    assert_int_equal(wmk_model_open(&model, model_path), WMK_OK);
    const wmk_attack *prune = wmk_attack_find("prune");
    assert_int_equal(wmk_attack_run(prune, model, NULL, &unknown, 1, 1, out_path, true, NULL), WMK_ERROR_ARGUMENT);
    assert_non_null(strstr(wmk_error_message(), "strength"));
    assert_int_equal(wmk_attack_run(prune, model, NULL, NULL, 0, 1, out_path, true, NULL), WMK_ERROR_ARGUMENT);
    assert_non_null(strstr(wmk_error_message(), "--rate"));
    wmk_model_close(model);
    assert_null(wmk_attack_find("nothing"));
    assert_null(wmk_attack_at(wmk_attack_count()));
    for (size_t i = 0; i < wmk_attack_count(); i++) assert_ptr_equal(wmk_attack_find(wmk_attack_name(wmk_attack_at(i))), wmk_attack_at(i));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_matrix),
        cmocka_unit_test(one_tensor_descending),
        cmocka_unit_test(refusals),
        cmocka_unit_test(settings_are_checked),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
