/* nn/vector.h - what our own hot loops share: a clone for each instruction set, and bfloat16 in a form the compiler vectorises. */
#ifndef WMK_NN_VECTOR_H
#define WMK_NN_VECTOR_H

#include <stdint.h>
#include <string.h>

/* One function compiled for several processors, chosen at load time. Sanitizers run before ifuncs may, so not under them. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define WMK_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define WMK_CLONES
#endif

static inline float wmk_float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t wmk_bits_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float wmk_load_bf16(uint16_t value) { return wmk_float_of_bits((uint32_t)value << 16); }

/* To nearest, ties to even; NaN becomes a quiet NaN. */
static inline uint16_t wmk_round_bf16(float value)
{
    const uint32_t bits = wmk_bits_of_float(value);
    const uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? (bits >> 16 | 0x40) : rounded);
}

#endif
