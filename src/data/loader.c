/* data/loader.c - batches in order, each a pure function of the data, the options and its number, made on the caller's thread or ahead of it
 * on one of its own. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "data/augment.h"

#define AHEAD 4 /* batches ready at most */

typedef struct wmk_batch {
    float *images;   /* [batch][3][32][32] */
    int32_t *labels; /* [batch] */
    size_t count;
} wmk_batch;

struct wmk_loader {
    const wmk_dataset *dataset;
    wmk_loader_options options;
    uint64_t steps_per_epoch, next; /* next: number of the batch to deliver */

    /* Used by whoever makes batches. */
    uint32_t *order; /* [count] the permutation of epoch order_epoch; NULL without shuffle */
    uint64_t order_epoch;

    /* Prefetching: batch n lies in ring[n % AHEAD]; made counts those finished, next those taken; guarded by lock. */
    wmk_batch ring[AHEAD];
    uint64_t made;
    bool stop, running;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

/* Fisher-Yates on the stream of (seed, epoch): any epoch's order without those before it. */
static void shuffle(wmk_loader *loader, uint64_t epoch)
{
    const size_t count = loader->dataset->count;
    wmk_stream stream = wmk_stream_at(loader->options.seed, WMK_STREAM_SHUFFLE, epoch);
    for (size_t i = 0; i < count; i++) loader->order[i] = (uint32_t)i;
    for (size_t i = count; i > 1; i--) {
        size_t j = wmk_stream_below(&stream, i);
        uint32_t other = loader->order[j];
        loader->order[j] = loader->order[i - 1];
        loader->order[i - 1] = other;
    }
    loader->order_epoch = epoch;
}

static void make_batch(wmk_loader *loader, uint64_t number, wmk_batch *batch)
{
    const wmk_loader_options *o = &loader->options;
    const uint64_t epoch = number / loader->steps_per_epoch;
    const size_t first = (size_t)(number % loader->steps_per_epoch) * o->batch, rest = loader->dataset->count - first;
    if (loader->order && loader->order_epoch != epoch) shuffle(loader, epoch);
    batch->count = rest < o->batch ? rest : o->batch;
    for (size_t i = 0; i < batch->count; i++) {
        size_t index = loader->order ? loader->order[first + i] : first + i;
        wmk_stream stream = wmk_stream_at(o->seed, WMK_STREAM_AUGMENT, number * o->batch + i);
        wmk_augment(loader->dataset, index, o->augmentation, stream, batch->images + i * WMK_IMAGE_ELEMENTS);
        if (batch->labels) batch->labels[i] = loader->dataset->labels[index];
    }
    memset(batch->images + batch->count * WMK_IMAGE_ELEMENTS, 0, (o->batch - batch->count) * WMK_IMAGE_ELEMENTS * sizeof(float));
    if (batch->labels) memset(batch->labels + batch->count, 0, (o->batch - batch->count) * sizeof *batch->labels);
}

static void *produce(void *argument)
{
    wmk_loader *loader = argument;
    pthread_mutex_lock(&loader->lock);
    for (;;) {
        while (!loader->stop && loader->made - loader->next == AHEAD) pthread_cond_wait(&loader->changed, &loader->lock);
        if (loader->stop) break;
        uint64_t number = loader->made; /* its place is free, and nobody else's until made says so */
        pthread_mutex_unlock(&loader->lock);
        make_batch(loader, number, &loader->ring[number % AHEAD]);
        pthread_mutex_lock(&loader->lock);
        loader->made = number + 1;
        pthread_cond_broadcast(&loader->changed);
    }
    pthread_mutex_unlock(&loader->lock);
    return NULL;
}

static wmk_status start_prefetch(wmk_loader *loader)
{
    for (size_t i = 0; i < AHEAD; i++) {
        WMK_TRY(wmk_alloc(&loader->ring[i].images, loader->options.batch, WMK_IMAGE_ELEMENTS * sizeof(float)));
        WMK_TRY(wmk_alloc(&loader->ring[i].labels, loader->options.batch, sizeof(int32_t)));
    }
    loader->made = loader->next;
    /* Signals belong to the caller's threads. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&loader->thread, NULL, produce, loader);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) return wmk_fail(WMK_ERROR_SYSTEM, "loader: cannot start the prefetching thread: %s", strerror(error));
    loader->running = true;
    return WMK_OK;
}

static wmk_status check_options(const wmk_dataset *dataset, const wmk_loader_options *o)
{
    uint64_t bytes;
    if (o->struct_size < sizeof *o)
        return wmk_fail(WMK_ERROR_ARGUMENT, "loader: options of %zu bytes; begin with WMK_LOADER_OPTIONS_INIT", o->struct_size);
    if (o->batch < 1 || !wmk_mul_u64(o->batch, WMK_IMAGE_ELEMENTS * sizeof(float), &bytes))
        return wmk_fail(WMK_ERROR_ARGUMENT, "loader: a batch of %zu images is out of range", o->batch);
    if (o->drop_last && o->batch > dataset->count)
        return wmk_fail(WMK_ERROR_ARGUMENT, "loader: a batch of %zu images is more than the %zu of %s", o->batch, dataset->count, dataset->name);
    if ((int)o->augmentation < WMK_AUGMENT_NONE || o->augmentation > WMK_AUGMENT_REFERENCE)
        return wmk_fail(WMK_ERROR_ARGUMENT, "loader: augmentation %d is none", (int)o->augmentation);
    if (o->shuffle && dataset->count > UINT32_MAX) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: shuffling %zu images", dataset->count);
    return WMK_OK;
}

wmk_status wmk_loader_create(wmk_loader **out, const wmk_dataset *dataset, const wmk_loader_options *options)
{
    WMK_TRY(check_options(dataset, options));
    wmk_loader *loader;
    WMK_TRY(wmk_alloc(&loader, 1, sizeof *loader));
    loader->dataset = dataset;
    loader->options = *options;
    loader->steps_per_epoch = dataset->count / options->batch + (!options->drop_last && dataset->count % options->batch);
    loader->next = options->first_step;
    loader->order_epoch = UINT64_MAX;
    pthread_mutex_init(&loader->lock, NULL);
    pthread_cond_init(&loader->changed, NULL);
    wmk_status status = WMK_OK;
    if (options->shuffle) status = wmk_alloc(&loader->order, dataset->count, sizeof *loader->order);
    if (status == WMK_OK && options->prefetch) status = start_prefetch(loader);
    if (status != WMK_OK) {
        wmk_loader_free(loader);
        return status;
    }
    *out = loader;
    return WMK_OK;
}

void wmk_loader_free(wmk_loader *loader)
{
    if (!loader) return;
    if (loader->running) {
        pthread_mutex_lock(&loader->lock);
        loader->stop = true;
        pthread_cond_broadcast(&loader->changed);
        pthread_mutex_unlock(&loader->lock);
        pthread_join(loader->thread, NULL);
    }
    for (size_t i = 0; i < AHEAD; i++) {
        free(loader->ring[i].images);
        free(loader->ring[i].labels);
    }
    pthread_cond_destroy(&loader->changed);
    pthread_mutex_destroy(&loader->lock);
    free(loader->order);
    free(loader);
}

wmk_status wmk_loader_next(wmk_loader *loader, float *images, int32_t *labels, size_t *count)
{
    if (!loader->running) {
        wmk_batch batch = {images, labels, 0};
        make_batch(loader, loader->next++, &batch);
        *count = batch.count;
        return WMK_OK;
    }
    pthread_mutex_lock(&loader->lock);
    while (loader->made == loader->next) pthread_cond_wait(&loader->changed, &loader->lock);
    pthread_mutex_unlock(&loader->lock);
    const wmk_batch *batch = &loader->ring[loader->next % AHEAD]; /* not touched by the producer until `next` moves on */
    memcpy(images, batch->images, loader->options.batch * WMK_IMAGE_ELEMENTS * sizeof *images);
    if (labels) memcpy(labels, batch->labels, loader->options.batch * sizeof *labels);
    *count = batch->count;
    pthread_mutex_lock(&loader->lock);
    loader->next++;
    pthread_cond_broadcast(&loader->changed);
    pthread_mutex_unlock(&loader->lock);
    return WMK_OK;
}

uint64_t wmk_loader_steps_per_epoch(const wmk_loader *loader) { return loader->steps_per_epoch; }
