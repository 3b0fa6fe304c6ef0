/* curve HOST DATA BATCH STEPS RATE none|random OUT: plain training for STEPS steps at a constant rate. OUT holds the initial weights, every batch and each
 * step's losses, so that somebody else can repeat it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dump.h"

#define LAMBDA 0.01
#define MOMENTUM 0.9
#define WEIGHT_DECAY 5e-4

typedef struct record { /* what is kept of each step; grey images, so one channel is enough */
    float *images;      /* [steps][batch][32][32] */
    int32_t *labels;    /* [steps][batch] */
    float *loss;        /* [steps] E_0 */
    double *e_r;        /* [steps] sum over bits, at the weights the step began with */
} record;

static void keep_batch(record *r, size_t step, size_t batch, const float *images, const int32_t *labels)
{
    const size_t area = WMK_IMAGE_SIZE * WMK_IMAGE_SIZE;
    for (size_t i = 0; i < batch; i++) memcpy(r->images + (step * batch + i) * area, images + i * WMK_IMAGE_ELEMENTS, area * sizeof *images);
    memcpy(r->labels + step * batch, labels, batch * sizeof *labels);
}

static void train(record *r, const wmk_host *host, wmk_plan *plan, wmk_loader *loader, const marking *m, size_t batch, size_t steps, double rate)
{
    wmk_sgd *sgd;
    MUST(wmk_sgd_create(&sgd, host->graph, plan, MOMENTUM, true, WEIGHT_DECAY));
    float *images = wmk_plan_input(plan, host->images);
    int32_t *labels = wmk_plan_input(plan, host->labels);
    for (size_t step = 0; step < steps; step++) {
        size_t count;
        MUST(wmk_loader_next(loader, images, labels, &count));
        keep_batch(r, step, batch, images, labels);
        MUST(wmk_plan_forward(plan));
        r->loss[step] = *wmk_plan_output(plan, host->loss);
        MUST(wmk_plan_backward(plan));
        if (m->key) MUST(wmk_regularizer_step(m->regularizer, LAMBDA, m->gradients, &r->e_r[step], NULL));
        MUST(wmk_sgd_step(sgd, rate));
    }
    wmk_sgd_free(sgd);
}

int main(int argc, char **argv)
{
    if (argc != 8) return fprintf(stderr, "usage: curve HOST DATA BATCH STEPS RATE none|random OUT\n"), 2;
    const size_t batch = strtoul(argv[3], NULL, 10), steps = strtoul(argv[4], NULL, 10);
    wmk_host host;
    wmk_dataset *dataset;
    MUST(wmk_host_create(&host, argv[1], 10, 17));
    MUST(wmk_dataset_open(&dataset, argv[2], WMK_SPLIT_TRAIN));

    wmk_plan *plan;
    wmk_plan_options options = WMK_PLAN_OPTIONS_INIT;
    options.batch = (int64_t)batch;
    MUST(wmk_plan_create(&plan, host.graph, &host.loss, 1, &options));
    wmk_loader *loader;
    wmk_loader_options loader_options = WMK_LOADER_OPTIONS_INIT;
    loader_options.batch = batch;
    loader_options.shuffle = loader_options.drop_last = true;
    MUST(wmk_loader_create(&loader, dataset, &loader_options));

    dump d = {0};
    dump_parameters(&d, "parameter.", host.graph);
    marking m;
    marking_create(&m, argv[6], 64, LAMBDA, argv[1], &host, plan);
    dump_marking(&d, &m);

    const int64_t n = (int64_t)steps, per_step = (int64_t)batch;
    record r = {.images = take(steps * batch * WMK_IMAGE_SIZE * WMK_IMAGE_SIZE, sizeof(float)),
                .labels = take(steps * batch, sizeof(int32_t)),
                .loss = take(steps, sizeof(float)),
                .e_r = take(steps, sizeof(double))};
    train(&r, &host, plan, loader, &m, batch, steps, atof(argv[5]));
    dump_add(&d, "", "images", WMK_F32, 4, (int64_t[]){n, per_step, WMK_IMAGE_SIZE, WMK_IMAGE_SIZE}, r.images);
    dump_add(&d, "", "labels", WMK_I32, 2, (int64_t[]){n, per_step}, r.labels);
    dump_add(&d, "", "loss", WMK_F32, 1, &n, r.loss);
    dump_add(&d, "", "e_r", WMK_F64, 1, &n, r.e_r);
    dump_write(&d, argv[7]);

    free(r.images);
    free(r.labels);
    free(r.loss);
    free(r.e_r);
    marking_free(&m);
    wmk_loader_free(loader);
    wmk_plan_free(plan);
    wmk_dataset_free(dataset);
    wmk_host_free(&host);
    return 0;
}
