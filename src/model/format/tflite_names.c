/* model/format/tflite_names.c - one name for each tensor. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "model/format/tflite.h"

typedef struct entry {
    wmk_model_tensor *tensor;
    size_t number; /* of those with this name, from 1; 0: shows what an earlier one shows */
} entry;

static int by_name(const void *left, const void *right)
{
    const wmk_model_tensor *a = ((const entry *)left)->tensor, *b = ((const entry *)right)->tensor;
    int names = strcmp(a->view.name, b->view.name);
    if (names) return names;
    if (a->offset_bytes != b->offset_bytes) return a->offset_bytes < b->offset_bytes ? -1 : 1;
    return a < b ? -1 : a > b;
}

static bool is_same(const wmk_model_tensor *a, const wmk_model_tensor *b)
{
    return a->offset_bytes == b->offset_bytes && a->view.dtype == b->view.dtype && a->view.rank == b->view.rank &&
           memcmp(a->view.shape, b->view.shape, sizeof a->view.shape) == 0;
}

/* Sorts and numbers the tensors of each name. */
static void number_names(entry *entries, size_t count)
{
    qsort(entries, count, sizeof *entries, by_name);
    wmk_model_tensor *listed = NULL;
    size_t number = 0;
    for (size_t i = 0; i < count; i++) {
        wmk_model_tensor *tensor = entries[i].tensor;
        bool same_name = listed && strcmp(tensor->view.name, listed->view.name) == 0;
        if (same_name && is_same(tensor, listed)) {
            if (!tensor->layout_known) continue;
            listed->layout_known = true;
            memcpy(listed->view.layout, tensor->view.layout, sizeof tensor->view.layout);
        } else {
            number = same_name ? number + 1 : 1;
            entries[i].number = number;
            listed = tensor;
        }
    }
}

enum { SUFFIX_BYTES = 24 }; /* '#', a number, NUL */

/* The first name of those that were joined. */
static const char *first_part(const char *text, size_t *size)
{
    text += strspn(text, ";");
    *size = strcspn(text, ";");
    return text;
}

/* Texts that are not in the file as they are needed. */
static wmk_status write_texts(wmk_model *model, entry *entries, size_t count)
{
    uint64_t bytes = 0;
    size_t size;
    char *text;
    for (size_t i = 0; i < count; i++) {
        if (entries[i].number > 1) bytes += strlen(entries[i].tensor->view.name) + SUFFIX_BYTES;
        if (entries[i].tensor->alias) bytes += (first_part(entries[i].tensor->alias, &size), size + 1);
    }
    WMK_TRY(wmk_alloc(&text, bytes, 1));
    WMK_TRY(wmk_model_keep(model, text));
    for (size_t i = 0; i < count; i++) {
        wmk_model_tensor *tensor = entries[i].tensor;
        if (tensor->alias) {
            const char *part = first_part(tensor->alias, &size);
            tensor->alias = size ? memcpy(text, part, size) : NULL;
            text += size + 1;
        }
        if (entries[i].number > 1) {
            const char *name = tensor->view.name;
            tensor->view.name = text;
            text += sprintf(text, "%s#%zu", name, entries[i].number) + 1;
        }
    }
    return WMK_OK;
}

wmk_status wmk_tflite_names(wmk_model *model, size_t first)
{
    entry *entries;
    size_t count = model->tensor_count - first, kept = first;
    WMK_TRY(wmk_alloc(&entries, count, sizeof *entries));
    for (size_t i = 0; i < count; i++) entries[i].tensor = &model->tensors[first + i];
    number_names(entries, count);
    wmk_status status = write_texts(model, entries, count);
    for (size_t i = 0; i < count; i++)
        if (entries[i].number == 0) entries[i].tensor->view.name = NULL;
    free(entries);
    WMK_TRY(status);
    for (size_t i = first; i < model->tensor_count; i++)
        if (model->tensors[i].view.name) model->tensors[kept++] = model->tensors[i];
    model->tensor_count = kept;
    return WMK_OK;
}
