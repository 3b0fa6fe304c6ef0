/* pointwise.c - see pointwise.h. Each thread takes one contiguous piece, so results do not depend on the number of threads. */
#include "nn/pointwise.h"
#include "nn/vector.h"

#define PIECE ((size_t)16384) /* elements; small enough to share out well, large enough to hide the loop's start */

#define LOOP(p, kernel, ...)                                                                                                                         \
    do {                                                                                                                                             \
        const long pieces = (long)(((p)->count + PIECE - 1) / PIECE);                                                                                \
        _Pragma("omp parallel for schedule(static) if (pieces > 2)") for (long i = 0; i < pieces; i++)                                               \
        {                                                                                                                                            \
            const size_t begin = (size_t)i * PIECE, count = (p)->count - begin < PIECE ? (p)->count - begin : PIECE;                                 \
            kernel(begin, count, __VA_ARGS__);                                                                                                       \
        }                                                                                                                                            \
    } while (0)

WMK_CLONES static void add_f32(size_t begin, size_t count, float *dst, const float *a, const float *b)
{
    for (size_t i = begin; i < begin + count; i++) dst[i] = a[i] + b[i];
}
WMK_CLONES static void add_bf16(size_t begin, size_t count, uint16_t *dst, const uint16_t *a, const uint16_t *b)
{
    for (size_t i = begin; i < begin + count; i++) dst[i] = wmk_round_bf16(wmk_load_bf16(a[i]) + wmk_load_bf16(b[i]));
}
void wmk_pointwise_add(const wmk_pointwise *p, void *dst, const void *a, const void *b)
{
    if (p->bf16)
        LOOP(p, add_bf16, dst, a, b);
    else
        LOOP(p, add_f32, dst, a, b);
}

WMK_CLONES static void relu_f32(size_t begin, size_t count, float *dst, const float *src)
{
    for (size_t i = begin; i < begin + count; i++) dst[i] = src[i] < 0 ? 0 : src[i];
}
WMK_CLONES static void relu_bf16(size_t begin, size_t count, uint16_t *dst, const uint16_t *src)
{
    for (size_t i = begin; i < begin + count; i++) dst[i] = src[i] & 0x8000 ? 0 : src[i];
}
void wmk_pointwise_relu(const wmk_pointwise *p, void *dst, const void *src)
{
    if (p->bf16)
        LOOP(p, relu_bf16, dst, src);
    else
        LOOP(p, relu_f32, dst, src);
}

WMK_CLONES static void relu_backward_f32(size_t begin, size_t count, float *diff_src, const float *diff_dst, const float *dst)
{
    for (size_t i = begin; i < begin + count; i++) diff_src[i] = dst[i] > 0 ? diff_dst[i] : 0;
}
WMK_CLONES static void relu_backward_bf16(size_t begin, size_t count, uint16_t *diff_src, const uint16_t *diff_dst, const uint16_t *dst)
{
    for (size_t i = begin; i < begin + count; i++) diff_src[i] = dst[i] & 0x7fff && !(dst[i] & 0x8000) ? diff_dst[i] : 0;
}
void wmk_pointwise_relu_backward(const wmk_pointwise *p, void *diff_src, const void *diff_dst, const void *dst)
{
    if (p->bf16)
        LOOP(p, relu_backward_bf16, diff_src, diff_dst, dst);
    else
        LOOP(p, relu_backward_f32, diff_src, diff_dst, dst);
}
