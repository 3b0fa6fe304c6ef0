/* bench_partition FOLDER [MIB]: a partition mark over every weight of a large bf16 model that is mapped and in the page cache, on all threads of OpenMP: the whole
 * verification, and what it is made of, each measured alone: the key stream's bytes, the deal (rows and signs from that stream), the model's bytes
 * from memory. The model (default 3072 MiB) is made in FOLDER first and kept: big.safetensors, and its key big.key. Medians. */
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <weightmark/mark_file.h>

enum { REPETITIONS = 5, SIDE = 8192, BITS = 256, KEY_BYTES_A_WEIGHT = 2 };
#define BLOCK ((size_t)4096) /* weights a call, as the reader takes them */
#define MUST(call) must((call), #call)

static void must(wmk_status status, const char *call)
{
    if (status == WMK_OK) return;
    fprintf(stderr, "bench_partition: %s: %s\n", call, wmk_error_message());
    exit(1);
}

static volatile uint64_t sink; /* what a loop computes goes somewhere, so that the loop stays */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static uint64_t hash(uint64_t i)
{
    uint64_t h = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    h = (h ^ h >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return h ^ h >> 29;
}

/* bf16 values about normally distributed (four uniform ones added), of the size of trained weights, some filters twice as large as others. */
static void fill(uint16_t *weights, size_t count)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++) {
        uint64_t h = hash(i);
        float sum = (float)(h & 0xffff) + (float)(h >> 16 & 0xffff) + (float)(h >> 32 & 0xffff) + (float)(h >> 48);
        float size = 1 + (float)(hash(~(i / SIDE)) >> 40) / (float)(1 << 24);
        float value = (sum / 65536 - 2) / 32 * size;
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        weights[i] = (uint16_t)((bits + 0x8000) >> 16);
    }
}

/* One matrix in memory stands for every layer: the file holds it many times. */
static void make_model(const char *path, size_t layers)
{
    const size_t count = (size_t)SIDE * SIDE;
    uint16_t *weights = malloc(count * sizeof *weights);
    wmk_tensor_view *views = calloc(layers, sizeof *views);
    char(*names)[64] = calloc(layers, sizeof *names);
    if (!weights || !views || !names) exit(4);
    fill(weights, count);
    for (size_t i = 0; i < layers; i++) {
        snprintf(names[i], sizeof names[i], "layers.%zu.weight", i);
        views[i] = (wmk_tensor_view){.name = names[i], .dtype = WMK_BF16, .rank = 2, .shape = {SIDE, SIDE}, .layout = "OI", .data = weights};
    }
    MUST(wmk_model_write(path, views, layers, NULL, 0, true));
    free(weights);
    free(views);
    free(names);
}

static void make_key(wmk_key **key, const wmk_model *model, const char *path)
{
    wmk_targets targets = {0};
    MUST(wmk_targets_of_model(&targets, model));
    wmk_key_options options = WMK_KEY_OPTIONS_INIT;
    options.scheme = WMK_SCHEME_PARTITION;
    options.carrier = WMK_CARRIER_WEIGHTS;
    options.bits = BITS;
    options.targets = targets.target;
    options.target_count = targets.count;
    MUST(wmk_key_create(key, &options));
    MUST(wmk_key_write(*key, path, NULL, 0, true));
    wmk_targets_free(&targets);
}

static void whole(const wmk_model *model, const wmk_key *key, uint64_t M)
{
    (void)M;
    wmk_verification v = {0};
    wmk_verify_options options = WMK_VERIFY_OPTIONS_INIT;
    MUST(wmk_model_verify(&v, model, key, &options));
    wmk_verification_free(&v);
}

static void key_stream(const wmk_model *model, const wmk_key *key, uint64_t M)
{
    (void)model, (void)key;
    static const unsigned char secret[crypto_stream_chacha20_KEYBYTES] = {1}, nonce[crypto_stream_chacha20_NONCEBYTES];
#pragma omp parallel
    {
        unsigned char bytes[KEY_BYTES_A_WEIGHT * BLOCK];
        memset(bytes, 0, sizeof bytes);
#pragma omp for schedule(static)
        for (uint64_t i = 0; i < M; i += BLOCK) {
            crypto_stream_chacha20_xor_ic(bytes, bytes, sizeof bytes, nonce, i * KEY_BYTES_A_WEIGHT / 64, secret);
            sink = bytes[0];
        }
    }
}

static void deal(const wmk_model *model, const wmk_key *key, uint64_t M)
{
    (void)model;
#pragma omp parallel
    {
        uint16_t row[BLOCK];
        int8_t sign[BLOCK];
#pragma omp for schedule(static)
        for (uint64_t i = 0; i < M; i += BLOCK) MUST(wmk_key_partition(key, i, BLOCK, row, sign));
    }
}

static void memory(const wmk_model *model, const wmk_key *key, uint64_t M)
{
    (void)key, (void)M;
    for (size_t t = 0; t < wmk_model_tensor_count(model); t++) {
        const wmk_model_tensor *tensor = wmk_model_tensor_at(model, t);
        const uint64_t *words = tensor->view.data; /* 64-byte aligned: this program wrote the file */
        uint64_t sum = 0;
#pragma omp parallel for schedule(static) reduction(+ : sum)
        for (size_t i = 0; i < tensor->size_bytes / sizeof *words; i++) sum += words[i];
        sink = sum;
    }
}

static double measure(void (*work)(const wmk_model *, const wmk_key *, uint64_t), const wmk_model *model, const wmk_key *key, uint64_t M)
{
    double times[REPETITIONS];
    for (int i = 0; i < REPETITIONS; i++) {
        double begin = now();
        work(model, key, M);
        times[i] = now() - begin;
    }
    qsort(times, REPETITIONS, sizeof *times, by_size);
    return times[REPETITIONS / 2];
}

int main(int argc, char **argv)
{
    if (argc < 2) return fprintf(stderr, "usage: bench_partition FOLDER [MIB]\n"), 2;
    const size_t layers = (argc > 2 ? strtoul(argv[2], NULL, 10) : 3072) / (2 * (SIDE / 1024) * (SIDE / 1024));
    if (!layers || sodium_init() < 0) return fprintf(stderr, "bench_partition: at least 128 MiB\n"), 2;
    char model_path[4096], key_path[4096];
    snprintf(model_path, sizeof model_path, "%s/big.safetensors", argv[1]);
    snprintf(key_path, sizeof key_path, "%s/big.key", argv[1]);
    make_model(model_path, layers);
    wmk_model *model;
    wmk_key *key;
    MUST(wmk_model_open(&model, model_path));
    make_key(&key, model, key_path);

    const uint64_t M = wmk_key_m(key);
    memory(model, key, M); /* every page is touched once before anything is timed */
    static const struct {
        const char *name;
        void (*work)(const wmk_model *, const wmk_key *, uint64_t);
    } parts[] = {{"whole", whole}, {"key_stream", key_stream}, {"deal", deal}, {"memory", memory}};
    printf("weights %llu\n", (unsigned long long)M);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        double seconds = measure(parts[i].work, model, key, M);
        printf("%s %.4f s %.3f G/s\n", parts[i].name, seconds, (double)M / seconds * 1e-9);
    }
    wmk_key_free(key);
    wmk_model_close(model);
    return 0;
}
