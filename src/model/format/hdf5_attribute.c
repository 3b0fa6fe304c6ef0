/* model/format/hdf5_attribute.c - attributes that hold one text (IV.A.2.m). Those a heap keeps ("dense") are looked up through its B-tree. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "model/format/hdf5.h"

enum { CLASS_STRING = 3, CLASS_VARIABLE = 9 };

static wmk_hdf5_cursor take_part(wmk_hdf5_cursor *c, uint64_t size, bool padded)
{
    const unsigned char *at = wmk_hdf5_take_bytes(c, size);
    if (padded) wmk_hdf5_take_bytes(c, (8 - size % 8) % 8);
    return at ? (wmk_hdf5_cursor){at, at + size, false} : (wmk_hdf5_cursor){c->end, c->end, true};
}

/* False: cut off, of an unknown version, or with parts kept elsewhere. */
static bool parse(wmk_hdf5_cursor c, wmk_hdf5_attribute *out)
{
    unsigned version = (unsigned)wmk_hdf5_take(&c, 1), flags = (unsigned)wmk_hdf5_take(&c, 1);
    uint64_t name = wmk_hdf5_take(&c, 2), type = wmk_hdf5_take(&c, 2), space = wmk_hdf5_take(&c, 2);
    if (version < 1 || version > 3 || (version > 1 && flags)) return false;
    if (version == 3) wmk_hdf5_take(&c, 1);
    out->name = take_part(&c, name, version == 1);
    out->type = take_part(&c, type, version == 1);
    out->space = take_part(&c, space, version == 1);
    out->data = (wmk_hdf5_cursor){c.at, c.end, false};
    return !c.bad;
}

typedef struct reader {
    wmk_hdf5_image *image;
    const wmk_hdf5_heap *heap;
    wmk_hdf5_attributes *list;
} reader;

static wmk_status add(wmk_hdf5_attributes *list, wmk_hdf5_cursor message)
{
    wmk_hdf5_attribute attribute;
    if (!parse(message, &attribute)) return WMK_OK;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 8;
        WMK_TRY(wmk_resize(&list->attribute, capacity, sizeof *list->attribute));
        list->capacity = capacity;
    }
    list->attribute[list->count++] = attribute;
    return WMK_OK;
}

/* A record of the index by name (type 8): heap ID, flags, creation order, hash. */
static wmk_status attribute_record(void *payload, wmk_hdf5_cursor record, uint64_t block, uint64_t block_bytes)
{
    reader *r = payload;
    wmk_hdf5_cursor message;
    (void)block, (void)block_bytes;
    if (record.at[0] & 0x30) return WMK_OK; /* huge or tiny: not in the heap's blocks */
    WMK_TRY(wmk_hdf5_heap_get(r->heap, r->image, record, &message));
    return add(r->list, message);
}

wmk_status wmk_hdf5_attributes_read(wmk_hdf5_attributes *out, wmk_hdf5_image *image, const wmk_hdf5_object *object)
{
    const wmk_hdf5_message *info = wmk_hdf5_object_find(object, WMK_HDF5_ATTRIBUTE_INFO);
    wmk_hdf5_heap heap;
    reader r = {image, &heap, out};
    *out = (wmk_hdf5_attributes){0};
    for (size_t i = 0; i < object->count; i++)
        if (object->message[i].type == WMK_HDF5_ATTRIBUTE && !object->message[i].shared) WMK_TRY(add(out, object->message[i].body));
    if (!info) return WMK_OK;
    wmk_hdf5_cursor c = info->body;
    wmk_hdf5_take(&c, 1);
    if (wmk_hdf5_take(&c, 1) & 1) wmk_hdf5_take(&c, 2);
    uint64_t heap_at = wmk_hdf5_take_address(image, &c), tree = wmk_hdf5_take_address(image, &c);
    if (c.bad) return wmk_fail(WMK_ERROR_INPUT, "an attribute info message is cut off");
    if (heap_at == WMK_HDF5_NOWHERE || tree == WMK_HDF5_NOWHERE) return WMK_OK;
    WMK_TRY(wmk_hdf5_heap_open(&heap, image, heap_at));
    return wmk_hdf5_tree2(image, tree, 8, attribute_record, &r);
}

static const wmk_hdf5_attribute *find(const wmk_hdf5_attributes *attributes, const char *name)
{
    size_t size = strlen(name) + 1;
    for (size_t i = 0; i < attributes->count; i++) {
        wmk_hdf5_cursor own = attributes->attribute[i].name;
        if ((size_t)(own.end - own.at) >= size && memcmp(own.at, name, size) == 0) return &attributes->attribute[i];
    }
    return NULL;
}

bool wmk_hdf5_has_attribute(const wmk_hdf5_attributes *attributes, const char *name) { return find(attributes, name) != NULL; }

/* Texts are UTF-8 or they are not texts. */
static wmk_status copy_text(char **out, const unsigned char *bytes, size_t size, size_t limit)
{
    const unsigned char *end = memchr(bytes, 0, size);
    size_t length = end ? (size_t)(end - bytes) : size;
    if (length > limit) return WMK_OK;
    for (size_t at = 0, step; at < length; at += step)
        if ((step = wmk_utf8_length(bytes + at, bytes + length)) == 0) return WMK_OK;
    WMK_TRY(wmk_alloc(out, length + 1, 1));
    memcpy(*out, bytes, length);
    return WMK_OK;
}

wmk_status wmk_hdf5_attribute_text(char **out, wmk_hdf5_image *image, const wmk_hdf5_attributes *attributes, const char *name, size_t limit)
{
    const wmk_hdf5_attribute *found = find(attributes, name);
    unsigned type_class;
    wmk_dtype dtype;
    uint32_t bytes;
    *out = NULL;
    if (!found || wmk_hdf5_datatype(found->type, &dtype, &type_class, &bytes) != WMK_OK) return WMK_OK;
    wmk_hdf5_cursor space = found->space, data = found->data;
    wmk_hdf5_take(&space, 1);
    if (wmk_hdf5_take(&space, 1) != 0 || space.bad) return WMK_OK; /* rank: a list of texts */
    if (type_class == CLASS_STRING && bytes <= (size_t)(data.end - data.at)) return copy_text(out, data.at, bytes, limit);
    if (type_class != CLASS_VARIABLE) return WMK_OK;
    uint64_t size = wmk_hdf5_take(&data, 4), address = wmk_hdf5_take_address(image, &data), index = wmk_hdf5_take(&data, 4);
    if (data.bad || address == 0 || address == WMK_HDF5_NOWHERE) return WMK_OK;
    WMK_TRY(wmk_hdf5_global(image, address, index, &data));
    if (size > (size_t)(data.end - data.at)) return wmk_fail(WMK_ERROR_INPUT, "attribute \"%s\" is longer than what holds it", name);
    return copy_text(out, data.at, (size_t)size, limit);
}
