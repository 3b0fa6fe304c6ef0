/* model/format/gguf.c - reads GGUF, the format of ggml and llama.cpp, versions 2 and 3, little-endian: "GGUF", version (u32), number of tensors and of metadata pairs (u64), the
 * pairs (name, type, value), the tensors (name, axes innermost first, type, offset of the data), and from the next multiple of general.alignment on the data.
 * https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Numbers of the metadata become texts; arrays of more than 64 elements only "[32000 strings]".
 *
 * Shapes are given outermost axis first. Matrices are [out, in], convolutions [out, in, h, w] and [out, in, w]. Experts of one layer, [expert, out, in] in the file, are shown as one matrix
 * [expert * out, in], the same bytes: every output unit of every expert is a filter of its own.
 *
 * A model may be split into NAME-00001-of-00003.gguf and so on: opening one of them opens all. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "model/format/gguf_blocks.h"
#include "model/model.h"

enum { AXES_MAX = 4, DEPTH_MAX = 8, SPELLED_MAX = 64, ROOM_BYTES = 64 * 1024, ALIGNMENT = 32 };

static const struct {
    uint32_t number; /* enum ggml_type */
    wmk_dtype dtype;
} types[] = {
    {0, WMK_F32},     {1, WMK_F16},      {2, WMK_Q4_0},   {3, WMK_Q4_1},    {6, WMK_Q5_0},   {7, WMK_Q5_1},   {8, WMK_Q8_0},
    {10, WMK_Q2_K},   {11, WMK_Q3_K},    {12, WMK_Q4_K},  {13, WMK_Q5_K},   {14, WMK_Q6_K},  {15, WMK_Q8_K},  {16, WMK_IQ2_XXS},
    {17, WMK_IQ2_XS}, {18, WMK_IQ3_XXS}, {19, WMK_IQ1_S}, {20, WMK_IQ4_NL}, {21, WMK_IQ3_S}, {22, WMK_IQ2_S}, {23, WMK_IQ4_XS},
    {24, WMK_I8},     {25, WMK_I16},     {26, WMK_I32},   {27, WMK_I64},    {28, WMK_F64},   {29, WMK_IQ1_M}, {30, WMK_BF16},
    {34, WMK_TQ1_0},  {35, WMK_TQ2_0},   {39, WMK_MXFP4}, {40, WMK_NVFP4},  {41, WMK_Q1_0},
};

/* Types of metadata values: enum gguf_type. */
enum { FLOAT32 = 6, BOOL = 7, STRING = 8, ARRAY = 9, FLOAT64 = 12 };
static const struct {
    const char *name;
    uint8_t bytes;  /* 0: no fixed size */
    bool is_signed; /* of the whole numbers */
} kinds[] = {{"u8", 1, 0},    {"i8", 1, 1},      {"u16", 2, 0},    {"i16", 2, 1}, {"u32", 4, 0}, {"i32", 4, 1}, {"f32", 4, 1},
             {"bools", 1, 0}, {"strings", 0, 0}, {"arrays", 0, 0}, {"u64", 8, 0}, {"i64", 8, 1}, {"f64", 8, 1}};
enum { KIND_COUNT = sizeof kinds / sizeof kinds[0] };

/* Numbers of the metadata that say how the file is to be read. */
enum { GENERAL_ALIGNMENT, SPLIT_NO, SPLIT_COUNT, SPLIT_TENSORS, GUIDE_COUNT };
static const char *const guides[GUIDE_COUNT] = {"general.alignment", "split.no", "split.count", "split.tensors.count"};

typedef struct reader {
    wmk_model *model;
    uint32_t file;
    const unsigned char *begin, *at, *end;
    const char *part; /* being read, for messages: its kind, its number */
    uint64_t number, of;
    char *room; /* for texts, under wmk_model_keep */
    size_t room_left;
    wmk_buffer text; /* of the present value */
    struct {
        bool given;
        uint64_t value;
    } guide[GUIDE_COUNT];
} reader;

