/* tests/data/test_loader.c - batches: order, augmentation, prefetching, resuming. */
#include <math.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "data/augment.h"
#include "data/known_answers.h"
#include "data/small_sets.h"

#define SIDE 32
#define AREA (SIDE * SIDE)

static wmk_dataset *colour, *grey; /* 50 CIFAR-10 records; 30 images of 28x28 */

static int open_sets(void **state)
{
    (void)state;
    char *folder = small_folder();
    small_cifar10(folder, 10);
    int bad = wmk_dataset_open(&colour, folder, WMK_SPLIT_TRAIN);
    small_remove(folder);
    free(folder);
    folder = small_folder();
    small_idx(folder, 30, 10, 28, false);
    bad |= wmk_dataset_open(&grey, folder, WMK_SPLIT_TRAIN);
    small_remove(folder);
    free(folder);
    return bad;
}

static int close_sets(void **state)
{
    (void)state;
    wmk_dataset_free(colour);
    wmk_dataset_free(grey);
    return 0;
}

static wmk_loader *make(const wmk_dataset *dataset, const wmk_loader_options *options)
{
    wmk_loader *loader = NULL;
    if (wmk_loader_create(&loader, dataset, options) != WMK_OK) fail_msg("%s", wmk_error_message());
    return loader;
}

/* splitmix64's published sequence from state 1234567 (rosettacode.org, "Pseudo-random numbers/Splitmix64"). */
static void stream_is_splitmix64(void **state)
{
    (void)state;
    static const uint64_t known[] = {UINT64_C(6457827717110365317), UINT64_C(3203168211198807973), UINT64_C(9817491932198370423),
                                     UINT64_C(4593380528125082431), UINT64_C(16408922859458223821)};
    wmk_stream stream = {1234567, 0};
    for (size_t i = 0; i < 5; i++) assert_true(wmk_stream_bits(&stream) == known[i]);
    stream.counter = 3; /* addressed, not only in sequence */
    assert_true(wmk_stream_bits(&stream) == known[3]);
}

/* The order of examples against a Python implementation of the written rule; 20 images in batches of 6, first_step inside epoch 3. */
static void shuffle_matches_its_rule(void **state)
{
    (void)state;
    static const int first[20] = ORDER_SEED_7_EPOCH_0, fourth[20] = ORDER_SEED_7_EPOCH_3;
    wmk_dataset few = *colour;
    few.count = 20;
    uint8_t numbers[20];
    for (int i = 0; i < 20; i++) numbers[i] = (uint8_t)i;
    few.labels = numbers;
    wmk_loader_options options = WMK_LOADER_OPTIONS_INIT;
    options.batch = 6, options.shuffle = true, options.seed = 7;
    static float images[6 * WMK_IMAGE_ELEMENTS];
    int32_t labels[6];
    size_t count;
    for (int run = 0; run < 2; run++) {
        const int *expected = run ? fourth : first;
        options.first_step = run ? 3 * 4 : 0;
        wmk_loader *loader = make(&few, &options);
        assert_int_equal(wmk_loader_steps_per_epoch(loader), 4);
        for (int i = 0; i < 20; i += 6) {
            assert_int_equal(wmk_loader_next(loader, images, labels, &count), WMK_OK);
            assert_int_equal(count, i < 18 ? 6 : 2);
            for (size_t j = 0; j < count; j++) assert_int_equal(labels[j], expected[(size_t)i + j]);
            for (size_t j = count; j < 6; j++) assert_int_equal(labels[j], 0);
            for (size_t j = count * WMK_IMAGE_ELEMENTS; j < sizeof images / sizeof *images; j++) assert_true(images[j] == 0);
        }
        wmk_loader_free(loader);
    }
    options.drop_last = true;
    wmk_loader *loader = make(&few, &options);
    assert_int_equal(wmk_loader_steps_per_epoch(loader), 3);
    wmk_loader_free(loader);
}

/* Prefetching, and beginning at a later step, change no byte: 40 batches over several epochs, every augmentation. */
static void bytes_depend_on_the_number_alone(void **state)
{
    (void)state;
    enum { BATCH = 7, BATCHES = 40, LATE = 23 };
    static float plain[BATCH * WMK_IMAGE_ELEMENTS], ahead[BATCH * WMK_IMAGE_ELEMENTS], late[BATCH * WMK_IMAGE_ELEMENTS];
    int32_t plain_labels[BATCH], ahead_labels[BATCH], late_labels[BATCH];
    for (int kind = WMK_AUGMENT_NONE; kind <= WMK_AUGMENT_REFERENCE; kind++) {
        wmk_loader_options options = WMK_LOADER_OPTIONS_INIT;
        options.batch = BATCH, options.shuffle = true, options.seed = 11, options.augmentation = (wmk_augmentation)kind;
        wmk_loader *a = make(colour, &options);
        options.prefetch = true;
        wmk_loader *b = make(colour, &options);
        options.first_step = LATE;
        wmk_loader *c = make(colour, &options);
        for (int n = 0; n < BATCHES; n++) {
            size_t counts[3];
            assert_int_equal(wmk_loader_next(a, plain, plain_labels, &counts[0]), WMK_OK);
            assert_int_equal(wmk_loader_next(b, ahead, ahead_labels, &counts[1]), WMK_OK);
            assert_int_equal(counts[0], counts[1]);
            assert_memory_equal(plain, ahead, sizeof plain);
            assert_memory_equal(plain_labels, ahead_labels, sizeof plain_labels);
            if (n < LATE) continue;
            assert_int_equal(wmk_loader_next(c, late, late_labels, &counts[2]), WMK_OK);
            assert_int_equal(counts[0], counts[2]);
            assert_memory_equal(plain, late, sizeof plain);
            assert_memory_equal(plain_labels, late_labels, sizeof plain_labels);
        }
        wmk_loader_free(a), wmk_loader_free(b), wmk_loader_free(c);
    }
}

