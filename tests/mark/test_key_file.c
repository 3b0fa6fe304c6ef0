/* Key files: round trips, permissions, the seal, and every way a file can be bad: the right status, a message that names the defect, never the secret. */
#include "cmocka_wmk.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mark/key_file.h"
#include "mark/key_seal.h"

static char folder[32], path[64];
#define SEED_TEXT "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define ORIGINAL_TEXT "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f"

static wmk_key *make_key_of(bool bound)
{
    static uint8_t seed[WMK_SEED_BYTES], original[WMK_ORIGINAL_BYTES];
    for (int i = 0; i < WMK_SEED_BYTES; i++) seed[i] = (uint8_t)i;
    for (int i = 0; i < WMK_ORIGINAL_BYTES; i++) original[i] = (uint8_t)(64 + i);
    const wmk_target targets[] = {{"conv \"seed\": \"x\"", "OIHW", 4, {64, 16, 3, 3}}, {"gew\xc3\xb6hn\\lich", "OI", 2, {10, 256}}};
    wmk_key_options options = WMK_KEY_OPTIONS_INIT;
    options.scheme = WMK_SCHEME_DIFF;
    options.bits = 64;
    options.original = bound ? original : NULL;
    options.seed = seed;
    options.created = 1700000000;
    options.targets = targets;
    options.target_count = 2;
    wmk_key *key;
    assert_ok(wmk_key_create(&key, &options));
    return key;
}

static wmk_key *make_key(void) { return make_key_of(true); }

static char *slurp(size_t *size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = calloc(1, 1 << 16);
    assert_non_null(text);
    *size = fread(text, 1, (1 << 16) - 1, file);
    fclose(file);
    return text;
}

