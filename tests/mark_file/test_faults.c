/* Every allocation of the library fails once in opening, writing, choosing, verifying and embedding: the status is MEMORY (or the call carries on without what it could not have),
 * and whatever was allocated is given back. The linker puts the functions below in place of the allocator's for our rooms (-Wl,--wrap, CMakeLists.txt). */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmocka_wmk.h"
#include <weightmark/mark_file.h>

static long countdown; /* the call that brings it to 0 fails; 0: none does */
static long live;      /* blocks held */
static bool given;

static bool is_refused(void)
{
    long left = __atomic_sub_fetch(&countdown, 1, __ATOMIC_RELAXED);
    if (left == 0) given = true;
    return left == 0;
}

static void *held(void *block)
{
    if (block) __atomic_add_fetch(&live, 1, __ATOMIC_RELAXED);
    return block;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
char *__real_strdup(const char *text);
char *__real_strndup(const char *text, size_t size);
int __real_vasprintf(char **out, const char *format, va_list arguments);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t size);
int __wrap_vasprintf(char **out, const char *format, va_list arguments);
void __wrap_free(void *block);

void *__wrap_malloc(size_t size) { return is_refused() ? NULL : held(__real_malloc(size)); }
void *__wrap_calloc(size_t count, size_t size) { return is_refused() ? NULL : held(__real_calloc(count, size)); }
void *__wrap_aligned_alloc(size_t alignment, size_t size) { return is_refused() ? NULL : held(__real_aligned_alloc(alignment, size)); }
char *__wrap_strdup(const char *text) { return is_refused() ? NULL : held(__real_strdup(text)); }
char *__wrap_strndup(const char *text, size_t size) { return is_refused() ? NULL : held(__real_strndup(text, size)); }

void *__wrap_realloc(void *block, size_t size)
{
    if (is_refused()) return NULL;
    void *grown = __real_realloc(block, size);
    return block ? grown : held(grown);
}

int __wrap_vasprintf(char **out, const char *format, va_list arguments)
{
    if (is_refused()) return -1;
    int size = __real_vasprintf(out, format, arguments);
    if (size >= 0) held(*out);
    return size;
}

void __wrap_free(void *block)
{
    if (block) __atomic_sub_fetch(&live, 1, __ATOMIC_RELAXED);
    __real_free(block);
}

/* ---- what is done ---- */

static char folder[] = "/tmp/wmk-test-faults-XXXXXX";
static char model_path[64], output_path[64], renamed_path[64], sizes_path[64], map_path[64];
static wmk_key *weights_key, *mean_key, *turned_key; /* turned: a square matrix whose letters are the other way round */
static float first[8 * 8 * 9], second[10 * 64], third[16 * 16];

static wmk_status write_model(void)
{
    const wmk_tensor_view views[] = {{"conv.weight", WMK_F32, 4, {8, 8, 3, 3}, "OIHW", first, NULL, NULL, 0},
                                     {"fc.weight", WMK_F32, 2, {10, 64}, "OI", second, NULL, NULL, 0},
                                     {"layers.0.self_attn.q_proj.weight", WMK_F32, 2, {16, 16}, "OI", third, NULL, NULL, 0}};
    const wmk_metadata metadata = {"name", "value"};
    return wmk_model_write(output_path, views, 3, &metadata, 1, true);
}

/* The same under other names, one matrix turned, beside a config.json with the number of heads. */
static wmk_status write_renamed(void)
{
    const wmk_tensor_view views[] = {{"module.conv.weight", WMK_F32, 4, {8, 8, 3, 3}, "OIHW", first, NULL, NULL, 0},
                                     {"module.head.fc.weight", WMK_F32, 2, {64, 10}, "OI", second, NULL, NULL, 0},
                                     {"blk.0.attn_q.weight", WMK_F32, 2, {16, 16}, "OI", third, NULL, NULL, 0}};
    return wmk_model_write(renamed_path, views, 3, NULL, 0, true);
}

static wmk_status write_sizes(void)
{
    const wmk_tensor_view views[] = {{"conv.weight", WMK_F32, 4, {8, 8, 3, 3}, "OIHW", first, NULL, NULL, 0},
                                     {"module.fc.weight", WMK_F32, 2, {8, 64}, "OI", second, NULL, NULL, 0}};
    return wmk_model_write(sizes_path, views, 2, NULL, 0, true);
}

