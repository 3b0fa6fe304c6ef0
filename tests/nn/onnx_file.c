#include "onnx_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A message being read: fields are (number << 3 | wire type) varints followed by a varint (0), 8 bytes (1), length + bytes (2) or 4 bytes (5);
 * https://protobuf.dev/programming-guides/encoding. Field numbers are those of onnx.proto. */
typedef struct reader {
    const unsigned char *at, *end;
    bool bad;
} reader;

typedef struct field {
    uint32_t number, wire;
    uint64_t value; /* wire types 0, 1, 5 */
    reader body;    /* wire type 2 */
} field;

static uint64_t varint(reader *in)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (in->at == in->end) break;
        unsigned char byte = *in->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return value;
    }
    in->bad = true;
    return 0;
}

static bool next(reader *in, field *out)
{
    if (in->bad || in->at == in->end) return false;
    uint64_t tag = varint(in);
    *out = (field){.number = (uint32_t)(tag >> 3), .wire = tag & 7};
    size_t size = out->wire == 1 ? 8 : out->wire == 5 ? 4 : 0;
    if (out->wire == 0) out->value = varint(in);
    if (out->wire == 2) size = varint(in);
    if (in->bad || size > (size_t)(in->end - in->at) || out->wire == 3 || out->wire == 4 || out->wire > 5) {
        in->bad = true;
        return false;
    }
    out->body = (reader){.at = in->at, .end = in->at + size};
    if (out->wire == 1 || out->wire == 5) memcpy(&out->value, in->at, size);
    in->at += size;
    return true;
}

static void text(char out[ONNX_NAME_MAX], const field *from)
{
    snprintf(out, ONNX_NAME_MAX, "%.*s", (int)(from->body.end - from->body.at), (const char *)from->body.at);
}

/* Appends a repeated integer, packed or not. False: more than fit. */
static bool integers(int64_t *list, size_t *count, size_t limit, const field *from)
{
    reader body = from->body;
    do {
        if (from->wire == 2 && body.at == body.end) break;
        if (*count == limit) return false;
        list[(*count)++] = (int64_t)(from->wire == 2 ? varint(&body) : from->value);
    } while (from->wire == 2);
    return !body.bad;
}

/* The elements, from raw_data or from the typed field. */
static bool tensor_elements(onnx_tensor *tensor, reader raw, reader floats, reader typed)
{
    tensor->count = 1;
    for (size_t axis = 0; axis < tensor->rank; ++axis) tensor->count *= (size_t)tensor->dims[axis];
    size_t raw_size = (size_t)(raw.end - raw.at);
    if (tensor->type == ONNX_FLOAT) {
        reader from = raw_size ? raw : floats;
        if ((size_t)(from.end - from.at) != 4 * tensor->count) return false;
        tensor->floats = malloc(4 * tensor->count + 1);
        if (tensor->count) memcpy(tensor->floats, from.at, 4 * tensor->count);
    } else if (tensor->type == ONNX_INT64 || tensor->type == ONNX_INT32) {
        size_t size = tensor->type == ONNX_INT64 ? 8 : 4, done = 0;
        tensor->integers = calloc(tensor->count + 1, 8);
        if (raw_size && raw_size != size * tensor->count) return false;
        for (; raw_size && done < tensor->count; ++done) {
            int32_t narrow;
            memcpy(&narrow, raw.at + size * done, 4);
            if (size == 8)
                memcpy(&tensor->integers[done], raw.at + 8 * done, 8);
            else
                tensor->integers[done] = narrow;
        }
        field packed = {.wire = 2, .body = typed};
        if (!raw_size && !integers(tensor->integers, &done, tensor->count, &packed)) return false;
        return done == tensor->count;
    }
    return true;
}

static bool tensor_parse(onnx_tensor *out, reader in)
{
    *out = (onnx_tensor){0};
    reader raw = {0}, floats = {0}, typed = {0};
    bool good = true;
    for (field f; next(&in, &f);) {
        if (f.number == 1) good &= integers(out->dims, &out->rank, ONNX_LIST_MAX, &f);
        if (f.number == 2) out->type = (int)f.value;
        if (f.number == 4) floats = f.body;
        if (f.number == 5 || f.number == 7) typed = f.body;
        if (f.number == 8) text(out->name, &f);
        if (f.number == 9) raw = f.body;
    }
    return good && !in.bad && tensor_elements(out, raw, floats, typed);
}

