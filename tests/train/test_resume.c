/* tests/train/test_resume.c - trainings that are stopped, killed, or leave the finite numbers.
 *
 * Run with arguments it is the victim: test_resume FOLDER OUTPUT CHECKPOINT RESUME KILL_STEP trains, and ends itself with SIGKILL in step KILL_STEP. */
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "data/small_sets.h"
#include "train/training.h"

static char *folder;

static int fresh_folder(void **state)
{
    (void)state;
    folder = small_folder();
    small_idx(folder, 160, 40, 28, false);
    return 0;
}

static int drop_folder(void **state)
{
    (void)state;
    small_remove(folder);
    free(folder);
    return 0;
}

static const wmk_key *key;

/* 25 steps, two and a half epochs of 10, everything random switched on. */
static wmk_train_options training(const char *in, const char *output)
{
    wmk_train_options options = small_training(in, "wrn-10-1", output);
    if (!key) key = small_key("wrn-10-1", "conv2,conv3", 16, 7);
    options.keys = &key, options.key_count = 1;
    options.epochs = 2.5, options.lambda = 0.05;
    options.augmentation = WMK_AUGMENT_REFERENCE;
    options.checkpoint_seconds = 0;
    return options;
}

static int stop_at(const wmk_train_progress *progress, void *payload) { return progress->step == *(const uint64_t *)payload; }

static int die_at(const wmk_train_progress *progress, void *payload)
{
    if (progress->step == *(const uint64_t *)payload) raise(SIGKILL);
    return 0;
}

static int victim(char **arguments)
{
    wmk_train_options options = training(arguments[1], arguments[2]);
    uint64_t step = strtoull(arguments[5], NULL, 10);
    options.checkpoint = small_path(arguments[1], arguments[3]);
    options.resume = atoi(arguments[4]);
    options.progress = die_at, options.payload = &step;
    wmk_status status = wmk_train(&options, NULL);
    if (status != WMK_OK) fprintf(stderr, "victim: %s\n", wmk_error_message());
    return (int)status;
}

static pid_t start_victim(const char *output, bool resume, unsigned kill_step)
{
    char step[16];
    snprintf(step, sizeof step, "%u", kill_step);
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "test_resume", folder, output, "checkpoint", resume ? "1" : "0", step, (char *)NULL);
        _exit(98);
    }
    return child;
}

static char *whole; /* the uninterrupted run's file */

static void make_whole(void)
{
    wmk_train_options options = training(folder, "whole");
    if (wmk_train(&options, NULL) != WMK_OK) fail_msg("%s", wmk_error_message());
    whole = strdup(options.output);
}

/* Same options, same file, with one thread and with two: the rest of this program relies on it. Another seed gives another. */
static void twice_the_same(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        const char *const names[] = {"first", "second", "other"};
        wmk_train_options options[3];
        for (int i = 0; i < 3; i++) {
            options[i] = training(folder, names[i]);
            options[i].threads = threads, options[i].seed = i == 2 ? 2 : 1;
            options[i].epochs = 0.5, options[i].replace = true;
            if (wmk_train(&options[i], NULL) != WMK_OK) fail_msg("%s", wmk_error_message());
        }
        assert_true(same_files(options[0].output, options[1].output));
        assert_false(same_files(options[0].output, options[2].output));
    }
}

/* Stopped by the caller, in the first epoch, at an epoch's end, and in the last one. */
static void stopped_and_resumed(void **state)
{
    (void)state;
    make_whole();
    wmk_train_options options = training(folder, "parts");
    options.checkpoint = small_path(folder, "checkpoint");
    options.history = small_path(folder, "history");
    static const uint64_t stops[] = {4, 10, 23};
    for (size_t i = 0; i < 3; i++) {
        uint64_t stop = stops[i];
        options.progress = stop_at, options.payload = &stop;
        assert_int_equal(wmk_train(&options, NULL), WMK_ERROR_INTERRUPTED);
        assert_non_null(strstr(wmk_error_message(), "goes on from there"));
        assert_true(access(options.output, F_OK) != 0 && access(options.checkpoint, F_OK) == 0);
        options.resume = true;
    }
    wmk_train_options other = options;
    other.seed = 2;
    assert_int_equal(wmk_train(&other, NULL), WMK_ERROR_MISMATCH);
    assert_non_null(strstr(wmk_error_message(), "start="));
    other = options, other.rate = 0.06;
    assert_int_equal(wmk_train(&other, NULL), WMK_ERROR_MISMATCH);
    assert_non_null(strstr(wmk_error_message(), "there rate=0.05"));
    other = options, other.lambda = 0.06;
    assert_int_equal(wmk_train(&other, NULL), WMK_ERROR_MISMATCH);
    assert_non_null(strstr(wmk_error_message(), "there lambda=0.05"));
    other = options, other.key_count = 0;
    assert_int_equal(wmk_train(&other, NULL), WMK_ERROR_MISMATCH);
    other = options, other.resume = false; /* without resume a checkpoint is not overwritten by mistake */
    assert_int_equal(wmk_train(&other, NULL), WMK_ERROR_EXISTS);
    options.progress = NULL;
    if (wmk_train(&options, NULL) != WMK_OK) fail_msg("%s", wmk_error_message());
    assert_true(same_files(whole, options.output));
    assert_true(access(options.checkpoint, F_OK) != 0);
    FILE *csv = fopen(options.history, "r"); /* every step once, in order, across the stops */
    char line[256];
    assert_non_null(fgets(line, sizeof line, csv));
    for (int step = 1, got; fgets(line, sizeof line, csv); step++) assert_true(sscanf(line, "%d,", &got) == 1 && got == step);
    fclose(csv);
    free(whole);
}

