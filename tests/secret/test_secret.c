/* What a core dump of a program that uses the library tells about a key: nothing. The worker is stopped at many moments; what a core would hold of it then, which is all of its memory but the
 * mappings that are marked to be left out (MADV_DONTDUMP, "dd" in /proc/PID/smaps), is searched for the secrets. Where the system writes cores to files some real ones are searched too. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmocka_wmk.h"
#include "mark/derive.h"
#include "mark/key_file.h"
#include "mark/x.h"
#include "scene.h"
#include "search.h"
#include <weightmark/mark_file.h>

enum { MOMENTS = 50, CORES = 3 };

enum kind { SEED, SEED_HEX, SUBKEY_B, SUBKEY_X, PASSPHRASE, B_BITS, B_BYTES, B_SIGNS, STREAM, DEALS, ROWS, X_ROW, COLUMNS, KINDS };
static const char *const kind_names[KINDS] = {"seed",         "seed, hexadecimal",     "sub-key of b", "sub-key of X", "passphrase",
                                              "b as bits",    "b as bytes",            "b as signs",   "key stream",   "rows with their signs",
                                              "rows", "row of X", "columns of X"};

static char folder[] = "/tmp/wmk-test-secret-XXXXXX";
static search *secrets;
static unsigned char leaked[1 << 16]; /* one string of each kind */
static size_t leaked_size;

/* ---- the secrets ---- */

static void keep_one(enum kind kind, const void *bytes, size_t size, size_t key)
{
    static bool has[KINDS];
    search_add(secrets, bytes, size, kind, (unsigned)key);
    if (has[kind]) return;
    has[kind] = true;
    memcpy(leaked + leaked_size, bytes, size);
    leaked_size += size + 5; /* at no round address */
    assert_true(leaked_size < sizeof leaked);
}

/* All of a long secret: whoever has 63 neighbouring bytes of it is found. */
static void keep_all(enum kind kind, const void *bytes, size_t size, size_t key)
{
    enum { WINDOW = 32 };
    if (size < WINDOW) return;
    keep_one(kind, bytes, WINDOW, key);
    search_add_all(secrets, (const char *)bytes + WINDOW, size - WINDOW, WINDOW, WINDOW, kind, (unsigned)key);
}

/* column [M]: of the weights in the order in which they lie in memory, of all targets. */
static void memory_order(const struct scene_key *of, uint64_t *column)
{
    uint64_t first = 0;
    for (size_t t = of->first; t < of->first + of->count; t++) {
        const uint64_t *shape = scene_tensors[t].shape;
        uint64_t n = scene_elements(t), window = scene_tensors[t].rank == 4 ? 9 : 1, O = shape[0], I = shape[1];
        bool mean = of->carrier == WMK_CARRIER_MEAN;
        if (strcmp(scene_tensors[t].layout, "IO") == 0) { /* the canonical order */
            for (uint64_t i = 0; i < n; i++) *column++ = first + i;
        } else {
            for (uint64_t o = 0; o < (mean ? 1 : O); o++)
                for (uint64_t i = 0; i < I; i++)
                    for (uint64_t p = 0; p < window; p++) *column++ = first + (mean ? p * I + i : (p * I + i) * O + o);
        }
        first += n;
    }
}

static void keep_partition(const wmk_key *key, size_t k)
{
    uint64_t M = key->M, *column = malloc(M * sizeof *column);
    uint16_t *deal = malloc(M * sizeof *deal), *sorted = malloc(M * sizeof *sorted);
    assert_true(column && deal && sorted);
    memory_order(&scene_keys[k], column);
    wmk_x_deal(key, 0, M, deal);
    for (int order = 0; order < 2; order++) {
        for (uint64_t i = 0; i < M; i++) sorted[i] = deal[order ? column[i] : i];
        keep_all(DEALS, sorted, M * sizeof *sorted, k);
        for (uint64_t i = 0; i < M; i++) sorted[i] = WMK_DEAL_ROW(sorted[i]);
        keep_all(ROWS, sorted, M * sizeof *sorted, k);
    }
    wmk_key_stream((uint8_t *)deal, M * sizeof *deal, key->secret->x, 0, 0);
    keep_all(STREAM, deal, M * sizeof *deal, k);
    free(column);
    free(deal);
    free(sorted);
}

