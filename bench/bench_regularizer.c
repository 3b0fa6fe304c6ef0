/* bench_regularizer [ROUNDS]: what a mark adds to a training step of WRN-10-4, batch 64, f32: random 256 bits in conv2 (the paper's), and partition over all
 * weights. Each round takes one step and one evaluation of each regularizer in turn, caches as a step leaves them. Medians:
 *     step_ms random_ms random_percent partition_ms partition_percent */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <weightmark/train.h>

#define HOST "wrn-10-4"
#define MUST(call) must((call), #call)

static void must(wmk_status status, const char *call)
{
    if (status == WMK_OK) return;
    fprintf(stderr, "bench_regularizer: %s: %s\n", call, wmk_error_message());
    exit(1);
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *times, int count)
{
    qsort(times, (size_t)count, sizeof *times, by_size);
    return times[count / 2];
}

typedef struct mark { /* a regularizer over a graph's own weights and a plan's own gradients */
    wmk_key *key;
    wmk_regularizer *regularizer;
    float **gradients;
    double *times;
} mark;

static void mark_create(mark *m, wmk_scheme scheme, wmk_carrier carrier, const char *selectors, const wmk_host *host, wmk_plan *plan, int rounds)
{
    wmk_targets all = {0}, chosen = {0};
    MUST(wmk_host_targets(&all, HOST));
    MUST(wmk_targets_select(&chosen, &all, selectors));
    wmk_key_options options = WMK_KEY_OPTIONS_INIT;
    options.scheme = scheme;
    options.carrier = carrier;
    options.targets = chosen.target;
    options.target_count = chosen.count;
    MUST(wmk_key_create(&m->key, &options));
    wmk_tensor_view *views = calloc(chosen.count, sizeof *views);
    m->gradients = calloc(chosen.count, sizeof *m->gradients);
    m->times = calloc((size_t)rounds, sizeof *m->times);
    if (!views || !m->gradients || !m->times) exit(4);
    for (size_t i = 0; i < chosen.count; i++) {
        const wmk_target *t = &chosen.target[i];
        const wmk_parameter *p = wmk_graph_find_parameter(host->graph, t->name);
        views[i] = (wmk_tensor_view){.name = p->name, .dtype = WMK_F32, .rank = t->rank, .data = p->data};
        memcpy(views[i].shape, t->shape, sizeof t->shape);
        memcpy(views[i].layout, t->layout, sizeof t->layout);
        m->gradients[i] = wmk_plan_gradient(plan, p->value);
    }
    MUST(wmk_regularizer_create(&m->regularizer, m->key, views, 1.0));
    free(views);
    wmk_targets_free(&chosen);
    wmk_targets_free(&all);
}

static void mark_free(mark *m)
{
    wmk_regularizer_free(m->regularizer);
    wmk_key_free(m->key);
    free(m->gradients);
    free(m->times);
}

int main(int argc, char **argv)
{
    const int rounds = argc > 1 ? atoi(argv[1]) : 15;
    if (rounds < 1) return fprintf(stderr, "usage: bench_regularizer [ROUNDS]\n"), 2;
    wmk_host host;
    wmk_plan *plan;
    wmk_sgd *sgd;
    wmk_plan_options options = WMK_PLAN_OPTIONS_INIT;
    MUST(wmk_host_create(&host, HOST, 10, 1));
    MUST(wmk_plan_create(&plan, host.graph, &host.loss, 1, &options));
    MUST(wmk_sgd_create(&sgd, host.graph, plan, 0.9, true, 5e-4));
    float *images = wmk_plan_input(plan, host.images);
    int32_t *labels = wmk_plan_input(plan, host.labels);
    for (int64_t i = 0; i < options.batch * WMK_IMAGE_ELEMENTS; i++) images[i] = (float)(i * 7919 % 4001) / 1000 - 2;
    for (int64_t i = 0; i < options.batch; i++) labels[i] = (int32_t)(i % 10);

    mark marks[2] = {0};
    mark_create(&marks[0], WMK_SCHEME_RANDOM, WMK_CARRIER_MEAN, "conv2", &host, plan, rounds);
    mark_create(&marks[1], WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, "all", &host, plan, rounds);
    double *steps = calloc((size_t)rounds, sizeof *steps);
    if (!steps) return 4;
    for (int round = -2; round < rounds; round++) {
        double begin = now_ms();
        MUST(wmk_plan_forward(plan));
        MUST(wmk_plan_backward(plan));
        double middle = now_ms(), took[2];
        for (int i = 0; i < 2; i++) {
            double start = now_ms();
            MUST(wmk_regularizer_step(marks[i].regularizer, 0.01, marks[i].gradients, NULL, NULL));
            took[i] = now_ms() - start;
        }
        double after = now_ms();
        MUST(wmk_sgd_step(sgd, 0.01));
        if (round < 0) continue; /* the first steps warm caches and thread pools */
        steps[round] = middle - begin + now_ms() - after;
        for (int i = 0; i < 2; i++) marks[i].times[round] = took[i];
    }
    double step = median(steps, rounds), random = median(marks[0].times, rounds), partition = median(marks[1].times, rounds);
    printf("%.2f %.4f %.4f %.4f %.4f\n", step, random, 100 * random / step, partition, 100 * partition / step);
    for (int i = 0; i < 2; i++) mark_free(&marks[i]);
    free(steps);
    wmk_sgd_free(sgd);
    wmk_plan_free(plan);
    wmk_host_free(&host);
    return 0;
}
