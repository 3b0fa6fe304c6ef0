/* cli/progress.c - one line that is drawn anew on a terminal, ten lines elsewhere. */
#include "progress.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "console.h"
#include "interrupt.h"
#include "line.h"

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void progress_begin(cli_progress *progress, const common_settings *common)
{
    progress->quiet = common->quiet;
    progress->terminal = is_terminal(STDERR_FILENO);
    progress->drawn = 0;
    progress->tenths = 0;
    progress->ended = false;
}

static void duration_text(double seconds, char *text, size_t size)
{
    long whole = isfinite(seconds) && seconds >= 0 && seconds < 1e9 ? lround(seconds) : -1;
    if (whole < 0)
        snprintf(text, size, "?");
    else if (whole >= 3600)
        snprintf(text, size, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(text, size, "%ld:%02ld", whole / 60, whole % 60);
}

/* `brief` 0 to 2: without the rate of images, then also without the steps. */
static void line_text(char *text, size_t size, const wmk_train_progress *now, int brief)
{
    char left[32], mark[64] = "", steps[64] = "", speed[64] = "";
    duration_text(now->seconds_left, left, sizeof left);
    if (isfinite(now->e_r)) snprintf(mark, sizeof mark, "  E_R %.4f  BER %.4f", now->e_r, now->ber);
    if (brief < 1) snprintf(speed, sizeof speed, "  %.0f images/s", now->images_per_second);
    if (brief < 2) snprintf(steps, sizeof steps, "  step %llu/%llu", (unsigned long long)now->step, (unsigned long long)now->steps);
    snprintf(text, size, "epoch %.2f/%.4g%s  loss %.4f%s%s  %s left", now->epoch, now->epochs, steps, now->loss, mark, speed, left);
}

static void draw(const cli_progress *progress, const wmk_train_progress *now)
{
    char text[512];
    line_text(text, sizeof text, now, 0);
    if (!progress->terminal) {
        fprintf(stderr, "%s\n", text);
        return;
    }
    const size_t columns = line_columns();
    for (int brief = 1; brief <= 2 && strlen(text) > columns; brief++) line_text(text, sizeof text, now, brief);
    fprintf(stderr, "\r\033[K%.*s", (int)columns, text);
}

int progress_step(const wmk_train_progress *now, void *payload)
{
    cli_progress *progress = payload;
    double seconds = seconds_now();
    bool last = now->step == now->steps;
    if (progress->quiet) return interrupt_asked();
    if (progress->terminal && (last || seconds - progress->drawn >= 0.2)) {
        draw(progress, now);
        progress->drawn = seconds;
    }
    uint64_t tenths = now->steps ? now->step * 10 / now->steps : 0;
    if (!progress->terminal && tenths > progress->tenths) {
        draw(progress, now);
        progress->tenths = tenths;
    }
    progress->ended = last;
    if (last) fprintf(stderr, "%smeasuring the test error\n", progress->terminal ? "\n" : "");
    return interrupt_asked();
}

void progress_end(const cli_progress *progress)
{
    if (progress->terminal && progress->drawn > 0 && !progress->ended) fputc('\n', stderr);
}
