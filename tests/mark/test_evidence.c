/* Evidence from readings made by hand, where every number is known; and p from redrawn keys against the hypergeometric distribution. */
#include "read_naive.h"

static wmk_key *make_key(uint32_t T, wmk_scheme scheme, bool ones, uint64_t m)
{
    wmk_target target = {.name = "a", .layout = "OI", .rank = 2, .shape = {1, m}};
    wmk_key_options o = WMK_KEY_OPTIONS_INIT;
    uint8_t seed[WMK_SEED_BYTES] = {7};
    o.seed = seed;
    o.created = 1;
    o.bits = T;
    o.scheme = scheme;
    o.ones = ones;
    o.targets = &target;
    o.target_count = 1;
    wmk_key *key = NULL;
    assert_ok(wmk_key_create(&key, &o));
    return key;
}

typedef struct hand {
    wmk_reading r;
    double y[512];
    uint8_t bit[512], erased[512];
} hand;

/* Every bit right with this score, but the first `wrong`. */
static void make_reading(hand *h, const wmk_key *key, double score, uint32_t wrong)
{
    uint8_t b[512];
    memset(h, 0, sizeof *h);
    wmk_key_bits(key, b);
    uint32_t T = wmk_key_bit_count(key);
    h->r = (wmk_reading){.T = T, .y = h->y, .score = h->y, .bit = h->bit, .erased = h->erased};
    for (uint32_t j = 0; j < T; j++) {
        h->y[j] = (b[j] ? score : -score) * (j < wrong ? -1 : 1);
        h->bit[j] = h->y[j] >= 0;
    }
}

static void near(double got, double want) { assert_true(fabs(got - want) <= 1e-9 * fabs(want)); }

static void known_readings(void **state)
{
    (void)state;
    wmk_key *key = make_key(256, WMK_SCHEME_RANDOM, false, 600);
    hand h;
    wmk_evidence e;
    make_reading(&h, key, 1.25, 0); /* z = 20 */
    assert_ok(wmk_evidence_judge(&e, key, &h.r, 1, 64));
    assert_int_equal(e.bits, 256);
    assert_int_equal(e.bit_errors, 0);
    assert_false(e.soft_is_bound || e.empirical);
    near(e.z, 20);
    near(e.log10_p_soft, -88.56009534307559); /* Q(20) = 2.753624118606e-89 */
    near(e.log10_p_hard, -256 * log10(2));
    near(e.log10_p, -88.56009534307559 + log10(2));
    near(e.evidence_bits, (88.56009534307559 - log10(2)) / log10(2));
    assert_int_equal(e.verdict, WMK_FOUND);
    assert_ok(wmk_evidence_judge(&e, key, &h.r, 1000, 64));
    near(e.log10_p, -88.56009534307559 + log10(2) + 3);
    assert_int_equal(e.tries, 1000);
    make_reading(&h, key, 0.4375, 0); /* a small margin: z = 7, the count is the stronger */
    assert_ok(wmk_evidence_judge(&e, key, &h.r, 1, 64));
    near(e.log10_p, -255 * log10(2));
    make_reading(&h, key, 1, 64); /* a quarter wrong: z = 8 */
    assert_ok(wmk_evidence_judge(&e, key, &h.r, 1, 64));
    near(e.z, 8);
    near(e.ber, 0.25);
    assert_int_equal(e.bit_errors, 64);
    make_reading(&h, key, 1, 240);
    assert_ok(wmk_evidence_judge(&e, key, &h.r, 1, 64));
    assert_true(e.log10_p == 0 && e.evidence_bits == 0 && e.verdict == WMK_NOT_FOUND);
    wmk_key_free(key);

    key = make_key(256, WMK_SCHEME_PARTITION, false, 60000);
    make_reading(&h, key, 8, 0); /* z = 128 */
    assert_ok(wmk_evidence_judge(&e, key, &h.r, 1, 64));
    assert_true(e.soft_is_bound);
    near(e.log10_p_soft, -8192 / log(10));
    make_reading(&h, key, 8, 128);
    assert_ok(wmk_evidence_judge(&e, key, &h.r, 1, 64));
    assert_true(e.log10_p_soft == 0);
    wmk_key_free(key);

    key = make_key(64, WMK_SCHEME_DIFF, false, 600); /* only the signs are random: z is at most sqrt(T), whatever the scores */
    make_reading(&h, key, 50, 0);
    assert_ok(wmk_evidence_judge(&e, key, &h.r, 1, 64));
    near(e.z, 8);
    near(e.log10_p_soft, -32 / log(10));
    wmk_key_free(key);
}

