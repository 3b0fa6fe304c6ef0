/* model/format/npy_head.c - the head of an array: "\x93NUMPY", a version of two bytes, the length of the rest (two bytes in version 1, four in 2 and 3), and a Python literal
 *     {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
 * filled up with spaces. numpy.org/doc/stable/reference/generated/numpy.lib.format.html. Only such a literal is read; nothing is evaluated. */
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "model/format/npy.h"

enum { MAGIC_BYTES = 6, WORD_BYTES_MAX = 32 };

wmk_status wmk_npy_head_bytes(const unsigned char *bytes, uint64_t size, uint64_t *head_bytes)
{
    if (size < 10 || memcmp(bytes, "\x93NUMPY", MAGIC_BYTES) != 0)
        return wmk_fail(WMK_ERROR_INPUT, "is no NumPy array: it does not begin with its magic");
    unsigned major = bytes[6], minor = bytes[7], begin = major == 1 ? 10 : 12;
    if (major < 1 || major > 3 || minor != 0) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: version %u.%u of NumPy's format", major, minor);
    uint64_t length = 0;
    if (size < begin) return wmk_fail(WMK_ERROR_INPUT, "truncated: %llu bytes, a head has at least 12", (unsigned long long)size);
    for (unsigned i = begin; i-- > 8;) length = length << 8 | bytes[i];
    if (length > WMK_NPY_HEADER_BYTES_MAX)
        return wmk_fail(WMK_ERROR_INPUT, "a header of %llu bytes, at most %d are allowed", (unsigned long long)length, WMK_NPY_HEADER_BYTES_MAX);
    *head_bytes = begin + length;
    return WMK_OK;
}

/* ---- the literal ---- */

typedef struct literal {
    const unsigned char *begin, *at, *end;
} literal;

static wmk_status expected(const literal *l, const char *what)
{
    return wmk_fail(WMK_ERROR_INPUT, "byte %zu of the header: expected %s", (size_t)(l->at - l->begin), what);
}

static bool accept(literal *l, char c)
{
    while (l->at < l->end && (*l->at == ' ' || *l->at == '\n' || *l->at == '\t')) l->at++;
    if (l->at == l->end || *l->at != (unsigned char)c) return false;
    l->at++;
    return true;
}

/* A short text without escapes. */
static wmk_status read_word(literal *l, char word[WORD_BYTES_MAX])
{
    size_t size = 0;
    unsigned char quote = accept(l, '\'') ? '\'' : '"';
    if (quote == '"' && !accept(l, '"')) return expected(l, "a text");
    for (; l->at < l->end && *l->at != quote; l->at++) {
        if (size == WORD_BYTES_MAX - 1 || *l->at < ' ' || *l->at > '~' || *l->at == '\\') return expected(l, "the end of a short text");
        word[size++] = (char)*l->at;
    }
    if (l->at == l->end) return expected(l, "the end of a text");
    l->at++;
    word[size] = '\0';
    return WMK_OK;
}

static bool is_digit(const literal *l) { return l->at < l->end && *l->at >= '0' && *l->at <= '9'; }

static wmk_status read_number(literal *l, uint64_t *number)
{
    *number = 0;
    if (!is_digit(l)) return expected(l, "a whole number");
    for (; is_digit(l); l->at++)
        if (!wmk_mul_u64(*number, 10, number) || !wmk_add_u64(*number, *l->at - '0', number)) return expected(l, "a number below 2^64");
    if (l->at < l->end && *l->at == 'L') l->at++; /* Python 2 */
    return WMK_OK;
}

static wmk_status read_shape(literal *l, wmk_npy *npy)
{
    if (!accept(l, '(')) return expected(l, "'('");
    while (!accept(l, ')')) {
        if (npy->rank == WMK_RANK_MAX) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: more than 8 axes");
        accept(l, ' ');
        WMK_TRY(read_number(l, &npy->shape[npy->rank++]));
        if (accept(l, ',')) continue;
        if (npy->rank == 1) return expected(l, "','"); /* (3) is no tuple */
        if (!accept(l, ')')) return expected(l, "')'");
        break;
    }
    return WMK_OK;
}

static wmk_status read_bool(literal *l, bool *value)
{
    accept(l, ' ');
    size_t left = (size_t)(l->end - l->at);
    *value = left >= 4 && memcmp(l->at, "True", 4) == 0;
    if (!*value && (left < 5 || memcmp(l->at, "False", 5) != 0)) return expected(l, "True or False");
    l->at += *value ? 4 : 5;
    return WMK_OK;
}

/* ---- types ---- */

static const struct {
    char kind;
    uint32_t bytes; /* 0: any */
    wmk_dtype dtype;
} dtypes[] = {
    {'f', 2, WMK_F16},         {'f', 4, WMK_F32},        {'f', 8, WMK_F64},        {'i', 1, WMK_I8},         {'i', 2, WMK_I16},
    {'i', 4, WMK_I32},         {'i', 8, WMK_I64},        {'u', 1, WMK_U8},         {'u', 2, WMK_U16},        {'u', 4, WMK_U32},
    {'u', 8, WMK_U64},         {'b', 1, WMK_BOOL},       {'c', 8, WMK_C64},        {'c', 16, WMK_C128},      {'f', 16, WMK_DTYPE_NONE},
    {'c', 32, WMK_DTYPE_NONE}, /* long double */
    {'V', 0, WMK_DTYPE_NONE},  {'S', 0, WMK_DTYPE_NONE}, {'U', 0, WMK_DTYPE_NONE}, {'M', 8, WMK_DTYPE_NONE}, {'m', 8, WMK_DTYPE_NONE},
};

