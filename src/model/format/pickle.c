/* model/format/pickle.c - the stack machine of pickles, with nothing to execute. */
#include "model/format/pickle.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { MEMO_AHEAD_MAX = 1 << 16, STACK_MAX = 1 << 23, MARKS_MAX = 1 << 16 };

typedef struct reader {
    wmk_pickle *pickle;
    wmk_pickle_may_call may_call;
    const unsigned char *begin, *at, *end;
    uint32_t *stack;
    size_t depth, stack_capacity;
    size_t *marks; /* depths of the stack */
    size_t mark_count, mark_capacity;
    uint32_t *memo; /* [memo_count] a value + 1; 0: not set */
    size_t memo_count, memo_capacity, memo_next;
    bool stopped;
} reader;

#define fail_at(r, ...) wmk_fail_within((wmk_set_message(__VA_ARGS__), WMK_ERROR_INPUT), "pickle: byte %zu", (size_t)((r)->at - (r)->begin))

/* ---- bytes ---- */

static wmk_status take(reader *r, uint64_t size, const unsigned char **bytes)
{
    if (size > (uint64_t)(r->end - r->at))
        return fail_at(r, "truncated: %llu bytes are needed, %zu are left", (unsigned long long)size, (size_t)(r->end - r->at));
    *bytes = r->at;
    r->at += size;
    return WMK_OK;
}

static wmk_status take_number(reader *r, unsigned width, uint64_t *value)
{
    const unsigned char *bytes;
    WMK_TRY(take(r, width, &bytes));
    *value = 0;
    for (unsigned i = width; i-- > 0;) *value = *value << 8 | bytes[i];
    return WMK_OK;
}

/* Up to a newline, which is left out. */
static wmk_status take_line(reader *r, const char **line, size_t *size)
{
    const unsigned char *newline = memchr(r->at, '\n', (size_t)(r->end - r->at));
    if (!newline) return fail_at(r, "truncated: a line without an end");
    *line = (const char *)r->at;
    *size = (size_t)(newline - r->at);
    r->at = newline + 1;
    return WMK_OK;
}

/* ---- values and the stack ---- */

/* Room for one more of `size` bytes in a list that doubles. */
static wmk_status grow(void *inout_pointer, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity) return WMK_OK;
    size_t more = *capacity ? 2 * *capacity : 64;
    WMK_TRY(wmk_resize(inout_pointer, more, size));
    *capacity = more;
    return WMK_OK;
}

static wmk_status push(reader *r, uint32_t value)
{
    if (r->depth == STACK_MAX) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: a pickle with more than %d values on its stack", STACK_MAX);
    WMK_TRY(grow(&r->stack, r->depth, &r->stack_capacity, sizeof *r->stack));
    r->stack[r->depth++] = value;
    return WMK_OK;
}

static wmk_status add_value(wmk_pickle *pickle, const wmk_pickle_value *value, uint32_t *id)
{
    if (pickle->count >= WMK_PICKLE_VALUES_MAX)
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: a pickle of more than %d values", WMK_PICKLE_VALUES_MAX);
    WMK_TRY(grow(&pickle->value, pickle->count, &pickle->capacity, sizeof *pickle->value));
    pickle->value[pickle->count] = *value;
    *id = (uint32_t)pickle->count++;
    return WMK_OK;
}

static wmk_status push_value(reader *r, wmk_pickle_value value)
{
    uint32_t id;
    WMK_TRY(add_value(r->pickle, &value, &id));
    return push(r, id);
}

/* The bottom of what may be taken: things before the last mark belong to what is being built there. */
static size_t bottom(const reader *r) { return r->mark_count ? r->marks[r->mark_count - 1] : 0; }

static wmk_status pop(reader *r, uint32_t *value)
{
    if (r->depth <= bottom(r)) return fail_at(r, "the stack is empty");
    *value = r->stack[--r->depth];
    return WMK_OK;
}

/* The value on top of the stack. */
static wmk_status top(reader *r, uint32_t *value)
{
    if (r->depth <= bottom(r)) return fail_at(r, "the stack is empty");
    *value = r->stack[r->depth - 1];
    return WMK_OK;
}

