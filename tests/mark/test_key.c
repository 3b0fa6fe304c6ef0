/* Keys in memory: what is refused and why, what a key says of itself, its id, b, and keys redrawn from it. */
#include "cmocka_wmk.h"

#include <math.h>
#include <sodium.h>
#include <stdlib.h>

#include "mark/key.h"

static const uint8_t seed_a[WMK_SEED_BYTES] = "the thirty-two bytes of a seed..";

static wmk_key_options options_of(const wmk_target *targets, size_t count)
{
    wmk_key_options options = WMK_KEY_OPTIONS_INIT;
    options.seed = seed_a;
    options.created = 1700000000;
    options.targets = targets;
    options.target_count = count;
    return options;
}

static void id_of(char id[WMK_KEY_ID_CHARS + 1], const wmk_key_options *options)
{
    wmk_key *key;
    assert_ok(wmk_key_create(&key, options));
    wmk_key_id(key, id);
    wmk_key_free(key);
}

static void test_getters(void **state)
{
    (void)state;
    char name[] = "conv";
    wmk_target targets[] = {{name, "OIHW", 4, {64, 16, 3, 3}}, {"fc", "OI", 2, {10, 256}}};
    wmk_key_options options = options_of(targets, 2);
    wmk_key *key;
    assert_ok(wmk_key_create(&key, &options));
    name[0] = 'X'; /* the key has its own copy */
    targets[1].shape[0] = 1;
    assert_int_equal(wmk_key_scheme(key), WMK_SCHEME_RANDOM);
    assert_int_equal(wmk_key_carrier(key), WMK_CARRIER_MEAN);
    assert_int_equal(wmk_key_bit_count(key), 256);
    assert_int_equal(wmk_key_m(key), 16 * 9 + 256);
    assert_false(wmk_key_ones(key));
    assert_int_equal(wmk_key_created(key), 1700000000);
    uint8_t original[WMK_ORIGINAL_BYTES] = {1};
    assert_false(wmk_key_original(key, original));
    for (int i = 0; i < WMK_ORIGINAL_BYTES; i++) assert_int_equal(original[i], 0);
    assert_int_equal(wmk_key_target_count(key), 2);
    assert_string_equal(wmk_key_target(key, 0)->name, "conv");
    assert_string_equal(wmk_key_target(key, 1)->layout, "OI");
    assert_int_equal(wmk_key_target(key, 1)->shape[0], 10);
    assert_null(wmk_key_target(key, 2));
    wmk_key_free(key);

    targets[1].shape[0] = 10;
    options.carrier = WMK_CARRIER_WEIGHTS;
    options.created = 0;
    options.seed = NULL;
    options.original = seed_a;
    wmk_key *other;
    assert_ok(wmk_key_create(&key, &options));
    assert_ok(wmk_key_create(&other, &options));
    assert_int_equal(wmk_key_m(key), 64 * 16 * 9 + 2560);
    assert_true(wmk_key_created(key) > 1700000000);
    assert_memory_not_equal(key->secret->seed, other->secret->seed, WMK_SEED_BYTES);
    assert_true(wmk_key_original(key, original));
    assert_memory_equal(original, seed_a, sizeof original);
    wmk_key_free(key);
    wmk_key_free(other);
    wmk_key_free(NULL);
}

