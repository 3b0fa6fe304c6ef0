/* weightmark/base.h - what every other header of weightmark needs: the status of a call, its message, the version.
 *
 * Conventions of the whole library:
 *   - A function that can fail returns wmk_status; 0 (WMK_OK) is success. Results come back through out-parameters, which
 *     are set only on success unless the comment says otherwise.
 *   - On failure wmk_error_message() of the same thread says in one line what failed, where, and which rule was broken.
 *   - `wmk_x_free` takes NULL and returns nothing.
 *   - Pointers must not be NULL unless the comment says "may be NULL".
 *   - The library never prints, exits or aborts on input. Objects are not shared between threads without a lock of the
 *     caller's unless a comment says they may be.
 *   - Option structs begin with `size_t struct_size`; initialise them with the WMK_..._OPTIONS_INIT macro beside them.
 */
#ifndef WEIGHTMARK_BASE_H
#define WEIGHTMARK_BASE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define WMK_EXPORT __attribute__((visibility("default")))
#else
#define WMK_EXPORT
#endif

/* The numbers are stable. */
typedef enum wmk_status {
    WMK_OK = 0,
    WMK_ERROR_ARGUMENT = 1,     /* the call itself is wrong: a value outside its documented range */
    WMK_ERROR_INPUT = 2,        /* a file or buffer is malformed, truncated, damaged or holds values that cannot be used */
    WMK_ERROR_MISSING = 3,      /* something named does not exist: a file, a tensor, a data set */
    WMK_ERROR_MISMATCH = 4,     /* two things that are each well formed do not fit: a key and a model, a checkpoint and a run */
    WMK_ERROR_UNSUPPORTED = 5,  /* well formed, but this build or version does not do it; the message begins "not supported:" */
    WMK_ERROR_SECRET = 6,       /* wrong passphrase, or a sealed key that was altered: the two cannot be told apart */
    WMK_ERROR_EXISTS = 7,       /* the output exists and may not be replaced */
    WMK_ERROR_MEMORY = 8,       /* out of memory */
    WMK_ERROR_SYSTEM = 9,       /* the operating system refused: the message carries its reason */
    WMK_ERROR_INTERRUPTED = 10, /* the caller asked to stop; what the comment promises to keep was kept */
    WMK_ERROR_NUMERIC = 11,     /* a computation left the finite numbers or has no solution */
    WMK_ERROR_INTERNAL = 12     /* a defect of weightmark */
} wmk_status;

/* The message of the last failure in the calling thread: one line, no newline, never NULL ("" before any failure), never a
 * secret. Valid until the next failing call of this thread. */
WMK_EXPORT const char *wmk_error_message(void);

/* A constant word for a status ("input", "mismatch", ...); "unknown" for a value that is none. */
WMK_EXPORT const char *wmk_status_name(wmk_status status);

/* "MAJOR.MINOR.PATCH" of the library that is running. */
WMK_EXPORT const char *wmk_version(void);

/* Removes every unfinished output of this process. Async-signal-safe: for a signal handler that is about to end the process; nothing
 * else of the library may be called after it. */
WMK_EXPORT void wmk_abort_outputs(void);

#define WMK_VERSION_MAJOR 0
#define WMK_VERSION_MINOR 1
#define WMK_VERSION_PATCH 0

#ifdef __cplusplus
}
#endif
#endif