/* Takes all above the last mark off the stack: *items [*count] are valid until the next push. */
static wmk_status pop_mark(reader *r, const uint32_t **items, size_t *count)
{
    if (r->mark_count == 0) return fail_at(r, "no mark on the stack");
    size_t from = r->marks[--r->mark_count];
    *items = r->stack + from;
    *count = r->depth - from;
    r->depth = from;
    return WMK_OK;
}

static wmk_status add_items(wmk_pickle_value *value, const uint32_t *items, size_t count)
{
    if (count == 0) return WMK_OK;
    if (count > value->capacity - value->count) { /* no overflow: items are bounded by the pickle's bytes, 2^28 */
        size_t capacity = value->count + count > 2 * (size_t)value->capacity ? value->count + count : 2 * (size_t)value->capacity;
        WMK_TRY(wmk_resize(&value->item, capacity, sizeof *value->item));
        value->capacity = (uint32_t)capacity;
    }
    memcpy(value->item + value->count, items, count * sizeof *items);
    value->count += (uint32_t)count;
    return WMK_OK;
}

static wmk_status push_list(reader *r, wmk_pickle_kind kind, const uint32_t *items, size_t count)
{
    uint32_t id;
    WMK_TRY(add_value(r->pickle, &(wmk_pickle_value){.kind = kind}, &id));
    WMK_TRY(add_items(&r->pickle->value[id], items, count));
    return push(r, id);
}

/* ---- opcodes: plain values ---- */

static wmk_status push_integer(reader *r, wmk_pickle_kind kind, int64_t integer)
{
    return push_value(r, (wmk_pickle_value){.kind = kind, .integer = integer});
}

static wmk_status push_text(reader *r, wmk_pickle_kind kind, const void *text, size_t size)
{
    return push_value(r, (wmk_pickle_value){.kind = kind, .text = text, .text_bytes = size});
}

static wmk_status op_none(reader *r, unsigned char op)
{
    (void)op;
    return push(r, 0);
}

static wmk_status op_bool(reader *r, unsigned char op) { return push_integer(r, WMK_PICKLE_BOOL, op == 0x88); }

static wmk_status op_binint(reader *r, unsigned char op)
{
    uint64_t value;
    WMK_TRY(take_number(r, op == 'J' ? 4 : op == 'M' ? 2 : 1, &value));
    return push_integer(r, WMK_PICKLE_INT, op == 'J' ? (int32_t)value : (int64_t)value);
}

/* LONG1, LONG4: two's complement of any length. */
static wmk_status op_long(reader *r, unsigned char op)
{
    uint64_t size, value = 0;
    const unsigned char *bytes;
    WMK_TRY(take_number(r, op == 0x8a ? 1 : 4, &size));
    WMK_TRY(take(r, size, &bytes));
    if (size > 8) return push_value(r, (wmk_pickle_value){.kind = WMK_PICKLE_OTHER});
    if (size > 0 && bytes[size - 1] & 0x80) value = UINT64_MAX;
    for (size_t i = size; i-- > 0;) value = value << 8 | bytes[i];
    return push_integer(r, WMK_PICKLE_INT, (int64_t)value);
}

/* INT, LONG: decimal text; "00" and "01" of INT are the booleans. */
static wmk_status op_text_integer(reader *r, unsigned char op)
{
    const char *line;
    char *end;
    size_t size;
    WMK_TRY(take_line(r, &line, &size));
    if (op == 'I' && size == 2 && line[0] == '0' && (line[1] == '0' || line[1] == '1')) return push_integer(r, WMK_PICKLE_BOOL, line[1] == '1');
    size_t sign = size > 0 && line[0] == '-';
    if (size == sign || line[sign] < '0' || line[sign] > '9') return fail_at(r, "no integer");
    errno = 0;
    long long value = strtoll(line, &end, 10); /* ends at the newline at the latest, as there is a digit before it */
    if ((size_t)(end - line) + (op == 'L' && *end == 'L') != size) return fail_at(r, "no integer");
    return errno ? push_value(r, (wmk_pickle_value){.kind = WMK_PICKLE_OTHER}) : push_integer(r, WMK_PICKLE_INT, value);
}