/* '<f4': byte order, kind, bytes an element. Texts, dates and raw bytes (as which extension types such as bfloat16 are saved) have a size, no more. */
static wmk_status read_descr(literal *l, wmk_npy *npy, uint64_t *element_bytes)
{
    char word[WORD_BYTES_MAX];
    if (accept(l, '[') || accept(l, '(')) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: an array of records");
    WMK_TRY(read_word(l, word));
    const char *at = word + (word[0] && strchr("<>|=", word[0]));
    char kind = *at;
    literal digits = {(const unsigned char *)word, (const unsigned char *)at + 1, (const unsigned char *)word + strlen(word)};
    npy->is_object = kind == 'O';
    if (npy->is_object) return WMK_OK;
    bool sized = kind && read_number(&digits, element_bytes) == WMK_OK && *element_bytes <= UINT32_MAX, listed = false;
    bool ends = digits.at == digits.end && digits.at[-1] != 'L',
         unit = sized && (kind == 'M' || kind == 'm') && *element_bytes == 8 && *digits.at == '[';
    npy->swapped = word[0] == '>' && *element_bytes > 1;
    for (size_t i = 0; sized && ends && i < sizeof dtypes / sizeof dtypes[0]; i++) {
        if (dtypes[i].kind != kind || (dtypes[i].bytes && dtypes[i].bytes != *element_bytes)) continue;
        npy->dtype = dtypes[i].dtype;
        listed = true;
    }
    if (!listed && !unit) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: elements of type '%s'", word);
    if (kind == 'U') *element_bytes *= 4;
    return WMK_OK;
}

/* ---- all of it ---- */

static wmk_status read_literal(literal *l, wmk_npy *npy, uint64_t *element_bytes)
{
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    enum { KEYS = sizeof keys / sizeof keys[0] };
    char word[WORD_BYTES_MAX];
    unsigned seen = 0;
    if (!accept(l, '{')) return expected(l, "'{'");
    while (!accept(l, '}')) {
        size_t key = 0;
        WMK_TRY(read_word(l, word));
        while (key < KEYS && strcmp(word, keys[key]) != 0) key++;
        if (key == KEYS) return wmk_fail(WMK_ERROR_INPUT, "the header has a key \"%s\"", word);
        if (seen & 1u << key) return wmk_fail(WMK_ERROR_INPUT, "the header has \"%s\" twice", word);
        seen |= 1u << key;
        if (!accept(l, ':')) return expected(l, "':'");
        WMK_TRY(key == 0 ? read_descr(l, npy, element_bytes) : key == 1 ? read_bool(l, &npy->fortran) : read_shape(l, npy));
        if (accept(l, ',')) continue;
        if (!accept(l, '}')) return expected(l, "',' or '}'");
        break;
    }
    for (size_t key = 0; key < KEYS; key++)
        if (!(seen & 1u << key)) return wmk_fail(WMK_ERROR_INPUT, "the header lacks \"%s\"", keys[key]);
    accept(l, ' ');
    accept(l, '\n');
    return WMK_OK;
}

wmk_status wmk_npy_read(wmk_npy *out, const unsigned char *bytes, uint64_t content_bytes)
{
    wmk_npy npy = {0};
    uint64_t element_bytes = 0, elements;
    WMK_TRY(wmk_npy_head_bytes(bytes, content_bytes, &npy.head_bytes));
    if (npy.head_bytes > content_bytes)
        return wmk_fail(WMK_ERROR_INPUT, "truncated: a head of %llu bytes in %llu", (unsigned long long)npy.head_bytes,
                        (unsigned long long)content_bytes);
    const unsigned char *begin = bytes + (bytes[6] == 1 ? 10 : 12);
    literal l = {begin, begin, bytes + npy.head_bytes};
    WMK_TRY(read_literal(&l, &npy, &element_bytes));
    while (accept(&l, ' ') || accept(&l, '\n')) {
    }
    if (l.at != l.end) return expected(&l, "its end");
    uint64_t there = content_bytes - npy.head_bytes;
    if (!wmk_product_u64(npy.shape, npy.rank, &elements) || elements > UINT64_MAX / 64 || !wmk_mul_u64(elements, element_bytes, &npy.data_bytes))
        return wmk_fail(WMK_ERROR_INPUT, "its shape gives more bytes than 64-bit numbers count");
    if (npy.is_object) npy.data_bytes = there;
    if (npy.data_bytes > there)
        return wmk_fail(WMK_ERROR_INPUT, "truncated: shape and type need %llu bytes, %llu are there", (unsigned long long)npy.data_bytes,
                        (unsigned long long)there);
    if (npy.data_bytes < there)
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: %llu bytes behind the array (several arrays in a file?)",
                        (unsigned long long)(there - npy.data_bytes));
    *out = npy;
    return WMK_OK;
}
