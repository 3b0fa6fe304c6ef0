/* model/format/torch_walk.c - the tensors of a PyTorch pickle and their names. A pickle's values form a graph, which may hold cycles, and more paths than could ever be walked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "model/format/torch.h"

enum { DEPTH_MAX = 128, NAME_BYTES_MAX = 1024, CHUNK_BYTES = 1 << 16 };

typedef struct walk {
    wmk_torch_source *source;
    const wmk_pickle *pickle;
    bool *open; /* [pickle->count] on the path to here */
    unsigned depth;
    uint64_t visits_left; /* of values */
    uint64_t tensors_left;
    uint64_t name_bytes_left; /* of all names */
    size_t name_bytes;
    char name[NAME_BYTES_MAX + 1];
} walk;

wmk_status wmk_torch_memory(wmk_torch_source *source, size_t bytes, void *out_pointer)
{
    bytes = (bytes + 15) / 16 * 16; /* bounded by the callers */
    if (bytes > source->free_bytes) {
        size_t size = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
        unsigned char *block;
        WMK_TRY(wmk_alloc(&block, size, 1));
        WMK_TRY(wmk_model_keep(source->model, block));
        source->free = block;
        source->free_bytes = size;
    }
    memcpy(out_pointer, &source->free, sizeof source->free);
    source->free += bytes;
    source->free_bytes -= bytes;
    return WMK_OK;
}

/* ---- calls ---- */

/* Harmless constructors that checkpoints hold beside tensors; what they would make is not looked at. "*": every name of the module. */
static const char *const callable[][2] = {
    {"collections", "OrderedDict"},
    {"collections", "defaultdict"},
    {"collections", "Counter"},
    {"collections", "deque"},
    {"torch._utils", "_rebuild_tensor"},
    {"torch._utils", "_rebuild_tensor_v2"},
    {"torch._utils", "_rebuild_tensor_v3"},
    {"torch._utils", "_rebuild_qtensor"},
    {"torch._utils", "_rebuild_parameter"},
    {"torch._utils", "_rebuild_parameter_with_state"},
    {"torch._utils", "_rebuild_sparse_tensor"},
    {"torch._utils", "_rebuild_sparse_csr_tensor"},
    {"torch._utils", "_rebuild_meta_tensor_no_storage"},
    {"torch._utils", "_rebuild_nested_tensor"},
    {"torch._utils", "_rebuild_device_tensor_from_numpy"},
    {"torch._tensor", "_rebuild_from_type_v2"},
    {"torch.nn.parameter", "Parameter"},
    {"torch.nn.parameter", "Buffer"},
    {"torch.serialization", "_get_layout"},
    {"torch.jit._pickle", "*"},
    {"torch", "Size"},
    {"torch", "device"},
    {"builtins", "set"},
    {"builtins", "frozenset"},
    {"builtins", "list"},
    {"builtins", "dict"},
    {"builtins", "tuple"},
    {"builtins", "slice"},
    {"builtins", "range"},
    {"builtins", "complex"},
    {"builtins", "bytearray"},
    {"builtins", "bytes"},
    {"builtins", "int"},
    {"builtins", "float"},
    {"builtins", "str"},
    {"builtins", "bool"},
    {"__builtin__", "set"}, /* Python 2's name, which protocol 2 writes */
    {"__builtin__", "frozenset"},
    {"__builtin__", "list"},
    {"__builtin__", "dict"},
    {"__builtin__", "tuple"},
    {"__builtin__", "slice"},
    {"__builtin__", "xrange"},
    {"__builtin__", "complex"},
    {"__builtin__", "bytearray"},
    {"__builtin__", "bytes"},
    {"__builtin__", "int"},
    {"__builtin__", "long"},
    {"__builtin__", "float"},
    {"__builtin__", "str"},
    {"__builtin__", "unicode"},
    {"__builtin__", "bool"},
    {"copyreg", "_reconstructor"},
    {"copy_reg", "_reconstructor"},
    {"_codecs", "encode"},
    {"functools", "partial"},
    {"argparse", "Namespace"},
    {"types", "SimpleNamespace"},
    {"pathlib", "Path"},
    {"pathlib", "PosixPath"},
    {"pathlib", "WindowsPath"},
    {"datetime", "datetime"},
    {"datetime", "date"},
    {"datetime", "timedelta"},
    {"uuid", "UUID"},
    {"decimal", "Decimal"},
    {"numpy", "dtype"},
    {"numpy", "ndarray"},
    {"numpy.core.multiarray", "_reconstruct"},
    {"numpy.core.multiarray", "scalar"},
    {"numpy.core.numeric", "_frombuffer"},
    {"numpy._core.multiarray", "_reconstruct"},
    {"numpy._core.multiarray", "scalar"},
    {"numpy._core.numeric", "_frombuffer"},
    {"numpy.random._pickle", "*"},
};