static void keep_random(const wmk_key *key, size_t k)
{
    uint64_t M = key->M, *column = malloc(M * sizeof *column);
    float *x = malloc(M * sizeof *x), *sorted = malloc(M * sizeof *sorted);
    assert_true(column && x && sorted);
    memory_order(&scene_keys[k], column);
    for (uint32_t j = 0; j < key->T; j += key->T < 100 ? 1 : 115) { /* 115: six rows of 576, the first and the last among them */
        wmk_x_normal(key, j, 0, M, x);
        keep_all(X_ROW, x, M * sizeof *x, k);
        for (uint64_t i = 0; i < M; i++) sorted[i] = x[column[i]];
        keep_all(X_ROW, sorted, M * sizeof *sorted, k);
        wmk_key_stream((uint8_t *)x, M * sizeof *x, key->secret->x, j, 0);
        keep_all(STREAM, x, M * sizeof *x, k);
    }
    free(column);
    free(x);
    free(sorted);
}

static void keep_columns(const wmk_key *key, size_t k)
{
    uint64_t place[2 * 256];
    uint8_t stream[4096];
    bool diff = key->scheme == WMK_SCHEME_DIFF;
    assert_ok(wmk_x_columns(key, place, diff ? place + key->T : NULL));
    keep_all(COLUMNS, place, (diff ? 2 : 1) * key->T * sizeof *place, k);
    wmk_key_stream(stream, sizeof stream, key->secret->x, 0, 0);
    keep_all(STREAM, stream, sizeof stream, k);
}

static void keep_key(const wmk_key *key, size_t k)
{
    enum { T_MAX = 576 };
    char hex[2 * WMK_SEED_BYTES + 1];
    uint8_t b[T_MAX], bits[T_MAX / 8] = {0};
    double sign[T_MAX];
    keep_one(SEED, key->secret->seed, WMK_SEED_BYTES, k);
    sodium_bin2hex(hex, sizeof hex, key->secret->seed, WMK_SEED_BYTES);
    keep_one(SEED_HEX, hex, 2 * WMK_SEED_BYTES, k);
    keep_one(SUBKEY_X, key->secret->x, WMK_SUBKEY_BYTES, k);
    if (!key->ones && key->T >= 64) {
        keep_one(SUBKEY_B, key->secret->bits, WMK_SUBKEY_BYTES, k);
        wmk_key_bits(key, b);
        for (uint32_t j = 0; j < key->T; j++) {
            bits[j / 8] |= (uint8_t)(b[j] << j % 8);
            sign[j] = b[j] ? 1 : -1;
        }
        keep_one(B_BITS, bits, key->T / 8, k);
        for (uint32_t j = 0; j < key->T / 64 * 64; j += 64) keep_one(B_BYTES, b + j, 64, k);
        for (uint32_t j = 0; j < key->T / 64 * 64; j += 64) keep_one(B_SIGNS, sign + j, 64 * sizeof *sign, k);
    }
    if (key->scheme == WMK_SCHEME_PARTITION)
        keep_partition(key, k);
    else if (key->scheme == WMK_SCHEME_RANDOM)
        keep_random(key, k);
    else
        keep_columns(key, k);
}

/* ---- the worker's folder ---- */

