/* tests/train/test_host.c - hosts: names, shapes, sizes, first values; schedules. */
#include <math.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "train/host.h"
#include "train/schedule.h"
#include "train/schedule_values.h"

static wmk_host make(const char *name, uint32_t classes)
{
    wmk_host host;
    if (wmk_host_create(&host, name, classes, 1) != WMK_OK) fail_msg("%s", wmk_error_message());
    return host;
}

static size_t trained(const wmk_host *host)
{
    size_t sum = 0;
    const wmk_parameter *p;
    for (size_t i = 0; (p = wmk_graph_parameter_at(host->graph, i)); i++)
        if (p->role == WMK_PARAMETER_TRAINED) sum += p->count;
    return sum;
}

/* The published numbers of parameters: WRN-28-10 of the WRN paper's PyTorch code on CIFAR-10; the others on CIFAR-100, as the RepDistiller
 * benchmark (Tian et al. 2020) lists them. */
static void sizes_are_the_published_ones(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t classes;
        size_t parameters;
    } known[] = {{"wrn-28-10", 10, 36479194}, {"wrn-40-2", 100, 2255156}, {"wrn-16-2", 100, 703284}, {"wrn-40-1", 100, 569780}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        wmk_host host;
        assert_int_equal(wmk_host_build(&host, known[i].name, known[i].classes), WMK_OK);
        assert_int_equal(trained(&host), known[i].parameters);
        wmk_host_free(&host);
    }
}

static void names_and_shapes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t dims[4];
    } expected[] = {
        {"conv1.weight", {16, 3, 3, 3}},
        {"conv2.0.bn1.weight", {16}},
        {"conv2.0.bn1.bias", {16}},
        {"conv2.0.bn1.running_mean", {16}},
        {"conv2.0.bn1.running_var", {16}},
        {"conv2.0.conv1.weight", {64, 16, 3, 3}},
        {"conv2.0.bn2.weight", {64}},
        {"conv2.0.bn2.bias", {64}},
        {"conv2.0.bn2.running_mean", {64}},
        {"conv2.0.bn2.running_var", {64}},
        {"conv2.0.conv2.weight", {64, 64, 3, 3}},
        {"conv2.0.shortcut.weight", {64, 16, 1, 1}},
        {"conv3.0.bn1.weight", {64}},
        {"conv3.0.bn1.bias", {64}},
        {"conv3.0.bn1.running_mean", {64}},
        {"conv3.0.bn1.running_var", {64}},
        {"conv3.0.conv1.weight", {128, 64, 3, 3}},
        {"conv3.0.bn2.weight", {128}},
        {"conv3.0.bn2.bias", {128}},
        {"conv3.0.bn2.running_mean", {128}},
        {"conv3.0.bn2.running_var", {128}},
        {"conv3.0.conv2.weight", {128, 128, 3, 3}},
        {"conv3.0.shortcut.weight", {128, 64, 1, 1}},
        {"conv4.0.bn1.weight", {128}},
        {"conv4.0.bn1.bias", {128}},
        {"conv4.0.bn1.running_mean", {128}},
        {"conv4.0.bn1.running_var", {128}},
        {"conv4.0.conv1.weight", {256, 128, 3, 3}},
        {"conv4.0.bn2.weight", {256}},
        {"conv4.0.bn2.bias", {256}},
        {"conv4.0.bn2.running_mean", {256}},
        {"conv4.0.bn2.running_var", {256}},
        {"conv4.0.conv2.weight", {256, 256, 3, 3}},
        {"conv4.0.shortcut.weight", {256, 128, 1, 1}},
        {"bn.weight", {256}},
        {"bn.bias", {256}},
        {"bn.running_mean", {256}},
        {"bn.running_var", {256}},
        {"fc.weight", {10, 256}},
        {"fc.bias", {10}},
    };
    const size_t count = sizeof expected / sizeof *expected;
    wmk_host host = make("wrn-10-4", 10);
    assert_int_equal(wmk_graph_parameter_count(host.graph), count);
    for (size_t i = 0; i < count; i++) {
        const wmk_parameter *p = wmk_graph_find_parameter(host.graph, expected[i].name);
        if (!p) fail_msg("no %s", expected[i].name);
        for (uint32_t a = 0; a < 4; a++) assert_int_equal(expected[i].dims[a], a < p->rank ? p->dims[a] : 0);
        assert_int_equal(p->role == WMK_PARAMETER_STATISTIC, strstr(p->name, "running_") != NULL);
    }
    wmk_host_free(&host);
}