static wmk_status op_binfloat(reader *r, unsigned char op)
{
    (void)op;
    const unsigned char *bytes;
    uint64_t bits = 0;
    wmk_pickle_value value = {.kind = WMK_PICKLE_FLOAT};
    WMK_TRY(take(r, 8, &bytes));
    for (size_t i = 0; i < 8; i++) bits = bits << 8 | bytes[i]; /* big-endian, here alone */
    memcpy(&value.real, &bits, sizeof value.real);
    return push_value(r, value);
}

static wmk_status op_text_float(reader *r, unsigned char op)
{
    (void)op;
    const char *line;
    size_t size;
    WMK_TRY(take_line(r, &line, &size));
    return push_value(r, (wmk_pickle_value){.kind = WMK_PICKLE_OTHER}); /* protocol 0 only, where no tensor's number is a float */
}

/* Counted bytes: 1, 4 or 8 bytes of length. BINSTRING is the str of Python 2. */
static wmk_status op_counted(reader *r, unsigned char op)
{
    static const struct {
        unsigned char op, width;
        wmk_pickle_kind kind;
    } forms[] = {{'X', 4, WMK_PICKLE_TEXT},  {0x8c, 1, WMK_PICKLE_TEXT},  {0x8d, 8, WMK_PICKLE_TEXT},
                 {'T', 4, WMK_PICKLE_TEXT},  {'U', 1, WMK_PICKLE_TEXT},   {'B', 4, WMK_PICKLE_BYTES},
                 {'C', 1, WMK_PICKLE_BYTES}, {0x8e, 8, WMK_PICKLE_BYTES}, {0x96, 8, WMK_PICKLE_BYTES}};
    size_t i = 0;
    uint64_t size;
    const unsigned char *bytes;
    while (forms[i].op != op) i++;
    WMK_TRY(take_number(r, forms[i].width, &size));
    WMK_TRY(take(r, size, &bytes));
    return push_text(r, forms[i].kind, bytes, size);
}

/* STRING, UNICODE: a line. Escapes are left as they are written: such a text names no tensor of a sound file. */
static wmk_status op_line(reader *r, unsigned char op)
{
    const char *line;
    size_t size;
    WMK_TRY(take_line(r, &line, &size));
    if (op == 'V') return push_text(r, WMK_PICKLE_TEXT, line, size);
    if (size < 2 || line[0] != line[size - 1] || (line[0] != '\'' && line[0] != '"')) return fail_at(r, "a string without quotes");
    return push_text(r, WMK_PICKLE_TEXT, line + 1, size - 2);
}

/* ---- opcodes: containers ---- */

static wmk_status op_mark(reader *r, unsigned char op)
{
    (void)op;
    if (r->mark_count == MARKS_MAX) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: a pickle with more than %d marks on its stack", MARKS_MAX);
    WMK_TRY(grow(&r->marks, r->mark_count, &r->mark_capacity, sizeof *r->marks));
    r->marks[r->mark_count++] = r->depth;
    return WMK_OK;
}

static wmk_status op_pop(reader *r, unsigned char op)
{
    uint32_t value;
    const uint32_t *items;
    size_t count;
    if (op == '1' || (r->mark_count && r->depth == bottom(r))) return pop_mark(r, &items, &count); /* POP_MARK, and POP of a mark */
    return pop(r, &value);
}

static wmk_status op_dup(reader *r, unsigned char op)
{
    (void)op;
    uint32_t value;
    WMK_TRY(top(r, &value));
    return push(r, value);
}

static wmk_status op_empty(reader *r, unsigned char op)
{
    return push_list(r, op == ')' ? WMK_PICKLE_TUPLE : op == ']' ? WMK_PICKLE_LIST : op == '}' ? WMK_PICKLE_DICT : WMK_PICKLE_SET, NULL, 0);
}