static void write_file(const char *name, const void *bytes, size_t size)
{
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void make_key(size_t k, const char *passphrase)
{
    const struct scene_key *of = &scene_keys[k];
    wmk_target targets[SCENE_TENSORS] = {0};
    for (size_t t = 0; t < of->count; t++) {
        const struct scene_tensor *from = &scene_tensors[of->first + t];
        targets[t].name = from->name;
        targets[t].rank = from->rank;
        strcpy(targets[t].layout, from->layout);
        memcpy(targets[t].shape, from->shape, sizeof from->shape);
    }
    wmk_key_options options = WMK_KEY_OPTIONS_INIT;
    options.scheme = of->scheme;
    options.carrier = of->carrier;
    options.bits = of->bits;
    options.ones = of->ones;
    options.targets = targets;
    options.target_count = of->count;
    wmk_key *key;
    assert_ok(wmk_key_create(&key, &options));
    assert_ok(wmk_key_write_cost(key, of->name, of->sealed ? passphrase : NULL, SCENE_PASSPHRASE_BYTES, true, 1, 64));
    keep_key(key, k);
    wmk_key_free(key);
}

static void make_model(void)
{
    wmk_tensor_view views[SCENE_TENSORS] = {0};
    for (size_t t = 0; t < SCENE_TENSORS; t++) {
        uint64_t n = scene_elements(t);
        unsigned char *data = malloc(n * 4);
        assert_non_null(data);
        views[t] = (wmk_tensor_view){.name = scene_tensors[t].name, .dtype = scene_tensors[t].dtype, .rank = scene_tensors[t].rank, .data = data};
        memcpy(views[t].shape, scene_tensors[t].shape, sizeof scene_tensors[t].shape);
        for (uint64_t i = 0; i < n; i++) { /* noise between 1/4 and 1, of both signs */
            float value = (float)(1 + randombytes_uniform(3)) / 4 * (randombytes_uniform(2) ? 1.0f : -1.0f);
            if (scene_tensors[t].dtype == WMK_F32)
                memcpy(data + 4 * i, &value, 4);
            else
                memcpy(data + 2 * i, (const char *)&value + 2, 2);
        }
    }
    assert_ok(wmk_model_write(SCENE_MODEL, views, SCENE_TENSORS, NULL, 0, true));
    for (size_t t = 0; t < SCENE_TENSORS; t++) free((void *)(uintptr_t)views[t].data);
}

static int make_folder(void **state)
{
    (void)state;
    char passphrase[SCENE_PASSPHRASE_BYTES];
    assert_true(sodium_init() >= 0 && mkdtemp(folder) != NULL && chdir(folder) == 0);
    secrets = search_new();
    for (size_t i = 0; i < sizeof passphrase; i++) passphrase[i] = (char)('a' + randombytes_uniform(26));
    write_file(SCENE_PASSPHRASE, passphrase, sizeof passphrase);
    keep_one(PASSPHRASE, passphrase, sizeof passphrase, 0);
    make_model();
    for (size_t k = 0; k < SCENE_KEYS; k++) make_key(k, passphrase);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const files[] = {SCENE_MODEL, SCENE_PASSPHRASE, SCENE_LEAK, "marked.safetensors", "copy"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) unlink(files[i]);
    for (size_t k = 0; k < SCENE_KEYS; k++) unlink(scene_keys[k].name);
    search_free(secrets);
    return rmdir(folder);
}

/* ---- the worker, and what a core would hold of it ---- */

typedef struct worker {
    pid_t pid;
    int rounds; /* a byte comes from here when the worker begins, and one after each round */
} worker;

static worker start_worker(bool with_core)
{
    worker w;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    w.pid = fork();
    assert_true(w.pid >= 0);
    if (w.pid == 0) {
        struct rlimit limit = {0, 0};
        if (with_core && getrlimit(RLIMIT_CORE, &limit) == 0) limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_CORE, &limit);
        dup2(ends[1], STDOUT_FILENO);
        execl(WMK_SECRET_WORKER, "worker", folder, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    w.rounds = ends[0];
    char byte;
    if (read(w.rounds, &byte, 1) != 1) fail_msg("the worker does not begin");
    return w;
}

static void pause_ms(unsigned ms) { nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL); }

static void stop(const worker *w)
{
    int status;
    assert_int_equal(kill(w->pid, SIGSTOP), 0);
    assert_int_equal(waitpid(w->pid, &status, WUNTRACED), w->pid);
    if (!WIFSTOPPED(status)) fail_msg("the worker has ended");
}

static int end_worker(worker *w, int signal)
{
    int status;
    kill(w->pid, signal);
    assert_int_equal(waitpid(w->pid, &status, 0), w->pid);
    close(w->rounds);
    return status;
}

/* How many secrets of each kind: [0] in what is dumped, [1] in what is left out. */
typedef struct hits {
    size_t count[2][KINDS];
    bool left_out;       /* where the search is now, */
    const char *mapping; /* and its name */
    uint64_t base;
    unsigned told;
} hits;

static void note_hit(void *payload, unsigned kind, unsigned key, size_t at)
{
    hits *h = payload;
    if (h->count[h->left_out][kind]++ == 0 && !h->left_out && h->mapping && h->told++ < 20)
        print_message("  %s of key %s at %llx in %s\n", kind_names[kind], scene_keys[key].name, (unsigned long long)(h->base + at), h->mapping);
}

static void search_mapping(int memory, uint64_t begin, uint64_t end, hits *h)
{
    enum { CHUNK = 1 << 20, OVERLAP = 4096 };
    static unsigned char bytes[CHUNK + OVERLAP];
    for (; begin < end; begin += CHUNK) {
        size_t want = end - begin < CHUNK + OVERLAP ? (size_t)(end - begin) : CHUNK + OVERLAP;
        ssize_t got = pread(memory, bytes, want, (off_t)begin);
        if (got <= 0) return; /* [vvar] cannot be read */
        h->base = begin;
        search_run(secrets, bytes, (size_t)got < CHUNK ? (size_t)got : CHUNK, (size_t)got, note_hit, h);
    }
}

/* All readable mappings of a stopped process. What comes from a file and was not changed would not be in a core by default; it is searched all the same. */
static void search_process(pid_t pid, hits *h)
{
    char path[64], line[4096], name[4096] = "", rights[8] = "";
    unsigned long long begin = 0, end = 0;
    snprintf(path, sizeof path, "/proc/%d/smaps", (int)pid);
    FILE *maps = fopen(path, "r");
    snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
    int memory = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(maps != NULL && memory >= 0);
    while (fgets(line, sizeof line, maps)) {
        unsigned long long from, to;
        char read_rights[8], read_name[4096] = "(no name)";
        if (sscanf(line, "%llx-%llx %7s %*s %*s %*s %4095[^\n]", &from, &to, read_rights, read_name) >= 3) {
            begin = from, end = to;
            strcpy(rights, read_rights);
            strcpy(name, read_name);
        } else if (strncmp(line, "VmFlags:", 8) == 0 && rights[0] == 'r') {
            h->left_out = strstr(line, " dd") != NULL;
            h->mapping = name;
            search_mapping(memory, begin, end, h);
        }
    }
    fclose(maps);
    close(memory);
}

/* Why the memory of a child cannot be looked into, or NULL. */
static const char *no_sight(void)
{
    char path[64], line[4096];
    bool flags = false;
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
    int memory = open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof path, "/proc/%d/smaps", (int)pid);
    FILE *maps = fopen(path, "r");
    while (maps && fgets(line, sizeof line, maps)) flags = flags || strncmp(line, "VmFlags:", 8) == 0;
    const char *reason = memory < 0 ? "this system does not let a process look into the memory of its child (/proc/PID/mem)"
                         : !flags   ? "this system does not say which mappings are left out of dumps (VmFlags in /proc/PID/smaps)"
                                    : NULL;
    if (maps) fclose(maps);
    if (memory >= 0) close(memory);
    if (pid > 0) kill(pid, SIGKILL);
    if (pid > 0) waitpid(pid, NULL, 0);
    return reason;
}

