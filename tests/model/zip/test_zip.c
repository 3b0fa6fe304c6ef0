/* Archives that Python's zipfile wrote (make_reference.py): read, and changed in a copy again and again. What a change must leave: every member with its content and checksum, and all
 * bytes that are no member's content, size, checksum or place. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include "base/file.h"
#include "cmocka_wmk.h"
#include "model/format/zip.h"

enum { MEMBERS = 8, CONTENT_MAX = 40000 };

static const char *const archives[] = {WMK_SOURCE_DIR "/tests/model/zip/reference.zip", WMK_SOURCE_DIR "/tests/model/zip/streamed.zip"};

/* One is longer than what is moved at once. */
static size_t content_bytes(int index) { return index == 6 ? CONTENT_MAX : (size_t)(100 + 37 * index); }

/* What make_reference.py put there. */
static void fill_content(unsigned char *bytes, int index)
{
    for (size_t i = 0; i < content_bytes(index); i++) bytes[i] = (unsigned char)((i / (size_t)(8 + index) + (size_t)index) % 251);
}

static void open_archive(wmk_map *map, wmk_zip *zip, const char *path)
{
    assert_ok(wmk_map_open(map, path));
    assert_true(wmk_zip_probe(map->data, map->size));
    assert_ok(wmk_zip_open(zip, map));
    assert_int_equal(zip->count, MEMBERS);
}

static void close_archive(wmk_map *map, wmk_zip *zip)
{
    wmk_zip_close(zip);
    wmk_map_close(map);
}

static void check_member(const wmk_zip *zip, const wmk_map *map, int index, const unsigned char *expected)
{
    char name[24];
    static unsigned char bytes[CONTENT_MAX];
    snprintf(name, sizeof name, "folder/%d", index);
    const wmk_zip_member *member = wmk_zip_find(zip, name);
    assert_ptr_equal(member, &zip->member[index]);
    assert_int_equal(member->method, index % 3 ? 8 : 0);
    assert_int_equal(member->bytes, content_bytes(index));
    assert_int_equal(member->crc, crc32(0, expected, (uInt)member->bytes));
    assert_ok(wmk_zip_read(bytes, member, map));
    assert_memory_equal(bytes, expected, member->bytes);
}

static void test_read(void **state)
{
    (void)state;
    for (size_t a = 0; a < 2; a++) {
        wmk_map map;
        wmk_zip zip;
        open_archive(&map, &zip, archives[a]);
        for (int i = 0; i < MEMBERS; i++) {
            static unsigned char expected[CONTENT_MAX];
            fill_content(expected, i);
            check_member(&zip, &map, i, expected);
        }
        assert_null(wmk_zip_find(&zip, "folder/8"));
        assert_null(wmk_zip_find(&zip, ""));
        close_archive(&map, &zip);
    }
}

/* Runs from all alike to noise, so that stored sizes shrink and grow. */
static void random_content(unsigned char *bytes, int index)
{
    int kind = rand() % 3;
    for (size_t i = 0; i < content_bytes(index); i++) bytes[i] = (unsigned char)(kind == 0 ? 0 : kind == 1 ? (int)i % 7 : rand() >> 3);
}

static void temporary(char path[64]) { snprintf(path, 64, "/tmp/weightmark-test-zip-%d", (int)getpid()); }

/* Everything outside of the members' stored bytes, and in there all but the numbers that may change, is the source's. */
static void check_frame(const wmk_map *before, const wmk_zip *a, const wmk_map *after, const wmk_zip *b)
{
    for (int i = 0; i < MEMBERS; i++) {
        const wmk_zip_member *m = &a->member[i], *n = &b->member[i];
        const unsigned char *old = before->data + m->local, *new = after->data + n->local;
        assert_int_equal(m->offset - m->local, n->offset - n->local);
        assert_memory_equal(old, new, 14);                            /* before the checksum and sizes */
        assert_memory_equal(old + 26, new + 26, 4 + strlen(m->name)); /* after them, up to the extra field */
        assert_memory_equal(before->data + m->central, after->data + n->central, 16);
        assert_memory_equal(before->data + m->central + 28, after->data + n->central + 28, 14); /* up to the place */
    }
    assert_memory_equal(before->data + before->size - 17, after->data + after->size - 17, 17); /* the comment */
}

