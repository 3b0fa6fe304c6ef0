/* tests/train/test_train.c - the three situations of training, evaluation, and what is refused. */
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "data/small_sets.h"
#include "train/host_file.h"
#include "train/training.h"

static char *folder;

static int fresh_folder(void **state)
{
    (void)state;
    folder = small_folder();
    small_idx(folder, 256, 75, 28, false);
    return 0;
}

static int drop_folder(void **state)
{
    (void)state;
    small_remove(folder);
    free(folder);
    return 0;
}

static wmk_train_result train(const wmk_train_options *options)
{
    wmk_train_result result;
    if (wmk_train(options, &result) != WMK_OK) fail_msg("%s", wmk_error_message());
    return result;
}

static wmk_model *open_model(const char *path)
{
    wmk_model *model;
    if (wmk_model_open(&model, path) != WMK_OK) fail_msg("%s", wmk_error_message());
    return model;
}

/* A residual network learns the pattern, the mark is in the file as an independent reading finds it, the history tells the story. */
static void from_scratch_with_a_mark(void **state)
{
    (void)state;
    wmk_key *key = small_key("wrn-10-1", "conv2", 16, 7), *stranger = small_key("wrn-10-1", "conv2", 16, 8);
    wmk_train_options options = small_training(folder, "wrn-10-1", "marked.safetensors");
    options.keys = (const wmk_key *const *)&key, options.key_count = 1;
    options.epochs = 5, options.lambda = 0.05;
    options.history = small_path(folder, "history.csv");
    wmk_train_result result = train(&options);
    assert_int_equal(result.steps, 80);
    assert_true(result.test_error < 0.2); /* chance is 0.9 */
    assert_true(result.train_loss < 1 && result.ber == 0 && result.e_r < 0.3 && result.images_per_second > 0);

    wmk_model *model = open_model(options.output);
    wmk_verify_options verifying = WMK_VERIFY_OPTIONS_INIT;
    wmk_verification found;
    assert_int_equal(wmk_model_verify(&found, model, key, &verifying), WMK_OK);
    assert_int_equal(found.evidence.bit_errors, 0);
    double e_r = 0; /* paper eq. 4, from the file's weights */
    uint8_t bits[16];
    wmk_key_bits(key, bits);
    for (int j = 0; j < 16; j++) e_r += log1p(exp(bits[j] ? -found.reading->y[j] : found.reading->y[j])) / 16;
    assert_true(fabs(e_r - result.e_r) < 1e-6);
    double z = found.evidence.z;
    wmk_verification_free(&found);
    assert_int_equal(wmk_model_verify(&found, model, stranger, &verifying), WMK_OK);
    assert_true(found.evidence.z < z / 2 && found.evidence.bit_errors > 0);
    wmk_verification_free(&found);

    wmk_eval_result eval;
    assert_int_equal(wmk_eval(model, folder, 0, 2, &eval), WMK_OK);
    assert_true(eval.test_error == result.test_error && fabs(eval.loss - result.test_loss) < 1e-6 && eval.examples == 75);
    for (uint64_t batch = 1; batch <= 75; batch += 37) { /* a last, smaller batch changes nothing */
        wmk_eval_result other;
        assert_int_equal(wmk_eval(model, folder, batch, 1, &other), WMK_OK);
        assert_true(other.test_error == eval.test_error && fabs(other.loss - eval.loss) < 1e-5);
    }
    wmk_model_close(model);

    char line[256];
    int rows = 0, ends = 0;
    FILE *csv = fopen(options.history, "r");
    assert_non_null(csv);
    assert_true(fgets(line, sizeof line, csv) && !strcmp(line, "step,epoch,rate,loss,e_r,ber,images_per_second,test_error\n"));
    for (double step, last = 0; fgets(line, sizeof line, csv); rows++, last = step) {
        assert_true(sscanf(line, "%lf,", &step) == 1 && step > last);
        ends += strrchr(line, ',')[1] != '\n';
    }
    fclose(csv);
    assert_int_equal(rows, 80); /* fewer than 100 steps: each has one */
    assert_int_equal(ends, 5);
    wmk_key_free(key);
    wmk_key_free(stranger);
}

