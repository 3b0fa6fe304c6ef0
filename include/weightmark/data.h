/* weightmark/data.h - image data sets and the batches made of them. Files may be hostile. */
#ifndef WEIGHTMARK_DATA_H
#define WEIGHTMARK_DATA_H

#include <stdbool.h>
#include <weightmark/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wmk_dataset wmk_dataset; /* immutable once open; may be shared between threads */
typedef enum wmk_split { WMK_SPLIT_TRAIN = 0, WMK_SPLIT_TEST = 1 } wmk_split;

/* Opens a data set by name ("fashion-mnist", "cifar-10", "cifar-100"; looked for in $WEIGHTMARK_DATA/<name>, /usr/share/datasets/<name>) or by the folder that holds its
 * files (recognised by their names: IDX plain or gzip, CIFAR-10 and CIFAR-100 binary). Pixels are 8-bit.
 * MISSING: no such name or folder (the message lists the names known and the places tried), a file of the set is absent; INPUT: wrong magic, size, or a label out of range. */
WMK_EXPORT wmk_status wmk_dataset_open(wmk_dataset **out, const char *name_or_folder, wmk_split split);
WMK_EXPORT void wmk_dataset_free(wmk_dataset *dataset);
WMK_EXPORT const char *wmk_dataset_name(const wmk_dataset *dataset); /* the known name, or the folder's last component; always UTF-8 */
WMK_EXPORT size_t wmk_dataset_count(const wmk_dataset *dataset);
WMK_EXPORT uint32_t wmk_dataset_classes(const wmk_dataset *dataset);
/* Network input size: images of 28x28 are padded to 32x32 with zeros, grey ones repeated over 3 channels, so that every set fits every host. */
#define WMK_IMAGE_CHANNELS 3
#define WMK_IMAGE_SIZE 32
#define WMK_IMAGE_ELEMENTS (WMK_IMAGE_CHANNELS * WMK_IMAGE_SIZE * WMK_IMAGE_SIZE)

typedef enum wmk_augmentation {
    WMK_AUGMENT_NONE = 0,
    WMK_AUGMENT_CROP_FLIP = 1, /* 4 pixels of padding by reflection, random 32x32 crop, random horizontal flip (the WRN paper) */
    WMK_AUGMENT_REFERENCE =
        2 /* rotation up to 10 degrees, shift up to 5/32 each way, horizontal flip (the watermark paper's code); bilinear, the nearest edge pixel
                                  where the source lies outside */
} wmk_augmentation;

typedef struct wmk_loader_options {
    size_t struct_size;
    size_t batch;
    bool shuffle;   /* a fresh permutation every epoch, from the seed */
    bool drop_last; /* leave out the last, smaller batch of an epoch; else it is delivered with its true count */
    wmk_augmentation augmentation;
    uint64_t seed;
    uint64_t first_step; /* where to begin: batch number since epoch 0 (for resuming) */
    bool prefetch;       /* prepare the next batches on a thread of its own */
} wmk_loader_options;
#define WMK_LOADER_OPTIONS_INIT                                                                                                                      \
    {                                                                                                                                                \
        sizeof(wmk_loader_options), 64, false, false, WMK_AUGMENT_NONE, 1, 0, false                                                                  \
    }

typedef struct wmk_loader wmk_loader;
/* dataset is borrowed. The bytes of a batch depend only on the data, the options and its number. */
WMK_EXPORT wmk_status wmk_loader_create(wmk_loader **out, const wmk_dataset *dataset, const wmk_loader_options *options);
WMK_EXPORT void wmk_loader_free(wmk_loader *loader);
/* The next batch, endlessly over epochs: images [batch][3][32][32] float, each pixel (value/255 - mean) / deviation with the data set's own constants, per channel over its training images;
 * labels [batch], may be NULL; *count: images delivered (the rest of the buffers is zero). */
WMK_EXPORT wmk_status wmk_loader_next(wmk_loader *loader, float *images, int32_t *labels, size_t *count);
WMK_EXPORT uint64_t wmk_loader_steps_per_epoch(const wmk_loader *loader);

#ifdef __cplusplus
}
#endif
#endif
