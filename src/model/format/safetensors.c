/* model/format/safetensors.c - reads Hugging Face's safetensors: 8 bytes of header length (little-endian), a JSON header
 *     {"__metadata__": {"name": "value", ...}, "tensor": {"dtype": "F32", "shape": [..], "data_offsets": [begin, end]}, ...}
 * and the data, which the tensors cover without hole or overlap. https://huggingface.co/docs/safetensors, "Format". */
#include <stdlib.h>
#include <string.h>

#include "model/format/safetensors.h"
#include "base/json.h"
#include "model/model.h"

enum { LENGTH_BYTES = 8 };

static const struct {
    const char *word;
    wmk_dtype dtype;
} dtypes[] = {
    {"F64", WMK_F64},
    {"F32", WMK_F32},
    {"F16", WMK_F16},
    {"BF16", WMK_BF16},
    {"F8_E5M2", WMK_F8_E5M2},
    {"F8_E4M3", WMK_F8_E4M3},
    {"I64", WMK_I64},
    {"I32", WMK_I32},
    {"I16", WMK_I16},
    {"I8", WMK_I8},
    {"U64", WMK_U64},
    {"U32", WMK_U32},
    {"U16", WMK_U16},
    {"U8", WMK_U8},
    {"BOOL", WMK_BOOL},
    {"F8_E8M0", WMK_F8_E8M0},
    {"F4", WMK_F4},
    {"F6_E2M3", WMK_F6_E2M3},
    {"F6_E3M2", WMK_F6_E3M2},
    {"C64", WMK_C64},
    {"F8_E4M3FNUZ", WMK_F8_E4M3FNUZ},
    {"F8_E5M2FNUZ", WMK_F8_E5M2FNUZ},
};
enum { DTYPE_COUNT = sizeof dtypes / sizeof dtypes[0] };

const char *wmk_safetensors_dtype_word(wmk_dtype dtype)
{
    for (size_t i = 0; i < DTYPE_COUNT; i++)
        if (dtypes[i].dtype == dtype) return dtypes[i].word;
    return NULL;
}

wmk_dtype wmk_safetensors_dtype(const char *word)
{
    for (size_t i = 0; i < DTYPE_COUNT; i++)
        if (strcmp(dtypes[i].word, word) == 0) return dtypes[i].dtype;
    return WMK_DTYPE_NONE;
}

static uint64_t header_length(const unsigned char *bytes)
{
    uint64_t length = 0;
    for (int i = LENGTH_BYTES; i-- > 0;) length = length << 8 | bytes[i];
    return length;
}

/* A JSON object at byte 8 is the mark; a length that cannot be leaves doubt. */
static int probe(const unsigned char *bytes, size_t size)
{
    if (size <= LENGTH_BYTES || bytes[LENGTH_BYTES] != '{') return 0;
    return header_length(bytes) <= WMK_SAFETENSORS_HEADER_BYTES_MAX ? 90 : 20;
}

/* What is being read, for messages. */
typedef struct reader {
    wmk_model *model;
    wmk_json json;
    uint32_t file;
    const char *tensor; /* NULL outside a tensor's entry */
} reader;

static wmk_status not_supported(const reader *r, const char *what, const char *value)
{
    return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: tensor \"%s\": %s%s", r->tensor, what, value);
}

/* A key or value that must be a C string. */
static wmk_status string(reader *r, const char **text)
{
    size_t size;
    WMK_TRY(wmk_json_string(&r->json, text, &size));
    if (strlen(*text) == size) return WMK_OK;
    return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: a text with a NUL in it, \"%s\"", *text);
}

static wmk_status read_metadata(reader *r)
{
    const char *name, *value;
    if (wmk_json_accept_null(&r->json)) return WMK_OK;
    WMK_TRY(wmk_json_expect(&r->json, '{'));
    if (wmk_json_accept(&r->json, '}')) return WMK_OK;
    do {
        WMK_TRY(string(r, &name));
        WMK_TRY(wmk_json_expect(&r->json, ':'));
        WMK_TRY(string(r, &value));
        WMK_TRY(wmk_model_add_metadata(r->model, name, value));
    } while (wmk_json_accept(&r->json, ','));
    return wmk_json_expect(&r->json, '}');
}

static wmk_status read_dtype(reader *r, wmk_model_tensor *tensor)
{
    const char *word;
    WMK_TRY(string(r, &word));
    tensor->view.dtype = wmk_safetensors_dtype(word);
    return tensor->view.dtype ? WMK_OK : not_supported(r, "unknown dtype ", word);
}