/* kill -9 between forward and update of a step, twice; then to the end. */
static void killed_and_resumed(void **state)
{
    (void)state;
    make_whole();
    static const unsigned kills[] = {7, 16};
    int status;
    for (int i = 0; i < 2; i++) {
        assert_true(waitpid(start_victim("parts", i > 0, kills[i]), &status, 0) > 0);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    }
    assert_true(waitpid(start_victim("parts", true, 999), &status, 0) > 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_true(same_files(whole, small_path(folder, "parts")));
    free(whole);
}

/* kill -9 at any moment, in the middle of writing a checkpoint too, again and again until it gets through. */
static void killed_anywhere(void **state)
{
    (void)state;
    make_whole();
    int status = -1, kills = 0;
    for (useconds_t wait = 30000; access(small_path(folder, "parts"), F_OK); wait += 30000) {
        pid_t child = start_victim("parts", access(small_path(folder, "checkpoint"), F_OK) == 0, 999);
        for (useconds_t slept = 0; slept < wait && waitpid(child, &status, WNOHANG) == 0; slept += 1000) usleep(1000);
        if (kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child) kills++;
        if (WIFEXITED(status)) assert_int_equal(WEXITSTATUS(status), 0);
    }
    assert_true(kills > 0);
    assert_true(same_files(whole, small_path(folder, "parts")));
    free(whole);
}

/* A rate that makes the weights grow a hundredfold a step ends in infinity: training stops there, and what was kept is finite and from before. */
static void a_loss_that_is_not_finite(void **state)
{
    (void)state;
    wmk_train_options options = small_training(folder, "mlp-2-8", "out");
    options.schedule = "constant", options.rate = 1e5, options.weight_decay = 1, options.epochs = 10;
    options.checkpoint_seconds = 0, options.checkpoint = small_path(folder, "checkpoint");
    assert_int_equal(wmk_train(&options, NULL), WMK_ERROR_NUMERIC);
    assert_non_null(strstr(wmk_error_message(), "step "));
    assert_non_null(strstr(wmk_error_message(), "last good checkpoint is kept"));
    assert_true(access(options.output, F_OK) != 0);
    wmk_model *model;
    assert_int_equal(wmk_model_open(&model, options.checkpoint), WMK_OK);
    for (size_t i = 0; i < wmk_model_tensor_count(model); i++) {
        const wmk_model_tensor *t = wmk_model_tensor_at(model, i);
        for (size_t j = 0; j < t->size_bytes / 4; j++) {
            float v;
            memcpy(&v, (const char *)t->view.data + 4 * j, 4);
            assert_true(isfinite(v));
        }
    }
    wmk_model_close(model);
    options.checkpoint = NULL;
    assert_int_equal(wmk_train(&options, NULL), WMK_ERROR_NUMERIC);
    assert_null(strstr(wmk_error_message(), "checkpoint"));
}

int main(int count, char **arguments)
{
    if (count == 6) return victim(arguments);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(twice_the_same, fresh_folder, drop_folder),
        cmocka_unit_test_setup_teardown(stopped_and_resumed, fresh_folder, drop_folder),
        cmocka_unit_test_setup_teardown(killed_and_resumed, fresh_folder, drop_folder),
        cmocka_unit_test_setup_teardown(killed_anywhere, fresh_folder, drop_folder),
        cmocka_unit_test_setup_teardown(a_loss_that_is_not_finite, fresh_folder, drop_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