static bool begins(const char *text, size_t size, const char *with) { return size >= strlen(with) && memcmp(text, with, strlen(with)) == 0; }

/* torch's own functions are pickled as getattr(torch..., name). What it gives is an object here, and calls of those are refused. */
static bool is_torch_function(const wmk_pickle *pickle, const wmk_pickle_value *global, const wmk_pickle_value *arguments)
{
    if (!wmk_pickle_is_global(global, "builtins", "getattr") && !wmk_pickle_is_global(global, "__builtin__", "getattr")) return false;
    const wmk_pickle_value *of = arguments->count ? &pickle->value[arguments->item[0]] : global;
    return of->kind == WMK_PICKLE_GLOBAL && begins(of->module, of->module_bytes, "torch");
}

bool wmk_torch_may_call(const wmk_pickle *pickle, const wmk_pickle_value *global, const wmk_pickle_value *arguments)
{
    for (size_t i = 0; i < sizeof callable / sizeof callable[0]; i++) {
        const char *module = callable[i][0];
        bool any = callable[i][1][0] == '*' && strlen(module) == global->module_bytes && begins(global->module, global->module_bytes, module);
        if (any || wmk_pickle_is_global(global, module, callable[i][1])) return true;
    }
    return is_torch_function(pickle, global, arguments);
}

/* ---- names ---- */

/* Puts one more part at the end of the name. */
static wmk_status add_part(walk *w, const char *part, size_t bytes)
{
    size_t dot = w->name_bytes > 0;
    if (bytes + dot > NAME_BYTES_MAX - w->name_bytes)
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: a tensor's name of more than %d bytes", NAME_BYTES_MAX);
    if (dot) w->name[w->name_bytes] = '.';
    memcpy(w->name + w->name_bytes + dot, part, bytes);
    w->name_bytes += bytes + dot;
    w->name[w->name_bytes] = '\0';
    return WMK_OK;
}

/* Names are texts for people and other files: UTF-8 without NUL. */
static wmk_status check_name(const walk *w)
{
    const unsigned char *at = (const unsigned char *)w->name, *end = at + w->name_bytes;
    if (strlen(w->name) != w->name_bytes) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: a text with a NUL in it, \"%s\"", w->name);
    while (at < end) {
        size_t length = wmk_utf8_length(at, end);
        if (!length) return wmk_fail(WMK_ERROR_INPUT, "the name of tensor \"%s\" is no UTF-8", w->name);
        at += length;
    }
    return WMK_OK;
}

static wmk_status keep_name(walk *w, const char **out)
{
    char *name;
    WMK_TRY(check_name(w));
    if (w->name_bytes >= w->name_bytes_left)
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: a small pickle whose tensors' names are endless: a bomb");
    w->name_bytes_left -= w->name_bytes + 1;
    WMK_TRY(wmk_torch_memory(w->source, w->name_bytes + 1, &name));
    memcpy(name, w->name, w->name_bytes + 1);
    *out = name;
    return WMK_OK;
}

/* ---- the walk ---- */

static wmk_status visit(walk *w, uint32_t id);

/* Tied modules are reached more than once; a graph with no end of paths is no model. */
static wmk_status spend(walk *w, uint64_t visits)
{
    if (visits > w->visits_left) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: a pickle whose values are reached by endless paths: a bomb");
    w->visits_left -= visits;
    return WMK_OK;
}

static wmk_status visit_part(walk *w, const char *part, size_t bytes, uint32_t id)
{
    size_t before = w->name_bytes;
    wmk_pickle_kind kind = w->pickle->value[id].kind;
    if (kind < WMK_PICKLE_TUPLE || kind == WMK_PICKLE_GLOBAL || kind == WMK_PICKLE_OTHER)
        return WMK_OK; /* no tensor in there, whatever its name is */
    WMK_TRY(add_part(w, part, bytes));
    WMK_TRY(visit(w, id));
    w->name_bytes = before;
    w->name[before] = '\0';
    return WMK_OK;
}

static wmk_status visit_number(walk *w, int64_t number, uint32_t id)
{
    char digits[24];
    int size = snprintf(digits, sizeof digits, "%lld", (long long)number);
    return visit_part(w, digits, (size_t)size, id);
}