/* TUPLE, LIST, DICT, FROZENSET of what is above the mark. */
static wmk_status op_collect(reader *r, unsigned char op)
{
    const uint32_t *items;
    size_t count;
    WMK_TRY(pop_mark(r, &items, &count));
    if (op == 'd' && count % 2 != 0) return fail_at(r, "a key without a value");
    return push_list(r, op == 't' ? WMK_PICKLE_TUPLE : op == 'l' ? WMK_PICKLE_LIST : op == 'd' ? WMK_PICKLE_DICT : WMK_PICKLE_SET, items, count);
}

/* TUPLE1 to TUPLE3 */
static wmk_status op_short_tuple(reader *r, unsigned char op)
{
    size_t count = op - 0x84;
    if (r->depth - bottom(r) < count) return fail_at(r, "the stack is empty");
    r->depth -= count;
    return push_list(r, WMK_PICKLE_TUPLE, r->stack + r->depth, count);
}

/* To the dict, list or set on top of the stack. An object's elements get numbers as their keys. */
static wmk_status extend(reader *r, unsigned char op, const uint32_t *items, size_t count)
{
    uint32_t target;
    bool pairs = op == 's' || op == 'u';
    WMK_TRY(top(r, &target));
    wmk_pickle_value *value = &r->pickle->value[target];
    bool fits = value->kind == WMK_PICKLE_OBJECT || value->kind == (pairs ? WMK_PICKLE_DICT : op == 0x90 ? WMK_PICKLE_SET : WMK_PICKLE_LIST);
    if (!fits) return fail_at(r, "items are added to what cannot hold them");
    if (pairs && count % 2 != 0) return fail_at(r, "a key without a value");
    if (pairs || value->kind != WMK_PICKLE_OBJECT) return add_items(value, items, count);
    for (size_t i = 0; i < count; i++) {
        uint32_t pair[2] = {0, items[i]};
        WMK_TRY(add_value(r->pickle, &(wmk_pickle_value){.kind = WMK_PICKLE_INT, .integer = r->pickle->value[target].count / 2}, &pair[0]));
        WMK_TRY(add_items(&r->pickle->value[target], pair, 2));
    }
    return WMK_OK;
}

/* APPENDS, SETITEMS, ADDITEMS */
static wmk_status op_extend(reader *r, unsigned char op)
{
    const uint32_t *items;
    size_t count;
    WMK_TRY(pop_mark(r, &items, &count));
    return extend(r, op, items, count);
}

/* APPEND, SETITEM */
static wmk_status op_extend_one(reader *r, unsigned char op)
{
    size_t count = op == 's' ? 2 : 1;
    if (r->depth - bottom(r) < count) return fail_at(r, "the stack is empty");
    r->depth -= count;
    return extend(r, op, r->stack + r->depth, count);
}

/* ---- opcodes: the memo ---- */

static wmk_status put(reader *r, uint64_t index)
{
    uint32_t value;
    WMK_TRY(top(r, &value));
    size_t before = (size_t)(r->at - r->begin); /* picklers count their memos from 0 */
    if (index >= before + MEMO_AHEAD_MAX || index >= WMK_PICKLE_VALUES_MAX)
        return fail_at(r, "memo %llu after %zu bytes", (unsigned long long)index, before);
    if (index >= r->memo_capacity) {
        size_t capacity = index + 1 > 2 * r->memo_capacity ? index + 1 : 2 * r->memo_capacity;
        WMK_TRY(wmk_resize(&r->memo, capacity, sizeof *r->memo));
        r->memo_capacity = capacity;
    }
    for (; r->memo_count <= index; r->memo_count++) r->memo[r->memo_count] = 0;
    r->memo[index] = value + 1;
    return WMK_OK;
}

static wmk_status get(reader *r, uint64_t index)
{
    if (index >= r->memo_count || !r->memo[index]) return fail_at(r, "memo %llu was not set", (unsigned long long)index);
    return push(r, r->memo[index] - 1);
}

