/* base/file.c - reading: a file mapped, or a small file whole. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/secret.h"

/* Opens a regular file for reading. Non-blocking, so that a pipe without a writer is refused instead of waited for. */
static wmk_status open_regular(int *out, struct stat *info, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return wmk_fail_errno("%s", path);
    wmk_status status = WMK_OK;
    if (fstat(fd, info) != 0)
        status = wmk_fail_errno("%s", path);
    else if (S_ISDIR(info->st_mode))
        status = wmk_fail(WMK_ERROR_INPUT, "%s: is a folder, a file is needed", path);
    else if (!S_ISREG(info->st_mode))
        status = wmk_fail(WMK_ERROR_INPUT, "%s: is not a regular file", path);
    if (status != WMK_OK) {
        close(fd);
        return status;
    }
    *out = fd;
    return WMK_OK;
}

static struct wmk_file_identity identity_of(const struct stat *info)
{
    return (struct wmk_file_identity){info->st_dev, info->st_ino, info->st_mtim.tv_sec * INT64_C(1000000000) + info->st_mtim.tv_nsec};
}

wmk_status wmk_map_check(const wmk_map *map, const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0) return wmk_fail_errno("%s", path);
    struct wmk_file_identity now = identity_of(&info);
    if (now.device == map->identity.device && now.inode == map->identity.inode && now.modified == map->identity.modified &&
        (uint64_t)info.st_size == map->size)
        return WMK_OK;
    return wmk_fail(WMK_ERROR_INPUT, "%s: another file took its place while it was open", path);
}

wmk_status wmk_map_open(wmk_map *out, const char *path)
{
    int fd = -1;
    struct stat info;
    wmk_map map = {NULL, 0, {0}};
    WMK_TRY(open_regular(&fd, &info, path));
    map.size = (size_t)info.st_size;
    map.identity = identity_of(&info);
    wmk_status status = WMK_OK;
    if (map.size > 0) {
        void *data = mmap(NULL, map.size, PROT_READ, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED)
            status = wmk_fail_errno("%s: mapping %zu bytes", path, map.size);
        else
            map.data = data;
    }
    close(fd);
    if (status == WMK_OK) *out = map;
    return status;
}

void wmk_map_close(wmk_map *map)
{
    if (map->data) munmap((void *)(uintptr_t)map->data, map->size);
    *map = (wmk_map){NULL, 0, {0}};
}

typedef wmk_status (*allocate_fn)(void *out_pointer, size_t count, size_t size);

static wmk_status read_whole(unsigned char **out, size_t *out_size, const char *path, size_t limit, allocate_fn allocate,
                             void (*release)(void *block))
{
    int fd = -1;
    size_t done = 0;
    struct stat info;
    unsigned char *bytes = NULL;
    WMK_TRY(open_regular(&fd, &info, path));
    size_t size = (size_t)info.st_size;
    wmk_status status =
        size <= limit ? allocate(&bytes, size + 1, 1) : wmk_fail(WMK_ERROR_INPUT, "%s: %zu bytes, at most %zu are allowed", path, size, limit);
    while (status == WMK_OK && done < size) {
        ssize_t got = read(fd, bytes + done, size - done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) status = wmk_fail_errno("%s: reading", path);
        if (got == 0) size = done; /* the file shrank */
        if (got > 0) done += (size_t)got;
    }
    close(fd);
    if (status != WMK_OK) {
        release(bytes);
        return status;
    }
    *out = bytes;
    *out_size = size;
    return WMK_OK;
}

wmk_status wmk_file_read(unsigned char **out, size_t *out_size, const char *path, size_t limit)
{
    return read_whole(out, out_size, path, limit, wmk_alloc, free);
}

wmk_status wmk_file_read_secret(unsigned char **out, size_t *out_size, const char *path, size_t limit)
{
    return read_whole(out, out_size, path, limit, wmk_secret_alloc, wmk_secret_free);
}
