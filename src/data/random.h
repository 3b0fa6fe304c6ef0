/* data/random.h - random numbers that are addressed, not drawn: value `counter` of stream (seed, purpose, index) is a pure function of the four,
 * so any batch, epoch or parameter can be made alone, in any order, on any thread. Not for secrets. */
#ifndef WMK_DATA_RANDOM_H
#define WMK_DATA_RANDOM_H

#include <stdint.h>

typedef struct wmk_stream {
    uint64_t key, counter; /* counter: the next value's number */
} wmk_stream;

/* Purposes keep streams of one seed apart. */
enum { WMK_STREAM_SHUFFLE = 1, WMK_STREAM_AUGMENT = 2, WMK_STREAM_INITIAL = 3 };

/* The output function of splitmix64 (Steele, Lea, Flood 2014): a bijection of 64 bits. */
static inline uint64_t wmk_mix64(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

#define WMK_GOLDEN_GAMMA UINT64_C(0x9e3779b97f4a7c15)

static inline wmk_stream wmk_stream_at(uint64_t seed, uint64_t purpose, uint64_t index)
{
    uint64_t key = wmk_mix64(seed + WMK_GOLDEN_GAMMA);
    key = wmk_mix64(key + purpose * WMK_GOLDEN_GAMMA);
    return (wmk_stream){wmk_mix64(key + index * WMK_GOLDEN_GAMMA), 0};
}

/* 64 uniform bits: splitmix64's sequence from state `key`. */
static inline uint64_t wmk_stream_bits(wmk_stream *stream) { return wmk_mix64(stream->key + ++stream->counter * WMK_GOLDEN_GAMMA); }

/* Uniform in [0, 1), 53 bits. */
static inline double wmk_stream_uniform(wmk_stream *stream) { return (double)(wmk_stream_bits(stream) >> 11) * 0x1p-53; }

/* Uniform in [0, bound), bound > 0, by multiplication (Lemire 2019); its bias, under bound / 2^64, is left in. */
static inline uint64_t wmk_stream_below(wmk_stream *stream, uint64_t bound)
{
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)(((wide)wmk_stream_bits(stream) * bound) >> 64);
}

#endif
