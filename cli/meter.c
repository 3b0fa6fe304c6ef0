/* cli/meter.c - percent, rate, time left. */
#include "meter.h"

#include <stdio.h>
#include <time.h>

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Bytes of the key's tensors as far as they go by their names; of others a guess, two for each weight. */
static uint64_t bytes_of(const wmk_model *model, const wmk_key *key)
{
    uint64_t bytes = 0;
    for (size_t t = 0; t < wmk_key_target_count(key); t++) {
        const wmk_target *target = wmk_key_target(key, t);
        const wmk_model_tensor *tensor = wmk_model_find(model, target->name);
        uint64_t weights = 2;
        for (uint32_t i = 0; i < target->rank; i++) weights *= target->shape[i];
        bytes += tensor ? tensor->size_bytes : weights;
    }
    return bytes;
}

void meter_begin(cli_meter *meter, const common_settings *common, const char *what, const wmk_model *model, const wmk_key *key, unsigned passes)
{
    line_begin(&meter->line, common);
    meter->what = what;
    meter->total = meter->line.wanted ? passes * bytes_of(model, key) : 0;
    atomic_init(&meter->done, 0);
    atomic_flag_clear(&meter->busy);
    meter->begun = meter->drawn = seconds_now();
}

void meter_walked(void *payload, uint64_t bytes)
{
    cli_meter *meter = payload;
    uint64_t done = atomic_fetch_add(&meter->done, bytes) + bytes;
    if (!meter->line.wanted || meter->total == 0 || atomic_flag_test_and_set(&meter->busy)) return;
    double now = seconds_now(), spent = now - meter->begun;
    if (spent >= 1 && now - meter->drawn >= 0.2) {
        double part = (double)done / (double)meter->total;
        char text[128];
        if (part > 0.99) part = 0.99; /* the total is an estimate */
        snprintf(text, sizeof text, "%s %2.0f %%, %.2f GB/s, %.0f s left", meter->what, 100 * part, 1e-9 * (double)done / spent,
                 spent / part - spent);
        line_show(&meter->line, text);
        meter->drawn = now;
    }
    atomic_flag_clear(&meter->busy);
}

void meter_searched(void *payload, double share)
{
    cli_meter *meter = payload;
    double now = seconds_now(), spent = now - meter->begun;
    char text[128];
    if (share >= 1) meter->begun = now; /* what is left is one reading */
    if (spent < 1 || now - meter->drawn < 0.2 || !(share > 0)) return;
    snprintf(text, sizeof text, "comparing tensors %2.0f %%, %.0f s left", 100 * share, spent / share - spent);
    line_show(&meter->line, text);
    meter->drawn = now;
}

void meter_end(cli_meter *meter) { line_clear(&meter->line); }
