/* model/format/index.c - the index of a sharded model, as Hugging Face writes it beside safetensors or PyTorch shards:
 *     {"metadata": {...}, "weight_map": {"tensor": "model-00001-of-00002.safetensors", ...}}
 * https://huggingface.co/docs/safetensors and transformers, "Sharded checkpoints". Every shard is opened by its own container; each tensor must be in the shard that is named. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "model/model.h"

enum { INDEX_BYTES_MAX = 256 << 20, PROBE_BYTES = 1 << 20, SHARDS_MAX = 16384 };

static int probe(const unsigned char *bytes, size_t size)
{
    static const char member[] = "\"weight_map\"";
    size_t at = 0;
    while (at < size && at < 64 && strchr(" \t\r\n", bytes[at]) != NULL && bytes[at] != '\0') at++;
    if (at == size || bytes[at] != '{') return 0;
    return memmem(bytes, size < PROBE_BYTES ? size : PROBE_BYTES, member, sizeof member - 1) ? 80 : 0;
}

typedef struct entry {
    const char *tensor, *shard;
} entry;

typedef struct index {
    entry *entries;
    size_t count, capacity;
} index_entries;

static wmk_status text_of(wmk_json *json, const char **text)
{
    size_t size;
    WMK_TRY(wmk_json_string(json, text, &size));
    return strlen(*text) == size ? WMK_OK : wmk_fail(WMK_ERROR_INPUT, "a text with a NUL in it, \"%s\"", *text);
}

static wmk_status read_map(wmk_json *json, index_entries *out)
{
    WMK_TRY(wmk_json_expect(json, '{'));
    if (wmk_json_accept(json, '}')) return WMK_OK;
    do {
        if (out->count == out->capacity) {
            out->capacity = out->capacity ? 2 * out->capacity : 256;
            WMK_TRY(wmk_resize(&out->entries, out->capacity, sizeof *out->entries));
        }
        entry *e = &out->entries[out->count];
        WMK_TRY(text_of(json, &e->tensor));
        WMK_TRY(wmk_json_expect(json, ':'));
        WMK_TRY(text_of(json, &e->shard));
        out->count++;
    } while (wmk_json_accept(json, ','));
    return wmk_json_expect(json, '}');
}

static wmk_status read_index(wmk_json *json, index_entries *out)
{
    bool seen = false;
    WMK_TRY(wmk_json_expect(json, '{'));
    if (!wmk_json_accept(json, '}')) {
        do {
            const char *name;
            WMK_TRY(text_of(json, &name));
            WMK_TRY(wmk_json_expect(json, ':'));
            if (strcmp(name, "weight_map") != 0) {
                WMK_TRY(wmk_json_skip(json));
                continue;
            }
            if (seen) return wmk_fail(WMK_ERROR_INPUT, "\"weight_map\" is given twice");
            seen = true;
            WMK_TRY(read_map(json, out));
        } while (wmk_json_accept(json, ','));
        WMK_TRY(wmk_json_expect(json, '}'));
    }
    WMK_TRY(wmk_json_end(json));
    return seen && out->count > 0 ? WMK_OK : wmk_fail(WMK_ERROR_INPUT, "its \"weight_map\" names no tensor");
}

static int by_shard(const void *left, const void *right) { return strcmp(((const entry *)left)->shard, ((const entry *)right)->shard); }

static int by_tensor(const void *left, const void *right) { return strcmp(((const entry *)left)->tensor, ((const entry *)right)->tensor); }

/* Each tensor that the index names must be in the shard that it names. A shard may hold more, as some that people publish do. */
static wmk_status check_shard(const wmk_model *model, size_t first, entry *entries, size_t count)
{
    entry *held;
    size_t found = model->tensor_count - first;
    wmk_status status = WMK_OK;
    qsort(entries, count, sizeof *entries, by_tensor);
    WMK_TRY(wmk_alloc(&held, found, sizeof *held));
    for (size_t i = 0; i < found; i++) held[i].tensor = model->tensors[first + i].view.name;
    qsort(held, found, sizeof *held, by_tensor);
    for (size_t i = 0, k = 0; status == WMK_OK && i < count; i++) {
        if (i > 0 && strcmp(entries[i].tensor, entries[i - 1].tensor) == 0)
            status = wmk_fail(WMK_ERROR_INPUT, "tensor \"%s\" is listed twice", entries[i].tensor);
        while (k < found && strcmp(held[k].tensor, entries[i].tensor) < 0) k++;
        if (status == WMK_OK && (k == found || strcmp(held[k].tensor, entries[i].tensor) != 0))
            status = wmk_fail(WMK_ERROR_INPUT, "tensor \"%s\" is not in the shard \"%s\" that the index names", entries[i].tensor, entries[i].shard);
    }
    free(held);
    return status;
}

static wmk_status add_shards(wmk_model *model, index_entries *list)
{
    size_t shards = 0;
    qsort(list->entries, list->count, sizeof *list->entries, by_shard);
    for (size_t i = 0, end; i < list->count; i = end) {
        uint32_t file;
        size_t first = model->tensor_count;
        if (shards++ == SHARDS_MAX) return wmk_fail(WMK_ERROR_INPUT, "more than %d shards", SHARDS_MAX);
        for (end = i + 1; end < list->count && strcmp(list->entries[end].shard, list->entries[i].shard) == 0;) end++;
        WMK_TRY(wmk_model_add_shard(model, list->entries[i].shard, &file));
        WMK_TRY(check_shard(model, first, list->entries + i, end - i));
    }
    return WMK_OK;
}

static wmk_status open_index(wmk_model *model, uint32_t file)
{
    const wmk_map *map = &model->files[file].map;
    index_entries list = {0};
    char *text;
    if (file != 0) return wmk_fail(WMK_ERROR_INPUT, "an index inside another model");
    if (map->size > INDEX_BYTES_MAX) return wmk_fail(WMK_ERROR_INPUT, "an index of %zu bytes, at most %d are allowed", map->size, INDEX_BYTES_MAX);
    WMK_TRY(wmk_alloc(&text, map->size, 1));
    WMK_TRY(wmk_model_keep(model, text));
    wmk_json json = {map->data, map->data, map->data + map->size, text};
    wmk_status status = read_index(&json, &list);
    if (status == WMK_OK) status = add_shards(model, &list);
    free(list.entries);
    return status;
}

const wmk_container wmk_container_index = {"index of shards", ".index.json", probe, open_index, NULL, NULL};
