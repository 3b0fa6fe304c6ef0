/* base/file.h - reading by mapping, writing by atomic replacement. */
#ifndef WMK_BASE_FILE_H
#define WMK_BASE_FILE_H

#include <stdbool.h>
#include <stdio.h>
#include "base/status.h"

/* Not for users, but the training library calls these in the core one. */
#pragma GCC visibility push(default)

/* A file's bytes, mapped read-only. An empty file maps to data == NULL, size == 0. Directories, pipes and devices are refused
 * (WMK_ERROR_INPUT). */
typedef struct wmk_map {
    const unsigned char *data;
    size_t size;
    struct wmk_file_identity {
        uint64_t device, inode;
        int64_t modified; /* nanoseconds since 1970 */
    } identity;
} wmk_map;
wmk_status wmk_map_open(wmk_map *out, const char *path);
/* INPUT: `path` is no longer the file that was mapped, or that file was written to since. */
wmk_status wmk_map_check(const wmk_map *map, const char *path);
void wmk_map_close(wmk_map *map); /* a zeroed map is allowed */

/* The whole of a small file, at most `limit` bytes (more: WMK_ERROR_INPUT), with a NUL after it. The caller frees *out. */
wmk_status wmk_file_read(unsigned char **out, size_t *out_size, const char *path, size_t limit);
/* The same for a file that holds a secret: *out is a block of base/secret.h, which the caller frees with wmk_secret_free. */
wmk_status wmk_file_read_secret(unsigned char **out, size_t *out_size, const char *path, size_t limit);

/* An output that appears whole or not at all: bytes go to a file in the target's folder that has no name (or, where the file system has no
 * O_TMPFILE, one that begins with ".wmk-"); commit syncs it and puts it in the target's place. A target that exists is refused at begin and
 * again at commit (WMK_ERROR_EXISTS) unless `replace`. A target that is not a regular file (a device such as /dev/full, a folder) is
 * refused (WMK_ERROR_INPUT); a link is followed. Abort, or process death, leaves the target as it was; a temporary name is removed on abort and by
 * wmk_abort_outputs (weightmark/base.h). */
typedef struct wmk_output wmk_output;
/* mode: permission bits for the new file, 0600 for keys, 0666 (less umask) for the rest. */
wmk_status wmk_output_begin(wmk_output **out, const char *path, unsigned mode, bool replace);
/* The same with the permission bits of `source` (less umask), holding a copy of it (reflink where the file system can, else copy_file_range). */
wmk_status wmk_output_begin_copy(wmk_output **out, const char *path, bool replace, const char *source);
/* The same for those who will write most of it anyway: of source's size, and with its bytes where that costs nothing (reflink: *cloned); else all zeros. */
wmk_status wmk_output_begin_like(wmk_output **out, const char *path, bool replace, const char *source, bool *cloned);
wmk_status wmk_output_write(wmk_output *output, const void *bytes, size_t size); /* appends */
wmk_status wmk_output_write_at(wmk_output *output, const void *bytes, size_t size, uint64_t offset);
/* The same for a file that would fill the page cache and that nobody reads soon: what was written goes to the disk at once and then out of memory, which is used again. Reading it stays
 * right, and is slow. */
wmk_status wmk_output_write_through(wmk_output *output, const void *bytes, size_t size, uint64_t offset);
wmk_status wmk_output_read_at(wmk_output *output, void *bytes, size_t size, uint64_t offset); /* INPUT: beyond the end */
wmk_status wmk_output_truncate(wmk_output *output, uint64_t size);
/* By which the unfinished file can be opened for reading. */
const char *wmk_output_temporary_path(const wmk_output *output);
/* Frees `output` whether it succeeds or not. */
wmk_status wmk_output_commit(wmk_output *output);
void wmk_output_abort(wmk_output *output); /* NULL allowed */

/* The same for a folder: filled under a temporary name, whose files are outputs of their own. A target that is a folder is replaced when `replace`, unless something in it has no
 * successor in the new one: nothing is lost but by being replaced. A file is refused (INPUT); a link is followed. A killed process leaves the temporary folder behind. */
typedef struct wmk_output_folder wmk_output_folder;
/* mode: permission bits (less umask); the owner can always read and write. */
wmk_status wmk_output_folder_begin(wmk_output_folder **out, const char *path, unsigned mode, bool replace);
/* The temporary folder. */
const char *wmk_output_folder_path(const wmk_output_folder *folder);
/* Copies everything in folder `source`, with its subfolders, but the target if that lies in it, unfinished outputs, and the files that `skip` names by their path below source
 * (it makes these itself). Links are followed; INPUT when they lead in circles, and for what is neither file nor folder. */
typedef bool (*wmk_folder_skip)(void *payload, const char *relative);
wmk_status wmk_output_folder_copy(wmk_output_folder *folder, const char *source, wmk_folder_skip skip, void *payload);
/* Makes the folders that lead to `path`, those that begin after its first `from` characters. */
wmk_status wmk_make_folders(const char *path, size_t from);
/* Whether the target may be replaced by what is in the folder now and the files that `coming` (may be NULL) names (EXISTS); commit asks too. */
wmk_status wmk_output_folder_check(const wmk_output_folder *folder, wmk_folder_skip coming, void *payload);
/* Frees `folder` whether it succeeds or not. */
wmk_status wmk_output_folder_commit(wmk_output_folder *folder);
void wmk_output_folder_abort(wmk_output_folder *folder); /* NULL allowed */

#pragma GCC visibility pop

#endif
