/* Files: what is refused, what appears, and that nothing half-written ever does. */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "cmocka_wmk.h"

static char folder[] = "/tmp/wmk-test-XXXXXX";

static int enter_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return chdir("/") == 0 ? system(command) : -1;
}

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void assert_holds(const char *path, const char *text)
{
    unsigned char *bytes;
    size_t size;
    assert_ok(wmk_file_read(&bytes, &size, path, 1 << 20));
    assert_int_equal(size, strlen(text));
    assert_string_equal((char *)bytes, text);
    free(bytes);
}

/* Files in the folder whose name begins with ".wmk-". */
static int leftovers(void)
{
    int count = 0;
    DIR *open_folder = opendir(".");
    for (struct dirent *entry; (entry = readdir(open_folder));) count += strncmp(entry->d_name, ".wmk-", 5) == 0;
    closedir(open_folder);
    return count;
}

static void maps_show_the_bytes(void **state)
{
    (void)state;
    wmk_map map;
    put("plain", "abc");
    assert_ok(wmk_map_open(&map, "plain"));
    assert_int_equal(map.size, 3);
    assert_memory_equal(map.data, "abc", 3);
    wmk_map_close(&map);
    wmk_map_close(&map);
    put("empty", "");
    assert_ok(wmk_map_open(&map, "empty"));
    assert_null(map.data);
    assert_int_equal(map.size, 0);
    wmk_map_close(&map);
}

static void what_is_no_file_is_refused(void **state)
{
    (void)state;
    wmk_map map;
    unsigned char *bytes;
    size_t size;
    assert_fails(wmk_map_open(&map, "absent"), WMK_ERROR_MISSING, "absent: No such file");
    assert_fails(wmk_map_open(&map, "."), WMK_ERROR_INPUT, "folder");
    assert_int_equal(mkfifo("pipe", 0600), 0);
    assert_fails(wmk_map_open(&map, "pipe"), WMK_ERROR_INPUT, "not a regular file");
    assert_fails(wmk_file_read(&bytes, &size, "/dev/null", 10), WMK_ERROR_INPUT, "not a regular file");
    put("big", "12345");
    assert_fails(wmk_file_read(&bytes, &size, "big", 4), WMK_ERROR_INPUT, "5 bytes, at most 4");
}

