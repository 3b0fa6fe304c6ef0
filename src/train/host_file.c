/* train/host_file.c - hosts in model files. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/convert.h"
#include "base/memory.h"
#include "train/host_file.h"

wmk_status wmk_parameter_read(const wmk_parameter *p, const wmk_model *model, const char *name, float *data)
{
    const wmk_model_tensor *tensor = wmk_model_find(model, name);
    const char *path = wmk_model_path(model);
    if (!tensor) return wmk_fail(WMK_ERROR_MISSING, "%s: tensor %s is not there", path, name);
    const wmk_tensor_view *view = &tensor->view;
    bool same = view->rank == p->rank;
    for (uint32_t i = 0; same && i < p->rank; i++) same = view->shape[i] == (uint64_t)p->dims[i];
    if (!same) return wmk_fail(WMK_ERROR_MISMATCH, "%s: tensor %s has another shape than the host's", path, name);
    if (!wmk_dtype_is_float(view->dtype) || !view->data || view->codec)
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: %s: tensor %s has elements of type %s", path, name, wmk_dtype_name(view->dtype));
    wmk_read_f32(data, view->data, view->dtype, p->count);
    for (size_t i = 0; i < p->count; i++)
        if (!isfinite(data[i])) return wmk_fail(WMK_ERROR_INPUT, "%s: tensor %s: element %zu is not a finite number", path, name, i);
    return WMK_OK;
}

/* Host and number of classes as the file's metadata has them. */
static wmk_status read_metadata(const wmk_model *model, const char **name, uint32_t *classes)
{
    *name = wmk_model_metadata(model, WMK_METADATA_HOST);
    const char *count = wmk_model_metadata(model, WMK_METADATA_CLASSES);
    if (!*name || !count)
        return wmk_fail(WMK_ERROR_MISSING, "%s: no metadata %s, so the network around its tensors is not known", wmk_model_path(model),
                        *name ? WMK_METADATA_CLASSES : WMK_METADATA_HOST);
    char *end;
    unsigned long value = strtoul(count, &end, 10);
    if (end == count || *end || value < 2 || value > 65536)
        return wmk_fail(WMK_ERROR_INPUT, "%s: metadata " WMK_METADATA_CLASSES " is \"%s\", not a number from 2 to 65536", wmk_model_path(model),
                        count);
    *classes = (uint32_t)value;
    return WMK_OK;
}

static bool is_head(const char *name) { return !strcmp(name, "fc.weight") || !strcmp(name, "fc.bias"); }

wmk_status wmk_host_read(wmk_host *out, const wmk_model *model, uint32_t classes, uint64_t seed)
{
    const char *name = NULL;
    uint32_t there = 0;
    WMK_TRY(read_metadata(model, &name, &there));
    wmk_host host = {0};
    wmk_status status = wmk_host_build(&host, name, classes ? classes : there);
    if (status != WMK_OK) return wmk_fail_within(status == WMK_ERROR_MEMORY ? status : WMK_ERROR_INPUT, "%s", wmk_model_path(model));
    bool new_head = classes && classes != there;
    const wmk_parameter *p;
    for (size_t i = 0; status == WMK_OK && (p = wmk_graph_parameter_at(host.graph, i)); i++) {
        if (new_head && is_head(p->name))
            wmk_initial_draw(host.graph, p, seed);
        else
            status = wmk_parameter_read(p, model, p->name, p->data);
    }
    if (status != WMK_OK) {
        wmk_host_free(&host);
        return status;
    }
    *out = host;
    return WMK_OK;
}

static bool parse_floats(const char *text, float *values)
{
    for (int c = 0; c < WMK_IMAGE_CHANNELS; c++) {
        char *end;
        values[c] = text ? (float)wmk_number(text, &end) : 0;
        if (!text || end == text || *end != (c + 1 < WMK_IMAGE_CHANNELS ? ',' : '\0') || !isfinite(values[c])) return false;
        text = end + 1;
    }
    return true;
}

bool wmk_host_constants(const wmk_model *model, float *mean, float *deviation)
{
    if (!parse_floats(wmk_model_metadata(model, WMK_METADATA_MEAN), mean) ||
        !parse_floats(wmk_model_metadata(model, WMK_METADATA_DEVIATION), deviation))
        return false;
    return deviation[0] > 0 && deviation[1] > 0 && deviation[2] > 0;
}