static void spill(const char *text, size_t size)
{
    unlink(path); /* truncating an old file makes some file systems wait for the disk */
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void assert_same_key(const wmk_key *a, const wmk_key *b)
{
    assert_memory_equal(a->id, b->id, WMK_KEY_ID_BYTES);
    assert_memory_equal(a->secret, b->secret, sizeof *a->secret);
    assert_true(a->scheme == b->scheme && a->carrier == b->carrier && a->T == b->T && a->M == b->M && a->ones == b->ones &&
                a->created == b->created && a->target_count == b->target_count);
    assert_memory_equal(a->original, b->original, sizeof a->original);
    for (size_t i = 0; i < a->target_count; i++) {
        assert_string_equal(a->targets[i].name, b->targets[i].name);
        assert_string_equal(a->targets[i].layout, b->targets[i].layout);
        assert_memory_equal(a->targets[i].shape, b->targets[i].shape, sizeof a->targets[i].shape);
    }
}

/* The message names the file and holds no stretch of the seed. */
static void assert_discreet(void)
{
    const char *message = wmk_error_message();
    assert_non_null(strstr(message, path));
    for (size_t i = 0; i + 8 <= strlen(SEED_TEXT); i++) {
        char part[9] = {0};
        memcpy(part, &SEED_TEXT[i], 8);
        if (strstr(message, part)) fail_msg("the message shows the seed: %s", message);
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    wmk_key *key = make_key(), *back;
    mode_t mask = umask(0);
    assert_ok(wmk_key_write(key, path, NULL, 0, false));
    umask(mask);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_ok(wmk_key_read(&back, path, NULL, 0));
    assert_same_key(key, back);
    wmk_key_free(back);
    assert_ok(wmk_key_read(&back, path, "needless", 8));
    assert_same_key(key, back);
    wmk_key_free(back);

    assert_fails(wmk_key_write(key, path, NULL, 0, false), WMK_ERROR_EXISTS, path);
    assert_int_equal(chmod(path, 0644), 0);
    assert_ok(wmk_key_write(key, path, NULL, 0, true)); /* replaced, with the key's own permissions */
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_fails(wmk_key_write(key, "/nowhere-at-all/k", NULL, 0, false), WMK_ERROR_MISSING, "/nowhere-at-all/k");
    assert_int_equal(unlink(path), 0);
    assert_fails(wmk_key_read(&back, path, NULL, 0), WMK_ERROR_MISSING, path);
    assert_fails(wmk_key_read(&back, folder, NULL, 0), WMK_ERROR_INPUT, "folder");
    wmk_key_free(key);
}

/* A key that is bound to no model says so, and that is part of it. */
static void test_original(void **state)
{
    (void)state;
    uint8_t digest[WMK_ORIGINAL_BYTES];
    for (int bound = 0; bound < 2; bound++) {
        wmk_key *key = make_key_of(bound), *back;
        size_t size;
        assert_ok(wmk_key_write(key, path, NULL, 0, true));
        char *text = slurp(&size);
        assert_non_null(strstr(text, bound ? "\"original\": \"" ORIGINAL_TEXT "\"" : "\"original\": \"none\""));
        free(text);
        assert_ok(wmk_key_read(&back, path, NULL, 0));
        assert_same_key(key, back);
        assert_int_equal(wmk_key_original(back, digest), bound);
        for (int i = 0; i < WMK_ORIGINAL_BYTES; i++) assert_int_equal(digest[i], bound ? 64 + i : 0);
        wmk_key_free(back);
        wmk_key_free(key);
    }
}

/* A file as the program wrote it before format 2: refused whole, whatever its members are, with the reason. */
static void test_format_1(void **state)
{
    (void)state;
    static const char old[] = "{\n"
                              "  \"format\": \"weightmark-key\",\n"
                              "  \"version\": 1,\n"
                              "  \"id\": \"46885dc0f2536183d1e483083077dcfc5ca6c0c9f0b3b40df7f8d99874d8448a\",\n"
                              "  \"scheme\": \"partition\",\n"
                              "  \"carrier\": \"weights\",\n"
                              "  \"bits\": 200,\n"
                              "  \"b\": \"seed\",\n"
                              "  \"lambda\": 0.01,\n"
                              "  \"created\": 1700000001,\n"
                              "  \"targets\": [\n"
                              "    {\"name\": \"conv\", \"layout\": \"OIHW\", \"shape\": [64, 64, 3, 3]},\n"
                              "    {\"name\": \"fc\", \"layout\": \"OI\", \"shape\": [10, 256]}\n"
                              "  ],\n"
                              "  \"seed\": \"112e4b6885a2bfdcf91633506d8aa7c4e1fe1b3855728facc9e603203d5a7794\"\n"
                              "}\n";
    wmk_key *key = NULL;
    spill(old, sizeof old - 1);
    assert_fails(wmk_key_read(&key, path, NULL, 0), WMK_ERROR_UNSUPPORTED, "key format version 1, whose X did not depend on its targets");
    assert_non_null(strstr(wmk_error_message(), "make a new key"));
    assert_null(strstr(wmk_error_message(), "112e4b68"));
    assert_null(key);
}

static void test_many_targets(void **state)
{
    (void)state;
    static wmk_target targets[WMK_TARGETS_MAX];
    static char names[WMK_TARGETS_MAX][24];
    for (int i = 0; i < WMK_TARGETS_MAX; i++) {
        snprintf(names[i], sizeof names[i], "layer.%d", i);
        targets[i] = (wmk_target){names[i], "DHWIO", 5, {3, 3, 3, 1, 1}};
    }
    wmk_key_options options = WMK_KEY_OPTIONS_INIT;
    options.targets = targets;
    options.target_count = WMK_TARGETS_MAX;
    wmk_key *key, *back;
    assert_ok(wmk_key_create(&key, &options));
    assert_ok(wmk_key_write(key, path, NULL, 0, true));
    assert_ok(wmk_key_read(&back, path, NULL, 0));
    assert_same_key(key, back);
    wmk_key_free(key);
    wmk_key_free(back);
}

static void test_seal(void **state)
{
    (void)state;
    wmk_key *key = make_key(), *back = NULL;
    assert_fails(wmk_key_write(key, path, "", 0, true), WMK_ERROR_ARGUMENT, "passphrase is empty");
    assert_ok(wmk_key_write(key, path, "open sesame", 11, true)); /* at full cost */
    assert_ok(wmk_key_read(&back, path, "open sesame", 11));
    assert_same_key(key, back);
    wmk_key_free(back);
    back = NULL;

    assert_ok(wmk_key_write_cost(key, path, "a\0b", 3, true, 1, 8));
    size_t size;
    char *text = slurp(&size);
    assert_null(strstr(text, SEED_TEXT));
    assert_null(strstr(text, "\"seed\":")); /* the target's name holds it with backslashes */
    assert_fails(wmk_key_read(&back, path, NULL, 0), WMK_ERROR_SECRET, "passphrase is needed");
    assert_discreet();
    static const struct {
        const char *passphrase;
        size_t bytes;
    } wrong[] = {{"a", 1}, {"a\0b\0", 4}, {"", 0}, {"a\0c", 3}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_fails(wmk_key_read(&back, path, wrong[i].passphrase, wrong[i].bytes), WMK_ERROR_SECRET, "wrong passphrase, or");
        assert_discreet();
    }
    assert_ok(wmk_key_read(&back, path, "a\0b", 3));
    assert_same_key(key, back);
    wmk_key_free(back);
    back = NULL;

    /* Fresh salt and nonce for each file. */
    assert_ok(wmk_key_write_cost(key, path, "a\0b", 3, true, 1, 8));
    char *again = slurp(&size);
    assert_memory_not_equal(strstr(again, "\"salt\""), strstr(text, "\"salt\""), 40);
    free(again);

    /* One digit of what is sealed changed: the secret does not open. Of the rest: the id does not fit. */
    static const char *const inside[] = {"\"salt\": \"", "\"nonce\": \"", "\"box\": \"", "\"id\": \""};
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
        char *digit = strstr(text, inside[i]) + strlen(inside[i]) + 5, was = *digit;
        *digit = was == '0' ? '1' : '0';
        spill(text, size);
        assert_fails(wmk_key_read(&back, path, "a\0b", 3), WMK_ERROR_SECRET, "altered");
        *digit = was;
    }
    static const char *const outside[] = {"\"bits\": ", "\"created\": "};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        char *digit = strstr(text, outside[i]) + strlen(outside[i]) + 1, was = *digit;
        *digit = was == '1' ? '2' : '1';
        spill(text, size);
        assert_fails(wmk_key_read(&back, path, "a\0b", 3), WMK_ERROR_INPUT, "does not give its id");
        *digit = was;
    }
    free(text);
    wmk_key_free(key);
}