static void verdicts_and_erasures(void **state)
{
    (void)state;
    wmk_key *key = make_key(100, WMK_SCHEME_RANDOM, false, 600);
    hand h;
    wmk_evidence e;
    make_reading(&h, key, 1e-6, 0); /* 99 bits of evidence from the count */
    assert_ok(wmk_evidence_judge(&e, key, &h.r, 1, 99.0001));
    assert_int_equal(e.verdict, WMK_INCONCLUSIVE);
    assert_ok(wmk_evidence_judge(&e, key, &h.r, 1, 98.9999));
    assert_int_equal(e.verdict, WMK_FOUND);
    for (int j = 0; j < 79; j++) h.erased[j] = 1; /* 21 left: 20 bits */
    assert_ok(wmk_evidence_judge(&e, key, &h.r, 1, 64));
    assert_int_equal(e.bits, 21);
    assert_int_equal(e.erased, 79);
    near(e.evidence_bits, 20);
    near(e.z, 1e-6 * sqrt(21));
    assert_ok(wmk_evidence_judge(&e, key, &h.r, 2, 64));
    assert_int_equal(e.verdict, WMK_NOT_FOUND);
    assert_ok(wmk_evidence_judge(&e, key, &h.r, 2, 10));
    assert_int_equal(e.verdict, WMK_FOUND);
    for (int j = 0; j < 79; j++) h.erased[j] = 0; /* paying later is paying at once, also beyond what 64 bits count */
    wmk_evidence once, later;
    assert_ok(wmk_evidence_judge(&once, key, &h.r, 12, 64));
    assert_ok(wmk_evidence_judge(&later, key, &h.r, 3, 64));
    assert_ok(wmk_evidence_pay(&later, 4, 64));
    near(later.log10_p, once.log10_p);
    assert_int_equal(later.tries, 12);
    for (int j = 0; j < 3; j++) assert_ok(wmk_evidence_pay(&later, (uint64_t)1 << 30, 64));
    assert_int_equal(later.tries, UINT64_MAX);
    near(later.log10_tries, log10(12) + 90 * log10(2));
    near(later.evidence_bits, once.evidence_bits - 90);
    assert_int_equal(once.verdict, WMK_FOUND);
    assert_int_equal(later.verdict, WMK_NOT_FOUND);
    assert_fails(wmk_evidence_pay(&later, 0, 64), WMK_ERROR_ARGUMENT, "tries");
    memset(h.erased, 1, 100);
    assert_ok(wmk_evidence_judge(&e, key, &h.r, 1, 64));
    assert_true(e.bits == 0 && e.ber == 0.5 && e.log10_p == 0 && e.z == 0);
    assert_string_equal(wmk_verdict_name(WMK_NOT_FOUND), "not-found");
    assert_string_equal(wmk_verdict_name(WMK_INCONCLUSIVE), "inconclusive");
    assert_string_equal(wmk_verdict_name(WMK_FOUND), "found");
    assert_fails(wmk_evidence_judge(&e, key, &h.r, 0, 64), WMK_ERROR_ARGUMENT, "tries");
    assert_fails(wmk_evidence_judge(&e, key, &h.r, 1, 0), WMK_ERROR_ARGUMENT, "threshold");
    assert_fails(wmk_evidence_judge(&e, key, &h.r, 1, NAN), WMK_ERROR_ARGUMENT, "threshold");
    h.r.T = 99;
    assert_fails(wmk_evidence_judge(&e, key, &h.r, 1, 64), WMK_ERROR_ARGUMENT, "99");
    wmk_key_free(key);
}

/* y = 0 reads as 1, which b = 1...1 always matches: not counted for it. */
static void ties_are_no_proof_for_fixed_bits(void **state)
{
    (void)state;
    for (int ones = 0; ones < 2; ones++) {
        wmk_key *key = make_key(64, WMK_SCHEME_PARTITION, ones, 600);
        uint8_t b[64];
        wmk_key_bits(key, b);
        hand h;
        wmk_evidence e;
        make_reading(&h, key, 1, 0);
        for (int j = 0; j < 64; j++) {
            h.y[j] = 0;
            h.bit[j] = 1;
        }
        uint32_t matches = 0;
        for (int j = 0; j < 64; j++) matches += b[j];
        assert_ok(wmk_evidence_judge(&e, key, &h.r, 1, 64));
        assert_int_equal(e.bit_errors, 64 - matches);
        near(e.log10_p_hard, ones ? 0 : wmk_log10_binomial_tail(64, matches));
        wmk_key_free(key);
    }
}

