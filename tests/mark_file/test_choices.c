/* Which tensor is a target's, by whose choice, and what p is charged for it. */
#include <omp.h>

#include "parts.h"

enum { LEVELS = 2 };
static const double level[LEVELS] = {0.05, 0.01};

/* ---- any tensor ---- */

/* `count` parts "t0", "t1", ... of one shape. */
static part *parts_alike(const char *prefix, size_t count, uint64_t filters, uint64_t channels)
{
    part *parts = calloc(count, sizeof *parts);
    assert_non_null(parts);
    for (size_t i = 0; i < count; i++) {
        parts[i] = (part){.layout = "OI", .rank = 2, .shape = {filters, channels}};
        snprintf(parts[i].name, sizeof parts[i].name, "%s%zu", prefix, i);
    }
    return parts;
}

static void check_any_tensor(const char *what, size_t targets, size_t tensors, uint32_t keys)
{
    part *wanted = parts_alike("target.", targets, 8, 16), *there = parts_alike("x", tensors, 8, 16);
    wmk_key *key = parts_key(wanted, targets, WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 32, 1);
    wmk_verify_options options = WMK_VERIFY_OPTIONS_INIT;
    uint32_t below[LEVELS] = {0};
    parts_write(parts_path("model"), there, tensors, 7);
    wmk_model *model = parts_open(parts_path("model"));
    options.any_tensor = true;
    for (uint32_t i = 0; i < keys; i++) {
        wmk_verification found;
        wmk_key *stranger = parts_stranger(key, i);
        assert_ok(wmk_model_verify(&found, model, stranger, &options));
        size_t least = targets < tensors ? targets : tensors, most = targets < tensors ? tensors : targets;
        assert_int_equal(found.tensor_count, least);
        assert_true(fabs(found.evidence.log10_tries - (double)least * log10((double)most + 1)) < 1e-9 * found.evidence.log10_tries);
        for (int l = 0; l < LEVELS; l++) below[l] += found.evidence.log10_p <= log10(level[l]);
        wmk_verification_free(&found);
        wmk_key_free(stranger);
    }
    for (int l = 0; l < LEVELS; l++) parts_check_rate(what, below[l], keys, level[l]);
    wmk_model_close(model);
    wmk_key_free(key);
    free(wanted);
    free(there);
}

/* With 400 targets and one tensor a key has 400 looks, and so it has with one target and 400 tensors. */
static void test_any_tensor_is_paid(void **state)
{
    (void)state;
    check_any_tensor("400 targets, 1 tensor", 400, 1, 2000);
    check_any_tensor("1 target, 400 tensors", 1, 400, 2000);
    check_any_tensor("5 targets, 4 tensors", 5, 4, 1000);
}

/* More tries than any number holds: only their logarithm is left. */
static void test_any_tensor_of_many(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    part *parts = parts_alike("t", COUNT, 3, 5);
    wmk_key *key = parts_key(parts, COUNT, WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 16, 1);
    wmk_verify_options options = WMK_VERIFY_OPTIONS_INIT;
    wmk_verification found;
    parts_write(parts_path("model"), parts, COUNT, 3);
    wmk_model *model = parts_open(parts_path("model"));
    options.any_tensor = true;
    assert_ok(wmk_model_verify(&found, model, key, &options));
    assert_true(found.evidence.tries == UINT64_MAX && isfinite(found.evidence.log10_tries));
    assert_true(fabs(found.evidence.log10_tries - COUNT * log10(COUNT + 1)) < 1e-6);
    assert_true(found.evidence.log10_p == 0 && found.evidence.verdict == WMK_NOT_FOUND);
    wmk_verification_free(&found);
    wmk_model_close(model);
    wmk_key_free(key);
    free(parts);
}

static void take_share(void *payload, double share)
{
    double *last = payload;
    assert_true(share > *last && share <= 1 + 1e-12);
    *last = share;
}

/* Tensors of two shapes, a square one whose letters differ, and a shape that does not fit: readings are counted as the
 * specification says, each target finds its own tensor, and progress ends at 1. */
