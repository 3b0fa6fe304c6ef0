/* model/format/onnx_alias.c - the names that a network's author gave, where an exporter or quantiser made its own.
 *
 * torch.onnx folds transposes and batch normalisations into weights and calls them "onnx::MatMul_123", "onnx::Conv_45" or "val_12"; onnxruntime's quantisers add "_Transposed",
 * "_quantized", "_Q4" or "_DQ_Q4". The layer is still told by the node: the older exporter names it by its modules, "/encoder/layer.0/query/MatMul", and the newer one writes them into the node's metadata
 * "pkg.torch.onnx.name_scopes", "['', 'encoder', 'encoder.layer.0', 'encoder.layer.0.query', 'linear_1']". */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/format/onnx.h"

static bool ends_with(const char *name, size_t size, const char *end)
{
    size_t end_size = strlen(end);
    return size > end_size && memcmp(name + size - end_size, end, end_size) == 0;
}

/* The name's length without what a quantiser added. */
static size_t bare_size(const char *name)
{
    static const char *const ends[] = {"_quantized", "_DQ_Q2", "_DQ_Q4", "_DQ_Q8", "_Q2", "_Q4", "_Q8"};
    size_t size = strlen(name);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        if (!ends_with(name, size, ends[i])) continue;
        size -= strlen(ends[i]);
        break;
    }
    return ends_with(name, size, "_Transposed") ? size - strlen("_Transposed") : size;
}

/* "onnx::MatMul_123", "val_12", "t_3", "t", "123": a word at most, and a number. */
static bool is_made_up(const char *name, size_t size)
{
    size_t digits = 0;
    if (size > 6 && memcmp(name, "onnx::", 6) == 0) return true;
    while (digits < size && isdigit((unsigned char)name[size - 1 - digits])) digits++;
    size_t word = size - digits;
    if (size == 1 && *name == 't') return true;
    if (digits == 0 || (word > 0 && name[word - 1] != '_')) return false;
    return memchr(name, '.', size) == NULL && memchr(name, '/', size) == NULL;
}

/* The last but one string of a Python list of strings; size 0: none. */
static wmk_onnx_text last_scope(wmk_onnx_text list)
{
    wmk_onnx_text parts[2] = {{0}, {0}}; /* the last two */
    for (size_t i = 0; i < list.size;) {
        char quote = list.data[i++];
        if (quote != '\'' && quote != '"') continue;
        const char *begin = list.data + i, *end = memchr(begin, quote, list.size - i);
        if (!end) break;
        parts[0] = parts[1];
        parts[1] = (wmk_onnx_text){begin, (size_t)(end - begin)};
        i += parts[1].size + 1;
    }
    return parts[0];
}

/* "/layers.0/query/MatMul" -> "layers.0.query". A part that begins with the one before it stands for both: "/conv/conv.0/Conv" -> "conv.0". */
static wmk_status join_path(wmk_buffer *out, wmk_onnx_text node)
{
    size_t last = 0; /* where the last part begins in `out` */
    if (node.size == 0 || node.data[0] != '/') return WMK_OK;
    for (size_t i = 1; i < node.size;) {
        const char *begin = node.data + i, *end = memchr(begin, '/', node.size - i);
        if (!end) break; /* the operator's own name */
        size_t size = (size_t)(end - begin), before = out->size - last;
        if (before > 0 && size > before && begin[before] == '.' && memcmp(begin, out->data + last, before) == 0) {
            WMK_TRY(wmk_buffer_append(out, begin + before, size - before));
        } else {
            if (out->size > 0) WMK_TRY(wmk_buffer_append(out, ".", 1));
            last = out->size;
            WMK_TRY(wmk_buffer_append(out, begin, size));
        }
        i += size + 1;
    }
    return WMK_OK;
}

wmk_status wmk_onnx_module(wmk_onnx_text node, wmk_onnx_text scopes, char **out)
{
    wmk_onnx_text scope = last_scope(scopes);
    wmk_buffer path = {0};
    wmk_status status = scope.size > 0 ? wmk_buffer_append(&path, scope.data, scope.size) : join_path(&path, node);
    if (status == WMK_OK) status = wmk_buffer_append(&path, "", 1);
    if (status == WMK_OK) *out = (char *)path.data;
    if (status != WMK_OK) wmk_buffer_free(&path);
    return status;
}

wmk_status wmk_onnx_alias(wmk_onnx *onnx, const char *name, wmk_onnx_text node, wmk_onnx_text scopes, const char *parameter, const char **out)
{
    size_t size = bare_size(name);
    char *module, *text;
    *out = NULL;
    if (!is_made_up(name, size)) return name[size] ? wmk_onnx_keep_text(onnx, (wmk_onnx_text){name, size}, out) : WMK_OK;
    WMK_TRY(wmk_onnx_module(node, scopes, &module));
    wmk_status status = *module ? wmk_format(&text, "%s%s", module, parameter) : WMK_OK;
    if (status == WMK_OK && *module) {
        status = wmk_onnx_keep_text(onnx, (wmk_onnx_text){text, strlen(text)}, out);
        free(text);
    }
    free(module);
    return status;
}
