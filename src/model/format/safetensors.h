/* model/format/safetensors.h - what reading and writing share. */
#ifndef WMK_MODEL_FORMAT_SAFETENSORS_H
#define WMK_MODEL_FORMAT_SAFETENSORS_H

#include <weightmark/model.h>
#include "base/memory.h"

/* The format's limit on the JSON header. */
#define WMK_SAFETENSORS_HEADER_BYTES_MAX 100000000

/* The format's word for a dtype, and back; NULL and WMK_DTYPE_NONE: none. */
const char *wmk_safetensors_dtype_word(wmk_dtype dtype);
wmk_dtype wmk_safetensors_dtype(const char *word);

/* The bytes of a file before its data (length, header, spaces up to a multiple of 64) for tensors listed in the given order. order [tensor_count] receives their order in the
 * data: largest elements first, so that each begins at a multiple of its element's size though the format allows no padding. ARGUMENT as wmk_model_write. */
wmk_status wmk_safetensors_head(wmk_buffer *head, size_t *order, const wmk_tensor_view *tensors, size_t tensor_count, const wmk_metadata *metadata,
                                size_t metadata_count);

#endif