/* 400 weights, 280 of them positive; a direct key with fixed bits matches as many as a draw without replacement gives. */
static void redrawn_keys_follow_the_hypergeometric(void **state)
{
    (void)state;
    enum { M = 400, POSITIVE = 280, T = 40, N = 4000 };
    float w[M];
    for (int i = 0; i < M; i++) w[i] = (i * 7 % M < POSITIVE ? 1.f : -1.f) * (1 + (float)(i % 5));
    wmk_tensor_view view = {.name = "a", .dtype = WMK_F32, .rank = 2, .shape = {1, M}, .layout = "OI", .data = w};
    wmk_key *key = make_key(T, WMK_SCHEME_DIRECT, true, M);
    wmk_evidence e, again;
    wmk_reading *reading = NULL;
    assert_ok(wmk_mark_verify(&e, &reading, key, &view, 1, 64, N));
    assert_true(e.empirical);
    double tail = 0, chance;
    for (int k = T - (int)e.bit_errors; k <= T; k++) { /* P(k positives) */
        chance = lgamma(POSITIVE + 1) - lgamma(k + 1) - lgamma(POSITIVE - k + 1) + lgamma(M - POSITIVE + 1) - lgamma(T - k + 1) -
                 lgamma(M - POSITIVE - T + k + 1) - lgamma(M + 1) + lgamma(T + 1) + lgamma(M - T + 1);
        tail += exp(chance);
    }
    double got = pow(10, e.log10_p_hard);
    if (fabs(got - tail) > 4 * sqrt(tail * (1 - tail) / N) + 1. / N) fail_msg("p %g, hypergeometric %g", got, tail);
    assert_ok(wmk_mark_verify(&again, NULL, key, &view, 1, 64, N));
    assert_true(again.log10_p == e.log10_p && again.log10_p_soft == e.log10_p_soft);
    wmk_evidence judged; /* without the weights nothing can be redrawn: no proof */
    assert_ok(wmk_evidence_judge(&judged, key, reading, 1, 64));
    assert_true(judged.empirical && judged.log10_p == 0 && judged.bit_errors == e.bit_errors);
    wmk_reading_free(reading);

    wmk_embed_options options = WMK_EMBED_OPTIONS_INIT; /* a mark no stranger has: the floor */
    options.margin = 1;
    void *out = w;
    assert_ok(wmk_mark_embed(key, &view, &out, &options, NULL));
    assert_ok(wmk_mark_verify(&e, NULL, key, &view, 1, 64, N));
    assert_int_equal(e.bit_errors, 0);
    near(e.log10_p_hard, log10(1. / (N + 1)));
    near(e.log10_p, log10(2. / (N + 1)));
    wmk_key_free(key);
}

static void verify_is_read_and_judge(void **state)
{
    (void)state;
    naive_set set = {0};
    naive_add(&set, 1, 3, 3, 5, 7, "OIHW");
    for (int s = WMK_SCHEME_DIRECT; s <= WMK_SCHEME_PARTITION; s++) {
        wmk_key *key = naive_key(&set, (wmk_scheme)s, WMK_CARRIER_WEIGHTS, 20, false, 3);
        wmk_reading *a = NULL, *b = NULL;
        wmk_evidence e, f;
        assert_ok(wmk_mark_read(&a, key, set.view));
        assert_ok(wmk_evidence_judge(&e, key, a, 3, 64));
        assert_ok(wmk_mark_verify(&f, &b, key, set.view, 3, 64, 100));
        assert_true(e.log10_p == f.log10_p && e.z == f.z && e.tries == f.tries);
        assert_memory_equal(a->y, b->y, 20 * sizeof *a->y);
        wmk_reading_free(a);
        wmk_reading_free(b);
        wmk_key_free(key);
    }
    naive_free(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_readings),
        cmocka_unit_test(verdicts_and_erasures),
        cmocka_unit_test(ties_are_no_proof_for_fixed_bits),
        cmocka_unit_test(redrawn_keys_follow_the_hypergeometric),
        cmocka_unit_test(verify_is_read_and_judge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