/* lambda 0 leaves the training as it is without a key; a positive one changes the marked tensor. */
static void the_mark_enters_by_lambda(void **state)
{
    (void)state;
    wmk_key *key = small_key("wrn-10-1", "conv2", 16, 7);
    wmk_train_options plain = small_training(folder, "wrn-10-1", "plain"), with_idle = small_training(folder, "wrn-10-1", "idle"),
                      with_key = small_training(folder, "wrn-10-1", "key");
    plain.epochs = with_idle.epochs = with_key.epochs = 0.25;
    with_idle.keys = with_key.keys = (const wmk_key *const *)&key;
    with_idle.key_count = with_key.key_count = 1;
    with_idle.lambda = 0, with_key.lambda = 0.05;
    wmk_train_result result = train(&plain);
    assert_int_equal(result.steps, 4);
    assert_true(isnan(result.e_r) && isnan(result.ber));
    train(&with_idle);
    train(&with_key);
    assert_true(same_files(plain.output, with_idle.output));
    assert_false(same_files(plain.output, with_key.output));
    wmk_key_free(key);
}

static void write_labels(uint32_t count, int turn)
{
    unsigned char labels[8 + 256] = {0, 0, 8, 1, 0, 0, (unsigned char)(count >> 8), (unsigned char)count};
    for (uint32_t i = 0; i < count; i++) labels[8 + i] = (unsigned char)((i + (uint32_t)turn) % 10);
    small_write(folder, "train-labels-idx1-ubyte", labels, 8 + count, false);
}

/* With a teacher the training labels change nothing; without one they do. */
static void distilling_reads_no_label(void **state)
{
    (void)state;
    wmk_train_options first = small_training(folder, "wrn-10-1", "first");
    train(&first);
    wmk_train_options distill = small_training(folder, NULL, "distilled"), tune = small_training(folder, NULL, "tuned");
    distill.init = distill.teacher = tune.init = first.output;
    distill.epochs = tune.epochs = 0.25;
    train(&distill);
    train(&tune);
    write_labels(256, 3);
    wmk_train_options distill_again = distill, tune_again = tune;
    distill_again.output = small_path(folder, "distilled-2"), tune_again.output = small_path(folder, "tuned-2");
    train(&distill_again);
    train(&tune_again);
    assert_true(same_files(distill.output, distill_again.output));
    assert_false(same_files(tune.output, tune_again.output));
    assert_false(same_files(distill.output, tune.output));
}

/* A student that begins as its teacher has nothing to learn: the gradient of the cross-entropy with itself is zero, the loss is the mean
 * entropy of its predictions. */
static void a_student_equal_to_its_teacher_stays(void **state)
{
    (void)state;
    wmk_train_options first = small_training(folder, "mlp-1-16", "teacher"), again = small_training(folder, NULL, "student");
    first.rate = again.rate = 0.01;
    train(&first);
    again.init = again.teacher = first.output;
    again.weight_decay = 0;
    wmk_train_result result = train(&again);
    wmk_model *a = open_model(first.output), *b = open_model(again.output);
    for (size_t i = 0; i < wmk_model_tensor_count(a); i++) {
        const wmk_model_tensor *t = wmk_model_tensor_at(a, i), *u = wmk_model_find(b, t->view.name);
        const float *x = t->view.data, *y = u->view.data;
        for (size_t j = 0; j < t->size_bytes / 4; j++) assert_true(fabsf(x[j] - y[j]) < 1e-5f);
    }
    wmk_model_close(a);
    wmk_model_close(b);
    assert_true(result.train_loss > 0 && result.train_loss < log(10));
}

