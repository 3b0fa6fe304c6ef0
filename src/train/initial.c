/* train/initial.c - first values. Each parameter has a stream of random numbers of its own, found by its name, so that its values do not
 * depend on the layers around it.
 *   convolution           normal, mean 0, variance 2 / fan-out (He et al. 2015, as the WRN paper's code: fan-out = filters x window)
 *   linear weight, bias   uniform in +-1 / sqrt(inputs), as PyTorch's Linear
 *   normalisation         weight 1, bias 0, mean 0, variance 1; biases of convolutions 0 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/random.h"
#include "train/host.h"

/* FNV-1a, 64 bits. */
static uint64_t hash_name(const char *name)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *name; name++) hash = (hash ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return hash;
}

/* Box-Muller, two at a time. */
static void draw_normal(wmk_stream stream, double deviation, float *data, size_t count)
{
    for (size_t i = 0; i < count; i += 2) {
        double r = sqrt(-2 * log(1 - wmk_stream_uniform(&stream))) * deviation, angle = 2 * 3.14159265358979323846 * wmk_stream_uniform(&stream);
        data[i] = (float)(r * cos(angle));
        if (i + 1 < count) data[i + 1] = (float)(r * sin(angle));
    }
}

static void draw_uniform(wmk_stream stream, double bound, float *data, size_t count)
{
    for (size_t i = 0; i < count; i++) data[i] = (float)((2 * wmk_stream_uniform(&stream) - 1) * bound);
}

static void set_all(float *data, size_t count, float value)
{
    for (size_t i = 0; i < count; i++) data[i] = value;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

/* Inputs of the linear layer that a bias belongs to; 0: it is not a linear layer's. */
static int64_t inputs_of_bias(const wmk_graph *graph, const char *bias)
{
    char name[256];
    snprintf(name, sizeof name, "%.*s.weight", (int)(strlen(bias) - strlen(".bias")), bias);
    const wmk_parameter *weight = wmk_graph_find_parameter(graph, name);
    return weight && weight->rank == 2 ? weight->dims[1] : 0;
}

void wmk_initial_draw(const wmk_graph *graph, const wmk_parameter *p, uint64_t seed)
{
    wmk_stream stream = wmk_stream_at(seed, WMK_STREAM_INITIAL, hash_name(p->name));
    const int64_t *d = p->dims;
    int64_t inputs = p->rank == 2 ? d[1] : ends_with(p->name, ".bias") ? inputs_of_bias(graph, p->name) : 0;
    if (p->rank == 4)
        draw_normal(stream, sqrt(2.0 / (double)(d[0] * d[2] * d[3])), p->data, p->count);
    else if (inputs)
        draw_uniform(stream, 1 / sqrt((double)inputs), p->data, p->count);
    else
        set_all(p->data, p->count, ends_with(p->name, ".weight") || ends_with(p->name, ".running_var") ? 1 : 0);
}
