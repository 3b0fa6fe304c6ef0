/* model/format/safetensors_write.c - writes safetensors files the reference library reads; the same tensors give the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "model/format/safetensors.h"
#include "base/json.h"
#include "model/model.h"

enum { DATA_ALIGNMENT = 64 };

/* A JSON string; ARGUMENT where `text` is not UTF-8, which JSON cannot hold. */
static wmk_status put_string(wmk_buffer *out, const char *text)
{
    const unsigned char *at = (const unsigned char *)text, *end = at + strlen(text);
    WMK_TRY(wmk_buffer_append(out, "\"", 1));
    while (at < end) {
        size_t length = wmk_utf8_length(at, end);
        if (length == 0) return wmk_fail(WMK_ERROR_ARGUMENT, "\"%s\" is not UTF-8", text);
        if (*at < 0x20)
            WMK_TRY(wmk_buffer_printf(out, "\\u%04x", *at));
        else {
            if (*at == '"' || *at == '\\') WMK_TRY(wmk_buffer_append(out, "\\", 1));
            WMK_TRY(wmk_buffer_append(out, at, length));
        }
        at += length;
    }
    return wmk_buffer_append(out, "\"", 1);
}

static int by_text(const void *left, const void *right) { return strcmp(*(const char *const *)left, *(const char *const *)right); }

static wmk_status check_names(const char **names, size_t count, const char *what)
{
    qsort(names, count, sizeof *names, by_text);
    for (size_t i = 1; i < count; i++)
        if (strcmp(names[i - 1], names[i]) == 0) return wmk_fail(WMK_ERROR_ARGUMENT, "%s \"%s\" is given twice", what, names[i]);
    return WMK_OK;
}

static wmk_status check_tensor(const wmk_tensor_view *view, uint64_t *bytes)
{
    if (!view->name || strcmp(view->name, "__metadata__") == 0) return wmk_fail(WMK_ERROR_ARGUMENT, "a tensor has no name, or that of the metadata");
    if (!wmk_safetensors_dtype_word(view->dtype)) return wmk_fail(WMK_ERROR_ARGUMENT, "tensor \"%s\": no dtype", view->name);
    if (view->rank > WMK_RANK_MAX) return wmk_fail(WMK_ERROR_ARGUMENT, "tensor \"%s\": %u axes, at most 8 are allowed", view->name, view->rank);
    if (view->codec)
        return wmk_fail(WMK_ERROR_ARGUMENT, "tensor \"%s\": is stored as %s and no plain row of elements", view->name, view->codec->name);
    if (wmk_tensor_bytes(view, bytes) != WMK_OK) return wmk_fail_within(WMK_ERROR_ARGUMENT, "tensor \"%s\"", view->name);
    if (!view->data && *bytes > 0) return wmk_fail(WMK_ERROR_ARGUMENT, "tensor \"%s\": without data", view->name);
    return WMK_OK;
}

/* ARGUMENT for what a file cannot hold. names: scratch of the larger count. */
static wmk_status check(const char **names, const wmk_tensor_view *tensors, size_t tensor_count, const wmk_metadata *metadata, size_t metadata_count)
{
    uint64_t bytes;
    for (size_t i = 0; i < tensor_count; i++) {
        WMK_TRY(check_tensor(&tensors[i], &bytes));
        names[i] = tensors[i].name;
    }
    WMK_TRY(check_names(names, tensor_count, "tensor"));
    for (size_t i = 0; i < metadata_count; i++) {
        if (!metadata[i].name || !metadata[i].value) return wmk_fail(WMK_ERROR_ARGUMENT, "metadata without a name or value");
        names[i] = metadata[i].name;
    }
    return check_names(names, metadata_count, "metadata");
}

static wmk_status put_metadata(wmk_buffer *head, const wmk_metadata *metadata, size_t count)
{
    WMK_TRY(wmk_buffer_printf(head, "\"__metadata__\":{"));
    for (size_t i = 0; i < count; i++) {
        if (i > 0) WMK_TRY(wmk_buffer_append(head, ",", 1));
        WMK_TRY(put_string(head, metadata[i].name));
        WMK_TRY(wmk_buffer_append(head, ":", 1));
        WMK_TRY(put_string(head, metadata[i].value));
    }
    return wmk_buffer_append(head, "}", 1);
}

static wmk_status put_tensor(wmk_buffer *head, const wmk_tensor_view *view, uint64_t begin, uint64_t bytes)
{
    WMK_TRY(put_string(head, view->name));
    WMK_TRY(wmk_buffer_printf(head, ":{\"dtype\":\"%s\",\"shape\":[", wmk_safetensors_dtype_word(view->dtype)));
    for (uint32_t axis = 0; axis < view->rank; axis++)
        WMK_TRY(wmk_buffer_printf(head, "%s%llu", axis ? "," : "", (unsigned long long)view->shape[axis]));
    return wmk_buffer_printf(head, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)begin, (unsigned long long)begin + bytes);
}

