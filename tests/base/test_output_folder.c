/* Folders that appear whole or not at all. The oracle is the file system: what diff -r, ls and stat see. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/output.h"
#include "cmocka_wmk.h"

static char scratch[] = "/tmp/wmk-test-XXXXXX";

static int enter(void **state)
{
    (void)state;
    memcpy(scratch + strlen(scratch) - 6, "XXXXXX", 6);
    umask(022);
    return mkdtemp(scratch) && chdir(scratch) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "chmod -R u+rwx %s; rm -rf %s", scratch, scratch);
    return chdir("/") == 0 ? system(command) : -1;
}

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void make_folder(const char *path) { assert_int_equal(mkdir(path, 0777), 0); }

static void assert_holds(const char *path, const char *text)
{
    unsigned char *bytes;
    size_t size;
    assert_ok(wmk_file_read(&bytes, &size, path, 1 << 20));
    assert_string_equal((char *)bytes, text);
    free(bytes);
}

static void assert_command(const char *command) { assert_int_equal(system(command), 0); }

static int entries(const char *path)
{
    int count = 0;
    DIR *listing = opendir(path);
    assert_non_null(listing);
    while (readdir(listing)) count++;
    closedir(listing);
    return count - 2;
}

static bool is_there(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

static unsigned mode_of(const char *path)
{
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return info.st_mode & 0777;
}

static bool skip_none(void *payload, const char *relative) { return (void)payload, (void)relative, false; }

static bool skip_named(void *payload, const char *relative) { return strcmp(relative, payload) == 0; }

static wmk_output_folder *begin(const char *path, bool replace)
{
    wmk_output_folder *folder;
    assert_ok(wmk_output_folder_begin(&folder, path, 0777, replace));
    return folder;
}

/* A file of the folder that is being made. */
static void add(const wmk_output_folder *folder, const char *name, const char *text)
{
    wmk_output *output;
    char *path;
    assert_ok(wmk_format(&path, "%s/%s", wmk_output_folder_path(folder), name));
    assert_ok(wmk_output_begin(&output, path, 0666, false));
    assert_ok(wmk_output_write(output, text, strlen(text)));
    assert_ok(wmk_output_commit(output));
    free(path);
}

/* A folder as hubs' caches have it: links to blobs, a subfolder, an empty one, odd names. */
static void make_source(void)
{
    make_folder("blobs");
    put("blobs/0a1b", "weights");
    make_folder("source");
    assert_int_equal(symlink("../blobs/0a1b", "source/model"), 0);
    put("source/config.json", "{}");
    put("source/odd \n \xff name", "odd");
    put("source/.hidden", "hidden");
    put("source/.wmk-0123456789abcdef", "someone's unfinished output");
    make_folder("source/tokenizer");
    put("source/tokenizer/vocab", "a b c");
    make_folder("source/empty");
}

static void appears_at_commit(void **state)
{
    (void)state;
    wmk_output_folder *folder = begin("new", false);
    add(folder, "a", "first");
    assert_false(is_there("new"));
    assert_ok(wmk_output_folder_check(folder, NULL, NULL));
    assert_ok(wmk_output_folder_commit(folder));
    assert_holds("new/a", "first");
    assert_int_equal(mode_of("new"), 0755);
    assert_int_equal(entries("."), 1);
}

static void aborted_is_gone(void **state)
{
    (void)state;
    wmk_output_folder *folder = begin("new", false);
    char deep[1024] = "", file[1100];
    size_t size = (size_t)snprintf(deep, sizeof deep, "%s", wmk_output_folder_path(folder));
    for (int i = 0; i < 40; i++) { /* a tree, with folders that cannot be written to */
        size += (size_t)snprintf(deep + size, sizeof deep - size, "/d%d", i);
        make_folder(deep);
        for (int k = 0; k < 40; k++) {
            snprintf(file, sizeof file, "%s/a-file-with-a-rather-long-name-%d", deep, k);
            put(file, "x");
        }
    }
    assert_int_equal(chmod(deep, 0500), 0);
    make_folder("kept");
    put("kept/file", "kept");
    snprintf(file, sizeof file, "%s/link", wmk_output_folder_path(folder));
    assert_int_equal(symlink("../kept", file), 0);
    wmk_output_folder_abort(folder);
    wmk_output_folder_abort(NULL);
    assert_holds("kept/file", "kept"); /* links are not followed by removal */
    assert_int_equal(entries("."), 1);
}

