/* forger_fixed.c - levers that leave an honest key as it is and choose what it is read from: the
 * map, any tensor, many models and keys, and the order of the units in the victim's layers. */
#include "forger.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- a map that the forger writes ---- */

typedef struct shape {
    uint64_t rows, columns;
} shape;
static const shape map_shapes[] = {{384, 384}, {1536, 384}, {384, 1536}};
enum { MAP_SHAPES = sizeof map_shapes / sizeof map_shapes[0] };

/* Lines for the tensors found [n], which are the plan's targets from `first` on. */
static void map_shape(forger *f, const wmk_key *key, const forger_plan *plan, size_t first, const size_t *found, size_t n, wmk_rename *map,
                      size_t *lines)
{
    uint64_t column = 0;
    for (size_t i = 0; i < first; i++) column += plan->item[i].size;
    size_t size = plan->item[first].size, to[FORGER_ITEMS_MAX];
    float *e = malloc(size * sizeof *e), *gain = malloc(n * n * sizeof *gain);
    for (size_t k = 0; k < n; k++, column += size) {
        forger_gains(key, column, size, e);
        for (size_t i = 0; i < n; i++) gain[k * n + i] = (float)forger_dot(e, forger_columns(&f->victim, found[i], FORGER_PLAIN), size);
    }
    forger_assign(to, gain, n);
    for (size_t k = 0; k < n; k++)
        map[(*lines)++] = (wmk_rename){wmk_key_target(key, first + k)->name, f->victim.tensor[found[to[k]]].in_file->view.name, 0};
    free(e);
    free(gain);
}

/* An honest key over all matrices but the embeddings; tensors of one shape are exchanged. */
void forger_play_map(forger *f)
{
    while (f->tries == 0 || forger_goes_on(f)) {
        forger_plan plan;
        size_t found[MAP_SHAPES][FORGER_ITEMS_MAX], n[MAP_SHAPES], first = 0, lines = 0;
        wmk_rename map[FORGER_ITEMS_MAX];
        forger_plan_begin(f, &plan, WMK_SCHEME_PARTITION, 256);
        for (size_t s = 0; s < MAP_SHAPES; s++) {
            n[s] = forger_select(&f->victim, map_shapes[s].rows, map_shapes[s].columns, found[s]);
            for (size_t i = 0; i < n[s]; i++) forger_plan_add(f, &plan, found[s][i], FORGER_PLAIN);
        }
        wmk_key *key = forger_key(f, &plan);
        for (size_t s = 0; s < MAP_SHAPES; first += n[s++]) map_shape(f, key, &plan, first, found[s], n[s], map, &lines);
        wmk_verify_options options = WMK_VERIFY_OPTIONS_INIT;
        wmk_verification seen;
        options.map = map;
        options.map_count = lines;
        forger_must(wmk_model_verify(&seen, f->victim.model, key, &options));
        forger_take(f, &seen.evidence, NULL);
        wmk_verification_free(&seen);
        wmk_key_free(key);
    }
}

/* ---- any tensor ---- */

/* Honest keys of many targets whose shape only one tensor of the victim has. */
void forger_play_any_tensor(forger *f)
{
    enum { TARGETS = 1000 };
    wmk_target *target = calloc(TARGETS, sizeof *target);
    char(*name)[16] = calloc(TARGETS, sizeof *name);
    for (size_t t = 0; t < TARGETS; t++) {
        snprintf(name[t], sizeof name[t], "other.%zu", t);
        target[t] = (wmk_target){.name = name[t], .layout = "OI", .rank = 2, .shape = {2, 384}};
    }
    while (f->tries == 0 || forger_goes_on(f)) {
        uint8_t seed[WMK_SEED_BYTES];
        wmk_key_options options = WMK_KEY_OPTIONS_INIT;
        forger_seed(f, seed);
        options.carrier = WMK_CARRIER_WEIGHTS;
        options.bits = 1;
        options.seed = seed;
        options.created = 1600000000;
        options.targets = target;
        options.target_count = TARGETS;
        wmk_key *key = forger_key_of(f, &options);
        wmk_verify_options verify = WMK_VERIFY_OPTIONS_INIT;
        wmk_verification seen;
        verify.any_tensor = true;
        forger_must(wmk_model_verify(&seen, f->victim.model, key, &verify));
        forger_take(f, &seen.evidence, NULL);
        wmk_verification_free(&seen);
        wmk_key_free(key);
    }
    free(target);
    free(name);
}

