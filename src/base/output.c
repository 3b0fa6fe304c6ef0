/* base/output.c - a file that appears whole or not at all: written in its target's folder, without a name where the file system can
 * (O_TMPFILE: even a killed process leaves nothing behind) and under a temporary one elsewhere, synced, then linked or renamed into place. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/output.h"

enum { WRITEBACK_BYTES = 1 << 20, BEHIND = 64, BEHIND_BYTES = 128 << 20 };

struct wmk_output {
    int fd;
    bool replace;
    bool named;   /* the file has the name `temporary` already */
    uint64_t end; /* where the next wmk_output_write goes */
    struct {
        uint64_t offset, size;
    } behind[BEHIND]; /* a ring of behind_count: written by wmk_output_write_through, and still in the page cache */
    unsigned behind_first, behind_count;
    uint64_t behind_bytes;
    char *target, *temporary;
    char *path; /* by which it can be opened again */
};

/* Temporary files of this process, for a signal handler: a slot is taken by putting a pointer in and given back by taking it out. Paths
 * are unlinked by whoever takes the pointer out, so none is freed while the handler reads it. */
enum { SLOTS = 64 };
static _Atomic(char *) slots[SLOTS];

wmk_status wmk_temporary_take(char *temporary)
{
    for (int i = 0; i < SLOTS; i++) {
        char *empty = NULL;
        if (atomic_compare_exchange_strong(&slots[i], &empty, temporary)) return WMK_OK;
    }
    return wmk_fail(WMK_ERROR_SYSTEM, "more than %d output files are open at once", SLOTS);
}

bool wmk_temporary_give(const char *temporary)
{
    for (int i = 0; i < SLOTS; i++) {
        char *mine = (char *)(uintptr_t)temporary;
        if (atomic_compare_exchange_strong(&slots[i], &mine, NULL)) return true;
    }
    return false;
}

void wmk_abort_outputs(void)
{
    for (int i = 0; i < SLOTS; i++) {
        char *path = atomic_exchange(&slots[i], NULL);
        if (path && unlink(path) != 0 && (errno == EISDIR || errno == EPERM)) wmk_remove_folder(path);
    }
}

/* A target may be absent, or a regular file when it may be replaced. */
static wmk_status check_target(const char *path, bool replace)
{
    struct stat info;
    if (lstat(path, &info) != 0) {
        if (errno == ENOENT) return WMK_OK;
        return wmk_fail_errno("%s", path);
    }
    if (S_ISDIR(info.st_mode)) return wmk_fail(WMK_ERROR_INPUT, "%s: is a folder, an output file is needed", path);
    if (S_ISLNK(info.st_mode)) {
        if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
            return wmk_fail(WMK_ERROR_INPUT, "%s: is not a regular file and cannot be replaced", path);
    } else if (!S_ISREG(info.st_mode)) {
        return wmk_fail(WMK_ERROR_INPUT, "%s: is not a regular file and cannot be replaced", path);
    }
    if (!replace) return wmk_fail(WMK_ERROR_EXISTS, "%s: exists already and is kept", path);
    return WMK_OK;
}

wmk_status wmk_temporary_name(char **out, const char *target)
{
    uint64_t number;
    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number) return wmk_fail_errno("random bytes from the system");
    const char *slash = strrchr(target, '/');
    int folder = slash ? (int)(slash - target + 1) : 0;
    return wmk_format(out, "%.*s.wmk-%016llx", folder, target, (unsigned long long)number);
}

static void release(wmk_output *output)
{
    if (output->fd >= 0) close(output->fd);
    free(output->target);
    free(output->temporary);
    free(output->path);
    free(output);
}

/* A symbolic link is followed, so that the file it names is replaced and the link stays. */
static wmk_status resolve_target(char **out, const char *path)
{
    struct stat info;
    if (lstat(path, &info) == 0 && S_ISLNK(info.st_mode)) {
        char *real = realpath(path, NULL);
        if (real) {
            *out = real;
            return WMK_OK;
        }
        return wmk_fail_errno("%s: a link that leads nowhere", path);
    }
    return wmk_strdup(out, path);
}

