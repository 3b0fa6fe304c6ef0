/* weightmark/tensor.h - a tensor as plain bytes with a name, a type, a shape and a layout. */
#ifndef WEIGHTMARK_TENSOR_H
#define WEIGHTMARK_TENSOR_H

#include <stdbool.h>
#include <weightmark/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WMK_RANK_MAX 8

/* Element types. Values are read from F64 F32 F16 BF16 and the eight-bit floats by what the type says, from other types through a codec of the view; those without
 * one can be listed and sized. The numbers are stable. */
typedef enum wmk_dtype {
    WMK_DTYPE_NONE = 0,
    WMK_F64 = 1,
    WMK_F32 = 2,
    WMK_F16 = 3,
    WMK_BF16 = 4,
    WMK_F8_E5M2 = 5,
    WMK_F8_E4M3 = 6,
    WMK_I64 = 7,
    WMK_I32 = 8,
    WMK_I16 = 9,
    WMK_I8 = 10,
    WMK_U64 = 11,
    WMK_U32 = 12,
    WMK_U16 = 13,
    WMK_U8 = 14,
    WMK_BOOL = 15,
    WMK_F8_E8M0 = 16, /* sub-byte and scale types below are sized by wmk_dtype_bits */
    WMK_F4 = 17,
    WMK_F6_E2M3 = 18,
    WMK_F6_E3M2 = 19,
    WMK_C64 = 20,
    WMK_F8_E4M3FNUZ = 21, /* no infinity, no negative zero */
    WMK_F8_E5M2FNUZ = 22,
    WMK_I4 = 23, /* two elements a byte */
    WMK_U4 = 24,
    WMK_I2 = 25, /* four elements a byte */
    WMK_U2 = 26,
    WMK_C128 = 27,
    WMK_Q4_0 = 32, /* GGUF's blocks of 32 to 256 elements that share scales */
    WMK_Q4_1 = 33,
    WMK_Q5_0 = 34,
    WMK_Q5_1 = 35,
    WMK_Q8_0 = 36,
    WMK_Q2_K = 37,
    WMK_Q3_K = 38,
    WMK_Q4_K = 39,
    WMK_Q5_K = 40,
    WMK_Q6_K = 41,
    WMK_IQ4_NL = 42,
    WMK_IQ4_XS = 43,
    WMK_MXFP4 = 44,
    WMK_IQ1_S = 45, /* from here on listed and sized, not read */
    WMK_IQ1_M = 46,
    WMK_IQ2_XXS = 47,
    WMK_IQ2_XS = 48,
    WMK_IQ2_S = 49,
    WMK_IQ3_XXS = 50,
    WMK_IQ3_S = 51,
    WMK_TQ1_0 = 52,
    WMK_TQ2_0 = 53,
    WMK_NVFP4 = 54,
    WMK_Q1_0 = 55,
    WMK_Q8_K = 56
} wmk_dtype;

/* Size of one element in bits; 0 for a block type and for a value that is no dtype. */
WMK_EXPORT uint32_t wmk_dtype_bits(wmk_dtype dtype);
/* Elements that are stored together, and the bytes of such a block: 1 and 4 for F32, 2 and 1 for F4, 32 and 18 for Q4_0. False for a value that is no dtype. */
WMK_EXPORT bool wmk_dtype_block(wmk_dtype dtype, uint32_t *elements, uint32_t *bytes);
/* "f32", "bf16", ...; "none" for a value that is no dtype. */
WMK_EXPORT const char *wmk_dtype_name(wmk_dtype dtype);
/* True for F64, F32, F16, BF16: the types whose values are read and written without a codec. */
WMK_EXPORT bool wmk_dtype_is_float(wmk_dtype dtype);

/* Which axis of a weight tensor is what, one letter an axis, outermost first: O the filters (output units), exactly once;
 * I the input channels, at most once; D, H, W the window's axes, each at most once. "OIHW" is ONNX's and PyTorch's convolution,
 * "HWIO" TensorFlow's, "OI" PyTorch's Linear, "IO" Keras' Dense. The empty string: no layout known.
 * The canonical order of weights is (D, H, W, I) for the mean over filters and (D, H, W, I, O) for single weights,
 * whatever the layout (paper section 2.2; docs/spec.md). */
typedef char wmk_layout[WMK_RANK_MAX + 1];

/* True when `layout` has `rank` letters and obeys the rule above. */
WMK_EXPORT bool wmk_layout_is_valid(const char *layout, uint32_t rank);

typedef struct wmk_tensor_view wmk_tensor_view;

/* How to read a tensor that is no plain run of float elements: quantised, strided, permuted. Both are called from any thread, and may touch nothing outside of the view's data. */
typedef struct wmk_codec {
    const char *name; /* for people: "scaled int8" */
    /* values [count] = elements [element, element + count) in row-major order over the view's shape; in range. */
    void (*read)(const wmk_tensor_view *view, uint64_t element, size_t count, double *values);
    /* The way back, rounded to the nearest that can be stored, into `data`, which is laid out as view->data and holds its elements. NULL: such a tensor is only read. */
    void (*write)(const wmk_tensor_view *view, void *data, uint64_t element, size_t count, const double *values);
    uint32_t granule; /* write: `element` and `count` are multiples of this; 1 or more */
} wmk_codec;

/* Borrowed bytes of one tensor: without a codec row-major over `shape`, little-endian, no alignment promised. */
struct wmk_tensor_view {
    const char *name; /* borrowed; may be NULL where a name has no use */
    wmk_dtype dtype;
    uint32_t rank;
    uint64_t shape[WMK_RANK_MAX]; /* [rank] elements an axis, outermost first */
    wmk_layout layout;
    const void *data;          /* borrowed; NULL: the tensor is missing */
    const wmk_codec *codec;    /* borrowed; NULL: dtype and shape say all */
    const void *codec_context; /* borrowed, for the codec */
    uint64_t data_bytes;       /* at data; 0: what dtype and shape give */
};

/* Whether values can be read (a float type of 8 to 64 bits, or a codec), and whether they can be written back. */
WMK_EXPORT bool wmk_tensor_is_readable(const wmk_tensor_view *view);
WMK_EXPORT bool wmk_tensor_is_writable(const wmk_tensor_view *view);

/* values [product of shape] = the elements as double (exact). UNSUPPORTED: not readable; ARGUMENT: no data, more than
 * WMK_RANK_MAX axes, a product beyond memory. */
WMK_EXPORT wmk_status wmk_tensor_values(const wmk_tensor_view *view, double *values);

#ifdef __cplusplus
}
#endif
#endif
