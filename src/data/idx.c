/* data/idx.c - IDX, the format of MNIST and Fashion-MNIST (yann.lecun.com/exdb/mnist, "file formats"), plain or gzip.
 * A file: two zero bytes, the element type (8: unsigned byte), the number of axes, each axis as a big-endian u32, the elements row-major. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "data/dataset.h"
#include "data/source.h"

#define IMAGE_AXES 3 /* image, row, column */
#define LABEL_AXES 1

/* Reads magic and axes, and checks that the elements they promise can be in the file. */
static wmk_status read_header(wmk_source *source, const char *path, uint32_t axes, uint64_t *shape, uint64_t *elements)
{
    unsigned char bytes[4 + 4 * IMAGE_AXES];
    WMK_TRY(wmk_source_read(source, bytes, 4 + 4 * (size_t)axes));
    if (bytes[0] || bytes[1] || bytes[2] != 8 || bytes[3] != axes)
        return wmk_fail(WMK_ERROR_INPUT, "%s: begins %02x %02x %02x %02x, an IDX file of bytes with %u axes begins 00 00 08 %02x", path, bytes[0],
                        bytes[1], bytes[2], bytes[3], axes, axes);
    for (uint32_t i = 0; i < axes; i++) {
        const unsigned char *p = bytes + 4 + 4 * (size_t)i;
        shape[i] = (uint64_t)p[0] << 24 | (uint64_t)p[1] << 16 | (uint64_t)p[2] << 8 | p[3];
    }
    if (!shape[0]) return wmk_fail(WMK_ERROR_INPUT, "%s: holds no examples", path);
    if (!wmk_product_u64(shape, axes, elements) || *elements > wmk_source_bound(source))
        return wmk_fail(WMK_ERROR_INPUT, "%s: the header promises %llu examples, more than the file can hold", path, (unsigned long long)shape[0]);
    return WMK_OK;
}

static wmk_status read_images(wmk_dataset *dataset, wmk_source *source, const char *path)
{
    uint64_t shape[IMAGE_AXES] = {0}, elements = 0;
    WMK_TRY(read_header(source, path, IMAGE_AXES, shape, &elements));
    for (int i = 1; i <= 2; i++)
        if (shape[i] < 1 || shape[i] > WMK_IMAGE_SIZE)
            return wmk_fail(WMK_ERROR_INPUT, "%s: images of %llux%llu, at most %dx%d are read", path, (unsigned long long)shape[1],
                            (unsigned long long)shape[2], WMK_IMAGE_SIZE, WMK_IMAGE_SIZE);
    dataset->count = shape[0];
    dataset->channels = 1;
    dataset->height = (uint32_t)shape[1];
    dataset->width = (uint32_t)shape[2];
    WMK_TRY(wmk_alloc(&dataset->pixels, elements, 1));
    WMK_TRY(wmk_source_read(source, dataset->pixels, elements));
    return wmk_source_end(source);
}

static wmk_status read_labels(wmk_dataset *dataset, wmk_source *source, const char *path)
{
    uint64_t count = 0, elements = 0;
    WMK_TRY(read_header(source, path, LABEL_AXES, &count, &elements));
    if (count != dataset->count) return wmk_fail(WMK_ERROR_INPUT, "%s: %llu labels for %zu images", path, (unsigned long long)count, dataset->count);
    WMK_TRY(wmk_alloc(&dataset->labels, count, 1));
    WMK_TRY(wmk_source_read(source, dataset->labels, count));
    WMK_TRY(wmk_source_end(source));
    return wmk_dataset_check_labels(dataset, 0, count, path);
}

typedef wmk_status part_fn(wmk_dataset *dataset, wmk_source *source, const char *path);

static wmk_status read_file(wmk_dataset *dataset, const char *folder, wmk_split split, const char *part, part_fn *read)
{
    char *path;
    WMK_TRY(wmk_format(&path, "%s/%s-%s", folder, split == WMK_SPLIT_TRAIN ? "train" : "t10k", part));
    wmk_source *source = NULL;
    wmk_status status = wmk_source_open(&source, path);
    if (status == WMK_OK) status = read(dataset, source, path);
    wmk_source_close(source);
    free(path);
    return status;
}

static wmk_status read_plain(wmk_dataset *dataset, const char *folder, wmk_split split)
{
    WMK_TRY(read_file(dataset, folder, split, "images-idx3-ubyte", read_images));
    return read_file(dataset, folder, split, "labels-idx1-ubyte", read_labels);
}

static wmk_status read_gzip(wmk_dataset *dataset, const char *folder, wmk_split split)
{
    WMK_TRY(read_file(dataset, folder, split, "images-idx3-ubyte.gz", read_images));
    return read_file(dataset, folder, split, "labels-idx1-ubyte.gz", read_labels);
}

const wmk_data_format wmk_format_idx = {"IDX", NULL, "t10k-images-idx3-ubyte", 10, read_plain};
const wmk_data_format wmk_format_idx_gzip = {"IDX (gzip)", NULL, "t10k-images-idx3-ubyte.gz", 10, read_gzip};
