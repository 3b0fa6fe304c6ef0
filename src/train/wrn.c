/* train/wrn.c - wide residual networks: the WRN paper's form (Zagoruyko, Komodakis 2016: BN-ReLU-convolution, strided convolutions), and the form of the
 * watermark paper's code (convolution-BN-ReLU, sum after the ReLU, max pooling between groups, biases). D = 6 N + 4 layers, widened k times. */
#include <stdio.h>

#include "train/host.h"
#include "train/layers.h"

#define FIRST_CHANNELS 16
#define GROUPS 3

static wmk_status check_numbers(const uint32_t *numbers, uint32_t *n, uint32_t *k)
{
    if (numbers[0] < 10 || numbers[0] > 1000 || (numbers[0] - 4) % 6)
        return wmk_fail(WMK_ERROR_ARGUMENT, "wide residual network: depth %u is not 6 N + 4 (10, 16, 22, 28, 34, 40, ... at most 1000)", numbers[0]);
    if (numbers[1] < 1 || numbers[1] > 64) return wmk_fail(WMK_ERROR_ARGUMENT, "wide residual network: width %u is not 1 to 64", numbers[1]);
    *n = (numbers[0] - 4) / 6;
    *k = numbers[1];
    return WMK_OK;
}

static void enter_block(wmk_layers *layers, int group, uint32_t block)
{
    snprintf(layers->scope, sizeof layers->scope, "conv%d.%u.", group + 2, block);
}

/* The shortcut's convolution starts from the normalised input, as in the WRN paper's code. */
static wmk_value block(wmk_layers *layers, wmk_value src, uint32_t ic, uint32_t oc, uint32_t stride)
{
    wmk_value head = wmk_layer_relu(layers, "relu1", wmk_layer_norm(layers, "bn1", src, ic));
    wmk_value dst = wmk_layer_conv(layers, "conv1", head, ic, oc, 3, stride, false);
    dst = wmk_layer_relu(layers, "relu2", wmk_layer_norm(layers, "bn2", dst, oc));
    dst = wmk_layer_conv(layers, "conv2", dst, oc, oc, 3, 1, false);
    wmk_value shortcut = ic == oc && stride == 1 ? src : wmk_layer_conv(layers, "shortcut", head, ic, oc, 1, stride, false);
    return wmk_layer_add(layers, "add", dst, shortcut);
}

static wmk_status build(wmk_graph *graph, wmk_value images, const uint32_t *numbers, uint32_t classes, wmk_value *logits)
{
    uint32_t n = 0, k = 0;
    WMK_TRY(check_numbers(numbers, &n, &k));
    wmk_layers layers = {.graph = graph};
    uint32_t channels = FIRST_CHANNELS;
    wmk_value value = wmk_layer_conv(&layers, "conv1", images, WMK_IMAGE_CHANNELS, channels, 3, 1, false);
    for (int group = 0; group < GROUPS; group++)
        for (uint32_t i = 0; i < n; i++) {
            uint32_t oc = (FIRST_CHANNELS * k) << group;
            enter_block(&layers, group, i);
            value = block(&layers, value, channels, oc, group > 0 && i == 0 ? 2 : 1);
            channels = oc;
        }
    layers.scope[0] = '\0';
    value = wmk_layer_relu(&layers, "relu", wmk_layer_norm(&layers, "bn", value, channels));
    *logits = wmk_layer_linear(&layers, "fc", wmk_layer_average(&layers, "pool", value), channels, classes);
    return layers.status;
}

static wmk_value block_ref(wmk_layers *layers, wmk_value src, uint32_t ic, uint32_t oc)
{
    wmk_value shortcut = ic == oc ? src : wmk_layer_conv(layers, "shortcut", src, ic, oc, 1, 1, true);
    wmk_value dst = wmk_layer_norm(layers, "bn1", wmk_layer_conv(layers, "conv1", src, ic, oc, 3, 1, true), oc);
    dst = wmk_layer_relu(layers, "relu1", dst);
    dst = wmk_layer_norm(layers, "bn2", wmk_layer_conv(layers, "conv2", dst, oc, oc, 3, 1, true), oc);
    dst = wmk_layer_relu(layers, "relu2", dst);
    return wmk_layer_add(layers, "add", shortcut, dst);
}

static wmk_status build_ref(wmk_graph *graph, wmk_value images, const uint32_t *numbers, uint32_t classes, wmk_value *logits)
{
    uint32_t n = 0, k = 0;
    WMK_TRY(check_numbers(numbers, &n, &k));
    wmk_layers layers = {.graph = graph};
    uint32_t channels = FIRST_CHANNELS;
    wmk_value value = wmk_layer_conv(&layers, "conv1", images, WMK_IMAGE_CHANNELS, channels, 3, 1, true);
    value = wmk_layer_relu(&layers, "relu1", wmk_layer_norm(&layers, "bn1", value, channels));
    for (int group = 0; group < GROUPS; group++) {
        if (group) {
            char name[16];
            layers.scope[0] = '\0';
            snprintf(name, sizeof name, "pool%d", group);
            value = wmk_layer_max_pool(&layers, name, value);
        }
        for (uint32_t i = 0; i < n; i++) {
            uint32_t oc = (FIRST_CHANNELS * k) << group;
            enter_block(&layers, group, i);
            value = block_ref(&layers, value, channels, oc);
            channels = oc;
        }
    }
    layers.scope[0] = '\0';
    *logits = wmk_layer_linear(&layers, "fc", wmk_layer_average(&layers, "pool", value), channels, classes);
    return layers.status;
}

const wmk_host_row wmk_host_wrn = {"wrn-", 2, "wrn-D-k (wide residual network, D = 6 N + 4; the paper's is wrn-10-4)", build};
const wmk_host_row wmk_host_wrn_ref = {"wrn-ref-", 2, "wrn-ref-D-k (the same in the form of the watermark paper's code)", build_ref};