/* Another number of classes replaces fc and nothing else. */
static void another_head(void **state)
{
    (void)state;
    wmk_train_options first = small_training(folder, "wrn-10-1", "ten");
    first.epochs = 0.1;
    train(&first);
    wmk_model *model = open_model(first.output);
    wmk_host same, other;
    assert_int_equal(wmk_host_read(&same, model, 0, 5), WMK_OK);
    assert_int_equal(wmk_host_read(&other, model, 100, 5), WMK_OK);
    assert_int_equal(same.classes, 10);
    assert_int_equal(other.classes, 100);
    const wmk_parameter *p;
    for (size_t i = 0; (p = wmk_graph_parameter_at(other.graph, i)); i++) {
        if (!strncmp(p->name, "fc.", 3)) continue;
        const wmk_model_tensor *t = wmk_model_find(model, p->name);
        assert_memory_equal(p->data, t->view.data, p->count * sizeof(float));
    }
    assert_true(wmk_graph_find_parameter(other.graph, "fc.weight")->dims[0] == 100);
    assert_memory_equal(wmk_graph_find_parameter(same.graph, "fc.weight")->data, wmk_model_find(model, "fc.weight")->view.data, 640 * sizeof(float));
    wmk_host_free(&same);
    wmk_host_free(&other);
    wmk_model_close(model);

    char *hundred = small_folder();
    small_cifar100(hundred, 200, 100);
    wmk_train_options second = small_training(hundred, NULL, "hundred");
    second.init = first.output, second.epochs = 0.2;
    train(&second);
    model = open_model(second.output);
    assert_string_equal(wmk_model_metadata(model, "weightmark.classes"), "100");
    assert_string_equal(wmk_model_metadata(model, "weightmark.host"), "wrn-10-1");
    wmk_eval_result eval;
    assert_int_equal(wmk_eval(model, folder, 0, 0, &eval), WMK_ERROR_MISMATCH); /* ten classes there */
    wmk_model_close(model);
    second.teacher = first.output, second.output = small_path(hundred, "none");
    assert_int_equal(wmk_train(&second, NULL), WMK_ERROR_MISMATCH);
    assert_non_null(strstr(wmk_error_message(), "the teacher tells 10 classes apart"));
    small_remove(hundred);
    free(hundred);
}

/* A model made by hand: no weights, a bias of log 3 for class 3. Nine of ten are wrong; the loss has a closed form. */
static void evaluation_in_closed_form(void **state)
{
    (void)state;
    static float w1[4 * WMK_IMAGE_ELEMENTS], b1[4], w2[10 * 4], b2[10];
    b2[3] = logf(3);
    wmk_tensor_view tensors[] = {{.name = "fc1.weight", .dtype = WMK_F32, .rank = 2, .shape = {4, WMK_IMAGE_ELEMENTS}, .layout = "OI", .data = w1},
                                 {.name = "fc1.bias", .dtype = WMK_F32, .rank = 1, .shape = {4}, .data = b1},
                                 {.name = "fc.weight", .dtype = WMK_F32, .rank = 2, .shape = {10, 4}, .layout = "OI", .data = w2},
                                 {.name = "fc.bias", .dtype = WMK_F32, .rank = 1, .shape = {10}, .data = b2}};
    wmk_metadata metadata[] = {{"weightmark.host", "mlp-1-4"}, {"weightmark.classes", "10"}};
    const char *path = small_path(folder, "by-hand");
    assert_int_equal(wmk_model_write(path, tensors, 4, metadata, 2, false), WMK_OK);
    wmk_model *model = open_model(path);
    wmk_eval_result eval;
    assert_int_equal(wmk_eval(model, folder, 10, 1, &eval), WMK_OK);
    const double right = 8; /* 75 test images, labels in turn: class 3 has 8 */
    assert_true(fabs(eval.test_error - (75 - right) / 75) < 1e-12);
    assert_true(fabs(eval.loss - (log(12) - log(3) * right / 75)) < 1e-6);
    wmk_eval_result at_once; /* a batch larger than the set holds the set */
    assert_int_equal(wmk_eval(model, folder, INT32_MAX, 1, &at_once), WMK_OK);
    assert_true(at_once.test_error == eval.test_error && at_once.examples == 75);
    wmk_model_close(model);

    static const struct {
        int tensor; /* -1: metadata */
        const char *host, *classes, *says;
        wmk_status status;
    } bad[] = {
        {-1, "mlp-1-5", "10", "another shape", WMK_ERROR_MISMATCH},
        {-1, "mlp-2-4", "10", "fc2.weight is not there", WMK_ERROR_MISSING},
        {-1, "no-such", "10", "not known", WMK_ERROR_INPUT},
        {-1, "mlp-1-4", "1e1", "not a number", WMK_ERROR_INPUT},
        {-1, "mlp-1-4", "-3", "not a number", WMK_ERROR_INPUT},
        {2, "mlp-1-4", "10", "element 5 is not a finite number", WMK_ERROR_INPUT},
        {-1, NULL, "10", "no metadata weightmark.host", WMK_ERROR_MISSING},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        metadata[0].name = bad[i].host ? "weightmark.host" : "other";
        metadata[0].value = bad[i].host ? bad[i].host : "", metadata[1].value = bad[i].classes;
        w2[5] = bad[i].tensor == 2 ? NAN : 0;
        assert_int_equal(wmk_model_write(path, tensors, 4, metadata, 2, true), WMK_OK);
        model = open_model(path);
        wmk_host host;
        wmk_status status = wmk_host_read(&host, model, 0, 1);
        if (status != bad[i].status || !strstr(wmk_error_message(), bad[i].says)) fail_msg("%d: \"%s\"", (int)status, wmk_error_message());
        wmk_model_close(model);
    }
}

