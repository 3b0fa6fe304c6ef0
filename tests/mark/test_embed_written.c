/* How what embedding stores leaves it: bytes are passed on as they are written, once per pass and one call at a time; targets
 * that are the same bytes; the same result for any number of threads; carrier balanced as much as carrier weights. */
#include "embed_naive.h"

#include <omp.h>
#include <stdatomic.h>

/* Filters and channels of two sizes, of weights that are about normal. */
static void fill_normal(naive_tensor *t, uint64_t seed)
{
    const size_t O = t->extent[4], I = t->extent[3];
    for (size_t k = 0; k < naive_size(t); k++) t->value[k] = ldexp(naive_normal(&seed), (int)(k % O % 2) - (int)(k / O % I % 2) * 3);
}

/* Two targets of several parts of the work (carrier_tile.c). */
static void add_large(naive_set *set, const char *conv, const char *linear, wmk_dtype dtype)
{
    *set = (naive_set){0};
    naive_add(set, 1, 3, 3, 96, 64, "OIHW");
    naive_add(set, 1, 1, 1, 288, 130, "OI");
    for (size_t t = 0; t < 2; t++) {
        fill_normal(&set->tensor[t], 3 + t);
        embed_store(set, t, t ? linear : conv, dtype);
    }
}

/* ---- bytes that are passed on ---- */

typedef struct receiver {
    atomic_int inside;
    bool overlapped, wrong;
    void *out[NAIVE_MAX];
    uint64_t size[NAIVE_MAX];
    uint32_t *seen[NAIVE_MAX];             /* how often each byte was told of */
    int taken[NAIVE_MAX], lent[NAIVE_MAX]; /* calls with data, and without */
    int calls, fail_at;
} receiver;

static wmk_status receive(void *payload, size_t target, uint64_t offset, uint64_t bytes, const void *data)
{
    receiver *r = payload;
    if (atomic_fetch_add(&r->inside, 1) != 0) r->overlapped = true;
    if (target > 1 || bytes == 0 || offset + bytes > r->size[target]) {
        r->wrong = true;
    } else {
        if (data != NULL) memcpy((char *)r->out[target] + offset, data, bytes);
        ++*(data != NULL ? &r->taken[target] : &r->lent[target]);
        for (uint64_t i = 0; i < bytes; i++) r->seen[target][offset + i]++;
    }
    wmk_status status = ++r->calls == r->fail_at ? wmk_fail(WMK_ERROR_SYSTEM, "the disk is full") : WMK_OK;
    atomic_fetch_sub(&r->inside, 1);
    return status;
}

static void open_receiver(receiver *r, const naive_set *set)
{
    *r = (receiver){0};
    for (size_t t = 0; t < 2; t++) {
        r->size[t] = embed_bytes(&set->tensor[t]);
        r->out[t] = calloc(r->size[t], 1);
        r->seen[t] = calloc(r->size[t], sizeof *r->seen[t]);
    }
}

static void close_receiver(receiver *r)
{
    for (size_t t = 0; t < 2; t++) {
        free(r->out[t]);
        free(r->seen[t]);
    }
}

static void check_passed_on(naive_set *set, wmk_carrier carrier, bool apart, const bool rows[2])
{
    wmk_key *key = naive_key(set, WMK_SCHEME_PARTITION, carrier, 16, false, 5);
    wmk_embed_options options = WMK_EMBED_OPTIONS_INIT;
    wmk_embed_summary summary;
    receiver r;
    const bool both[2] = {apart, apart};
    open_receiver(&r, set);
    const wmk_traffic traffic = {.payload = &r, .written = receive, .apart = both};
    embed_run plain = embed_open(set, key, &options, false);
    assert_ok(wmk_mark_embed_into(key, set->view, r.out, &options, &traffic, &summary, NULL));
    assert_memory_equal(&summary, &plain.summary, sizeof summary);
    assert_true(!r.overlapped && !r.wrong);
    for (size_t t = 0; t < 2; t++) {
        assert_memory_equal(r.out[t], plain.out[t], r.size[t]);
        for (uint64_t i = 1; i < r.size[t]; i++) assert_int_equal(r.seen[t][i], r.seen[t][0]);
        assert_true(r.seen[t][0] >= 1 && r.seen[t][0] <= WMK_EMBED_ROUNDS);
        if (apart && rows[t]) /* all of a target's bytes or none */
            assert_true(r.taken[t] > 0 && r.lent[t] == 0);
        else
            assert_true(r.taken[t] == 0 && r.lent[t] > 0);
    }
    embed_close(&plain);
    close_receiver(&r);
    wmk_key_free(key);
}

