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

/* `count` elements at `src` (float dtype, any alignment, little-endian) to float (F64 rounds) or double (exact).
 * The float form uses F16C/AVX2 where the processor has them; results are the same bit for bit. */
void wmk_read_f32(float *dst, const void *src, wmk_dtype dtype, size_t count);
void wmk_read_f64(double *dst, const void *src, wmk_dtype dtype, size_t count);
/* The way back, rounded to nearest even. */
void wmk_write_f64(void *dst, wmk_dtype dtype, const double *src, size_t count);

#pragma GCC visibility pop

#endif
