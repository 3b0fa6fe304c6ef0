/* train/eval.c - test error and loss. */
#include <math.h>
#include <omp.h>
#include <stdlib.h>

#include "train/run.h"

#define DEFAULT_BATCH 100

/* Adds one image's verdict: cross-entropy by log-sum-exp, wrong or right. Ties go to the lower class. */
static wmk_status judge(const float *logits, uint32_t classes, int32_t label, double *loss, uint64_t *wrong)
{
    uint32_t best = 0;
    for (uint32_t c = 0; c < classes; c++) {
        if (!isfinite(logits[c])) return wmk_fail(WMK_ERROR_NUMERIC, "evaluation: the network's output is not finite");
        if (logits[c] > logits[best]) best = c;
    }
    double others = 0;
    for (uint32_t c = 0; c < classes; c++)
        if (c != best) others += exp((double)logits[c] - logits[best]);
    *loss += log1p(others) + logits[best] - logits[label];
    *wrong += best != (uint32_t)label;
    return WMK_OK;
}

static wmk_status evaluate(wmk_plan *plan, wmk_loader *loader, const wmk_host *host, uint64_t examples, int32_t *labels, wmk_eval_result *out)
{
    double loss = 0;
    uint64_t wrong = 0, done = 0;
    while (done < examples) {
        size_t count;
        WMK_TRY(wmk_loader_next(loader, wmk_plan_input(plan, host->images), labels, &count));
        WMK_TRY(wmk_plan_forward(plan));
        const float *logits = wmk_plan_output(plan, host->logits);
        for (size_t i = 0; i < count; i++) WMK_TRY(judge(logits + i * host->classes, host->classes, labels[i], &loss, &wrong));
        done += count;
    }
    *out = (wmk_eval_result){(double)wrong / (double)examples, loss / (double)examples, examples};
    return WMK_OK;
}

wmk_status wmk_host_evaluate(wmk_host *host, const wmk_dataset *dataset, uint64_t batch, wmk_eval_result *out)
{
    if (dataset->classes != host->classes)
        return wmk_fail(WMK_ERROR_MISMATCH, "evaluation: the network tells %u classes apart, %s has %u", host->classes, dataset->name,
                        dataset->classes);
    if (batch > INT32_MAX) return wmk_fail(WMK_ERROR_ARGUMENT, "evaluation: a batch of %llu images is out of range", (unsigned long long)batch);
    wmk_loader_options loading = WMK_LOADER_OPTIONS_INIT;
    loading.batch = batch ? batch : DEFAULT_BATCH;
    if (loading.batch > dataset->count) loading.batch = dataset->count; /* the rest would be padding, four batches ahead */
    loading.prefetch = true;
    wmk_plan_options planning = WMK_PLAN_OPTIONS_INIT;
    planning.batch = (int64_t)loading.batch;
    planning.mode = WMK_INFERENCE;
    wmk_plan *plan = NULL;
    wmk_loader *loader = NULL;
    int32_t *labels = NULL;
    wmk_status status;
    WMK_TRY_GOTO(status, wmk_plan_create(&plan, host->graph, &host->logits, 1, &planning), done);
    WMK_TRY_GOTO(status, wmk_alloc(&labels, loading.batch, sizeof *labels), done);
    WMK_TRY_GOTO(status, wmk_loader_create(&loader, dataset, &loading), done);
    status = evaluate(plan, loader, host, dataset->count, labels, out);
done:
    wmk_loader_free(loader);
    wmk_plan_free(plan);
    free(labels);
    return status;
}

wmk_status wmk_eval(const wmk_model *model, const char *data, uint64_t batch, int threads, wmk_eval_result *out)
{
    if (threads < 0 || threads > 4096) return wmk_fail(WMK_ERROR_ARGUMENT, "evaluation: %d threads are not 0 to 4096", threads);
    wmk_host host = {0};
    wmk_dataset *dataset = NULL;
    float mean[WMK_IMAGE_CHANNELS], deviation[WMK_IMAGE_CHANNELS];
    bool own = wmk_host_constants(model, mean, deviation);
    int before = omp_get_max_threads();
    omp_set_num_threads(threads ? threads : omp_get_num_procs());
    wmk_status status = wmk_host_read(&host, model, 0, 0);
    if (status == WMK_OK) status = wmk_dataset_open_with(&dataset, data, WMK_SPLIT_TEST, own ? mean : NULL, own ? deviation : NULL);
    if (status == WMK_OK) status = wmk_host_evaluate(&host, dataset, batch, out);
    wmk_dataset_free(dataset);
    wmk_host_free(&host);
    omp_set_num_threads(before);
    return status;
}
