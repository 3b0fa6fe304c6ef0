/* tests/data/small_sets.c */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "data/small_sets.h"

static void need(bool ok, const char *what)
{
    if (ok) return;
    perror(what);
    exit(99);
}

char *small_folder(void)
{
    const char *base = getenv("TMPDIR");
    char *folder = NULL;
    need(asprintf(&folder, "%s/wmk-test-XXXXXX", base && *base ? base : "/tmp") > 0, "asprintf");
    need(mkdtemp(folder) != NULL, folder);
    return folder;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info, (void)kind, (void)where;
    return remove(path);
}

void small_remove(const char *folder) { nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS); }

const char *small_path(const char *folder, const char *file)
{
    static char paths[3][4096];
    static int turn;
    char *path = paths[turn++ % 3];
    snprintf(path, sizeof paths[0], "%s/%s", folder, file);
    return path;
}

void small_write(const char *folder, const char *file, const void *bytes, size_t size, bool gzip)
{
    const char *path = small_path(folder, file);
    if (gzip) {
        gzFile out = gzopen(path, "wb1");
        need(out && (!size || gzwrite(out, bytes, (unsigned)size) == (int)size) && gzclose(out) == Z_OK, path);
    } else {
        FILE *out = fopen(path, "wb");
        need(out && fwrite(bytes, 1, size, out) == size && fclose(out) == 0, path);
    }
}

uint8_t small_pixel(size_t index, unsigned label, unsigned channel, unsigned y, unsigned x)
{
    uint32_t noise = (uint32_t)index * 2654435761u ^ (y * 73856093u) ^ (x * 19349663u) ^ (channel * 83492791u);
    noise = (noise ^ (noise >> 15)) * 2246822519u;
    unsigned bright = ((x / 4 + label) % 5 < 2) != ((y / 4 + label / 5) % 3 == 0);
    return (uint8_t)(bright * 160 + (noise >> 24) * 80 / 255);
}

static void put_u32(unsigned char *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (unsigned char)(v >> (24 - 8 * i));
}

static void idx_pair(const char *folder, const char *prefix, size_t first, uint32_t count, uint32_t side, bool gzip)
{
    size_t size = 16 + (size_t)count * side * side;
    unsigned char *images = malloc(size), *labels = malloc(8 + (size_t)count), *p = images + 16;
    need(images && labels, "malloc");
    put_u32(images, 0x803), put_u32(images + 4, count), put_u32(images + 8, side), put_u32(images + 12, side);
    put_u32(labels, 0x801), put_u32(labels + 4, count);
    for (uint32_t i = 0; i < count; i++) {
        labels[8 + i] = (unsigned char)(i % 10);
        for (unsigned y = 0; y < side; y++)
            for (unsigned x = 0; x < side; x++) *p++ = small_pixel(first + i, i % 10, 0, y, x);
    }
    char name[64];
    snprintf(name, sizeof name, "%s-images-idx3-ubyte%s", prefix, gzip ? ".gz" : "");
    small_write(folder, name, images, size, gzip);
    snprintf(name, sizeof name, "%s-labels-idx1-ubyte%s", prefix, gzip ? ".gz" : "");
    small_write(folder, name, labels, 8 + (size_t)count, gzip);
    free(images);
    free(labels);
}

void small_idx(const char *folder, uint32_t train_count, uint32_t test_count, uint32_t side, bool gzip)
{
    idx_pair(folder, "train", 0, train_count, side, gzip);
    idx_pair(folder, "t10k", 1000000, test_count, side, gzip);
}

static void cifar(const char *folder, const char *file, size_t first, size_t count, unsigned classes)
{
    size_t label_bytes = classes == 100 ? 2 : 1, record = label_bytes + 3072;
    unsigned char *bytes = malloc(count * record), *p = bytes;
    need(bytes != NULL, "malloc");
    for (size_t i = first; i < first + count; i++) {
        unsigned label = (unsigned)(i % classes);
        if (label_bytes == 2) *p++ = (unsigned char)(label / 5);
        *p++ = (unsigned char)label;
        for (unsigned c = 0; c < 3; c++)
            for (unsigned y = 0; y < 32; y++)
                for (unsigned x = 0; x < 32; x++) *p++ = small_pixel(i, label, c, y, x);
    }
    small_write(folder, file, bytes, count * record, false);
    free(bytes);
}

void small_cifar10(const char *folder, size_t per_file)
{
    char name[64];
    for (unsigned i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "data_batch_%u.bin", i + 1);
        cifar(folder, name, i * per_file, per_file, 10);
    }
    cifar(folder, "test_batch.bin", 1000000, per_file, 10);
}

void small_cifar100(const char *folder, size_t train_count, size_t test_count)
{
    cifar(folder, "train.bin", 0, train_count, 100);
    cifar(folder, "test.bin", 1000000, test_count, 100);
}
