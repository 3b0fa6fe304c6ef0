/* model/format/torch_legacy.c - reads what torch.save wrote before 1.6, and writes still when asked to (torch/serialization.py _legacy_save, _legacy_load): five pickles one after the
 * other - a magic number, the protocol 1001, a dict about the system, the objects, the list of the storages' keys - and then each storage in that order: its number of elements in 8
 * bytes, and its elements. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/format/torch.h"

enum { PROTOCOL = 1001, COUNT_BYTES = 8 };

/* LONG1 of ten bytes: 0x1950a86a20f9469cfc6c */
static const unsigned char magic[] = {0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};

/* PROTO, from protocol 4 on perhaps FRAME, and the number. */
static int probe(const unsigned char *bytes, size_t size)
{
    return size > 2 && bytes[0] == 0x80 && memmem(bytes, size < 32 ? size : 32, magic, sizeof magic) ? 95 : 0;
}

/* A storage that the pickle names, and where it is. */
typedef struct stored {
    wmk_torch_storage_id id;
    wmk_torch_storage where;
} stored;

typedef struct reader {
    const unsigned char *at, *begin, *end;
    stored *list; /* [count] by key */
    size_t count;
} reader;

static bool calls_nothing(const wmk_pickle *pickle, const wmk_pickle_value *global, const wmk_pickle_value *arguments)
{
    (void)pickle;
    (void)global;
    (void)arguments;
    return false;
}

static wmk_status next_pickle(reader *r, wmk_pickle *pickle, size_t *used, wmk_pickle_may_call may_call)
{
    WMK_TRY(wmk_pickle_read(pickle, used, r->at, (size_t)(r->end - r->at), may_call));
    r->at += *used;
    return WMK_OK;
}

/* Magic number, protocol, system. */
static wmk_status read_head(reader *r)
{
    wmk_pickle pickle;
    size_t used;
    WMK_TRY(next_pickle(r, &pickle, &used, calls_nothing));
    wmk_pickle_free(&pickle); /* the probe has seen the number */
    WMK_TRY(next_pickle(r, &pickle, &used, calls_nothing));
    bool known = pickle.value[pickle.root].kind == WMK_PICKLE_INT && pickle.value[pickle.root].integer == PROTOCOL;
    wmk_pickle_free(&pickle);
    if (!known) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: another protocol than %d", PROTOCOL);
    WMK_TRY(next_pickle(r, &pickle, &used, calls_nothing));
    const wmk_pickle_value *little = &pickle.value[wmk_pickle_get(&pickle, pickle.root, "little_endian")];
    bool big = little->kind == WMK_PICKLE_BOOL && !little->integer;
    wmk_pickle_free(&pickle);
    return big ? wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: big-endian data") : WMK_OK;
}

/* ---- storages ---- */

