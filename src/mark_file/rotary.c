/* mark_file/rotary.c - rows of rotary attention.
 *
 * A head's rotary embedding turns pairs of its elements. Hugging Face's Llama keeps a pair's two halves half a head apart, Meta's files and llama.cpp side by side; so llama.cpp's
 * converter (convert_hf_to_gguf.py, LlamaModel.permute) writes row (head, i, half) where Hugging Face has row (head, half, i):
 *     weights.reshape(heads, 2, rows / heads / 2, in).swapaxes(1, 2).reshape(rows, in) */
#include "mark_file/rotary.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "mark_file/names.h"

enum { CONFIG_BYTES_MAX = 4 << 20 };

/* Architectures whose converter does this, as GGUF calls them, and the models' own types in config.json. */
static const char *const turned[] = {"llama",         "mistral",  "mixtral",    "mistral3", "deci",     "granite", "granitemoe",
                                     "granitehybrid", "arcee",    "smollm3",    "minicpm",  "baichuan", "xverse",  "olmo",
                                     "internlm2",     "deepseek", "bailingmoe", "vllama3",  NULL};

typedef struct heads {
    bool turned;
    uint64_t queries, keys; /* 0: not known */
} heads;

static bool is_turned(const char *architecture)
{
    const char *const *word = turned;
    while (*word && strcmp(*word, architecture) != 0) word++;
    return *word != NULL;
}

static uint64_t number_of(const char *text)
{
    char *end;
    uint64_t value = text && *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : 0;
    return value && *end == '\0' ? value : 0;
}

static wmk_status metadata_number(uint64_t *out, const wmk_model *model, const char *architecture, const char *what)
{
    char *name;
    WMK_TRY(wmk_format(&name, "%s.attention.%s", architecture, what));
    *out = number_of(wmk_model_metadata(model, name));
    free(name);
    return WMK_OK;
}

/* {"model_type": "llama", "num_attention_heads": 32, "num_key_value_heads": 8, ...}; what cannot be read is not there. */
static void read_config(heads *out, wmk_json *json)
{
    const char *name, *text;
    size_t size;
    if (wmk_json_expect(json, '{') != WMK_OK) return;
    do {
        if (wmk_json_string(json, &name, &size) != WMK_OK || wmk_json_expect(json, ':') != WMK_OK) return;
        wmk_status status;
        if (strcmp(name, "model_type") == 0 && (status = wmk_json_string(json, &text, &size)) == WMK_OK)
            out->turned = is_turned(text);
        else if (strcmp(name, "num_attention_heads") == 0)
            status = wmk_json_u64(json, &out->queries);
        else if (strcmp(name, "num_key_value_heads") == 0 && !wmk_json_accept_null(json))
            status = wmk_json_u64(json, &out->keys);
        else
            status = wmk_json_skip(json);
        if (status != WMK_OK) return;
    } while (wmk_json_accept(json, ','));
}

static wmk_status config_heads(heads *out, const wmk_model *model)
{
    const char *path = wmk_model_file_path(model, 0), *slash = strrchr(path, '/');
    char *config, *text;
    unsigned char *bytes;
    size_t size;
    WMK_TRY(wmk_format(&config, "%.*sconfig.json", slash ? (int)(slash - path + 1) : 0, path));
    wmk_status status = wmk_file_read(&bytes, &size, config, CONFIG_BYTES_MAX);
    free(config);
    if (status != WMK_OK) return status == WMK_ERROR_MEMORY ? status : WMK_OK;
    status = wmk_alloc(&text, size + 1, 1);
    if (status == WMK_OK) {
        wmk_json json = {bytes, bytes, bytes + size, text};
        read_config(out, &json);
        free(text);
    }
    free(bytes);
    return status;
}

static wmk_status heads_of(heads *out, const wmk_model *model)
{
    const char *architecture = wmk_model_metadata(model, "general.architecture");
    *out = (heads){0};
    if (!architecture) return config_heads(out, model);
    out->turned = is_turned(architecture);
    WMK_TRY(metadata_number(&out->queries, model, architecture, "head_count"));
    return metadata_number(&out->keys, model, architecture, "head_count_kv");
}

wmk_status wmk_rotary_rows(bool *out, wmk_rows *rows, const wmk_model *model, const wmk_model_tensor *tensor, const wmk_target *target)
{
    bool is_key, target_is_key;
    heads model_heads;
    wmk_rotary have = wmk_name_rotary(tensor->view.name, &is_key), want = wmk_name_rotary(target->name, &target_is_key);
    *out = false;
    if (have == WMK_ROTARY_NONE || want == WMK_ROTARY_NONE || have == want || is_key != target_is_key || tensor->view.rank != 2) return WMK_OK;
    WMK_TRY(heads_of(&model_heads, model));
    uint64_t count = is_key && model_heads.keys ? model_heads.keys : model_heads.queries, of_head = count ? tensor->view.shape[0] / count : 0;
    if (!model_heads.turned || of_head == 0 || of_head % 2 != 0 || of_head * count != tensor->view.shape[0]) return WMK_OK;
    rows->row_elements = tensor->view.shape[1];
    rows->middle = want == WMK_ROTARY_HALVES ? 2 : of_head / 2;
    rows->rest = of_head / rows->middle;
    *out = true;
    return WMK_OK;
}
