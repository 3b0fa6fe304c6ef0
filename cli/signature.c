/* cli/signature.c - by the names that signing tools use: OpenSSF's model signing (model.sig), sigstore, OpenPGP, minisign, signify, sha256sum. */
#include "signature.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const words[] = {"signature", "sigstore", "c2pa", "checksum", "sha256", "digest"};
static const char *const beside_folder[] = {"model.sig", "model.sigstore.json", "claims.jsonld", "SHA256SUMS", "SHA256SUMS.asc", "CHECKSUM"};
static const char *const beside_file[] = {".sig", ".asc", ".minisig", ".sigstore", ".sigstore.json", ".bundle", ".sha256", ".sha256sum"};
#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

static bool add(signature_list *list, char *name)
{
    char **grown = name ? realloc(list->name, (list->count + 1) * sizeof *grown) : NULL;
    if (!grown) {
        free(name);
        return false;
    }
    list->name = grown;
    grown[list->count++] = name;
    return true;
}

static bool add_file(signature_list *list, const char *path, size_t length, const char *end)
{
    char *name;
    if (asprintf(&name, "%.*s%s", (int)length, path, end) < 0) return false;
    if (access(name, F_OK) == 0) return add(list, name);
    free(name);
    return true;
}

static bool add_metadata(signature_list *list, const wmk_model *model)
{
    for (size_t i = 0; i < wmk_model_metadata_count(model); i++) {
        const char *name, *value;
        char *text;
        bool signs = false;
        wmk_model_metadata_at(model, i, &name, &value);
        for (size_t w = 0; w < LENGTH(words); w++) signs |= strcasestr(name, words[w]) != NULL;
        if (!signs) continue;
        if (asprintf(&text, "metadata %s", name) < 0 || !add(list, text)) return false;
    }
    return true;
}

bool signatures_of(signature_list *out, const wmk_model *model)
{
    *out = (signature_list){NULL, 0};
    bool done = add_metadata(out, model);
    for (uint32_t file = 0; done && file < wmk_model_file_count(model); file++) {
        const char *path = wmk_model_file_path(model, file);
        for (size_t i = 0; done && i < LENGTH(beside_file); i++) done = add_file(out, path, strlen(path), beside_file[i]);
    }
    const char *first = wmk_model_file_path(model, 0), *slash = strrchr(first, '/');
    for (size_t i = 0; done && i < LENGTH(beside_folder); i++) done = add_file(out, first, slash ? (size_t)(slash - first) + 1 : 0, beside_folder[i]);
    if (!done) signatures_free(out);
    return done;
}

void signatures_free(signature_list *list)
{
    for (size_t i = 0; i < list->count; i++) free(list->name[i]);
    free(list->name);
    *list = (signature_list){NULL, 0};
}
