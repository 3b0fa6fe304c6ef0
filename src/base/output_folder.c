/* base/output_folder.c - a folder that appears whole or not at all: filled under a temporary name beside its target, then renamed, or exchanged with the folder it replaces. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/output.h"

enum { DEPTH_MAX = 64, ENTRIES_MAX = 1 << 20 };
static const char unfinished[] = ".wmk-"; /* how temporary names begin */

struct wmk_output_folder {
    char *target, *temporary;
    bool replace;
};

/* ---- walking ---- */

typedef struct tree {
    const char *root;
    bool follow; /* links to folders are folders */
    wmk_status (*visit)(void *payload, const char *path, const char *relative, const struct stat *info);
    void *payload;
    struct stat passed_over; /* a folder below root that is left out; zeroed: none */
    size_t entries;
} tree;

typedef struct place { /* a folder and those it lies in */
    struct stat info;
    const struct place *above;
    int depth;
} place;

static bool same(const struct stat *a, const struct stat *b) { return a->st_dev == b->st_dev && a->st_ino == b->st_ino; }

static wmk_status walk(tree *t, const char *relative, const place *here);

static wmk_status walk_entry(tree *t, const char *path, const char *relative, const place *here)
{
    place below = {.above = here, .depth = here->depth + 1};
    if ((t->follow ? stat : lstat)(path, &below.info) != 0) return wmk_fail_errno("%s", path);
    if (!S_ISDIR(below.info.st_mode)) return t->visit(t->payload, path, relative, &below.info);
    if (same(&below.info, &t->passed_over)) return WMK_OK;
    for (const place *above = here; above; above = above->above)
        if (same(&below.info, &above->info)) return wmk_fail(WMK_ERROR_INPUT, "%s: a link to a folder that it lies in", path);
    if (below.depth > DEPTH_MAX) return wmk_fail(WMK_ERROR_INPUT, "%s: folders nested more than %d deep", path, DEPTH_MAX);
    WMK_TRY(t->visit(t->payload, path, relative, &below.info));
    return walk(t, relative, &below);
}

/* Everything in the tree but unfinished outputs (the one being made may lie in it), a folder before what is in it. Links can lead in circles and multiply: both are refused. */
static wmk_status walk(tree *t, const char *relative, const place *here)
{
    char *path;
    WMK_TRY(wmk_format(&path, "%s%s%s", t->root, *relative ? "/" : "", relative));
    DIR *directory = opendir(path);
    wmk_status status = WMK_OK;
    if (!directory) {
        status = wmk_fail_errno("%s", path);
        free(path);
        return status;
    }
    for (struct dirent *entry; status == WMK_OK && (entry = readdir(directory)) != NULL;) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strncmp(name, unfinished, strlen(unfinished)) == 0) continue;
        char *full = NULL, *below = NULL;
        if (++t->entries > ENTRIES_MAX) status = wmk_fail(WMK_ERROR_INPUT, "%s: more than %d files and folders", t->root, ENTRIES_MAX);
        if (status == WMK_OK) status = wmk_format(&full, "%s/%s", path, name);
        if (status == WMK_OK) status = wmk_format(&below, "%s%s%s", relative, *relative ? "/" : "", name);
        if (status == WMK_OK) status = walk_entry(t, full, below, here);
        free(below);
        free(full);
    }
    closedir(directory);
    free(path);
    return status;
}

static wmk_status walk_root(tree *t)
{
    place root = {0};
    if (stat(t->root, &root.info) != 0) return wmk_fail_errno("%s", t->root);
    return walk(t, "", &root);
}

/* ---- removing, with nothing but calls that a signal handler may make ---- */