static void an_output_appears_at_commit(void **state)
{
    (void)state;
    wmk_output *output;
    assert_ok(wmk_output_begin(&output, "new", 0600, false));
    assert_ok(wmk_output_write(output, "hello ", 6));
    assert_ok(wmk_output_write(output, "world", 5));
    assert_ok(wmk_output_write_at(output, "J", 1, 0));
    assert_int_equal(access("new", F_OK), -1);
    assert_int_equal(leftovers(), 0); /* this file system has unnamed files */
    assert_holds(wmk_output_temporary_path(output), "Jello world");
    assert_ok(wmk_output_commit(output));
    assert_holds("new", "Jello world");
    assert_int_equal(leftovers(), 0);
    struct stat info;
    assert_int_equal(stat("new", &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
}

static void an_existing_file_is_kept(void **state)
{
    (void)state;
    wmk_output *output;
    put("old", "old");
    assert_fails(wmk_output_begin(&output, "old", 0666, false), WMK_ERROR_EXISTS, "exists already");
    assert_ok(wmk_output_begin(&output, "late", 0666, false));
    put("late", "someone else's");
    assert_fails(wmk_output_commit(output), WMK_ERROR_EXISTS, "late: exists already");
    assert_holds("late", "someone else's");
    assert_ok(wmk_output_begin(&output, "old", 0666, true));
    assert_ok(wmk_output_write(output, "new", 3));
    wmk_output_abort(output);
    assert_holds("old", "old");
    assert_ok(wmk_output_begin(&output, "old", 0666, true));
    assert_ok(wmk_output_write(output, "new", 3));
    assert_ok(wmk_output_commit(output));
    assert_holds("old", "new");
    assert_int_equal(leftovers(), 0);
}

static void bad_places_are_refused(void **state)
{
    (void)state;
    wmk_output *output;
    assert_fails(wmk_output_begin(&output, "", 0666, false), WMK_ERROR_MISSING, "empty");
    assert_fails(wmk_output_begin(&output, ".", 0666, true), WMK_ERROR_INPUT, "folder");
    assert_fails(wmk_output_begin(&output, "/dev/full", 0666, true), WMK_ERROR_INPUT, "not a regular file");
    assert_fails(wmk_output_begin(&output, "no/such/place", 0666, true), WMK_ERROR_MISSING, "no/such/place");
    wmk_output_abort(NULL);
}

static void a_link_stays_a_link(void **state)
{
    (void)state;
    wmk_output *output;
    put("behind", "old");
    assert_int_equal(symlink("behind", "link"), 0);
    assert_ok(wmk_output_begin(&output, "link", 0666, true));
    assert_ok(wmk_output_write(output, "new", 3));
    assert_ok(wmk_output_commit(output));
    assert_holds("behind", "new");
    struct stat info;
    assert_int_equal(lstat("link", &info), 0);
    assert_true(S_ISLNK(info.st_mode));
}

static void a_copy_is_the_source(void **state)
{
    (void)state;
    enum { SIZE = 3 << 20 };
    char *text = malloc(SIZE + 1);
    for (int i = 0; i < SIZE; i++) text[i] = (char)('a' + i % 23);
    text[SIZE] = 0;
    put("source", text);
    wmk_output *output;
    assert_int_equal(chmod("source", 0640), 0);
    assert_ok(wmk_output_begin_copy(&output, "copy", false, "source"));
    assert_ok(wmk_output_write_at(output, "ZZ", 2, SIZE - 2));
    assert_ok(wmk_output_write(output, "!", 1));
    assert_ok(wmk_output_commit(output));
    struct stat info;
    assert_int_equal(stat("copy", &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640); /* a private model stays private */
    wmk_map map;
    assert_ok(wmk_map_open(&map, "copy"));
    assert_int_equal(map.size, SIZE + 1);
    assert_memory_equal(map.data, text, SIZE - 2);
    assert_memory_equal(map.data + SIZE - 2, "ZZ!", 3);
    wmk_map_close(&map);
    free(text);
}

/* A process that dies while it writes leaves the old file and nothing else. */
static void death_leaves_the_old_file(void **state)
{
    (void)state;
    put("kept", "old");
    pid_t child = fork();
    if (child == 0) {
        wmk_output *output;
        if (wmk_output_begin(&output, "kept", 0666, true) != WMK_OK || wmk_output_write(output, "new", 3) != WMK_OK) _exit(1);
        raise(SIGKILL);
    }
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFSIGNALED(result));
    assert_int_equal(leftovers(), 0);
    assert_holds("kept", "old");
}

/* Where files without a name do not exist (/proc is hidden here, which forbids linking them), temporary names are used and cleaned up. */
static void named_outputs_behave_alike(void **state)
{
    (void)state;
    put("kept", "old");
    pid_t child = fork();
    if (child == 0) {
        wmk_output *output;
        if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 || mount("none", "/proc", "tmpfs", 0, NULL) != 0)
            _exit(77);
        if (wmk_output_begin(&output, "named", 0666, false) != WMK_OK || wmk_output_write(output, "new", 3) != WMK_OK) _exit(1);
        if (leftovers() != 1 || strcmp(wmk_output_temporary_path(output), "named") == 0) _exit(2);
        if (wmk_output_commit(output) != WMK_OK) _exit(3);
        if (wmk_output_begin(&output, "named", 0666, false) != WMK_ERROR_EXISTS) _exit(4);
        if (wmk_output_begin(&output, "named", 0666, true) != WMK_OK || wmk_output_write(output, "newer", 5) != WMK_OK) _exit(5);
        if (wmk_output_commit(output) != WMK_OK) _exit(6);
        if (wmk_output_begin(&output, "kept", 0666, true) != WMK_OK || wmk_output_write(output, "new", 3) != WMK_OK) _exit(7);
        wmk_abort_outputs();
        _exit(0);
    }
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    if (WIFEXITED(result) && WEXITSTATUS(result) == 77) skip(); /* not root: /proc cannot be hidden */
    assert_int_equal(result, 0);
    assert_int_equal(leftovers(), 0);
    assert_holds("kept", "old");
    assert_holds("named", "newer");
}

/* In a process of its own: a disk of `bytes` at `place`, and a copy to be filled on it of a source of 1 MB, which fits or does not. */
static void copy_onto_a_disk(const char *place, unsigned bytes, const char *source)
{
    assert_int_equal(mkdir(place, 0777), 0);
    pid_t child = fork();
    if (child == 0) {
        wmk_output *output;
        struct stat info;
        char options[32], path[64];
        bool cloned;
        snprintf(options, sizeof options, "size=%u", bytes);
        snprintf(path, sizeof path, "%s/copy", place);
        if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 || mount("none", place, "tmpfs", 0, options) != 0)
            _exit(77);
        wmk_status status = wmk_output_begin_like(&output, path, false, source, &cloned);
        if (bytes < 1 << 20) _exit(status == WMK_ERROR_SYSTEM && strstr(wmk_error_message(), "No space left") ? 0 : 1);
        if (status != WMK_OK || cloned) _exit(2);
        if (stat(wmk_output_temporary_path(output), &info) != 0 || info.st_size != 1 << 20 || info.st_blocks < (1 << 20) / 512) _exit(3);
        _exit(wmk_output_commit(output) == WMK_OK ? 0 : 4);
    }
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    if (WIFEXITED(result) && WEXITSTATUS(result) == 77) skip(); /* not root: nothing can be mounted */
    assert_int_equal(result, 0);
}

