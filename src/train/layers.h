/* train/layers.h - layers for hosts: nodes with their parameters, named as a PyTorch module names them. A failure stays in `status`, makes the
 * calls that follow do nothing, and is looked at once at the end. */
#ifndef WMK_TRAIN_LAYERS_H
#define WMK_TRAIN_LAYERS_H

#include <weightmark/nn.h>
#include "base/status.h"

typedef struct wmk_layers {
    wmk_graph *graph;
    wmk_status status;
    char scope[64]; /* put before every name: "conv2.0." */
} wmk_layers;

/* Square kernel, "same" padding kernel / 2. <name>.weight [oc][ic][kernel][kernel], <name>.bias [oc]. */
wmk_value wmk_layer_conv(wmk_layers *layers, const char *name, wmk_value src, uint32_t ic, uint32_t oc, uint32_t kernel, uint32_t stride, bool bias);
/* <name>.weight, .bias, .running_mean, .running_var [channels]; epsilon 1e-5, statistics move by a tenth a step, as PyTorch's. */
wmk_value wmk_layer_norm(wmk_layers *layers, const char *name, wmk_value src, uint32_t channels);
wmk_value wmk_layer_relu(wmk_layers *layers, const char *name, wmk_value src);
wmk_value wmk_layer_add(wmk_layers *layers, const char *name, wmk_value a, wmk_value b);
wmk_value wmk_layer_max_pool(wmk_layers *layers, const char *name, wmk_value src); /* 2x2, stride 2 */
wmk_value wmk_layer_average(wmk_layers *layers, const char *name, wmk_value src);  /* over the whole image; [batch][channels] */
wmk_value wmk_layer_flatten(wmk_layers *layers, const char *name, wmk_value src);
/* <name>.weight [out][in], <name>.bias [out]. */
wmk_value wmk_layer_linear(wmk_layers *layers, const char *name, wmk_value src, uint32_t in, uint32_t out);
/* A node with two inputs and no attributes. */
wmk_value wmk_layer_pair(wmk_layers *layers, const char *op, const char *name, wmk_value a, wmk_value b);

#endif
