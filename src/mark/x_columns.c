/* Schemes direct and diff: distinct columns by a keyed shuffle that is stopped after as many as are needed (docs/spec.md, "Schemes direct and diff"). */
#include "base/secret.h"
#include "mark/derive.h"
#include "mark/x.h"

/* A list a[0, M) with a[i] = i, of which only the changed places are stored: open addressing, at most half full. */
typedef struct sparse_list {
    struct sparse_entry {
        uint64_t place_plus_1; /* 0: free */
        uint64_t value;
    } * entries;
    size_t mask;
} sparse_list;

static struct sparse_entry *sparse_find(const sparse_list *list, uint64_t place)
{
    size_t at = (size_t)(place * 0x9e3779b97f4a7c15u >> 32) & list->mask;
    while (list->entries[at].place_plus_1 != 0 && list->entries[at].place_plus_1 != place + 1) at = (at + 1) & list->mask;
    return &list->entries[at];
}

static uint64_t sparse_get(const sparse_list *list, uint64_t place)
{
    const struct sparse_entry *entry = sparse_find(list, place);
    return entry->place_plus_1 ? entry->value : place;
}

static void sparse_set(const sparse_list *list, uint64_t place, uint64_t value)
{
    *sparse_find(list, place) = (struct sparse_entry){place + 1, value};
}

/* The key stream of nonce 0 as 64-bit numbers, taken one after another. */
typedef struct word_stream {
    const uint8_t *subkey;
    uint64_t block;
    size_t used;
    uint8_t bytes[8 * WMK_BLOCK_BYTES];
} word_stream;

static uint64_t next_word(word_stream *stream)
{
    if (stream->used == sizeof stream->bytes) {
        wmk_key_stream(stream->bytes, sizeof stream->bytes, stream->subkey, 0, stream->block);
        stream->block += sizeof stream->bytes / WMK_BLOCK_BYTES;
        stream->used = 0;
    }
    uint64_t word = wmk_load_u64(stream->bytes + stream->used);
    stream->used += 8;
    return word;
}

/* Uniform in [0, n): words below 2^64 mod n are passed over, so that what is left is a multiple of n. */
static uint64_t uniform(word_stream *stream, uint64_t n)
{
    uint64_t least = -n % n, word;
    do {
        word = next_word(stream);
    } while (word < least);
    return word % n;
}

typedef struct columns_call {
    const wmk_key *key;
    sparse_list list;
    size_t needed;
    uint64_t *plus, *minus;
} columns_call;

static void draw_columns(void *argument)
{
    const columns_call *call = argument;
    const wmk_key *key = call->key;
    sparse_list list = call->list;
    uint64_t *plus = call->plus, *minus = call->minus;
    word_stream stream = {.subkey = key->secret->x, .block = 0, .used = sizeof stream.bytes};
    for (size_t i = 0; i < call->needed; i++) { /* Fisher-Yates: a[i] changes places with a[j], j uniform in [i, M) */
        uint64_t j = i + uniform(&stream, key->M - i);
        uint64_t drawn = sparse_get(&list, j);
        sparse_set(&list, j, sparse_get(&list, i)); /* a[i] is never looked at again */
        if (!minus)
            plus[i] = drawn;
        else if (i % 2 == 0)
            plus[i / 2] = drawn;
        else
            minus[i / 2] = drawn;
    }
}

wmk_status wmk_x_columns(const wmk_key *key, uint64_t *plus, uint64_t *minus)
{
    columns_call call = {.key = key, .needed = (minus ? 2 : 1) * (size_t)key->T, .plus = plus, .minus = minus};
    size_t size = 16;
    while (size < 4 * call.needed) size *= 2; /* each draw writes one place */
    call.list.mask = size - 1;
    WMK_TRY(wmk_secret_alloc(&call.list.entries, size, sizeof *call.list.entries));
    wmk_secret_call(draw_columns, &call);
    wmk_secret_free(call.list.entries);
    return WMK_OK;
}
