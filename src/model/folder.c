/* model/folder.c - which file of a folder is its model, as hubs lay folders out. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/model.h"

/* Model files by their usual names, the most telling first. */
static const char *const usual[] = {"model.safetensors.index.json",
                                    "diffusion_pytorch_model.safetensors.index.json",
                                    "model.safetensors",
                                    "diffusion_pytorch_model.safetensors",
                                    "adapter_model.safetensors",
                                    "pytorch_model.bin.index.json",
                                    "pytorch_model.bin",
                                    "model.onnx",
                                    "model.keras",
                                    "model.weights.h5",
                                    "model.h5",
                                    "tf_model.h5",
                                    "model.gguf",
                                    "model.tflite"};
static const char index_ending[] = ".index.json";
static const char *const endings[] = {".safetensors", ".gguf", ".onnx", ".keras", ".h5", ".tflite", ".pt", ".pth", ".bin", ".npz"};
enum { USUAL = sizeof usual / sizeof usual[0], ENDINGS = sizeof endings / sizeof endings[0], SHOWN = 5 };

static bool ends_with(const char *name, const char *end)
{
    size_t size = strlen(name), end_size = strlen(end);
    return size > end_size && strcmp(name + size - end_size, end) == 0;
}

/* A part of a split GGUF file but the first: "name-00002-of-00003.gguf". The first one names the others. */
static bool is_later_part(const char *name)
{
    static const char pattern[] = "-#####-of-#####.gguf";
    size_t size = strlen(name), end = sizeof pattern - 1;
    if (size < end) return false;
    for (size_t i = 0; i < end; i++) {
        char c = name[size - end + i];
        if (pattern[i] == '#' ? c < '0' || c > '9' : c != pattern[i]) return false;
    }
    return strncmp(name + size - end, "-00001", 6) != 0;
}

static bool is_model_name(const char *name)
{
    for (size_t i = 0; i < ENDINGS; i++)
        if (ends_with(name, endings[i])) return !is_later_part(name);
    return false;
}

/* Files of one kind. */
typedef struct found {
    char *only; /* the first that was seen */
    size_t count;
} found;

typedef struct search {
    size_t best; /* index into usual; USUAL: none yet */
    found indexes, others;
    wmk_buffer names; /* for the message */
} search;

static wmk_status add(search *s, found *to, const char *name)
{
    if (to->count++ == 0) WMK_TRY(wmk_strdup(&to->only, name));
    size_t all = s->indexes.count + s->others.count;
    return all > SHOWN ? WMK_OK : wmk_buffer_printf(&s->names, "%s%.80s", all > 1 ? ", " : "", name);
}

static wmk_status look_at(search *s, const char *name)
{
    for (size_t i = 0; i < s->best; i++)
        if (strcmp(usual[i], name) == 0) s->best = i;
    if (name[0] == '.') return WMK_OK;
    if (ends_with(name, index_ending)) return add(s, &s->indexes, name);
    return is_model_name(name) ? add(s, &s->others, name) : WMK_OK;
}

static wmk_status decide(char **out, const search *s, const char *folder)
{
    size_t size = strlen(folder), count = s->indexes.count + s->others.count;
    const char *name = s->best < USUAL ? usual[s->best] : s->indexes.count == 1 ? s->indexes.only : count == 1 ? s->others.only : NULL;
    while (size > 1 && folder[size - 1] == '/') size--;
    if (name) return wmk_format(out, "%.*s%s%s", (int)size, folder, folder[size - 1] == '/' ? "" : "/", name);
    if (count == 0) return wmk_fail(WMK_ERROR_INPUT, "%s: no model file in this folder", folder);
    return wmk_fail(WMK_ERROR_INPUT, "%s: which of the folder's %zu model files? name one of %.*s%s", folder, count, (int)s->names.size,
                    (const char *)s->names.data, count > SHOWN ? " ..." : "");
}

wmk_status wmk_folder_model(char **out, const char *folder)
{
    search s = {.best = USUAL};
    DIR *directory = opendir(folder);
    if (!directory) return wmk_fail_errno("%s", folder);
    wmk_status status = WMK_OK;
    for (struct dirent *entry; status == WMK_OK && (entry = readdir(directory)) != NULL;) status = look_at(&s, entry->d_name);
    closedir(directory);
    if (status == WMK_OK) status = decide(out, &s, folder);
    free(s.indexes.only);
    free(s.others.only);
    wmk_buffer_free(&s.names);
    return status;
}
