/* model/format/gguf_blocks.c - GGUF's block types as codecs: blocks of 32 elements here, of 256 in gguf_k.c. Layouts and arithmetic are those of ggml (ggml-common.h, block_*;
 * ggml-quants.c, dequantize_row_*): one operation of float arithmetic after the other, so that values are the same bit for bit. */
#include "model/format/gguf_blocks.h"

#include <math.h>
#include <string.h>

#include "base/convert.h"

enum { SMALL = 32, RUN = 1024 /* elements decoded at a time: whole blocks of every type */ };

static uint32_t little_endian(const unsigned char *bytes, int count)
{
    uint32_t value = 0;
    while (count-- > 0) value = value << 8 | bytes[count];
    return value;
}

float wmk_gguf_half(const unsigned char *bytes) { return wmk_f16_to_f32((uint16_t)little_endian(bytes, 2)); }

/* ---- reading ---- */

/* In every type of 32 elements with 4-bit parts, byte l holds elements l and l + 16. */

static void q4_0(const unsigned char *src, size_t blocks, float *values)
{
    for (size_t b = 0; b < blocks; b++, src += 18, values += SMALL) {
        float d = wmk_gguf_half(src);
        for (int l = 0; l < 16; l++) {
            values[l] = d * (float)((src[2 + l] & 15) - 8);
            values[l + 16] = d * (float)((src[2 + l] >> 4) - 8);
        }
    }
}

static void q4_1(const unsigned char *src, size_t blocks, float *values)
{
    for (size_t b = 0; b < blocks; b++, src += 20, values += SMALL) {
        float d = wmk_gguf_half(src), minimum = wmk_gguf_half(src + 2);
        for (int l = 0; l < 16; l++) {
            values[l] = d * (float)(src[4 + l] & 15) + minimum;
            values[l + 16] = d * (float)(src[4 + l] >> 4) + minimum;
        }
    }
}

static void q5_0(const unsigned char *src, size_t blocks, float *values)
{
    for (size_t b = 0; b < blocks; b++, src += 22, values += SMALL) {
        float d = wmk_gguf_half(src);
        uint32_t fifth = little_endian(src + 2, 4);
        for (int l = 0; l < 16; l++) {
            values[l] = d * (float)((int)((src[6 + l] & 15u) | (fifth >> l & 1) << 4) - 16);
            values[l + 16] = d * (float)((int)((uint32_t)(src[6 + l] >> 4) | (fifth >> (l + 16) & 1) << 4) - 16);
        }
    }
}

static void q5_1(const unsigned char *src, size_t blocks, float *values)
{
    for (size_t b = 0; b < blocks; b++, src += 24, values += SMALL) {
        float d = wmk_gguf_half(src), minimum = wmk_gguf_half(src + 2);
        uint32_t fifth = little_endian(src + 4, 4);
        for (int l = 0; l < 16; l++) {
            values[l] = d * (float)(int)((src[8 + l] & 15u) | (fifth >> l & 1) << 4) + minimum;
            values[l + 16] = d * (float)(int)((uint32_t)(src[8 + l] >> 4) | (fifth >> (l + 16) & 1) << 4) + minimum;
        }
    }
}

static void q8_0(const unsigned char *src, size_t blocks, float *values)
{
    for (size_t b = 0; b < blocks; b++, src += 34, values += SMALL) {
        float d = wmk_gguf_half(src);
        for (int l = 0; l < SMALL; l++) values[l] = d * (float)(signed char)src[2 + l];
    }
}

/* Sixteen bytes of 4-bit indices into a table. */
static void from_table(const signed char table[16], float d, const unsigned char *src, float *values)
{
    for (int l = 0; l < 16; l++) {
        values[l] = d * (float)table[src[l] & 15];
        values[l + 16] = d * (float)table[src[l] >> 4];
    }
}

static const signed char nonlinear[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}; /* kvalues_iq4nl */

static void iq4_nl(const unsigned char *src, size_t blocks, float *values)
{
    for (size_t b = 0; b < blocks; b++, src += 18, values += SMALL) from_table(nonlinear, wmk_gguf_half(src), src + 2, values);
}

/* 256 elements: d, high parts of eight 6-bit scales (16 bits), low parts[4], indices[128]. */
static void iq4_xs(const unsigned char *src, size_t blocks, float *values)
{
    for (size_t b = 0; b < blocks; b++, src += 136) {
        float d = wmk_gguf_half(src);
        uint32_t high = little_endian(src + 2, 2);
        for (int group = 0; group < 8; group++, values += SMALL) {
            int scale = (src[4 + group / 2] >> group % 2 * 4 & 15) | (int)(high >> 2 * group & 3) << 4;
            from_table(nonlinear, d * (float)(scale - 32), src + 8 + 16 * group, values);
        }
    }
}