/* ---- many models, many keys ---- */

enum { KEYS = 16, MODELS = 16, PATH_CHARS = 40 };

/* Files of the victim's vectors [n], each under the name of the one `moved` places before it. */
static void write_moved(const forger *f, const size_t *found, size_t n, char path[][PATH_CHARS])
{
    static wmk_tensor_view views[FORGER_ITEMS_MAX];
    for (size_t moved = 0; moved < MODELS; moved++) {
        for (size_t i = 0; i < n; i++) {
            views[i] = f->victim.tensor[found[(i + moved) % n]].in_file->view;
            views[i].name = f->victim.tensor[found[i]].in_file->view.name;
        }
        snprintf(path[moved], PATH_CHARS, "forger-moved-%zu.safetensors", moved);
        forger_must(wmk_model_write(path[moved], views, n, NULL, 0, true));
    }
}

static int take_best(void *payload, const wmk_pair *pair)
{
    wmk_evidence *best = payload;
    forger_must(pair->status);
    const wmk_evidence *e = &pair->verification->evidence;
    if (e->log10_p_soft < best->log10_p_soft) *best = *e;
    return 0;
}

/* Every pair of honest keys and of models; the best is kept. */
void forger_play_pairs(forger *f)
{
    static char path[MODELS][PATH_CHARS];
    const char *paths[MODELS];
    wmk_key *keys[KEYS];
    size_t found[FORGER_ITEMS_MAX], n = forger_select(&f->victim, 1, 384, found);
    const wmk_verify_options options = WMK_VERIFY_OPTIONS_INIT;
    write_moved(f, found, n, path);
    for (int m = 0; m < MODELS; m++) paths[m] = path[m];
    while (f->tries == 0 || forger_goes_on(f)) {
        wmk_evidence best = {.log10_p_soft = 1};
        for (int k = 0; k < KEYS; k++) {
            forger_plan plan;
            forger_plan_begin(f, &plan, WMK_SCHEME_RANDOM, 1);
            for (size_t i = 0; i < n; i++) forger_plan_add(f, &plan, found[i], FORGER_PLAIN);
            keys[k] = forger_key(f, &plan);
        }
        forger_must(wmk_model_verify_many(paths, MODELS, (const wmk_key *const *)keys, KEYS, &options, take_best, &best));
        for (int k = 0; k < KEYS; k++) wmk_key_free(keys[k]);
        forger_take(f, &best, NULL);
    }
    for (int m = 0; m < MODELS; m++) unlink(path[m]);
}

/* ---- the order of the units of a layer ---- */

enum { WIDTH = 384, UNITS = 1536, FEATURES = 2 * WIDTH, LAYERS_MAX = 6 };

/* Feed-forward layers as the forger holds them: in [UNITS][WIDTH], out [WIDTH][UNITS]. */
typedef struct layers {
    size_t count;
    float *in[LAYERS_MAX], *out[LAYERS_MAX];
} layers;

static size_t layer_count(const forger *f) { return f->minutes > 0 ? LAYERS_MAX : 1; }

static layers layers_begin(size_t count)
{
    layers made = {.count = count};
    for (size_t l = 0; l < count; l++) {
        made.in[l] = malloc((size_t)UNITS * WIDTH * sizeof *made.in[l]);
        made.out[l] = malloc((size_t)UNITS * WIDTH * sizeof *made.out[l]);
    }
    return made;
}

static void layers_free(layers *of)
{
    for (size_t l = 0; l < of->count; l++) {
        free(of->in[l]);
        free(of->out[l]);
    }
}

/* The victim's, and the plan that has them for targets. */
static layers layers_of_victim(forger *f, forger_plan *plan)
{
    size_t in[FORGER_ITEMS_MAX], out[FORGER_ITEMS_MAX], count = layer_count(f);
    forger_select(&f->victim, UNITS, WIDTH, in);
    forger_select(&f->victim, WIDTH, UNITS, out);
    layers made = layers_begin(count);
    for (size_t l = 0; l < count; l++) {
        forger_read(&f->victim, in[l], made.in[l]);
        forger_read(&f->victim, out[l], made.out[l]);
        forger_plan_add(f, plan, in[l], FORGER_PLAIN);
        forger_plan_add(f, plan, out[l], FORGER_PLAIN);
    }
    return made;
}

