/* Writes tests/mark/vectors/: run once when a case is added (`make_vectors FOLDER`); what is there never changes. */
#include "mark/key_file.h"
#include "mark/vector_json.h"

int main(int argc, char **argv)
{
    if (argc != 2) return fprintf(stderr, "usage: make_vectors FOLDER\n"), 2;
    for (size_t i = 0; i < VECTOR_CASES; i++) {
        const vector_case *c = &vector_cases[i];
        wmk_key *key;
        char path[4096];
        if (vector_key(&key, c) != WMK_OK) return fprintf(stderr, "%s: %s\n", c->name, wmk_error_message()), 1;
        snprintf(path, sizeof path, "%s/%s.key", argv[1], c->name);
        wmk_status status = wmk_key_write_cost(key, path, c->passphrase, c->passphrase ? strlen(c->passphrase) : 0, false, 2, 64);
        if (status == WMK_OK) {
            json_t *root = vector_json(key, c);
            snprintf(path, sizeof path, "%s/%s.json", argv[1], c->name);
            if (json_dump_file(root, path, JSON_INDENT(1)) != 0) status = WMK_ERROR_SYSTEM;
            json_decref(root);
        } else if (status == WMK_ERROR_EXISTS) {
            printf("%s: kept\n", path);
            status = WMK_OK;
        }
        wmk_key_free(key);
        if (status != WMK_OK) return fprintf(stderr, "%s: %s\n", path, wmk_error_message()), 1;
    }
    return 0;
}
