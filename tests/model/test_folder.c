/* Models of several files: which file of a folder is its model, and patched copies. What changed is judged by diff -r. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "cmocka_wmk.h"
#include "model/model.h"
#include "model/patch.h"

static char scratch[] = "/tmp/wmk-test-XXXXXX";

static int enter(void **state)
{
    (void)state;
    memcpy(scratch + strlen(scratch) - 6, "XXXXXX", 6);
    return mkdtemp(scratch) && chdir(scratch) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", scratch);
    return chdir("/") == 0 ? system(command) : -1;
}

static void assert_command(const char *command)
{
    if (system(command) != 0) fail_msg("%s", command);
}

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int entries(const char *path)
{
    int count = 0;
    DIR *listing = opendir(path);
    assert_non_null(listing);
    while (readdir(listing)) count++;
    closedir(listing);
    return count - 2;
}

/* ---- which file ---- */

static void the_model_of_a_folder(void **state)
{
    (void)state;
    static const struct {
        const char *files, *model; /* NULL: refused */
        const char *text;
    } cases[] = {
        /* a hub's folders */
        {"config.json tokenizer.json model.safetensors pytorch_model.bin", "model.safetensors", NULL},
        {"model.safetensors.index.json model-00001-of-00002.safetensors model-00002-of-00002.safetensors training_args.bin",
         "model.safetensors.index.json", NULL},
        {"model.safetensors.index.json model.safetensors", "model.safetensors.index.json", NULL},
        {"adapter_config.json adapter_model.safetensors", "adapter_model.safetensors", NULL},
        {"pytorch_model.bin.index.json pytorch_model-00001-of-00001.bin training_args.bin", "pytorch_model.bin.index.json", NULL},
        {"model.safetensors optimizer.pt scheduler.pt rng_state.pth", "model.safetensors", NULL},
        {"model.fp16.safetensors.index.json model.fp16-00001-of-00002.safetensors model.fp16-00002-of-00002.safetensors",
         "model.fp16.safetensors.index.json", NULL},
        {"x-00001-of-00003.gguf x-00002-of-00003.gguf x-00003-of-00003.gguf README.md", "x-00001-of-00003.gguf", NULL},
        {"onnx.json model.onnx model.onnx.data", "model.onnx", NULL},
        /* own names */
        {"mine.safetensors notes.txt", "mine.safetensors", NULL},
        {"mine.npz", "mine.npz", NULL},
        {"a.pt b.txt .c.pt", "a.pt", NULL},
        /* no choice, or too much of it */
        {"", NULL, "folder: no model file in this folder"},
        {"README.md config.json .safetensors", NULL, "no model file in this folder"},
        {"a.safetensors b.safetensors", NULL, "which of the folder's 2 model files? name one of "},
        {"a.index.json b.index.json c.safetensors", NULL, "which of the folder's 3 model files?"},
        {"1.pt 2.pt 3.pt 4.pt 5.pt 6.pt 7.pt", NULL, " ..."},
        {"x-00001-of-00002.gguf x-00002-of-00002.gguf y.gguf", NULL, "which of the folder's 2 model files?"},
        {"x-00002-of-00002.gguf", NULL, "no model file in this folder"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char command[512], expected[128], *model = NULL;
        snprintf(command, sizeof command, "mkdir folder && cd folder && for f in %s; do : >$f; done", cases[i].files);
        assert_command(command);
        if (cases[i].model) {
            snprintf(expected, sizeof expected, "folder/%s", cases[i].model);
            assert_ok(wmk_folder_model(&model, i % 2 ? "folder" : "folder//"));
            assert_string_equal(model, expected);
            free(model);
        } else {
            assert_fails(wmk_folder_model(&model, "folder"), WMK_ERROR_INPUT, cases[i].text);
        }
        assert_command("rm -r folder");
    }
    char *model;
    assert_fails(wmk_folder_model(&model, "folder"), WMK_ERROR_MISSING, "folder: No such file");
}

/* ---- copies ---- */

static const float values[6] = {1, 2, 3, 4, 5, 6};

/* "hub": an index over three shards, one of them in a subfolder and one a link into "blobs", and what else lies in such a folder. */
static void make_hub(void)
{
    static const wmk_tensor_view tensors[3] = {
        {"a.weight", WMK_F32, 2, {2, 3}, "OI", values, NULL, NULL, 0},
        {"b.weight", WMK_F32, 2, {3, 2}, "OI", values, NULL, NULL, 0},
        {"c.weight", WMK_F32, 1, {6}, "", values, NULL, NULL, 0},
    };
    static const wmk_metadata metadata = {"format", "pt"}; /* in each, as every publisher's library does */
    assert_command("mkdir -p hub/parts hub/onnx blobs");
    assert_ok(wmk_model_write("hub/one.safetensors", &tensors[0], 1, &metadata, 1, false));
    assert_ok(wmk_model_write("blobs/0a1b", &tensors[1], 1, &metadata, 1, false));
    assert_ok(wmk_model_write("hub/parts/three.safetensors", &tensors[2], 1, &metadata, 1, false));
    assert_command("ln -s ../blobs/0a1b hub/two.safetensors");
    put("hub/model.safetensors.index.json", "{\"metadata\": {\"total_size\": 72}, \"weight_map\": {\"c.weight\": \"parts/three.safetensors\","
                                            "\"a.weight\": \"one.safetensors\", \"b.weight\": \"./two.safetensors\"}}\n");
    put("hub/config.json", "{}");
    put("hub/tokenizer.json", "{}");
    put("hub/onnx/notes", "not a model");
    assert_command("cp -rL hub before; cp -r blobs blobs-before");
}

static wmk_model *open_model(const char *path)
{
    wmk_model *model;
    assert_ok(wmk_model_open(&model, path));
    return model;
}

static void set_first(wmk_patch *patch, const wmk_model *model, const char *name, float value)
{
    void *data;
    assert_ok(wmk_patch_data(patch, (size_t)(wmk_model_find(model, name) - wmk_model_tensor_at(model, 0)), &data));
    *(float *)data = value;
}

static float first_of(const char *path, const char *name)
{
    wmk_model *model = open_model(path);
    float value;
    memcpy(&value, wmk_model_find(model, name)->view.data, sizeof value);
    wmk_model_close(model);
    return value;
}

static void an_index_is_one_model(void **state)
{
    (void)state;
    make_hub();
    wmk_model *model = open_model("hub/");
    assert_string_equal(wmk_model_path(model), "hub/");
    assert_string_equal(wmk_model_format(model), "safetensors");
    assert_int_equal(wmk_model_file_count(model), 4);
    assert_int_equal(wmk_model_metadata_count(model), 1);
    assert_string_equal(wmk_model_metadata(model, "format"), "pt");
    assert_string_equal(wmk_model_file_path(model, 0), "hub/model.safetensors.index.json");
    assert_int_equal(wmk_model_tensor_count(model), 3);
    for (size_t i = 0; i < 3; i++) {
        const wmk_model_tensor *tensor = wmk_model_tensor_at(model, i);
        assert_memory_equal(tensor->view.data, values, sizeof values);
        assert_ptr_equal(wmk_model_find(model, tensor->view.name), tensor);
    }
    assert_string_equal(wmk_model_file_path(model, wmk_model_find(model, "b.weight")->file), "hub/two.safetensors");
    assert_string_equal(wmk_model_file_path(model, wmk_model_find(model, "c.weight")->file), "hub/parts/three.safetensors");
    wmk_model_close(model);
}

static void a_patched_folder(void **state)
{
    (void)state;
    make_hub();
    wmk_model *model = open_model("hub");
    wmk_patch *patch;
    assert_ok(wmk_patch_begin(&patch, model, "out", false));
    set_first(patch, model, "b.weight", 42);
    set_first(patch, model, "c.weight", 43);
    assert_ok(wmk_patch_write(patch));
    assert_true(first_of(wmk_patch_temporary_path(patch), "c.weight") == 43); /* can be read before it is in place */
    assert_int_equal(access("out", F_OK), -1);
    assert_ok(wmk_patch_commit(patch));
    wmk_model_close(model);
    assert_true(first_of("out", "a.weight") == 1 && first_of("out", "b.weight") == 42 && first_of("out", "c.weight") == 43);
    assert_command("diff -r before hub && diff -r blobs-before blobs");
    assert_command("test \"$(diff -rq before out)\" = 'Files before/parts/three.safetensors and out/parts/three.safetensors differ\n"
                   "Files before/two.safetensors and out/two.safetensors differ'");
    assert_command("test \"$(cmp -l before/two.safetensors out/two.safetensors | wc -l)\" -le 4");
    assert_command("test ! -L out/two.safetensors");
    assert_int_equal(entries("."), 5);
}

/* Opened by its index, only the model's files go along. */
static void a_patched_index(void **state)
{
    (void)state;
    make_hub();
    wmk_model *model = open_model("hub/model.safetensors.index.json");
    wmk_patch *patch;
    assert_ok(wmk_patch_begin(&patch, model, "out", false));
    set_first(patch, model, "a.weight", 42);
    assert_ok(wmk_patch_write(patch));
    assert_true(first_of(wmk_patch_temporary_path(patch), "a.weight") == 42);
    assert_ok(wmk_patch_commit(patch));
    wmk_model_close(model);
    assert_true(first_of("out/model.safetensors.index.json", "a.weight") == 42);
    assert_command("test \"$(diff -rq before out)\" = 'Only in before: config.json\n"
                   "Files before/one.safetensors and out/one.safetensors differ\n"
                   "Only in before: onnx\n"
                   "Only in before: tokenizer.json'");
}

static void a_folder_with_one_model_file(void **state)
{
    (void)state;
    make_hub();
    assert_command("mkdir single && cp hub/one.safetensors single/mine.safetensors && cp hub/config.json single && cp -r single single-before");
    wmk_model *model = open_model("single");
    wmk_patch *patch;
    assert_ok(wmk_patch_begin(&patch, model, "out", false));
    set_first(patch, model, "a.weight", 42);
    assert_ok(wmk_patch_commit(patch));
    wmk_model_close(model);
    assert_true(first_of("out", "a.weight") == 42);
    assert_command("diff -r single-before single");
    assert_command("test \"$(diff -rq single out)\" = 'Files single/mine.safetensors and out/mine.safetensors differ'");
}

static void in_place(void **state)
{
    (void)state;
    make_hub();
    wmk_patch *patch;
    wmk_model *model = open_model("hub");
    assert_fails(wmk_patch_begin(&patch, model, "hub", false), WMK_ERROR_EXISTS, "hub: exists already");
    assert_ok(wmk_patch_begin(&patch, model, "hub", true));
    set_first(patch, model, "b.weight", 42);
    assert_ok(wmk_patch_commit(patch));
    assert_memory_equal(wmk_model_find(model, "b.weight")->view.data, values, sizeof values); /* what is open stays as it was */
    wmk_model_close(model);
    assert_true(first_of("hub", "b.weight") == 42);
    assert_command("diff -r blobs-before blobs");
    assert_command("test \"$(diff -rq before hub)\" = 'Files before/two.safetensors and hub/two.safetensors differ'");
    assert_int_equal(entries("."), 4);

    model = open_model("hub/model.safetensors.index.json"); /* would lose config.json and others */
    assert_fails(wmk_patch_begin(&patch, model, "hub", true), WMK_ERROR_EXISTS, "would be lost");
    wmk_model_close(model);
    assert_int_equal(entries("."), 4);
}

static void failures_leave_nothing(void **state)
{
    (void)state;
    make_hub();
    wmk_patch *patch;
    wmk_model *model = open_model("hub");
    put("file", "");
    assert_fails(wmk_patch_begin(&patch, model, "file", true), WMK_ERROR_INPUT, "file: is a file, and the output is a folder");
    assert_fails(wmk_patch_begin(&patch, model, "no/such", false), WMK_ERROR_MISSING, "no/such");
    assert_command("rm file");
    assert_ok(wmk_patch_begin(&patch, model, "out", false));
    set_first(patch, model, "a.weight", 42);
    wmk_patch_abort(patch);
    assert_int_equal(entries("."), 4);

    assert_ok(wmk_patch_begin(&patch, model, "out", false)); /* a limit on file sizes stands in for the full disk */
    set_first(patch, model, "b.weight", 42);
    struct rlimit before, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){100, before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    wmk_status status = wmk_patch_commit(patch);
    wmk_status at_begin = wmk_patch_begin(&patch, model, "out", false);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, WMK_ERROR_SYSTEM);
    assert_int_equal(at_begin, WMK_ERROR_SYSTEM);
    assert_int_equal(entries("."), 4);

    assert_command("cp hub/one.safetensors other && mv other hub/one.safetensors"); /* equal, but not the file that is open */
    assert_fails(wmk_patch_begin(&patch, model, "out", false), WMK_ERROR_INPUT, "hub/one.safetensors: another file took its place");
    assert_command("rm hub/one.safetensors");
    assert_fails(wmk_patch_begin(&patch, model, "out", false), WMK_ERROR_MISSING, "hub/one.safetensors");
    assert_int_equal(entries("."), 4);
    wmk_model_close(model);
}

