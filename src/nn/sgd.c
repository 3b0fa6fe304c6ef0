/* sgd.c - stochastic gradient descent with momentum, in one pass over each parameter. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "nn/graph.h"
#include "nn/vector.h"

typedef struct slot {
    float *data, *velocity;
    const float *gradient;
    size_t count;
    wmk_value value;
} slot;

struct wmk_sgd {
    slot *slots; /* trained parameters in the graph's order */
    size_t slot_count;
    float *velocities; /* all of them; a fresh velocity is 0, so that the first step's v is g */
    float momentum, weight_decay;
    bool nesterov;
};

wmk_status wmk_sgd_create(wmk_sgd **out, wmk_graph *graph, wmk_plan *plan, double momentum, bool nesterov, double weight_decay)
{
    if (!(momentum >= 0 && momentum < 1)) return wmk_fail(WMK_ERROR_ARGUMENT, "sgd: momentum %g; it must be 0 or more and below 1", momentum);
    if (!(weight_decay >= 0 && isfinite(weight_decay)))
        return wmk_fail(WMK_ERROR_ARGUMENT, "sgd: weight decay %g; it must be 0 or more", weight_decay);
    if (nesterov && momentum == 0) return wmk_fail(WMK_ERROR_ARGUMENT, "sgd: Nesterov's form needs a momentum above 0");
    wmk_sgd *sgd;
    WMK_TRY(wmk_alloc(&sgd, 1, sizeof *sgd));
    sgd->momentum = (float)momentum;
    sgd->weight_decay = (float)weight_decay;
    sgd->nesterov = nesterov;
    size_t floats = 0;
    wmk_status status = wmk_alloc(&sgd->slots, graph->parameter_count, sizeof *sgd->slots);
    for (size_t i = 0; status == WMK_OK && i < graph->parameter_count; i++) {
        const wmk_parameter *p = graph->parameters[i];
        const float *gradient = wmk_plan_gradient(plan, p->value);
        if (!gradient) continue;
        sgd->slots[sgd->slot_count++] = (slot){p->data, NULL, gradient, p->count, p->value};
        floats += (p->count + 15) / 16 * 16;
    }
    if (status == WMK_OK && !sgd->slot_count) status = wmk_fail(WMK_ERROR_ARGUMENT, "sgd: the plan has no trained parameter");
    if (status == WMK_OK) status = wmk_alloc_aligned(&sgd->velocities, floats * sizeof(float));
    if (status != WMK_OK) {
        wmk_sgd_free(sgd);
        return status;
    }
    float *next = sgd->velocities;
    for (size_t i = 0; i < sgd->slot_count; i++) {
        sgd->slots[i].velocity = next;
        next += (sgd->slots[i].count + 15) / 16 * 16;
    }
    *out = sgd;
    return WMK_OK;
}

void wmk_sgd_free(wmk_sgd *sgd)
{
    if (!sgd) return;
    wmk_free_aligned(sgd->velocities);
    free(sgd->slots);
    free(sgd);
}

/* torch.optim.SGD, dampening 0. The gradient itself is left as it is. */
WMK_CLONES static void update(float *restrict weights, float *restrict velocity, const float *restrict gradient, size_t count, float rate,
                              float momentum, float decay, bool nesterov)
{
    const float look_ahead = nesterov ? momentum : 1, own = nesterov ? 1 : 0;
    for (size_t i = 0; i < count; i++) {
        const float g = gradient[i] + decay * weights[i], v = momentum * velocity[i] + g;
        velocity[i] = v;
        weights[i] -= rate * (own * g + look_ahead * v);
    }
}

wmk_status wmk_sgd_step(wmk_sgd *sgd, double rate)
{
    if (!isfinite(rate)) return wmk_fail(WMK_ERROR_ARGUMENT, "sgd: a rate of %g", rate);
    for (size_t i = 0; i < sgd->slot_count; i++) {
        const slot *s = &sgd->slots[i];
        const long pieces = (long)((s->count + 16383) / 16384);
#pragma omp parallel for schedule(static) if (pieces > 4)
        for (long piece = 0; piece < pieces; piece++) {
            const size_t begin = (size_t)piece * 16384, count = s->count - begin < 16384 ? s->count - begin : 16384;
            update(s->data + begin, s->velocity + begin, s->gradient + begin, count, (float)rate, sgd->momentum, sgd->weight_decay, sgd->nesterov);
        }
    }
    return WMK_OK;
}

float *wmk_sgd_velocity(wmk_sgd *sgd, wmk_value parameter)
{
    for (size_t i = 0; i < sgd->slot_count; i++)
        if (sgd->slots[i].value == parameter) return sgd->slots[i].velocity;
    return NULL;
}
