/* train/mlp.c - fully connected layers with ReLU between: fc1 ... fcD of W units, then fc. */
#include <stdio.h>

#include "train/host.h"
#include "train/layers.h"

static wmk_status build(wmk_graph *graph, wmk_value images, const uint32_t *numbers, uint32_t classes, wmk_value *logits)
{
    const uint32_t depth = numbers[0], width = numbers[1];
    if (depth < 1 || depth > 64) return wmk_fail(WMK_ERROR_ARGUMENT, "mlp: %u hidden layers are not 1 to 64", depth);
    if (width < 1 || width > 16384) return wmk_fail(WMK_ERROR_ARGUMENT, "mlp: a width of %u is not 1 to 16384", width);
    wmk_layers layers = {.graph = graph};
    uint32_t in = WMK_IMAGE_ELEMENTS;
    wmk_value value = wmk_layer_flatten(&layers, "flatten", images);
    for (uint32_t i = 1; i <= depth; i++) {
        char name[16], relu[16];
        snprintf(name, sizeof name, "fc%u", i);
        snprintf(relu, sizeof relu, "relu%u", i);
        value = wmk_layer_relu(&layers, relu, wmk_layer_linear(&layers, name, value, in, width));
        in = width;
    }
    *logits = wmk_layer_linear(&layers, "fc", value, in, classes);
    return layers.status;
}

const wmk_host_row wmk_host_mlp = {"mlp-", 2, "mlp-D-W (D hidden layers of W units)", build};
