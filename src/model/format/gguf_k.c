/* model/format/gguf_k.c - GGUF's K types: blocks of 256 elements. Layouts and arithmetic are those of ggml (ggml-common.h, block_q*_K; ggml-quants.c, dequantize_row_q*_K). */
#include "model/format/gguf_blocks.h"

/* scales[16], 2-bit values[64], d, dmin: element = d * (low half of scale) * value - dmin * (high half). */
void wmk_gguf_q2_k(const unsigned char *src, size_t blocks, float *values)
{
    for (size_t b = 0; b < blocks; b++, src += 84) {
        const unsigned char *q = src + 16;
        float d = wmk_gguf_half(src + 80), least = wmk_gguf_half(src + 82);
        for (int group = 0; group < 16; group++, values += 16) {
            float scale = d * (float)(src[group] & 15), minimum = least * (float)(src[group] >> 4);
            const unsigned char *at = q + group / 8 * 32 + group % 2 * 16;
            int shift = group % 8 / 2 * 2;
            for (int l = 0; l < 16; l++) values[l] = scale * (float)(at[l] >> shift & 3) - minimum;
        }
    }
}

/* high bits[32], 2-bit values[64], 6-bit scales[12], d: element = d * (scale - 32) * (value + 4 * high bit - 4). */
void wmk_gguf_q3_k(const unsigned char *src, size_t blocks, float *values)
{
    for (size_t b = 0; b < blocks; b++, src += 110) {
        const unsigned char *q = src + 32, *packed = src + 96;
        float d = wmk_gguf_half(src + 108);
        for (int group = 0; group < 16; group++, values += 16) {
            int low = group < 8 ? packed[group] & 15 : packed[group - 8] >> 4, high = packed[8 + group % 4] >> group / 4 * 2 & 3;
            float scale = d * (float)((low | high << 4) - 32);
            const unsigned char *at = q + group / 8 * 32 + group % 2 * 16, *mask = src + group % 2 * 16;
            int shift = group % 8 / 2 * 2, bit = group / 2;
            for (int l = 0; l < 16; l++) values[l] = scale * (float)((at[l] >> shift & 3) + (mask[l] >> bit & 1) * 4 - 4);
        }
    }
}

/* Scale and minimum, of 6 bits each, of a group of 32 in Q4_K and Q5_K. */
static void scale_and_minimum(const unsigned char *packed, int group, int *scale, int *minimum)
{
    if (group < 4) {
        *scale = packed[group] & 63;
        *minimum = packed[group + 4] & 63;
    } else {
        *scale = (packed[group + 4] & 15) | packed[group - 4] >> 6 << 4;
        *minimum = packed[group + 4] >> 4 | packed[group] >> 6 << 4;
    }
}

/* d, dmin, scales and minima[12], 4-bit values[128]. */
void wmk_gguf_q4_k(const unsigned char *src, size_t blocks, float *values)
{
    for (size_t b = 0; b < blocks; b++, src += 144) {
        float d = wmk_gguf_half(src), least = wmk_gguf_half(src + 2);
        for (int group = 0; group < 8; group++, values += 32) {
            int scale, minimum, shift = group % 2 * 4;
            scale_and_minimum(src + 4, group, &scale, &minimum);
            float step = d * (float)scale, offset = least * (float)minimum;
            const unsigned char *at = src + 16 + group / 2 * 32;
            for (int l = 0; l < 32; l++) values[l] = step * (float)(at[l] >> shift & 15) - offset;
        }
    }
}

/* d, dmin, scales and minima[12], fifth bits[32], 4-bit values[128]. */
void wmk_gguf_q5_k(const unsigned char *src, size_t blocks, float *values)
{
    for (size_t b = 0; b < blocks; b++, src += 176) {
        float d = wmk_gguf_half(src), least = wmk_gguf_half(src + 2);
        const unsigned char *fifth = src + 16;
        for (int group = 0; group < 8; group++, values += 32) {
            int scale, minimum, shift = group % 2 * 4;
            scale_and_minimum(src + 4, group, &scale, &minimum);
            float step = d * (float)scale, offset = least * (float)minimum;
            const unsigned char *at = src + 48 + group / 2 * 32;
            for (int l = 0; l < 32; l++) values[l] = step * (float)((at[l] >> shift & 15) | (fifth[l] >> group & 1) << 4) - offset;
        }
    }
}

/* low 4 bits[128], high 2 bits[64], signed scales[16], d: element = d * scale * (value - 32). */
void wmk_gguf_q6_k(const unsigned char *src, size_t blocks, float *values)
{
    for (size_t b = 0; b < blocks; b++, src += 210) {
        const unsigned char *low = src, *high = src + 128, *scales = src + 192;
        float d = wmk_gguf_half(src + 208);
        for (int group = 0; group < 16; group++, values += 16) {
            int quarter = group % 8 / 2; /* of one half of the block */
            float scale = d * (float)(signed char)scales[group];
            const unsigned char *l4 = low + group / 8 * 64 + quarter % 2 * 32 + group % 2 * 16, *h2 = high + group / 8 * 32 + group % 2 * 16;
            for (int l = 0; l < 16; l++) values[l] = scale * (float)(((l4[l] >> quarter / 2 * 4 & 15) | (h2[l] >> quarter * 2 & 3) << 4) - 32);
        }
    }
}