static void remove_content(int folder, int depth)
{
    _Alignas(struct dirent64) char entries[2048];
    bool removed;
    do { /* until nothing more goes: what is listed may shift while entries are removed */
        removed = false;
        lseek(folder, 0, SEEK_SET);
        for (ssize_t got; (got = getdents64(folder, entries, sizeof entries)) > 0;) {
            for (ssize_t at = 0; at < got;) {
                const struct dirent64 *entry = (const void *)(entries + at);
                at += entry->d_reclen;
                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
                if (unlinkat(folder, entry->d_name, 0) == 0) {
                    removed = true;
                    continue;
                }
                int below = depth < 4 * DEPTH_MAX ? openat(folder, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
                if (below < 0) continue;
                (void)!fchmod(below, 0700);
                remove_content(below, depth + 1);
                close(below);
                if (unlinkat(folder, entry->d_name, AT_REMOVEDIR) == 0) removed = true;
            }
        }
    } while (removed);
}

void wmk_remove_folder(const char *path)
{
    char aside[PATH_MAX];
    size_t size = strlen(path);
    if (size + 2 > sizeof aside) return; /* no system call takes such a name */
    memcpy(aside, path, size);
    memcpy(aside + size, "-", 2);
    if (rename(path, aside) != 0) return;
    int folder = open(aside, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0) return;
    (void)!fchmod(folder, 0700);
    for (int i = 0; i < 100; i++) { /* another thread may still be writing into it */
        remove_content(folder, 0);
        if (rmdir(aside) == 0 || errno != ENOTEMPTY) break;
    }
    close(folder);
}

/* ---- begin ---- */

static wmk_status exists(const char *path) { return wmk_fail(WMK_ERROR_EXISTS, "%s: exists already and is kept", path); }

/* The folder that a path means: a link, "." and ".." are followed, so that the name that is replaced is the folder's own. */
static wmk_status resolve_target(char **out, const char *path, bool replace)
{
    struct stat info;
    char *trimmed;
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') size--;
    if (size == 0) return wmk_fail(WMK_ERROR_MISSING, "the output's name is empty");
    WMK_TRY(wmk_format(&trimmed, "%.*s", (int)size, path));
    wmk_status status = WMK_OK;
    if (lstat(trimmed, &info) != 0) {
        if (errno == ENOENT) { /* of its own name */
            *out = trimmed;
            return WMK_OK;
        }
        status = wmk_fail_errno("%s", path);
    } else if (S_ISLNK(info.st_mode) && stat(trimmed, &info) != 0) {
        status = wmk_fail_errno("%s: a link that leads nowhere", path);
    } else if (!S_ISDIR(info.st_mode)) {
        status = wmk_fail(WMK_ERROR_INPUT, "%s: is a file, and the output is a folder", path);
    } else if (!replace) {
        status = exists(path);
    } else if ((*out = realpath(trimmed, NULL)) == NULL) {
        status = wmk_fail_errno("%s", path);
    }
    free(trimmed);
    return status;
}

static void release(wmk_output_folder *folder)
{
    free(folder->target);
    free(folder->temporary);
    free(folder);
}

wmk_status wmk_output_folder_begin(wmk_output_folder **out, const char *path, unsigned mode, bool replace)
{
    wmk_output_folder *folder;
    wmk_status status;
    WMK_TRY(wmk_alloc(&folder, 1, sizeof *folder));
    folder->replace = replace;
    WMK_TRY_GOTO(status, resolve_target(&folder->target, path, replace), failed);
    WMK_TRY_GOTO(status, wmk_temporary_name(&folder->temporary, folder->target), failed);
    WMK_TRY_GOTO(status, wmk_temporary_take(folder->temporary), failed);
    if (mkdir(folder->temporary, (mode_t)mode | 0700) != 0) {
        status = wmk_fail_errno("%s: cannot be created", path);
        if (!wmk_temporary_give(folder->temporary)) folder->temporary = NULL;
        goto failed;
    }
    *out = folder;
    return WMK_OK;
failed:
    release(folder);
    return status;
}

const char *wmk_output_folder_path(const wmk_output_folder *folder) { return folder->temporary; }

/* ---- filling ---- */

typedef struct copying {
    const char *to;
    wmk_folder_skip skip;
    void *payload;
} copying;

static wmk_status copy_one(void *payload, const char *path, const char *relative, const struct stat *info)
{
    const copying *c = payload;
    wmk_output *output = NULL;
    char *target;
    if (S_ISREG(info->st_mode) && c->skip(c->payload, relative)) return WMK_OK;
    if (!S_ISREG(info->st_mode) && !S_ISDIR(info->st_mode)) return wmk_fail(WMK_ERROR_INPUT, "%s: is neither a file nor a folder", path);
    WMK_TRY(wmk_format(&target, "%s/%s", c->to, relative));
    wmk_status status;
    if (S_ISDIR(info->st_mode)) {
        status = mkdir(target, (info->st_mode & 0777) | 0700) == 0 ? WMK_OK : wmk_fail_errno("%s: cannot be created", target);
    } else {
        status = wmk_output_begin_copy(&output, target, false, path);
        if (status == WMK_OK) status = wmk_output_commit(output);
    }
    free(target);
    return status;
}

wmk_status wmk_output_folder_copy(wmk_output_folder *folder, const char *source, wmk_folder_skip skip, void *payload)
{
    copying c = {folder->temporary, skip, payload};
    tree t = {.root = source, .follow = true, .visit = copy_one, .payload = &c};
    if (stat(folder->target, &t.passed_over) != 0) t.passed_over = (struct stat){0};
    return walk_root(&t);
}

wmk_status wmk_make_folders(const char *path, size_t from)
{
    char *part;
    WMK_TRY(wmk_strdup(&part, path));
    wmk_status status = WMK_OK;
    for (char *slash = strchr(part + from, '/'); slash && status == WMK_OK; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST) status = wmk_fail_errno("%s: cannot be created", part);
        *slash = '/';
    }
    free(part);
    return status;
}