/* ---- bytes ---- */

static wmk_status take(reader *r, uint64_t size, const unsigned char **out)
{
    *out = r->at;
    if (size > (uint64_t)(r->end - r->at)) {
        if (r->of == 0) return wmk_fail(WMK_ERROR_INPUT, "truncated: the file ends inside of %s", r->part);
        return wmk_fail(WMK_ERROR_INPUT, "truncated: the file ends inside of %s %llu of %llu", r->part, (unsigned long long)r->number,
                        (unsigned long long)r->of);
    }
    r->at += size;
    return WMK_OK;
}

static uint64_t little_endian(const unsigned char *bytes, size_t count)
{
    uint64_t value = 0;
    while (count-- > 0) value = value << 8 | bytes[count];
    return value;
}

static wmk_status take_u32(reader *r, uint32_t *out)
{
    const unsigned char *bytes;
    WMK_TRY(take(r, 4, &bytes));
    *out = (uint32_t)little_endian(bytes, 4);
    return WMK_OK;
}

static wmk_status take_u64(reader *r, uint64_t *out)
{
    const unsigned char *bytes;
    WMK_TRY(take(r, 8, &bytes));
    *out = little_endian(bytes, 8);
    return WMK_OK;
}

/* ---- texts ---- */

/* A copy that lives as long as the model. Room is made in big pieces: all texts together are little longer than the file. */
static wmk_status keep_text(reader *r, const unsigned char *bytes, size_t size, const char **out)
{
    if (size >= r->room_left) {
        char *room;
        r->room_left = size < ROOM_BYTES ? ROOM_BYTES : size + 1;
        WMK_TRY(wmk_alloc(&room, r->room_left, 1));
        WMK_TRY(wmk_model_keep(r->model, room));
        r->room = room;
    }
    if (size > 0) memcpy(r->room, bytes, size); /* the NUL is there */
    *out = r->room;
    r->room += size + 1;
    r->room_left -= size + 1;
    return WMK_OK;
}

static wmk_status read_name(reader *r, const char **out)
{
    uint64_t size;
    const unsigned char *bytes;
    WMK_TRY(take_u64(r, &size));
    WMK_TRY(take(r, size, &bytes));
    WMK_TRY(keep_text(r, bytes, (size_t)size, out));
    if (strlen(*out) != size)
        return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: the name of %s %llu has a NUL in it, \"%s\"", r->part, (unsigned long long)r->number,
                        *out);
    for (const unsigned char *at = bytes; at < bytes + size;) {
        size_t length = wmk_utf8_length(at, bytes + size);
        if (length == 0) return wmk_fail(WMK_ERROR_INPUT, "the name of %s %llu is not UTF-8", r->part, (unsigned long long)r->number);
        at += length;
    }
    return WMK_OK;
}

/* ---- metadata ---- */

/* A text value: a '?' for each byte that is no UTF-8, and for a NUL. */
static wmk_status print_string(reader *r, bool print)
{
    uint64_t size;
    const unsigned char *bytes;
    WMK_TRY(take_u64(r, &size));
    WMK_TRY(take(r, size, &bytes));
    if (!print) return WMK_OK;
    for (const unsigned char *at = bytes, *end = bytes + size, *run = bytes;;) {
        size_t length = at < end && *at ? wmk_utf8_length(at, end) : 0;
        at += length;
        if (length > 0) continue;
        WMK_TRY(wmk_buffer_append(&r->text, run, (size_t)(at - run)));
        if (at == end) return WMK_OK;
        WMK_TRY(wmk_buffer_append(&r->text, "?", 1));
        run = ++at;
    }
}

