/* Many threads send, one call at a time receives, everything arrives once; after a failure nothing is received any more, and its message is kept. */
#include "cmocka_wmk.h"

#include <omp.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "mark/carrier_outbox.h"

enum { THREADS = 4, EACH = 2000, BYTES = 64 };

typedef struct receiver {
    atomic_int inside;
    int received[THREADS * EACH], calls, fail_at;
    bool overlapped, wrong;
} receiver;

static wmk_status written(void *payload, size_t target, uint64_t offset, uint64_t bytes, const void *data)
{
    receiver *r = payload;
    if (atomic_fetch_add(&r->inside, 1) != 0) r->overlapped = true;
    const unsigned char *at = data;
    if (target != 3 || bytes != BYTES || (offset % 2 == 0) != (at == NULL)) r->wrong = true;
    for (size_t i = 0; at != NULL && i < BYTES; i++)
        if (at[i] != (unsigned char)offset) r->wrong = true;
    r->received[offset]++;
    wmk_status status = ++r->calls == r->fail_at ? wmk_fail(WMK_ERROR_SYSTEM, "the disk is full") : WMK_OK;
    atomic_fetch_sub(&r->inside, 1);
    return status;
}

static wmk_status send_all(receiver *r)
{
    wmk_outbox *box;
    wmk_traffic traffic = {.payload = r, .written = written};
    assert_ok(wmk_outbox_open(&box, &traffic, THREADS, BYTES));
#pragma omp parallel for schedule(dynamic, 1) num_threads(THREADS)
    for (int i = 0; i < THREADS * EACH; i++) {
        wmk_parcel *parcel = wmk_outbox_take(box);
        memset(parcel->bytes, i, BYTES);
        parcel->target = 3;
        parcel->offset = (uint64_t)i;
        parcel->size = BYTES;
        parcel->apart = i % 2 != 0;
        wmk_outbox_send(box, parcel);
    }
    assert_int_equal(wmk_outbox_failed(box), r->fail_at != 0);
    return wmk_outbox_close(box);
}

static void everything_arrives_once(void **state)
{
    (void)state;
    static receiver r;
    assert_ok(send_all(&r));
    assert_false(r.overlapped || r.wrong);
    for (int i = 0; i < THREADS * EACH; i++) assert_int_equal(r.received[i], 1);
}

static void nothing_after_a_failure(void **state)
{
    (void)state;
    static receiver r = {.fail_at = 17};
    assert_fails(send_all(&r), WMK_ERROR_SYSTEM, "the disk is full");
    assert_false(r.overlapped || r.wrong);
    assert_int_equal(r.calls, 17);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(everything_arrives_once), cmocka_unit_test(nothing_after_a_failure)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