static wmk_status read_shape(reader *r, wmk_model_tensor *tensor)
{
    wmk_tensor_view *view = &tensor->view;
    WMK_TRY(wmk_json_expect(&r->json, '['));
    if (wmk_json_accept(&r->json, ']')) return WMK_OK;
    do {
        if (view->rank == WMK_RANK_MAX) return not_supported(r, "more than 8 axes", "");
        WMK_TRY(wmk_json_u64(&r->json, &view->shape[view->rank++]));
    } while (wmk_json_accept(&r->json, ','));
    return wmk_json_expect(&r->json, ']');
}

/* Offsets count from the first byte of the data, here still; `end` is kept as the size. */
static wmk_status read_offsets(reader *r, wmk_model_tensor *tensor)
{
    uint64_t end;
    WMK_TRY(wmk_json_expect(&r->json, '['));
    WMK_TRY(wmk_json_u64(&r->json, &tensor->offset_bytes));
    WMK_TRY(wmk_json_expect(&r->json, ','));
    WMK_TRY(wmk_json_u64(&r->json, &end));
    WMK_TRY(wmk_json_expect(&r->json, ']'));
    if (end < tensor->offset_bytes)
        return wmk_fail(WMK_ERROR_INPUT, "its data ends (%llu) before it begins (%llu)", (unsigned long long)end,
                        (unsigned long long)tensor->offset_bytes);
    tensor->size_bytes = end - tensor->offset_bytes;
    return WMK_OK;
}

static const struct {
    const char *name;
    wmk_status (*read)(reader *r, wmk_model_tensor *tensor);
} fields[] = {{"dtype", read_dtype}, {"shape", read_shape}, {"data_offsets", read_offsets}};
enum { FIELD_COUNT = sizeof fields / sizeof fields[0] };

/* One field of a tensor's entry; seen: bit i for fields[i]. Unknown fields are passed over, as the reference library does. */
static wmk_status read_field(reader *r, wmk_model_tensor *tensor, unsigned *seen)
{
    const char *name;
    size_t i = 0;
    WMK_TRY(string(r, &name));
    WMK_TRY(wmk_json_expect(&r->json, ':'));
    while (i < FIELD_COUNT && strcmp(fields[i].name, name) != 0) i++;
    if (i == FIELD_COUNT) return wmk_json_skip(&r->json);
    if (*seen & 1u << i) return wmk_fail(WMK_ERROR_INPUT, "\"%s\" is given twice", name);
    *seen |= 1u << i;
    return fields[i].read(r, tensor);
}

static wmk_status read_entry(reader *r, wmk_model_tensor *tensor)
{
    unsigned seen = 0;
    uint64_t bytes;
    WMK_TRY(wmk_json_expect(&r->json, '{'));
    if (!wmk_json_accept(&r->json, '}')) {
        do WMK_TRY(read_field(r, tensor, &seen));
        while (wmk_json_accept(&r->json, ','));
        WMK_TRY(wmk_json_expect(&r->json, '}'));
    }
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (!(seen & 1u << i)) return wmk_fail(WMK_ERROR_INPUT, "\"%s\" is missing", fields[i].name);
    WMK_TRY(wmk_tensor_bytes(&tensor->view, &bytes));
    if (bytes != tensor->size_bytes)
        return wmk_fail(WMK_ERROR_INPUT, "dtype and shape need %llu bytes, its offsets span %llu", (unsigned long long)bytes,
                        (unsigned long long)tensor->size_bytes);
    return WMK_OK;
}

static wmk_status read_tensor(reader *r, const char *name)
{
    wmk_model_tensor tensor = {.view.name = name, .file = r->file};
    r->tensor = name;
    wmk_status status = read_entry(r, &tensor);
    if (status == WMK_ERROR_INPUT) return wmk_fail_within(status, "tensor \"%s\"", name);
    WMK_TRY(status);
    r->tensor = NULL;
    return wmk_model_add_tensor(r->model, &tensor);
}

static wmk_status read_header(reader *r)
{
    const char *name;
    bool metadata_seen = false;
    WMK_TRY(wmk_json_expect(&r->json, '{'));
    if (wmk_json_accept(&r->json, '}')) return wmk_json_end(&r->json);
    do {
        WMK_TRY(string(r, &name));
        WMK_TRY(wmk_json_expect(&r->json, ':'));
        if (strcmp(name, "__metadata__") != 0) {
            WMK_TRY(read_tensor(r, name));
            continue;
        }
        if (metadata_seen) return wmk_fail(WMK_ERROR_INPUT, "\"__metadata__\" is given twice");
        metadata_seen = true;
        WMK_TRY(read_metadata(r));
    } while (wmk_json_accept(&r->json, ','));
    WMK_TRY(wmk_json_expect(&r->json, '}'));
    return wmk_json_end(&r->json);
}

