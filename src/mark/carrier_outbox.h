/* mark/carrier_outbox.h - bytes on their way to who stores them (wmk_traffic.written): one call at a time, by whichever thread sends while nobody else does; the others go on. */
#ifndef WMK_MARK_CARRIER_OUTBOX_H
#define WMK_MARK_CARRIER_OUTBOX_H

#include "mark/carrier.h"

typedef struct wmk_parcel {
    size_t target;
    uint64_t offset, size; /* as of wmk_traffic.written */
    bool apart;            /* the bytes are in `bytes`, else in the output */
    unsigned char *bytes;  /* room for so many as the outbox was opened with, 64-byte aligned */
    struct wmk_parcel *next;
} wmk_parcel;

typedef struct wmk_outbox wmk_outbox;

/* threads: how many will take parcels, one each at a time. */
wmk_status wmk_outbox_open(wmk_outbox **out, const wmk_traffic *traffic, size_t threads, size_t bytes);
/* Waits while too many are on their way. */
wmk_parcel *wmk_outbox_take(wmk_outbox *outbox);
/* Takes the parcel back. */
void wmk_outbox_send(wmk_outbox *outbox, wmk_parcel *parcel);
/* Nothing is stored any more. */
bool wmk_outbox_failed(wmk_outbox *outbox);
/* What the first `written` that failed returned, with its message. NULL is allowed. All parcels were sent or are of no use. */
wmk_status wmk_outbox_close(wmk_outbox *outbox);

#endif
