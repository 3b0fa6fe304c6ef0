/* data/cifar.c - CIFAR-10 and CIFAR-100, "binary version" (www.cs.toronto.edu/~kriz/cifar.html). A file is a run of records: the label bytes
 * (CIFAR-10: one; CIFAR-100: the coarse label, of 20, then the fine one), then 3 x 32 x 32 bytes, red, green, blue, each row-major. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "data/dataset.h"

#define PIXELS ((size_t)WMK_IMAGE_ELEMENTS)

/* Appends a file's records. */
static wmk_status append_records(wmk_dataset *dataset, const wmk_map *map, const char *path, size_t label_bytes)
{
    const size_t record = label_bytes + PIXELS;
    if (!map->size || map->size % record)
        return wmk_fail(WMK_ERROR_INPUT, "%s: %zu bytes, not a whole number of records of %zu bytes", path, map->size, record);
    size_t first = dataset->count, count = map->size / record;
    WMK_TRY(wmk_resize(&dataset->pixels, first + count, PIXELS));
    WMK_TRY(wmk_resize(&dataset->labels, first + count, 1));
    for (size_t i = 0; i < count; i++) {
        const unsigned char *p = map->data + i * record;
        dataset->labels[first + i] = p[label_bytes - 1];
        memcpy(dataset->pixels + (first + i) * PIXELS, p + label_bytes, PIXELS);
    }
    dataset->count = first + count;
    return wmk_dataset_check_labels(dataset, first, count, path);
}

static wmk_status read_file(wmk_dataset *dataset, const char *folder, const char *file, size_t label_bytes)
{
    dataset->channels = WMK_IMAGE_CHANNELS;
    dataset->height = dataset->width = WMK_IMAGE_SIZE;
    char *path;
    WMK_TRY(wmk_format(&path, "%s/%s", folder, file));
    wmk_map map = {0};
    wmk_status status = wmk_map_open(&map, path);
    if (status == WMK_OK) status = append_records(dataset, &map, path, label_bytes);
    wmk_map_close(&map);
    free(path);
    return status;
}

static wmk_status read_cifar10(wmk_dataset *dataset, const char *folder, wmk_split split)
{
    if (split == WMK_SPLIT_TEST) return read_file(dataset, folder, "test_batch.bin", 1);
    static const char *const files[] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) WMK_TRY(read_file(dataset, folder, files[i], 1));
    return WMK_OK;
}

static wmk_status read_cifar100(wmk_dataset *dataset, const char *folder, wmk_split split)
{
    return read_file(dataset, folder, split == WMK_SPLIT_TEST ? "test.bin" : "train.bin", 2);
}

const wmk_data_format wmk_format_cifar10 = {"CIFAR-10 binary", "cifar-10-batches-bin", "test_batch.bin", 10, read_cifar10};
const wmk_data_format wmk_format_cifar100 = {"CIFAR-100 binary", "cifar-100-binary", "test.bin", 100, read_cifar100};