static wmk_status print_number(reader *r, uint32_t kind, const unsigned char *bytes)
{
    uint64_t value = little_endian(bytes, kinds[kind].bytes);
    if (kind == FLOAT32) {
        float number;
        memcpy(&number, bytes, sizeof number);
        return wmk_buffer_printf(&r->text, "%.9g", (double)number);
    }
    if (kind == FLOAT64) {
        double number;
        memcpy(&number, bytes, sizeof number);
        return wmk_buffer_printf(&r->text, "%.17g", number);
    }
    if (kind == BOOL) {
        if (value > 1) return wmk_fail(WMK_ERROR_INPUT, "a truth value that is neither 0 nor 1 but %d", bytes[0]);
        return wmk_buffer_printf(&r->text, value ? "true" : "false");
    }
    if (!kinds[kind].is_signed) return wmk_buffer_printf(&r->text, "%llu", (unsigned long long)value);
    int unused = 64 - 8 * kinds[kind].bytes;
    return wmk_buffer_printf(&r->text, "%lld", (long long)((int64_t)(value << unused) >> unused));
}

static wmk_status read_array(reader *r, int depth, bool print);

/* One value of type `kind` goes to r->text when `print`. */
static wmk_status read_value(reader *r, uint32_t kind, int depth, bool print)
{
    const unsigned char *bytes;
    if (kind >= KIND_COUNT) return wmk_fail(WMK_ERROR_INPUT, "a value of type %u, the format has types 0 to %d", kind, KIND_COUNT - 1);
    if (kind == STRING) return print_string(r, print);
    if (kind == ARRAY) return read_array(r, depth, print);
    WMK_TRY(take(r, kinds[kind].bytes, &bytes));
    return print ? print_number(r, kind, bytes) : WMK_OK;
}

static wmk_status read_elements(reader *r, uint32_t kind, uint64_t count, int depth, bool print)
{
    const char *quote = print && kind == STRING ? "\"" : "";
    for (uint64_t i = 0; i < count; i++) {
        if (print) WMK_TRY(wmk_buffer_printf(&r->text, "%s%s", i > 0 ? ", " : "", quote));
        WMK_TRY(read_value(r, kind, depth + 1, print));
        if (print) WMK_TRY(wmk_buffer_printf(&r->text, "%s", quote));
    }
    return WMK_OK;
}

static wmk_status read_array(reader *r, int depth, bool print)
{
    uint32_t kind;
    uint64_t count, size;
    const unsigned char *bytes;
    if (depth == DEPTH_MAX) return wmk_fail(WMK_ERROR_INPUT, "arrays nested more than %d deep", DEPTH_MAX);
    WMK_TRY(take_u32(r, &kind));
    WMK_TRY(take_u64(r, &count));
    if (kind >= KIND_COUNT) return wmk_fail(WMK_ERROR_INPUT, "an array of type %u, the format has types 0 to %d", kind, KIND_COUNT - 1);
    bool elements = print && count <= SPELLED_MAX;
    if (print) WMK_TRY(wmk_buffer_printf(&r->text, "["));
    if (print && !elements) WMK_TRY(wmk_buffer_printf(&r->text, "%llu %s", (unsigned long long)count, kinds[kind].name));
    if (elements || kinds[kind].bytes == 0) {
        WMK_TRY(read_elements(r, kind, count, depth, elements));
    } else {
        if (!wmk_mul_u64(count, kinds[kind].bytes, &size)) size = UINT64_MAX;
        WMK_TRY(take(r, size, &bytes));
    }
    return print ? wmk_buffer_printf(&r->text, "]") : WMK_OK;
}

/* Whether this pair says how the file is to be read; its value is a whole number then, of type u32 where ggml insists on that. */
static wmk_status note_guide(reader *r, const char *name, uint32_t kind, const unsigned char *value)
{
    for (int i = 0; i < GUIDE_COUNT; i++) {
        if (strcmp(name, guides[i]) != 0) continue;
        bool whole = kind < KIND_COUNT && kind != FLOAT32 && kind != BOOL && kind != STRING && kind != ARRAY && kind != FLOAT64;
        if (i == GENERAL_ALIGNMENT ? kind != 4 : !whole) return wmk_fail(WMK_ERROR_INPUT, "%s has a value of type %s", name, kinds[kind].name);
        uint64_t number = little_endian(value, kinds[kind].bytes);
        if (kinds[kind].is_signed && number >> (8 * kinds[kind].bytes - 1)) return wmk_fail(WMK_ERROR_INPUT, "%s is negative", name);
        if (r->guide[i].given) return wmk_fail(WMK_ERROR_INPUT, "%s is given twice", name);
        r->guide[i].given = true;
        r->guide[i].value = number;
    }
    return WMK_OK;
}