static void test_any_tensor_finds_its_own(void **state)
{
    (void)state;
    static const part wanted[] = {{"a", "OI", 2, {12, 40}}, {"b", "OI", 2, {12, 40}}, {"c", "IO", 2, {24, 24}}, {"d", "OIHW", 4, {8, 4, 3, 3}}};
    static const part there[] = {{"4", "", 4, {8, 4, 3, 3}}, {"2", "", 2, {12, 40}}, {"3", "", 2, {24, 24}}, {"1", "", 2, {12, 40}},
                                 {"0", "", 2, {40, 12}},     {"9", "", 2, {24, 24}}, {"8", "", 2, {12, 41}}};
    static const char *const own[] = {"1", "2", "3", "4"};
    wmk_key *key = parts_key(wanted, 4, WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 32, 1);
    wmk_embed_options embed = WMK_EMBED_OPTIONS_INIT;
    wmk_verify_options options = WMK_VERIFY_OPTIONS_INIT;
    wmk_verification found;
    double share = 0;
    embed.margin = 6;
    parts_write(parts_path("model"), wanted, 4, 5);
    wmk_model *model = parts_open(parts_path("model"));
    assert_ok(wmk_model_embed(model, key, parts_path("marked"), false, &embed, NULL, NULL, NULL, NULL));
    wmk_model *marked = parts_open(parts_path("marked"));
    wmk_tensor_view views[7];
    float *noise = parts_values(there, 7, 9), *at = noise;
    for (size_t i = 0; i < 7; i++) {
        size_t from = 0;
        while (from < 4 && strcmp(there[i].name, own[from]) != 0) from++;
        views[i] = (wmk_tensor_view){.name = there[i].name, .dtype = WMK_F32, .rank = there[i].rank, .data = at};
        memcpy(views[i].shape, there[i].shape, sizeof there[i].shape);
        if (from < 4) views[i].data = wmk_model_find(marked, wanted[from].name)->view.data;
        at += parts_elements(&there[i]);
    }
    assert_ok(wmk_model_write(parts_path("other"), views, 7, NULL, 0, true));
    wmk_model *other = parts_open(parts_path("other"));
    options.any_tensor = true, options.searched = take_share, options.searched_payload = &share;
    assert_ok(wmk_model_verify(&found, other, key, &options));
    assert_true(fabs(share - 1) < 1e-12);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(found.matched[i].tensor, own[i]);
        assert_int_equal(found.matched[i].how, WMK_MATCH_SHAPE);
    }
    assert_int_equal(found.evidence.bit_errors, 0);
    /* By targets (1 + 3)(1 + 3)(1 + 4)(1 + 1), by tensors (1 + 1)(1 + 2)^3 (1 + 2)^2: of a square one both orders. */
    assert_int_equal(found.evidence.tries, 160);
    wmk_verification_free(&found);
    free(noise);
    wmk_model_close(other);
    wmk_model_close(marked);
    wmk_model_close(model);
    wmk_key_free(key);
}

/* Of more tensors than a target keeps as candidates it keeps the best. */
static void test_any_tensor_keeps_the_best(void **state)
{
    (void)state;
    enum { COUNT = 150 };
    part *parts = parts_alike("t", COUNT, 8, 40);
    wmk_verify_options options = WMK_VERIFY_OPTIONS_INIT;
    wmk_embed_options embed = WMK_EMBED_OPTIONS_INIT;
    options.any_tensor = true, embed.margin = 3;
    parts_write(parts_path("model"), parts, COUNT, 3);
    wmk_model *model = parts_open(parts_path("model"));
    for (size_t own = 0; own < COUNT; own += COUNT - 1) {
        wmk_verification found;
        wmk_key *key = parts_key(parts + own, 1, WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 16, 1);
        assert_ok(wmk_model_embed(model, key, parts_path("marked"), true, &embed, NULL, NULL, NULL, NULL));
        wmk_model *marked = parts_open(parts_path("marked"));
        assert_ok(wmk_model_verify(&found, marked, key, &options));
        assert_string_equal(found.matched[0].tensor, parts[own].name);
        assert_int_equal(found.evidence.tries, COUNT + 1);
        wmk_verification_free(&found);
        wmk_model_close(marked);
        wmk_key_free(key);
    }
    wmk_model_close(model);
    free(parts);
}

/* ---- map ---- */

static wmk_status verify_by(wmk_verification *out, const wmk_model *model, const wmk_key *key, const wmk_rename *map, size_t count)
{
    wmk_verify_options options = WMK_VERIFY_OPTIONS_INIT;
    options.map = map, options.map_count = count;
    return wmk_model_verify(out, model, key, &options);
}

