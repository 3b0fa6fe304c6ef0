/* data/dataset.c - finding a data set by name or folder, and opening it: the tables of formats and of names. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/memory.h"
#include "data/dataset.h"

static const wmk_data_format *const formats[] = {
    &wmk_format_idx, &wmk_format_idx_gzip, &wmk_format_cifar10, &wmk_format_cifar100, NULL,
};
static const char *const names[] = {"fashion-mnist", "cifar-10", "cifar-100", NULL};
#define KNOWN_NAMES "fashion-mnist, cifar-10, cifar-100"
#define SYSTEM_FOLDER "/usr/share/datasets"

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static bool is_name(const char *text)
{
    for (size_t i = 0; names[i]; i++)
        if (!strcmp(text, names[i])) return true;
    return false;
}

/* The folder a name or path stands for, a fresh string. */
static wmk_status find_folder(char **out, const char *name_or_folder)
{
    if (!is_name(name_or_folder)) {
        if (!is_folder(name_or_folder))
            return wmk_fail(WMK_ERROR_MISSING, "data set \"%s\": neither a folder nor a known name (%s)", name_or_folder, KNOWN_NAMES);
        return wmk_strdup(out, name_or_folder);
    }
    const char *own = getenv("WEIGHTMARK_DATA");
    if (own && *own) {
        WMK_TRY(wmk_format(out, "%s/%s", own, name_or_folder));
        if (is_folder(*out)) return WMK_OK;
        free(*out);
        *out = NULL;
    }
    WMK_TRY(wmk_format(out, SYSTEM_FOLDER "/%s", name_or_folder));
    if (is_folder(*out)) return WMK_OK;
    free(*out);
    *out = NULL;
    if (own && *own)
        return wmk_fail(WMK_ERROR_MISSING, "data set %s: no folder %s/%s ($WEIGHTMARK_DATA) and no " SYSTEM_FOLDER "/%s", name_or_folder, own,
                        name_or_folder, name_or_folder);
    return wmk_fail(WMK_ERROR_MISSING, "data set %s: no folder " SYSTEM_FOLDER "/%s, and $WEIGHTMARK_DATA, which may name another place, is not set",
                    name_or_folder, name_or_folder);
}

static wmk_status is_there(bool *out, const char *folder, const char *file)
{
    char *path;
    WMK_TRY(wmk_format(&path, "%s/%s", folder, file));
    struct stat info;
    *out = stat(path, &info) == 0;
    free(path);
    return WMK_OK;
}

/* Finds the format by its mark; *folder is replaced when the files are in the format's subfolder. */
static wmk_status find_format(const wmk_data_format **out, char **folder)
{
    for (size_t i = 0; formats[i]; i++) {
        bool there;
        WMK_TRY(is_there(&there, *folder, formats[i]->mark));
        if (there) {
            *out = formats[i];
            return WMK_OK;
        }
        if (!formats[i]->subfolder) continue;
        char *inner;
        WMK_TRY(wmk_format(&inner, "%s/%s", *folder, formats[i]->subfolder));
        wmk_status status = is_there(&there, inner, formats[i]->mark);
        if (status == WMK_OK && there) {
            free(*folder);
            *folder = inner;
            *out = formats[i];
            return WMK_OK;
        }
        free(inner);
        WMK_TRY(status);
    }
    wmk_buffer list = {0};
    for (size_t i = 0; formats[i]; i++) {
        wmk_status status = wmk_buffer_printf(&list, "%s%s for %s", i ? ", " : "", formats[i]->mark, formats[i]->name);
        if (status != WMK_OK) {
            wmk_buffer_free(&list);
            return status;
        }
    }
    wmk_fail(WMK_ERROR_MISSING, "%s: no data set in this folder (looked for %.*s)", *folder, (int)list.size, (char *)list.data);
    wmk_buffer_free(&list);
    return WMK_ERROR_MISSING;
}

wmk_status wmk_dataset_check_labels(const wmk_dataset *dataset, size_t first, size_t count, const char *path)
{
    for (size_t i = 0; i < count; i++)
        if (dataset->labels[first + i] >= dataset->classes)
            return wmk_fail(WMK_ERROR_INPUT, "%s: example %zu has label %u, labels go from 0 to %u", path, i, dataset->labels[first + i],
                            dataset->classes - 1);
    return WMK_OK;
}

/* Mean and deviation of value / 255 per channel over all of `training`; sums of integers, so exact before the last step. A set of one colour
 * gets deviation 1. */
