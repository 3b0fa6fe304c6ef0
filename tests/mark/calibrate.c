/* calibrate - how often strangers' keys look significant on weights of a real model without a mark.
 *
 *     calibrate MODEL [--tensor NAME] [--case NUMBER] [--keys N] [--first N] [--scheme NAME] [--carrier NAME] [--bits T]
 *
 * Case 0 (the default) is the tensors themselves, NAME being a selector. The others cut small models out of the weights
 * of the one tensor NAME, so that a million keys take a minute or two, and look for keys in all the ways in which a
 * verdict can be reached: `calibrate` without a model lists them.
 *
 * A CSV row per scheme, carrier, kind of evidence and level: keys below the level, what is expected, the 99 % interval
 * and whether the count is inside. Where p is a bound the interval has no lower end. One row in a hundred lies outside
 * by chance. beyond_chance is `yes` where a count is outside of what all figures of all cases together keep in 99 %;
 * then the exit status is 1. */
#include <stdio.h>
#include <stdlib.h>
#include <weightmark/mark_file.h>

#include "calibrate_cases.h"

/* In place of libsodium's: a million keys that nobody uses need no locked pages. */
void *__wrap_sodium_malloc(size_t bytes);
void *__wrap_sodium_malloc(size_t bytes) { return malloc(bytes); }
void __wrap_sodium_free(void *block);
void __wrap_sodium_free(void *block) { free(block); }

typedef struct arguments {
    const char *model, *tensor;
    uint32_t keys, first, bits, number;
    int scheme, carrier; /* 0: each */
} arguments;

static int fail(const char *what)
{
    fprintf(stderr, "calibrate: %s: %s\n", what, wmk_error_message());
    return 3;
}

static int usage(void)
{
    fprintf(stderr, "usage: calibrate MODEL [--tensor NAME] [--case NUMBER] [--keys N] [--first N] [--scheme NAME] [--carrier NAME] "
                    "[--bits T]\ncases:\n  0  the tensors as they are\n");
    for (size_t i = 0; i < calibrate_case_count; i++) fprintf(stderr, "  %zu  %s\n", i + 1, calibrate_cases[i].name);
    return 2;
}

static int parse(arguments *a, int count, char **word)
{
    *a = (arguments){.tensor = "conv", .keys = 100000};
    for (int i = 1; i < count; i++) {
        if (word[i][0] != '-') {
            if (a->model != NULL) return usage();
            a->model = word[i];
            continue;
        }
        if (i + 1 == count) return usage();
        const char *value = word[i + 1];
        wmk_scheme scheme;
        wmk_carrier carrier;
        if (strcmp(word[i], "--tensor") == 0)
            a->tensor = value;
        else if (strcmp(word[i], "--keys") == 0)
            a->keys = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(word[i], "--first") == 0)
            a->first = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(word[i], "--case") == 0)
            a->number = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(word[i], "--bits") == 0)
            a->bits = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(word[i], "--scheme") == 0 && wmk_scheme_parse(&scheme, value) == WMK_OK)
            a->scheme = (int)scheme;
        else if (strcmp(word[i], "--carrier") == 0 && wmk_carrier_parse(&carrier, value) == WMK_OK)
            a->carrier = (int)carrier;
        else
            return usage();
        i++;
    }
    return a->model != NULL && a->keys > 0 && a->bits <= CALIBRATION_BITS && a->number <= calibrate_case_count ? 0 : usage();
}

/* At most 18 kinds of key per case (four schemes, three carriers, bits all one too with random and partition), three kinds
 * of evidence, three levels. */
#define FIGURES (162.0 * (double)(calibrate_case_count + 1))

/* Prints the rows of one kind of key; true when none is beyond chance among all FIGURES. */
static bool print_rows(const char *name, const wmk_key *key, const calibration *c)
{
    bool good = true;
    for (int k = 0; k < CALIBRATION_KINDS; k++)
        for (int l = 0; l < CALIBRATION_LEVELS; l++) {
            double low, high;
            bool holds = calibration_holds(c, k, l, 0.01 / FIGURES);
            calibration_interval(c, k, l, 0.01, &low, &high);
            good = good && holds;
            printf("\"%s\",%s,%s,%d,%s,%s,%g,%llu,%llu,%.6g,%.1f,%.0f,%.0f,%s,%s\n", name, wmk_scheme_name(wmk_key_scheme(key)),
                   wmk_carrier_name(wmk_key_carrier(key)), wmk_key_ones(key), calibration_kind[k], c->exact[k] ? "exact" : "bound",
                   calibration_level[l], (unsigned long long)c->keys, (unsigned long long)c->at[k][l].below,
                   (double)c->at[k][l].below / (double)c->keys, c->at[k][l].expected, low, high, calibration_holds(c, k, l, 0.01) ? "yes" : "no",
                   holds ? "no" : "yes");
        }
    fflush(stdout);
    return good;
}