static void a_copy_is_the_source(void **state)
{
    (void)state;
    make_source();
    assert_int_equal(chmod("source", 0700), 0); /* a private model stays private */
    assert_int_equal(chmod("source/config.json", 0600), 0);
    assert_int_equal(chmod("source/tokenizer", 0550), 0);
    wmk_output_folder *folder;
    assert_ok(wmk_output_folder_begin(&folder, "copy", 0700, false));
    assert_ok(wmk_output_folder_copy(folder, "source", skip_none, NULL));
    assert_ok(wmk_output_folder_commit(folder));
    unlink("source/.wmk-0123456789abcdef");
    assert_command("diff -r source copy");
    struct stat info;
    assert_int_equal(lstat("copy/model", &info), 0);
    assert_true(S_ISREG(info.st_mode));
    assert_int_equal(mode_of("copy"), 0700);
    assert_int_equal(mode_of("copy/config.json"), 0600);
    assert_int_equal(mode_of("copy/tokenizer"), 0750); /* of the owner, as it had to be filled */
}

static void skipped_files_are_left_to_the_caller(void **state)
{
    (void)state;
    make_source();
    wmk_output_folder *folder = begin("copy", false);
    assert_ok(wmk_output_folder_copy(folder, "source", skip_named, (void *)"tokenizer/vocab"));
    add(folder, "tokenizer/vocab", "own");
    assert_ok(wmk_output_folder_commit(folder));
    assert_holds("copy/tokenizer/vocab", "own");
    assert_holds("copy/model", "weights");
}

static void what_exists_is_kept(void **state)
{
    (void)state;
    wmk_output_folder *folder;
    make_folder("old");
    put("file", "file");
    assert_int_equal(symlink("nowhere", "dangling"), 0);
    assert_fails(wmk_output_folder_begin(&folder, "old", 0777, false), WMK_ERROR_EXISTS, "old: exists already and is kept");
    assert_fails(wmk_output_folder_begin(&folder, "old/", 0777, false), WMK_ERROR_EXISTS, "old/: exists already");
    assert_fails(wmk_output_folder_begin(&folder, ".", 0777, false), WMK_ERROR_EXISTS, "exists already");
    assert_fails(wmk_output_folder_begin(&folder, "file", 0777, false), WMK_ERROR_INPUT, "file: is a file, and the output is a folder");
    assert_fails(wmk_output_folder_begin(&folder, "file", 0777, true), WMK_ERROR_INPUT, "is a file");
    assert_fails(wmk_output_folder_begin(&folder, "dangling", 0777, true), WMK_ERROR_MISSING, "leads nowhere");
    assert_fails(wmk_output_folder_begin(&folder, "", 0777, true), WMK_ERROR_MISSING, "empty");
    assert_fails(wmk_output_folder_begin(&folder, "no/such", 0777, true), WMK_ERROR_MISSING, "no/such: cannot be created");
    assert_fails(wmk_output_folder_begin(&folder, "file/below", 0777, true), WMK_ERROR_MISSING, "file/below");

    folder = begin("late", false); /* comes into being in the meantime */
    add(folder, "a", "ours");
    make_folder("late");
    put("late/a", "someone else's");
    assert_fails(wmk_output_folder_check(folder, NULL, NULL), WMK_ERROR_EXISTS, "exists already");
    assert_fails(wmk_output_folder_commit(folder), WMK_ERROR_EXISTS, "late: exists already");
    assert_holds("late/a", "someone else's");
    assert_int_equal(entries("."), 4);
}