static int by_place(const void *left, const void *right)
{
    const wmk_model_tensor *a = *(wmk_model_tensor *const *)left, *b = *(wmk_model_tensor *const *)right;
    if (a->offset_bytes != b->offset_bytes) return a->offset_bytes < b->offset_bytes ? -1 : 1;
    return a->size_bytes < b->size_bytes ? -1 : a->size_bytes > b->size_bytes;
}

/* The tensors, in the order of their data, must follow one another from the first byte of the data to the last. */
static wmk_status check_cover(wmk_model_tensor **sorted, size_t count, uint64_t data_bytes)
{
    uint64_t end = 0;
    for (size_t i = 0; i < count; i++) {
        const wmk_model_tensor *tensor = sorted[i];
        const char *name = tensor->view.name;
        if (tensor->offset_bytes < end)
            return wmk_fail(WMK_ERROR_INPUT, "tensor \"%s\": its data overlaps that of \"%s\" at byte %llu", name, sorted[i - 1]->view.name,
                            (unsigned long long)tensor->offset_bytes);
        if (tensor->offset_bytes > end)
            return wmk_fail(WMK_ERROR_INPUT, "tensor \"%s\": bytes %llu to %llu before its data belong to no tensor", name, (unsigned long long)end,
                            (unsigned long long)tensor->offset_bytes);
        end += tensor->size_bytes; /* no overflow: begin + size was read as one 64-bit end */
        if (end > data_bytes)
            return wmk_fail(WMK_ERROR_INPUT, "tensor \"%s\": its data ends at byte %llu, the file has %llu bytes of data", name,
                            (unsigned long long)end, (unsigned long long)data_bytes);
    }
    if (end != data_bytes)
        return wmk_fail(WMK_ERROR_INPUT, "%llu bytes after the last tensor's data belong to no tensor", (unsigned long long)(data_bytes - end));
    return WMK_OK;
}

/* Checks where the data of tensors [first, ...) lies and points the views at it. */
static wmk_status place(wmk_model *model, size_t first, const unsigned char *data, uint64_t data_begin, uint64_t data_bytes)
{
    wmk_model_tensor **sorted;
    size_t count = model->tensor_count - first;
    WMK_TRY(wmk_alloc(&sorted, count, sizeof *sorted));
    for (size_t i = 0; i < count; i++) sorted[i] = &model->tensors[first + i];
    qsort(sorted, count, sizeof *sorted, by_place);
    wmk_status status = check_cover(sorted, count, data_bytes);
    free(sorted);
    WMK_TRY(status);
    for (size_t i = first; i < model->tensor_count; i++) {
        wmk_model_tensor *tensor = &model->tensors[i];
        tensor->view.data = data + tensor->offset_bytes;
        tensor->offset_bytes += data_begin;
    }
    return WMK_OK;
}

static wmk_status open_safetensors(wmk_model *model, uint32_t file)
{
    const wmk_map *map = &model->files[file].map;
    size_t first = model->tensor_count;
    if (map->size < LENGTH_BYTES)
        return wmk_fail(WMK_ERROR_INPUT, "truncated: %zu bytes, a safetensors file begins with 8 bytes of header length", map->size);
    uint64_t length = header_length(map->data);
    if (length > WMK_SAFETENSORS_HEADER_BYTES_MAX)
        return wmk_fail(WMK_ERROR_INPUT, "a header of %llu bytes, at most %d are allowed", (unsigned long long)length,
                        WMK_SAFETENSORS_HEADER_BYTES_MAX);
    if (length > map->size - LENGTH_BYTES)
        return wmk_fail(WMK_ERROR_INPUT, "truncated: a header of %llu bytes, the file has %zu after its length", (unsigned long long)length,
                        map->size - LENGTH_BYTES);
    const unsigned char *header = map->data + LENGTH_BYTES;
    if (length == 0 || header[0] != '{') return wmk_fail(WMK_ERROR_INPUT, "the header does not begin with '{'");
    char *text;
    WMK_TRY(wmk_alloc(&text, length, 1));
    WMK_TRY(wmk_model_keep(model, text));
    reader r = {.model = model, .json = {header, header, header + length, text}, .file = file};
    WMK_TRY(read_header(&r));
    return place(model, first, header + length, LENGTH_BYTES + length, map->size - LENGTH_BYTES - length);
}

const wmk_container wmk_container_safetensors = {"safetensors", ".safetensors", probe, open_safetensors, NULL, NULL};
