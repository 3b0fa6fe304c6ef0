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
                                    "model.gguf",
                                    "model.tflite"};
static const char *const endings[] = {".safetensors", ".index.json", ".gguf", ".onnx", ".keras", ".h5", ".tflite", ".pt", ".pth", ".bin", ".npz"};
enum { USUAL = sizeof usual / sizeof usual[0], ENDINGS = sizeof endings / sizeof endings[0] };

static bool has_ending(const char *name)
{
    size_t size = strlen(name);
    for (size_t i = 0; i < ENDINGS; i++) {
        size_t end = strlen(endings[i]);
        if (size > end && strcmp(name + size - end, endings[i]) == 0) return true;
    }
    return false;
}

typedef struct search {
    size_t best;      /* index into usual; USUAL: none yet */
    char *only;       /* a model file of another name */
    size_t others;    /* how many of those */
    wmk_buffer names; /* of those, for the message */
} search;

static wmk_status look_at(search *s, const char *name)
{
    for (size_t i = 0; i < s->best; i++)
        if (strcmp(usual[i], name) == 0) s->best = i;
    if (name[0] == '.' || !has_ending(name)) return WMK_OK;
    if (s->others++ == 0) WMK_TRY(wmk_strdup(&s->only, name));
    return s->others > 5 ? WMK_OK : wmk_buffer_printf(&s->names, "%s%.80s", s->others > 1 ? ", " : "", name);
}

static wmk_status decide(char **out, const search *s, const char *folder)
{
    if (s->best < USUAL) return wmk_format(out, "%s/%s", folder, usual[s->best]);
    if (s->others == 1) return wmk_format(out, "%s/%s", folder, s->only);
    if (s->others == 0) return wmk_fail(WMK_ERROR_INPUT, "%s: no model file in this folder", folder);
    return wmk_fail(WMK_ERROR_INPUT, "%s: which of the folder's %zu model files? name one of %.*s%s", folder, s->others, (int)s->names.size,
                    (const char *)s->names.data, s->others > 5 ? " ..." : "");
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
    free(s.only);
    wmk_buffer_free(&s.names);
    return status;
}