/* The same image is augmented by other draws in the next epoch, in the next place, and under another seed. */
static void every_epoch_augments_anew(void **state)
{
    (void)state;
    static float first[10 * WMK_IMAGE_ELEMENTS], second[10 * WMK_IMAGE_ELEMENTS], seeded[10 * WMK_IMAGE_ELEMENTS];
    wmk_dataset few = *colour;
    few.count = 10;
    wmk_loader_options options = WMK_LOADER_OPTIONS_INIT;
    options.batch = 10, options.augmentation = WMK_AUGMENT_REFERENCE;
    size_t count;
    wmk_loader *loader = make(&few, &options);
    assert_int_equal(wmk_loader_next(loader, first, NULL, &count), WMK_OK);
    assert_int_equal(wmk_loader_next(loader, second, NULL, &count), WMK_OK);
    wmk_loader_free(loader);
    options.seed = 2;
    loader = make(&few, &options);
    assert_int_equal(wmk_loader_next(loader, seeded, NULL, &count), WMK_OK);
    wmk_loader_free(loader);
    for (size_t i = 0; i < 10; i++) {
        const size_t at = i * WMK_IMAGE_ELEMENTS, bytes = WMK_IMAGE_ELEMENTS * sizeof(float);
        assert_memory_not_equal(first + at, second + at, bytes);
        assert_memory_not_equal(first + at, seeded + at, bytes);
    }
}

/* A prefetching loader that nobody reads from, or from which little was read, goes away at once. */
static void prefetch_stops_cleanly(void **state)
{
    (void)state;
    static float images[8 * WMK_IMAGE_ELEMENTS];
    for (int reads = 0; reads < 20; reads++) {
        wmk_loader_options options = WMK_LOADER_OPTIONS_INIT;
        options.batch = 8, options.prefetch = true;
        wmk_loader *loader = make(grey, &options);
        size_t count;
        for (int i = 0; i < reads % 7; i++) assert_int_equal(wmk_loader_next(loader, images, NULL, &count), WMK_OK);
        wmk_loader_free(loader);
    }
}

/* Raw pixel values back from a normalised image. */
static void raw(const wmk_dataset *d, const float *image, float *values)
{
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < AREA; i++) values[c * AREA + i] = (image[c * AREA + i] * d->deviation[c] + d->mean[c]) * 255;
}

static void grey_is_padded_and_repeated(void **state)
{
    (void)state;
    float image[WMK_IMAGE_ELEMENTS], values[WMK_IMAGE_ELEMENTS];
    for (size_t i = 0; i < 30; i++) {
        wmk_augment(grey, i, WMK_AUGMENT_NONE, (wmk_stream){0, 0}, image);
        raw(grey, image, values);
        for (unsigned c = 0; c < 3; c++)
            for (unsigned y = 0; y < SIDE; y++)
                for (unsigned x = 0; x < SIDE; x++) {
                    bool inside = x >= 2 && x < 30 && y >= 2 && y < 30;
                    float expected = inside ? small_pixel(i, (unsigned)(i % 10), 0, y - 2, x - 2) : 0;
                    assert_true(fabsf(values[c * AREA + y * SIDE + x] - expected) < 1e-2f);
                }
    }
}

/* Each result is a 32x32 window of the image padded to 40x40 by reflection (numpy's pad mode "reflect"), or its mirror image; and all 162 occur about equally often. */
static void crop_and_flip_is_a_window(void **state)
{
    (void)state;
    enum { PAD = 4, WIDE = SIDE + 2 * PAD, DRAWS = 16200 };
    float padded[WIDE][WIDE], image[WMK_IMAGE_ELEMENTS], values[WMK_IMAGE_ELEMENTS];
    for (int y = 0; y < WIDE; y++)
        for (int x = 0; x < WIDE; x++) {
            int sy = abs(y - PAD), sx = abs(x - PAD);
            sy = sy > 31 ? 62 - sy : sy, sx = sx > 31 ? 62 - sx : sx;
            padded[y][x] = small_pixel(3, 3, 1, (unsigned)sy, (unsigned)sx);
        }
    int seen[9][9][2] = {0};
    for (uint64_t draw = 0; draw < DRAWS; draw++) {
        wmk_augment(colour, 3, WMK_AUGMENT_CROP_FLIP, wmk_stream_at(1, WMK_STREAM_AUGMENT, draw), image);
        raw(colour, image, values);
        int matches = 0;
        for (int dy = 0; dy < 9; dy++)
            for (int dx = 0; dx < 9; dx++)
                for (int flip = 0; flip < 2; flip++) {
                    bool same = true;
                    for (int i = 0; i < AREA && same; i++) {
                        int x = i % SIDE;
                        same = fabsf(values[AREA + i] - padded[dy + i / SIDE][dx + (flip ? SIDE - 1 - x : x)]) < 1e-2f;
                    }
                    matches += same;
                    seen[dy][dx][flip] += same;
                }
        assert_int_equal(matches, 1);
    }
    for (int i = 0; i < 162; i++) assert_in_range((&seen[0][0][0])[i], 50, 150); /* 100 expected, deviation 10 */
}