/* Variance of a He-normal tensor, bounds of a uniform one, constants; the same seed gives the same values, another one others. */
static void first_values(void **state)
{
    (void)state;
    wmk_host host = make("wrn-10-4", 10), again = make("wrn-10-4", 100), other;
    assert_int_equal(wmk_host_create(&other, "wrn-10-4", 10, 2), WMK_OK);
    const wmk_parameter *p = wmk_graph_find_parameter(host.graph, "conv4.0.conv2.weight");
    double sum = 0, squares = 0, fourth = 0, n = (double)p->count;
    for (size_t i = 0; i < p->count; i++) sum += p->data[i], squares += pow(p->data[i], 2), fourth += pow(p->data[i], 4);
    const double variance = 2.0 / (256 * 9);
    assert_true(fabs(sum / n) < 4 * sqrt(variance / n));
    assert_true(fabs(squares / n / variance - 1) < 5 * sqrt(2 / n));
    assert_true(fabs(fourth / n / (3 * variance * variance) - 1) < 0.03); /* a normal's fourth moment */
    const wmk_parameter *q = wmk_graph_find_parameter(again.graph, p->name), *r = wmk_graph_find_parameter(other.graph, p->name);
    assert_memory_equal(p->data, q->data, p->count * sizeof(float)); /* the head's size changes nothing else */
    assert_memory_not_equal(p->data, r->data, p->count * sizeof(float));
    p = wmk_graph_find_parameter(host.graph, "fc.weight");
    float least = 1, most = -1;
    for (size_t i = 0; i < p->count; i++) least = fminf(least, p->data[i]), most = fmaxf(most, p->data[i]);
    assert_true(least >= -1.0f / 16 && least < -0.06f && most <= 1.0f / 16 && most > 0.06f);
    p = wmk_graph_find_parameter(host.graph, "fc.bias");
    assert_true(p->data[0] != 0 && fabsf(p->data[0]) <= 1.0f / 16);
    assert_true(wmk_graph_find_parameter(host.graph, "bn.weight")->data[5] == 1 &&
                wmk_graph_find_parameter(host.graph, "bn.running_var")->data[5] == 1);
    assert_true(wmk_graph_find_parameter(host.graph, "bn.bias")->data[5] == 0 &&
                wmk_graph_find_parameter(host.graph, "bn.running_mean")->data[5] == 0);
    wmk_host_free(&host), wmk_host_free(&again), wmk_host_free(&other);
}

static void other_hosts(void **state)
{
    (void)state;
    wmk_host host = make("wrn-ref-10-4", 10);
    assert_non_null(wmk_graph_find_parameter(host.graph, "conv1.bias"));
    assert_non_null(wmk_graph_find_parameter(host.graph, "conv3.0.conv2.bias"));
    assert_true(wmk_graph_find_parameter(host.graph, "conv2.0.bn1.weight")->dims[0] == 64); /* after its convolution */
    assert_null(wmk_graph_find_parameter(host.graph, "bn.weight"));
    wmk_host_free(&host);
    host = make("mlp-2-64", 10);
    assert_int_equal(trained(&host), 3072 * 64 + 64 + 64 * 64 + 64 + 64 * 10 + 10);
    wmk_host_free(&host);
    wmk_targets targets;
    assert_int_equal(wmk_host_targets(&targets, "wrn-10-4"), WMK_OK);
    assert_int_equal(targets.count, 11); /* 1 + 3 x (2 + shortcut) + fc */
    assert_string_equal(targets.target[2].name, "conv2.0.conv2.weight");
    assert_string_equal(targets.target[2].layout, "OIHW");
    assert_true(targets.target[2].shape[0] == 64 && targets.target[2].shape[3] == 3);
    assert_string_equal(targets.target[10].layout, "OI");
    wmk_targets_free(&targets);
}