static int stop_at_once(const wmk_train_progress *progress, void *payload)
{
    (void)progress, (void)payload;
    return 1;
}

/* Files do not follow the program's locale: begun where 0.5 is written 0,5, gone on from elsewhere, the same model comes out. */
static void a_decimal_comma(void **state)
{
    (void)state;
    const char *name = setlocale(LC_NUMERIC, "de_DE.UTF-8") ? "de_DE.UTF-8" : "fr_FR.UTF-8";
    if (!setlocale(LC_NUMERIC, name)) {
        print_message("[ skipped ] no locale with a decimal comma is installed\n");
        skip();
    }
    wmk_train_options o = small_training(folder, "mlp-1-8", "comma"), plain = small_training(folder, "mlp-1-8", "point");
    o.checkpoint = strdup(small_path(folder, "checkpoint")), o.history = strdup(small_path(folder, "comma.csv")), o.progress = stop_at_once;
    wmk_train_result result;
    wmk_status stopped = wmk_train(&o, &result);
    setlocale(LC_NUMERIC, "C");
    assert_int_equal(stopped, WMK_ERROR_INTERRUPTED);
    o.progress = NULL, o.resume = true;
    if (wmk_train(&o, &result) != WMK_OK) fail_msg("%s", wmk_error_message());
    assert_int_equal(wmk_train(&plain, &result), WMK_OK);
    assert_true(same_files(o.output, plain.output));
    o.resume = false, o.replace = true;
    assert_non_null(setlocale(LC_NUMERIC, name));
    wmk_status status = wmk_train(&o, &result);
    setlocale(LC_NUMERIC, "C");
    assert_int_equal(status, WMK_OK);
    assert_true(same_files(o.output, plain.output)); /* with the constants in its metadata */
    char line[256];
    FILE *history = fopen(o.history, "r");
    assert_non_null(history);
    for (int row = 0; fgets(line, sizeof line, history); row++) {
        int commas = 0;
        for (const char *c = line; *c; c++) commas += *c == ',';
        assert_int_equal(commas, 7);
    }
    fclose(history);
    free((char *)o.checkpoint);
    free((char *)o.history);
}

static void expect(wmk_train_options options, wmk_status status, const char *says)
{
    wmk_train_result result;
    wmk_status got = wmk_train(&options, &result);
    if (got != status || !strstr(wmk_error_message(), says)) fail_msg("%d, \"%s\"; wanted %d, \"%s\"", got, wmk_error_message(), status, says);
    if (options.output && got != WMK_ERROR_EXISTS) assert_true(access(options.output, F_OK) != 0);
}