/* `from` replaced by `to` once in a good file. */
typedef struct defect {
    const char *from, *to;
    wmk_status status;
    const char *message;
} defect;

static void check_defects(const char *good, size_t size, const char *passphrase, size_t passphrase_bytes, const defect *defects, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *at = strstr(good, defects[i].from);
        if (!at) fail_msg("no \"%s\" in the key file", defects[i].from);
        char *bad = calloc(1, size + strlen(defects[i].to) + 1);
        assert_non_null(bad);
        sprintf(bad, "%.*s%s%s", (int)(at - good), good, defects[i].to, at + strlen(defects[i].from));
        spill(bad, strlen(bad));
        free(bad);
        wmk_key *key = NULL;
        assert_fails(wmk_key_read(&key, path, passphrase, passphrase_bytes), defects[i].status, defects[i].message);
        assert_null(key);
        assert_discreet();
    }
}

#define ORIGINAL_RULE "\"original\": not a string of 64 lower-case hexadecimal digits"
#define ZEROS_TEXT "0000000000000000000000000000000000000000000000000000000000000000"

static void test_defects(void **state)
{
    (void)state;
    static const char deep[] = "\"bits\": [[[[[[1]]]]]]";
    static const defect defects[] = {
        {"\"weightmark-key\"", "\"weightmark\"", WMK_ERROR_INPUT, "not a weightmark key"},
        {"\"format\"", "\"formal\"", WMK_ERROR_INPUT, "not a weightmark key"},
        {"\"version\": 2", "\"version\": 3, \"news\": true", WMK_ERROR_UNSUPPORTED, "key format version 3, this library reads version 2"},
        {"\"version\": 2", "\"version\": 0", WMK_ERROR_INPUT, "\"version\": 0, it must be 2"},
        {"\"version\": 2", "\"version\": 2.0", WMK_ERROR_INPUT, "expected a whole number"},
        {"\"scheme\": \"diff\"", "\"scheme\": \"difference\"", WMK_ERROR_INPUT, "scheme \"difference\""},
        {"\"scheme\": \"diff\"", "\"scheme\": 2", WMK_ERROR_INPUT, "\"scheme\": not valid JSON at byte "},
        {"\"scheme\": \"diff\"", "\"scheme\": \"direct\"", WMK_ERROR_INPUT, "does not give its id"},
        {"\"carrier\": \"mean\"", "\"carrier\": \"median\"", WMK_ERROR_INPUT, "carrier \"median\""},
        {"\"carrier\": \"mean\"", "\"carrier\": \"weights\"", WMK_ERROR_INPUT, "does not give its id"},
        {"\"bits\": 64", "\"bits\": 0", WMK_ERROR_INPUT, "\"bits\": 0, it must be 1 to 16384"},
        {"\"bits\": 64", "\"bits\": 16385", WMK_ERROR_INPUT, "\"bits\""},
        {"\"bits\": 64", "\"bits\": 99999999999999999999", WMK_ERROR_INPUT, "2^64 or more"},
        {"\"bits\": 64", "\"bits\": \"64\"", WMK_ERROR_INPUT, "\"bits\""},
        {"\"bits\": 64", "\"bits\": 300", WMK_ERROR_INPUT, "2 T = 600 for 300 bits, M = 400"},
        {"\"bits\": 64", "\"bits\": 64, \"bits\": 64", WMK_ERROR_INPUT, "the member \"bits\" twice"},
        {"\"bits\": 64", "\"bits\": 64, \"bots\": 64", WMK_ERROR_INPUT, "unknown member \"bots\""},
        {"  \"bits\": 64,\n", "", WMK_ERROR_INPUT, "lacks the member \"bits\""},
        {"\"bits\": 64", deep, WMK_ERROR_INPUT, "\"bits\": not valid JSON at byte "},
        {"\"b\": \"seed\"", "\"b\": \"zeros\"", WMK_ERROR_INPUT, "\"b\": neither"},
        {"\"b\": \"seed\"", "\"b\": \"ones\"", WMK_ERROR_INPUT, "does not give its id"},
        {"\"bits\": 64", "\"bits\": NaN", WMK_ERROR_INPUT, "not valid JSON"},
        {"\"bits\": 64", "\"bits\": 64, \"lambda\": 0.01", WMK_ERROR_INPUT, "unknown member \"lambda\""},
        {"\"" ORIGINAL_TEXT "\"", "\"none\"", WMK_ERROR_INPUT, "does not give its id"},
        {"\"4041", "\"4042", WMK_ERROR_INPUT, "does not give its id"},
        {"\"4041", "\"404", WMK_ERROR_INPUT, ORIGINAL_RULE},
        {"\"4041", "\"04041", WMK_ERROR_INPUT, ORIGINAL_RULE},
        {"\"4041", "\"404A", WMK_ERROR_INPUT, ORIGINAL_RULE},
        {"\"4041", "\"\\u003440", WMK_ERROR_INPUT, ORIGINAL_RULE},
        {"\"" ORIGINAL_TEXT "\"", "\"None\"", WMK_ERROR_INPUT, ORIGINAL_RULE},
        {"\"" ORIGINAL_TEXT "\"", "\"\"", WMK_ERROR_INPUT, ORIGINAL_RULE},
        {"\"" ORIGINAL_TEXT "\"", "null", WMK_ERROR_INPUT, ORIGINAL_RULE},
        {"\"" ORIGINAL_TEXT "\"", "\"" ZEROS_TEXT "\"", WMK_ERROR_INPUT, "\"original\": all zeros; a key without an original says \"none\""},
        {"  \"original\": \"" ORIGINAL_TEXT "\",\n", "", WMK_ERROR_INPUT, "lacks the member \"original\""},
        {"\"created\": 1700000000", "\"created\": 0", WMK_ERROR_INPUT, "\"created\""},
        {"\"created\": 1700000000", "\"created\": -5", WMK_ERROR_INPUT, "\"created\""},
        {"\"targets\": [", "\"targets\": [{},", WMK_ERROR_INPUT, "number 0: target is empty"},
        {"\"targets\": [", "\"targets\": [7,", WMK_ERROR_INPUT, "number 0: not valid JSON"},
        {"\"layout\": \"OIHW\"", "\"layout\": \"OIH\"", WMK_ERROR_INPUT, "one letter of \"layout\" for each axis"},
        {"\"layout\": \"OIHW\"", "\"layout\": \"XIHW\"", WMK_ERROR_INPUT, "layout \"XIHW\""},
        {"\"layout\": \"OIHW\"", "\"layout\": \"OIHW\", \"seed\": 1", WMK_ERROR_INPUT, "target has an unknown member \"seed\""},
        {"[64, 16, 3, 3]", "[64, 16, 3, 0]", WMK_ERROR_INPUT, "\"shape\": 0, it must be 1"},
        {"[64, 16, 3, 3]", "[64, 16, 3, 3.5]", WMK_ERROR_INPUT, "expected a whole number"},
        {"[64, 16, 3, 3]", "[1,1,1,1,1,1,1,1,1]", WMK_ERROR_INPUT, "more than 8 axes"},
        {"[64, 16, 3, 3]", "[]", WMK_ERROR_INPUT, "expected a whole number"},
        {"[64, 16, 3, 3]", "64", WMK_ERROR_INPUT, "expected '['"},
        {"[64, 16, 3, 3]", "[281474976710656, 281474976710656, 3, 3]", WMK_ERROR_INPUT, "more than 2^48 weights"},
        {"[64, 16, 3, 3]", "[64, 16, 3, 4]", WMK_ERROR_INPUT, "does not give its id"},
        {"gew\xc3\xb6hn\\\\lich", "conv \\\"seed\\\": \\\"x\\\"", WMK_ERROR_INPUT, "named twice"},
        {"gew\xc3\xb6hn", "gew\xc3hn", WMK_ERROR_INPUT, "not UTF-8"},
        {"gew\xc3\xb6hn", "gew\\u0000hn", WMK_ERROR_INPUT, "a NUL in the string"},
        {"gew\xc3\xb6hn", "gew\\u001bhn", WMK_ERROR_INPUT, "control characters"},
        {"\"seed\": \"0001", "\"seed\": \"0002", WMK_ERROR_INPUT, "does not give its id"},
        {"\"seed\": \"0001", "\"seed\": \"000A", WMK_ERROR_INPUT, "\"seed\": not a string of 64 lower-case hexadecimal digits"},
        {"\"seed\": \"0001", "\"seed\": \"000", WMK_ERROR_INPUT, "\"seed\": not a string of 64 lower-case hexadecimal digits"},
        {"\"seed\": \"0001", "\"seed\": 0001", WMK_ERROR_INPUT, "not valid JSON"},
        {",\n  \"seed\": \"" SEED_TEXT "\"", "", WMK_ERROR_INPUT, "neither \"sealed\" and \"seed\""},
        {"1e1f\"\n}", "1e1f\"\n}}", WMK_ERROR_INPUT, "something after the end"},
        {"1e1f\"\n}", "1e1f\"\n]", WMK_ERROR_INPUT, "not valid JSON"},
        {"\"id\": \"", "\"id\": \"0", WMK_ERROR_INPUT, "\"id\": not a string of 64 lower-case"},
    };
    wmk_key *key = make_key();
    assert_ok(wmk_key_write(key, path, NULL, 0, true));
    size_t size;
    char *good = slurp(&size);
    assert_non_null(strstr(good, SEED_TEXT));
    check_defects(good, size, NULL, 0, defects, sizeof defects / sizeof *defects);

    static const defect seal_defects[] = {
        {"\"kdf\": \"argon2id\"", "\"kdf\": \"md5\"", WMK_ERROR_INPUT, "\"kdf\": not \"argon2id\""},
        {"xchacha20-poly1305", "none", WMK_ERROR_INPUT, "\"cipher\": not \"xchacha20-poly1305\""},
        {"\"passes\": 1", "\"passes\": 0", WMK_ERROR_INPUT, "\"passes\""},
        {"\"passes\": 1", "\"passes\": 65", WMK_ERROR_INPUT, "\"passes\""},
        {"\"passes\": 1", "\"passes\": 2", WMK_ERROR_SECRET, "altered"},
        {"\"memory_kib\": 8", "\"memory_kib\": 7", WMK_ERROR_INPUT, "\"memory_kib\""},
        {"\"memory_kib\": 8", "\"memory_kib\": 1048577", WMK_ERROR_INPUT, "\"memory_kib\""},
        {"\"passes\": 1, \"memory_kib\": 8", "\"passes\": 5, \"memory_kib\": 1048576", WMK_ERROR_INPUT, "at most 4194304"},
        {"\"salt\": \"", "\"salt\": \"00", WMK_ERROR_INPUT, "\"salt\": not a string of 32"},
        {"\"nonce\": \"", "\"nonce\": \"00", WMK_ERROR_INPUT, "\"nonce\": not a string of 48"},
        {"\"box\": \"", "\"box\": \"00", WMK_ERROR_INPUT, "\"box\": not a string of 96"},
        {"\"sealed\": {", "\"sealed\": {\"more\": 1, ", WMK_ERROR_INPUT, "seal has an unknown member \"more\""},
        {"\"sealed\": {", "\"seed\": \"" SEED_TEXT "\", \"sealed\": {", WMK_ERROR_INPUT, "both \"sealed\" and \"seed\""},
    };
    free(good);
    assert_ok(wmk_key_write_cost(key, path, "p", 1, true, 1, 8));
    good = slurp(&size);
    check_defects(good, size, "p", 1, seal_defects, sizeof seal_defects / sizeof *seal_defects);
    free(good);
    wmk_key_free(key);
}