/* What is calibrated: a case, or tensors of the model. */
typedef struct subject {
    const char *name;
    const wmk_target *targets;
    size_t target_count;
    uint32_t bits;
    const case_model *model;      /* or NULL, and then */
    const wmk_tensor_view *views; /* [target_count] */
} subject;

static wmk_status run(calibration *c, const arguments *a, const subject *s, const wmk_key *key)
{
    if (s->model != NULL) return case_run(c, s->model, key, a->first, a->keys);
    wmk_vector vector = {0};
    wmk_status status = wmk_vector_open(&vector, key, s->views, NULL);
    if (status == WMK_OK) status = calibration_run(c, key, calibration_read, &vector, false, a->first, a->keys);
    wmk_vector_close(&vector);
    return status;
}

static int one_kind(const arguments *a, const subject *s, wmk_scheme scheme, wmk_carrier carrier, bool ones, bool *good)
{
    uint8_t seed[WMK_SEED_BYTES] = {1};
    wmk_key_options o = WMK_KEY_OPTIONS_INIT;
    o.scheme = scheme;
    o.carrier = carrier;
    o.bits = a->bits ? a->bits : s->bits;
    o.ones = ones;
    o.seed = seed;
    o.created = 1;
    o.targets = s->targets;
    o.target_count = s->target_count;
    wmk_key *key = NULL;
    calibration c;
    if (wmk_key_create(&key, &o) != WMK_OK) return fail("key");
    int result = run(&c, a, s, key) == WMK_OK ? 0 : fail("reading");
    if (result == 0) *good = print_rows(s->name, key, &c) && *good;
    wmk_key_free(key);
    return result;
}

static int all_kinds(const arguments *a, const subject *s)
{
    bool good = true, choice = s->model != NULL && s->model->from->way != CASE_BY_NAME;
    int result = 0;
    printf("case,scheme,carrier,ones,evidence,p_is,level,keys,below,rate,expected,low_99,high_99,inside_99,beyond_chance\n");
    for (int k = WMK_SCHEME_DIRECT; k <= WMK_SCHEME_PARTITION && result == 0; k++)
        for (int c = WMK_CARRIER_MEAN; c <= WMK_CARRIER_BALANCED && result == 0; c++)
            /* Direct and diff with fixed bits: p is empirical by itself. What there is to choose from does not depend on b. */
            for (int ones = 0; ones <= (k >= WMK_SCHEME_RANDOM && !choice) && result == 0; ones++)
                if ((a->scheme == 0 || a->scheme == k) && (a->carrier == 0 || a->carrier == c))
                    result = one_kind(a, s, (wmk_scheme)k, (wmk_carrier)c, ones, &good);
    return result != 0 ? result : good ? 0 : 1;
}

static int whole_tensors(const arguments *a, const wmk_model *model, const wmk_targets *targets)
{
    wmk_tensor_view *views = calloc(targets->count, sizeof *views);
    if (views == NULL) return 4;
    for (size_t t = 0; t < targets->count; t++) views[t] = wmk_model_find(model, targets->target[t].name)->view;
    const subject s = {a->tensor, targets->target, targets->count, 64, NULL, views};
    int result = all_kinds(a, &s);
    free(views);
    return result;
}

static int cut_models(const arguments *a, const wmk_model *model, const wmk_targets *targets)
{
    const calibrate_case *from = &calibrate_cases[a->number - 1];
    case_model cut;
    int result;
    if (case_open(&cut, from, &wmk_model_find(model, targets->target[0].name)->view) == WMK_OK) {
        const subject s = {from->name, cut.targets, cut.target_count, from->bits, &cut, NULL};
        result = all_kinds(a, &s);
    } else {
        result = fail(from->name);
    }
    case_close(&cut);
    return result;
}

int main(int argc, char **argv)
{
    arguments a;
    int result = parse(&a, argc, argv);
    if (result != 0) return result;
    wmk_model *model = NULL;
    wmk_targets all = {0}, targets = {0};
    if (wmk_model_open(&model, a.model) != WMK_OK || wmk_targets_of_model(&all, model) != WMK_OK ||
        wmk_targets_select(&targets, &all, a.tensor) != WMK_OK)
        result = fail(a.model);
    else
        result = a.number == 0 ? whole_tensors(&a, model, &targets) : cut_models(&a, model, &targets);
    wmk_targets_free(&targets);
    wmk_targets_free(&all);
    wmk_model_close(model);
    return result;
}