static void test_refusals(void **state)
{
    (void)state;
    static char long_name[1026];
    memset(long_name, 'n', 1025);
    const wmk_target good = {"conv", "OIHW", 4, {64, 64, 3, 3}};
    const struct {
        wmk_target target;
        const char *message;
    } bad_targets[] = {
        {{NULL, "OIHW", 4, {1, 1, 1, 1}}, "no name"},
        {{"", "OIHW", 4, {1, 1, 1, 1}}, "1 to 1024 bytes"},
        {{long_name, "OI", 2, {1, 1}}, "1 to 1024 bytes"},
        {{"a\nb", "OI", 2, {1, 1}}, "control characters"},
        {{"\xc0\x80", "OI", 2, {1, 1}}, "UTF-8"},
        {{"\xed\xa0\x80", "OI", 2, {1, 1}}, "UTF-8"},
        {{"\xf4\x90\x80\x80", "OI", 2, {1, 1}}, "UTF-8"},
        {{"\xe2\x82", "OI", 2, {1, 1}}, "UTF-8"},
        {{"w", "", 0, {0}}, "rank 0"},
        {{"w", "OI", 9, {1, 1}}, "rank 9"},
        {{"w", "OIHW", 3, {1, 1, 1}}, "layout"},
        {{"w", "IHW", 3, {1, 1, 1}}, "layout"},
        {{"w", "OO", 2, {1, 1}}, "layout"},
        {{"w", "OX", 2, {1, 1}}, "layout"},
        {{"w", {'O', 'I', 'H', 'W', 'D', 'O', 'O', 'O', 'O'}, 8, {1, 1, 1, 1, 1, 1, 1, 1}}, "layout"},
        {{"w", "OI", 2, {10, 0}}, "axis 1 has no elements"},
        {{"w", "OI", 2, {1ull << 32, 1ull << 32}}, "more than 2^48"},
        {{"w", "OI", 2, {1ull << 25, 1ull << 24}}, "more than 2^48"},
        {{"w", "OIHWD", 5, {1ull << 63, 2, 2, 2, 2}}, "more than 2^48"},
    };
    wmk_key *key = NULL;
    for (size_t i = 0; i < sizeof bad_targets / sizeof *bad_targets; i++) {
        wmk_key_options options = options_of(&bad_targets[i].target, 1);
        assert_fails(wmk_key_create(&key, &options), WMK_ERROR_ARGUMENT, bad_targets[i].message);
    }
    const wmk_target twice[] = {good, {"x", "O", 1, {300}}, good}, halves[] = {{"a", "O", 1, {1ull << 48}}, {"b", "O", 1, {1}}};
    wmk_key_options options = options_of(twice, 3);
    assert_fails(wmk_key_create(&key, &options), WMK_ERROR_ARGUMENT, "conv: named twice");
    options = options_of(halves, 2);
    options.carrier = WMK_CARRIER_WEIGHTS;
    assert_fails(wmk_key_create(&key, &options), WMK_ERROR_ARGUMENT, "together");
    options.target_count = 1;
    assert_ok(wmk_key_create(&key, &options));
    wmk_key_free(key);
    key = NULL;
    options.target_count = 0;
    assert_fails(wmk_key_create(&key, &options), WMK_ERROR_ARGUMENT, "0 targets");
    options.target_count = WMK_TARGETS_MAX + 1;
    assert_fails(wmk_key_create(&key, &options), WMK_ERROR_ARGUMENT, "65537 targets");

#define REFUSED(change, status, message)                                                                                                             \
    do {                                                                                                                                             \
        options = options_of(&good, 1);                                                                                                              \
        options.change;                                                                                                                              \
        assert_fails(wmk_key_create(&key, &options), status, message);                                                                               \
    } while (0)
    REFUSED(struct_size--, WMK_ERROR_ARGUMENT, "WMK_KEY_OPTIONS_INIT");
    REFUSED(scheme = (wmk_scheme)0, WMK_ERROR_ARGUMENT, "scheme 0");
    REFUSED(scheme = (wmk_scheme)5, WMK_ERROR_ARGUMENT, "scheme 5");
    REFUSED(carrier = (wmk_carrier)4, WMK_ERROR_ARGUMENT, "carrier 4");
    REFUSED(bits = 0, WMK_ERROR_ARGUMENT, "T = 0");
    REFUSED(bits = WMK_BITS_MAX + 1, WMK_ERROR_ARGUMENT, "T = 16385");
    REFUSED(created = -1, WMK_ERROR_ARGUMENT, "1970");

    /* M = 576 */
    REFUSED(scheme = WMK_SCHEME_DIRECT; options.bits = 577, WMK_ERROR_MISMATCH, "T = 577 bits, M = 576");
    REFUSED(scheme = WMK_SCHEME_DIFF; options.bits = 289, WMK_ERROR_MISMATCH, "2 T = 578 for 289 bits, M = 576");
    for (int diff = 0; diff < 2; diff++) {
        options.scheme = diff ? WMK_SCHEME_DIFF : WMK_SCHEME_DIRECT;
        options.bits = diff ? 288 : 576;
        assert_ok(wmk_key_create(&key, &options));
        wmk_key_free(key);
    }
    const wmk_target odd = {"w", "O", 1, {577}};
    options = options_of(&odd, 1);
    options.carrier = WMK_CARRIER_WEIGHTS;
    options.scheme = WMK_SCHEME_DIFF;
    options.bits = 289;
    assert_fails(wmk_key_create(&key, &options), WMK_ERROR_MISMATCH, "M = 577");
    options.scheme = WMK_SCHEME_RANDOM; /* T above M is allowed: over-determined */
    options.bits = 577;
    assert_ok(wmk_key_create(&key, &options));
    wmk_key_free(key);
}

