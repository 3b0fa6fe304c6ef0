/* model/format/hdf5_group.c - the links of a group: symbol tables (III.A.1, III.B to III.D), link messages, or a heap of them behind a B-tree (IV.A.2.c). */
#include <string.h>

#include "model/format/hdf5.h"

typedef struct walk {
    wmk_hdf5_image *image;
    wmk_hdf5_link_fn visit;
    void *payload;
    wmk_hdf5_cursor names;     /* a symbol table's: the heap's data */
    const wmk_hdf5_heap *heap; /* of link messages */
} walk;

bool wmk_hdf5_is_group(const wmk_hdf5_object *object)
{
    return wmk_hdf5_object_find(object, WMK_HDF5_SYMBOL_TABLE) || wmk_hdf5_object_find(object, WMK_HDF5_LINK_INFO) ||
           wmk_hdf5_object_find(object, WMK_HDF5_LINK);
}

/* ---- symbol tables ---- */

static wmk_status symbol_node(walk *w, uint64_t address)
{
    wmk_hdf5_cursor c;
    const unsigned entry = 2u * w->image->offset_bytes + 24;
    WMK_TRY(wmk_hdf5_at(w->image, address, 8, "a symbol table node", &c));
    uint64_t count = c.at[6] | (uint64_t)c.at[7] << 8;
    WMK_TRY(wmk_hdf5_claim_at(w->image, address, 8 + count * entry, "SNOD", "a symbol table node", &c));
    c.at += 4;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t name = wmk_hdf5_take_address(w->image, &c), object = wmk_hdf5_take_address(w->image, &c), cache = wmk_hdf5_take(&c, 4);
        wmk_hdf5_take_bytes(&c, 20);
        if (cache == 2) continue; /* a symbolic link */
        uint64_t left = name <= (uint64_t)(w->names.end - w->names.at) ? (uint64_t)(w->names.end - w->names.at) - name : 0;
        const unsigned char *text = w->names.at + (left ? name : 0), *end = left ? memchr(text, 0, left) : NULL;
        if (!end) return wmk_fail(WMK_ERROR_INPUT, "a link's name lies outside of its group's heap");
        WMK_TRY(w->visit(w->payload, text, (size_t)(end - text), object));
    }
    return WMK_OK;
}

static wmk_status symbol_tree(walk *w, uint64_t address, int level)
{
    wmk_hdf5_cursor c;
    const unsigned offset = w->image->offset_bytes, length = w->image->length_bytes, head = 8 + 2 * offset;
    WMK_TRY(wmk_hdf5_at(w->image, address, 8, "a group's B-tree node", &c));
    uint64_t count = c.at[6] | (uint64_t)c.at[7] << 8;
    WMK_TRY(wmk_hdf5_claim_at(w->image, address, head + count * (offset + length) + length, "TREE", "a group's B-tree node", &c));
    unsigned type = (unsigned)wmk_hdf5_take(&c, 1), own = (unsigned)wmk_hdf5_take(&c, 1);
    if (type != 0) return wmk_fail(WMK_ERROR_INPUT, "a B-tree of type %u where a group's belongs", type);
    if (level < 0 ? own >= WMK_HDF5_TREE_DEPTH_MAX : own != (unsigned)level)
        return wmk_fail(WMK_ERROR_INPUT, "a B-tree node of level %u in the wrong place", own);
    wmk_hdf5_take_bytes(&c, 2 + 2 * offset);
    for (uint64_t i = 0; i < count; i++) {
        wmk_hdf5_take(&c, length);
        uint64_t child = wmk_hdf5_take_address(w->image, &c);
        WMK_TRY(own ? symbol_tree(w, child, (int)own - 1) : symbol_node(w, child));
    }
    return WMK_OK;
}

