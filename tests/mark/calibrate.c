/* calibrate - how often strangers' keys look significant on a real model without a mark.
 *
 *     calibrate MODEL [--tensor SELECTOR] [--keys N] [--first N] [--bits T] [--scheme NAME] [--carrier NAME]
 *
 * A CSV row for each scheme, carrier, kind of evidence and level: keys below the level, what is expected, the 99 % interval and whether the count is
 * inside. Where p is a bound the interval has no lower end. One row in a hundred lies outside by chance: exit 1 when a count is outside of what all rows of all schemes and carriers together
 * keep in 99 % of cases. */
#include <stdio.h>
#include <stdlib.h>
#include <weightmark/mark_file.h>

#include "calibration.h"

typedef struct arguments {
    const char *model, *tensor;
    uint32_t keys, first, bits;
    int scheme, carrier; /* 0: each */
} arguments;

static int fail(const char *what)
{
    fprintf(stderr, "calibrate: %s: %s\n", what, wmk_error_message());
    return 3;
}

static int usage(void)
{
    fprintf(stderr, "usage: calibrate MODEL [--tensor SELECTOR] [--keys N] [--first N] [--bits T] [--scheme NAME] [--carrier NAME]\n");
    return 2;
}

static int parse(arguments *a, int count, char **word)
{
    *a = (arguments){.tensor = "conv", .keys = 100000, .bits = 64};
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
    return a->model != NULL && a->keys > 0 ? 0 : usage();
}

#define ROWS 162 /* 18 kinds of key (four schemes, three carriers, bits all one too with random and partition), three of evidence, three levels */

/* Prints the rows of one kind of key; true when none is beyond chance among all ROWS. */
static bool print_rows(const wmk_key *key, const calibration *c)
{
    bool good = true;
    for (int k = 0; k < CALIBRATION_KINDS; k++)
        for (int l = 0; l < CALIBRATION_LEVELS; l++) {
            double low, high;
            calibration_interval(c, k, l, 0.01, &low, &high);
            good = good && calibration_holds(c, k, l, 0.01 / ROWS);
            printf("%s,%s,%d,%s,%s,%g,%llu,%llu,%.6g,%.1f,%.0f,%.0f,%s\n", wmk_scheme_name(wmk_key_scheme(key)),
                   wmk_carrier_name(wmk_key_carrier(key)), wmk_key_ones(key), calibration_kind[k], c->exact[k] ? "exact" : "bound",
                   calibration_level[l], (unsigned long long)c->keys, (unsigned long long)c->at[k][l].below,
                   (double)c->at[k][l].below / (double)c->keys, c->at[k][l].expected, low, high, calibration_holds(c, k, l, 0.01) ? "yes" : "no");
        }
    fflush(stdout);
    return good;
}

static int one_kind(const arguments *a, const wmk_targets *targets, const wmk_tensor_view *views, wmk_scheme scheme, wmk_carrier carrier, bool ones,
                    bool *good)
{
    uint8_t seed[WMK_SEED_BYTES] = {1};
    wmk_key_options o = WMK_KEY_OPTIONS_INIT;
    o.scheme = scheme;
    o.carrier = carrier;
    o.bits = a->bits;
    o.ones = ones;
    o.seed = seed;
    o.created = 1;
    o.targets = targets->target;
    o.target_count = targets->count;
    wmk_key *key = NULL;
    wmk_vector vector = {0};
    calibration c;
    int result = 0;
    if (wmk_key_create(&key, &o) != WMK_OK) return fail("key");
    if (wmk_vector_open(&vector, key, views, NULL) != WMK_OK)
        result = fail("weights");
    else if (calibration_run(&c, key, &vector, a->first, a->keys) != WMK_OK)
        result = fail("reading");
    else
        *good = print_rows(key, &c) && *good;
    wmk_vector_close(&vector);
    wmk_key_free(key);
    return result;
}

int main(int argc, char **argv)
{
    arguments a;
    int result = parse(&a, argc, argv);
    if (result != 0) return result;
    wmk_model *model = NULL;
    wmk_targets all = {0}, targets = {0};
    wmk_tensor_view *views = NULL;
    bool good = true;
    if (wmk_model_open(&model, a.model) != WMK_OK || wmk_targets_of_model(&all, model) != WMK_OK ||
        wmk_targets_select(&targets, &all, a.tensor) != WMK_OK) {
        result = fail(a.model);
        goto done;
    }
    views = calloc(targets.count, sizeof *views);
    if (views == NULL) goto done;
    for (size_t t = 0; t < targets.count; t++) views[t] = wmk_model_find(model, targets.target[t].name)->view;
    printf("scheme,carrier,ones,evidence,p_is,level,keys,below,rate,expected,low_99,high_99,inside_99\n");
    for (int s = WMK_SCHEME_DIRECT; s <= WMK_SCHEME_PARTITION && result == 0; s++)
        for (int c = WMK_CARRIER_MEAN; c <= WMK_CARRIER_BALANCED && result == 0; c++)
            for (int ones = 0; ones <= (s >= WMK_SCHEME_RANDOM) && result == 0;
                 ones++) /* direct and diff with fixed bits: p is empirical by itself */
                if ((a.scheme == 0 || a.scheme == s) && (a.carrier == 0 || a.carrier == c))
                    result = one_kind(&a, &targets, views, (wmk_scheme)s, (wmk_carrier)c, ones, &good);
done:
    free(views);
    wmk_targets_free(&targets);
    wmk_targets_free(&all);
    wmk_model_close(model);
    return result != 0 ? result : good ? 0 : 1;
}