static void bytes_are_passed_on(void **state)
{
    (void)state;
    static const struct {
        const char *conv, *linear;
        wmk_dtype dtype;
        bool rows[2]; /* filters lie one after the other, in bytes that can be told apart */
    } cases[] = {{"OIHW", "OI", WMK_F32, {true, true}},  {"OHWI", "IO", WMK_BF16, {true, false}}, {"HWIO", "OI", WMK_BF16, {false, true}},
                 {"OIHW", "IO", WMK_F16, {true, false}}, {"OIHW", "OI", WMK_BF16, {true, true}},  {"OHWI", "OI", WMK_F64, {true, true}}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        naive_set set;
        add_large(&set, cases[k].conv, cases[k].linear, cases[k].dtype);
        for (int c = WMK_CARRIER_WEIGHTS; c <= WMK_CARRIER_BALANCED; c++)
            check_passed_on(&set, (wmk_carrier)c, (k + (size_t)c) % 3 != 0, cases[k].rows);
        naive_free(&set);
    }
}

/* What the receiver answers ends the embedding. */
static void receiver_that_fails(void **state)
{
    (void)state;
    naive_set set;
    add_large(&set, "OIHW", "OI", WMK_F32);
    for (int c = WMK_CARRIER_WEIGHTS; c <= WMK_CARRIER_BALANCED; c++) {
        wmk_key *key = naive_key(&set, WMK_SCHEME_PARTITION, (wmk_carrier)c, 16, false, 5);
        wmk_embed_options options = WMK_EMBED_OPTIONS_INIT;
        receiver r;
        const bool both[2] = {true, true};
        open_receiver(&r, &set);
        r.fail_at = 2;
        const wmk_traffic traffic = {.payload = &r, .written = receive, .apart = both};
        assert_fails(wmk_mark_embed_into(key, set.view, r.out, &options, &traffic, NULL, NULL), WMK_ERROR_SYSTEM, "the disk is full");
        assert_int_equal(r.calls, 2);
        close_receiver(&r);
        wmk_key_free(key);
    }
    naive_free(&set);
}

/* ---- any number of threads ---- */

static void same_bytes_for_any_thread_count(void **state)
{
    (void)state;
    static const int threads[] = {1, 2, 5};
    static const char *const layouts[][2] = {{"OIHW", "OI"}, {"HWIO", "IO"}, {"OHWI", "OI"}};
    static const wmk_dtype types[] = {WMK_F32, WMK_BF16, WMK_F64};
    const int usual = omp_get_max_threads();
    for (int l = 0; l < 3; l++) {
        naive_set set;
        add_large(&set, layouts[l][0], layouts[l][1], types[l]);
        for (int s = 2; s < 4; s++) {
            wmk_key *key = naive_key(&set, schemes[s], WMK_CARRIER_BALANCED, 4, false, 5);
            wmk_embed_options options = WMK_EMBED_OPTIONS_INIT;
            options.margin = 2;
            embed_run run[3];
            for (int k = 0; k < 3; k++) {
                omp_set_num_threads(threads[k]);
                run[k] = (embed_run){.set = &set, .key = key, .options = options};
                assert_ok(embed_try(&run[k]));
                assert_memory_equal(&run[k].summary, &run[0].summary, sizeof run[k].summary);
                for (size_t t = 0; t < 2; t++) assert_memory_equal(run[k].out[t], run[0].out[t], embed_bytes(&set.tensor[t]));
            }
            for (int k = 0; k < 3; k++) embed_close(&run[k]);
            wmk_key_free(key);
        }
        naive_free(&set);
    }
    omp_set_num_threads(usual);
}