static void replaced_whole(void **state)
{
    (void)state;
    make_folder("old");
    put("old/a", "old");
    make_folder("old/sub");
    assert_int_equal(symlink("old", "link"), 0);
    for (int i = 0; i < 2; i++) { /* by its name, and through a link, which stays one */
        wmk_output_folder *folder = begin(i ? "link" : "old/", true);
        char path[512];
        snprintf(path, sizeof path, "%s/sub", wmk_output_folder_path(folder));
        make_folder(path);
        assert_fails(wmk_output_folder_check(folder, NULL, NULL), WMK_ERROR_EXISTS, i ? "old/" : "old/a would be lost");
        if (i == 0) assert_ok(wmk_output_folder_check(folder, skip_named, (void *)"a"));
        add(folder, "a", i ? "newer" : "new");
        add(folder, "b", "more");
        assert_holds("old/a", i ? "new" : "old");
        assert_ok(wmk_output_folder_commit(folder));
        assert_holds("old/a", i ? "newer" : "new");
        assert_holds("old/b", "more");
    }
    struct stat info;
    assert_int_equal(lstat("link", &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_int_equal(entries("."), 2);
}

/* --force on somebody's home folder: nothing may be lost that has no successor. */
static void nothing_is_lost(void **state)
{
    (void)state;
    make_folder("home");
    put("home/a", "old");
    make_folder("home/papers");
    put("home/papers/thesis", "years of work");
    wmk_output_folder *folder = begin("home", true);
    add(folder, "a", "new");
    assert_fails(wmk_output_folder_check(folder, NULL, NULL), WMK_ERROR_EXISTS, "has no \"papers\"");
    assert_fails(wmk_output_folder_check(folder, skip_named, (void *)"papers"), WMK_ERROR_EXISTS,
                 "has no \"papers\""); /* a folder is no file to come */
    assert_fails(wmk_output_folder_commit(folder), WMK_ERROR_EXISTS, "home/papers would be lost");
    assert_holds("home/a", "old");
    assert_holds("home/papers/thesis", "years of work");

    folder = begin("home", true);
    add(folder, "papers", "a file where a folder was");
    add(folder, "a", "new");
    assert_fails(wmk_output_folder_commit(folder), WMK_ERROR_EXISTS, "papers");

    assert_command("rm -r home/papers && cp -r home home-of-one-file");
    folder = begin("home-of-one-file", true);
    char path[512];
    snprintf(path, sizeof path, "%s/a", wmk_output_folder_path(folder));
    make_folder(path); /* a folder where a file was */
    assert_fails(wmk_output_folder_commit(folder), WMK_ERROR_EXISTS, "has no \"a\"");
    assert_command("rm -r home-of-one-file && mkdir home/papers && touch home/papers/thesis");

    assert_int_equal(chdir("home"), 0);
    folder = begin(".", true); /* the folder itself, from inside */
    assert_fails(wmk_output_folder_commit(folder), WMK_ERROR_EXISTS, "would be lost");
    assert_int_equal(chdir(".."), 0);
    assert_int_equal(entries("."), 1);
    assert_int_equal(entries("home"), 2);
}

static void onto_its_source_and_into_it(void **state)
{
    (void)state;
    make_source();
    unlink("source/.wmk-0123456789abcdef");
    assert_command("cp -rL source before");
    wmk_output_folder *folder = begin("source/inside", false); /* does not copy itself */
    assert_ok(wmk_output_folder_copy(folder, "source", skip_none, NULL));
    assert_ok(wmk_output_folder_commit(folder));
    assert_command("diff -r before source/inside");
    folder = begin("source/inside", true); /* nor the one it replaces */
    assert_ok(wmk_output_folder_copy(folder, "source", skip_none, NULL));
    assert_ok(wmk_output_folder_commit(folder));
    assert_command("diff -r before source/inside");
    assert_command("rm -r source/inside");

    folder = begin("source", true);
    assert_ok(wmk_output_folder_copy(folder, "source", skip_none, NULL));
    add(folder, "more", "more");
    assert_ok(wmk_output_folder_commit(folder));
    assert_holds("source/more", "more");
    assert_holds("blobs/0a1b", "weights"); /* what the links led to is nobody's to remove */
    unlink("source/more");
    assert_command("diff -r before source");

    make_folder("source/deep");
    assert_command("cp -r before source/deep/model");
    folder = begin("source", true); /* the folder that the source lies in: the source would be lost */
    assert_ok(wmk_output_folder_copy(folder, "source/deep/model", skip_none, NULL));
    assert_fails(wmk_output_folder_commit(folder), WMK_ERROR_EXISTS, "deep");
    assert_command("diff -r before source/deep/model");
    assert_int_equal(entries("."), 3);
}

static void hostile_sources_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *make;
        wmk_status status;
        const char *text;
    } cases[] = {
        {"mkdir s && ln -s . s/loop", WMK_ERROR_INPUT, "loop: a link to a folder that it lies in"},
        {"mkdir -p s/a && ln -s .. s/a/up", WMK_ERROR_INPUT, "up: a link to a folder that it lies in"},
        {"mkdir -p s/a s/b && ln -s ../b s/a/x && ln -s ../a s/b/y", WMK_ERROR_INPUT, "a link to a folder that it lies in"},
        {"mkdir s && ln -s nowhere s/dangling", WMK_ERROR_MISSING, "dangling"},
        {"mkdir s && mkfifo s/pipe", WMK_ERROR_INPUT, "pipe: is neither a file nor a folder"},
        {"mkdir s && ln -s /dev/zero s/zero", WMK_ERROR_INPUT, "zero: is neither a file nor a folder"},
        {"mkdir -p s/$(seq -s/ 70)", WMK_ERROR_INPUT, "nested more than 64 deep"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_command(cases[i].make);
        wmk_output_folder *folder = begin("out", false);
        assert_fails(wmk_output_folder_copy(folder, "s", skip_none, NULL), cases[i].status, cases[i].text);
        wmk_output_folder_abort(folder);
        assert_command("rm -r s");
        assert_int_equal(entries("."), 0);
    }
}

static void permissions_are_respected(void **state)
{
    (void)state;
    uid_t user = geteuid();
    wmk_output_folder *folder = NULL;
    make_folder("closed");
    assert_int_equal(chmod("closed", 0555), 0);
    assert_int_equal(chmod(".", 0755), 0);
    if (user == 0) assert_int_equal(seteuid(65534), 0); /* root may do all: somebody else */
    wmk_status status = wmk_output_folder_begin(&folder, "closed/new", 0777, false);
    if (user == 0) assert_int_equal(seteuid(0), 0);
    assert_fails(status, WMK_ERROR_SYSTEM, "closed/new: cannot be created: Permission denied");
    assert_int_equal(entries("closed"), 0);
}

/* ---- signals ---- */

/* Runs `work` in a process of its own, as one that is interrupted ends: what its handler took is not given back. 0: all held. */
static void in_child(int (*work)(void))
{
    pid_t child = fork();
    if (child == 0) _exit(work() == 0 ? 0 : 1);
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_int_equal(result, 0);
}

#define HOLDS(condition)                                                                                                                             \
    do {                                                                                                                                             \
        if (!(condition)) {                                                                                                                          \
            fprintf(stderr, "line %d does not hold: %s\n", __LINE__, #condition);                                                                    \
            return 1;                                                                                                                                \
        }                                                                                                                                            \
    } while (0)

static int interrupt(void)
{
    wmk_output_folder *folder;
    HOLDS(wmk_output_folder_begin(&folder, "new", 0777, false) == WMK_OK);
    HOLDS(chdir(wmk_output_folder_path(folder)) == 0);
    HOLDS(system("mkdir -p a/b c && touch a/1 a/b/2 a/b/3 c/4 5") == 0 && chdir("..") == 0);
    wmk_abort_outputs();
    HOLDS(wmk_output_folder_commit(folder) != WMK_OK); /* what the rest of the program still tries fails */
    return 0;
}

static void interrupted_leaves_nothing(void **state)
{
    (void)state;
    in_child(interrupt);
    assert_int_equal(entries("."), 0);
}

static void *write_files(void *payload)
{
    const char *folder = payload;
    char path[512];
    for (int i = 0; i < 1000000; i++) {
        snprintf(path, sizeof path, "%s/%d", folder, i);
        int fd = open(path, O_WRONLY | O_CREAT, 0666);
        if (fd < 0) break; /* its folder is gone */
        close(fd);
    }
    return NULL;
}

static int interrupt_beside_a_writer(void)
{
    wmk_output_folder *folder;
    pthread_t writer;
    HOLDS(wmk_output_folder_begin(&folder, "new", 0777, false) == WMK_OK);
    HOLDS(pthread_create(&writer, NULL, write_files, (void *)(uintptr_t)wmk_output_folder_path(folder)) == 0);
    usleep(20000);
    wmk_abort_outputs();
    pthread_join(writer, NULL);
    wmk_output_folder_abort(folder);
    return 0;
}

static void interrupted_beside_other_threads(void **state)
{
    (void)state;
    in_child(interrupt_beside_a_writer);
    assert_int_equal(entries("."), 0);
}

static void *commit(void *payload) { return (void *)(uintptr_t)wmk_output_folder_commit(payload); }

enum { FILES = 20 };

/* The handler runs while another thread commits: all is there or nothing is. */
static int interrupt_commits(void)
{
    int whole = 0, gone = 0;
    for (int i = 0; i < 60; i++) {
        wmk_output_folder *folder;
        HOLDS(wmk_output_folder_begin(&folder, "new", 0777, false) == WMK_OK);
        for (int k = 0; k < FILES; k++) {
            char path[512];
            snprintf(path, sizeof path, "%s/%d", wmk_output_folder_path(folder), k);
            FILE *file = fopen(path, "w");
            HOLDS(file && fclose(file) == 0);
        }
        pthread_t other;
        void *result;
        HOLDS(pthread_create(&other, NULL, commit, folder) == 0);
        usleep((useconds_t)(i * 10));
        wmk_abort_outputs();
        pthread_join(other, &result);
        if (is_there("new")) {
            HOLDS(entries("new") == FILES && system("rm -r new") == 0);
            whole++;
        } else {
            HOLDS((uintptr_t)result != WMK_OK);
            gone++;
        }
        HOLDS(entries(".") == 0);
    }
    printf("whole %d times, gone %d times\n", whole, gone);
    return 0;
}

static void interrupted_at_commit(void **state)
{
    (void)state;
    in_child(interrupt_commits);
}

/* A killed process leaves the old folder as it was; the unfinished one stays, under a name that tells what it is. */
static void death_leaves_the_old_folder(void **state)
{
    (void)state;
    make_folder("old");
    put("old/a", "old");
    pid_t child = fork();
    if (child == 0) {
        wmk_output_folder *folder;
        if (wmk_output_folder_begin(&folder, "old", 0777, true) == WMK_OK) raise(SIGKILL);
        _exit(1);
    }
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFSIGNALED(result));
    assert_holds("old/a", "old");
    assert_int_equal(entries("."), 2);
    assert_command("rmdir .wmk-*");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(appears_at_commit),
        CASE(aborted_is_gone),
        CASE(a_copy_is_the_source),
        CASE(skipped_files_are_left_to_the_caller),
        CASE(what_exists_is_kept),
        CASE(replaced_whole),
        CASE(nothing_is_lost),
        CASE(onto_its_source_and_into_it),
        CASE(hostile_sources_are_refused),
        CASE(permissions_are_respected),
        CASE(interrupted_leaves_nothing),
        CASE(interrupted_beside_other_threads),
        CASE(interrupted_at_commit),
        CASE(death_leaves_the_old_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
