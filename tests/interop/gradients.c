/* gradients HOST BATCH none|random|spread|partition OUT: one forward and backward pass of a host from its initial weights on a fixed batch, then the
 * regularizer; all inputs and results go to OUT. */
#include <stdio.h>
#include <stdlib.h>

#include "dump.h"

#define CLASSES 10
#define LAMBDA 0.05 /* the mark's part of a gradient is then neither nearly all nor nearly nothing of it */

static uint32_t draw(uint32_t *state) { return *state = *state * 1664525u + 1013904223u; } /* Numerical Recipes' LCG */

/* Uniform noise in [-2, 2) and labels. */
static void fill_batch(float *images, int32_t *labels, int64_t batch)
{
    uint32_t state = 12345;
    for (int64_t i = 0; i < batch * WMK_IMAGE_ELEMENTS; i++) images[i] = (float)(draw(&state) >> 8) / (float)(1 << 22) - 2;
    for (int64_t i = 0; i < batch; i++) labels[i] = (int32_t)((draw(&state) >> 16) % CLASSES);
}

/* lambda * dE_R/dW alone, under "mark.". */
static void dump_mark_gradients(dump *d, const marking *m)
{
    float **alone = take(m->targets, sizeof *alone);
    for (size_t i = 0; i < m->targets; i++) {
        size_t count = 1;
        for (uint32_t axis = 0; axis < m->weights[i].rank; axis++) count *= (size_t)m->weights[i].shape[axis];
        alone[i] = take(count, sizeof **alone);
    }
    MUST(wmk_regularizer_step(m->regularizer, LAMBDA, alone, NULL, NULL));
    for (size_t i = 0; i < m->targets; i++) {
        int64_t dims[WMK_RANK_MAX];
        for (uint32_t axis = 0; axis < m->weights[i].rank; axis++) dims[axis] = (int64_t)m->weights[i].shape[axis];
        dump_add(d, "mark.", m->weights[i].name, WMK_F32, m->weights[i].rank, dims, alone[i]);
        free(alone[i]);
    }
    free(alone);
}

int main(int argc, char **argv)
{
    if (argc != 5) return fprintf(stderr, "usage: gradients HOST BATCH none|random|spread|partition OUT\n"), 2;
    const int64_t batch = atol(argv[2]);
    wmk_host host;
    MUST(wmk_host_create(&host, argv[1], CLASSES, 11));

    wmk_plan *plan;
    wmk_plan_options options = WMK_PLAN_OPTIONS_INIT;
    options.batch = batch;
    MUST(wmk_plan_create(&plan, host.graph, (wmk_value[]){host.loss, host.logits}, 2, &options));
    float *images = wmk_plan_input(plan, host.images);
    int32_t *labels = wmk_plan_input(plan, host.labels);
    fill_batch(images, labels, batch);

    dump d = {0};
    dump_add(&d, "", "images", WMK_F32, 4, (int64_t[]){batch, WMK_IMAGE_CHANNELS, WMK_IMAGE_SIZE, WMK_IMAGE_SIZE}, images);
    dump_add(&d, "", "labels", WMK_I32, 1, &batch, labels);
    dump_parameters(&d, "parameter.", host.graph);

    MUST(wmk_plan_forward(plan));
    dump_text(&d, "loss", "%.9g", (double)*wmk_plan_output(plan, host.loss));
    dump_add(&d, "", "logits", WMK_F32, 2, (int64_t[]){batch, CLASSES}, wmk_plan_output(plan, host.logits));
    MUST(wmk_plan_backward(plan));

    marking m;
    marking_create(&m, argv[3], 64, LAMBDA, argv[1], &host, plan);
    if (m.key) {
        double sum;
        dump_mark_gradients(&d, &m);
        MUST(wmk_regularizer_step(m.regularizer, LAMBDA, m.gradients, &sum, NULL));
        dump_text(&d, "e_r", "%.17g", sum);
    }
    dump_marking(&d, &m);
    for (size_t i = 0; i < wmk_graph_parameter_count(host.graph); i++) {
        const wmk_parameter *p = wmk_graph_parameter_at(host.graph, i);
        const float *gradient = wmk_plan_gradient(plan, p->value);
        if (gradient) dump_add(&d, "gradient.", p->name, WMK_F32, p->rank, p->dims, gradient);
    }
    dump_write(&d, argv[4]);
    marking_free(&m);
    wmk_plan_free(plan);
    wmk_host_free(&host);
    return 0;
}