/* ---- targets that are the same bytes ---- */

enum { SIDE = 96, LONG = 400 };

/* Margin, change and bytes by one thread and by four: what is said to be stored is what is there in the end. */
static void check_tied(const char *second, wmk_scheme scheme, wmk_carrier carrier, double margin)
{
    static float weights[SIDE * LONG], stored[2][SIDE * LONG];
    uint64_t random = 8;
    for (int i = 0; i < SIDE * LONG; i++) weights[i] = (float)naive_normal(&random) * (float)(1 + i % LONG % 3);
    naive_set set = {.count = 2};
    static const char *const names[] = {"a", "b"};
    for (int t = 0; t < 2; t++) {
        set.target[t] = (wmk_target){.name = names[t], .rank = 2, .shape = {SIDE, LONG}};
        strcpy(set.target[t].layout, t ? second : "OI");
        set.view[t] = (wmk_tensor_view){.name = names[t], .dtype = WMK_F32, .rank = 2, .shape = {SIDE, LONG}, .data = weights};
        strcpy(set.view[t].layout, set.target[t].layout);
    }
    wmk_key *key = naive_key(&set, scheme, carrier, 8, false, 3);
    double *signs = naive_signs(key), least = INFINITY, changed = 0, all = 0;
    wmk_embed_options options = WMK_EMBED_OPTIONS_INIT;
    wmk_embed_summary summary[2];
    options.margin = margin;
    for (int k = 0; k < 2; k++) {
        void *const out[] = {stored[k], stored[k]};
        omp_set_num_threads(k ? 4 : 1);
        assert_ok(wmk_mark_embed(key, set.view, out, &options, &summary[k]));
    }
    assert_memory_equal(stored[0], stored[1], sizeof stored[0]);
    assert_memory_equal(&summary[0], &summary[1], sizeof summary[0]);
    wmk_reading *reading;
    for (int t = 0; t < 2; t++) set.view[t].data = stored[0];
    assert_ok(wmk_mark_read(&reading, key, set.view));
    for (uint32_t j = 0; j < 8; j++) least = fmin(least, signs[j] * reading->score[j]);
    for (int i = 0; i < SIDE * LONG; i++) {
        changed += pow((double)stored[0][i] - (double)weights[i], 2);
        all += (double)weights[i] * (double)weights[i];
    }
    assert_true(least >= margin && fabs(least - summary[0].margin_reached) < 1e-9);
    if (fabs(summary[0].relative_change - sqrt(changed / all)) > 1e-9)
        fail_msg("%s %s: change %g, not %g", wmk_carrier_name(carrier), second, summary[0].relative_change, sqrt(changed / all));
    wmk_reading_free(reading);
    free(signs);
    wmk_key_free(key);
}

static void tied_targets(void **state)
{
    (void)state;
    const int usual = omp_get_max_threads();
    for (int c = WMK_CARRIER_WEIGHTS; c <= WMK_CARRIER_BALANCED; c++)
        for (int l = 0; l < 2; l++) {
            check_tied(l ? "IO" : "OI", WMK_SCHEME_PARTITION, (wmk_carrier)c, 6);
            check_tied(l ? "IO" : "OI", WMK_SCHEME_RANDOM, (wmk_carrier)c, 2);
        }
    omp_set_num_threads(usual);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_are_passed_on),
        cmocka_unit_test(receiver_that_fails),
        cmocka_unit_test(same_bytes_for_any_thread_count),
        cmocka_unit_test(tied_targets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
