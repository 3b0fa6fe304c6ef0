/* Strings are kept in a hash table by their first 8 bytes, before which stands a filter of one bit per hash. */
#include "search.h"

#include <stdlib.h>
#include <string.h>

enum { FILTER_BITS = 23, SLOT_BITS = 21, SLOTS = 1 << SLOT_BITS };

typedef struct entry {
    size_t offset; /* of its bytes in the arena */
    uint16_t size; /* 0: free */
    uint8_t kind, key;
} entry;

struct search {
    unsigned char *arena;
    size_t used, capacity, count;
    entry *slot;            /* [SLOTS] open addressing */
    unsigned char *filter;
};

static void *must(void *block)
{
    if (!block) abort();
    return block;
}

search *search_new(void)
{
    search *s = must(calloc(1, sizeof *s));
    s->slot = must(calloc(SLOTS, sizeof *s->slot));
    s->filter = must(calloc(1, (size_t)1 << (FILTER_BITS - 3)));
    return s;
}

static uint64_t hash_of(const unsigned char *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, 8);
    return word * UINT64_C(0x9e3779b97f4a7c15);
}

void search_add(search *s, const void *bytes, size_t size, unsigned kind, unsigned key)
{
    if (size < 8 || size > UINT16_MAX || 2 * ++s->count > SLOTS) abort();
    if (s->used + size > s->capacity) s->arena = must(realloc(s->arena, s->capacity = 2 * s->capacity + size));
    memcpy(s->arena + s->used, bytes, size);
    uint64_t hash = hash_of(bytes);
    size_t at = hash >> (64 - SLOT_BITS);
    while (s->slot[at].size) at = (at + 1) % SLOTS;
    s->slot[at] = (entry){s->used, (uint16_t)size, (uint8_t)kind, (uint8_t)key};
    s->filter[hash >> (64 - FILTER_BITS + 3)] |= (unsigned char)(1 << (hash >> (64 - FILTER_BITS) & 7));
    s->used += size;
}

void search_add_all(search *s, const void *bytes, size_t size, size_t window, size_t step, unsigned kind, unsigned key)
{
    for (size_t i = 0; i + window <= size; i += step) search_add(s, (const unsigned char *)bytes + i, window, kind, key);
}

void search_run(const search *s, const unsigned char *memory, size_t count, size_t size, search_found found, void *payload)
{
    for (size_t i = 0; i < count && i + 8 <= size; i++) {
        uint64_t hash = hash_of(memory + i);
        if (!(s->filter[hash >> (64 - FILTER_BITS + 3)] >> (hash >> (64 - FILTER_BITS) & 7) & 1)) continue;
        for (size_t at = hash >> (64 - SLOT_BITS); s->slot[at].size; at = (at + 1) % SLOTS) {
            const entry *e = &s->slot[at];
            if (e->size <= size - i && memcmp(s->arena + e->offset, memory + i, e->size) == 0) found(payload, e->kind, e->key, i);
        }
    }
}

void search_free(search *s)
{
    free(s->arena);
    free(s->slot);
    free(s->filter);
    free(s);
}