/* Cut off anywhere it is refused; with any one byte changed it is refused or still the same key. */
static void test_damage(void **state)
{
    (void)state;
    wmk_key *key = make_key();
    assert_ok(wmk_key_write(key, path, NULL, 0, true));
    size_t size, same = 0;
    char *good = slurp(&size);
    for (size_t cut = 0; cut + 1 < size; cut++) { /* the last byte is a line feed */
        spill(good, cut);
        wmk_key *back;
        assert_fails(wmk_key_read(&back, path, NULL, 0), WMK_ERROR_INPUT, cut ? "key" : "empty");
        assert_discreet();
    }
    for (size_t i = 0; i < size; i++) {
        static const char changes[] = {0x01, 0x20, 0x7f};
        for (size_t c = 0; c < sizeof changes; c++) {
            char was = good[i];
            good[i] ^= changes[c];
            spill(good, size);
            good[i] = was;
            wmk_key *back = NULL;
            wmk_status status = wmk_key_read(&back, path, NULL, 0);
            if (status == WMK_OK) {
                assert_same_key(key, back);
                wmk_key_free(back);
                same++;
            } else {
                assert_true(status == WMK_ERROR_INPUT || status == WMK_ERROR_UNSUPPORTED);
                assert_discreet();
            }
        }
    }
    assert_true(same < 10); /* white space may change to other white space */
    free(good);
    wmk_key_free(key);
}