/* Every part of the key changes the id, and nothing else does. */
static void test_id(void **state)
{
    (void)state;
    const wmk_target targets[] = {{"conv", "OIHW", 4, {64, 64, 3, 3}}, {"fc", "OI", 2, {10, 256}}};
    wmk_key_options options = options_of(targets, 2);
    char base[WMK_KEY_ID_CHARS + 1], id[WMK_KEY_ID_CHARS + 1];
    id_of(base, &options);
    assert_int_equal(strlen(base), WMK_KEY_ID_CHARS);
    assert_int_equal(strspn(base, "0123456789abcdef"), WMK_KEY_ID_CHARS);
    id_of(id, &options);
    assert_string_equal(id, base);
    const uint8_t zeros[WMK_ORIGINAL_BYTES] = {0}; /* no original */
    options.original = zeros;
    id_of(id, &options);
    assert_string_equal(id, base);

#define CHANGES_ID(change)                                                                                                                           \
    do {                                                                                                                                             \
        wmk_target t[2];                                                                                                                             \
        memcpy(t, targets, sizeof t);                                                                                                                \
        options = options_of(t, 2);                                                                                                                  \
        change;                                                                                                                                      \
        id_of(id, &options);                                                                                                                         \
        assert_string_not_equal(id, base);                                                                                                           \
    } while (0)
    uint8_t seed[WMK_SEED_BYTES];
    memcpy(seed, seed_a, sizeof seed);
    seed[31] ^= 0x80;
    CHANGES_ID(options.seed = seed);
    CHANGES_ID(options.scheme = WMK_SCHEME_PARTITION);
    CHANGES_ID(options.carrier = WMK_CARRIER_WEIGHTS);
    CHANGES_ID(options.bits++);
    CHANGES_ID(options.ones = true);
    CHANGES_ID(options.original = seed_a);
    CHANGES_ID(options.created++);
    CHANGES_ID(options.target_count = 1);
    CHANGES_ID(t[1].name = "fd");
    CHANGES_ID(memcpy(t[0].layout, "IOHW", 5));
    CHANGES_ID(t[0].shape[0] = 32);
    CHANGES_ID((t[0] = targets[1], t[1] = targets[0]));
}

static void test_bits(void **state)
{
    (void)state;
    wmk_target target = {"w", "O", 1, {1}};
    wmk_key_options options = options_of(&target, 1);
    options.bits = WMK_BITS_MAX;
    options.carrier = WMK_CARRIER_WEIGHTS;
    static uint8_t b[WMK_BITS_MAX + 1], few[WMK_BITS_MAX + 1];
    b[WMK_BITS_MAX] = 0xaa;
    wmk_key *key;
    assert_ok(wmk_key_create(&key, &options));
    wmk_key_bits(key, b);
    wmk_key_free(key);
    int ones = 0;
    for (int j = 0; j < WMK_BITS_MAX; j++) {
        assert_true(b[j] <= 1);
        ones += b[j];
    }
    assert_true(abs(2 * ones - WMK_BITS_MAX) < 5 * 128); /* five deviations of a fair coin */
    assert_int_equal(b[WMK_BITS_MAX], 0xaa);

    options.bits = 13;
    for (int fixed = 0; fixed < 2; fixed++) {
        few[13] = 0xaa;
        options.ones = fixed;
        assert_ok(wmk_key_create(&key, &options));
        wmk_key_bits(key, few);
        wmk_key_free(key);
        for (int j = 0; j < 13; j++) assert_true(few[j] == 1 || (!fixed && few[j] == 0));
        assert_int_equal(few[13], 0xaa);
    }
}

enum { PART_BITS = 512, PART_COLUMNS = 12 * 10 * 9 + 16 * 10 };

/* Everything that follows from a key: its bits as +1 and -1, and X as a sequence that says which columns a row has and with which sign. */
typedef struct draw_of_key {
    double b[PART_BITS];
    double x[PART_BITS * PART_COLUMNS];
} draw_of_key;

