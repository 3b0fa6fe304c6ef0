#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dump.h"

void must(wmk_status status, const char *call)
{
    if (status == WMK_OK) return;
    fprintf(stderr, "%s: %s: %s\n", call, wmk_status_name(status), wmk_error_message());
    exit(1);
}

void *take(size_t count, size_t size)
{
    void *block = calloc(count ? count : 1, size);
    if (!block) {
        fprintf(stderr, "no memory for %zu x %zu bytes\n", count, size);
        exit(1);
    }
    return block;
}

static char *text_copy(const char *first, const char *second)
{
    char *copy = take(strlen(first) + strlen(second) + 1, 1);
    return strcat(strcpy(copy, first), second);
}

static void *grow(void *array, size_t count, size_t size)
{
    void *larger = realloc(array, (count + 1) * size);
    if (!larger) exit(1);
    return larger;
}

void dump_add(dump *d, const char *prefix, const char *name, wmk_dtype dtype, uint32_t rank, const int64_t *dims, const void *data)
{
    wmk_tensor_view view = {.name = text_copy(prefix, name), .dtype = dtype, .rank = rank};
    size_t bytes = wmk_dtype_bits(dtype) / 8;
    for (uint32_t i = 0; i < rank; i++) {
        view.shape[i] = (uint64_t)dims[i];
        bytes *= (size_t)dims[i];
    }
    view.data = memcpy(take(bytes, 1), data, bytes);
    d->tensors = grow(d->tensors, d->count, sizeof *d->tensors);
    d->tensors[d->count++] = view;
}

void dump_parameters(dump *d, const char *prefix, const wmk_graph *graph)
{
    for (size_t i = 0; i < wmk_graph_parameter_count(graph); i++) {
        const wmk_parameter *p = wmk_graph_parameter_at(graph, i);
        dump_add(d, prefix, p->name, WMK_F32, p->rank, p->dims, p->data);
    }
}

void dump_text(dump *d, const char *name, const char *format, ...)
{
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    d->metadata = grow(d->metadata, d->metadata_count, sizeof *d->metadata);
    d->metadata[d->metadata_count++] = (wmk_metadata){text_copy(name, ""), text_copy(text, "")};
}

void dump_write(dump *d, const char *path)
{
    MUST(wmk_model_write(path, d->tensors, d->count, d->metadata, d->metadata_count, true));
    for (size_t i = 0; i < d->count; i++) {
        free((void *)d->tensors[i].name);
        free((void *)d->tensors[i].data);
    }
    for (size_t i = 0; i < d->metadata_count; i++) {
        free((void *)d->metadata[i].name);
        free((void *)d->metadata[i].value);
    }
    free(d->tensors);
    free(d->metadata);
    *d = (dump){0};
}

void marking_create(marking *m, const char *kind, uint32_t bits, double lambda, const char *host_name, const wmk_host *host, wmk_plan *plan)
{
    *m = (marking){.kappa = 1, .lambda = lambda};
    if (!strcmp(kind, "none")) return;
    const char *selector = !strcmp(kind, "random") ? "conv2" : !strcmp(kind, "spread") ? "conv2,conv3,conv4" : "all";
    const bool balanced = !strcmp(kind, "balanced"), partition = balanced || !strcmp(kind, "partition");
    if (!partition && !strcmp(selector, "all")) {
        fprintf(stderr, "no such marking: %s\n", kind);
        exit(2);
    }
    wmk_targets all = {0}, chosen = {0};
    MUST(wmk_host_targets(&all, host_name));
    MUST(wmk_targets_select(&chosen, &all, selector));

    uint8_t seed[WMK_SEED_BYTES];
    for (size_t i = 0; i < sizeof seed; i++) seed[i] = (uint8_t)(i * 7 + 1);
    wmk_key_options options = WMK_KEY_OPTIONS_INIT;
    options.scheme = partition ? WMK_SCHEME_PARTITION : WMK_SCHEME_RANDOM;
    options.carrier = balanced ? WMK_CARRIER_BALANCED : partition ? WMK_CARRIER_WEIGHTS : WMK_CARRIER_MEAN;
    options.bits = bits;
    options.seed = seed;
    options.created = 1;
    options.targets = chosen.target;
    options.target_count = chosen.count;
    MUST(wmk_key_create(&m->key, &options));

    m->targets = chosen.count;
    m->weights = take(m->targets, sizeof *m->weights);
    m->gradients = take(m->targets, sizeof *m->gradients);
    for (size_t i = 0; i < m->targets; i++) {
        const wmk_target *target = wmk_key_target(m->key, i);
        const wmk_parameter *p = wmk_graph_find_parameter(host->graph, target->name);
        if (!p) exit(1);
        m->weights[i] = (wmk_tensor_view){.name = target->name, .dtype = WMK_F32, .rank = p->rank, .data = p->data};
        memcpy(m->weights[i].layout, target->layout, sizeof target->layout);
        for (uint32_t axis = 0; axis < p->rank; axis++) m->weights[i].shape[axis] = (uint64_t)p->dims[axis];
        m->gradients[i] = wmk_plan_gradient(plan, p->value);
    }
    /* Normalised carriers: y has deviation 1 without a mark; a kappa other than 1 shows whether it is applied. */
    if (wmk_key_carrier(m->key) != WMK_CARRIER_MEAN || m->targets > 1) m->kappa = 1.5;
    MUST(wmk_regularizer_create(&m->regularizer, m->key, m->weights, m->kappa));
    wmk_targets_free(&chosen);
    wmk_targets_free(&all);
}

void marking_free(marking *m)
{
    wmk_regularizer_free(m->regularizer);
    wmk_key_free(m->key);
    free(m->weights);
    free(m->gradients);
}

void dump_marking(dump *d, const marking *m)
{
    if (!m->key) return;
    const int64_t T = wmk_key_bit_count(m->key), M = (int64_t)wmk_key_m(m->key);
    uint8_t *b = take((size_t)T, 1);
    wmk_key_bits(m->key, b);
    dump_add(d, "", "b", WMK_U8, 1, &T, b);
    free(b);
    if (wmk_key_scheme(m->key) == WMK_SCHEME_PARTITION) {
        uint16_t *row = take((size_t)M, sizeof *row);
        int8_t *sign = take((size_t)M, 1);
        MUST(wmk_key_partition(m->key, 0, (size_t)M, row, sign));
        dump_add(d, "", "row", WMK_U16, 1, &M, row);
        dump_add(d, "", "sign", WMK_I8, 1, &M, sign);
        free(row);
        free(sign);
    } else {
        float *x = take((size_t)(T * M), sizeof *x);
        for (int64_t j = 0; j < T; j++) MUST(wmk_key_x(m->key, (uint32_t)j, 0, (size_t)M, x + j * M));
        dump_add(d, "", "X", WMK_F32, 2, (int64_t[]){T, M}, x);
        free(x);
    }
    char names[4096] = "";
    for (size_t i = 0; i < m->targets; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? "," : "", m->weights[i].name);
    }
    dump_text(d, "targets", "%s", names);
    dump_text(d, "kappa", "%.17g", m->kappa);
    dump_text(d, "lambda", "%.17g", m->lambda);
    dump_text(d, "carrier", "%s", wmk_carrier_name(wmk_key_carrier(m->key)));
}
