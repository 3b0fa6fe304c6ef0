/* bench_x - how fast X is made on one core: elements of N(0,1), columns of a partition, for every form this processor runs, and the bare
 * key stream they stand on. Best of several repetitions. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "mark/derive.h"
#include "mark/x.h"
#include "mark/x_deal.h"
#include "mark/x_normal.h"

enum { REPETITIONS = 15 };
static const size_t count = (size_t)1 << 20; /* a buffer that stays in the second-level cache or little more, reused as callers do */
static const size_t calls = 32;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Runs `work` REPETITIONS times and prints items per second of the quickest. */
#define MEASURE(label, unit, items, work)                                                                                                            \
    do {                                                                                                                                             \
        double best = 1e30;                                                                                                                          \
        for (int repetition = 0; repetition < REPETITIONS; repetition++) {                                                                           \
            double begin = now();                                                                                                                    \
            work;                                                                                                                                    \
            double took = now() - begin;                                                                                                             \
            if (took < best) best = took;                                                                                                            \
        }                                                                                                                                            \
        printf("%-28s %9.3f M %s/s\n", label, (double)(items) / best * 1e-6, unit);                                                                  \
    } while (0)

static int run(const wmk_key *random, const wmk_key *partition, float *x, uint16_t *deal)
{
    const size_t block = 4096; /* columns a call, as a reader of weights asks for them */
    char label[64];
    MEASURE("key stream", "bytes", calls * count, {
        for (size_t i = 0; i < calls * count; i += 4 * block) wmk_key_stream((uint8_t *)x, 4 * block, random->secret->x, 0, i / 64);
    });
    for (size_t f = 0; wmk_normal_form_at(f); f++) {
        const wmk_normal_form *form = wmk_normal_form_at(f);
        if (!form->usable()) continue;
        snprintf(label, sizeof label, "X random, %s", form->name);
        MEASURE(label, "elements", calls * count / 4, {
            for (size_t i = 0; i < calls * count / 4; i += block) wmk_x_normal_by(form, random, 3, i, block, x);
        });
        snprintf(label, sizeof label, "  conversion alone, %s", form->name);
        MEASURE(label, "elements", calls * count / 4, {
            for (size_t i = 0; i < calls * count / 4; i += block) form->convert(x, block);
        });
    }
    for (size_t f = 0; wmk_deal_form_at(f); f++) {
        const wmk_deal_form *form = wmk_deal_form_at(f);
        if (!form->usable()) continue;
        snprintf(label, sizeof label, "partition, %s", form->name);
        MEASURE(label, "columns", calls * count / 2, {
            for (size_t i = 0; i < calls * count / 2; i += block) wmk_x_deal_by(form, partition, i, block, deal);
        });
    }
    MEASURE("keys redrawn and freed", "keys", 1000, {
        for (int i = 0; i < 1000; i++) {
            wmk_key *drawn;
            if (wmk_key_redraw(&drawn, random, NULL) != WMK_OK) return 4;
            wmk_key_free(drawn);
        }
    });
    return 0;
}

int main(void)
{
    wmk_target target = {.name = "w", .layout = "O", .rank = 1, .shape = {1u << 30}};
    wmk_key_options options = WMK_KEY_OPTIONS_INIT;
    options.carrier = WMK_CARRIER_WEIGHTS;
    options.targets = &target;
    options.target_count = 1;
    wmk_key *random = NULL, *partition = NULL;
    float *x = malloc(count * sizeof *x);
    uint16_t *deal = malloc(count * sizeof *deal);
    int code = 4;
    if (x && deal && wmk_key_create(&random, &options) == WMK_OK) {
        options.scheme = WMK_SCHEME_PARTITION;
        if (wmk_key_create(&partition, &options) == WMK_OK) code = run(random, partition, x, deal);
    }
    if (code) fprintf(stderr, "bench_x: %s\n", wmk_error_message());
    wmk_key_free(random);
    wmk_key_free(partition);
    free(x);
    free(deal);
    return code;
}