static void measure(const wmk_dataset *training, float *mean, float *deviation)
{
    const size_t area = (size_t)training->height * training->width;
    uint64_t sum[WMK_IMAGE_CHANNELS] = {0}, squares[WMK_IMAGE_CHANNELS] = {0};
    const uint8_t *p = training->pixels;
    for (size_t i = 0; i < training->count; i++)
        for (uint32_t c = 0; c < training->channels; c++, p += area) {
            uint64_t s = 0, q = 0;
            for (size_t j = 0; j < area; j++) {
                s += p[j];
                q += (uint32_t)p[j] * p[j];
            }
            sum[c] += s;
            squares[c] += q;
        }
    const double n = (double)training->count * (double)area;
    for (uint32_t c = 0; c < WMK_IMAGE_CHANNELS; c++) {
        uint32_t from = training->channels == 1 ? 0 : c;
        double m = (double)sum[from] / n, variance = (double)squares[from] / n - m * m;
        mean[c] = (float)(m / 255);
        deviation[c] = variance > 0 ? (float)(sqrt(variance) / 255) : 1;
    }
}

static wmk_status read_split(wmk_dataset **out, const wmk_data_format *format, const char *folder, wmk_split split)
{
    wmk_dataset *dataset;
    WMK_TRY(wmk_alloc(&dataset, 1, sizeof *dataset));
    dataset->classes = format->classes;
    wmk_status status = format->read(dataset, folder, split);
    if (status != WMK_OK) {
        wmk_dataset_free(dataset);
        return status;
    }
    *out = dataset;
    return WMK_OK;
}

/* Sets the constants: those given, or those of the training images. */
static wmk_status set_constants(wmk_dataset *dataset, const wmk_data_format *format, const char *folder, wmk_split split, const float *mean,
                                const float *deviation)
{
    if (mean && deviation) {
        memcpy(dataset->mean, mean, sizeof dataset->mean);
        memcpy(dataset->deviation, deviation, sizeof dataset->deviation);
        return WMK_OK;
    }
    wmk_dataset *training = NULL;
    if (split != WMK_SPLIT_TRAIN) WMK_TRY(read_split(&training, format, folder, WMK_SPLIT_TRAIN));
    measure(training ? training : dataset, dataset->mean, dataset->deviation);
    wmk_dataset_free(training);
    return WMK_OK;
}

/* A name that says nothing about the machine: the known name, or the folder's last component, with '?' for bytes that are no UTF-8, which a
 * model's metadata cannot hold. */
static wmk_status set_name(wmk_dataset *dataset, const char *name_or_folder)
{
    size_t end = strlen(name_or_folder);
    while (end > 1 && name_or_folder[end - 1] == '/') end--;
    size_t begin = end;
    while (begin > 0 && name_or_folder[begin - 1] != '/') begin--;
    WMK_TRY(wmk_format(&dataset->name, "%.*s", (int)(end - begin), name_or_folder + begin));
    unsigned char *at = (unsigned char *)dataset->name, *last = at + strlen(dataset->name);
    while (at < last) {
        const size_t length = wmk_utf8_length(at, last);
        if (!length) *at = '?';
        at += length ? length : 1;
    }
    return WMK_OK;
}

wmk_status wmk_dataset_open_with(wmk_dataset **out, const char *name_or_folder, wmk_split split, const float *mean, const float *deviation)
{
    if (!*name_or_folder) return wmk_fail(WMK_ERROR_ARGUMENT, "data set: the name is empty");
    if (split != WMK_SPLIT_TRAIN && split != WMK_SPLIT_TEST)
        return wmk_fail(WMK_ERROR_ARGUMENT, "data set: split %d is neither train nor test", (int)split);
    char *folder = NULL;
    WMK_TRY(find_folder(&folder, name_or_folder));
    const wmk_data_format *format = NULL;
    wmk_dataset *dataset = NULL;
    wmk_status status;
    WMK_TRY_GOTO(status, find_format(&format, &folder), done);
    WMK_TRY_GOTO(status, read_split(&dataset, format, folder, split), done);
    WMK_TRY_GOTO(status, set_constants(dataset, format, folder, split, mean, deviation), done);
    WMK_TRY_GOTO(status, set_name(dataset, name_or_folder), done);
    *out = dataset;
    dataset = NULL;
done:
    wmk_dataset_free(dataset);
    free(folder);
    return status;
}

wmk_status wmk_dataset_open(wmk_dataset **out, const char *name_or_folder, wmk_split split)
{
    return wmk_dataset_open_with(out, name_or_folder, split, NULL, NULL);
}

void wmk_dataset_free(wmk_dataset *dataset)
{
    if (!dataset) return;
    free(dataset->pixels);
    free(dataset->labels);
    free(dataset->name);
    free(dataset);
}

const char *wmk_dataset_name(const wmk_dataset *dataset) { return dataset->name; }
size_t wmk_dataset_count(const wmk_dataset *dataset) { return dataset->count; }
uint32_t wmk_dataset_classes(const wmk_dataset *dataset) { return dataset->classes; }
