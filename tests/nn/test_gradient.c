/* Every operator's backward against finite differences of its own forward: five-point stencil, the loss behind the operator summed in
 * double from the operator's output, so that only the rounding of that output is left as noise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "net.h"
#include "nn/op.h"

static double loss_at(const test_net *net, wmk_plan *plan, float *element, float value)
{
    float keep = *element;
    *element = value;
    assert_int_equal(wmk_plan_forward(plan), WMK_OK);
    double loss = net_loss(net, plan);
    *element = keep;
    return loss;
}

static bool parameter_check(const char *line, const test_net *net, wmk_plan *plan, const wmk_parameter *parameter)
{
    const float h = 1.0f / 64; /* below half the distance to any kink, see net_fill */
    float *gradient = malloc(parameter->count * sizeof *gradient), *expected = malloc(parameter->count * sizeof *expected);
    memcpy(gradient, wmk_plan_gradient(plan, parameter->value), parameter->count * sizeof *gradient);
    for (size_t i = 0; i < parameter->count; ++i) {
        float *at = &parameter->data[i], x = *at;
        double near = loss_at(net, plan, at, x + h) - loss_at(net, plan, at, x - h);
        double far = loss_at(net, plan, at, x + 2 * h) - loss_at(net, plan, at, x - 2 * h);
        expected[i] = (float)((8 * near - far) / (12 * (double)h));
    }
    char what[600];
    snprintf(what, sizeof what, "%s: gradient of %s", line, parameter->name);
    bool good = net_close(what, gradient, expected, parameter->count, 3e-4, 1e-3);
    double largest = 0;
    for (size_t i = 0; i < parameter->count; ++i) largest = fmax(largest, fabs((double)expected[i]));
    if (largest < 1e-4) fprintf(stderr, "%s: too small to test anything\n", what);
    free(gradient);
    free(expected);
    return good && largest >= 1e-4;
}

static void check_all(wmk_engine engine)
{
    size_t failed = 0, count = 0;
    for (size_t i = 0; cases_small[i]; ++i, ++count) {
        test_net net;
        wmk_plan *plan;
        if (net_build(&net, cases_small[i]) != WMK_OK || net_plan(&plan, &net, engine, WMK_PRECISION_F32) != WMK_OK) {
            fprintf(stderr, "%s: %s\n", cases_small[i], wmk_error_message());
            ++failed;
            net_free(&net);
            continue;
        }
        net_fill(&net, cases_small[i], NET_SMOOTH, 7 + i);
        net_feed(&net, plan, 11 + i);
        assert_int_equal(wmk_plan_forward(plan), WMK_OK);
        bool good = net_loss_right(cases_small[i], &net, plan);
        assert_int_equal(wmk_plan_backward(plan), WMK_OK);
        /* All gradients are read before the first element moves: later passes overwrite none of them, only backward does. */
        for (size_t p = 0; p < wmk_graph_parameter_count(net.graph); ++p) {
            const wmk_parameter *parameter = wmk_graph_parameter_at(net.graph, p);
            if (parameter->role == WMK_PARAMETER_TRAINED) good &= parameter_check(cases_small[i], &net, plan, parameter);
        }
        failed += !good;
        wmk_plan_free(plan);
        net_free(&net);
    }
    printf("%zu operators and attributes checked by finite differences, %zu failed\n", count, failed);
    assert_int_equal(failed, 0);
}

static void reference(void **state)
{
    (void)state;
    check_all(WMK_ENGINE_REFERENCE);
}

static void onednn(void **state)
{
    (void)state;
    check_all(WMK_ENGINE_ONEDNN);
}

/* A new operator without a case would be an operator without a test. */
static void every_operator_has_cases(void **state)
{
    (void)state;
    const char *const *const tables[] = {cases_small, cases_shapes};
    size_t count;
    const wmk_operator *const *operators = wmk_operators(&count);
    assert_true(count > 0);
    for (size_t i = 0; i < count; ++i) {
        for (size_t t = 0; t < 2; ++t) {
            bool found = false;
            size_t length = strlen(operators[i]->name);
            for (const char *const *line = tables[t]; *line; ++line) found |= !strncmp(*line, operators[i]->name, length) && (*line)[length] == ' ';
            if (!found) fail_msg("%s has no line in %s", operators[i]->name, t ? "cases_shapes" : "cases_small");
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_operator_has_cases), cmocka_unit_test(reference), cmocka_unit_test(onednn)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
