/* tests/data/test_formats.c - reading data sets: real ones against numpy's reading, small ones against what was written, and every defect. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <cmocka.h>

#include "data/dataset.h"
#include "data/known_answers.h"
#include "data/small_sets.h"

static char *folder;

static int fresh_folder(void **state)
{
    (void)state;
    folder = small_folder();
    return 0;
}

static int drop_folder(void **state)
{
    (void)state;
    small_remove(folder);
    free(folder);
    return 0;
}

static uint32_t crc(const void *bytes, size_t size) { return (uint32_t)crc32_z(0, bytes, size); }

static void fashion_mnist_reads_as_numpy_does(void **state)
{
    (void)state;
    if (access("/usr/share/datasets/fashion-mnist", F_OK)) skip();
    unsetenv("WEIGHTMARK_DATA");
    wmk_dataset *train, *test;
    assert_int_equal(wmk_dataset_open(&train, "fashion-mnist", WMK_SPLIT_TRAIN), WMK_OK);
    assert_int_equal(wmk_dataset_open(&test, "fashion-mnist", WMK_SPLIT_TEST), WMK_OK);
    assert_string_equal(wmk_dataset_name(train), "fashion-mnist");
    assert_int_equal(wmk_dataset_count(train), 60000);
    assert_int_equal(wmk_dataset_count(test), 10000);
    assert_int_equal(wmk_dataset_classes(train), 10);
    assert_int_equal(crc(train->pixels, (size_t)60000 * 784), TRAIN_PIXELS_CRC);
    assert_int_equal(crc(train->labels, 60000), TRAIN_LABELS_CRC);
    assert_int_equal(crc(test->pixels, (size_t)10000 * 784), TEST_PIXELS_CRC);
    assert_int_equal(crc(test->labels, 10000), TEST_LABELS_CRC);
    for (int c = 0; c < 3; c++) {
        assert_true(train->mean[c] == (float)TRAIN_MEAN && train->deviation[c] == (float)TRAIN_DEVIATION);
        assert_true(test->mean[c] == train->mean[c] && test->deviation[c] == train->deviation[c]);
    }
    wmk_loader_options options = WMK_LOADER_OPTIONS_INIT;
    wmk_loader *loader;
    static float images[64 * WMK_IMAGE_ELEMENTS];
    size_t count;
    assert_int_equal(wmk_loader_create(&loader, test, &options), WMK_OK);
    assert_int_equal(wmk_loader_next(loader, images, NULL, &count), WMK_OK);
    assert_int_equal(crc(images, sizeof images), TEST_BATCH_CRC);
    wmk_loader_free(loader);
    wmk_dataset_free(train);
    wmk_dataset_free(test);
}

/* Compares every pixel and label with what was written. */
static void check_content(wmk_split split, size_t count, uint32_t classes, uint32_t channels, uint32_t side)
{
    wmk_dataset *d;
    if (wmk_dataset_open(&d, folder, split) != WMK_OK) fail_msg("%s", wmk_error_message());
    assert_int_equal(wmk_dataset_count(d), count);
    assert_int_equal(wmk_dataset_classes(d), classes);
    assert_int_equal(d->channels, channels);
    assert_true(d->height == side && d->width == side);
    const uint8_t *p = d->pixels;
    size_t first = split == WMK_SPLIT_TEST ? 1000000 : 0;
    for (size_t i = 0; i < count; i++) {
        unsigned label = (unsigned)(i % classes);
        assert_int_equal(d->labels[i], label);
        for (unsigned c = 0; c < channels; c++)
            for (unsigned y = 0; y < side; y++)
                for (unsigned x = 0; x < side; x++) assert_int_equal(*p++, small_pixel(first + i, label, c, y, x));
    }
    wmk_dataset_free(d);
}

static void small_sets_read_back(void **state)
{
    (void)state;
    small_idx(folder, 30, 20, 28, false);
    check_content(WMK_SPLIT_TRAIN, 30, 10, 1, 28);
    check_content(WMK_SPLIT_TEST, 20, 10, 1, 28);
    drop_folder(NULL), fresh_folder(NULL);
    small_idx(folder, 30, 20, 32, true);
    check_content(WMK_SPLIT_TRAIN, 30, 10, 1, 32);
    drop_folder(NULL), fresh_folder(NULL);
    small_cifar10(folder, 10);
    check_content(WMK_SPLIT_TRAIN, 50, 10, 3, 32);
    check_content(WMK_SPLIT_TEST, 10, 10, 3, 32);
    drop_folder(NULL), fresh_folder(NULL);
    small_cifar100(folder, 200, 100);
    check_content(WMK_SPLIT_TRAIN, 200, 100, 3, 32);
    check_content(WMK_SPLIT_TEST, 100, 100, 3, 32);
}

