/* train/host.h - a host network is one row: a name with numbers in it, and a function that builds its layers. docs/add-a-host.md shows the way in. */
#ifndef WMK_TRAIN_HOST_H
#define WMK_TRAIN_HOST_H

#include <weightmark/train.h>
#include "base/status.h"

#define WMK_HOST_NUMBERS_MAX 2

typedef struct wmk_host_row {
    const char *prefix; /* a host's name is the prefix and `numbers` decimal numbers with '-' between: "wrn-" "10-4" */
    size_t numbers;
    const char *usage; /* "wrn-D-k (...)" for messages and help */
    /* Adds the layers from images to logits. ARGUMENT: a number out of range. */
    wmk_status (*build)(wmk_graph *graph, wmk_value images, const uint32_t *numbers, uint32_t classes, wmk_value *logits);
} wmk_host_row;

extern const wmk_host_row wmk_host_wrn, wmk_host_wrn_ref, wmk_host_mlp;

/* The network alone, parameters zero, its loss nodes in place. */
wmk_status wmk_host_build(wmk_host *out, const char *name, uint32_t classes);
/* Draws a parameter's first value (initial.c). */
void wmk_initial_draw(const wmk_graph *graph, const wmk_parameter *parameter, uint64_t seed);
/* Copies values of `model` into the parameter of the same name; shape and finiteness are checked. */
wmk_status wmk_parameter_read(const wmk_parameter *parameter, const wmk_model *model, const char *name, float *data);
/* The parameter as a tensor; layout "OIHW" or "OI" where it has filters. */
wmk_tensor_view wmk_parameter_view(const wmk_parameter *parameter);

#endif
