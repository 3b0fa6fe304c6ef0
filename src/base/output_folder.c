/* base/output_folder.c - a folder that appears whole or not at all: filled under a temporary name beside its target, then renamed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/output.h"

enum { DEPTH_MAX = 64 };

struct wmk_output_folder {
    char *target, *temporary;
    bool replace;
};

static wmk_status check_target(const char *path, bool replace)
{
    struct stat info;
    if (stat(path, &info) != 0) return errno == ENOENT ? WMK_OK : wmk_fail_errno("%s", path);
    if (!S_ISDIR(info.st_mode)) return wmk_fail(WMK_ERROR_INPUT, "%s: is a file, and the output is a folder", path);
    return replace ? WMK_OK : wmk_fail(WMK_ERROR_EXISTS, "%s: exists already and is kept", path);
}

static void release(wmk_output_folder *folder)
{
    free(folder->target);
    free(folder->temporary);
    free(folder);
}

wmk_status wmk_output_folder_begin(wmk_output_folder **out, const char *path, bool replace)
{
    wmk_output_folder *folder;
    wmk_status status;
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') size--; /* the last name counts */
    if (size == 0) return wmk_fail(WMK_ERROR_MISSING, "the output's name is empty");
    WMK_TRY(check_target(path, replace));
    WMK_TRY(wmk_alloc(&folder, 1, sizeof *folder));
    folder->replace = replace;
    WMK_TRY_GOTO(status, wmk_format(&folder->target, "%.*s", (int)size, path), failed);
    WMK_TRY_GOTO(status, wmk_temporary_name(&folder->temporary, folder->target), failed);
    WMK_TRY_GOTO(status, wmk_temporary_take(folder->temporary), failed);
    if (mkdir(folder->temporary, 0777) != 0) {
        status = wmk_fail_errno("%s: cannot be created", folder->target);
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

/* ---- walking trees ---- */

typedef wmk_status (*visit_fn)(void *payload, const char *path, const char *relative, bool is_folder);

/* Children before their folder when `after`; links to folders are followed when copying only. A visit that fails ends the walk, unless nothing can be done about it (`after`). */
static wmk_status walk(const char *root, const char *relative, int depth, bool after, visit_fn visit, void *payload)
{
    char *path = NULL;
    if (depth == DEPTH_MAX) return wmk_fail(WMK_ERROR_INPUT, "%s: folders nested more than %d deep", root, DEPTH_MAX);
    WMK_TRY(wmk_format(&path, "%s%s%s", root, *relative ? "/" : "", relative));
    DIR *directory = opendir(path);
    wmk_status status = directory ? WMK_OK : wmk_fail_errno("%s", path);
    free(path);
    if (!directory) return status;
    for (struct dirent *entry; status == WMK_OK && (entry = readdir(directory)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (!after && strncmp(entry->d_name, ".wmk-", 5) == 0) continue; /* somebody's unfinished output, perhaps this one */
        char *below = NULL, *full = NULL;
        struct stat info;
        status = wmk_format(&below, "%s%s%s", relative, *relative ? "/" : "", entry->d_name);
        if (status == WMK_OK) status = wmk_format(&full, "%s/%s", root, below);
        if (status == WMK_OK && (after ? lstat(full, &info) : stat(full, &info)) != 0) status = wmk_fail_errno("%s", full);
        bool is_folder = status == WMK_OK && S_ISDIR(info.st_mode);
        if (status == WMK_OK && !is_folder && !after && !S_ISREG(info.st_mode))
            status = wmk_fail(WMK_ERROR_INPUT, "%s: is neither a file nor a folder", full);
        if (status == WMK_OK && !after) status = visit(payload, full, below, is_folder);
        if (status == WMK_OK && is_folder) status = walk(root, below, depth + 1, after, visit, payload);
        if (status == WMK_OK && after) status = visit(payload, full, below, is_folder);
        free(below);
        free(full);
    }
    closedir(directory);
    return status;
}

static wmk_status remove_one(void *payload, const char *path, const char *relative, bool is_folder)
{
    (void)payload, (void)relative;
    if (is_folder)
        rmdir(path);
    else
        unlink(path);
    return WMK_OK;
}

static void remove_tree(const char *root)
{
    walk(root, "", 0, true, remove_one, NULL);
    rmdir(root);
}

typedef struct copying {
    const char *to;
    wmk_folder_skip skip;
    void *payload;
} copying;

static wmk_status copy_one(void *payload, const char *path, const char *relative, bool is_folder)
{
    const copying *c = payload;
    wmk_output *output = NULL;
    char *target;
    if (!is_folder && c->skip(c->payload, relative)) return WMK_OK;
    WMK_TRY(wmk_format(&target, "%s/%s", c->to, relative));
    wmk_status status = WMK_OK;
    if (is_folder) {
        if (mkdir(target, 0777) != 0) status = wmk_fail_errno("%s: cannot be created", target);
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
    return walk(source, "", 0, false, copy_one, &c);
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

wmk_status wmk_output_folder_commit(wmk_output_folder *folder)
{
    wmk_status status = check_target(folder->target, folder->replace);
    struct stat info;
    bool is_there = status == WMK_OK && stat(folder->target, &info) == 0;
    if (status == WMK_OK && !wmk_temporary_give(folder->temporary)) status = wmk_fail(WMK_ERROR_INTERRUPTED, "%s: interrupted", folder->target);
    if (status == WMK_OK && renameat2(AT_FDCWD, folder->temporary, AT_FDCWD, folder->target, is_there ? RENAME_EXCHANGE : RENAME_NOREPLACE) != 0) {
        if (!is_there && (errno == EINVAL || errno == ENOSYS)) /* a file system without these flags: rename replaces nothing but an empty folder */
            status = rename(folder->temporary, folder->target) == 0 ? WMK_OK : wmk_fail_errno("%s: putting the new folder in place", folder->target);
        else
            status = wmk_fail_errno("%s: putting the new folder in place", folder->target);
    }
    if (status != WMK_OK || is_there) remove_tree(folder->temporary); /* unfinished, or what stood there */
    if (status == WMK_OK) wmk_sync_folder(folder->target);
    release(folder);
    return status;
}

void wmk_output_folder_abort(wmk_output_folder *folder)
{
    if (!folder) return;
    if (wmk_temporary_give(folder->temporary))
        remove_tree(folder->temporary);
    else
        folder->temporary = NULL; /* the handler's */
    release(folder);
}