/* Somebody's own network, which the honest key was made for. */
static layers layers_of_owner(size_t count)
{
    layers made = layers_begin(count);
    uint64_t state = 77;
    for (size_t l = 0; l < count; l++)
        for (size_t i = 0; i < (size_t)UNITS * WIDTH; i++) {
            made.in[l][i] = (float)(0.04 * forger_normal(&state));
            made.out[l][i] = (float)(0.04 * forger_normal(&state));
        }
    return made;
}

static void layers_views(const layers *of, const wmk_key *key, wmk_tensor_view *views)
{
    for (size_t t = 0; t < 2 * of->count; t++) {
        const wmk_target *target = wmk_key_target(key, t);
        views[t] = (wmk_tensor_view){.name = target->name, .dtype = WMK_F32, .rank = 2};
        memcpy(views[t].layout, target->layout, sizeof views[t].layout);
        memcpy(views[t].shape, target->shape, sizeof views[t].shape);
        views[t].data = t % 2 == 0 ? of->in[t / 2] : of->out[t / 2];
    }
}

static wmk_evidence layers_judge(const layers *of, const wmk_key *key)
{
    wmk_tensor_view views[2 * LAYERS_MAX];
    wmk_evidence evidence;
    layers_views(of, key, views);
    forger_must(wmk_mark_verify(&evidence, NULL, key, views, 1, WMK_THRESHOLD_BITS_DEFAULT, 1));
    return evidence;
}

/* feature [UNITS][FEATURES]: per unit, what belongs to it in two blocks of columns.
 * in [WIDTH][UNITS], out [UNITS][WIDTH]. */
static void gather_units(float *feature, const float *in, const float *out)
{
    for (size_t u = 0; u < UNITS; u++) {
        float *to = feature + u * FEATURES;
        for (size_t i = 0; i < WIDTH; i++) to[i] = in[i * UNITS + u];
        memcpy(to + WIDTH, out + u * WIDTH, WIDTH * sizeof *out);
    }
}

static void features_of(float *feature, const layers *of, size_t l)
{
    float *in = malloc((size_t)UNITS * WIDTH * sizeof *in);
    float *out = malloc((size_t)UNITS * WIDTH * sizeof *out);
    forger_columns_of(in, of->in[l], UNITS, WIDTH, 2, FORGER_PLAIN);
    forger_columns_of(out, of->out[l], WIDTH, UNITS, 2, FORGER_PLAIN);
    gather_units(feature, in, out);
    free(in);
    free(out);
}

/* What the key would like to find there. */
static void features_of_key(float *feature, const wmk_key *key, size_t l)
{
    size_t size = (size_t)UNITS * WIDTH;
    float *e = malloc(2 * size * sizeof *e);
    forger_gains(key, 2 * l * size, 2 * size, e);
    gather_units(feature, e, e + size);
    free(e);
}

/* Puts the units of layer l into the order in which they look most like `wanted` [UNITS][FEATURES]
 * place by place: the network computes what it did. */
static void reorder_units(layers *of, size_t l, const float *wanted)
{
    float *have = malloc((size_t)UNITS * FEATURES * sizeof *have);
    float *gain = malloc((size_t)UNITS * UNITS * sizeof *gain);
    size_t place[UNITS];
    features_of(have, of, l);
    for (size_t u = 0; u < UNITS; u++)
        for (size_t p = 0; p < UNITS; p++) gain[u * UNITS + p] = (float)forger_dot(have + u * FEATURES, wanted + p * FEATURES, FEATURES);
    forger_assign(place, gain, UNITS);
    layers moved = layers_begin(1);
    for (size_t u = 0; u < UNITS; u++) {
        memcpy(moved.in[0] + place[u] * WIDTH, of->in[l] + u * WIDTH, WIDTH * sizeof(float));
        for (size_t o = 0; o < WIDTH; o++) moved.out[0][o * UNITS + place[u]] = of->out[l][o * UNITS + u];
    }
    free(of->in[l]);
    free(of->out[l]);
    of->in[l] = moved.in[0];
    of->out[l] = moved.out[0];
    free(have);
    free(gain);
}