static wmk_status op_put(reader *r, unsigned char op)
{
    uint64_t index;
    WMK_TRY(take_number(r, op == 'q' ? 1 : 4, &index));
    return put(r, index);
}

static wmk_status op_get(reader *r, unsigned char op)
{
    uint64_t index;
    WMK_TRY(take_number(r, op == 'h' ? 1 : 4, &index));
    return get(r, index);
}

/* MEMOIZE numbers by how many there are. */
static wmk_status op_memoize(reader *r, unsigned char op)
{
    (void)op;
    return put(r, r->memo_next++);
}

/* PUT, GET: the index in decimal. */
static wmk_status op_text_memo(reader *r, unsigned char op)
{
    const char *line;
    size_t size;
    uint64_t index = 0;
    WMK_TRY(take_line(r, &line, &size));
    if (size == 0 || size > 9) return fail_at(r, "no index of the memo");
    for (size_t i = 0; i < size; i++) {
        if (line[i] < '0' || line[i] > '9') return fail_at(r, "no index of the memo");
        index = index * 10 + (uint64_t)(line[i] - '0');
    }
    return op == 'p' ? put(r, index) : get(r, index);
}

/* ---- opcodes: names, calls and instances ---- */

static wmk_status push_global(reader *r, const char *module, size_t module_bytes, const char *name, size_t name_bytes)
{
    return push_value(
        r,
        (wmk_pickle_value){
            .kind = WMK_PICKLE_GLOBAL, .module = module, .name = name, .module_bytes = (uint32_t)module_bytes, .name_bytes = (uint32_t)name_bytes});
}

static wmk_status op_global(reader *r, unsigned char op)
{
    (void)op;
    const char *module, *name;
    size_t module_bytes, name_bytes;
    WMK_TRY(take_line(r, &module, &module_bytes));
    WMK_TRY(take_line(r, &name, &name_bytes));
    return push_global(r, module, module_bytes, name, name_bytes);
}

static wmk_status op_stack_global(reader *r, unsigned char op)
{
    (void)op;
    uint32_t module, name;
    WMK_TRY(pop(r, &name));
    WMK_TRY(pop(r, &module));
    const wmk_pickle_value *m = &r->pickle->value[module], *n = &r->pickle->value[name];
    if (m->kind != WMK_PICKLE_TEXT || n->kind != WMK_PICKLE_TEXT) return fail_at(r, "a global whose name is no text");
    return push_global(r, m->text, m->text_bytes, n->text, n->text_bytes);
}

static wmk_status push_object(reader *r, uint32_t callee, uint32_t arguments)
{
    return push_value(r, (wmk_pickle_value){.kind = WMK_PICKLE_OBJECT, .callee = callee, .arguments = arguments});
}

/* The first of a long text, for messages. */
static int shown(size_t size) { return size > 100 ? 100 : (int)size; }

static wmk_status refuse_call(const wmk_pickle_value *global)
{
    return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: the pickle calls %.*s.%.*s; nothing was executed", shown(global->module_bytes),
                    global->module, shown(global->name_bytes), global->name);
}

/* REDUCE: here it is decided which calls a pickle may ask for. */
static wmk_status op_reduce(reader *r, unsigned char op)
{
    (void)op;
    uint32_t callee, arguments;
    WMK_TRY(pop(r, &arguments));
    WMK_TRY(pop(r, &callee));
    const wmk_pickle_value *global = &r->pickle->value[callee];
    if (global->kind != WMK_PICKLE_GLOBAL)
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: the pickle calls an object it made; nothing was executed");
    if (r->pickle->value[arguments].kind != WMK_PICKLE_TUPLE) return fail_at(r, "the arguments of a call are no tuple");
    if (!r->may_call(r->pickle, global, &r->pickle->value[arguments])) return refuse_call(global);
    return push_object(r, callee, arguments);
}