static int compare_keys(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    int order = memcmp(a, b, a_bytes < b_bytes ? a_bytes : b_bytes);
    return order ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

static int by_key(const void *left, const void *right)
{
    const wmk_torch_storage_id *a = &((const stored *)left)->id, *b = &((const stored *)right)->id;
    return compare_keys(a->key, a->key_bytes, b->key, b->key_bytes);
}

static stored *find_key(const reader *r, const char *key, size_t key_bytes)
{
    stored wanted = {.id = {.key = key, .key_bytes = key_bytes}};
    return r->count ? bsearch(&wanted, r->list, r->count, sizeof *r->list, by_key) : NULL;
}

static wmk_status find_storage(const wmk_torch_source *source, const wmk_torch_storage_id *id, wmk_torch_storage *out)
{
    const reader *r = source->payload;
    const stored *found = find_key(r, id->key, id->key_bytes);
    if (!found || !found->where.data)
        return wmk_fail(WMK_ERROR_INPUT, "its storage \"%.*s\" is not in the file", (int)(id->key_bytes < 256 ? id->key_bytes : 256), id->key);
    *out = found->where;
    return WMK_OK;
}

/* Every storage that the pickle names, once. */
static wmk_status list_storages(reader *r, const wmk_pickle *pickle)
{
    size_t named = 0;
    for (size_t i = 0; i < pickle->count; i++) named += pickle->value[i].kind == WMK_PICKLE_PERSISTENT;
    WMK_TRY(wmk_alloc(&r->list, named, sizeof *r->list));
    for (uint32_t i = 0; i < pickle->count; i++) {
        bool is_storage;
        WMK_TRY(wmk_torch_storage_of(pickle, i, &r->list[r->count].id, &is_storage));
        r->count += is_storage;
    }
    qsort(r->list, r->count, sizeof *r->list, by_key);
    size_t kept = 0;
    for (size_t i = 0; i < r->count; i++) {
        const wmk_torch_storage_id *id = &r->list[i].id, *last = kept ? &r->list[kept - 1].id : NULL;
        bool again = last && compare_keys(id->key, id->key_bytes, last->key, last->key_bytes) == 0;
        if (again && (id->bytes != last->bytes || id->element_bytes != last->element_bytes))
            return wmk_fail(WMK_ERROR_INPUT, "storage \"%.*s\" has two sizes", (int)(id->key_bytes < 256 ? id->key_bytes : 256), id->key);
        if (!again) r->list[kept++] = r->list[i];
    }
    r->count = kept;
    return WMK_OK;
}

/* One storage's bytes, which come next in the file. */
static wmk_status place_storage(reader *r, const wmk_pickle_value *key, size_t number)
{
    if (key->kind != WMK_PICKLE_TEXT) return wmk_fail(WMK_ERROR_INPUT, "a storage whose key is no text");
    int shown = (int)(key->text_bytes < 256 ? key->text_bytes : 256);
    stored *s = find_key(r, key->text, key->text_bytes);
    uint64_t elements = 0, bytes;
    if (!s) return wmk_fail(WMK_ERROR_INPUT, "storage \"%.*s\" is listed, and no tensor says what it is", shown, key->text);
    if (s->where.data) return wmk_fail(WMK_ERROR_INPUT, "storage \"%.*s\" is listed twice", shown, key->text);
    if (r->end - r->at < COUNT_BYTES) return wmk_fail(WMK_ERROR_INPUT, "truncated: nothing is left for storage \"%.*s\"", shown, key->text);
    for (int i = COUNT_BYTES; i-- > 0;) elements = elements << 8 | r->at[i];
    r->at += COUNT_BYTES;
    if (!wmk_mul_u64(elements, s->id.element_bytes, &bytes) || bytes != s->id.bytes)
        return wmk_fail(WMK_ERROR_INPUT, "storage \"%.*s\" has %llu elements, the pickle says %llu", shown, key->text, (unsigned long long)elements,
                        (unsigned long long)(s->id.bytes / s->id.element_bytes));
    if (bytes > (uint64_t)(r->end - r->at))
        return wmk_fail(WMK_ERROR_INPUT, "truncated: storage \"%.*s\" has %llu bytes, the file has %zu from there on", shown, key->text,
                        (unsigned long long)bytes, (size_t)(r->end - r->at));
    s->where = (wmk_torch_storage){.data = r->at, .offset_bytes = (uint64_t)(r->at - r->begin), .stored_bytes = bytes, .member = number};
    r->at += bytes;
    return WMK_OK;
}

static wmk_status place_storages(reader *r)
{
    wmk_pickle keys;
    size_t used;
    WMK_TRY(next_pickle(r, &keys, &used, calls_nothing));
    const wmk_pickle_value *list = &keys.value[keys.root];
    wmk_status status = list->kind == WMK_PICKLE_LIST ? WMK_OK : wmk_fail(WMK_ERROR_INPUT, "the storages' keys are no list");
    for (uint32_t i = 0; status == WMK_OK && i < list->count; i++) status = place_storage(r, &keys.value[list->item[i]], i);
    wmk_pickle_free(&keys);
    if (status == WMK_OK && r->at != r->end)
        return wmk_fail(WMK_ERROR_INPUT, "%zu bytes after the last storage belong to nothing", (size_t)(r->end - r->at));
    return status;
}

static wmk_status read_objects(reader *r, wmk_torch_source *source)
{
    wmk_pickle objects;
    size_t used;
    WMK_TRY(next_pickle(r, &objects, &used, wmk_torch_may_call));
    source->pickle = &objects;
    source->pickle_bytes = used;
    wmk_status status = list_storages(r, &objects);
    if (status == WMK_OK) status = place_storages(r);
    if (status == WMK_OK) status = wmk_torch_add_tensors(source);
    source->pickle = NULL;
    wmk_pickle_free(&objects);
    return status;
}

static wmk_status open_legacy(wmk_model *model, uint32_t file)
{
    const wmk_map *map = &model->files[file].map;
    reader r = {.at = map->data, .begin = map->data, .end = map->data + map->size};
    wmk_torch_source source = {.model = model, .file = file, .find = find_storage, .payload = &r};
    WMK_TRY(wmk_model_add_metadata(model, "framework", "pytorch"));
    WMK_TRY(read_head(&r));
    wmk_status status = read_objects(&r, &source);
    free(r.list);
    free(source.place);
    return status;
}

const wmk_container wmk_container_torch_legacy = {"pytorch-legacy", ".pth", probe, open_legacy, NULL, NULL};
