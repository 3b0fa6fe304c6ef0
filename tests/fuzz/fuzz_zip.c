/* Reads bytes as a zip archive. In one that opens every member lies inside, apart from the others, is found by its name, and is either read whole with the right checksum or refused. */
#include <string.h>
#include <zlib.h>

#include "base/memory.h"
#include "model/format/zip.h"
#include "tests/fuzz/fuzz.h"

enum { READ_BYTES_MAX = 1 << 22 }; /* of all members, so that an input takes no seconds */

static void check_content(const wmk_zip_member *member, const wmk_map *map)
{
    unsigned char *bytes;
    FUZZ_CHECK(wmk_alloc(&bytes, member->bytes, 1) == WMK_OK);
    wmk_status status = wmk_zip_read(bytes, member, map);
    FUZZ_CHECK(status == WMK_OK || status == WMK_ERROR_INPUT || status == WMK_ERROR_UNSUPPORTED);
    if (status == WMK_OK) FUZZ_CHECK(crc32_z(0, bytes, member->bytes) == member->crc);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wmk_map map = {.data = data, .size = size};
    wmk_zip zip = {0};
    uint64_t stored = 0, left = READ_BYTES_MAX;
    wmk_zip_probe(data, size);
    wmk_status status = wmk_zip_open(&zip, &map);
    if (status != WMK_OK) {
        FUZZ_CHECK((status == WMK_ERROR_INPUT || status == WMK_ERROR_UNSUPPORTED) && !zip.member);
        return 0;
    }
    for (size_t i = 0; i < zip.count; i++) {
        const wmk_zip_member *member = &zip.member[i];
        FUZZ_CHECK(member->local < member->offset && member->offset <= size && member->stored_bytes <= size - member->offset);
        FUZZ_CHECK(member->method != 0 || member->bytes == member->stored_bytes);
        FUZZ_CHECK(member->method != 8 || member->bytes <= 1032 * member->stored_bytes + 1031);
        FUZZ_CHECK(wmk_zip_find(&zip, member->name) == member);
        stored += member->stored_bytes;
        if (member->bytes > left) continue;
        left -= member->bytes;
        check_content(member, &map);
    }
    FUZZ_CHECK(stored <= size); /* none overlaps another */
    wmk_zip_close(&zip);
    return 0;
}