static void refusals(void **state)
{
    (void)state;
    wmk_host host;
    static const struct {
        const char *name;
        wmk_status status;
        const char *says;
    } bad[] = {
        {"resnet", WMK_ERROR_MISSING, "wrn-D-k"},    {"wrn-10", WMK_ERROR_MISSING, "wrn-D-k"},         {"wrn-10-4x", WMK_ERROR_MISSING, "wrn-D-k"},
        {"wrn--4", WMK_ERROR_MISSING, "wrn-D-k"},    {"wrn-11-4", WMK_ERROR_ARGUMENT, "6 N + 4"},      {"wrn-4-4", WMK_ERROR_ARGUMENT, "6 N + 4"},
        {"wrn-10-0", WMK_ERROR_ARGUMENT, "width 0"}, {"wrn-10-65", WMK_ERROR_ARGUMENT, "width 65"},    {"wrn-99999-4", WMK_ERROR_ARGUMENT, "6 N + 4"},
        {"mlp-0-4", WMK_ERROR_ARGUMENT, "hidden"},   {"wrn-999999-4", WMK_ERROR_MISSING, "not known"}, {"", WMK_ERROR_MISSING, "not known"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(wmk_host_create(&host, bad[i].name, 10, 1), bad[i].status);
        if (!strstr(wmk_error_message(), bad[i].says)) fail_msg("%s: \"%s\"", bad[i].name, wmk_error_message());
    }
    assert_int_equal(wmk_host_create(&host, "wrn-10-1", 1, 1), WMK_ERROR_ARGUMENT);
}

static void compare(const char *name, const double *expected, uint64_t steps)
{
    wmk_schedule schedule;
    assert_int_equal(wmk_schedule_find(&schedule, name), WMK_OK);
    for (uint64_t i = 0; i < steps; i++)
        if (fabs(schedule(0.1, i, steps) - expected[i]) > 1e-12)
            fail_msg("%s at %d of %d: %.17g, not %.17g", name, (int)i, (int)steps, schedule(0.1, i, steps), expected[i]);
}

static void schedules_are_torchs(void **state)
{
    (void)state;
    compare("onecycle", (double[])ONECYCLE_20, 20);
    compare("onecycle", (double[])ONECYCLE_50, 50);
    compare("cosine", (double[])COSINE_20, 20);
    compare("cosine", (double[])COSINE_50, 50);
    compare("paper", (double[])PAPER_20, 20);
    compare("paper", (double[])PAPER_50, 50);
    wmk_schedule schedule;
    for (uint64_t steps = 1; steps < 8; steps++) { /* short runs: positive, at most the peak */
        assert_int_equal(wmk_schedule_find(&schedule, "onecycle"), WMK_OK);
        for (uint64_t i = 0; i < steps; i++) assert_true(schedule(0.1, i, steps) > 0 && schedule(0.1, i, steps) <= 0.1);
    }
    assert_int_equal(wmk_schedule_find(&schedule, "constant"), WMK_OK);
    assert_true(schedule(0.1, 7, 9) == 0.1);
    assert_int_equal(wmk_schedule_find(&schedule, "linear"), WMK_ERROR_ARGUMENT);
    assert_non_null(strstr(wmk_error_message(), "paper, onecycle, cosine, constant"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_the_published_ones),
        cmocka_unit_test(names_and_shapes),
        cmocka_unit_test(first_values),
        cmocka_unit_test(other_hosts),
        cmocka_unit_test(refusals),
        cmocka_unit_test(schedules_are_torchs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