static wmk_status symbol_table(walk *w, const wmk_hdf5_message *message)
{
    wmk_hdf5_cursor at = message->body, c;
    const unsigned length = w->image->length_bytes, head = 8 + 2 * length + w->image->offset_bytes;
    uint64_t tree = wmk_hdf5_take_address(w->image, &at), heap = wmk_hdf5_take_address(w->image, &at);
    if (at.bad) return wmk_fail(WMK_ERROR_INPUT, "a symbol table message is cut off");
    WMK_TRY(wmk_hdf5_claim_at(w->image, heap, head, "HEAP", "a group's heap", &c));
    wmk_hdf5_take(&c, 4);
    uint64_t bytes = wmk_hdf5_take_length(w->image, &c);
    wmk_hdf5_take_length(w->image, &c);
    WMK_TRY(wmk_hdf5_claim_at(w->image, wmk_hdf5_take_address(w->image, &c), bytes, NULL, "the names of a group", &w->names));
    return symbol_tree(w, tree, -1);
}

/* ---- link messages ---- */

static wmk_status link_message(walk *w, wmk_hdf5_cursor c)
{
    unsigned version = (unsigned)wmk_hdf5_take(&c, 1), flags = (unsigned)wmk_hdf5_take(&c, 1);
    unsigned type = flags & 8 ? (unsigned)wmk_hdf5_take(&c, 1) : 0;
    if (flags & 4) wmk_hdf5_take(&c, 8);
    if (flags & 16) wmk_hdf5_take(&c, 1);
    uint64_t size = wmk_hdf5_take(&c, 1u << (flags & 3));
    const unsigned char *name = wmk_hdf5_take_bytes(&c, size);
    uint64_t address = type == 0 ? wmk_hdf5_take_address(w->image, &c) : 0;
    if (c.bad) return wmk_fail(WMK_ERROR_INPUT, "a link message is cut off");
    if (version != 1) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: link message version %u", version);
    return type == 0 ? w->visit(w->payload, name, (size_t)size, address) : WMK_OK;
}

/* A record of the index by name (type 5): hash, heap ID. */
static wmk_status link_record(void *payload, wmk_hdf5_cursor record, uint64_t block, uint64_t block_bytes)
{
    walk *w = payload;
    wmk_hdf5_cursor message;
    (void)block, (void)block_bytes;
    wmk_hdf5_take(&record, 4);
    WMK_TRY(wmk_hdf5_heap_get(w->heap, w->image, record, &message));
    return link_message(w, message);
}

static wmk_status dense_links(walk *w, const wmk_hdf5_message *message)
{
    wmk_hdf5_cursor c = message->body;
    wmk_hdf5_heap heap;
    wmk_hdf5_take(&c, 1);
    if (wmk_hdf5_take(&c, 1) & 1) wmk_hdf5_take(&c, 8);
    uint64_t heap_at = wmk_hdf5_take_address(w->image, &c), tree = wmk_hdf5_take_address(w->image, &c);
    if (c.bad) return wmk_fail(WMK_ERROR_INPUT, "a link info message is cut off");
    if (heap_at == WMK_HDF5_NOWHERE) return WMK_OK;
    WMK_TRY(wmk_hdf5_heap_open(&heap, w->image, heap_at));
    w->heap = &heap; /* cppcheck-suppress autoVariables ; taken back below */
    wmk_status status = wmk_hdf5_tree2(w->image, tree, 5, link_record, w);
    w->heap = NULL;
    return status;
}

wmk_status wmk_hdf5_links(wmk_hdf5_image *image, const wmk_hdf5_object *object, wmk_hdf5_link_fn visit, void *payload)
{
    walk w = {.image = image, .visit = visit, .payload = payload};
    const wmk_hdf5_message *table = wmk_hdf5_object_find(object, WMK_HDF5_SYMBOL_TABLE), *info = wmk_hdf5_object_find(object, WMK_HDF5_LINK_INFO);
    if (table) WMK_TRY(symbol_table(&w, table));
    if (info) WMK_TRY(dense_links(&w, info));
    for (size_t i = 0; i < object->count; i++)
        if (object->message[i].type == WMK_HDF5_LINK) WMK_TRY(link_message(&w, object->message[i].body));
    return WMK_OK;
}
