/* tests/train/dump_logits.c - dump_logits MODEL DATA COUNT: the network's output for the first COUNT test images, as floats on stdout, for
 * comparison with other frameworks. */
#include <stdio.h>
#include <stdlib.h>

#include <weightmark/train.h>

#define BATCH 50

static wmk_status dump(const char *path, const char *data, size_t count)
{
    static int32_t labels[BATCH];
    wmk_model *model = NULL;
    wmk_host host = {0};
    wmk_dataset *dataset = NULL;
    wmk_loader *loader = NULL;
    wmk_plan *plan = NULL;
    wmk_loader_options loading = WMK_LOADER_OPTIONS_INIT;
    loading.batch = BATCH;
    wmk_plan_options planning = WMK_PLAN_OPTIONS_INIT;
    planning.batch = BATCH, planning.mode = WMK_INFERENCE;
    wmk_status status = wmk_model_open(&model, path);
    if (status == WMK_OK) status = wmk_host_read(&host, model, 0, 0);
    if (status == WMK_OK) status = wmk_dataset_open(&dataset, data, WMK_SPLIT_TEST);
    if (status == WMK_OK) status = wmk_loader_create(&loader, dataset, &loading);
    if (status == WMK_OK) status = wmk_plan_create(&plan, host.graph, &host.logits, 1, &planning);
    for (size_t done = 0, got; status == WMK_OK && done < count; done += got) {
        status = wmk_loader_next(loader, wmk_plan_input(plan, host.images), labels, &got);
        if (status == WMK_OK) status = wmk_plan_forward(plan);
        if (status == WMK_OK)
            fwrite(wmk_plan_output(plan, host.logits), sizeof(float), (got < count - done ? got : count - done) * host.classes, stdout);
    }
    wmk_plan_free(plan);
    wmk_loader_free(loader);
    wmk_dataset_free(dataset);
    wmk_host_free(&host);
    wmk_model_close(model);
    return status;
}

int main(int count, char **arguments)
{
    if (count != 4) return 2;
    if (dump(arguments[1], arguments[2], strtoull(arguments[3], NULL, 10)) == WMK_OK) return fflush(stdout) ? 4 : 0;
    fprintf(stderr, "%s\n", wmk_error_message());
    return 3;
}