static void refusals(void **state)
{
    (void)state;
    const wmk_train_options good = small_training(folder, "mlp-1-8", "out");
    wmk_train_options o;
    o = good, o.struct_size = 8, expect(o, WMK_ERROR_ARGUMENT, "WMK_TRAIN_OPTIONS_INIT");
    o = good, o.epochs = 0, expect(o, WMK_ERROR_ARGUMENT, "0 epochs");
    o = good, o.epochs = NAN, expect(o, WMK_ERROR_ARGUMENT, "epochs");
    o = good, o.epochs = -1, expect(o, WMK_ERROR_ARGUMENT, "epochs");
    o = good, o.batch = 0, expect(o, WMK_ERROR_ARGUMENT, "batch");
    o = good, o.batch = 257, expect(o, WMK_ERROR_ARGUMENT, "more than the 256");
    o = good, o.rate = 0, expect(o, WMK_ERROR_ARGUMENT, "rate");
    o = good, o.momentum = 1, expect(o, WMK_ERROR_ARGUMENT, "momentum");
    o = good, o.weight_decay = -1, expect(o, WMK_ERROR_ARGUMENT, "weight decay");
    o = good, o.kappa = 0, expect(o, WMK_ERROR_ARGUMENT, "kappa");
    o = good, o.threads = -1, expect(o, WMK_ERROR_ARGUMENT, "threads");
    o = good, o.schedule = "linear", expect(o, WMK_ERROR_ARGUMENT, "linear");
    o = good, o.augmentation = (wmk_augmentation)9, expect(o, WMK_ERROR_ARGUMENT, "augmentation");
    o = good, o.host = NULL, expect(o, WMK_ERROR_ARGUMENT, "one of the two");
    o = good, o.init = "x", expect(o, WMK_ERROR_ARGUMENT, "one of the two");
    o = good, o.data = NULL, expect(o, WMK_ERROR_ARGUMENT, "no data set");
    o = good, o.output = NULL, expect(o, WMK_ERROR_ARGUMENT, "no output");
    o = good, o.resume = true, expect(o, WMK_ERROR_ARGUMENT, "checkpoint");
    o = good, o.history = o.output, expect(o, WMK_ERROR_ARGUMENT, "different files");
    o = good, o.checkpoint = small_path(folder, "./out"), expect(o, WMK_ERROR_ARGUMENT, "different files"); /* it would take the model with it */
    o = good, o.history = small_path(folder, "/./out"), expect(o, WMK_ERROR_ARGUMENT, "different files");
    o = good, o.data = "/nonexistent", expect(o, WMK_ERROR_MISSING, "/nonexistent");
    o = good, o.host = "vgg", expect(o, WMK_ERROR_MISSING, "vgg");
    o = good, o.output = "/nonexistent/model", expect(o, WMK_ERROR_MISSING, "/nonexistent/model");
    o = good, o.history = "/nonexistent/history", expect(o, WMK_ERROR_MISSING, "/nonexistent/history");
    o = good, o.checkpoint = "/nonexistent/checkpoint", expect(o, WMK_ERROR_MISSING, "/nonexistent/checkpoint");
    o = good, o.resume = true, o.checkpoint = small_path(folder, "none"), expect(o, WMK_ERROR_MISSING, "none");
    o = good, o.resume = true, o.checkpoint = small_path(folder, "train-labels-idx1-ubyte"), expect(o, WMK_ERROR_INPUT, "train-labels");
    o = good, o.host = NULL, o.init = small_path(folder, "none"), expect(o, WMK_ERROR_MISSING, "none");
    o = good, o.teacher = small_path(folder, "none"), expect(o, WMK_ERROR_MISSING, "none");
    o = good, o.output = small_path(folder, "train-labels-idx1-ubyte"), expect(o, WMK_ERROR_EXISTS, "train-labels");
    o = good, o.checkpoint = small_path(folder, "train-labels-idx1-ubyte"), expect(o, WMK_ERROR_EXISTS, "train-labels");
    o = good, o.lambda = -1e-9, expect(o, WMK_ERROR_ARGUMENT, "lambda");
    o = good, o.lambda = NAN, expect(o, WMK_ERROR_ARGUMENT, "lambda");
    o = good, o.lambda = INFINITY, expect(o, WMK_ERROR_ARGUMENT, "lambda");
    wmk_key *key = small_key("wrn-10-1", "conv2", 16, 1);
    o = good, o.keys = (const wmk_key *const *)&key, o.key_count = 1, expect(o, WMK_ERROR_MISSING, "conv2.0.conv2.weight");
    o.host = "wrn-10-2", expect(o, WMK_ERROR_MISMATCH, "conv2.0.conv2.weight");
    wmk_key_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(from_scratch_with_a_mark, fresh_folder, drop_folder),
        cmocka_unit_test_setup_teardown(the_mark_enters_by_lambda, fresh_folder, drop_folder),
        cmocka_unit_test_setup_teardown(distilling_reads_no_label, fresh_folder, drop_folder),
        cmocka_unit_test_setup_teardown(a_student_equal_to_its_teacher_stays, fresh_folder, drop_folder),
        cmocka_unit_test_setup_teardown(another_head, fresh_folder, drop_folder),
        cmocka_unit_test_setup_teardown(evaluation_in_closed_form, fresh_folder, drop_folder),
        cmocka_unit_test_setup_teardown(a_decimal_comma, fresh_folder, drop_folder),
        cmocka_unit_test_setup_teardown(refusals, fresh_folder, drop_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