static void draw(draw_of_key *to, const wmk_key *key)
{
    static float row[PART_COLUMNS];
    uint8_t b[PART_BITS];
    uint32_t T = wmk_key_bit_count(key);
    assert_int_equal(wmk_key_m(key), PART_COLUMNS);
    memset(to, 0, sizeof *to);
    wmk_key_bits(key, b);
    for (uint32_t j = 0; j < T; j++) {
        to->b[j] = b[j] ? 1 : -1;
        assert_ok(wmk_key_x(key, j, 0, PART_COLUMNS, row));
        for (size_t i = 0; i < PART_COLUMNS; i++) to->x[j * PART_COLUMNS + i] = (double)row[i];
    }
}

/* Pearson's r of two sequences without a mean, times sqrt(terms of it that are not 0): about N(0,1) for independent ones. */
static double likeness(const double *a, const double *b, size_t n)
{
    double ab = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        ab += a[i] * b[i];
        squares += a[i] * a[i] * b[i] * b[i];
    }
    return squares > 0 ? ab / sqrt(squares) : 0;
}

/* Rule R1: whoever changes any one part of a key draws all of b and X anew. The likeness of two keys' b and X is that of strangers, in all of X and at
 * each place: no row keeps its values (of floats a few are alike by chance). */
static void assert_strangers(const wmk_key *key, const draw_of_key *base, const char *change)
{
    static draw_of_key other;
    draw(&other, key);
    uint32_t T = wmk_key_bit_count(key);
    bool is_random = wmk_key_scheme(key) == WMK_SCHEME_RANDOM;
    double b = wmk_key_ones(key) ? 0 : likeness(other.b, base->b, T), x = likeness(other.x, base->x, (size_t)T * PART_COLUMNS);
    if (fabs(b) > 5 || fabs(x) > 5) fail_msg("%s: likeness of b %g, of X %g deviations", change, b, x);
    size_t same = 0, both = 0;
    for (size_t i = 0; i < (size_t)T * PART_COLUMNS; i++) {
        both += other.x[i] != 0 && base->x[i] != 0;
        same += other.x[i] != 0 && other.x[i] == base->x[i];
    }
    if (is_random && same > 10) fail_msg("%s: %zu of %zu elements of X are the same", change, same, both);
    /* of a partition each column keeps its row by chance in one of T cases, with the same sign in half of them */
    if (!is_random && both > PART_COLUMNS / 20) fail_msg("%s: %zu of %d columns are in the row that they were in", change, both, PART_COLUMNS);
    for (uint32_t j = 0; is_random && j < T; j++) {
        double row = likeness(other.x + (size_t)j * PART_COLUMNS, base->x + (size_t)j * PART_COLUMNS, PART_COLUMNS);
        if (fabs(row) > 6) fail_msg("%s: likeness of row %u is %g deviations", change, j, row);
    }
}

static wmk_key_options parts_of(const wmk_target *targets, wmk_scheme scheme)
{
    wmk_key_options options = options_of(targets, 2);
    options.scheme = scheme;
    options.carrier = WMK_CARRIER_WEIGHTS;
    options.bits = PART_BITS;
    options.original = seed_a;
    return options;
}

