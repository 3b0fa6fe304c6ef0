/* model/format/hdf5_image.c - the superblock, and places in an image. */
#include <stdlib.h>
#include <string.h>

#include "model/format/hdf5.h"

static const unsigned char signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
enum { USER_BLOCK_MAX = 1 << 20 };

/* The superblock is at byte 0, or after a user block of 512, 1024, 2048, ... bytes. */
static bool find_superblock(const unsigned char *bytes, uint64_t size, uint64_t *at)
{
    for (*at = 0; *at <= USER_BLOCK_MAX && *at < size && size - *at >= sizeof signature; *at = *at ? 2 * *at : 512)
        if (memcmp(bytes + *at, signature, sizeof signature) == 0) return true;
    return false;
}

bool wmk_hdf5_probe(const unsigned char *bytes, size_t size)
{
    uint64_t at;
    return find_superblock(bytes, size, &at);
}

unsigned wmk_hdf5_width(uint64_t limit)
{
    unsigned bytes = 1;
    while (limit >>= 8) bytes++;
    return bytes;
}

/* Bob Jenkins, lookup3.c (2006, public domain): hashlittle with initial value 0, byte by byte. */
uint32_t wmk_hdf5_checksum(const unsigned char *bytes, size_t size)
{
#define ROTATE(x, k) ((x) << (k) | (x) >> (32 - (k)))
    uint32_t a = 0xdeadbeef + (uint32_t)size, b = a, c = a;
    unsigned char last[12] = {0};
    for (; size > 12; size -= 12, bytes += 12) {
        uint32_t word[3];
        for (int i = 0; i < 3; i++)
            word[i] = bytes[4 * i] | (uint32_t)bytes[4 * i + 1] << 8 | (uint32_t)bytes[4 * i + 2] << 16 | (uint32_t)bytes[4 * i + 3] << 24;
        a += word[0], b += word[1], c += word[2];
        a -= c, a ^= ROTATE(c, 4), c += b;
        b -= a, b ^= ROTATE(a, 6), a += c;
        c -= b, c ^= ROTATE(b, 8), b += a;
        a -= c, a ^= ROTATE(c, 16), c += b;
        b -= a, b ^= ROTATE(a, 19), a += c;
        c -= b, c ^= ROTATE(b, 4), b += a;
    }
    if (size == 0) return c;
    memcpy(last, bytes, size);
    uint32_t word[3];
    for (int i = 0; i < 3; i++)
        word[i] = last[4 * i] | (uint32_t)last[4 * i + 1] << 8 | (uint32_t)last[4 * i + 2] << 16 | (uint32_t)last[4 * i + 3] << 24;
    a += word[0], b += word[1], c += word[2];
    c ^= b, c -= ROTATE(b, 14);
    a ^= c, a -= ROTATE(c, 11);
    b ^= a, b -= ROTATE(a, 25);
    c ^= b, c -= ROTATE(b, 16);
    a ^= c, a -= ROTATE(c, 4);
    b ^= a, b -= ROTATE(a, 14);
    c ^= b, c -= ROTATE(b, 24);
    return c;
#undef ROTATE
}

wmk_status wmk_hdf5_check(const wmk_hdf5_image *image, const unsigned char *begin, uint64_t size, const char *what)
{
    wmk_hdf5_cursor cursor = {begin + size, image->bytes + image->size, false};
    uint32_t kept = (uint32_t)wmk_hdf5_take(&cursor, 4);
    if (cursor.bad) return wmk_fail(WMK_ERROR_INPUT, "truncated in the checksum of %s", what);
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* a fuzzer would not get past it */
    if (kept != wmk_hdf5_checksum(begin, size)) return wmk_fail(WMK_ERROR_INPUT, "%s: its checksum is wrong", what);
#else
    (void)kept;
#endif
    return WMK_OK;
}

wmk_status wmk_hdf5_at(const wmk_hdf5_image *image, uint64_t address, uint64_t size, const char *what, wmk_hdf5_cursor *out)
{
    if (address > image->size || size > image->size - address)
        return wmk_fail(WMK_ERROR_INPUT, "%s: bytes %llu and %llu more, the file has %llu", what, (unsigned long long)address,
                        (unsigned long long)size, (unsigned long long)image->size);
    *out = (wmk_hdf5_cursor){image->bytes + address, image->bytes + address + size, false};
    return WMK_OK;
}

wmk_status wmk_hdf5_claim_at(wmk_hdf5_image *image, uint64_t address, uint64_t size, const char *letters, const char *what, wmk_hdf5_cursor *out)
{
    WMK_TRY(wmk_hdf5_at(image, address, size, what, out));
    if (letters && (size < 4 || memcmp(out->at, letters, 4) != 0))
        return wmk_fail(WMK_ERROR_INPUT, "%s: no \"%s\" at byte %llu", what, letters, (unsigned long long)address);
    if (letters) out->at += 4;
    if (size > image->size - image->claimed)
        return wmk_fail(WMK_ERROR_INPUT, "%s at byte %llu: what refers to one another takes more bytes than there are, so something is used twice",
                        what, (unsigned long long)address);
    if (size == 0) return WMK_OK;
    image->claimed += size;
    if (image->claim_count == image->claim_capacity) {
        size_t capacity = image->claim_capacity ? 2 * image->claim_capacity : 64;
        WMK_TRY(wmk_resize(&image->claims, capacity, sizeof *image->claims));
        image->claim_capacity = capacity;
    }
    image->claims[image->claim_count++] = (wmk_hdf5_claim){address, address + size, what, image->name, image->name_bytes};
    return WMK_OK;
}

