/* forger_grind.c - levers that change the key's id and nothing else: seed, creation time, original,
 * names, axes of size 1. The key is the quickest to try that there is: one bit of scheme random on
 * one column, the mean of one tensor of the victim, so that z is X[0][0] or its negative, and p is
 * exact. id, root, sub-keys and key stream are computed here anew from docs/spec.md; each record is
 * made by the library too, read from the victim's file, and compared. */
#include "forger.h"

#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mark/key.h"

enum { TARGETS_MAX = 8, CONTENT_MAX = 1024, CREATED_AT = 24, LAYOUTS_MAX = 261, BATCH = 1024 };

typedef struct grind {
    forger *f;
    wmk_key_options options;
    wmk_target target[TARGETS_MAX]; /* the first is the victim's */
    char name[TARGETS_MAX][24];
    uint64_t extent[TARGETS_MAX]; /* of axis O; all others are 1 */
    bool positive;                /* the mean that is read is above 0 */
    uint8_t seed[WMK_SEED_BYTES], original[WMK_ORIGINAL_BYTES];
    uint8_t content[CONTENT_MAX]; /* what the id is the hash of: canonical content, seed */
    size_t size, name_at;         /* of content; where in it the last target's name begins */
    char layout[LAYOUTS_MAX][6];  /* all that have an O */
    size_t layouts;
} grind;

/* Puts choice number `number` into content, and into the options of the library's key. */
typedef void (*choice)(grind *g, uint64_t number);

/* ---- canonical content (docs/spec.md, "Key id") ---- */

static void put(grind *g, const void *bytes, size_t size)
{
    memcpy(g->content + g->size, bytes, size);
    g->size += size;
}

static void put_number(grind *g, uint64_t number, int bytes)
{
    for (int i = 0; i < bytes; i++) g->content[g->size++] = (uint8_t)(number >> 8 * i);
}

static void write_content(grind *g)
{
    const wmk_key_options *o = &g->options;
    g->size = 0;
    put(g, "weightmark key 2", 16);
    put_number(g, o->scheme, 1);
    put_number(g, o->carrier, 1);
    put_number(g, 0, 2);
    put_number(g, o->bits, 4);
    put_number(g, (uint64_t)o->created, 8);
    put_number(g, o->target_count, 8);
    for (size_t t = 0; t < o->target_count; t++) {
        const wmk_target *target = &g->target[t];
        put_number(g, strlen(target->name), 4);
        g->name_at = g->size;
        put(g, target->name, strlen(target->name));
        put_number(g, target->rank, 4);
        put(g, target->layout, target->rank);
        for (uint32_t axis = 0; axis < target->rank; axis++) put_number(g, target->shape[axis], 8);
    }
    put(g, g->original, sizeof g->original);
    put(g, g->seed, sizeof g->seed);
}

/* ---- what can be chosen ---- */

static void choose_seed(grind *g, uint64_t number)
{
    memcpy(g->seed, &number, sizeof number);
    memcpy(g->content + g->size - WMK_SEED_BYTES, g->seed, sizeof g->seed);
}

static void choose_created(grind *g, uint64_t number)
{
    g->options.created = (int64_t)number + 1;
    memcpy(g->content + CREATED_AT, &g->options.created, 8);
}

static void choose_original(grind *g, uint64_t number)
{
    memcpy(g->original, &number, sizeof number);
    g->original[sizeof number] = 1; /* not all zeros */
    g->options.original = g->original;
    memcpy(g->content + g->size - 2 * WMK_SEED_BYTES, g->original, sizeof g->original);
}

/* The name of a target that the victim lacks. */
static void choose_name(grind *g, uint64_t number)
{
    static const char digit[] = "0123456789abcdef";
    char *name = g->name[1];
    for (int i = 0; i < 16; i++) name[i] = digit[number >> 4 * i & 15];
    memcpy(g->content + g->name_at, name, 16);
}

static void set_axes(grind *g, size_t t, const char *layout)
{
    wmk_target *target = &g->target[t];
    target->rank = (uint32_t)strlen(layout);
    memcpy(target->layout, layout, target->rank + 1);
    for (uint32_t axis = 0; axis < target->rank; axis++) target->shape[axis] = layout[axis] == 'O' ? g->extent[t] : 1;
}

/* Axes of size 1, which change no column, of each target. */
static void choose_axes(grind *g, uint64_t number)
{
    for (size_t t = 0; t < g->options.target_count; t++, number /= g->layouts) set_axes(g, t, g->layout[number % g->layouts]);
    write_content(g);
}

/* All orders of O and some of D, H, W, I. */
static void list_layouts(grind *g, char *layout, size_t length)
{
    static const char letter[] = "ODHWI";
    layout[length] = '\0';
    if (strchr(layout, 'O')) memcpy(g->layout[g->layouts++], layout, length + 1);
    for (const char *l = letter; *l; l++) {
        if (strchr(layout, *l)) continue;
        layout[length] = *l;
        list_layouts(g, layout, length + 1);
        layout[length] = '\0';
    }
}