/* Why no core of a worker would appear in its folder, or NULL. */
static const char *no_cores(void)
{
    char pattern[256] = "";
    struct rlimit limit;
    FILE *file = fopen("/proc/sys/kernel/core_pattern", "r");
    if (!file || !fgets(pattern, sizeof pattern, file)) pattern[0] = '\0';
    if (file) fclose(file);
    if (strcmp(pattern, "core\n") != 0) return "cores go elsewhere (/proc/sys/kernel/core_pattern is not \"core\")";
    if (getrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_max < (rlim_t)1 << 30) return "the limit on the size of cores is too low (ulimit -Hc)";
    return NULL;
}

/* Searches the core that a worker left in the folder, and removes it. False: there is none. */
static bool search_core(pid_t pid, hits *h)
{
    char name[32] = "core";
    struct stat info;
    if (stat(name, &info) != 0) snprintf(name, sizeof name, "core.%d", (int)pid);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    assert_int_equal(fstat(fd, &info), 0);
    h->mapping = name;
    search_mapping(fd, 0, (uint64_t)info.st_size, h);
    close(fd);
    unlink(name);
    return true;
}

static size_t total(const size_t count[KINDS])
{
    size_t sum = 0;
    for (int kind = 0; kind < KINDS; kind++) sum += count[kind];
    return sum;
}