/* NEWOBJ, NEWOBJ_EX: an instance whose constructor is not run. */
static wmk_status op_newobj(reader *r, unsigned char op)
{
    uint32_t class, arguments, keywords;
    if (op == 0x92) WMK_TRY(pop(r, &keywords));
    WMK_TRY(pop(r, &arguments));
    WMK_TRY(pop(r, &class));
    if (r->pickle->value[arguments].kind != WMK_PICKLE_TUPLE) return fail_at(r, "the arguments of an instance are no tuple");
    wmk_pickle_kind kind = r->pickle->value[class].kind; /* torch's old picklers make a class persistent, with its source text */
    if (kind != WMK_PICKLE_GLOBAL && kind != WMK_PICKLE_PERSISTENT) return fail_at(r, "an instance of what is no class");
    return push_object(r, class, arguments);
}

/* INST, OBJ: protocol 0's and 1's instances, whose constructor is called. */
static wmk_status op_old_instance(reader *r, unsigned char op)
{
    const uint32_t *items;
    size_t count;
    if (op == 'i') {
        WMK_TRY(op_global(r, op));
        return refuse_call(&r->pickle->value[r->stack[r->depth - 1]]);
    }
    WMK_TRY(pop_mark(r, &items, &count));
    if (count == 0 || r->pickle->value[items[0]].kind != WMK_PICKLE_GLOBAL) return fail_at(r, "an instance of what is no class");
    return refuse_call(&r->pickle->value[items[0]]);
}

static wmk_status op_build(reader *r, unsigned char op)
{
    (void)op;
    uint32_t state, target;
    WMK_TRY(pop(r, &state));
    WMK_TRY(top(r, &target));
    if (r->pickle->value[target].kind == WMK_PICKLE_OBJECT) r->pickle->value[target].state = state;
    return WMK_OK;
}

static wmk_status op_persistent(reader *r, unsigned char op)
{
    (void)op;
    uint32_t id;
    WMK_TRY(pop(r, &id));
    return push_list(r, WMK_PICKLE_PERSISTENT, &id, 1);
}

/* ---- opcodes: the pickle itself ---- */

static wmk_status op_protocol(reader *r, unsigned char op)
{
    (void)op;
    uint64_t protocol;
    WMK_TRY(take_number(r, 1, &protocol));
    return protocol <= 5 ? WMK_OK : wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: pickle protocol %u", (unsigned)protocol);
}

/* Frames only help those who read from a stream. */
static wmk_status op_frame(reader *r, unsigned char op)
{
    (void)op;
    uint64_t size;
    WMK_TRY(take_number(r, 8, &size));
    return size <= (uint64_t)(r->end - r->at) ? WMK_OK : fail_at(r, "truncated: a frame of %llu bytes", (unsigned long long)size);
}

static wmk_status op_stop(reader *r, unsigned char op)
{
    (void)op;
    r->stopped = true;
    WMK_TRY(pop(r, &r->pickle->root));
    return r->depth == 0 && r->mark_count == 0 ? WMK_OK : fail_at(r, "%zu values are left on the stack", r->depth);
}

static wmk_status (*const operations[256])(reader *r, unsigned char op) = {
    ['N'] = op_none,         [0x88] = op_bool,         [0x89] = op_bool,        ['J'] = op_binint,       ['K'] = op_binint,
    ['M'] = op_binint,       [0x8a] = op_long,         [0x8b] = op_long,        ['I'] = op_text_integer, ['L'] = op_text_integer,
    ['G'] = op_binfloat,     ['F'] = op_text_float,    ['X'] = op_counted,      [0x8c] = op_counted,     [0x8d] = op_counted,
    ['T'] = op_counted,      ['U'] = op_counted,       ['B'] = op_counted,      ['C'] = op_counted,      [0x8e] = op_counted,
    [0x96] = op_counted,     ['S'] = op_line,          ['V'] = op_line,         ['('] = op_mark,         ['0'] = op_pop,
    ['1'] = op_pop,          ['2'] = op_dup,           [')'] = op_empty,        [']'] = op_empty,        ['}'] = op_empty,
    [0x8f] = op_empty,       ['t'] = op_collect,       ['l'] = op_collect,      ['d'] = op_collect,      [0x91] = op_collect,
    [0x85] = op_short_tuple, [0x86] = op_short_tuple,  [0x87] = op_short_tuple, ['e'] = op_extend,       ['u'] = op_extend,
    [0x90] = op_extend,      ['a'] = op_extend_one,    ['s'] = op_extend_one,   ['q'] = op_put,          ['r'] = op_put,
    ['h'] = op_get,          ['j'] = op_get,           [0x94] = op_memoize,     ['p'] = op_text_memo,    ['g'] = op_text_memo,
    ['c'] = op_global,       [0x93] = op_stack_global, ['R'] = op_reduce,       [0x81] = op_newobj,      [0x92] = op_newobj,
    ['i'] = op_old_instance, ['o'] = op_old_instance,  ['b'] = op_build,        ['Q'] = op_persistent,   [0x80] = op_protocol,
    [0x95] = op_frame,       ['.'] = op_stop,
};