/* By the key, as a forger does; original NULL. By the original, as a verifier does; key NULL. */
static void align(layers *of, const wmk_key *key, const layers *original)
{
    float *wanted = malloc((size_t)UNITS * FEATURES * sizeof *wanted);
    for (size_t l = 0; l < of->count; l++) {
        if (key != NULL)
            features_of_key(wanted, key, l);
        else
            features_of(wanted, original, l);
        reorder_units(of, l, wanted);
    }
    free(wanted);
}

/* The forger hands in a file whose units he ordered by the key himself. */
void forger_play_aligned_by_key(forger *f)
{
    forger_plan plan;
    forger_plan_begin(f, &plan, WMK_SCHEME_PARTITION, 256);
    layers victim = layers_of_victim(f, &plan);
    wmk_key *key = forger_key(f, &plan);
    align(&victim, key, NULL);
    wmk_evidence evidence = layers_judge(&victim, key);
    forger_take(f, &evidence, NULL);
    wmk_key_free(key);
    layers_free(&victim);
}

/* The digest of the owner's network, to which all honest keys of these targets are bound. */
static void digest_of(uint8_t digest[WMK_ORIGINAL_BYTES], const forger *f, const forger_plan *plan, const layers *owner)
{
    wmk_tensor_view views[2 * LAYERS_MAX];
    wmk_key *key = forger_key(f, plan);
    layers_views(owner, key, views);
    forger_must(wmk_mark_original(digest, key, views));
    wmk_key_free(key);
}

/* Honest keys over layers that are as they are. The plan: of scheme random and one bit. */
static void try_seeds(forger *f, forger_plan *plan, const layers *of)
{
    size_t size = (size_t)UNITS * WIDTH;
    float *w = malloc(2 * of->count * size * sizeof *w);
    for (size_t l = 0; l < of->count; l++) {
        forger_columns_of(w + 2 * l * size, of->in[l], UNITS, WIDTH, 2, FORGER_PLAIN);
        forger_columns_of(w + (2 * l + 1) * size, of->out[l], WIDTH, UNITS, 2, FORGER_PLAIN);
    }
    while (forger_goes_on(f)) {
        forger_seed(f, plan->seed);
        wmk_key *key = forger_key(f, plan);
        forger_sum sum = {0};
        forger_dot_add(&sum, key, 0, w, 2 * of->count * size);
        if (forger_bits_of_z(sum.dot / sqrt(sum.squares)) > f->best.evidence_bits) {
            wmk_evidence evidence = layers_judge(of, key);
            forger_take(f, &evidence, NULL);
        } else {
            f->tries++;
        }
        wmk_key_free(key);
    }
    free(w);
}

/* The verifier aligns the file to the original that the key's id binds, by weights alone, and many
 * honest keys are tried. What the forger did to the order before is undone by it. */
void forger_play_aligned_by_original(forger *f)
{
    forger_plan plan;
    uint8_t digest[WMK_ORIGINAL_BYTES];
    forger_plan_begin(f, &plan, WMK_SCHEME_PARTITION, 256);
    layers victim = layers_of_victim(f, &plan), forged = layers_of_victim(f, &(forger_plan){0});
    layers owner = layers_of_owner(victim.count);
    digest_of(digest, f, &plan, &owner);
    plan.original = digest;
    wmk_key *key = forger_key(f, &plan);
    align(&forged, key, NULL);
    align(&forged, NULL, &owner);
    align(&victim, NULL, &owner);
    wmk_evidence evidence = layers_judge(&forged, key), plain = layers_judge(&victim, key);
    if (fabs(evidence.z - plain.z) > 1e-9) forger_fail(f, "aligned to one original, z is %.9f or %.9f by the order before", evidence.z, plain.z);
    forger_take(f, &evidence, NULL);
    wmk_key_free(key);
    plan.scheme = WMK_SCHEME_RANDOM;
    plan.T = 1;
    try_seeds(f, &plan, &victim);
    layers_free(&victim);
    layers_free(&forged);
    layers_free(&owner);
}
