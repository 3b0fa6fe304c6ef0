/* calibration.h - how often strangers' keys look significant on weights that carry no mark. */
#ifndef WMK_TESTS_CALIBRATION_H
#define WMK_TESTS_CALIBRATION_H

#include <math.h>
#include <string.h>
#include <weightmark/mark.h>

#include "base/secret.h"
#include "mark/read.h"

enum { CALIBRATION_LEVELS = 3, CALIBRATION_KINDS = 3 };
static const double calibration_level[CALIBRATION_LEVELS] = {0.1, 0.01, 0.001};
static const char *const calibration_kind[CALIBRATION_KINDS] = {"soft", "hard", "combined"};

/* expected: of the count below a level, summed over keys: for a count of bits the levels that it can reach. exact: else a bound. */
typedef struct calibration {
    uint64_t keys;
    struct {
        uint64_t below;
        double expected;
    } at[CALIBRATION_KINDS][CALIBRATION_LEVELS];
    bool exact[CALIBRATION_KINDS];
} calibration;

enum { CALIBRATION_BITS = 128 };
/* [bits][level] The chance that a p which takes only the values of P(Bin(bits, 1/2) >= k) is below the level. */
typedef double calibration_reached[CALIBRATION_BITS + 1][CALIBRATION_LEVELS];

static inline void calibration_reach(calibration_reached reached)
{
    for (uint32_t bits = 0; bits <= CALIBRATION_BITS; bits++)
        for (int l = 0; l < CALIBRATION_LEVELS; l++) {
            reached[bits][l] = 0;
            for (uint32_t k = 0; k <= bits && reached[bits][l] == 0; k++) {
                double p = pow(10, wmk_log10_binomial_tail(bits, k));
                if (p < calibration_level[l]) reached[bits][l] = p;
            }
        }
}

static inline void calibration_count(calibration *c, const wmk_evidence *e, calibration_reached reached)
{
    const double log10_p[CALIBRATION_KINDS] = {e->log10_p_soft, e->log10_p_hard, e->log10_p};
    c->keys++;
    for (int k = 0; k < CALIBRATION_KINDS; k++)
        for (int l = 0; l < CALIBRATION_LEVELS; l++) {
            double chance = k == 1 && c->exact[k] ? reached[e->bits][l] : calibration_level[l];
            c->at[k][l].below += log10_p[k] < log10(calibration_level[l]);
            c->at[k][l].expected += chance;
        }
}

static inline void calibration_add(calibration *to, const calibration *from)
{
    to->keys += from->keys;
    for (int k = 0; k < CALIBRATION_KINDS; k++)
        for (int l = 0; l < CALIBRATION_LEVELS; l++) {
            to->at[k][l].below += from->at[k][l].below;
            to->at[k][l].expected += from->at[k][l].expected;
        }
}

/* The smallest k with P(Bin(n, chance) <= k) >= level, the sum begun twelve deviations below the mean. */
static inline double calibration_quantile(uint64_t n, double chance, double level)
{
    if (chance <= 0) return 0;
    double mean = (double)n * chance, k = fmax(0, floor(mean - 12 * sqrt(mean * (1 - chance)))), size = (double)n;
    double log_p = lgamma(size + 1) - lgamma(k + 1) - lgamma(size - k + 1) + k * log(chance) + (size - k) * log1p(-chance);
    for (double p = exp(log_p), sum = p;; sum += p) {
        if (sum >= level || k >= size) return k;
        k++;
        p *= (size - k + 1) / k * chance / (1 - chance);
    }
}

/* The central interval that a count lies in but for a share `outside` of all cases; a bound has no lower end. */
static inline void calibration_interval(const calibration *c, int kind, int level, double outside, double *low, double *high)
{
    double chance = c->at[kind][level].expected / (double)c->keys;
    *low = c->exact[kind] ? calibration_quantile(c->keys, chance, outside / 2) : 0;
    *high = calibration_quantile(c->keys, chance, 1 - outside / 2);
}

static inline bool calibration_holds(const calibration *c, int kind, int level, double outside)
{
    double low, high;
    calibration_interval(c, kind, level, outside, &low, &high);
    return (double)c->at[kind][level].below >= low && (double)c->at[kind][level].below <= high;
}

/* Judges one stranger: log10_p_soft, log10_p_hard, log10_p and bits are used. */
typedef wmk_status (*calibration_judge)(wmk_evidence *e, const wmk_key *stranger, const void *payload);

/* payload: a vector that is open. */
static inline wmk_status calibration_read(wmk_evidence *e, const wmk_key *stranger, const void *payload)
{
    wmk_reading *reading = NULL;
    wmk_status status = wmk_vector_read(&reading, stranger, payload);
    if (status == WMK_OK) status = wmk_evidence_judge(e, stranger, reading, 1, 64);
    wmk_reading_free(reading);
    return status;
}

typedef struct calibration_share {
    calibration *count;
    calibration_reached *reached;
    const wmk_key *key;
    calibration_judge judge;
    const void *payload;
    uint32_t first, keys;
    wmk_status status;
} calibration_share;

static inline void calibration_some(void *argument)
{
    calibration_share *share = argument;
    for (uint32_t i = share->first; i < share->first + share->keys && share->status == WMK_OK; i++) {
        uint8_t seed[WMK_SEED_BYTES] = "calibration";
        memcpy(seed + 16, &i, sizeof i);
        wmk_key *stranger = NULL;
        wmk_evidence e;
        share->status = wmk_key_redraw(&stranger, share->key, seed);
        if (share->status == WMK_OK) share->status = share->judge(&e, stranger, share->payload);
        if (share->status == WMK_OK) calibration_count(share->count, &e, *share->reached);
        wmk_key_free(stranger);
    }
}

/* Judges redraws number [first, first + keys) of `key`, of at most CALIBRATION_BITS bits. bounds: p is a bound
 * whatever the scheme. */
static inline wmk_status calibration_run(calibration *out, const wmk_key *key, calibration_judge judge, const void *payload, bool bounds,
                                         uint32_t first, uint32_t keys)
{
    enum { SHARE = 64 };
    static calibration_reached reached;
    static bool known;
    if (!known) calibration_reach(reached);
    known = true;
    memset(out, 0, sizeof *out);
    out->exact[0] = !bounds && wmk_key_scheme(key) == WMK_SCHEME_RANDOM;
    out->exact[1] = !bounds && (!wmk_key_ones(key) || wmk_key_scheme(key) == WMK_SCHEME_RANDOM);
    wmk_status failed = WMK_OK;
#pragma omp parallel
    {
        calibration mine = {0};
        memcpy(mine.exact, out->exact, sizeof mine.exact);
#pragma omp for schedule(dynamic)
        for (uint32_t from = 0; from < keys; from += SHARE) {
            calibration_share share = {&mine, &reached, key, judge, payload, first + from, keys - from < SHARE ? keys - from : SHARE, WMK_OK};
            /* The library's own calls of this kind cost next to nothing inside of one. */
            wmk_secret_call(calibration_some, &share);
            if (share.status != WMK_OK) {
#pragma omp critical
                failed = share.status;
            }
        }
#pragma omp critical
        calibration_add(out, &mine);
    }
    return failed;
}

#endif