static void names_and_places(void **state)
{
    (void)state;
    wmk_dataset *d;
    setenv("WEIGHTMARK_DATA", folder, 1);
    assert_int_equal(wmk_dataset_open(&d, "cifar-100", WMK_SPLIT_TRAIN), WMK_ERROR_MISSING);
    assert_non_null(strstr(wmk_error_message(), folder));
    assert_non_null(strstr(wmk_error_message(), "/usr/share/datasets/cifar-100"));
    char command[5000];
    snprintf(command, sizeof command, "mkdir -p %s/cifar-100/cifar-100-binary", folder);
    assert_int_equal(system(command), 0);
    assert_int_equal(wmk_dataset_open(&d, "cifar-100", WMK_SPLIT_TRAIN), WMK_ERROR_MISSING); /* an empty folder */
    small_cifar100(small_path(folder, "cifar-100/cifar-100-binary"), 100, 100);
    assert_int_equal(wmk_dataset_open(&d, "cifar-100", WMK_SPLIT_TEST), WMK_OK);
    assert_string_equal(wmk_dataset_name(d), "cifar-100");
    wmk_dataset_free(d);
    unsetenv("WEIGHTMARK_DATA");
    char odd[4200]; /* the name goes into a model's metadata, so it must be UTF-8 */
    snprintf(odd, sizeof odd, "%s/caf\xc3\xa9-\xff", folder);
    assert_int_equal(mkdir(odd, 0700), 0);
    small_idx(odd, 10, 10, 8, false);
    strcat(odd, "//");
    assert_int_equal(wmk_dataset_open(&d, odd, WMK_SPLIT_TEST), WMK_OK);
    assert_string_equal(wmk_dataset_name(d), "caf\xc3\xa9-?");
    wmk_dataset_free(d);
    assert_int_equal(wmk_dataset_open(&d, "no-such-set", WMK_SPLIT_TRAIN), WMK_ERROR_MISSING);
    assert_non_null(strstr(wmk_error_message(), "fashion-mnist, cifar-10, cifar-100"));
    assert_int_equal(wmk_dataset_open(&d, "", WMK_SPLIT_TRAIN), WMK_ERROR_ARGUMENT);
    assert_int_equal(wmk_dataset_open(&d, folder, (wmk_split)7), WMK_ERROR_ARGUMENT);
}

typedef struct defect {
    const char *file, *says;
    wmk_status status;
    long truncate_to; /* -1: as it is */
    long at;          /* -1: nothing */
    unsigned char bytes[4];
    int byte_count;
    int append;
} defect;

static void damage(const defect *d)
{
    const char *path = small_path(folder, d->file);
    if (d->truncate_to >= 0) assert_int_equal(truncate(path, d->truncate_to), 0);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    if (d->at >= 0) assert_true(fseek(f, d->at, SEEK_SET) == 0 && fwrite(d->bytes, 1, (size_t)d->byte_count, f) == (size_t)d->byte_count);
    for (int i = 0; i < d->append; i++) assert_true(fseek(f, 0, SEEK_END) == 0 && fputc(0, f) != EOF);
    fclose(f);
}

static void expect_failure(const defect *d)
{
    wmk_dataset *dataset = NULL;
    assert_int_equal(wmk_dataset_open(&dataset, folder, WMK_SPLIT_TRAIN), d->status);
    if (!strstr(wmk_error_message(), d->says)) fail_msg("\"%s\" lacks \"%s\"", wmk_error_message(), d->says);
    if (!strstr(wmk_error_message(), d->file)) fail_msg("\"%s\" does not name %s", wmk_error_message(), d->file);
    assert_null(dataset);
}

#define TRAIN_IMAGES "train-images-idx3-ubyte"
#define TRAIN_LABELS "train-labels-idx1-ubyte"

static void defects_of_idx(void **state)
{
    (void)state;
    static const defect table[] = {
        {TRAIN_IMAGES, "begins 01 00 08 03", WMK_ERROR_INPUT, -1, 0, {1}, 1, 0},
        {TRAIN_IMAGES, "begins 00 00 0d 03", WMK_ERROR_INPUT, -1, 2, {0x0d}, 1, 0},
        {TRAIN_IMAGES, "with 3 axes", WMK_ERROR_INPUT, -1, 3, {1}, 1, 0},
        {TRAIN_IMAGES, "more than the file can hold", WMK_ERROR_INPUT, -1, 4, {0xff, 0xff, 0xff, 0xff}, 4, 0},
        {TRAIN_IMAGES, "holds no examples", WMK_ERROR_INPUT, -1, 4, {0, 0, 0, 0}, 4, 0},
        {TRAIN_IMAGES, "more bytes follow", WMK_ERROR_INPUT, -1, 4, {0, 0, 0, 29}, 4, 0},
        {TRAIN_IMAGES, "more than the file can hold", WMK_ERROR_INPUT, -1, 8, {0xff, 0xff, 0xff, 0xff}, 4, 0},
        {TRAIN_IMAGES, "images of 0x28", WMK_ERROR_INPUT, -1, 8, {0, 0, 0, 0}, 4, 0},
        {TRAIN_IMAGES,
         "at most 32x32",
         WMK_ERROR_INPUT,
         -1,
         4,
         {
             0,
             0,
             0,
             3,
         },
         4,
         0},
        {TRAIN_IMAGES, "ends after 10 bytes, 16 are needed", WMK_ERROR_INPUT, 10, -1, {0}, 0, 0},
        {TRAIN_IMAGES, "ends after 0 bytes", WMK_ERROR_INPUT, 0, -1, {0}, 0, 0},
        {TRAIN_IMAGES, "more than the file can hold", WMK_ERROR_INPUT, 16 + 30 * 784 - 1, -1, {0}, 0, 0},
        {TRAIN_IMAGES, "more bytes follow", WMK_ERROR_INPUT, -1, -1, {0}, 0, 1},
        {TRAIN_LABELS, "29 labels for 30 images", WMK_ERROR_INPUT, -1, 4, {0, 0, 0, 29}, 4, 0},
        {TRAIN_LABELS, "example 3 has label 10, labels go from 0 to 9", WMK_ERROR_INPUT, -1, 8 + 3, {10}, 1, 0},
        {TRAIN_LABELS, "more bytes follow", WMK_ERROR_INPUT, -1, -1, {0}, 0, 2},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        small_idx(folder, 30, 20, 28, false);
        defect d = table[i];
        damage(&d);
        if (!strcmp(d.says, "at most 32x32")) { /* 3 images of 280x28 fill the file exactly */
            defect rows = {d.file, d.says, d.status, -1, 8, {0, 0, 1, 0x18}, 4, 0};
            damage(&rows);
        }
        expect_failure(&d);
    }
    small_idx(folder, 30, 20, 28, false);
    assert_int_equal(unlink(small_path(folder, TRAIN_LABELS)), 0);
    expect_failure(&(defect){.file = TRAIN_LABELS, .says = TRAIN_LABELS, .status = WMK_ERROR_MISSING});
}

