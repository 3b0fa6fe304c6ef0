/* model/recognise.c - names the files people bring that are not read here, so that a refusal can say what it refuses. */
#include <string.h>

#include "model/model.h"

static const struct {
    size_t offset;
    const char *bytes;
    size_t size;
    const char *what;
} magics[] = {
    {0, "version https://git-lfs", 23, "a Git LFS pointer: the file it stands for was not fetched"},
    {0, "\x89HDF\r\n\x1a\n", 8, "an HDF5 (Keras) file"},
    {0, "\x1f\x8b", 2, "a gzip file"},
    {0, "\x28\xb5\x2f\xfd", 4, "a zstd file"},
    {257, "ustar", 5, "a tar archive (as PyTorch wrote before 0.1.10)"},
};

static bool contains(const unsigned char *bytes, size_t size, const char *text) { return memmem(bytes, size, text, strlen(text)) != NULL; }

/* The names in a zip's first local headers tell whose it is. */
static const char *zip(const unsigned char *bytes, size_t size)
{
    if (size > 4096) size = 4096;
    if (contains(bytes, size, "metadata.json") || contains(bytes, size, "model.weights.h5")) return "a Keras (zip) file";
    return "a zip archive";
}

const char *wmk_recognise(const unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++)
        if (size >= magics[i].offset + magics[i].size && memcmp(bytes + magics[i].offset, magics[i].bytes, magics[i].size) == 0)
            return magics[i].what;
    if (size >= 4 && memcmp(bytes, "PK\x03\x04", 4) == 0) return zip(bytes, size);
    if (size >= 2 && bytes[0] == 0x80 && bytes[1] >= 2 && bytes[1] <= 5) return "a pickle that PyTorch did not write";
    return NULL;
}
