/* mark/carrier_outbox.c */
#include "mark/carrier_outbox.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"

#define WAITING 6 /* parcels on their way beside those that threads fill */

struct wmk_outbox {
    const wmk_traffic *traffic;
    pthread_mutex_t lock;
    pthread_cond_t returned;
    wmk_parcel *idle;         /* a list */
    wmk_parcel *first, **end; /* a queue */
    bool busy;                /* some thread empties it */
    wmk_status status;        /* of the first that failed, and its message: that is kept by thread */
    char message[512];
    size_t count;
    wmk_parcel parcel[]; /* [count] */
};

wmk_status wmk_outbox_open(wmk_outbox **out, const wmk_traffic *traffic, size_t threads, size_t bytes)
{
    size_t count = threads + WAITING;
    wmk_outbox *box;
    WMK_TRY(wmk_alloc(&box, 1, sizeof *box + count * sizeof(wmk_parcel)));
    box->traffic = traffic;
    pthread_mutex_init(&box->lock, NULL);
    pthread_cond_init(&box->returned, NULL);
    box->end = &box->first;
    for (; box->count < count; box->count++) {
        wmk_parcel *parcel = &box->parcel[box->count];
        wmk_status status = wmk_alloc_aligned(&parcel->bytes, bytes);
        if (status != WMK_OK) {
            wmk_outbox_close(box);
            return status;
        }
        parcel->next = box->idle;
        box->idle = parcel;
    }
    *out = box;
    return WMK_OK;
}

wmk_parcel *wmk_outbox_take(wmk_outbox *box)
{
    pthread_mutex_lock(&box->lock);
    while (box->idle == NULL) pthread_cond_wait(&box->returned, &box->lock);
    wmk_parcel *parcel = box->idle;
    box->idle = parcel->next;
    pthread_mutex_unlock(&box->lock);
    return parcel;
}

/* Without the lock, but nobody else is here. */
static void deliver(wmk_outbox *box, const wmk_parcel *parcel)
{
    const wmk_traffic *traffic = box->traffic;
    wmk_status status = traffic->written(traffic->payload, parcel->target, parcel->offset, parcel->size, parcel->apart ? parcel->bytes : NULL);
    if (status == WMK_OK) return;
    pthread_mutex_lock(&box->lock);
    box->status = status;
    snprintf(box->message, sizeof box->message, "%s", wmk_error_message());
    pthread_mutex_unlock(&box->lock);
}

void wmk_outbox_send(wmk_outbox *box, wmk_parcel *parcel)
{
    pthread_mutex_lock(&box->lock);
    parcel->next = NULL;
    *box->end = parcel;
    box->end = &parcel->next;
    bool mine = !box->busy;
    box->busy = true;
    while (mine && box->first != NULL) {
        wmk_parcel *next = box->first;
        box->first = next->next;
        if (box->first == NULL) box->end = &box->first;
        bool failed = box->status != WMK_OK;
        pthread_mutex_unlock(&box->lock);
        if (!failed) deliver(box, next);
        pthread_mutex_lock(&box->lock);
        next->next = box->idle;
        box->idle = next;
        pthread_cond_signal(&box->returned);
    }
    if (mine) box->busy = false;
    pthread_mutex_unlock(&box->lock);
}

bool wmk_outbox_failed(wmk_outbox *box)
{
    pthread_mutex_lock(&box->lock);
    bool failed = box->status != WMK_OK;
    pthread_mutex_unlock(&box->lock);
    return failed;
}

wmk_status wmk_outbox_close(wmk_outbox *box)
{
    if (box == NULL) return WMK_OK;
    wmk_status status = box->status;
    if (status != WMK_OK) wmk_fail(status, "%s", box->message);
    for (size_t i = 0; i < box->count; i++) wmk_free_aligned(box->parcel[i].bytes);
    pthread_mutex_destroy(&box->lock);
    pthread_cond_destroy(&box->returned);
    free(box);
    return status;
}
