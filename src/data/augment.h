/* data/augment.h - one image of a data set to one network input. */
#ifndef WMK_DATA_AUGMENT_H
#define WMK_DATA_AUGMENT_H

#include "data/dataset.h"
#include "data/random.h"

/* Image `index`, padded to 32x32 with zeros (28 -> 2 on each side), augmented by draws from `stream`, normalised: out [3][32][32]. */
void wmk_augment(const wmk_dataset *dataset, size_t index, wmk_augmentation augmentation, wmk_stream stream, float *out);

#endif
