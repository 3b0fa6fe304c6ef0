/* tests/fault/fault.c - a shim for LD_PRELOAD that makes one call of a program fail.
 *
 *     WMK_FAULT=alloc:N   the N-th allocation (malloc, calloc, realloc, aligned_alloc, posix_memalign) fails with ENOMEM
 *     WMK_FAULT=write:N   the N-th call that changes a file (write, pwrite, copy_file_range, ftruncate: ENOSPC; fsync, rename, renameat2, link, linkat: EIO)
 *     WMK_FAULT=short:N   the N-th write or pwrite puts only half of its bytes, which is no error and must be carried on from
 *     WMK_FAULT_LOG=PATH  this file is made when the fault was given, so that a test knows when N was past the last call
 *
 * Not counted: standard output and error, and allocations of the OpenMP and C++ run-times and the dynamic loader, which end the process by themselves.
 * Nor are those of libcrypto: it takes a refused one for a certificate that does not fit (never for one
 * that does). */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

enum fault_kind { FAULT_NONE, FAULT_ALLOC, FAULT_WRITE, FAULT_SHORT };
static enum fault_kind kind;
static long at; /* fails when the count comes to this */
static long count;
static char log_path[4096];

enum { RANGES = 64 };
static struct {
    uintptr_t begin, end;
} exempt[RANGES];
static int exempt_count;

static int find_exempt(struct dl_phdr_info *info, size_t size, void *payload)
{
    static const char *const names[] = {"libgomp", "libomp", "libstdc++", "libdnnl", "ld-linux", "libcrypto"};
    (void)size, (void)payload;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!strstr(info->dlpi_name, names[i])) continue;
        for (int j = 0; j < info->dlpi_phnum && exempt_count < RANGES; j++) {
            if (info->dlpi_phdr[j].p_type != PT_LOAD) continue;
            exempt[exempt_count].begin = info->dlpi_addr + info->dlpi_phdr[j].p_vaddr;
            exempt[exempt_count].end = exempt[exempt_count].begin + info->dlpi_phdr[j].p_memsz;
            exempt_count++;
        }
    }
    return 0;
}

__attribute__((constructor)) static void arm(void)
{
    const char *fault = getenv("WMK_FAULT"), *path = getenv("WMK_FAULT_LOG");
    if (!fault) return;
    if (path && strlen(path) < sizeof log_path) strcpy(log_path, path);
    dl_iterate_phdr(find_exempt, NULL);
    at = strtol(strchr(fault, ':') ? strchr(fault, ':') + 1 : "0", NULL, 10);
    kind = strncmp(fault, "alloc", 5) == 0 ? FAULT_ALLOC : strncmp(fault, "write", 5) == 0 ? FAULT_WRITE : FAULT_SHORT;
}

/* Counts a call; true when it is the one. */
static bool is_due(enum fault_kind of)
{
    if (kind != of || __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED) != at) return false;
    long fd = log_path[0] ? syscall(SYS_openat, AT_FDCWD, log_path, O_CREAT | O_WRONLY, 0666) : -1;
    if (fd >= 0) syscall(SYS_close, fd);
    return true;
}

static bool no_memory(const void *caller)
{
    if (kind != FAULT_ALLOC) return false;
    for (int i = 0; i < exempt_count; i++)
        if ((uintptr_t)caller >= exempt[i].begin && (uintptr_t)caller < exempt[i].end) return false;
    if (!is_due(FAULT_ALLOC)) return false;
    errno = ENOMEM;
    return true;
}

#define CALLER __builtin_return_address(0)

void *malloc(size_t size) { return no_memory(CALLER) ? NULL : __libc_malloc(size); }

void *calloc(size_t items, size_t size) { return no_memory(CALLER) ? NULL : __libc_calloc(items, size); }

void *realloc(void *block, size_t size) { return no_memory(CALLER) ? NULL : __libc_realloc(block, size); }

void *aligned_alloc(size_t alignment, size_t size) { return no_memory(CALLER) ? NULL : __libc_memalign(alignment, size); }

int posix_memalign(void **out, size_t alignment, size_t size)
{
    if (no_memory(CALLER)) return ENOMEM;
    void *block = __libc_memalign(alignment, size);
    if (!block) return ENOMEM;
    *out = block;
    return 0;
}

/* -1 with `error` when this file operation is the one; 0: go on. */
static int refused(int error)
{
    if (!is_due(FAULT_WRITE)) return 0;
    errno = error;
    return -1;
}

static size_t shortened(size_t size) { return size > 1 && is_due(FAULT_SHORT) ? size / 2 : size; }

ssize_t write(int fd, const void *bytes, size_t size)
{
    if (fd > 2 && refused(ENOSPC)) return -1;
    return syscall(SYS_write, fd, bytes, fd > 2 ? shortened(size) : size);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    if (refused(ENOSPC)) return -1;
    return syscall(SYS_pwrite64, fd, bytes, shortened(size), offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset) { return pwrite(fd, bytes, size, offset); }

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t size, unsigned flags)
{
    if (refused(ENOSPC)) return -1;
    return syscall(SYS_copy_file_range, in, in_at, out, out_at, size, flags);
}

int ftruncate(int fd, off_t size) { return refused(ENOSPC) ? -1 : (int)syscall(SYS_ftruncate, fd, size); }

int fsync(int fd) { return refused(EIO) ? -1 : (int)syscall(SYS_fsync, fd); }

int fdatasync(int fd) { return refused(EIO) ? -1 : (int)syscall(SYS_fdatasync, fd); }

int rename(const char *from, const char *to) { return refused(EIO) ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0); }

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    return refused(EIO) ? -1 : (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

int link(const char *from, const char *to) { return refused(EIO) ? -1 : (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0); }

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    return refused(EIO) ? -1 : (int)syscall(SYS_linkat, from_fd, from, to_fd, to, flags);
}
