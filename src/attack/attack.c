/* attack/attack.c - the table of attacks, and the copy of a model that every one of them works on. */
#include "attack/attack.h"

#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/convert.h"
#include "base/memory.h"

/* One line an attack: docs/add-an-attack.md. */
static const wmk_attack *const attacks[] = {
    &wmk_attack_prune,
};
#define ATTACK_COUNT (sizeof attacks / sizeof attacks[0])
enum { SETTINGS_MAX = 16 };

size_t wmk_attack_count(void) { return ATTACK_COUNT; }

const wmk_attack *wmk_attack_at(size_t index) { return index < ATTACK_COUNT ? attacks[index] : NULL; }

const wmk_attack *wmk_attack_find(const char *name)
{
    for (size_t i = 0; i < ATTACK_COUNT; i++)
        if (strcmp(attacks[i]->name, name) == 0) return attacks[i];
    return NULL;
}

const char *wmk_attack_name(const wmk_attack *attack) { return attack->name; }

const char *wmk_attack_summary(const wmk_attack *attack) { return attack->summary; }

size_t wmk_attack_parameters(const wmk_attack *attack, const wmk_attack_parameter **out)
{
    *out = attack->parameters;
    return attack->parameter_count;
}

static wmk_status parse_settings(void **context, const wmk_attack *attack, const wmk_attack_setting *settings, size_t count)
{
    const char *values[SETTINGS_MAX];
    for (size_t p = 0; p < attack->parameter_count; p++) values[p] = attack->parameters[p].default_value;
    for (size_t s = 0; s < count; s++) {
        size_t p = 0;
        while (p < attack->parameter_count && strcmp(attack->parameters[p].name, settings[s].name) != 0) p++;
        if (p == attack->parameter_count) return wmk_fail(WMK_ERROR_ARGUMENT, "%s: no setting named \"%s\"", attack->name, settings[s].name);
        values[p] = settings[s].value;
    }
    for (size_t p = 0; p < attack->parameter_count; p++)
        if (!values[p]) return wmk_fail(WMK_ERROR_ARGUMENT, "%s: --%s must be given", attack->name, attack->parameters[p].name);
    return attack->parse(context, values);
}

/* FNV-1a, so that a tensor's random choices depend on its name and not on which other tensors are attacked. */
static uint64_t seed_for(uint64_t seed, const char *name)
{
    uint64_t hash = UINT64_C(14695981039346656037) ^ seed;
    for (; *name; name++) hash = (hash ^ (unsigned char)*name) * UINT64_C(1099511628211);
    return hash;
}

/* Sums for the result; the norms are taken before and after rounding to the stored type. */
typedef struct tally {
    wmk_attack_result rows;
    double norm2, change2;
} tally;

/* view: its data are the present values in the patch, which are changed there. */
static wmk_status attack_tensor(const wmk_attack *attack, const void *context, const wmk_tensor_view *view, void *data, uint64_t seed, tally *sum)
{
    uint64_t count64;
    if (!wmk_product_u64(view->shape, view->rank, &count64) || count64 > SIZE_MAX / sizeof(double))
        return wmk_fail(WMK_ERROR_INPUT, "tensor \"%s\": its shape overflows", view->name);
    size_t count = (size_t)count64;
    double *before = NULL, *after = NULL;
    wmk_status status;
    WMK_TRY_GOTO(status, wmk_alloc(&before, count, sizeof *before), done);
    WMK_TRY_GOTO(status, wmk_alloc(&after, count, sizeof *after), done);
    wmk_tensor_read(view, 0, count, before);
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(before[i])) {
            status = wmk_fail(WMK_ERROR_INPUT, "tensor \"%s\": weight %zu is not a finite number", view->name, i);
            goto done;
        }
        after[i] = before[i];
    }
    WMK_TRY_GOTO(status, attack->apply(context, after, count, seed), done);
    wmk_tensor_write(view, data, 0, count, after);
    wmk_tensor_read(view, 0, count, after);
    sum->rows.tensors++;
    sum->rows.weights += count;
    for (size_t i = 0; i < count; i++) {
        double change = after[i] - before[i];
        sum->rows.changed += change != 0;
        sum->norm2 += before[i] * before[i];
        sum->change2 += change * change;
    }
done:
    free(before);
    free(after);
    return status;
}

static bool is_weight(const wmk_model_tensor *tensor, const char *glob)
{
    const wmk_tensor_view *view = &tensor->view;
    if (!wmk_tensor_is_writable(view) || (!view->data && !tensor->packed)) return false;
    return glob ? fnmatch(glob, view->name, 0) == 0 : view->rank >= 2;
}

wmk_status wmk_attack_run(const wmk_attack *attack, const wmk_model *model, const char *tensor, const wmk_attack_setting *settings,
                          size_t setting_count, uint64_t seed, const char *path, bool replace, wmk_attack_result *result)
{
    void *context = NULL;
    wmk_patch *patch = NULL;
    tally sum = {{0}, 0, 0};
    WMK_TRY(parse_settings(&context, attack, settings, setting_count));
    wmk_status status;
    WMK_TRY_GOTO(status, wmk_patch_begin(&patch, model, path, replace), done);
    for (size_t i = 0; i < wmk_model_tensor_count(model); i++) {
        wmk_tensor_view view = wmk_model_tensor_at(model, i)->view;
        if (!is_weight(wmk_model_tensor_at(model, i), tensor)) continue;
        void *data;
        WMK_TRY_GOTO(status, wmk_patch_data(patch, i, &data), done);
        view.data = data;
        status = attack_tensor(attack, context, &view, data, seed_for(seed, view.name), &sum);
        if (status != WMK_OK) {
            wmk_fail_within(status, "%s", wmk_model_path(model));
            goto done;
        }
    }
    if (sum.rows.tensors == 0) {
        status = tensor ? wmk_fail(WMK_ERROR_MISSING, "%s: no float tensor matches \"%s\"", wmk_model_path(model), tensor)
                        : wmk_fail(WMK_ERROR_MISSING, "%s: no float tensor of two or more dimensions", wmk_model_path(model));
        goto done;
    }
    status = wmk_patch_commit(patch);
    patch = NULL;
    sum.rows.relative_change = sum.norm2 > 0 ? sqrt(sum.change2 / sum.norm2) : 0;
    if (status == WMK_OK && result) *result = sum.rows;
done:
    wmk_patch_abort(patch);
    free(context);
    return status;
}
