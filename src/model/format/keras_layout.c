/* model/format/keras_layout.c - which axis of a Keras weight is what. Keras keeps input channels before output channels, whatever the data format; which weight it is tells its
 * variable's name (legacy files) or number (Keras 3), which layer the model's JSON, the layer's name or the path. keras.io/api/layers. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "model/format/keras.h"

/* ---- layers named in JSON ---- */

enum { NESTING_MAX = 64 };

static wmk_status add_layer(wmk_keras_layers *layers, const char *name, const char *class_name)
{
    if (layers->count == layers->capacity) {
        size_t capacity = layers->capacity ? 2 * layers->capacity : 64;
        WMK_TRY(wmk_resize(&layers->layer, capacity, sizeof *layers->layer));
        layers->capacity = capacity;
    }
    layers->layer[layers->count++] = (wmk_keras_layer){name, class_name};
    return WMK_OK;
}

/* A value; *own_name: the "name" of an object, *text: a string. */
static wmk_status read_value(wmk_keras_layers *layers, wmk_json *json, int depth, const char **text, const char **own_name)
{
    const char *key, *class_name = NULL, *name = NULL, *value, *inner;
    size_t size;
    *text = *own_name = NULL;
    if (depth == NESTING_MAX) return wmk_json_skip(json);
    if (wmk_json_accept(json, '[')) {
        if (wmk_json_accept(json, ']')) return WMK_OK;
        do WMK_TRY(read_value(layers, json, depth + 1, &value, &inner));
        while (wmk_json_accept(json, ','));
        return wmk_json_expect(json, ']');
    }
    if (!wmk_json_accept(json, '{')) return json->at < json->end && *json->at == '"' ? wmk_json_string(json, text, &size) : wmk_json_skip(json);
    if (wmk_json_accept(json, '}')) return WMK_OK;
    do {
        WMK_TRY(wmk_json_string(json, &key, &size));
        WMK_TRY(wmk_json_expect(json, ':'));
        WMK_TRY(read_value(layers, json, depth + 1, &value, &inner));
        if (strcmp(key, "class_name") == 0) class_name = value;
        if (strcmp(key, "config") == 0) name = inner;
        if (strcmp(key, "name") == 0) *own_name = value;
    } while (wmk_json_accept(json, ','));
    WMK_TRY(wmk_json_expect(json, '}'));
    return class_name && name ? add_layer(layers, name, class_name) : WMK_OK;
}

static int by_name(const void *left, const void *right)
{
    return strcmp(((const wmk_keras_layer *)left)->name, ((const wmk_keras_layer *)right)->name);
}

wmk_status wmk_keras_layers_read(wmk_keras_layers *out, const unsigned char *bytes, size_t size)
{
    const char *text, *name;
    *out = (wmk_keras_layers){0};
    WMK_TRY(wmk_alloc(&out->text, size + 1, 1));
    wmk_json json = {bytes, bytes, bytes + size, out->text};
    WMK_TRY(read_value(out, &json, 0, &text, &name));
    WMK_TRY(wmk_json_end(&json));
    if (out->count > 1) qsort(out->layer, out->count, sizeof *out->layer, by_name);
    return WMK_OK;
}

void wmk_keras_layers_free(wmk_keras_layers *layers)
{
    free(layers->layer);
    free(layers->text);
    *layers = (wmk_keras_layers){0};
}

static const char *class_of(const wmk_keras_layers *layers, const char *name)
{
    wmk_keras_layer wanted = {name, NULL};
    const wmk_keras_layer *found = layers && layers->count ? bsearch(&wanted, layers->layer, layers->count, sizeof *layers->layer, by_name) : NULL;
    return found ? found->class_name : NULL;
}

/* ---- layouts ---- */

enum { WORD_BYTES = 64 };

/* Letters and digits in lower case, without a number that Keras put behind an underscore: "DepthwiseConv2D" and "depthwise_conv2d_3" become "depthwiseconv2d". */
static void word_of(char *word, const char *text, size_t size)
{
    size_t length = 0, end = size;
    while (end > 0 && isdigit((unsigned char)text[end - 1])) end--;
    if (end > 1 && end < size && text[end - 1] == '_') size = end - 1;
    for (size_t i = 0; i < size && length + 1 < WORD_BYTES; i++)
        if (isalnum((unsigned char)text[i])) word[length++] = (char)tolower((unsigned char)text[i]);
    word[length] = '\0';
}

/* A weight as it is looked up. */
typedef struct weight {
    char layer[WORD_BYTES];    /* the word of its layer's class or name */
    char variable[WORD_BYTES]; /* "kernel", "depthwisekernel", ...; "" when only the number is known */
    unsigned number;           /* of the variable in its layer; legacy files: 0 */
} weight;

static bool is_word(const char *text, const char *word) { return strcmp(text, word) == 0; }

/* Makes one axis of two. */
static void merge(wmk_tensor_view *view, unsigned axis)
{
    view->shape[axis] *= view->shape[axis + 1]; /* the product of all is known to fit */
    for (unsigned i = axis + 1; i + 1 < view->rank; i++) view->shape[i] = view->shape[i + 1];
    view->rank--;
}

