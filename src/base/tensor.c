/* base/tensor.c - element types and layouts. */
#include <string.h>

#include <weightmark/tensor.h>

/* Indexed by wmk_dtype. A block is what is stored together. Sizes of GGUF's blocks: ggml, ggml-common.h. */
static const struct {
    const char *name;
    uint16_t block_elements, block_bytes;
    bool is_float;
} dtypes[] = {
    [WMK_DTYPE_NONE] = {"none", 0, 0, false},
    [WMK_F64] = {"f64", 1, 8, true},
    [WMK_F32] = {"f32", 1, 4, true},
    [WMK_F16] = {"f16", 1, 2, true},
    [WMK_BF16] = {"bf16", 1, 2, true},
    [WMK_F8_E5M2] = {"f8_e5m2", 1, 1, false},
    [WMK_F8_E4M3] = {"f8_e4m3", 1, 1, false},
    [WMK_I64] = {"i64", 1, 8, false},
    [WMK_I32] = {"i32", 1, 4, false},
    [WMK_I16] = {"i16", 1, 2, false},
    [WMK_I8] = {"i8", 1, 1, false},
    [WMK_U64] = {"u64", 1, 8, false},
    [WMK_U32] = {"u32", 1, 4, false},
    [WMK_U16] = {"u16", 1, 2, false},
    [WMK_U8] = {"u8", 1, 1, false},
    [WMK_BOOL] = {"bool", 1, 1, false},
    [WMK_F8_E8M0] = {"f8_e8m0", 1, 1, false},
    [WMK_F4] = {"f4", 2, 1, false},
    [WMK_F6_E2M3] = {"f6_e2m3", 4, 3, false},
    [WMK_F6_E3M2] = {"f6_e3m2", 4, 3, false},
    [WMK_C64] = {"c64", 1, 8, false},
    [WMK_F8_E4M3FNUZ] = {"f8_e4m3fnuz", 1, 1, false},
    [WMK_F8_E5M2FNUZ] = {"f8_e5m2fnuz", 1, 1, false},
    [WMK_I4] = {"i4", 2, 1, false},
    [WMK_U4] = {"u4", 2, 1, false},
    [WMK_I2] = {"i2", 4, 1, false},
    [WMK_U2] = {"u2", 4, 1, false},
    [WMK_C128] = {"c128", 1, 16, false},
    [WMK_Q4_0] = {"q4_0", 32, 18, false},
    [WMK_Q4_1] = {"q4_1", 32, 20, false},
    [WMK_Q5_0] = {"q5_0", 32, 22, false},
    [WMK_Q5_1] = {"q5_1", 32, 24, false},
    [WMK_Q8_0] = {"q8_0", 32, 34, false},
    [WMK_Q2_K] = {"q2_k", 256, 84, false},
    [WMK_Q3_K] = {"q3_k", 256, 110, false},
    [WMK_Q4_K] = {"q4_k", 256, 144, false},
    [WMK_Q5_K] = {"q5_k", 256, 176, false},
    [WMK_Q6_K] = {"q6_k", 256, 210, false},
    [WMK_IQ4_NL] = {"iq4_nl", 32, 18, false},
    [WMK_IQ4_XS] = {"iq4_xs", 256, 136, false},
    [WMK_MXFP4] = {"mxfp4", 32, 17, false},
    [WMK_IQ1_S] = {"iq1_s", 256, 50, false},
    [WMK_IQ1_M] = {"iq1_m", 256, 56, false},
    [WMK_IQ2_XXS] = {"iq2_xxs", 256, 66, false},
    [WMK_IQ2_XS] = {"iq2_xs", 256, 74, false},
    [WMK_IQ2_S] = {"iq2_s", 256, 82, false},
    [WMK_IQ3_XXS] = {"iq3_xxs", 256, 98, false},
    [WMK_IQ3_S] = {"iq3_s", 256, 110, false},
    [WMK_TQ1_0] = {"tq1_0", 256, 54, false},
    [WMK_TQ2_0] = {"tq2_0", 256, 66, false},
    [WMK_NVFP4] = {"nvfp4", 64, 36, false},
    [WMK_Q1_0] = {"q1_0", 128, 18, false},
    [WMK_Q8_K] = {"q8_k", 256, 292, false},
};

static unsigned known(wmk_dtype dtype)
{
    unsigned index = (unsigned)dtype;
    return index < sizeof dtypes / sizeof dtypes[0] && dtypes[index].name ? index : 0;
}

bool wmk_dtype_block(wmk_dtype dtype, uint32_t *elements, uint32_t *bytes)
{
    *elements = dtypes[known(dtype)].block_elements;
    *bytes = dtypes[known(dtype)].block_bytes;
    return *elements != 0;
}

uint32_t wmk_dtype_bits(wmk_dtype dtype)
{
    uint32_t elements = dtypes[known(dtype)].block_elements;
    return elements == 0 || elements > 4 ? 0 : 8u * dtypes[known(dtype)].block_bytes / elements;
}

const char *wmk_dtype_name(wmk_dtype dtype) { return dtypes[known(dtype)].name; }

bool wmk_dtype_is_float(wmk_dtype dtype) { return dtypes[known(dtype)].is_float; }

static bool is_small_float(wmk_dtype dtype)
{
    return dtype == WMK_F8_E5M2 || dtype == WMK_F8_E4M3 || dtype == WMK_F8_E4M3FNUZ || dtype == WMK_F8_E5M2FNUZ;
}

bool wmk_tensor_is_readable(const wmk_tensor_view *view)
{
    return view->codec ? view->codec->read != NULL : wmk_dtype_is_float(view->dtype) || is_small_float(view->dtype);
}

bool wmk_tensor_is_writable(const wmk_tensor_view *view) { return view->codec ? view->codec->write != NULL : wmk_dtype_is_float(view->dtype); }

bool wmk_layout_is_valid(const char *layout, uint32_t rank)
{
    if (rank == 0 || rank > WMK_RANK_MAX || strnlen(layout, WMK_RANK_MAX + 1) != rank) return false;
    for (uint32_t axis = 0; axis < rank; axis++)
        if (!strchr("OIDHW", layout[axis]) || strchr(layout + axis + 1, layout[axis])) return false;
    return strchr(layout, 'O') != NULL;
}