/* On a plane 4x + 3y bilinear interpolation is exact, so the result is a plane again; its slope and height give back angle, mirror and shift. */
static void reference_augmentation_is_a_motion(void **state)
{
    (void)state;
    static uint8_t plane[AREA];
    for (int i = 0; i < AREA; i++) plane[i] = (uint8_t)(4 * (i % SIDE) + 3 * (i / SIDE));
    wmk_dataset one = {.pixels = plane, .count = 1, .channels = 1, .height = SIDE, .width = SIDE, .mean = {0, 0, 0}, .deviation = {1, 1, 1}};
    float image[WMK_IMAGE_ELEMENTS];
    double least = 0, most = 0, low = 0, high = 0;
    int flips = 0, draws = 2000;
    for (int draw = 0; draw < draws; draw++) {
        wmk_augment(&one, 0, WMK_AUGMENT_REFERENCE, wmk_stream_at(2, WMK_STREAM_AUGMENT, (uint64_t)draw), image);
        const float *v = image;
        double gx = (v[15 * SIDE + 16] - v[15 * SIDE + 15]) * 255, gy = (v[16 * SIDE + 15] - v[15 * SIDE + 15]) * 255;
        double height = (v[15 * SIDE + 15] + v[16 * SIDE + 16]) * 255 / 2 - 7 * 15.5; /* 4 tx + 3 ty */
        assert_true(fabs(hypot(gx, gy) - 5) < 1e-3);
        for (int y = 8; y < 24; y++) /* nothing here comes from outside the image */
            for (int x = 8; x < 24; x++) assert_true(fabs(v[y * SIDE + x] * 255 - (v[15 * SIDE + 15] * 255 + gx * (x - 15) + gy * (y - 15))) < 5e-3);
        bool flip = gx < 0;
        flips += flip;
        double angle = (atan2(3, 4) - atan2(gy, flip ? -gx : gx)) * 180 / 3.14159265358979;
        least = fmin(least, angle), most = fmax(most, angle);
        low = fmin(low, height), high = fmax(high, height);
        float top = 0;
        for (int i = 0; i < AREA; i++) {
            assert_true(v[i] >= 0 && v[i] * 255 <= 7 * 31 + 1e-3); /* the edge is repeated: no value from nowhere */
            top = fmaxf(top, v[i]);
        }
    }
    assert_true(least >= -10.01 && least < -9.8 && most <= 10.01 && most > 9.8);
    assert_true(low >= -35.01 && low < -31 && high <= 35.01 && high > 31); /* 5 (4 + 3) */
    assert_in_range(flips, draws / 2 - 120, draws / 2 + 120);
}

static void options_are_checked(void **state)
{
    (void)state;
    wmk_loader *loader = NULL;
    wmk_loader_options options = WMK_LOADER_OPTIONS_INIT;
    options.struct_size = 0;
    assert_int_equal(wmk_loader_create(&loader, grey, &options), WMK_ERROR_ARGUMENT);
    options.struct_size = sizeof options, options.batch = 0;
    assert_int_equal(wmk_loader_create(&loader, grey, &options), WMK_ERROR_ARGUMENT);
    options.batch = SIZE_MAX / 4;
    assert_int_equal(wmk_loader_create(&loader, grey, &options), WMK_ERROR_ARGUMENT);
    options.batch = 31, options.drop_last = true;
    assert_int_equal(wmk_loader_create(&loader, grey, &options), WMK_ERROR_ARGUMENT);
    options.batch = 30, options.augmentation = (wmk_augmentation)3;
    assert_int_equal(wmk_loader_create(&loader, grey, &options), WMK_ERROR_ARGUMENT);
    assert_null(loader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream_is_splitmix64),
        cmocka_unit_test(shuffle_matches_its_rule),
        cmocka_unit_test(bytes_depend_on_the_number_alone),
        cmocka_unit_test(every_epoch_augments_anew),
        cmocka_unit_test(prefetch_stops_cleanly),
        cmocka_unit_test(grey_is_padded_and_repeated),
        cmocka_unit_test(crop_and_flip_is_a_window),
        cmocka_unit_test(reference_augmentation_is_a_motion),
        cmocka_unit_test(options_are_checked),
    };
    return cmocka_run_group_tests(tests, open_sets, close_sets);
}