/* A file without a name. False where the file system or a missing /proc stands in the way. */
static bool open_unnamed(wmk_output *output, mode_t mode)
{
    if (access("/proc/self/fd", X_OK) != 0) return false;
    const char *slash = strrchr(output->target, '/');
    char *folder = slash ? strndup(output->target, (size_t)(slash - output->target + 1)) : strdup(".");
    output->fd = folder ? open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, mode) : -1;
    free(folder);
    return output->fd >= 0;
}

static wmk_status open_named(wmk_output *output, mode_t mode)
{
    WMK_TRY(wmk_temporary_take(output->temporary));
    output->fd = open(output->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (output->fd < 0) {
        wmk_status status = wmk_fail_errno("%s: cannot be created", output->target);
        if (!wmk_temporary_give(output->temporary)) output->temporary = NULL;
        return status;
    }
    output->named = true;
    return WMK_OK;
}

wmk_status wmk_output_begin(wmk_output **out, const char *path, unsigned mode, bool replace)
{
    if (!*path) return wmk_fail(WMK_ERROR_MISSING, "the output's name is empty");
    WMK_TRY(check_target(path, replace));
    wmk_output *output = NULL;
    WMK_TRY(wmk_alloc(&output, 1, sizeof *output));
    output->fd = -1;
    output->replace = replace;
    wmk_status status;
    WMK_TRY_GOTO(status, resolve_target(&output->target, path), failed);
    WMK_TRY_GOTO(status, wmk_temporary_name(&output->temporary, output->target), failed);
    if (open_unnamed(output, (mode_t)mode)) {
        WMK_TRY_GOTO(status, wmk_format(&output->path, "/proc/self/fd/%d", output->fd), failed);
    } else {
        WMK_TRY_GOTO(status, open_named(output, (mode_t)mode), failed);
        status = wmk_strdup(&output->path, output->temporary);
        if (status != WMK_OK) {
            wmk_output_abort(output);
            return status;
        }
    }
    *out = output;
    return WMK_OK;
failed:
    release(output);
    return status;
}

static wmk_status write_all(wmk_output *output, const unsigned char *bytes, size_t size, uint64_t offset)
{
    while (size > 0) {
        ssize_t put = pwrite(output->fd, bytes, size, (off_t)offset);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) {
            if (put == 0) errno = ENOSPC;
            return wmk_fail_errno("%s: writing", output->target);
        }
        bytes += put;
        offset += (uint64_t)put;
        size -= (size_t)put;
    }
    return WMK_OK;
}

wmk_status wmk_output_write(wmk_output *output, const void *bytes, size_t size)
{
    WMK_TRY(write_all(output, bytes, size, output->end));
    output->end += size;
    return WMK_OK;
}

/* Lets the disk begin at once with what commit will wait for. */
static void start_writeback(const wmk_output *output, uint64_t offset, size_t size)
{
    if (size >= WRITEBACK_BYTES) (void)!sync_file_range(output->fd, (off_t)offset, (off_t)size, SYNC_FILE_RANGE_WRITE);
}

wmk_status wmk_output_write_at(wmk_output *output, const void *bytes, size_t size, uint64_t offset)
{
    WMK_TRY(write_all(output, bytes, size, offset));
    start_writeback(output, offset, size);
    if (offset + size > output->end) output->end = offset + size;
    return WMK_OK;
}

/* Waits until the disk has what was written first, and gives its pages back. An error that this wait reports no later fsync would. */
static wmk_status let_go(wmk_output *output)
{
    uint64_t offset = output->behind[output->behind_first].offset, size = output->behind[output->behind_first].size;
    output->behind_first = (output->behind_first + 1) % BEHIND;
    output->behind_count--;
    output->behind_bytes -= size;
    const unsigned all = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    if (sync_file_range(output->fd, (off_t)offset, (off_t)size, all) != 0) {
        bool absent =
            errno == ENOSYS || errno == EINVAL || errno == EOPNOTSUPP || errno == ESPIPE; /* no such call here: commit's fsync says what is lost */
        return absent ? WMK_OK : wmk_fail_errno("%s: writing", output->target);
    }
    (void)!posix_fadvise(output->fd, (off_t)offset, (off_t)size, POSIX_FADV_DONTNEED);
    return WMK_OK;
}

