/* model/format/pickle.h - reads a Python pickle without executing it: what comes out is a graph of plain values, in which a call or an instance is an object that remembers what
 * was to be called, with which arguments. Protocols 0 to 5, as far as Python and PyTorch write them. Lib/pickle.py and Lib/pickletools.py of CPython define the opcodes. */
#ifndef WMK_MODEL_FORMAT_PICKLE_H
#define WMK_MODEL_FORMAT_PICKLE_H

#include <stdbool.h>
#include "base/status.h"

typedef enum wmk_pickle_kind {
    WMK_PICKLE_NONE,
    WMK_PICKLE_BOOL,
    WMK_PICKLE_INT,
    WMK_PICKLE_FLOAT,
    WMK_PICKLE_TEXT, /* str; also the str of Python 2 */
    WMK_PICKLE_BYTES,
    WMK_PICKLE_TUPLE,
    WMK_PICKLE_LIST,
    WMK_PICKLE_SET,
    WMK_PICKLE_DICT,       /* items: key, value, key, value, ... */
    WMK_PICKLE_GLOBAL,     /* a name; what it stands for is never looked up */
    WMK_PICKLE_OBJECT,     /* an instance or the result of a call; items as a dict's, a list's elements under numbers */
    WMK_PICKLE_PERSISTENT, /* what the pickler's persistent_id made of an object: one item */
    WMK_PICKLE_OTHER       /* an integer beyond 64 bits */
} wmk_pickle_kind;

/* Values are named by their index; 0 is None. One value may be part of several, and of itself. */
typedef struct wmk_pickle_value {
    wmk_pickle_kind kind;
    uint32_t callee, arguments; /* OBJECT: a GLOBAL, and a tuple */
    uint32_t state;             /* OBJECT: what BUILD was given; 0: nothing */
    union {
        int64_t integer; /* INT, BOOL */
        double real;
        struct {
            const char *text; /* borrowed from the pickle's bytes, without NUL */
            size_t text_bytes;
        };
        struct {
            const char *module, *name; /* GLOBAL: borrowed likewise */
            uint32_t module_bytes, name_bytes;
        };
        struct {
            uint32_t *item; /* [count] */
            uint32_t count, capacity;
        };
    };
} wmk_pickle_value;

typedef struct wmk_pickle {
    wmk_pickle_value *value;
    size_t count, capacity;
    uint32_t root;
} wmk_pickle;

enum { WMK_PICKLE_BYTES_MAX = 1 << 28, WMK_PICKLE_VALUES_MAX = 1 << 22 };

/* Whether a pickle may ask for this call, of a global with a tuple. The call is not made. */
typedef bool (*wmk_pickle_may_call)(const wmk_pickle *pickle, const wmk_pickle_value *global, const wmk_pickle_value *arguments);

/* One pickle at the beginning of `bytes`, which must stay; *used: its size. INPUT; UNSUPPORTED: a call of something `may_call` does not know, more than the limits above; MEMORY (what is
 * allocated is bounded by the pickle's size). The caller frees with wmk_pickle_free. */
wmk_status wmk_pickle_read(wmk_pickle *out, size_t *used, const void *bytes, size_t size, wmk_pickle_may_call may_call);
void wmk_pickle_free(wmk_pickle *pickle); /* a zeroed one is allowed */

bool wmk_pickle_is_text(const wmk_pickle_value *value, const char *text);
bool wmk_pickle_is_global(const wmk_pickle_value *value, const char *module, const char *name);
/* The value under `key` of a dict or an object; 0: none. */
uint32_t wmk_pickle_get(const wmk_pickle *pickle, uint32_t dict, const char *key);

#endif