/* ---- the end ---- */

typedef struct checking {
    const wmk_output_folder *folder;
    wmk_folder_skip coming;
    void *payload;
} checking;

static wmk_status check_kept(void *payload, const char *path, const char *relative, const struct stat *info)
{
    const checking *c = payload;
    struct stat now;
    char *after;
    if (S_ISLNK(info->st_mode)) return WMK_OK; /* its content is elsewhere */
    if (S_ISREG(info->st_mode) && c->coming && c->coming(c->payload, relative)) return WMK_OK;
    WMK_TRY(wmk_format(&after, "%s/%s", c->folder->temporary, relative));
    bool kept = stat(after, &now) == 0 && S_ISDIR(now.st_mode) == S_ISDIR(info->st_mode);
    free(after);
    if (kept) return WMK_OK;
    return wmk_fail(WMK_ERROR_EXISTS, "%s: exists already and is kept: the new folder has no \"%.200s\", and %s would be lost", c->folder->target,
                    relative, path);
}

wmk_status wmk_output_folder_check(const wmk_output_folder *folder, wmk_folder_skip coming, void *payload)
{
    struct stat info;
    checking c = {folder, coming, payload};
    tree t = {.root = folder->target, .visit = check_kept, .payload = &c};
    if (lstat(folder->target, &info) != 0) return errno == ENOENT ? WMK_OK : wmk_fail_errno("%s", folder->target);
    return folder->replace ? walk_root(&t) : exists(folder->target);
}

static wmk_status put_in_place(const wmk_output_folder *folder, bool *exchanged)
{
    struct stat info;
    WMK_TRY(wmk_output_folder_check(folder, NULL, NULL));
    *exchanged = lstat(folder->target, &info) == 0;
    if (renameat2(AT_FDCWD, folder->temporary, AT_FDCWD, folder->target, *exchanged ? RENAME_EXCHANGE : RENAME_NOREPLACE) == 0) return WMK_OK;
    if (errno == EEXIST) return exists(folder->target);
    if (errno != EINVAL && errno != ENOSYS) return wmk_fail_errno("%s: putting the new folder in place", folder->target);
    /* The file system has neither: a plain rename takes the place of nothing but an empty folder. */
    if (*exchanged) return wmk_fail(WMK_ERROR_SYSTEM, "%s: this file system cannot exchange folders; move the old one away first", folder->target);
    return rename(folder->temporary, folder->target) == 0 ? WMK_OK : wmk_fail_errno("%s: putting the new folder in place", folder->target);
}

wmk_status wmk_output_folder_commit(wmk_output_folder *folder)
{
    char *inside = NULL;
    bool exchanged = false;
    wmk_status status = wmk_format(&inside, "%s/", folder->temporary);
    if (status == WMK_OK) wmk_sync_folder(inside);
    free(inside);
    if (status == WMK_OK) status = put_in_place(folder, &exchanged);
    if (status == WMK_OK) wmk_sync_folder(folder->target);
    /* Given back after the rename: a signal handler that has taken it renames it first and so comes too late or makes ours fail, but never removes half of what is in place. */
    if (!wmk_temporary_give(folder->temporary))
        folder->temporary = NULL;
    else if (status != WMK_OK || exchanged)
        wmk_remove_folder(folder->temporary); /* unfinished, or what stood there */
    release(folder);
    return status;
}

void wmk_output_folder_abort(wmk_output_folder *folder)
{
    if (!folder) return;
    if (wmk_temporary_give(folder->temporary))
        wmk_remove_folder(folder->temporary);
    else
        folder->temporary = NULL; /* the handler's */
    release(folder);
}