/* ---- trying ---- */

static uint32_t load_u32(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24; }

static void hash(uint8_t out[32], const void *message, size_t size, const void *key, const char *personal)
{
    static const uint8_t salt[16];
    crypto_generichash_blake2b_salt_personal(out, 32, message, size, key, key ? 32 : 0, salt, (const uint8_t *)personal);
}

/* The first four bytes of the key stream of b (n = 1) or of row 0 of X. */
static uint32_t draw(const grind *g, uint64_t n, const uint8_t root[32])
{
    static const uint8_t nonce[8];
    uint8_t subkey[32], bytes[4];
    crypto_kdf_derive_from_key(subkey, sizeof subkey, n, "wmk-mark", g->f->format == FORGER_FORMAT_1 ? g->seed : root);
    crypto_stream_chacha20(bytes, sizeof bytes, nonce, subkey);
    return load_u32(bytes);
}

/* Whether the present choice beats `tail`, the least of all so far: p is (tail + 1/2) / 2^32. */
static bool beats(const grind *g, uint32_t *tail, uint8_t id[32])
{
    uint8_t root[32];
    hash(id, g->content, g->size, NULL, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    hash(root, id, 32, g->seed, "weightmark mark2");
    uint32_t u = draw(g, 16 + WMK_SCHEME_RANDOM, root), r = u & 0x7fffffff;
    if (r >= *tail) return false;
    bool x_positive = u >> 31 == 0, b = draw(g, 1, root) & 1;
    if ((x_positive == g->positive) != b) return false;
    *tail = r;
    return true;
}

/* The library's key of the present choice, read from the victim. */
static void judge_record(grind *g, uint32_t tail, const uint8_t id[32])
{
    forger *f = g->f;
    wmk_verify_options verify = WMK_VERIFY_OPTIONS_INIT;
    wmk_verification found;
    wmk_key *key = forger_key_of(f, &g->options);
    if (memcmp(key->id, id, sizeof key->id) != 0) forger_fail(f, "the library has another key id");
    forger_must(wmk_model_verify(&found, f->victim.model, key, &verify));
    double bits = fmax(0, 31 - log2(tail + 0.5)); /* -log2 of 2 p */
    if (fabs(found.evidence.evidence_bits - bits) > 1e-4)
        forger_fail(f, "the library reads %.4f bits where %.4f follow from the specification", found.evidence.evidence_bits, bits);
    forger_take(f, &found.evidence, NULL);
    wmk_key_free(key);
    wmk_verification_free(&found);
}

static void search(grind *g, choice choose)
{
    uint32_t tail = UINT32_MAX;
    uint64_t first = g->f->tries; /* records are counted by forger_take, all tries here */
    for (uint64_t number = 0; number == 0 || forger_goes_on(g->f);) {
        for (uint64_t end = number + BATCH; number < end; number++) {
            uint8_t id[32];
            choose(g, number);
            if (beats(g, &tail, id)) judge_record(g, tail, id);
        }
        g->f->tries = first + number;
    }
}

/* ---- levers ---- */

/* absent: targets that the victim lacks, after the one that it has. */
static void play(forger *f, size_t absent, choice choose)
{
    grind *g = calloc(1, sizeof *g);
    size_t found[FORGER_ITEMS_MAX];
    char layout[6];
    g->f = f;
    forger_seed(f, g->seed);
    if (forger_select(&f->victim, 1, 384, found) == 0) forger_fail(f, "no tensor of 384 weights");
    const forger_tensor *t = &f->victim.tensor[found[0]];
    list_layouts(g, layout, 0);
    for (size_t i = 0; i <= absent; i++) {
        snprintf(g->name[i], sizeof g->name[i], "absent.........%c", (char)('0' + i));
        g->target[i].name = i == 0 ? t->in_file->view.name : g->name[i];
        g->extent[i] = i == 0 ? t->size : 1;
        set_axes(g, i, "O");
    }
    g->options = (wmk_key_options)WMK_KEY_OPTIONS_INIT;
    g->options.bits = 1;
    g->options.seed = g->seed;
    g->options.created = 1600000000;
    g->options.targets = g->target;
    g->options.target_count = 1 + absent;
    float *value = malloc(t->size * sizeof *value);
    forger_read(&f->victim, found[0], value);
    double sum = 0;
    for (size_t i = 0; i < t->size; i++) sum += value[i];
    g->positive = sum > 0;
    free(value);
    write_content(g);
    search(g, choose);
    free(g);
}

void forger_play_seed(forger *f) { play(f, 0, choose_seed); }
void forger_play_created(forger *f) { play(f, 0, choose_created); }
void forger_play_original(forger *f) { play(f, 0, choose_original); }
void forger_play_names(forger *f) { play(f, 1, choose_name); }
void forger_play_axes(forger *f) { play(f, TARGETS_MAX - 1, choose_axes); }
