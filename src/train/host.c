/* train/host.c - hosts by name: the table, and what every host has around its layers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "train/host.h"
#include "train/layers.h"

static const wmk_host_row *const rows[] = {&wmk_host_wrn, &wmk_host_wrn_ref, &wmk_host_mlp, NULL};

#define CLASSES_MAX 65536

/* "10-4" into 10 and 4: exactly `count` decimal numbers of at most 5 digits. */
static bool parse_numbers(const char *text, uint32_t *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i && *text++ != '-') return false;
        const char *begin = text;
        numbers[i] = 0;
        while (*text >= '0' && *text <= '9' && text - begin < 5) numbers[i] = numbers[i] * 10 + (uint32_t)(*text++ - '0');
        if (text == begin) return false;
    }
    return *text == '\0';
}

static const wmk_host_row *find_row(const char *name, uint32_t *numbers)
{
    for (size_t i = 0; rows[i]; i++) {
        size_t length = strlen(rows[i]->prefix);
        if (!strncmp(name, rows[i]->prefix, length) && parse_numbers(name + length, numbers, rows[i]->numbers)) return rows[i];
    }
    return NULL;
}

static wmk_status no_such_host(const char *name)
{
    wmk_buffer list = {0};
    wmk_status status = WMK_OK;
    for (size_t i = 0; rows[i] && status == WMK_OK; i++) status = wmk_buffer_printf(&list, "%s%s", i ? ", " : "", rows[i]->usage);
    if (status == WMK_OK)
        status = wmk_fail(WMK_ERROR_MISSING, "host \"%s\" is not known; there are %.*s", name, (int)list.size, (const char *)list.data);
    wmk_buffer_free(&list);
    return status;
}

wmk_status wmk_host_build(wmk_host *out, const char *name, uint32_t classes)
{
    uint32_t numbers[WMK_HOST_NUMBERS_MAX] = {0};
    const wmk_host_row *row = find_row(name, numbers);
    if (!row) return no_such_host(name);
    if (classes < 2 || classes > CLASSES_MAX) return wmk_fail(WMK_ERROR_ARGUMENT, "host %s: %u classes are not 2 to %d", name, classes, CLASSES_MAX);
    wmk_host host = {.classes = classes};
    const int64_t image_dims[4] = {0, WMK_IMAGE_CHANNELS, WMK_IMAGE_SIZE, WMK_IMAGE_SIZE}, target_dims[2] = {0, classes};
    wmk_status status;
    WMK_TRY_GOTO(status, wmk_graph_create(&host.graph), failed);
    WMK_TRY_GOTO(status, wmk_graph_input(host.graph, "images", WMK_F32, 4, image_dims, &host.images), failed);
    WMK_TRY_GOTO(status, wmk_graph_input(host.graph, "labels", WMK_I32, 1, target_dims, &host.labels), failed);
    WMK_TRY_GOTO(status, wmk_graph_input(host.graph, "targets", WMK_F32, 2, target_dims, &host.targets), failed);
    WMK_TRY_GOTO(status, row->build(host.graph, host.images, numbers, classes, &host.logits), failed);
    wmk_layers losses = {.graph = host.graph};
    host.loss = wmk_layer_pair(&losses, "SoftmaxCrossEntropyLoss", "loss", host.logits, host.labels);
    host.soft_loss = wmk_layer_pair(&losses, "SoftTargetCrossEntropy", "soft_loss", host.logits, host.targets);
    WMK_TRY_GOTO(status, losses.status, failed);
    *out = host;
    return WMK_OK;
failed:
    wmk_graph_free(host.graph);
    return status;
}

wmk_status wmk_host_create(wmk_host *out, const char *name, uint32_t classes, uint64_t seed)
{
    WMK_TRY(wmk_host_build(out, name, classes));
    const wmk_parameter *p;
    for (size_t i = 0; (p = wmk_graph_parameter_at(out->graph, i)); i++) wmk_initial_draw(out->graph, p, seed);
    return WMK_OK;
}

void wmk_host_free(wmk_host *host)
{
    wmk_graph_free(host->graph);
    *host = (wmk_host){0};
}

wmk_tensor_view wmk_parameter_view(const wmk_parameter *p)
{
    wmk_tensor_view view = {.name = p->name, .dtype = WMK_F32, .rank = p->rank, .data = p->data};
    for (uint32_t i = 0; i < p->rank; i++) view.shape[i] = (uint64_t)p->dims[i];
    if (p->rank == 4 || p->rank == 2) snprintf(view.layout, sizeof view.layout, "%s", p->rank == 4 ? "OIHW" : "OI");
    return view;
}

static wmk_status add_target(wmk_targets *out, const wmk_parameter *p)
{
    char *name;
    WMK_TRY(wmk_strdup(&name, p->name));
    wmk_tensor_view view = wmk_parameter_view(p);
    wmk_target *target = &out->target[out->count++];
    *target = (wmk_target){.name = name, .rank = view.rank};
    memcpy(target->layout, view.layout, sizeof target->layout);
    memcpy(target->shape, view.shape, sizeof target->shape);
    return WMK_OK;
}

wmk_status wmk_host_targets(wmk_targets *out, const char *name)
{
    wmk_host host = {0};
    WMK_TRY(wmk_host_build(&host, name, 10)); /* the classes only size fc, which is a head that will change */
    wmk_targets targets = {0};
    wmk_status status = wmk_alloc(&targets.target, wmk_graph_parameter_count(host.graph), sizeof *targets.target);
    const wmk_parameter *p;
    for (size_t i = 0; status == WMK_OK && (p = wmk_graph_parameter_at(host.graph, i)); i++)
        if (p->rank >= 2) status = add_target(&targets, p);
    wmk_host_free(&host);
    if (status != WMK_OK) {
        wmk_targets_free(&targets);
        return status;
    }
    *out = targets;
    return WMK_OK;
}
