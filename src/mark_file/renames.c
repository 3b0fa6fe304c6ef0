/* mark_file/renames.c - the file behind verify's --map. */
#include <stdlib.h>
#include <string.h>

#include <weightmark/mark_file.h>
#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"

enum { BYTES_MAX = 16 << 20 };

void wmk_renames_free(wmk_renames *renames)
{
    for (size_t i = 0; i < renames->count; i++) {
        free((void *)(uintptr_t)renames->rename[i].target);
        free((void *)(uintptr_t)renames->rename[i].tensor);
    }
    free(renames->rename);
    *renames = (wmk_renames){NULL, 0};
}

static wmk_status add(wmk_renames *to, const char *target, const char *tensor, unsigned line)
{
    if (!*target || !*tensor) return wmk_fail(WMK_ERROR_INPUT, "line %u: an empty name", line);
    if ((to->count & (to->count + 1)) == 0) WMK_TRY(wmk_resize(&to->rename, 2 * to->count + 1, sizeof *to->rename));
    char *first = NULL, *second = NULL;
    wmk_status status = wmk_strdup(&first, target);
    if (status == WMK_OK) status = wmk_strdup(&second, tensor);
    if (status != WMK_OK) {
        free(first);
        return status;
    }
    to->rename[to->count++] = (wmk_rename){first, second, line};
    return WMK_OK;
}

/* Without the white space around it. */
static char *trimmed(char *text)
{
    static const char space[] = " \t\r";
    text += strspn(text, space);
    for (size_t size = strlen(text); size > 0 && strchr(space, text[size - 1]); size--) text[size - 1] = '\0';
    return text;
}

static wmk_status read_lines(wmk_renames *out, char *text)
{
    unsigned number = 0;
    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next) *next++ = '\0';
        number++;
        line = trimmed(line);
        if (!*line || *line == '#') continue;
        char *equals = strstr(line, " = "), *tensor;
        if (equals) {
            tensor = equals + 3;
        } else if ((equals = strchr(line, '=')) != NULL) {
            tensor = equals + 1;
        } else {
            return wmk_fail(WMK_ERROR_INPUT, "line %u: \"%.200s\" is no `key-name = model-name`", number, line);
        }
        *equals = '\0';
        WMK_TRY(add(out, trimmed(line), trimmed(tensor), number));
    }
    return WMK_OK;
}

static unsigned line_of(const wmk_json *json)
{
    unsigned line = 1;
    for (const unsigned char *at = json->begin; at < json->at; at++) line += *at == '\n';
    return line;
}

static wmk_status read_object(wmk_renames *out, wmk_json *json)
{
    const char *target, *tensor;
    size_t target_size, tensor_size;
    WMK_TRY(wmk_json_expect(json, '{'));
    if (wmk_json_accept(json, '}')) return wmk_json_end(json);
    do {
        WMK_TRY(wmk_json_string(json, &target, &target_size));
        WMK_TRY(wmk_json_expect(json, ':'));
        WMK_TRY(wmk_json_string(json, &tensor, &tensor_size));
        WMK_TRY(add(out, target, tensor, out->count < 1000 ? line_of(json) : 0)); /* so that the count of lines stays cheap */
    } while (wmk_json_accept(json, ','));
    WMK_TRY(wmk_json_expect(json, '}'));
    return wmk_json_end(json);
}

static int by_target(const void *left, const void *right)
{
    const wmk_rename *a = left, *b = right;
    int order = strcmp(a->target, b->target);
    return order ? order : (a->line > b->line) - (a->line < b->line);
}

static wmk_status parse(wmk_renames *out, char *bytes, size_t size)
{
    char *begin = bytes + strspn(bytes, " \t\r\n"), *text;
    if (strlen(bytes) != size) return wmk_fail(WMK_ERROR_INPUT, "a NUL in it: this is no text");
    if (*begin == '{') {
        WMK_TRY(wmk_alloc(&text, size + 1, 1));
        const unsigned char *json_bytes = (const unsigned char *)bytes;
        wmk_json json = {json_bytes, json_bytes, json_bytes + size, text};
        wmk_status status = read_object(out, &json);
        free(text);
        WMK_TRY(status);
    } else {
        WMK_TRY(read_lines(out, bytes));
    }
    if (out->count > 1) qsort(out->rename, out->count, sizeof *out->rename, by_target);
    for (size_t i = 1; i < out->count; i++)
        if (strcmp(out->rename[i - 1].target, out->rename[i].target) == 0)
            return wmk_fail(WMK_ERROR_INPUT, "line %u: \"%.200s\" is named a second time", out->rename[i].line, out->rename[i].target);
    return WMK_OK;
}

wmk_status wmk_renames_read(wmk_renames *out, const char *path)
{
    wmk_renames renames = {NULL, 0};
    unsigned char *bytes;
    size_t size;
    WMK_TRY(wmk_file_read(&bytes, &size, path, BYTES_MAX));
    wmk_status status = parse(&renames, (char *)bytes, size);
    free(bytes);
    if (status == WMK_OK) {
        *out = renames;
        return WMK_OK;
    }
    wmk_renames_free(&renames);
    return status == WMK_ERROR_INPUT ? wmk_fail_within(status, "%s", path) : status;
}