wmk_status wmk_output_write_through(wmk_output *output, const void *bytes, size_t size, uint64_t offset)
{
    WMK_TRY(wmk_output_write_at(output, bytes, size, offset));
    if (size < WRITEBACK_BYTES) return WMK_OK;
    while (output->behind_count == BEHIND || (output->behind_count > 0 && output->behind_bytes > BEHIND_BYTES)) WMK_TRY(let_go(output));
    unsigned last = (output->behind_first + output->behind_count++) % BEHIND;
    output->behind[last].offset = offset;
    output->behind[last].size = size;
    output->behind_bytes += size;
    return WMK_OK;
}

wmk_status wmk_output_read_at(wmk_output *output, void *bytes, size_t size, uint64_t offset)
{
    unsigned char *to = bytes;
    while (size > 0) {
        ssize_t got = pread(output->fd, to, size, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return wmk_fail_errno("%s: reading back", output->target);
        if (got == 0) return wmk_fail(WMK_ERROR_INPUT, "%s: ends at byte %llu", output->target, (unsigned long long)offset);
        to += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return WMK_OK;
}

wmk_status wmk_output_truncate(wmk_output *output, uint64_t size)
{
    while (ftruncate(output->fd, (off_t)size) != 0)
        if (errno != EINTR) return wmk_fail_errno("%s: writing", output->target);
    output->end = size;
    return WMK_OK;
}

/* Where the file system can neither share extents nor copy inside the kernel. */
static wmk_status copy_by_hand(wmk_output *output, int source, const char *name)
{
    enum { CHUNK = 1 << 20 };
    unsigned char *chunk;
    WMK_TRY(wmk_alloc(&chunk, CHUNK, 1));
    wmk_status status = WMK_OK;
    while (status == WMK_OK) {
        ssize_t got = pread(source, chunk, CHUNK, (off_t)output->end);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) status = wmk_fail_errno("%s: reading", name);
        if (got <= 0) break;
        status = wmk_output_write(output, chunk, (size_t)got);
    }
    free(chunk);
    return status;
}

static wmk_status copy_file(wmk_output *output, int source, const char *name)
{
    struct stat info;
    if (fstat(source, &info) != 0) return wmk_fail_errno("%s", name);
    while (output->end < (uint64_t)info.st_size) {
        off_t from = (off_t)output->end, to = from;
        ssize_t put = copy_file_range(source, &from, output->fd, &to, (size_t)info.st_size - (size_t)output->end, 0);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG || errno == EIO)) return wmk_fail_errno("%s: writing", output->target);
        if (put <= 0) return copy_by_hand(output, source, name);
        output->end += (uint64_t)put;
    }
    return WMK_OK;
}

/* Shares `source`'s extents; false where the file system cannot. */
static bool clone_file(wmk_output *output, int source)
{
    struct stat info;
    if (fstat(source, &info) != 0 || ioctl(output->fd, FICLONE, source) != 0) return false;
    output->end = (uint64_t)info.st_size;
    return true;
}

/* A file of `size` bytes without content, whose room on the disk is taken where the file system can do so: looking into a hole through a mapping needs room in some (tmpfs), and
 * ends the process where there is none. */
static wmk_status make_room(wmk_output *output, uint64_t size)
{
    WMK_TRY(wmk_output_truncate(output, size));
    while (size > 0 && fallocate(output->fd, 0, 0, (off_t)size) != 0) {
        if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG || errno == EIO) return wmk_fail_errno("%s: writing", output->target);
        if (errno != EINTR) break;
    }
    return WMK_OK;
}