/* [.., C, m] -> [.., C * m, 1]: one filter a channel. */
static void set_depthwise(wmk_tensor_view *view)
{
    view->shape[view->rank - 2] *= view->shape[view->rank - 1];
    view->shape[view->rank - 1] = 1;
    strcpy(view->layout, view->rank == 3 ? "WOI" : "HWOI");
}

/* Attention keeps [d, heads, k] and [heads, k, d] for what elsewhere are matrices. */
static bool set_attention(wmk_tensor_view *view, const weight *w)
{
    static const char *const into[] = {"query", "key", "value", "querydense", "keydense", "valuedense"};
    bool out = is_word(w->layer, "attentionoutput") || is_word(w->layer, "outputdense");
    bool in = false;
    for (size_t i = 0; i < sizeof into / sizeof into[0]; i++) in = in || is_word(w->layer, into[i]);
    bool bias = w->number == 1 || strstr(w->variable, "bias");
    if (!in && !out) return false;
    if (bias && view->rank == 2) {
        merge(view, 0);
    } else if (view->rank == 3) {
        merge(view, in ? 1 : 0);
        strcpy(view->layout, "IO");
    }
    return true;
}

/* True: sure. */
static bool set_layout(wmk_tensor_view *view, const weight *w)
{
    static const char *const by_rank[] = {"", "", "IO", "WIO", "HWIO", "DHWIO"}, *const transposed[] = {"", "", "", "WOI", "HWOI", "DHWOI"};
    const char *layer = w->layer;
    if (view->rank < 2 || view->rank > 5) return view->rank < 2;
    if (set_attention(view, w)) return true;
    bool depthwise = strstr(w->variable, "depthwise") || (strstr(layer, "depthwiseconv") && w->number == 0) ||
                     (strstr(layer, "separableconv") && w->number == 0 && !w->variable[0]);
    if (depthwise && (view->rank == 3 || view->rank == 4)) {
        set_depthwise(view);
        return true;
    }
    if (strstr(layer, "embedding") || strstr(w->variable, "embedding")) {
        strcpy(view->layout, view->rank == 2 ? "OI" : "");
        return view->rank == 2;
    }
    bool recurrent = strstr(layer, "lstm") || strstr(layer, "gru") || strstr(layer, "rnn"), kernel = strstr(w->variable, "kernel") != NULL;
    if (strstr(w->variable, "bias") || (recurrent && w->number > 1)) return true; /* GRU's two biases are no weights */
    strcpy(view->layout, strstr(layer, "transpose") ? transposed[view->rank] : by_rank[view->rank]);
    return view->rank != 3 || kernel || recurrent || strstr(layer, "conv") || strstr(layer, "dense");
}

/* "recurrent_kernel:0": the last part of the path, without what TensorFlow put behind it. */
static size_t variable_size(const char *variable) { return strcspn(variable, ":"); }

wmk_status wmk_keras_layout(wmk_model_tensor *tensor, const char *path, const char *layer, const wmk_keras_layers *layers, char **alias)
{
    const char *last = strrchr(path, '/') ? strrchr(path, '/') + 1 : path, *parent = NULL, *known = NULL;
    size_t parent_size = 0;
    weight w = {0};
    *alias = NULL;
    if (strncmp(path, "optimizer", 9) == 0) { /* its state looks like weights, and is none */
        tensor->layout_known = true;
        return WMK_OK;
    }
    bool numbered = last >= path + 5 && strncmp(last - 5, "vars/", 5) == 0;
    if (numbered) {
        const char *end = last > path + 6 ? last - 6 : path; /* the slash before "vars" */
        w.number = (unsigned)strtoul(last, NULL, 10);
        if (end > path) {
            for (parent = end; parent > path && parent[-1] != '/';) parent--;
            parent_size = (size_t)(end - parent);
        }
        known = layer ? class_of(layers, layer) : NULL;
        if (!known && layer && parent_size == 4 && memcmp(parent, "cell", 4) == 0) known = layer; /* of a recurrent layer: "gru_cell" */
        if (layer && w.number == 0 && tensor->view.rank >= 2) WMK_TRY(wmk_format(alias, "%s/kernel", layer));
    } else {
        const char *first = strncmp(path, "model_weights/", 14) == 0 ? path + 14 : path;
        char name[256];
        parent = first;
        parent_size = strcspn(first, "/");
        word_of(w.variable, last, variable_size(last));
        if (parent_size < sizeof name) {
            memcpy(name, parent, parent_size);
            name[parent_size] = '\0';
            known = class_of(layers, name);
        }
        if (last > first + parent_size + 1) { /* "conv2d/conv2d/kernel:0": Keras' own path begins after the layer */
            const char *own = first + parent_size + 1, *before = last - 1;
            WMK_TRY(wmk_format(alias, "%.*s", (int)(size_t)(last - own + (ptrdiff_t)variable_size(last)), own));
            if (!known || strstr(known, "Attention")) {
                while (before > own && before[-1] != '/') before--;
                parent = before, parent_size = (size_t)(last - 1 - before), known = NULL;
            }
        }
    }
    if (known)
        word_of(w.layer, known, strlen(known));
    else if (parent)
        word_of(w.layer, parent, parent_size);
    tensor->layout_known = set_layout(&tensor->view, &w);
    return WMK_OK;
}