static bool attribute_parse(onnx_attribute *out, reader in)
{
    bool good = true;
    for (field f; next(&in, &f);) {
        if (f.number == 1) text(out->name, &f);
        if (f.number == 2) memcpy(&out->f, &f.value, 4), out->type = 1;
        if (f.number == 3) out->i = (int64_t)f.value, out->type = 2;
        if (f.number == 4) text(out->s, &f), out->type = 3;
        if (f.number == 8) good &= integers(out->ints, &out->ints_count, ONNX_LIST_MAX, &f), out->type = 7;
        if (f.number == 20) out->type = (int)f.value;
    }
    return good && !in.bad;
}

static bool node_parse(onnx_node *out, reader in)
{
    bool good = true;
    for (field f; good && next(&in, &f);) {
        if (f.number == 1) good = out->input_count < 16;
        if (f.number == 2) good = out->output_count < 16;
        if (f.number == 5) good = out->attribute_count < 16;
        if (!good) break;
        if (f.number == 1) text(out->inputs[out->input_count++], &f);
        if (f.number == 2) text(out->outputs[out->output_count++], &f);
        if (f.number == 4) text(out->op, &f);
        if (f.number == 5) good = attribute_parse(&out->attributes[out->attribute_count++], f.body);
    }
    return good && !in.bad;
}

/* ValueInfoProto: only its name. */
static bool name_parse(char out[ONNX_NAME_MAX], reader in)
{
    for (field f; next(&in, &f);)
        if (f.number == 1) text(out, &f);
    return !in.bad;
}

/* A place for one more node, empty. */
static onnx_node *node_new(onnx_model *model)
{
    model->nodes = realloc(model->nodes, (model->node_count + 1) * sizeof *model->nodes);
    return memset(&model->nodes[model->node_count++], 0, sizeof *model->nodes);
}

static bool graph_parse(onnx_model *out, reader in)
{
    bool good = true;
    for (field f; good && next(&in, &f);) {
        if (f.number == 1) good = node_parse(node_new(out), f.body);
        if (f.number == 5) good = out->initializer_count < ONNX_LIST_MAX && tensor_parse(&out->initializers[out->initializer_count++], f.body);
        if (f.number == 11) good = out->input_count < ONNX_LIST_MAX && name_parse(out->inputs[out->input_count++], f.body);
        if (f.number == 12) good = out->output_count < ONNX_LIST_MAX && name_parse(out->outputs[out->output_count++], f.body);
    }
    return good && !in.bad;
}

static bool model_parse(onnx_model *out, reader in)
{
    bool good = true;
    for (field f; good && next(&in, &f);) {
        if (f.number == 7) good = graph_parse(out, f.body);
        if (f.number != 8) continue;
        bool other_domain = false;
        int64_t version = 0;
        reader opset = f.body;
        for (field g; next(&opset, &g);) {
            if (g.number == 1) other_domain = g.body.at != g.body.end;
            if (g.number == 2) version = (int64_t)g.value;
        }
        if (!other_domain) out->opset = version;
    }
    return good && !in.bad;
}

static unsigned char *file_read(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    fseek(file, 0, SEEK_END);
    long length = ftell(file);
    rewind(file);
    unsigned char *bytes = malloc((size_t)length + 1);
    *size = fread(bytes, 1, (size_t)length, file);
    fclose(file);
    return bytes;
}

bool onnx_model_read(onnx_model *out, const char *path)
{
    size_t size = 0;
    *out = (onnx_model){0};
    unsigned char *bytes = file_read(path, &size);
    bool good = bytes && model_parse(out, (reader){.at = bytes, .end = bytes + size});
    free(bytes);
    return good;
}

void onnx_model_free(onnx_model *model)
{
    for (size_t i = 0; i < model->initializer_count; ++i) onnx_tensor_free(&model->initializers[i]);
    free(model->nodes);
}

bool onnx_tensor_read(onnx_tensor *out, const char *path)
{
    size_t size = 0;
    *out = (onnx_tensor){0};
    unsigned char *bytes = file_read(path, &size);
    bool good = bytes && tensor_parse(out, (reader){.at = bytes, .end = bytes + size});
    free(bytes);
    return good;
}

void onnx_tensor_free(onnx_tensor *tensor)
{
    free(tensor->floats);
    free(tensor->integers);
    tensor->floats = NULL;
    tensor->integers = NULL;
}