/* Of a dict or an object: keys that are texts or numbers; others name nothing. */
static wmk_status visit_pairs(walk *w, uint32_t id)
{
    WMK_TRY(spend(w, w->pickle->value[id].count));
    for (uint32_t i = 0; i + 1 < w->pickle->value[id].count; i += 2) {
        const wmk_pickle_value *value = &w->pickle->value[id], *key = &w->pickle->value[value->item[i]];
        if (key->kind == WMK_PICKLE_TEXT)
            WMK_TRY(visit_part(w, key->text, key->text_bytes, value->item[i + 1]));
        else if (key->kind == WMK_PICKLE_INT)
            WMK_TRY(visit_number(w, key->integer, value->item[i + 1]));
    }
    return WMK_OK;
}

static wmk_status visit_list(walk *w, uint32_t id)
{
    WMK_TRY(spend(w, w->pickle->value[id].count));
    for (uint32_t i = 0; i < w->pickle->value[id].count; i++) WMK_TRY(visit_number(w, i, w->pickle->value[id].item[i]));
    return WMK_OK;
}

/* What a call of a dict's constructor was given: a dict, or pairs in a list. */
static wmk_status visit_dict_argument(walk *w, uint32_t id)
{
    const wmk_pickle *pickle = w->pickle;
    if (pickle->value[id].kind != WMK_PICKLE_LIST) return visit(w, id);
    WMK_TRY(spend(w, pickle->value[id].count));
    for (uint32_t i = 0; i < pickle->value[id].count; i++) {
        const wmk_pickle_value *pair = &pickle->value[pickle->value[id].item[i]];
        bool named = (pair->kind == WMK_PICKLE_LIST || pair->kind == WMK_PICKLE_TUPLE) && pair->count == 2 &&
                     pickle->value[pair->item[0]].kind == WMK_PICKLE_TEXT;
        if (named) WMK_TRY(visit_part(w, pickle->value[pair->item[0]].text, pickle->value[pair->item[0]].text_bytes, pair->item[1]));
    }
    return WMK_OK;
}

/* A torch.nn.Module's attributes: its parameters, buffers and modules are dicts that add nothing to names; other attributes are no part of its state_dict. */
static wmk_status visit_module(walk *w, uint32_t state, bool *is_module)
{
    static const char *const parts[] = {"_parameters", "_buffers", "_modules"};
    *is_module = false;
    if (w->pickle->value[state].kind != WMK_PICKLE_DICT) return WMK_OK;
    WMK_TRY(spend(w, w->pickle->value[state].count)); /* for looking */
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        uint32_t dict = wmk_pickle_get(w->pickle, state, parts[i]);
        if (!dict) continue;
        *is_module = true;
        WMK_TRY(visit(w, dict));
    }
    return WMK_OK;
}

/* An object's attributes. Lists of a TorchScript module are no part of its state_dict: they hold parameters again (an LSTM's _flat_weights). */
static wmk_status visit_state(walk *w, uint32_t id, uint32_t state)
{
    const wmk_pickle *pickle = w->pickle;
    const wmk_pickle_value *class = &pickle->value[pickle->value[id].callee];
    bool script = class->kind == WMK_PICKLE_GLOBAL && begins(class->module, class->module_bytes, "__torch__");
    if (!script || pickle->value[state].kind != WMK_PICKLE_DICT) return visit(w, state);
    WMK_TRY(spend(w, pickle->value[state].count));
    for (uint32_t i = 0; i + 1 < pickle->value[state].count; i += 2) {
        const wmk_pickle_value *key = &pickle->value[pickle->value[state].item[i]];
        uint32_t value = wmk_torch_unwrap(pickle, pickle->value[state].item[i + 1]);
        if (key->kind == WMK_PICKLE_TEXT && pickle->value[value].kind != WMK_PICKLE_LIST) WMK_TRY(visit_part(w, key->text, key->text_bytes, value));
    }
    return WMK_OK;
}

static bool callee_is(const walk *w, uint32_t id, const char *const (*names)[2], size_t count)
{
    const wmk_pickle_value *callee = &w->pickle->value[w->pickle->value[id].callee];
    for (size_t i = 0; i < count; i++)
        if (wmk_pickle_is_global(callee, names[i][0], names[i][1])) return true;
    return false;
}