/* Three targets that names lead to, one of another shape that they do not, five more tensors. */
static void test_map_is_charged(void **state)
{
    (void)state;
    static const part wanted[] = {{"a", "OI", 2, {6, 10}}, {"b", "OI", 2, {6, 10}}, {"c", "OI", 2, {6, 10}}, {"gone", "OI", 2, {7, 5}}};
    static const part there[] = {{"a", "", 2, {6, 10}}, {"b", "", 2, {6, 10}}, {"c", "", 2, {6, 10}},    {"d", "", 2, {6, 10}},
                                 {"e", "", 2, {10, 6}}, {"f", "", 2, {6, 11}}, {"g", "", 3, {6, 10, 2}}, {"h", "", 2, {7, 5}}};
    static const struct {
        wmk_rename map[4];
        size_t count;
        uint64_t tries;
    } cases[] = {
        {{{"a", "a", 0}, {"c", "c", 0}}, 2, 1}, /* what the names say */
        /* n C(n, k), and for each line 5 of the shape + 1 for all others, or (5 + 1) for the others times their number, 2 */
        {{{"a", "d", 0}}, 1, 4 * 4 * 6},
        {{{"a", "e", 0}}, 1, 4 * 4 * 6}, /* across */
        {{{"a", "d", 0}, {"b", "b", 0}}, 2, 4 * 4 * 6},
        {{{"a", "f", 0}}, 1, 4 * 4 * 6 * 2},
        {{{"a", "b", 0}, {"b", "a", 0}}, 2, 4 * 6 * 6 * 6},
        {{{"gone", "h", 0}}, 1, 4 * 4 * 2},     /* 1 of the shape, 6 others */
        {{{"gone", "f", 0}}, 1, 4 * 4 * 2 * 6}, /* one of the others */
        {{{"a", "b", 0}, {"b", "c", 0}, {"c", "d", 0}, {"gone", "h", 0}}, 4, 4 * 1 * 6 * 6 * 6 * 2},
    };
    wmk_key *key = parts_key(wanted, 4, WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 16, 1);
    parts_write(parts_path("model"), there, 8, 3);
    wmk_model *model = parts_open(parts_path("model"));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wmk_verification found;
        assert_ok(verify_by(&found, model, key, cases[i].map, cases[i].count));
        if (found.evidence.tries != cases[i].tries)
            fail_msg("map %zu: tries %llu, not %llu", i, (unsigned long long)found.evidence.tries, (unsigned long long)cases[i].tries);
        wmk_verification_free(&found);
    }
    wmk_model_close(model);
    wmk_key_free(key);
}

static void test_map_refusals(void **state)
{
    (void)state;
    static const part parts[] = {{"a", "OI", 2, {6, 10}}, {"b", "OI", 2, {6, 10}}, {"v", "", 1, {6}}, {"none", "", 2, {6, 0}}};
    static const struct {
        wmk_rename map[2];
        size_t count;
        wmk_status status;
        const char *message;
    } cases[] = {
        {{{"a", "b", 4}, {"b", "b", 5}}, 2, WMK_ERROR_INPUT, "map: line 5: tensor \"b\" is named for \"a\" and for \"b\""},
        {{{"a", "a", 4}, {"a", "b", 5}}, 2, WMK_ERROR_INPUT, "map: line 5: \"a\" is named a second time"},
        {{{"a", "b", 0}, {"b", "b", 0}}, 2, WMK_ERROR_INPUT, "map: tensor \"b\""},
        {{{"a", "v", 3}}, 1, WMK_ERROR_MISMATCH, "map: line 3: "},
        {{{"a", "none", 3}}, 1, WMK_ERROR_MISMATCH, "map: line 3: "},
        {{{"x", "b", 3}}, 1, WMK_ERROR_MISSING, "map: line 3: the key has no tensor \"x\""},
        {{{"a", "x", 3}}, 1, WMK_ERROR_MISSING, "map: line 3: for \"a\": "},
    };
    wmk_key *key = parts_key(parts, 2, WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 16, 1);
    parts_write(parts_path("model"), parts, 4, 3);
    wmk_model *model = parts_open(parts_path("model"));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        wmk_verification found;
        assert_fails(verify_by(&found, model, key, cases[i].map, cases[i].count), cases[i].status, cases[i].message);
    }
    wmk_model_close(model);
    wmk_key_free(key);
}