/* Sizes that would hurt a parser. */
static void test_hostile_sizes(void **state)
{
    (void)state;
    wmk_key *key = NULL;
    spill("", 0);
    assert_int_equal(truncate(path, (off_t)WMK_KEY_FILE_BYTES_MAX + 1), 0);
    assert_fails(wmk_key_read(&key, path, NULL, 0), WMK_ERROR_INPUT, "67108865 bytes");
    size_t size = 8 << 20;
    char *text = malloc(size);
    assert_non_null(text);
    memset(text, '[', size);
    spill(text, size);
    assert_fails(wmk_key_read(&key, path, NULL, 0), WMK_ERROR_INPUT, "expected '{'");
    memcpy(text, "{\"x\":", 5);
    spill(text, size);
    assert_fails(wmk_key_read(&key, path, NULL, 0), WMK_ERROR_INPUT, "nested too deeply");
    for (size_t i = 6; i < size; i += 2) memcpy(text + i, "0,", 2);
    memcpy(text + size - 4, "0 ]}", 4);
    spill(text, size);
    assert_fails(wmk_key_read(&key, path, NULL, 0), WMK_ERROR_INPUT, "its \"format\" is not");
    memset(text, '"', size);
    spill(text, size);
    assert_fails(wmk_key_read(&key, path, NULL, 0), WMK_ERROR_INPUT, "not a weightmark key");
    free(text);
    assert_null(key);
}

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/wmk-key-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/k", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder); /* fails when a temporary file was left behind */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_original), cmocka_unit_test(test_format_1), cmocka_unit_test(test_many_targets),
        cmocka_unit_test(test_seal),       cmocka_unit_test(test_defects),  cmocka_unit_test(test_damage),   cmocka_unit_test(test_hostile_sizes),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
