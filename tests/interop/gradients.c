/* gradients IN none|random|spread|partition|balanced OUT: one forward and backward pass of the host in IN, a file as PyTorch writes it with the host's name, and on
 * the batch in it ("images", "labels"); then the regularizer. Results go to OUT. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dump.h"

#define LAMBDA 0.05 /* the mark's part of a gradient is then neither nearly all nor nearly nothing of it */

static const wmk_model_tensor *find(const wmk_model *model, const char *name)
{
    const wmk_model_tensor *tensor = wmk_model_find(model, name);
    if (tensor) return tensor;
    fprintf(stderr, "%s: no tensor %s\n", wmk_model_path(model), name);
    exit(1);
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
    if (argc != 4) return fprintf(stderr, "usage: gradients IN none|random|spread|partition|balanced OUT\n"), 2;
    wmk_model *in;
    wmk_host host;
    MUST(wmk_model_open(&in, argv[1]));
    MUST(wmk_host_read(&host, in, 0, 1));
    const wmk_model_tensor *images = find(in, "images"), *labels = find(in, "labels");
    const char *name = wmk_model_metadata(in, "weightmark.host");

    wmk_plan *plan;
    wmk_plan_options options = WMK_PLAN_OPTIONS_INIT;
    options.batch = (int64_t)images->view.shape[0];
    MUST(wmk_plan_create(&plan, host.graph, (wmk_value[]){host.loss, host.logits}, 2, &options));
    memcpy(wmk_plan_input(plan, host.images), images->view.data, images->size_bytes);
    memcpy(wmk_plan_input(plan, host.labels), labels->view.data, labels->size_bytes);

    dump d = {0};
    MUST(wmk_plan_forward(plan));
    dump_text(&d, "loss", "%.9g", (double)*wmk_plan_output(plan, host.loss));
    dump_add(&d, "", "logits", WMK_F32, 2, (int64_t[]){options.batch, host.classes}, wmk_plan_output(plan, host.logits));
    MUST(wmk_plan_backward(plan));

    marking m;
    marking_create(&m, argv[2], 64, LAMBDA, name, &host, plan);
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
    dump_write(&d, argv[3]);
    marking_free(&m);
    wmk_plan_free(plan);
    wmk_host_free(&host);
    wmk_model_close(in);
    return 0;
}