enum { CHOSEN = 16, OTHERS = 1 };

typedef struct gain {
    double z;
    wmk_rename line;
} gain;

static int by_gain(const void *left, const void *right)
{
    const gain *a = left, *b = right;
    return (a->z < b->z) - (a->z > b->z);
}

/* What the best line for each target adds to z, the largest first. there [CHOSEN][1 + OTHERS]. */
static void find_gains(gain *gains, const wmk_model *model, const wmk_key *key, const part *there)
{
    wmk_verification found;
    assert_ok(verify_by(&found, model, key, NULL, 0));
    double z = found.evidence.z;
    wmk_verification_free(&found);
    for (size_t t = 0; t < CHOSEN; t++, there += 1 + OTHERS) {
        gains[t].z = -INFINITY;
        for (size_t i = 1; i <= OTHERS; i++) {
            wmk_rename line = {there[0].name, there[i].name, 0};
            assert_ok(verify_by(&found, model, key, &line, 1));
            if (found.evidence.z - z > gains[t].z) gains[t] = (gain){found.evidence.z - z, line};
            wmk_verification_free(&found);
        }
    }
    qsort(gains, CHOSEN, sizeof *gains, by_gain);
}

/* The least log10 p of all maps: as it is, and if every line were charged its readings and nothing else. */
static void find_best(double *best, double *by_lines, const wmk_model *model, const wmk_key *key, const part *there)
{
    gain gains[CHOSEN];
    wmk_rename map[CHOSEN];
    find_gains(gains, model, key, there);
    *best = *by_lines = 0;
    for (size_t k = 0; k < CHOSEN; k++) {
        wmk_verification found;
        map[k] = gains[k].line;
        if (k % 2 == 0) continue;
        assert_ok(verify_by(&found, model, key, map, k + 1));
        const wmk_evidence *e = &found.evidence;
        *best = fmin(*best, e->log10_p);
        *by_lines = fmin(*by_lines, fmin(e->log10_p_soft, e->log10_p_hard) + log10(2) + (double)(k + 1) * log10(OTHERS + 1));
        wmk_verification_free(&found);
    }
}

/* Somebody who writes the map after looking: 16 targets of 16 shapes, two tensors each. Scheme random over
 * normalised filters adds the targets' scores, so the best map of k lines has the k largest gains. */
static void test_map_chosen_after_looking(void **state)
{
    (void)state;
    enum { KEYS = 600 };
    part there[CHOSEN * (OTHERS + 1)], wanted[CHOSEN];
    uint32_t below[LEVELS] = {0}, below_by_lines = 0;
    for (size_t i = 0; i < CHOSEN * (OTHERS + 1); i++) {
        size_t t = i / (OTHERS + 1);
        there[i] = (part){.layout = "OI", .rank = 2, .shape = {2, 6 + t}};
        snprintf(there[i].name, sizeof there[i].name, "%zu", i);
        if (i % (OTHERS + 1) == 0) wanted[t] = there[i];
    }
    wmk_key *key = parts_key(wanted, CHOSEN, WMK_SCHEME_RANDOM, WMK_CARRIER_WEIGHTS, 8, 1);
    parts_write(parts_path("model"), there, CHOSEN * (OTHERS + 1), 11);
    wmk_model *model = parts_open(parts_path("model"));
    for (uint32_t n = 0; n < KEYS; n++) {
        double best, by_lines;
        wmk_key *stranger = parts_stranger(key, n);
        find_best(&best, &by_lines, model, stranger, there);
        for (int l = 0; l < LEVELS; l++) below[l] += best <= log10(level[l]);
        below_by_lines += by_lines <= log10(level[0]);
        wmk_key_free(stranger);
    }
    print_message("with the readings of each line alone: p <= 0.05 for %u of %u keys\n", below_by_lines, KEYS);
    for (int l = 0; l < LEVELS; l++) parts_check_rate("best map", below[l], KEYS, level[l]);
    wmk_model_close(model);
    wmk_key_free(key);
}

/* ---- many models and keys ---- */