static wmk_status read_pair(reader *r)
{
    const char *name, *value;
    uint32_t kind;
    WMK_TRY(read_name(r, &name));
    WMK_TRY(take_u32(r, &kind));
    const unsigned char *at = r->at;
    r->text.size = 0;
    wmk_status status = read_value(r, kind, 0, true);
    if (status == WMK_ERROR_INPUT) return wmk_fail_within(status, "metadata \"%s\"", name);
    WMK_TRY(status);
    WMK_TRY(note_guide(r, name, kind, at));
    WMK_TRY(keep_text(r, r->text.data, r->text.size, &value));
    return wmk_model_add_metadata(r->model, name, value);
}

/* ---- tensors ---- */

static wmk_status find_type(wmk_tensor_view *view, uint32_t number)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (types[i].number != number) continue;
        view->dtype = types[i].dtype;
        view->codec = wmk_gguf_codec(view->dtype);
        return WMK_OK;
    }
    return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: tensor \"%s\": its type, %u, is not known", view->name, number);
}

/* What ggml's operators make of the axes. */
static wmk_status find_layout(wmk_model_tensor *tensor)
{
    static const char *const layouts[AXES_MAX + 1] = {"", "", "OI", "OIW", "OIHW"};
    wmk_tensor_view *view = &tensor->view;
    if (view->rank == 3 && strstr(view->name, "exps.") != NULL) { /* "blk.0.ffn_up_exps.weight" */
        if (!wmk_mul_u64(view->shape[0], view->shape[1], &view->shape[0])) return wmk_fail(WMK_ERROR_INPUT, "its shape overflows");
        view->shape[1] = view->shape[2];
        view->shape[2] = 0;
        view->rank = 2;
    }
    strcpy(view->layout, layouts[view->rank]);
    tensor->layout_known = view->rank >= 2;
    return WMK_OK;
}

/* Offsets count from the first byte of the data, here still. */
static wmk_status read_tensor(reader *r)
{
    wmk_model_tensor tensor = {.file = r->file};
    wmk_tensor_view *view = &tensor.view;
    uint32_t axes, number;
    WMK_TRY(read_name(r, &view->name));
    WMK_TRY(take_u32(r, &axes));
    if (axes > AXES_MAX) return wmk_fail(WMK_ERROR_INPUT, "tensor \"%s\": %u axes, the format allows %d", view->name, axes, AXES_MAX);
    view->rank = axes;
    while (axes > 0) WMK_TRY(take_u64(r, &view->shape[--axes]));
    WMK_TRY(take_u32(r, &number));
    WMK_TRY(find_type(view, number));
    WMK_TRY(take_u64(r, &tensor.offset_bytes));
    wmk_status status = find_layout(&tensor);
    if (status == WMK_OK) status = wmk_tensor_bytes(view, &tensor.size_bytes);
    if (status != WMK_OK) return wmk_fail_within(status, "tensor \"%s\"", view->name);
    return wmk_model_add_tensor(r->model, &tensor);
}

static int by_place(const void *left, const void *right)
{
    const wmk_model_tensor *a = *(wmk_model_tensor *const *)left, *b = *(wmk_model_tensor *const *)right;
    if (a->offset_bytes != b->offset_bytes) return a->offset_bytes < b->offset_bytes ? -1 : 1;
    return a->size_bytes < b->size_bytes ? -1 : a->size_bytes > b->size_bytes;
}