/* It has its room from the beginning, or is refused: a hole would end the process (SIGBUS) when it is read through a mapping and the disk is full. */
static void a_copy_to_be_filled_has_its_room(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    char *text = malloc(SIZE + 1);
    assert_non_null(text);
    memset(text, 'x', SIZE);
    text[SIZE] = 0;
    put("megabyte", text);
    free(text);
    copy_onto_a_disk("small", 512 << 10, "megabyte");
    copy_onto_a_disk("large", 2 << 20, "megabyte");
}

/* More than is left in the page cache at a time, not in order, and read again. */
static void written_through_is_all_there(void **state)
{
    (void)state;
    enum { COUNT = 75, EACH = (1 << 20) + 24 };
    wmk_output *output;
    unsigned char *bytes = malloc(EACH);
    assert_non_null(bytes);
    assert_ok(wmk_output_begin(&output, "through", 0666, false));
    for (unsigned i = 0; i < COUNT; i++) {
        unsigned at = i * 31 % COUNT;
        memset(bytes, (int)at, EACH);
        assert_ok(wmk_output_write_through(output, bytes, EACH, (uint64_t)at * EACH));
    }
    assert_ok(wmk_output_read_at(output, bytes, EACH, 3 * (uint64_t)EACH));
    assert_true(bytes[0] == 3 && bytes[EACH - 1] == 3);
    assert_ok(wmk_output_write_through(output, "end", 3, (uint64_t)COUNT * EACH));
    assert_ok(wmk_output_commit(output));
    free(bytes);
    wmk_map map;
    assert_ok(wmk_map_open(&map, "through"));
    assert_int_equal(map.size, (size_t)COUNT * EACH + 3);
    for (size_t at = 0; at < map.size - 3; at += 4093) assert_int_equal(map.data[at], at / EACH);
    assert_memory_equal(map.data + map.size - 3, "end", 3);
    wmk_map_close(&map);
    assert_int_equal(unlink("through"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_show_the_bytes),
        cmocka_unit_test(what_is_no_file_is_refused),
        cmocka_unit_test(an_output_appears_at_commit),
        cmocka_unit_test(an_existing_file_is_kept),
        cmocka_unit_test(bad_places_are_refused),
        cmocka_unit_test(a_link_stays_a_link),
        cmocka_unit_test(a_copy_is_the_source),
        cmocka_unit_test(death_leaves_the_old_file),
        cmocka_unit_test(written_through_is_all_there),
        cmocka_unit_test(named_outputs_behave_alike),
        cmocka_unit_test(a_copy_to_be_filled_has_its_room),
    };
    return cmocka_run_group_tests(tests, enter_folder, remove_folder);
}
