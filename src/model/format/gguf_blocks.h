/* model/format/gguf_blocks.h - the numbers in GGUF's blocks: elements that share a scale. */
#ifndef WMK_MODEL_FORMAT_GGUF_BLOCKS_H
#define WMK_MODEL_FORMAT_GGUF_BLOCKS_H

#include <weightmark/tensor.h>

/* values [blocks * elements of a block] = the elements of `blocks` blocks at `src`, in float arithmetic as ggml does it. */
typedef void wmk_gguf_decode(const unsigned char *src, size_t blocks, float *values);

/* The K types: 256 elements in 8 or 16 groups, whose scales are small integers times one half-precision number. */
wmk_gguf_decode wmk_gguf_q2_k, wmk_gguf_q3_k, wmk_gguf_q4_k, wmk_gguf_q5_k, wmk_gguf_q6_k;

/* How the elements of a block type are read and, for Q8_0, written. NULL: plain elements, or a type that is only listed. */
const wmk_codec *wmk_gguf_codec(wmk_dtype dtype);

/* The half-precision number in two bytes, little-endian. */
float wmk_gguf_half(const unsigned char *bytes);

#endif
