/* model/format/keras.h - what Keras' layers say about their weights: layouts and names. */
#ifndef WMK_MODEL_FORMAT_KERAS_H
#define WMK_MODEL_FORMAT_KERAS_H

#include "model/model.h"

typedef struct wmk_keras_layer {
    const char *name, *class_name;
} wmk_keras_layer;

/* The layers a model's JSON names, sorted by name. */
typedef struct wmk_keras_layers {
    wmk_keras_layer *layer; /* [count] */
    size_t count, capacity;
    char *text; /* names live here */
} wmk_keras_layers;
/* From {"class_name": C, "config": {"name": N, ...}}, wherever it stands in the document. INPUT: no JSON. The caller frees. */
wmk_status wmk_keras_layers_read(wmk_keras_layers *out, const unsigned char *json, size_t size);
void wmk_keras_layers_free(wmk_keras_layers *layers);

/* Sets the layout of a weight by its path ("layers/conv2d/vars/0", "model_weights/conv2d/conv2d/kernel:0"), and the shape where axes belong together: a depthwise kernel
 * [h, w, C, m] becomes [h, w, C * m, 1], an attention's [d, heads, k] becomes [d, heads * k]: the same bytes, as other formats have them.
 * layer: the name that Keras wrote beside a "vars" group, or NULL. *alias: another name, freed by the caller; NULL: none. */
wmk_status wmk_keras_layout(wmk_model_tensor *tensor, const char *path, const char *layer, const wmk_keras_layers *layers, char **alias);

#endif
