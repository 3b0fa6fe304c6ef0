/* model/recognise.c - names the files people bring that are not read here, so that a refusal can say what it refuses. */
#include <string.h>

#include "model/format/zip.h"
#include "model/model.h"

static const struct {
    size_t offset;
    const char *bytes;
    size_t size;
    const char *what;
} magics[] = {
    {0, "version https://git-lfs", 23, "a Git LFS pointer: the file it stands for was not fetched"},
    {0, "PK\x03\x04", 4, "a zip archive"},
    {0, "\x1f\x8b", 2, "a gzip file"},
    {0, "\x28\xb5\x2f\xfd", 4, "a zstd file"},
    {257, "ustar", 5, "a tar archive (as PyTorch wrote before 0.1.10)"},
};

const char *wmk_recognise(const unsigned char *bytes, size_t size)
{
    if (size >= 4 && memcmp(bytes, "PK\x03\x04", 4) == 0 && !wmk_zip_probe(bytes, size)) return "a zip archive that is cut off: its end is missing";
    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++)
        if (size >= magics[i].offset + magics[i].size && memcmp(bytes + magics[i].offset, magics[i].bytes, magics[i].size) == 0)
            return magics[i].what;
    if (size >= 2 && bytes[0] == 0x80 && bytes[1] >= 2 && bytes[1] <= 5) return "a pickle that PyTorch did not write";
    return NULL;
}
