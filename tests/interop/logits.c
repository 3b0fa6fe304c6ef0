/* logits MODEL DATA COUNT OUT: raw float32 logits [COUNT][classes] of the first test images. */
#include <stdio.h>
#include <stdlib.h>

#include "dump.h"

#define BATCH 50

int main(int argc, char **argv)
{
    if (argc != 5) return fprintf(stderr, "usage: logits MODEL DATA COUNT OUT\n"), 2;
    const size_t wanted = strtoul(argv[3], NULL, 10);
    wmk_model *model;
    wmk_host host;
    wmk_dataset *dataset;
    MUST(wmk_model_open(&model, argv[1]));
    MUST(wmk_host_read(&host, model, 0, 1));
    MUST(wmk_dataset_open(&dataset, argv[2], WMK_SPLIT_TEST));

    wmk_plan *plan;
    wmk_plan_options options = WMK_PLAN_OPTIONS_INIT;
    options.batch = BATCH;
    options.mode = WMK_INFERENCE;
    MUST(wmk_plan_create(&plan, host.graph, &host.logits, 1, &options));
    wmk_loader *loader;
    wmk_loader_options loader_options = WMK_LOADER_OPTIONS_INIT;
    loader_options.batch = BATCH;
    MUST(wmk_loader_create(&loader, dataset, &loader_options));

    FILE *out = fopen(argv[4], "wb");
    if (!out) return perror(argv[4]), 1;
    for (size_t done = 0, count; done < wanted; done += count) {
        MUST(wmk_loader_next(loader, wmk_plan_input(plan, host.images), NULL, &count));
        MUST(wmk_plan_forward(plan));
        if (count > wanted - done) count = wanted - done;
        if (fwrite(wmk_plan_output(plan, host.logits), host.classes * sizeof(float), count, out) != count) return perror(argv[4]), 1;
    }
    if (fclose(out)) return perror(argv[4]), 1;
    wmk_loader_free(loader);
    wmk_plan_free(plan);
    wmk_dataset_free(dataset);
    wmk_host_free(&host);
    wmk_model_close(model);
    return 0;
}