static wmk_status open_model(void)
{
    wmk_model *model;
    wmk_status status = wmk_model_open(&model, model_path);
    if (status == WMK_OK) wmk_model_close(model);
    return status;
}

static wmk_status make_key(wmk_key **key, const char *selectors, wmk_scheme scheme, wmk_carrier carrier)
{
    wmk_model *model;
    wmk_targets all = {0}, chosen = {0};
    uint8_t seed[WMK_SEED_BYTES] = {1};
    wmk_status status = wmk_model_open(&model, model_path);
    if (status != WMK_OK) return status;
    status = wmk_targets_of_model(&all, model);
    if (status == WMK_OK) status = wmk_targets_select(&chosen, &all, selectors);
    wmk_key_options options = WMK_KEY_OPTIONS_INIT;
    options.scheme = scheme, options.carrier = carrier, options.bits = 16, options.seed = seed, options.created = 1;
    options.targets = chosen.target, options.target_count = chosen.count;
    if (status == WMK_OK) status = wmk_key_create(key, &options);
    wmk_targets_free(&all);
    wmk_targets_free(&chosen);
    wmk_model_close(model);
    return status;
}

static wmk_status choose_and_make_key(void)
{
    wmk_key *key;
    wmk_status status = make_key(&key, "conv*,fc.weight,*q_proj*", WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS);
    if (status == WMK_OK) wmk_key_free(key);
    return status;
}

static wmk_status verify(const char *path, const wmk_key *key, bool any_tensor)
{
    wmk_model *model;
    wmk_verification found;
    wmk_verify_options options = WMK_VERIFY_OPTIONS_INIT;
    options.any_tensor = any_tensor;
    wmk_status status = wmk_model_open(&model, path);
    if (status != WMK_OK) return status;
    status = wmk_model_verify(&found, model, key, &options);
    if (status == WMK_OK) wmk_verification_free(&found);
    wmk_model_close(model);
    return status;
}

static wmk_status verify_weights(void) { return verify(model_path, weights_key, false); }
static wmk_status verify_mean(void) { return verify(model_path, mean_key, false); }
static wmk_status verify_any(void) { return verify(model_path, mean_key, true); }
static wmk_status verify_any_of_many(void) { return verify(renamed_path, weights_key, true); }
static wmk_status verify_renamed(void) { return verify(renamed_path, weights_key, false); }
static wmk_status verify_turned(void) { return verify(renamed_path, turned_key, false); }

/* The matrix fc.weight has other sizes, and a map of two lines exchanges nothing but names. */
static wmk_status verify_sizes(void) { return verify(sizes_path, weights_key, false); }

static wmk_status verify_map(void)
{
    static const wmk_rename map[] = {{"conv.weight", "module.conv.weight", 0}, {"fc.weight", "module.head.fc.weight", 0}};
    wmk_model *model;
    wmk_verification found;
    wmk_verify_options options = WMK_VERIFY_OPTIONS_INIT;
    options.map = map, options.map_count = 2;
    wmk_status status = wmk_model_open(&model, renamed_path);
    if (status != WMK_OK) return status;
    status = wmk_model_verify(&found, model, weights_key, &options);
    if (status == WMK_OK) wmk_verification_free(&found);
    wmk_model_close(model);
    return status;
}

/* A pair that fails is told and stops nothing. */
static int take_pair(void *payload, const wmk_pair *pair)
{
    if (pair->status == WMK_ERROR_MEMORY) *(wmk_status *)payload = WMK_ERROR_MEMORY;
    return 0;
}

static wmk_status verify_many(void)
{
    const char *const paths[] = {model_path, renamed_path};
    const wmk_key *const keys[] = {weights_key, mean_key};
    const wmk_verify_options options = WMK_VERIFY_OPTIONS_INIT;
    wmk_status told = WMK_OK, status = wmk_model_verify_many(paths, 2, keys, 2, &options, take_pair, &told);
    return status == WMK_OK ? told : status;
}

static wmk_status read_map(void)
{
    wmk_renames renames;
    wmk_status status = wmk_renames_read(&renames, map_path);
    if (status == WMK_OK) wmk_renames_free(&renames);
    return status;
}

