/* Writes tests/mark/vectors/: run once when a case is added (`make_vectors FOLDER`); what is there never changes. The weights of original.json and
 * balanced.json stand in those files already, and what follows from them is put beside. */
#include "mark/vector_models.h"

#include "mark/key_file.h"

static int told(const char *path) { return fprintf(stderr, "%s: %s\n", path, wmk_error_message()), 1; }

static int write_key(const char *folder, const vector_case *c)
{
    wmk_key *key;
    char path[4096];
    if (vector_key(&key, c) != WMK_OK) return told(c->name);
    snprintf(path, sizeof path, "%s/%s.key", folder, c->name);
    wmk_status status = wmk_key_write_cost(key, path, c->passphrase, c->passphrase ? strlen(c->passphrase) : 0, false, 2, 64);
    if (status == WMK_ERROR_EXISTS) {
        printf("%s: kept\n", path);
        status = WMK_OK;
    }
    if (status == WMK_OK) {
        json_t *root = vector_json(key, c);
        snprintf(path, sizeof path, "%s/%s.json", folder, c->name);
        if (json_dump_file(root, path, JSON_INDENT(1)) != 0) status = wmk_fail(WMK_ERROR_SYSTEM, "not written");
        json_decref(root);
    }
    wmk_key_free(key);
    return status == WMK_OK ? 0 : told(path);
}

static int write_models(const char *folder, const char *name)
{
    char path[4096];
    size_t i;
    json_t *one;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    json_t *cases = json_load_file(path, 0, NULL);
    if (!cases) return fprintf(stderr, "%s: no JSON\n", path), 1;
    json_array_foreach(cases, i, one)
    {
        if (json_object_get(one, "key"))
            vector_balanced_answer(one, folder);
        else
            vector_original_answer(one);
    }
    int result = json_dump_file(cases, path, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
    json_decref(cases);
    return result == 0 ? 0 : told(path);
}

int main(int argc, char **argv)
{
    if (argc != 2) return fprintf(stderr, "usage: make_vectors FOLDER\n"), 2;
    for (size_t i = 0; i < VECTOR_CASES; i++)
        if (write_key(argv[1], &vector_cases[i]) != 0) return 1;
    return write_models(argv[1], "original.json") || write_models(argv[1], "balanced.json");
}