static void test_every_part_draws_anew(void **state)
{
    (void)state;
    static draw_of_key base;
    static const wmk_scheme schemes[] = {WMK_SCHEME_RANDOM, WMK_SCHEME_PARTITION};
    const wmk_target targets[] = {{"conv", "OIHW", 4, {12, 10, 3, 3}}, {"fc", "OI", 2, {16, 10}}};
    uint8_t other[WMK_SEED_BYTES]; /* one bit is another; a seed and a digest have the same size */
    memcpy(other, seed_a, sizeof other);
    other[31] ^= 0x80;
    for (int s = 0; s < 2; s++) {
        wmk_key *key, *redrawn;
        wmk_target t[2];
        wmk_key_options options = parts_of(targets, schemes[s]);
        assert_ok(wmk_key_create(&key, &options));
        draw(&base, key);
        assert_ok(wmk_key_redraw(&redrawn, key, other));
        assert_strangers(redrawn, &base, "redrawn");
        wmk_key_free(redrawn);
        wmk_key_free(key);
#define DRAWS_ANEW(change)                                                                                                                           \
    do {                                                                                                                                             \
        memcpy(t, targets, sizeof t);                                                                                                                \
        options = parts_of(t, schemes[s]);                                                                                                           \
        change;                                                                                                                                      \
        assert_ok(wmk_key_create(&key, &options));                                                                                                   \
        assert_strangers(key, &base, #change);                                                                                                       \
        wmk_key_free(key);                                                                                                                           \
    } while (0)
        DRAWS_ANEW(options.seed = other);
        DRAWS_ANEW(options.carrier = WMK_CARRIER_BALANCED);
        DRAWS_ANEW(options.bits--);
        DRAWS_ANEW(options.ones = true);
        DRAWS_ANEW(options.created++);
        DRAWS_ANEW(options.original = NULL);
        DRAWS_ANEW(options.original = other);
        DRAWS_ANEW((t[0] = targets[1], t[1] = targets[0]));
        DRAWS_ANEW(t[0].name = "Conv");
        DRAWS_ANEW(t[1].name = "fc ");
        DRAWS_ANEW(memcpy(t[0].layout, "OIWH", 5));
        DRAWS_ANEW(memcpy(t[1].layout, "OH", 3));
        DRAWS_ANEW((t[1].shape[0] = 10, t[1].shape[1] = 16));
        DRAWS_ANEW((t[1].rank = 3, t[1].shape[2] = 1, memcpy(t[1].layout, "OIW", 4)));
    }
}

static void test_redraw(void **state)
{
    (void)state;
    const wmk_target targets[] = {{"conv", "OIHW", 4, {64, 64, 3, 3}}, {"fc", "OI", 2, {10, 256}}};
    wmk_key_options options = options_of(targets, 2);
    wmk_key *key, *drawn, *again, *same;
    assert_ok(wmk_key_create(&key, &options));
    assert_ok(wmk_key_redraw(&drawn, key, NULL));
    assert_ok(wmk_key_redraw(&again, drawn, NULL));
    char a[WMK_KEY_ID_CHARS + 1], b[WMK_KEY_ID_CHARS + 1], c[WMK_KEY_ID_CHARS + 1];
    wmk_key_id(key, a);
    wmk_key_free(key); /* the others live on */
    wmk_key_id(drawn, b);
    wmk_key_id(again, c);
    assert_string_not_equal(a, b);
    assert_string_not_equal(b, c);
    assert_int_equal(wmk_key_m(again), 576 + 256);
    assert_string_equal(wmk_key_target(again, 1)->name, "fc");
    wmk_key_free(drawn);
    assert_ok(wmk_key_redraw(&same, again, seed_a)); /* the same seed is the same key */
    wmk_key_id(same, b);
    assert_string_equal(a, b);
    wmk_key_free(again);
    assert_string_equal(wmk_key_target(same, 0)->name, "conv");
    wmk_key_free(same);
}

static void test_names(void **state)
{
    (void)state;
    for (wmk_scheme s = WMK_SCHEME_DIRECT; s <= WMK_SCHEME_PARTITION; s++) {
        wmk_scheme back;
        assert_ok(wmk_scheme_parse(&back, wmk_scheme_name(s)));
        assert_int_equal(back, s);
    }
    for (wmk_carrier c = WMK_CARRIER_MEAN; c <= WMK_CARRIER_BALANCED; c++) {
        wmk_carrier back;
        assert_ok(wmk_carrier_parse(&back, wmk_carrier_name(c)));
        assert_int_equal(back, c);
    }
    assert_string_equal(wmk_scheme_name((wmk_scheme)0), "unknown");
    assert_string_equal(wmk_scheme_name((wmk_scheme)5), "unknown");
    assert_string_equal(wmk_carrier_name((wmk_carrier)4), "unknown");
    wmk_scheme s;
    wmk_carrier c;
    assert_fails(wmk_scheme_parse(&s, "Random"), WMK_ERROR_ARGUMENT, "direct, diff, random, partition");
    assert_fails(wmk_carrier_parse(&c, ""), WMK_ERROR_ARGUMENT, "mean, weights, balanced");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_getters), cmocka_unit_test(test_refusals), cmocka_unit_test(test_id),
        cmocka_unit_test(test_bits),    cmocka_unit_test(test_redraw),   cmocka_unit_test(test_every_part_draws_anew),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
