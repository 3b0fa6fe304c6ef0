/* Every file of a folder gives the status and message that `expected` beside it says, and is refused the same way from memory.
 * Usage: test_hostile FOLDER; without it tests/model/hostile (make_hostile.py), and what else no file may do. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "cmocka_wmk.h"
#include "model/model.h"

#define FOLDER WMK_SOURCE_DIR "/tests/model/hostile"

static const char *folder = FOLDER;

/* One line of `expected`. */
static void check_line(char *line)
{
    char *name = line, *status_name = strchr(name, '\t'), *text = status_name ? strchr(status_name + 1, '\t') : NULL;
    assert_non_null(text);
    *status_name++ = '\0';
    *text++ = '\0';
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    wmk_model *model = NULL;
    wmk_status status = wmk_model_open(&model, path);
    if (strcmp(wmk_status_name(status), status_name) != 0)
        fail_msg("%s: status %s (%s), not %s", name, wmk_status_name(status), status ? wmk_error_message() : "", status_name);
    if (status != WMK_OK && (!strstr(wmk_error_message(), text) || !strstr(wmk_error_message(), path)))
        fail_msg("%s: message \"%s\" lacks the path or \"%s\"", name, wmk_error_message(), text);
    if (status == WMK_ERROR_UNSUPPORTED && strncmp(wmk_error_message(), "not supported:", 14) != 0)
        fail_msg("%s: message \"%s\" does not begin \"not supported:\"", name, wmk_error_message());
    if (status != WMK_OK) assert_null(model);
    wmk_model_close(model);

    unsigned char *bytes;
    size_t size;
    assert_ok(wmk_file_read(&bytes, &size, path, 1 << 20));
    model = NULL;
    if (wmk_model_open_bytes(&model, bytes, size, path) != status && !strstr(wmk_error_message(), "only bytes in memory"))
        fail_msg("%s: another status from memory: %s", name, wmk_error_message());
    wmk_model_close(model);
    free(bytes);
}

static void test_corpus(void **state)
{
    (void)state;
    char line[1024];
    int lines = 0, files = 0;
    snprintf(line, sizeof line, "%s/expected", folder);
    FILE *expected = fopen(line, "r");
    assert_non_null(expected);
    for (; fgets(line, sizeof line, expected); lines++) {
        line[strcspn(line, "\n")] = '\0';
        check_line(line);
    }
    fclose(expected);
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory));) files += entry->d_name[0] != '.' && strcmp(entry->d_name, "expected") != 0;
    closedir(directory);
    assert_int_equal(lines, files);
    assert_true(lines > 0);
}

/* Cut anywhere, a sound file is refused, and nothing outside its bytes is read (the copy ends at an allocation's end, for the sanitizer to see). */
static void test_truncation(void **state)
{
    (void)state;
    unsigned char *bytes;
    size_t size;
    assert_ok(wmk_file_read(&bytes, &size, WMK_SOURCE_DIR "/tests/model/reference.safetensors", 1 << 20));
    for (size_t cut = 0; cut <= size; cut++) {
        unsigned char *copy = malloc(cut ? cut : 1);
        wmk_model *model = NULL;
        assert_non_null(copy);
        memcpy(copy, bytes, cut);
        wmk_status status = wmk_model_open_bytes(&model, copy, cut, "cut");
        assert_int_equal(status, cut == size ? WMK_OK : WMK_ERROR_INPUT);
        wmk_model_close(model);
        free(copy);
    }
    free(bytes);
}

static void test_not_files(void **state)
{
    (void)state;
    wmk_model *model;
    assert_fails(wmk_model_open(&model, FOLDER "/no-such-file"), WMK_ERROR_MISSING, "no-such-file");
    assert_fails(wmk_model_open(&model, FOLDER), WMK_ERROR_INPUT, "which of the folder");
    assert_fails(wmk_model_open(&model, "/dev/null"), WMK_ERROR_INPUT, "/dev/null");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest own[] = {cmocka_unit_test(test_corpus), cmocka_unit_test(test_truncation), cmocka_unit_test(test_not_files)};
    const struct CMUnitTest corpus[] = {cmocka_unit_test(test_corpus)};
    if (argc < 2) return cmocka_run_group_tests(own, NULL, NULL);
    folder = argv[1];
    return cmocka_run_group_tests(corpus, NULL, NULL);
}