static wmk_status embed(const wmk_key *key, double margin)
{
    wmk_model *model;
    wmk_embed_options options = WMK_EMBED_OPTIONS_INIT;
    options.margin = margin;
    wmk_status status = wmk_model_open(&model, model_path);
    if (status != WMK_OK) return status;
    status = wmk_model_embed(model, key, output_path, true, &options, NULL, NULL, NULL, NULL);
    wmk_model_close(model);
    return status;
}

static wmk_status embed_weights(void) { return embed(weights_key, 2); }
static wmk_status embed_mean(void) { return embed(mean_key, 0.5); }

static const struct {
    const char *name;
    wmk_status (*run)(void);
} actions[] = {
    {"write", write_model},
    {"open", open_model},
    {"choose and make a key", choose_and_make_key},
    {"verify weights", verify_weights},
    {"verify mean", verify_mean},
    {"verify any tensor", verify_any},
    {"verify any tensors of many", verify_any_of_many},
    {"verify renamed", verify_renamed},
    {"verify a square matrix", verify_turned},
    {"verify other sizes", verify_sizes},
    {"verify by a map", verify_map},
    {"verify many", verify_many},
    {"read a map", read_map},
    {"embed weights", embed_weights},
    {"embed mean", embed_mean},
};

static void test_every_allocation(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        long faults = 0, before = live;
        assert_ok(actions[i].run());
        assert_int_equal(live, before);
        for (long n = 1; n == 1 || given; n++, faults++) {
            given = false;
            countdown = n;
            wmk_status status = actions[i].run();
            countdown = 0;
            if (status != WMK_OK && status != WMK_ERROR_MEMORY)
                fail_msg("%s: allocation %ld refused: status %s, \"%s\"", actions[i].name, n, wmk_status_name(status), wmk_error_message());
            if (status != WMK_OK && !given) fail_msg("%s: fails without a fault: \"%s\"", actions[i].name, wmk_error_message());
            if (live != before) fail_msg("%s: allocation %ld refused: %ld blocks are left", actions[i].name, n, live - before);
        }
        print_message("%s: %ld allocations\n", actions[i].name, faults - 1);
        assert_true(faults > 5);
    }
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(model_path, sizeof model_path, "%s/model", folder);
    snprintf(output_path, sizeof output_path, "%s/model", folder);
    snprintf(renamed_path, sizeof renamed_path, "%s/renamed", folder);
    snprintf(sizes_path, sizeof sizes_path, "%s/sizes", folder);
    snprintf(map_path, sizeof map_path, "%s/config.json", folder); /* a map as good as any other, and what says how many heads there are */
    FILE *map = fopen(map_path, "w");
    if (!map || fputs("{\"model_type\": \"llama\", \"num_attention_heads\": \"4\", \"other\": \"name\"}", map) < 0 || fclose(map) != 0) return -1;
    uint32_t noise = 1;
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) first[i] = (float)((noise = noise * 1664525u + 1013904223u) >> 8) / 16777216.0f - 0.5f;
    for (size_t i = 0; i < sizeof second / sizeof *second; i++)
        second[i] = (float)((noise = noise * 1664525u + 1013904223u) >> 8) / 16777216.0f - 0.5f;
    for (size_t i = 0; i < sizeof third / sizeof *third; i++) third[i] = (float)((noise = noise * 1664525u + 1013904223u) >> 8) / 16777216.0f - 0.5f;
    if (write_model() != WMK_OK || write_renamed() != WMK_OK || write_sizes() != WMK_OK) return -1;
    snprintf(output_path, sizeof output_path, "%s/output", folder);
    if (make_key(&weights_key, "all", WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS) != WMK_OK) return -1;
    if (make_key(&mean_key, "conv", WMK_SCHEME_RANDOM, WMK_CARRIER_MEAN) != WMK_OK) return -1;
    wmk_target target = {.name = "first.blk.0.attn_q", .layout = "IO", .rank = 2, .shape = {16, 16}};
    wmk_key_options options = WMK_KEY_OPTIONS_INIT;
    options.bits = 8, options.targets = &target, options.target_count = 1;
    return wmk_key_create(&turned_key, &options) == WMK_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    wmk_key_free(weights_key);
    wmk_key_free(mean_key);
    wmk_key_free(turned_key);
    unlink(model_path);
    unlink(output_path);
    unlink(renamed_path);
    unlink(sizes_path);
    unlink(map_path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_every_allocation, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