typedef struct seen {
    double log10_p[3][2];
    wmk_status status[3][2];
    size_t pairs, stop_after;
} seen;

static int see(void *payload, const wmk_pair *pair)
{
    seen *s = payload;
    assert_int_equal(pair->model * 2 + pair->key, s->pairs);
    s->status[pair->model][pair->key] = pair->status;
    assert_int_equal(pair->verification != NULL, pair->status == WMK_OK);
    assert_true(pair->opened || !pair->verification);
    if (pair->verification) s->log10_p[pair->model][pair->key] = pair->verification->evidence.log10_p;
    if (!pair->opened) assert_non_null(strstr(wmk_error_message(), "damaged"));
    return ++s->pairs == s->stop_after;
}

static void test_many(void **state)
{
    (void)state;
    static const part parts[] = {{"a", "OI", 2, {30, 40}}}, other[] = {{"b", "OI", 2, {30, 40}}};
    wmk_key *keys[2] = {parts_key(parts, 1, WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 16, 1),
                        parts_key(other, 1, WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 16, 2)};
    wmk_verify_options options = WMK_VERIFY_OPTIONS_INIT;
    wmk_embed_options embed = WMK_EMBED_OPTIONS_INIT;
    wmk_verification alone;
    seen s = {.stop_after = 0};
    embed.margin = 4;
    parts_write(parts_path("model"), parts, 1, 3);
    wmk_model *model = parts_open(parts_path("model"));
    assert_ok(wmk_model_embed(model, keys[0], parts_path("marked"), false, &embed, NULL, NULL, NULL, NULL));
    FILE *damaged = fopen(parts_path("damaged"), "w");
    assert_non_null(damaged);
    assert_true(fputs("{", damaged) >= 0 && fclose(damaged) == 0);
    char damaged_path[96], marked_path[96], model_path[96];
    strcpy(damaged_path, parts_path("damaged")), strcpy(marked_path, parts_path("marked")), strcpy(model_path, parts_path("model"));
    const char *const paths[] = {damaged_path, marked_path, model_path};
    const wmk_key *const both[] = {keys[0], keys[1]};
    options.tries = 5;
    assert_ok(wmk_model_verify_many(paths, 3, both, 2, &options, see, &s));
    assert_int_equal(s.pairs, 6);
    assert_int_equal(s.status[0][0], WMK_ERROR_INPUT);
    assert_int_equal(s.status[0][1], WMK_ERROR_INPUT);
    assert_int_equal(s.status[1][0], WMK_OK);
    assert_int_equal(s.status[1][1], WMK_ERROR_MISSING);
    assert_int_equal(s.status[2][0], WMK_OK);
    wmk_model *marked = parts_open(marked_path);
    options.tries = 1;
    assert_ok(wmk_model_verify(&alone, marked, keys[0], &options));
    assert_true(fabs(alone.evidence.log10_p + log10(5 * 6) - s.log10_p[1][0]) < 1e-9);
    wmk_verification_free(&alone);
    s = (seen){.stop_after = 3};
    assert_fails(wmk_model_verify_many(paths, 3, both, 2, &options, see, &s), WMK_ERROR_INTERRUPTED, "stopped");
    assert_int_equal(s.pairs, 3);
    s = (seen){.stop_after = 1};
    assert_fails(wmk_model_verify_many(paths, 3, both, 2, &options, see, &s), WMK_ERROR_INTERRUPTED, "stopped");
    options.tries = UINT64_MAX / 5;
    assert_fails(wmk_model_verify_many(paths, 3, both, 2, &options, see, &s), WMK_ERROR_ARGUMENT, "more than 2^64");
    assert_fails(wmk_model_verify_many(paths, 0, both, 2, &options, see, &s), WMK_ERROR_ARGUMENT, "no pair");
    wmk_model_close(marked);
    wmk_model_close(model);
    wmk_key_free(keys[0]);
    wmk_key_free(keys[1]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, parts_set_up, parts_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_any_tensor_is_paid), TEST(test_any_tensor_of_many), TEST(test_any_tensor_finds_its_own), TEST(test_any_tensor_keeps_the_best),
        TEST(test_map_is_charged),     TEST(test_map_refusals),       TEST(test_map_chosen_after_looking), TEST(test_many),
    };
    omp_set_num_threads(1); /* thousands of readings of a few weights each */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