/* Data lies at multiples of the alignment, in the file, and no two tensors share a byte. */
static wmk_status check_places(wmk_model_tensor **sorted, size_t count, uint64_t alignment, uint64_t data_bytes)
{
    uint64_t end = 0;
    for (size_t i = 0; i < count; i++) {
        const wmk_model_tensor *tensor = sorted[i];
        const char *name = tensor->view.name;
        unsigned long long offset = tensor->offset_bytes, size = tensor->size_bytes;
        if (offset % alignment != 0)
            return wmk_fail(WMK_ERROR_INPUT, "tensor \"%s\": its data begins at byte %llu, no multiple of the alignment, %llu", name, offset,
                            (unsigned long long)alignment);
        if (offset < end)
            return wmk_fail(WMK_ERROR_INPUT, "tensor \"%s\": its data overlaps that of \"%s\" at byte %llu", name, sorted[i - 1]->view.name, offset);
        if (offset > data_bytes || size > data_bytes - offset)
            return wmk_fail(WMK_ERROR_INPUT, "truncated: tensor \"%s\": %llu bytes at byte %llu of the data, the file has %llu bytes of data", name,
                            size, offset, (unsigned long long)data_bytes);
        end = offset + size;
    }
    return WMK_OK;
}

static wmk_status place_tensors(reader *r, size_t first)
{
    size_t count = r->model->tensor_count - first;
    uint64_t alignment = r->guide[GENERAL_ALIGNMENT].given ? r->guide[GENERAL_ALIGNMENT].value : ALIGNMENT; /* less than 2^32 */
    if (alignment == 0 || (alignment & (alignment - 1)) != 0)
        return wmk_fail(WMK_ERROR_INPUT, "general.alignment is %llu, no power of two", (unsigned long long)alignment);
    uint64_t data_begin = ((uint64_t)(r->at - r->begin) + alignment - 1) / alignment * alignment, size = (uint64_t)(r->end - r->begin);
    wmk_model_tensor **sorted;
    WMK_TRY(wmk_alloc(&sorted, count, sizeof(wmk_model_tensor *)));
    for (size_t i = 0; i < count; i++) sorted[i] = &r->model->tensors[first + i];
    qsort(sorted, count, sizeof(wmk_model_tensor *), by_place);
    wmk_status status = check_places(sorted, count, alignment, data_begin < size ? size - data_begin : 0);
    free(sorted);
    WMK_TRY(status);
    for (size_t i = first; i < r->model->tensor_count; i++) {
        wmk_model_tensor *tensor = &r->model->tensors[i];
        tensor->offset_bytes += data_begin;
        if (tensor->offset_bytes > size) tensor->offset_bytes = size; /* no bytes: the file may end before its padding does */
        tensor->view.data = r->begin + tensor->offset_bytes;
    }
    return WMK_OK;
}

static wmk_status read_tensors(reader *r, uint64_t count)
{
    size_t first = r->model->tensor_count;
    r->part = "tensor";
    r->of = count;
    for (r->number = 1; r->number <= count; r->number++) WMK_TRY(read_tensor(r));
    return place_tensors(r, first);
}

/* ---- splits ---- */

/* Opens the parts from `from` up to `to`, which are named as this one is. */
static wmk_status add_splits(const reader *r, const char *stem, size_t stem_size, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        uint32_t file;
        char *name;
        WMK_TRY(wmk_format(&name, "%.*s-%05llu-of-%05llu.gguf", (int)stem_size, stem, (unsigned long long)i + 1,
                           (unsigned long long)r->guide[SPLIT_COUNT].value));
        wmk_status status = wmk_model_add_shard(r->model, name, &file);
        if (status == WMK_OK && r->model->files[file].container != &wmk_container_gguf)
            status = wmk_fail(WMK_ERROR_INPUT, "the part \"%.200s\" is no GGUF file", name);
        free(name);
        WMK_TRY(status);
    }
    return WMK_OK;
}

