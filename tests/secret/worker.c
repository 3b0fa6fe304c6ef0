/* A program that uses the library in every way that needs a key, over and over, until it is killed: what test_secret.py takes dumps of. It keeps no secret itself outside memory that is left
 * out of dumps. Its folder holds the model, the keys and the passphrase. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "scene.h"
#include <weightmark/mark_file.h>

#define MUST(call)                                                                                                                                   \
    do {                                                                                                                                             \
        wmk_status must_ = (call);                                                                                                                   \
        if (must_ != WMK_OK) {                                                                                                                       \
            fprintf(stderr, "worker: %s: %s: %s\n", #call, wmk_status_name(must_), wmk_error_message());                                             \
            exit(1);                                                                                                                                 \
        }                                                                                                                                            \
    } while (0)
#define NEED(condition)                                                                                                                              \
    do {                                                                                                                                             \
        if (!(condition)) {                                                                                                                          \
            perror("worker: " #condition);                                                                                                           \
            exit(1);                                                                                                                                 \
        }                                                                                                                                            \
    } while (0)

static char *passphrase; /* [SCENE_PASSPHRASE_BYTES] in a page of its own, left out of dumps */
static float *weights[SCENE_FLOATS], *changed[SCENE_FLOATS];
static wmk_tensor_view views[SCENE_FLOATS];

static void read_passphrase(void)
{
    passphrase = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    NEED(passphrase != MAP_FAILED);
    NEED(madvise(passphrase, 4096, MADV_DONTDUMP) == 0);
    int fd = open(SCENE_PASSPHRASE, O_RDONLY);
    NEED(fd >= 0 && read(fd, passphrase, SCENE_PASSPHRASE_BYTES) == SCENE_PASSPHRASE_BYTES);
    close(fd);
}

/* The negative control: what is in this file, if there is one, is kept in plain memory. */
static void leak(void)
{
    static unsigned char *leaked;
    size_t size = (size_t)1 << 20;
    int fd = open(SCENE_LEAK, O_RDONLY);
    if (fd < 0) return;
    leaked = malloc(size + 3);
    NEED(leaked);
    NEED(read(fd, leaked + 3, size) > 0);
    close(fd);
}

static void make_weights(void)
{
    uint64_t state = 1;
    for (size_t t = 0; t < SCENE_FLOATS; t++) {
        uint64_t elements = scene_elements(t);
        weights[t] = malloc(elements * sizeof(float));
        changed[t] = malloc(elements * sizeof(float));
        NEED(weights[t] && changed[t]);
        for (uint64_t i = 0; i < elements; i++) {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            weights[t][i] = (float)((double)(state >> 11) / 9007199254740992.0 - 0.5);
        }
        views[t] = (wmk_tensor_view){.name = scene_tensors[t].name, .dtype = WMK_F32, .rank = scene_tensors[t].rank, .data = weights[t]};
        memcpy(views[t].shape, scene_tensors[t].shape, sizeof scene_tensors[t].shape);
        strcpy(views[t].layout, scene_tensors[t].layout);
    }
}

/* Marks a copy of the model's file, looks for the mark in it. */
static void mark_file(const wmk_key *key)
{
    wmk_model *model;
    wmk_verification found = {0};
    wmk_embed_options embed = WMK_EMBED_OPTIONS_INIT;
    wmk_verify_options verify = WMK_VERIFY_OPTIONS_INIT;
    MUST(wmk_model_open(&model, SCENE_MODEL));
    MUST(wmk_model_embed(model, key, "marked.safetensors", true, &embed, NULL, NULL, NULL, NULL));
    wmk_model_close(model);
    MUST(wmk_model_open(&model, "marked.safetensors"));
    MUST(wmk_model_verify(&found, model, key, &verify));
    NEED(found.evidence.verdict == WMK_FOUND);
    (void)!(wmk_mark_cost_now(key, found.reading, 8) > 0);
    wmk_verification_free(&found);
    wmk_model_close(model);
}

/* Marks weights in memory, reads them, judges them. */
static void mark_memory(const struct scene_key *of, const wmk_key *key)
{
    wmk_embed_options embed = WMK_EMBED_OPTIONS_INIT;
    wmk_evidence evidence;
    embed.margin = of->carrier == WMK_CARRIER_MEAN ? 1 : 2;
    if (of->scheme == WMK_SCHEME_DIFF) embed.margin = 1;
    if (of->scheme == WMK_SCHEME_DIRECT) embed.margin = 0.5;
    MUST(wmk_mark_embed(key, views + of->first, (void *const *)(changed + of->first), &embed, NULL));
    wmk_tensor_view marked[SCENE_FLOATS];
    for (size_t t = 0; t < of->count; t++) {
        marked[t] = views[of->first + t];
        marked[t].data = changed[of->first + t];
    }
    MUST(wmk_mark_verify(&evidence, NULL, key, marked, 1, 64, 99));
    if (of->carrier == WMK_CARRIER_MEAN && of->scheme != WMK_SCHEME_PARTITION) {
        embed.eq6 = true;
        MUST(wmk_mark_embed(key, views + of->first, (void *const *)(changed + of->first), &embed, NULL));
    }
}

/* Trains on E_R alone. */
static void train(const struct scene_key *of, const wmk_key *key, int steps)
{
    wmk_regularizer *regularizer;
    float *gradient[SCENE_FLOATS] = {0};
    MUST(wmk_regularizer_create(&regularizer, key, views + of->first, 1));
    for (size_t t = 0; t < of->count; t++) NEED(gradient[t] = calloc(scene_elements(of->first + t), sizeof(float)));
    for (int i = 0; i < steps; i++) MUST(wmk_regularizer_step(regularizer, 0.01, gradient, NULL, NULL));
    for (size_t t = 0; t < of->count; t++) free(gradient[t]);
    wmk_regularizer_free(regularizer);
}

enum { READS = 200 };

static void use_key(const struct scene_key *of)
{
    wmk_key *key, *other;
    for (int i = 0; i < READS; i++) { /* one alone is too short for a dump to meet it */
        MUST(wmk_key_read(&key, of->name, of->sealed ? passphrase : NULL, SCENE_PASSPHRASE_BYTES));
        if (i < READS - 1) wmk_key_free(key);
    }
    MUST(wmk_key_write(key, "copy", NULL, 0, true));
    MUST(wmk_key_redraw(&other, key, NULL));
    wmk_key_free(other);
    if (of->first + of->count > SCENE_FLOATS) {
        mark_file(key);
    } else {
        if (strcmp(of->name, "large") != 0) mark_memory(of, key); /* 576 rows of 147456 columns: too long */
        train(of, key, strcmp(of->name, "large") == 0 ? 1 : 5);
    }
    wmk_key_free(key);
}

int main(int argc, char **argv)
{
    NEED(argc == 2 && chdir(argv[1]) == 0);
    read_passphrase();
    make_weights();
    leak();
    while (write(STDOUT_FILENO, ".", 1) == 1)
        for (size_t k = 0; k < SCENE_KEYS; k++) use_key(&scene_keys[k]);
    return 1;
}