/* What a container names in its files. */
static void files_by_name(void **state)
{
    (void)state;
    make_hub();
    wmk_model *model = open_model("hub");
    uint32_t file, again;
    assert_ok(wmk_model_add_file(model, "config.json", &file));
    assert_ok(wmk_model_add_file(model, ".//config.json", &again));
    assert_int_equal(file, again);
    assert_string_equal(wmk_model_file_path(model, file), "hub/config.json");
    assert_ok(wmk_model_add_file(model, "./onnx//notes", &file));
    assert_string_equal(wmk_model_file_path(model, file), "hub/onnx/notes");
    assert_ok(wmk_model_add_file(model, "onnx/./notes", &again));
    assert_int_equal(file, again);
    assert_fails(wmk_model_add_file(model, "onnx/../config.json", &file), WMK_ERROR_INPUT, "lies outside");
    assert_fails(wmk_model_add_file(model, "..", &file), WMK_ERROR_INPUT, "lies outside");
    assert_fails(wmk_model_add_file(model, "/etc/hostname", &file), WMK_ERROR_INPUT, "not named relative");
    assert_fails(wmk_model_add_file(model, "onnx", &file), WMK_ERROR_INPUT, "is a folder");
    assert_fails(wmk_model_add_file(model, "...", &file), WMK_ERROR_MISSING, "hub/...");
    wmk_model_close(model);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(the_model_of_a_folder),
        CASE(an_index_is_one_model),
        CASE(a_patched_folder),
        CASE(a_patched_index),
        CASE(a_folder_with_one_model_file),
        CASE(in_place),
        CASE(failures_leave_nothing),
        CASE(files_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