/* The file's own tensors, and for the file that was opened those of the other parts, in their order. */
static wmk_status read_split(reader *r, uint64_t tensors)
{
    uint64_t number = r->guide[SPLIT_NO].value, count = r->guide[SPLIT_COUNT].value;
    const char *path = r->model->files[r->file].path, *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char *ending;
    if (number >= count)
        return wmk_fail(WMK_ERROR_INPUT, "split.no is %llu, split.count %llu", (unsigned long long)number, (unsigned long long)count);
    WMK_TRY(wmk_format(&ending, "-%05llu-of-%05llu.gguf", (unsigned long long)number + 1, (unsigned long long)count));
    size_t size = strlen(name), ending_size = strlen(ending), stem_size = size - ending_size;
    bool named = size >= ending_size && strcmp(name + stem_size, ending) == 0;
    wmk_status status = named ? WMK_OK
                              : wmk_fail(WMK_ERROR_INPUT, "part %llu of %llu: its name must end in \"%s\" for the others to be found",
                                         (unsigned long long)number + 1, (unsigned long long)count, ending);
    free(ending);
    WMK_TRY(status);
    if (r->file != 0) return read_tensors(r, tensors);
    char *stem; /* files may move while some are added */
    WMK_TRY(wmk_strdup(&stem, name));
    status = add_splits(r, stem, stem_size, 0, number);
    if (status == WMK_OK) status = read_tensors(r, tensors);
    if (status == WMK_OK) status = add_splits(r, stem, stem_size, number + 1, count);
    free(stem);
    if (status == WMK_OK && r->guide[SPLIT_TENSORS].given && r->guide[SPLIT_TENSORS].value != r->model->tensor_count)
        status = wmk_fail(WMK_ERROR_INPUT, "split.tensors.count is %llu, the parts hold %zu tensors",
                          (unsigned long long)r->guide[SPLIT_TENSORS].value, r->model->tensor_count);
    return status;
}

/* ---- the file ---- */

static int probe(const unsigned char *bytes, size_t size) { return size >= 4 && memcmp(bytes, "GGUF", 4) == 0 ? 100 : 0; }

static wmk_status read_head(reader *r, uint64_t *tensors, uint64_t *pairs)
{
    const unsigned char *magic;
    uint32_t version;
    WMK_TRY(take(r, 4, &magic));
    if (!probe(magic, 4)) return wmk_fail(WMK_ERROR_INPUT, "does not begin with \"GGUF\"");
    WMK_TRY(take_u32(r, &version));
    if (version != 0 && (version & 0xffff) == 0) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: a big-endian GGUF file");
    if (version != 2 && version != 3) return wmk_fail(WMK_ERROR_UNSUPPORTED, "not supported: GGUF version %u; versions 2 and 3 are read", version);
    WMK_TRY(take_u64(r, tensors));
    return take_u64(r, pairs);
}

static wmk_status read_file(reader *r)
{
    uint64_t tensors, pairs;
    size_t before = r->model->metadata_count;
    WMK_TRY(read_head(r, &tensors, &pairs));
    r->part = "metadata pair";
    r->of = pairs;
    for (r->number = 1; r->number <= pairs; r->number++) WMK_TRY(read_pair(r));
    if (r->guide[SPLIT_NO].value > 0) r->model->metadata_count = before; /* the first part has it all */
    bool is_part = r->guide[SPLIT_COUNT].given && r->guide[SPLIT_COUNT].value > 1;
    if (r->file != 0 && !is_part) return wmk_fail(WMK_ERROR_INPUT, "this file is no part of a split model, it has no split.count");
    return is_part ? read_split(r, tensors) : read_tensors(r, tensors);
}

static wmk_status open_gguf(wmk_model *model, uint32_t file)
{
    const wmk_map *map = &model->files[file].map;
    reader r = {.model = model, .file = file, .begin = map->data, .at = map->data, .end = map->data + map->size, .part = "the header"};
    wmk_status status = read_file(&r);
    wmk_buffer_free(&r.text);
    return status;
}

const wmk_container wmk_container_gguf = {"gguf", ".gguf", probe, open_gguf, NULL, NULL};
