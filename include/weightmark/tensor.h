/* weightmark/tensor.h - a tensor as plain bytes with a name, a type, a shape and a layout. */
#ifndef WEIGHTMARK_TENSOR_H
#define WEIGHTMARK_TENSOR_H

#include <stdbool.h>
#include <weightmark/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WMK_RANK_MAX 8

/* Element types. Values can be read from the float types (F64 F32 F16 BF16); the others can be listed and sized. The numbers
 * are stable. */
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
    WMK_F8_E5M2FNUZ = 22
} wmk_dtype;

/* Size of one element in bits; 0 for a value that is no dtype. */
WMK_EXPORT uint32_t wmk_dtype_bits(wmk_dtype dtype);
/* "f32", "bf16", ...; "none" for a value that is no dtype. */
WMK_EXPORT const char *wmk_dtype_name(wmk_dtype dtype);
/* True for F64, F32, F16, BF16: the types whose values weightmark reads and writes. */
WMK_EXPORT bool wmk_dtype_is_float(wmk_dtype dtype);

/* Which axis of a weight tensor is what, one letter an axis, outermost first: O the filters (output units), exactly once;
 * I the input channels, at most once; D, H, W the window's axes, each at most once. "OIHW" is ONNX's and PyTorch's convolution,
 * "HWIO" TensorFlow's, "OI" PyTorch's Linear, "IO" Keras' Dense. The empty string: no layout known.
 * The canonical order of weights is (D, H, W, I) for the mean over filters and (D, H, W, I, O) for single weights,
 * whatever the layout (paper section 2.2; docs/spec.md). */
typedef char wmk_layout[WMK_RANK_MAX + 1];

/* True when `layout` has `rank` letters and obeys the rule above. */
WMK_EXPORT bool wmk_layout_is_valid(const char *layout, uint32_t rank);

/* Borrowed bytes of one tensor: row-major over `shape`, little-endian, no alignment promised. */
typedef struct wmk_tensor_view {
    const char *name; /* borrowed; may be NULL where a name has no use */
    wmk_dtype dtype;
    uint32_t rank;
    uint64_t shape[WMK_RANK_MAX]; /* [rank] elements an axis, outermost first */
    wmk_layout layout;
    const void *data; /* borrowed; NULL: the tensor is missing */
} wmk_tensor_view;

/* values [product of shape] = the elements as double (exact). UNSUPPORTED: a dtype that is no float; ARGUMENT: no data, more than
 * WMK_RANK_MAX axes, a product beyond memory. */
WMK_EXPORT wmk_status wmk_tensor_values(const wmk_tensor_view *view, double *values);

#ifdef __cplusplus
}
#endif
#endif
