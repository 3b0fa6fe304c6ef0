/* mark_file/names.c - one form for the names that PyTorch, Keras, TensorFlow Lite, ONNX exporters, Hugging Face and llama.cpp give a weight.
 *
 * A name is a path. TensorFlow joins its parts with '/', PyTorch with '.'; what stands before (how the network was wrapped) and after (what kind of weight it is) differs from one
 * program to the next, what stands between them is the layer. */
#include "mark_file/names.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { PARTS_MAX = 64 };

typedef struct path {
    char *text; /* owned; the parts lie in it */
    const char *part[PARTS_MAX];
    size_t first, count; /* parts [first, count) */
    bool slashes;        /* joined by '/' */
} path;

static bool is_number(const char *text) { return *text && text[strspn(text, "0123456789")] == '\0'; }

static bool is_one_of(const char *word, const char *const *words)
{
    while (*words && strcmp(*words, word) != 0) words++;
    return *words != NULL;
}

/* ---- into parts ---- */

static void drop_end(char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);
    if (size > end_size && strcmp(text + size - end_size, end) == 0) text[size - end_size] = '\0';
}

static wmk_status split(path *out, const char *name)
{
    *out = (path){.slashes = strchr(name, '/') != NULL};
    WMK_TRY(wmk_strdup(&out->text, name));
    char *text = out->text, *next;
    text[strcspn(text, ";")] = '\0'; /* TensorFlow Lite: the names of all that was fused */
    char *colon = strrchr(text, ':');
    if (colon && is_number(colon + 1)) *colon = '\0'; /* TensorFlow: which output of an operation */
    drop_end(text, "_quantized");
    for (char *part = text; part && out->count < PARTS_MAX; part = next) {
        next = strpbrk(part, "./:");
        if (out->count == PARTS_MAX - 1) next = NULL;
        if (next) *next++ = '\0';
        if (*part) out->part[out->count++] = part;
    }
    return WMK_OK;
}

/* ---- what stands before and after the layer ---- */

static const char *const weight_words[] = {
    "weight",      "weights",   "kernel",           "kernels", "embeddings", "embedding", "depthwise_kernel", "Conv2D", "Conv1D",         "Conv3D",
    "convolution", "depthwise", "pointwise_kernel", "MatMul",  "Gemm",       "Tensordot", "base_layer",       "w",      "ReadVariableOp", NULL};
static const char *const wrappers[] = {"model",
                                       "module",
                                       "_orig_mod",
                                       "base_model",
                                       "transformer",
                                       "state_dict",
                                       "model_state_dict",
                                       "network",
                                       "net",
                                       "model_weights",
                                       "backbone",
                                       "params",
                                       "bert",
                                       "roberta",
                                       "gpt_neox",
                                       "language_model",
                                       "_model",
                                       "StatefulPartitionedCall",
                                       "_layer_checkpoint_dependencies",
                                       NULL};

static void strip_end(path *p)
{
    while (p->count - p->first > 1) {
        const char *last = p->part[p->count - 1];
        bool variable =
            strcmp(last, "0") == 0 && p->count - p->first > 2 && strcmp(p->part[p->count - 2], "vars") == 0; /* Keras 3: layers/conv2d/vars/0 */
        if (!variable && !is_one_of(last, weight_words)) return;
        p->count -= variable ? 2 : 1;
    }
}

static void strip_begin(path *p)
{
    while (p->count - p->first > 1) {
        const char *begin = p->part[p->first];
        bool list = strcmp(begin, "layers") == 0 && !is_number(p->part[p->first + 1]); /* Keras 3 again; "layers.7" is a transformer's */
        if (!list && !is_one_of(begin, wrappers)) return;
        p->first++;
    }
}

/* Keras' older files say the layer twice, conv2d/conv2d/kernel:0, or with the model between, conv2d/sequential/conv2d/kernel. */
static void strip_repetition(path *p)
{
    for (size_t i = p->first; i < p->count; i++)
        if (is_number(p->part[i])) return;
    if (p->slashes && p->count - p->first > 1 && strcmp(p->part[p->first], p->part[p->count - 1]) == 0) p->first = p->count - 1;
}

/* ---- transformers ---- */

