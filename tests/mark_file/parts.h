/* parts.h - small models of given shapes with noise in them, and keys over them. */
#ifndef WMK_TESTS_PARTS_H
#define WMK_TESTS_PARTS_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/convert.h"
#include "cmocka_wmk.h"
#include <weightmark/mark_file.h>

typedef struct part {
    char name[32];
    wmk_layout layout;
    uint32_t rank;
    uint64_t shape[4];
} part;

static char parts_folder[] = "/tmp/wmk-test-parts-XXXXXX";

static inline int parts_set_up(void **state)
{
    (void)state;
    memcpy(parts_folder + strlen(parts_folder) - 6, "XXXXXX", 6);
    return mkdtemp(parts_folder) ? 0 : -1;
}

static inline const char *parts_path(const char *name)
{
    static char path[4][96];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[next], "%s/%s", parts_folder, name);
    return path[next];
}

/* Fails where a test left a file that it did not name. */
static inline int parts_tear_down(void **state)
{
    (void)state;
    static const char *const names[] = {"model", "marked", "other", "damaged"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) unlink(parts_path(names[i]));
    return rmdir(parts_folder);
}

static inline double parts_noise(uint64_t *state)
{
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        sum += (double)(*state >> 11) / 9007199254740992.0 - 0.5;
    }
    return sum;
}

static inline size_t parts_elements(const part *p)
{
    size_t elements = 1;
    for (uint32_t a = 0; a < p->rank; a++) elements *= (size_t)p->shape[a];
    return elements;
}

/* Values of every part, one after the other. The caller frees. */
static inline float *parts_values(const part *parts, size_t count, uint64_t seed)
{
    size_t all = 0;
    for (size_t i = 0; i < count; i++) all += parts_elements(&parts[i]);
    float *values = malloc((all + 1) * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < all; i++) values[i] = (float)parts_noise(&seed);
    return values;
}

static inline void parts_write_values(const char *path, const part *parts, size_t count, const float *values)
{
    wmk_tensor_view *views = calloc(count + 1, sizeof *views);
    assert_non_null(views);
    for (size_t i = 0; i < count; i++) {
        views[i] = (wmk_tensor_view){.name = parts[i].name, .dtype = WMK_F32, .rank = parts[i].rank, .data = values};
        memcpy(views[i].shape, parts[i].shape, sizeof parts[i].shape);
        values += parts_elements(&parts[i]);
    }
    assert_ok(wmk_model_write(path, views, count, NULL, 0, true));
    free(views);
}

static inline void parts_write(const char *path, const part *parts, size_t count, uint64_t seed)
{
    float *values = parts_values(parts, count, seed);
    parts_write_values(path, parts, count, values);
    free(values);
}

static inline wmk_key *parts_key(const part *parts, size_t count, wmk_scheme scheme, wmk_carrier carrier, uint32_t bits, uint8_t seed_byte)
{
    wmk_key *key;
    uint8_t seed[WMK_SEED_BYTES];
    wmk_target *targets = calloc(count, sizeof *targets);
    assert_non_null(targets);
    memset(seed, seed_byte, sizeof seed);
    for (size_t i = 0; i < count; i++) {
        targets[i] = (wmk_target){.name = parts[i].name, .rank = parts[i].rank};
        memcpy(targets[i].layout, parts[i].layout, sizeof targets[i].layout);
        memcpy(targets[i].shape, parts[i].shape, sizeof parts[i].shape);
    }
    wmk_key_options options = WMK_KEY_OPTIONS_INIT;
    options.scheme = scheme, options.carrier = carrier, options.bits = bits, options.seed = seed, options.created = 1;
    options.targets = targets, options.target_count = count;
    assert_ok(wmk_key_create(&key, &options));
    free(targets);
    return key;
}

/* Stranger number i of the key's kind. */
static inline wmk_key *parts_stranger(const wmk_key *key, uint32_t i)
{
    wmk_key *stranger;
    uint8_t seed[WMK_SEED_BYTES] = {1};
    memcpy(seed + 1, &i, sizeof i);
    assert_ok(wmk_key_redraw(&stranger, key, seed));
    return stranger;
}

static inline wmk_model *parts_open(const char *path)
{
    wmk_model *model;
    assert_ok(wmk_model_open(&model, path));
    return model;
}

/* At most what chance gives, and three deviations. */
static inline void parts_check_rate(const char *what, uint32_t below, uint32_t keys, double level)
{
    double expected = level * keys, most = expected + 3 * sqrt(expected);
    print_message("%s: p <= %g for %u of %u keys\n", what, level, below, keys);
    if (below > most) fail_msg("%s: p <= %g for %u of %u keys, at most %.1f are allowed", what, level, below, keys, most);
}

#endif
