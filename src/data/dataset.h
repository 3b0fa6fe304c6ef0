/* data/dataset.h - what the files of this room share: a data set in memory, and a row of the table of formats. */
#ifndef WMK_DATA_DATASET_H
#define WMK_DATA_DATASET_H

#include <weightmark/data.h>
#include "base/status.h"

struct wmk_dataset {
    char *name;
    uint8_t *pixels; /* [count][channels][height][width] as in the file: four times smaller than float */
    uint8_t *labels; /* [count], each below classes */
    size_t count;
    uint32_t channels, height, width; /* 1 or 3; each 1 to WMK_IMAGE_SIZE */
    uint32_t classes;
    float mean[WMK_IMAGE_CHANNELS], deviation[WMK_IMAGE_CHANNELS]; /* of value / 255 over the training images, per channel */
};

/* One container of images. Recognised by the names of its files. */
typedef struct wmk_data_format {
    const char *name;
    const char *subfolder; /* where the published archive unpacks to; looked at after the folder itself; may be NULL */
    const char *mark;      /* a file whose presence says: this is the format */
    uint32_t classes;
    /* Fills pixels, labels, count, channels, height, width; classes is set. What it allocated is freed with the data set, also after a failure. */
    wmk_status (*read)(wmk_dataset *dataset, const char *folder, wmk_split split);
} wmk_data_format;

extern const wmk_data_format wmk_format_idx, wmk_format_idx_gzip, wmk_format_cifar10, wmk_format_cifar100;

/* wmk_dataset_open with normalisation constants from elsewhere (a model that was trained with them), each [3]; NULL: computed over the training
 * images, which are read for it. */
wmk_status wmk_dataset_open_with(wmk_dataset **out, const char *name_or_folder, wmk_split split, const float *mean, const float *deviation);

/* INPUT when a label of [first, first + count) is not below classes; path is for the message. */
wmk_status wmk_dataset_check_labels(const wmk_dataset *dataset, size_t first, size_t count, const char *path);

#endif