static wmk_status visit_object(walk *w, uint32_t id)
{
    static const char *const dicts[][2] = {{"collections", "OrderedDict"}, {"builtins", "dict"}, {"__builtin__", "dict"}};
    static const char *const lists[][2] = {
        {"builtins", "list"}, {"__builtin__", "list"}, {"builtins", "tuple"}, {"__builtin__", "tuple"}, {"collections", "deque"}};
    const wmk_pickle *pickle = w->pickle;
    uint32_t state = pickle->value[id].state, arguments = pickle->value[id].arguments;
    uint32_t argument = pickle->value[arguments].count ? pickle->value[arguments].item[0] : 0;
    bool is_module, is_dict = callee_is(w, id, dicts, sizeof dicts / sizeof dicts[0]);
    WMK_TRY(visit_pairs(w, id));
    if (is_dict) return argument ? visit_dict_argument(w, argument) : WMK_OK; /* its state is no part of it: _metadata of state_dicts */
    if (callee_is(w, id, lists, sizeof lists / sizeof lists[0])) return argument ? visit(w, argument) : WMK_OK;
    WMK_TRY(visit_module(w, state, &is_module));
    if (is_module || !state) return WMK_OK;
    return visit_state(w, id, state);
}

static wmk_status visit_tensor(walk *w, uint32_t id, bool *is_tensor)
{
    wmk_model_tensor tensor;
    wmk_torch_place place;
    wmk_torch_source *source = w->source;
    if (w->name_bytes == 0) strcpy(w->name, "tensor"); /* the file is one tensor and nothing else */
    wmk_status status = wmk_torch_tensor(source, id, &tensor, &place, is_tensor);
    if (status == WMK_ERROR_INPUT || status == WMK_ERROR_UNSUPPORTED) return wmk_fail_within(status, "tensor \"%s\"", w->name);
    WMK_TRY(status);
    if (!*is_tensor || tensor.view.dtype == WMK_DTYPE_NONE) return WMK_OK;
    if (w->tensors_left-- == 0) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: a small pickle with no end of tensors: a bomb");
    if (w->name_bytes == 0) w->name_bytes = strlen(w->name);
    WMK_TRY(keep_name(w, &tensor.view.name));
    if (source->place_count == source->place_capacity) {
        size_t capacity = source->place_capacity ? 2 * source->place_capacity : 64;
        WMK_TRY(wmk_resize(&source->place, capacity, sizeof *source->place));
        source->place_capacity = capacity;
    }
    source->place[source->place_count++] = place;
    return wmk_model_add_tensor(source->model, &tensor);
}

/* What is a container is entered; a value on the path to itself is not entered again. */
static wmk_status enter(walk *w, uint32_t id)
{
    switch (w->pickle->value[id].kind) {
    case WMK_PICKLE_DICT:
        return visit_pairs(w, id);
    case WMK_PICKLE_LIST:
    case WMK_PICKLE_TUPLE:
        return visit_list(w, id);
    case WMK_PICKLE_OBJECT:
        return visit_object(w, id);
    default:
        return WMK_OK;
    }
}

static wmk_status visit(walk *w, uint32_t id)
{
    bool is_tensor;
    id = wmk_torch_unwrap(w->pickle, id);
    WMK_TRY(spend(w, 1));
    if (w->open[id]) return WMK_OK;
    WMK_TRY(visit_tensor(w, id, &is_tensor));
    if (is_tensor) return WMK_OK;
    if (w->depth == DEPTH_MAX) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: values nested more than %d deep", DEPTH_MAX);
    w->depth++;
    w->open[id] = true;
    WMK_TRY(enter(w, id));
    w->open[id] = false;
    w->depth--;
    return WMK_OK;
}

static wmk_status begin(walk *w, wmk_torch_source *source)
{
    w->source = source;
    w->pickle = source->pickle;
    w->visits_left = 16 * source->pickle_bytes + 1024;
    w->tensors_left = source->pickle_bytes / 8 + 1024; /* even one that is only named again takes some bytes */
    w->name_bytes_left = 16 * source->pickle_bytes + CHUNK_BYTES;
    return wmk_alloc(&w->open, source->pickle->count, sizeof *w->open);
}

wmk_status wmk_torch_add_tensors(wmk_torch_source *source)
{
    walk w = {0};
    WMK_TRY(begin(&w, source));
    wmk_status status = visit(&w, source->pickle->root);
    free(w.open);
    return status;
}

wmk_status wmk_torch_add_constants(wmk_torch_source *source)
{
    walk w = {0};
    const wmk_pickle_value *root = &source->pickle->value[source->pickle->root];
    if (root->kind != WMK_PICKLE_TUPLE && root->kind != WMK_PICKLE_LIST) return wmk_fail(WMK_ERROR_INPUT, "the constants are no tuple");
    WMK_TRY(begin(&w, source));
    wmk_status status = WMK_OK;
    for (uint32_t i = 0; i < root->count && status == WMK_OK; i++) {
        char name[32];
        int size = snprintf(name, sizeof name, "CONSTANTS.c%u", i);
        status = visit_part(&w, name, (size_t)size, root->item[i]);
    }
    free(w.open);
    return status;
}