static int by_begin(const void *left, const void *right)
{
    const wmk_hdf5_claim *a = left, *b = right;
    if (a->begin != b->begin) return a->begin < b->begin ? -1 : 1;
    return a->end < b->end ? -1 : a->end > b->end;
}

wmk_status wmk_hdf5_check_claims(wmk_hdf5_image *image)
{
    if (image->claim_count > 1) qsort(image->claims, image->claim_count, sizeof *image->claims, by_begin);
    for (size_t i = 1; i < image->claim_count; i++) {
        const wmk_hdf5_claim *a = &image->claims[i - 1], *b = &image->claims[i];
        if (b->begin == a->begin && b->end == a->end && a->name != b->name && strcmp(a->what, b->what) == 0)
            return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: \"%.*s\" and \"%.*s\" are two links to one object (%s at byte %llu)",
                            a->name_bytes, (const char *)a->name, b->name_bytes, (const char *)b->name, a->what, (unsigned long long)a->begin);
        if (b->begin < a->end)
            return wmk_fail(WMK_ERROR_INPUT, "\"%.*s\": %s overlaps %s of \"%.*s\" at byte %llu", b->name_bytes, (const char *)b->name, b->what,
                            a->what, a->name_bytes, (const char *)a->name, (unsigned long long)b->begin);
    }
    return WMK_OK;
}

/* II.A: versions 0 and 1. */
static wmk_status superblock_1(wmk_hdf5_image *image, wmk_hdf5_cursor *c, unsigned version, uint64_t *base)
{
    wmk_hdf5_take(c, 4); /* versions of other structures */
    image->offset_bytes = (uint8_t)wmk_hdf5_take(c, 1);
    image->length_bytes = (uint8_t)wmk_hdf5_take(c, 1);
    if (image->offset_bytes > 8 || image->length_bytes > 8) return WMK_OK; /* the caller complains */
    wmk_hdf5_take_bytes(c, version ? 13 : 9);
    *base = wmk_hdf5_take_address(image, c);
    wmk_hdf5_take_address(image, c);
    image->end_at = (uint64_t)(c->at - image->bytes);
    wmk_hdf5_take_address(image, c);
    wmk_hdf5_take_address(image, c);
    wmk_hdf5_take_address(image, c); /* the root's entry: its name, its object header */
    image->root = wmk_hdf5_take_address(image, c);
    return WMK_OK;
}

/* Versions 2 and 3. */
static wmk_status superblock_2(wmk_hdf5_image *image, wmk_hdf5_cursor *c, uint64_t *base)
{
    const unsigned char *begin = c->at - 9;
    image->offset_bytes = (uint8_t)wmk_hdf5_take(c, 1);
    image->length_bytes = (uint8_t)wmk_hdf5_take(c, 1);
    if (image->offset_bytes > 8 || image->length_bytes > 8) return WMK_OK;
    wmk_hdf5_take(c, 1);
    *base = wmk_hdf5_take_address(image, c);
    wmk_hdf5_take_address(image, c);
    image->end_at = (uint64_t)(c->at - image->bytes);
    wmk_hdf5_take_address(image, c);
    image->root = wmk_hdf5_take_address(image, c);
    image->superblock_bytes = (uint64_t)(c->at - begin);
    return c->bad ? WMK_OK : wmk_hdf5_check(image, begin, image->superblock_bytes, "the superblock");
}

wmk_status wmk_hdf5_image_open(wmk_hdf5_image *image, const unsigned char *bytes, uint64_t size)
{
    uint64_t at, base = 0;
    if (!find_superblock(bytes, size, &at)) return wmk_fail(WMK_ERROR_INPUT, "no HDF5 signature");
    *image = (wmk_hdf5_image){.bytes = bytes + at, .size = size - at, .user_block = at};
    wmk_hdf5_cursor c = {image->bytes + sizeof signature, image->bytes + image->size, false};
    unsigned version = (unsigned)wmk_hdf5_take(&c, 1);
    if (version > 3) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: superblock version %u", version);
    WMK_TRY(version < 2 ? superblock_1(image, &c, version, &base) : superblock_2(image, &c, &base));
    if (c.bad) return wmk_fail(WMK_ERROR_INPUT, "truncated: the superblock does not fit");
    if ((image->offset_bytes != 4 && image->offset_bytes != 8) || (image->length_bytes != 4 && image->length_bytes != 8))
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: addresses of %u bytes and sizes of %u, only 4 and 8 are read", image->offset_bytes,
                        image->length_bytes);
    if (base != at)
        return wmk_fail(WMK_ERROR_INPUT, "the superblock at byte %llu says it is at %llu", (unsigned long long)at, (unsigned long long)base);
    wmk_hdf5_cursor end = {image->bytes + image->end_at, image->bytes + image->size, false};
    uint64_t stated = wmk_hdf5_take_address(image, &end); /* counted from the user block's first byte, unlike all others */
    if (stated != WMK_HDF5_NOWHERE && stated > size)
        return wmk_fail(WMK_ERROR_INPUT, "truncated: %llu bytes, its superblock says %llu", (unsigned long long)size, (unsigned long long)stated);
    return wmk_hdf5_claim_at(image, 0, (uint64_t)(c.at - image->bytes), NULL, "the superblock", &c);
}
