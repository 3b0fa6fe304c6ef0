/* base/convert.h - element types to and from float and double. */
#ifndef WMK_BASE_CONVERT_H
#define WMK_BASE_CONVERT_H

#include <weightmark/tensor.h>

/* Not for users, but the training library calls these in the core one. */
#pragma GCC visibility push(default)

/* IEEE 754 binary16 and bfloat16, round to nearest, ties to even; NaN stays NaN, overflow becomes infinity. */
float wmk_f16_to_f32(uint16_t half);
uint16_t wmk_f32_to_f16(float value);
float wmk_bf16_to_f32(uint16_t value);
uint16_t wmk_f32_to_bf16(float value);
/* Rounded once from double (not through float). */
uint16_t wmk_f64_to_f16(double value);
uint16_t wmk_f64_to_bf16(double value);

/* The eight-bit floats: F8_E5M2 F8_E4M3 and their FNUZ kinds (Micikevicius et al. 2022, arXiv 2209.05433; Noune et al. 2022, arXiv 2206.02915); 0 for another dtype. */
float wmk_f8_to_f32(uint8_t bits, wmk_dtype dtype);

/* `count` elements at `src` (float dtype or eight-bit float, any alignment, little-endian) to float (F64 rounds) or double (exact).
 * The float form uses F16C/AVX2 where the processor has them; results are the same bit for bit. */
void wmk_read_f32(float *dst, const void *src, wmk_dtype dtype, size_t count);
void wmk_read_f64(double *dst, const void *src, wmk_dtype dtype, size_t count);
/* The way back, rounded to nearest even. */
void wmk_write_f64(void *dst, wmk_dtype dtype, const double *src, size_t count);

/* Elements of a view, through its codec if it has one. The view must be readable, or writable; ranges as wmk_codec says. */
void wmk_tensor_read(const wmk_tensor_view *view, uint64_t element, size_t count, double *values);
void wmk_tensor_write(const wmk_tensor_view *view, void *data, uint64_t element, size_t count, const double *values);

#pragma GCC visibility pop

#endif