/* ---- tests ---- */

/* The negative control: what is deliberately copied to plain memory is found there, every kind of it. */
static void leaks_are_found(void **state)
{
    (void)state;
    hits h = {.told = 1000};
    write_file(SCENE_LEAK, leaked, leaked_size);
    worker w = start_worker(false);
    unlink(SCENE_LEAK);
    stop(&w);
    search_process(w.pid, &h);
    end_worker(&w, SIGKILL);
    for (int kind = 0; kind < KINDS; kind++)
        if (h.count[0][kind] == 0) fail_msg("%s was leaked and is not found", kind_names[kind]);
}

static void dumps_hold_no_secret(void **state)
{
    (void)state;
    size_t dumps_with[2][KINDS] = {{0}}, bad = 0, lively = 0;
    uint32_t random = 1;
    hits h = {0};
    worker w = start_worker(false);
    for (int moment = 0; moment < MOMENTS; moment++) {
        random = random * 1664525u + 1013904223u;
        pause_ms(moment == 0 ? 5 : 20 + (random >> 16) % 120);
        stop(&w);
        memset(h.count, 0, sizeof h.count);
        search_process(w.pid, &h);
        for (int side = 0; side < 2; side++)
            for (int kind = 0; kind < KINDS; kind++) dumps_with[side][kind] += h.count[side][kind] > 0;
        bad += total(h.count[0]) > 0;
        lively += total(h.count[1]) > 0;
        assert_int_equal(kill(w.pid, SIGCONT), 0);
    }
    end_worker(&w, SIGKILL);
    print_message("%d moments: %zu dumps hold a secret, %zu would if nothing were left out\n", MOMENTS, bad, lively);
    for (int kind = 0; kind < KINDS; kind++)
        print_message("  %-22s in %2zu dumps, in %2zu of what is left out\n", kind_names[kind], dumps_with[0][kind], dumps_with[1][kind]);
    assert_int_equal(bad, 0);
    /* The worker was at work: there was something to find, except for what never lies in memory for longer than a read. */
    assert_true(lively > MOMENTS / 2);
}

/* The same of cores that the system wrote, which also hold the registers. */
static void cores_hold_no_secret(void **state)
{
    (void)state;
    const char *reason = no_cores();
    if (reason) {
        print_message("SKIPPED: real cores: %s\n", reason);
        skip();
    }
    hits h = {0};
    for (int i = 0; i < CORES; i++) {
        worker w = start_worker(true);
        pause_ms(150 + 250 * (unsigned)i);
        int status = end_worker(&w, SIGABRT);
        assert_true(WIFSIGNALED(status));
        if (!WCOREDUMP(status) || !search_core(w.pid, &h)) {
            print_message("SKIPPED: real cores: the system wrote none\n");
            skip();
        }
    }
    assert_int_equal(total(h.count[0]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaks_are_found),
        cmocka_unit_test(dumps_hold_no_secret),
        cmocka_unit_test(cores_hold_no_secret),
    };
    const char *reason = no_sight();
    if (reason) return printf("SKIPPED: secret: %s\n", reason), 77;
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