static wmk_status run(reader *r)
{
    uint32_t none;
    WMK_TRY(add_value(r->pickle, &(wmk_pickle_value){.kind = WMK_PICKLE_NONE}, &none));
    WMK_TRY(grow(&r->stack, 0, &r->stack_capacity, sizeof *r->stack)); /* places in it are named before anything is there */
    while (!r->stopped) {
        const unsigned char *op;
        WMK_TRY(take(r, 1, &op));
        if (!operations[*op]) return fail_at(r, "opcode 0x%02x, which no sound file has", *op);
        WMK_TRY(operations[*op](r, *op));
    }
    return WMK_OK;
}

wmk_status wmk_pickle_read(wmk_pickle *out, size_t *used, const void *bytes, size_t size, wmk_pickle_may_call may_call)
{
    wmk_pickle pickle = {0};
    size_t limit = size < WMK_PICKLE_BYTES_MAX ? size : WMK_PICKLE_BYTES_MAX;
    reader r = {.pickle = &pickle, .may_call = may_call, .begin = bytes, .at = bytes, .end = (const unsigned char *)bytes + limit};
    wmk_status status = run(&r);
    free(r.stack);
    free(r.marks);
    free(r.memo);
    if (status == WMK_OK) {
        *out = pickle;
        *used = (size_t)(r.at - r.begin);
    } else {
        wmk_pickle_free(&pickle);
    }
    return status;
}

static bool has_items(wmk_pickle_kind kind)
{
    return kind == WMK_PICKLE_TUPLE || kind == WMK_PICKLE_LIST || kind == WMK_PICKLE_SET || kind == WMK_PICKLE_DICT || kind == WMK_PICKLE_OBJECT ||
           kind == WMK_PICKLE_PERSISTENT;
}

void wmk_pickle_free(wmk_pickle *pickle)
{
    for (size_t i = 0; i < pickle->count; i++)
        if (has_items(pickle->value[i].kind)) free(pickle->value[i].item);
    free(pickle->value);
    *pickle = (wmk_pickle){0};
}

/* ---- looking ---- */

static bool same(const char *bytes, size_t size, const char *text) { return strlen(text) == size && memcmp(bytes, text, size) == 0; }

bool wmk_pickle_is_text(const wmk_pickle_value *value, const char *text)
{
    return value->kind == WMK_PICKLE_TEXT && same(value->text, value->text_bytes, text);
}

bool wmk_pickle_is_global(const wmk_pickle_value *value, const char *module, const char *name)
{
    return value->kind == WMK_PICKLE_GLOBAL && same(value->module, value->module_bytes, module) && same(value->name, value->name_bytes, name);
}

uint32_t wmk_pickle_get(const wmk_pickle *pickle, uint32_t dict, const char *key)
{
    const wmk_pickle_value *value = &pickle->value[dict];
    if (value->kind != WMK_PICKLE_DICT && value->kind != WMK_PICKLE_OBJECT) return 0;
    for (uint32_t i = 0; i + 1 < value->count; i += 2)
        if (wmk_pickle_is_text(&pickle->value[value->item[i]], key)) return value->item[i + 1];
    return 0;
}