/* OCP Microscaling Formats 1.0: a power of two and E2M1 values; the table holds them doubled, so the power is halved. */
static void mxfp4(const unsigned char *src, size_t blocks, float *values)
{
    static const signed char doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
    for (size_t b = 0; b < blocks; b++, src += 17, values += SMALL) from_table(doubled, ldexpf(1, src[0] - 128), src + 1, values);
}

static const struct {
    wmk_dtype dtype;
    wmk_gguf_decode *decode;
} decoders[] = {
    {WMK_Q4_0, q4_0},          {WMK_Q4_1, q4_1},          {WMK_Q5_0, q5_0},          {WMK_Q5_1, q5_1},          {WMK_Q8_0, q8_0},
    {WMK_Q2_K, wmk_gguf_q2_k}, {WMK_Q3_K, wmk_gguf_q3_k}, {WMK_Q4_K, wmk_gguf_q4_k}, {WMK_Q5_K, wmk_gguf_q5_k}, {WMK_Q6_K, wmk_gguf_q6_k},
    {WMK_IQ4_NL, iq4_nl},      {WMK_IQ4_XS, iq4_xs},      {WMK_MXFP4, mxfp4},
};

static wmk_gguf_decode *decoder(wmk_dtype dtype)
{
    for (size_t i = 0; i < sizeof decoders / sizeof decoders[0]; i++)
        if (decoders[i].dtype == dtype) return decoders[i].decode;
    return NULL;
}

static void read_blocks(const wmk_tensor_view *view, uint64_t element, size_t count, double *values)
{
    float run[RUN];
    uint32_t elements, bytes;
    wmk_gguf_decode *decode = decoder(view->dtype);
    wmk_dtype_block(view->dtype, &elements, &bytes);
    const unsigned char *src = (const unsigned char *)view->data + element / elements * bytes;
    for (size_t skip = element % elements, done = 0; done < count; skip = 0) {
        size_t now = count - done < RUN - skip ? count - done : RUN - skip, blocks = (skip + now + elements - 1) / elements;
        decode(src, blocks, run);
        for (size_t i = 0; i < now; i++) values[done + i] = run[skip + i];
        src += blocks * bytes;
        done += now;
    }
}

/* ---- writing Q8_0 ---- */

/* The scale for values up to `largest`. The present one stays while it wastes less than one bit, so that elements which are not to change do not; else as ggml chooses it
 * (quantize_row_q8_0_ref). */
static uint16_t scale_for(uint16_t present, double largest)
{
    double reach = fabs((double)wmk_f16_to_f32(present)) * 127.5;
    if (largest <= reach && 2 * largest >= reach) return present;
    uint16_t scale = wmk_f32_to_f16((float)largest / 127.0f);
    return scale < 0x7bff ? scale : 0x7bff; /* the largest finite one */
}

static void write_block(unsigned char *block, const double *values)
{
    float now[SMALL];
    double largest = 0;
    bool same = true;
    q8_0(block, 1, now);
    for (int l = 0; l < SMALL; l++) {
        if (!isfinite(values[l])) return; /* a block cannot hold it */
        same &= (double)now[l] == values[l];
        largest = fmax(largest, fabs(values[l]));
    }
    if (same) return;
    uint16_t scale = scale_for((uint16_t)little_endian(block, 2), largest);
    double d = (double)wmk_f16_to_f32(scale);
    block[0] = (unsigned char)scale;
    block[1] = (unsigned char)(scale >> 8);
    for (int l = 0; l < SMALL; l++) {
        double q = d != 0 ? values[l] / d + 128.5 : 128;
        q = q > 0 ? q : 0;
        block[2 + l] = (unsigned char)((q < 255 ? (int)q : 255) - 128);
    }
}

static void write_q8_0(const wmk_tensor_view *view, void *data, uint64_t element, size_t count, const double *values)
{
    (void)view;
    unsigned char *block = (unsigned char *)data + element / SMALL * 34;
    for (size_t done = 0; done < count; done += SMALL, block += 34) write_block(block, values + done);
}

const wmk_codec *wmk_gguf_codec(wmk_dtype dtype)
{
    static const wmk_codec blocks = {"blocks", read_blocks, NULL, 1}, blocks_q8_0 = {"blocks", read_blocks, write_q8_0, SMALL};
    if (dtype == WMK_Q8_0) return &blocks_q8_0;
    return decoder(dtype) ? &blocks : NULL;
}
