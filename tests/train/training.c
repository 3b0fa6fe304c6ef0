/* tests/train/training.c */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/small_sets.h"
#include "train/training.h"

/* A copy that lives to the end of the program. */
static const char *kept(const char *path)
{
    static char *names[64];
    static size_t count;
    if (count == sizeof names / sizeof *names) exit(99);
    return names[count++] = strdup(path);
}

wmk_train_options small_training(const char *folder, const char *host, const char *output)
{
    wmk_train_options options = WMK_TRAIN_OPTIONS_INIT;
    options.host = host;
    options.data = folder;
    options.output = kept(small_path(folder, output));
    options.batch = 16;
    options.rate = 0.05;
    options.epochs = 1;
    options.augmentation = WMK_AUGMENT_NONE;
    options.threads = 1; /* others may want the cores, and a second thread that waits for one costs more than it brings */
    return options;
}

wmk_key *small_key(const char *host, const char *target, uint32_t bits, uint8_t seed)
{
    wmk_targets all, chosen;
    uint8_t bytes[WMK_SEED_BYTES];
    memset(bytes, seed, sizeof bytes);
    wmk_key_options options = WMK_KEY_OPTIONS_INIT;
    options.bits = bits, options.seed = bytes, options.created = 1;
    wmk_key *key = NULL;
    if (wmk_host_targets(&all, host) == WMK_OK && wmk_targets_select(&chosen, &all, target) == WMK_OK) {
        options.targets = chosen.target, options.target_count = chosen.count;
        if (wmk_key_create(&key, &options) == WMK_OK) {
            wmk_targets_free(&all), wmk_targets_free(&chosen);
            return key;
        }
    }
    fprintf(stderr, "%s\n", wmk_error_message());
    exit(99);
}

static unsigned char *slurp(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    if (!f) return NULL;
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    unsigned char *bytes = malloc(*size + 1);
    if (fread(bytes, 1, *size, f) != *size) exit(99);
    fclose(f);
    return bytes;
}

bool same_files(const char *a, const char *b)
{
    size_t n, m;
    unsigned char *x = slurp(a, &n), *y = slurp(b, &m);
    bool same = x && y && n == m && !memcmp(x, y, n);
    free(x);
    free(y);
    return same;
}
