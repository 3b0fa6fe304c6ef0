/* tests/secret/scene.h - the model and the keys that the worker uses and the examiner knows. */
#ifndef WMK_TESTS_SECRET_SCENE_H
#define WMK_TESTS_SECRET_SCENE_H

#include <weightmark/mark.h>

/* The tensors of the model. Those of FLOATS are also trained. */
static const struct scene_tensor {
    const char *name;
    wmk_dtype dtype;
    const char *layout;
    uint32_t rank;
    uint64_t shape[4];
} scene_tensors[] = {
    {"conv.weight", WMK_F32, "OIHW", 4, {128, 128, 3, 3}},
    {"head.weight", WMK_F32, "IO", 2, {256, 256}},
    {"linear.weight", WMK_BF16, "OI", 2, {512, 512}},
};
enum { SCENE_TENSORS = 3, SCENE_FLOATS = 2 };

/* The keys, each in a file of its name. `first` and `count`: the tensors that it marks. */
static const struct scene_key {
    const char *name;
    wmk_scheme scheme;
    wmk_carrier carrier;
    uint32_t bits;
    bool ones, sealed;
    size_t first, count;
} scene_keys[] = {
    {"partition", WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 256, false, false, 0, 3},
    {"trained", WMK_SCHEME_PARTITION, WMK_CARRIER_WEIGHTS, 128, false, true, 0, 2},
    {"mean", WMK_SCHEME_PARTITION, WMK_CARRIER_MEAN, 16, false, false, 0, 1},
    {"random", WMK_SCHEME_RANDOM, WMK_CARRIER_MEAN, 64, false, false, 0, 1},
    /* X would be 77 million elements, more than a regularizer keeps: it is made anew in every step. */
    {"large", WMK_SCHEME_RANDOM, WMK_CARRIER_WEIGHTS, 576, false, false, 0, 1},
    {"direct", WMK_SCHEME_DIRECT, WMK_CARRIER_MEAN, 64, false, false, 0, 1},
    {"diff", WMK_SCHEME_DIFF, WMK_CARRIER_WEIGHTS, 256, false, true, 1, 1},
    {"ones", WMK_SCHEME_DIRECT, WMK_CARRIER_MEAN, 64, true, false, 0, 1},
};
enum { SCENE_KEYS = sizeof scene_keys / sizeof scene_keys[0] };

#define SCENE_MODEL "model.safetensors"
#define SCENE_PASSPHRASE "passphrase"
#define SCENE_LEAK "leak"
enum { SCENE_PASSPHRASE_BYTES = 64 };

static inline uint64_t scene_elements(size_t t)
{
    uint64_t elements = 1;
    for (uint32_t axis = 0; axis < scene_tensors[t].rank; axis++) elements *= scene_tensors[t].shape[axis];
    return elements;
}

#endif
