/* train/host_file.h - the metadata from which a model file's network is rebuilt. */
#ifndef WMK_TRAIN_HOST_FILE_H
#define WMK_TRAIN_HOST_FILE_H

#include "train/host.h"

#define WMK_METADATA_HOST "weightmark.host"
#define WMK_METADATA_CLASSES "weightmark.classes"
#define WMK_METADATA_DATA "weightmark.data"           /* name of the data set it was trained on */
#define WMK_METADATA_MEAN "weightmark.mean"           /* "r,g,b": of value / 255 */
#define WMK_METADATA_DEVIATION "weightmark.deviation" /* "r,g,b" */

/* The normalisation a model was trained with, each [3]; false: not there, or no numbers of use. */
bool wmk_host_constants(const wmk_model *model, float *mean, float *deviation);

#endif