static void test_replace(void **state)
{
    (void)state;
    char path[64];
    int grown = 0, shrunk = 0;
    temporary(path);
    srand(1);
    for (int round = 0; round < 200; round++) {
        wmk_map map, again;
        wmk_zip zip, changed;
        wmk_output *copy;
        static unsigned char content[MEMBERS][CONTENT_MAX];
        const void *contents[MEMBERS] = {NULL};
        open_archive(&map, &zip, archives[round % 2]);
        for (int i = 0; i < MEMBERS; i++) {
            fill_content(content[i], i);
            if (rand() % 3) continue;
            random_content(content[i], i);
            contents[i] = content[i];
        }
        assert_ok(wmk_output_begin_copy(&copy, path, true, archives[round % 2]));
        assert_ok(wmk_zip_replace(copy, &zip, &map, contents));
        assert_ok(wmk_output_commit(copy));
        open_archive(&again, &changed, path);
        grown += again.size > map.size;
        shrunk += again.size < map.size;
        for (int i = 0; i < MEMBERS; i++) check_member(&changed, &again, i, content[i]);
        check_frame(&map, &zip, &again, &changed);
        close_archive(&again, &changed);
        close_archive(&map, &zip);
    }
    assert_true(grown > 20 && shrunk > 20);
    unlink(path);
}

/* The checksum of stored members that were changed in place; nothing else changes. */
static void test_refresh(void **state)
{
    (void)state;
    char path[64];
    temporary(path);
    for (int round = 0; round < 2; round++) {
        wmk_map map, again;
        wmk_zip zip, changed;
        wmk_output *copy;
        open_archive(&map, &zip, archives[round]);
        assert_ok(wmk_output_begin_copy(&copy, path, true, archives[round]));
        for (int i = 0; i < MEMBERS; i += 3) {
            assert_ok(wmk_output_write_at(copy, "changed", 7, zip.member[i].offset + 20));
            assert_ok(wmk_zip_refresh(copy, &zip.member[i]));
        }
        assert_ok(wmk_output_commit(copy));
        open_archive(&again, &changed, path);
        assert_int_equal(map.size, again.size);
        size_t differ = 0;
        for (size_t i = 0; i < map.size; i++) differ += map.data[i] != again.data[i];
        assert_true(differ <= 3 * (7 + 3 * 4)); /* three members; the checksum is there two or three times */
        for (int i = 0; i < MEMBERS; i++) {
            static unsigned char expected[CONTENT_MAX];
            fill_content(expected, i);
            if (i % 3 == 0) memcpy(expected + 20, "changed", 7);
            check_member(&changed, &again, i, expected);
        }
        check_frame(&map, &zip, &again, &changed);
        close_archive(&again, &changed);
        close_archive(&map, &zip);
    }
    unlink(path);
}

/* Cut anywhere, nothing is read past the end (the copy ends at an allocation's end, for the sanitizer to see). */
static void test_truncation(void **state)
{
    (void)state;
    for (size_t a = 0; a < 2; a++) {
        wmk_map map;
        assert_ok(wmk_map_open(&map, archives[a]));
        for (size_t cut = 0; cut < map.size; cut += cut < map.size - 1200 ? 997 : 3) {
            unsigned char *bytes = malloc(cut ? cut : 1);
            wmk_zip zip = {0};
            assert_non_null(bytes);
            memcpy(bytes, map.data, cut);
            assert_fails(wmk_zip_open(&zip, &(wmk_map){.data = bytes, .size = cut}), WMK_ERROR_INPUT, "zip: ");
            free(bytes);
        }
        wmk_map_close(&map);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_read), cmocka_unit_test(test_replace), cmocka_unit_test(test_refresh),
                                       cmocka_unit_test(test_truncation)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