/* cloned: NULL for a whole copy in any case. */
static wmk_status begin_from(wmk_output **out, const char *path, bool replace, const char *source, bool *cloned)
{
    int fd = open(source, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return wmk_fail_errno("%s", source);
    struct stat info;
    wmk_output *output = NULL;
    wmk_status status = fstat(fd, &info) == 0 ? wmk_output_begin(&output, path, info.st_mode & 0777, replace) : wmk_fail_errno("%s", source);
    if (status == WMK_OK) {
        bool whole = clone_file(output, fd);
        if (cloned != NULL) *cloned = whole;
        if (!whole) status = cloned == NULL ? copy_file(output, fd, source) : make_room(output, (uint64_t)info.st_size);
        if (status == WMK_OK)
            *out = output;
        else
            wmk_output_abort(output);
    }
    close(fd);
    return status;
}

wmk_status wmk_output_begin_copy(wmk_output **out, const char *path, bool replace, const char *source)
{
    return begin_from(out, path, replace, source, NULL);
}

wmk_status wmk_output_begin_like(wmk_output **out, const char *path, bool replace, const char *source, bool *cloned)
{
    return begin_from(out, path, replace, source, cloned);
}

const char *wmk_output_temporary_path(const wmk_output *output) { return output->path; }

void wmk_sync_folder(const char *target)
{
    const char *slash = strrchr(target, '/');
    char *folder = slash ? strndup(target, (size_t)(slash - target + 1)) : strdup(".");
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)!fsync(fd);
        close(fd);
    }
    free(folder);
}

static wmk_status exists(const wmk_output *output) { return wmk_fail(WMK_ERROR_EXISTS, "%s: exists already and is kept", output->target); }

static wmk_status not_placed(const wmk_output *output) { return wmk_fail_errno("%s: putting the new file in place", output->target); }

/* Gives an unnamed file the temporary name, for the rename that replaces. */
static wmk_status give_name(wmk_output *output)
{
    WMK_TRY(wmk_temporary_take(output->temporary));
    if (linkat(AT_FDCWD, output->path, AT_FDCWD, output->temporary, AT_SYMLINK_FOLLOW) != 0) {
        wmk_status status = not_placed(output);
        if (!wmk_temporary_give(output->temporary)) output->temporary = NULL;
        return status;
    }
    output->named = true;
    return WMK_OK;
}

static wmk_status put_in_place(wmk_output *output)
{
    if (output->replace) {
        if (!output->named) WMK_TRY(give_name(output));
        return rename(output->temporary, output->target) == 0 ? WMK_OK : not_placed(output);
    }
    if (!output->named) {
        if (linkat(AT_FDCWD, output->path, AT_FDCWD, output->target, AT_SYMLINK_FOLLOW) == 0) return WMK_OK;
        return errno == EEXIST ? exists(output) : not_placed(output);
    }
    if (renameat2(AT_FDCWD, output->temporary, AT_FDCWD, output->target, RENAME_NOREPLACE) == 0) return WMK_OK;
    if (errno == EEXIST) return exists(output);
    if (errno != EINVAL && errno != ENOSYS) return not_placed(output);
    /* The file system has no RENAME_NOREPLACE: a hard link refuses an existing name just as well. */
    if (link(output->temporary, output->target) != 0) return errno == EEXIST ? exists(output) : not_placed(output);
    unlink(output->temporary);
    return WMK_OK;
}

/* The temporary name is given up, if there is one; true when the file under it is still ours to remove. */
static bool forget_name(wmk_output *output)
{
    if (!output->named) return false;
    if (wmk_temporary_give(output->temporary)) return true;
    output->temporary = NULL; /* a signal handler has it, and the process is about to end */
    return false;
}

wmk_status wmk_output_commit(wmk_output *output)
{
    wmk_status status = WMK_OK;
    if (fsync(output->fd) != 0) status = wmk_fail_errno("%s: writing", output->target);
    if (status == WMK_OK) status = put_in_place(output);
    if (status != WMK_OK) {
        wmk_output_abort(output);
        return status;
    }
    wmk_sync_folder(output->target);
    forget_name(output);
    release(output);
    return WMK_OK;
}

void wmk_output_abort(wmk_output *output)
{
    if (!output) return;
    if (forget_name(output)) unlink(output->temporary);
    release(output);
}