static void defects_of_gzip(void **state)
{
    (void)state;
    small_idx(folder, 30, 20, 28, true);
    FILE *f = fopen(small_path(folder, TRAIN_IMAGES ".gz"), "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    long size = ftell(f);
    fclose(f);
    const defect table[] = {
        {TRAIN_IMAGES ".gz", "ends after", WMK_ERROR_INPUT, size / 2, -1, {0}, 0, 0},
        {TRAIN_IMAGES ".gz", "damaged gzip stream", WMK_ERROR_INPUT, -1, size - 8, {1, 2, 3, 4}, 4, 0}, /* checksum */
        {TRAIN_IMAGES ".gz", "damaged gzip stream", WMK_ERROR_INPUT, -1, 2, {9}, 1, 0},                 /* method */
        {TRAIN_IMAGES ".gz", "more bytes follow", WMK_ERROR_INPUT, -1, -1, {0}, 0, 1},
        {TRAIN_IMAGES ".gz", "ends after", WMK_ERROR_INPUT, size - 4, -1, {0}, 0, 0}, /* the trailer's last half */
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        small_idx(folder, 30, 20, 28, true);
        damage(&table[i]);
        expect_failure(&table[i]);
    }
    /* A header that promises far more than a tiny stream can inflate to is refused before memory is reserved. */
    static const unsigned char promise[16] = {0, 0, 8, 3, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 28, 0, 0, 0, 28};
    small_write(folder, TRAIN_IMAGES ".gz", promise, sizeof promise, true);
    expect_failure(&(defect){.file = TRAIN_IMAGES ".gz", .says = "more than the file can hold", .status = WMK_ERROR_INPUT});
}

static void defects_of_cifar(void **state)
{
    (void)state;
    static const defect table[] = {
        {"data_batch_3.bin", "not a whole number of records of 3073 bytes", WMK_ERROR_INPUT, 3073 * 10 - 1, -1, {0}, 0, 0},
        {"data_batch_3.bin", "0 bytes, not a whole number", WMK_ERROR_INPUT, 0, -1, {0}, 0, 0},
        {"data_batch_5.bin", "30731 bytes", WMK_ERROR_INPUT, -1, -1, {0}, 0, 1},
        {"data_batch_2.bin", "example 4 has label 255", WMK_ERROR_INPUT, -1, 4 * 3073, {255}, 1, 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        small_cifar10(folder, 10);
        damage(&table[i]);
        expect_failure(&table[i]);
    }
    small_cifar10(folder, 10);
    assert_int_equal(unlink(small_path(folder, "data_batch_4.bin")), 0);
    expect_failure(&(defect){.file = "data_batch_4.bin", .says = "data_batch_4.bin", .status = WMK_ERROR_MISSING});
    drop_folder(NULL), fresh_folder(NULL);
    small_cifar100(folder, 100, 100);
    defect fine = {"train.bin", "example 1 has label 100, labels go from 0 to 99", WMK_ERROR_INPUT, -1, 3074 + 1, {100}, 1, 0};
    damage(&fine);
    expect_failure(&fine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fashion_mnist_reads_as_numpy_does),
        cmocka_unit_test_setup_teardown(small_sets_read_back, fresh_folder, drop_folder),
        cmocka_unit_test_setup_teardown(names_and_places, fresh_folder, drop_folder),
        cmocka_unit_test_setup_teardown(defects_of_idx, fresh_folder, drop_folder),
        cmocka_unit_test_setup_teardown(defects_of_gzip, fresh_folder, drop_folder),
        cmocka_unit_test_setup_teardown(defects_of_cifar, fresh_folder, drop_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