/* order: largest elements first, else as given; begin [tensor_count]: where each tensor's data begins. */
static wmk_status arrange(size_t *order, uint64_t *begin, const wmk_tensor_view *tensors, size_t count)
{
    uint64_t end = 0, bytes;
    size_t placed = 0;
    for (uint32_t bits = 64; bits > 0; bits--) {
        for (size_t i = 0; placed < count && i < count; i++) {
            if (wmk_dtype_bits(tensors[i].dtype) != bits) continue;
            WMK_TRY(wmk_tensor_bytes(&tensors[i], &bytes));
            order[placed++] = i;
            begin[i] = end;
            if (!wmk_add_u64(end, bytes, &end)) return wmk_fail(WMK_ERROR_ARGUMENT, "tensors of 2^64 bytes or more");
        }
    }
    return WMK_OK;
}

static wmk_status put_header(wmk_buffer *head, const uint64_t *begin, const wmk_tensor_view *tensors, size_t tensor_count,
                             const wmk_metadata *metadata, size_t metadata_count)
{
    uint64_t bytes;
    WMK_TRY(wmk_buffer_append(head, "\0\0\0\0\0\0\0\0{", 9));
    if (metadata_count > 0) WMK_TRY(put_metadata(head, metadata, metadata_count));
    for (size_t i = 0; i < tensor_count; i++) {
        WMK_TRY(wmk_tensor_bytes(&tensors[i], &bytes));
        if (i > 0 || metadata_count > 0) WMK_TRY(wmk_buffer_append(head, ",", 1));
        WMK_TRY(put_tensor(head, &tensors[i], begin[i], bytes));
    }
    WMK_TRY(wmk_buffer_append(head, "}", 1));
    while (head->size % DATA_ALIGNMENT != 0) WMK_TRY(wmk_buffer_append(head, " ", 1));
    uint64_t length = head->size - 8;
    if (length > WMK_SAFETENSORS_HEADER_BYTES_MAX)
        return wmk_fail(WMK_ERROR_ARGUMENT, "a header of %llu bytes, at most %d are allowed", (unsigned long long)length,
                        WMK_SAFETENSORS_HEADER_BYTES_MAX);
    for (int i = 0; i < 8; i++) head->data[i] = (unsigned char)(length >> 8 * i);
    return WMK_OK;
}

wmk_status wmk_safetensors_head(wmk_buffer *head, size_t *order, const wmk_tensor_view *tensors, size_t tensor_count, const wmk_metadata *metadata,
                                size_t metadata_count)
{
    const char **names = NULL;
    uint64_t *begin = NULL;
    wmk_status status;
    WMK_TRY_GOTO(status, wmk_alloc(&names, tensor_count > metadata_count ? tensor_count : metadata_count, sizeof *names), done);
    WMK_TRY_GOTO(status, wmk_alloc(&begin, tensor_count, sizeof *begin), done);
    WMK_TRY_GOTO(status, check(names, tensors, tensor_count, metadata, metadata_count), done);
    WMK_TRY_GOTO(status, arrange(order, begin, tensors, tensor_count), done);
    status = put_header(head, begin, tensors, tensor_count, metadata, metadata_count);
done:
    free(names);
    free(begin);
    return status;
}

static wmk_status write_all(wmk_output *output, const wmk_buffer *head, const size_t *order, const wmk_tensor_view *tensors, size_t count)
{
    uint64_t bytes;
    WMK_TRY(wmk_output_write(output, head->data, head->size));
    for (size_t i = 0; i < count; i++) {
        const wmk_tensor_view *view = &tensors[order[i]];
        WMK_TRY(wmk_tensor_bytes(view, &bytes));
        if (bytes > 0) WMK_TRY(wmk_output_write(output, view->data, bytes));
    }
    return WMK_OK;
}

wmk_status wmk_model_write(const char *path, const wmk_tensor_view *tensors, size_t tensor_count, const wmk_metadata *metadata, size_t metadata_count,
                           bool replace)
{
    wmk_buffer head = {0};
    wmk_output *output = NULL;
    size_t *order = NULL;
    wmk_status status;
    WMK_TRY_GOTO(status, wmk_alloc(&order, tensor_count, sizeof *order), done);
    status = wmk_safetensors_head(&head, order, tensors, tensor_count, metadata, metadata_count);
    if (status == WMK_ERROR_ARGUMENT) wmk_fail_within(status, "%s", path);
    if (status != WMK_OK) goto done;
    WMK_TRY_GOTO(status, wmk_output_begin(&output, path, 0666, replace), done);
    WMK_TRY_GOTO(status, write_all(output, &head, order, tensors, tensor_count), done);
    status = wmk_output_commit(output);
    output = NULL;
done:
    wmk_output_abort(output);
    wmk_buffer_free(&head);
    free(order);
    return status;
}