/* The layer lists of transformers, and what lies in a layer, as GGUF says it (gguf-py, tensor_mapping.py) and as others do. */
static const char *const lists[] = {"layers", "blk", "h", "layer", "block", "blocks", NULL};
static const char *const in_layer[][11] = {
    {"attn_q", "self_attn.q_proj", "attention.wq", "attention.self.query", "attn.q_proj", "self_attn.query_proj", "attention.q_lin"},
    {"attn_k", "self_attn.k_proj", "attention.wk", "attention.self.key", "attn.k_proj", "self_attn.key_proj", "attention.k_lin"},
    {"attn_v", "self_attn.v_proj", "attention.wv", "attention.self.value", "attn.v_proj", "self_attn.value_proj", "attention.v_lin"},
    {"attn_qkv", "attn.c_attn", "self_attn.qkv_proj", "self_attention.query_key_value", "attention.query_key_value", "self_attn.W_pack", "attn.Wqkv"},
    {"attn_output", "self_attn.o_proj", "attention.wo", "attention.output.dense", "attn.c_proj", "self_attn.out_proj", "self_attention.dense",
     "attention.dense", "self_attn.dense", "attn.out_proj", "attention.out_lin"},
    {"ffn_gate", "mlp.gate_proj", "feed_forward.w1"},
    {"ffn_up", "mlp.up_proj", "feed_forward.w3", "intermediate.dense", "mlp.c_fc", "mlp.fc1", "mlp.dense_h_to_4h", "mlp.gate_up_proj", "fc1",
     "ffn.lin1"},
    {"ffn_down", "mlp.down_proj", "feed_forward.w2", "output.dense", "mlp.c_proj", "mlp.fc2", "mlp.dense_4h_to_h", "fc2", "ffn.lin2"},
    {"ffn_gate_inp", "block_sparse_moe.gate", "mlp.gate"},
    {"attn_norm", "input_layernorm", "attention_norm", "ln_1"},
    {"ffn_norm", "post_attention_layernorm", "ln_2"},
    {"attn_q_norm", "self_attn.q_norm"},
    {"attn_k_norm", "self_attn.k_norm"},
};
static const char *const around_layers[][6] = {
    {"token_embd", "embed_tokens", "tok_embeddings", "wte", "word_embeddings", "embed_in"},
    {"position_embd", "wpe", "position_embeddings"},
    {"token_types", "token_type_embeddings"},
    {"output", "lm_head", "embed_out"},
    {"output_norm", "norm", "ln_f"},
};

/* True when parts [at, count) joined by points are `words`. */
static bool says(const path *p, size_t at, const char *words)
{
    for (; at < p->count; at++) {
        size_t size = strlen(p->part[at]);
        if (strncmp(words, p->part[at], size) != 0) return false;
        words += size;
        if (at + 1 < p->count && *words++ != '.') return false;
    }
    return *words == '\0';
}

/* The first column of the row that names parts [at, count); NULL: none. */
static const char *word_for(const path *p, size_t at, const char *const *table, size_t rows, size_t columns)
{
    for (size_t row = 0; row < rows; row++)
        for (size_t column = 0; column < columns && table[row * columns + column]; column++)
            if (says(p, at, table[row * columns + column])) return table[row * columns];
    return NULL;
}

/* "encoder.layer.3.attention.self.query" becomes "encoder.blk.3.attn_q". */
static void transformer_words(path *p)
{
    const char *word;
    for (size_t at = p->first; at + 2 < p->count; at++) {
        if (!is_one_of(p->part[at], lists) || !is_number(p->part[at + 1])) continue;
        word = word_for(p, at + 2, &in_layer[0][0], sizeof in_layer / sizeof in_layer[0], sizeof in_layer[0] / sizeof in_layer[0][0]);
        if (!word) continue;
        p->part[at] = "blk";
        p->part[at + 2] = word;
        p->count = at + 3;
        return;
    }
    word = p->count > p->first ? word_for(p, p->count - 1, &around_layers[0][0], sizeof around_layers / sizeof around_layers[0],
                                          sizeof around_layers[0] / sizeof around_layers[0][0])
                               : NULL;
    if (word && (p->count - p->first == 1 || strcmp(word, "output_norm") != 0)) p->part[p->count - 1] = word;
}

/* ---- the whole ---- */

wmk_status wmk_name_canonical(char **out, const char *name)
{
    path p;
    wmk_buffer text = {0};
    WMK_TRY(split(&p, name));
    strip_begin(&p);
    strip_end(&p);
    strip_repetition(&p);
    transformer_words(&p);
    wmk_status status = WMK_OK;
    for (size_t i = p.first; status == WMK_OK && i < p.count; i++) status = wmk_buffer_printf(&text, "%s%s", i > p.first ? "." : "", p.part[i]);
    if (status == WMK_OK) status = wmk_buffer_append(&text, "", 1);
    free(p.text);
    if (status != WMK_OK) {
        wmk_buffer_free(&text);
        return status;
    }
    *out = (char *)text.data;
    return WMK_OK;
}

/* True when `words` stand somewhere in the name, between separators. */
static bool holds(const char *name, const char *words)
{
    size_t size = strlen(words);
    for (const char *at = name; (at = strstr(at, words)) != NULL; at++)
        if ((at == name || strchr("./", at[-1])) && (at[size] == '\0' || strchr("./:", at[size]))) return true;
    return false;
}

wmk_rotary wmk_name_rotary(const char *name, bool *is_key)
{
    static const struct {
        const char *words;
        wmk_rotary rotary;
        bool is_key;
    } table[] = {
        {"q_proj", WMK_ROTARY_HALVES, false}, {"k_proj", WMK_ROTARY_HALVES, true}, {"attn_q", WMK_ROTARY_PAIRS, false},
        {"attn_k", WMK_ROTARY_PAIRS, true},   {"wq", WMK_ROTARY_PAIRS, false},     {"wk", WMK_ROTARY_PAIRS, true},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (!holds(name, table[i].words)) continue;
        *is_key = table[i].is_key;
        return table[i].rotary;
    }
    return WMK_ROTARY_NONE;
}
