/* forger_key.c - from what the forger chose to a key, and what it reads from the victim. Large
 * arrays are static: the program has one thread, and wmk_secret_call covers 64 KiB of its stack. */
#include "forger.h"

#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mark/key.h"

enum { CREATED = 1600000000, NAME_CHARS = 32 };

void forger_seed(forger *f, uint8_t seed[WMK_SEED_BYTES])
{
    for (int i = 0; i < WMK_SEED_BYTES; i += 8) {
        uint64_t r = forger_random(&f->random);
        memcpy(seed + i, &r, 8);
    }
}

/* ---- plans ---- */

void forger_plan_begin(forger *f, forger_plan *plan, wmk_scheme scheme, uint32_t T)
{
    *plan = (forger_plan){.scheme = scheme, .T = T};
    forger_seed(f, plan->seed);
}

static void add(forger_plan *plan, forger_item item)
{
    if (plan->count == FORGER_ITEMS_MAX) forger_stop("a key of too many targets", NULL);
    plan->item[plan->count++] = item;
}

void forger_plan_add(forger *f, forger_plan *plan, size_t tensor, forger_form form)
{
    add(plan, (forger_item){tensor, f->victim.tensor[tensor].size, form});
}

void forger_plan_add_absent(forger_plan *plan, uint64_t columns)
{
    if (columns > 0) add(plan, (forger_item){FORGER_ABSENT, columns, FORGER_PLAIN});
}

/* ---- keys ---- */

/* Format 1: what is drawn follows from the seed alone. Written from the text of its specification:
 * subkey(n) = BLAKE2b, keyed by the seed; n = 1 for b, 16 + scheme for X. */
static void derive_from_seed(wmk_key *key)
{
    wmk_key_secret *secret = key->secret;
    crypto_kdf_derive_from_key(secret->bits, sizeof secret->bits, 1, "wmk-mark", secret->seed);
    crypto_kdf_derive_from_key(secret->x, sizeof secret->x, 16 + (uint64_t)key->scheme, "wmk-mark", secret->seed);
}

wmk_key *forger_key_of(const forger *f, const wmk_key_options *options)
{
    wmk_key *key;
    forger_must(wmk_key_create(&key, options));
    if (f->format == FORGER_FORMAT_1) derive_from_seed(key);
    return key;
}

static void set_layout(wmk_target *target, const char *layout)
{
    target->rank = (uint32_t)strlen(layout);
    memcpy(target->layout, layout, target->rank);
}

/* name: room for that of a target that the victim lacks. */
static wmk_target target_of(const forger *f, const forger_item *item, size_t index, char name[NAME_CHARS])
{
    wmk_target target = {0};
    if (item->tensor == FORGER_ABSENT) {
        snprintf(name, NAME_CHARS, "absent.%zu", index);
        target.name = name;
        set_layout(&target, "O");
        target.shape[0] = item->size;
        return target;
    }
    const forger_tensor *t = &f->victim.tensor[item->tensor];
    bool plain = item->form == FORGER_PLAIN;
    target.name = t->in_file->view.name;
    if (t->in_file->view.rank == 1 && plain) {
        set_layout(&target, "O");
        target.shape[0] = item->size;
    } else {
        set_layout(&target, plain || t->in_file->view.rank == 1 ? "OI" : "IO");
        target.shape[0] = t->rows;
        target.shape[1] = t->columns;
    }
    return target;
}

wmk_key *forger_key(const forger *f, const forger_plan *plan)
{
    static wmk_target target[FORGER_ITEMS_MAX];
    static char name[FORGER_ITEMS_MAX][NAME_CHARS];
    for (size_t i = 0; i < plan->count; i++) target[i] = target_of(f, &plan->item[i], i, name[i]);
    wmk_key_options options = WMK_KEY_OPTIONS_INIT;
    options.scheme = plan->scheme;
    options.carrier = WMK_CARRIER_WEIGHTS;
    options.bits = plan->T;
    options.seed = plan->seed;
    options.created = CREATED;
    options.original = plan->original;
    options.targets = target;
    options.target_count = plan->count;
    return forger_key_of(f, &options);
}

wmk_key *forger_format_1_columns(const forger_plan *plan)
{
    const forger any = {.format = FORGER_FORMAT_1};
    forger_plan wide = *plan;
    wide.original = NULL;
    wide.count = 0;
    forger_plan_add_absent(&wide, (uint64_t)1 << 40);
    return forger_key(&any, &wide);
}

/* ---- reading ---- */

void forger_views(const forger *f, const forger_plan *plan, const wmk_key *key, wmk_tensor_view *views)
{
    for (size_t i = 0; i < plan->count; i++) {
        const wmk_target *target = wmk_key_target(key, i);
        views[i] = (wmk_tensor_view){.name = target->name, .dtype = WMK_F32, .rank = target->rank};
        memcpy(views[i].layout, target->layout, sizeof views[i].layout);
        memcpy(views[i].shape, target->shape, sizeof views[i].shape);
        if (plan->item[i].tensor != FORGER_ABSENT) views[i].data = f->victim.tensor[plan->item[i].tensor].in_file->view.data;
    }
}

double forger_bits_of_z(double z)
{
    double bits = -(wmk_log10_normal_tail(z) + log10(2)) / log10(2);
    return bits > 0 ? bits : 0;
}

void forger_dot_add(forger_sum *sum, const wmk_key *key, uint64_t column, const float *w, size_t count)
{
    enum { RUN = 4096 };
    static float e[RUN];
    for (size_t at = 0; at < count; at += RUN) {
        size_t n = count - at < RUN ? count - at : RUN;
        forger_gains(key, column + at, n, e);
        sum->dot += forger_dot(e, w + at, n);
        sum->squares += forger_dot(w + at, w + at, n);
    }
}

/* Scheme random, one bit: z by the formula, without all that reading a model takes. */
static double quick_bits(forger *f, const forger_plan *plan, const wmk_key *key)
{
    forger_sum sum = {0};
    uint64_t column = 0;
    for (size_t i = 0; i < plan->count; column += plan->item[i++].size) {
        const forger_item *item = &plan->item[i];
        if (item->tensor != FORGER_ABSENT)
            forger_dot_add(&sum, key, column, forger_columns(&f->victim, item->tensor, item->form), f->victim.tensor[item->tensor].size);
    }
    return forger_bits_of_z(sum.dot / sqrt(sum.squares));
}

/* Through the victim's file. */
static wmk_evidence read_file(const forger *f, const wmk_key *key)
{
    wmk_verify_options options = WMK_VERIFY_OPTIONS_INIT;
    wmk_verification found;
    forger_must(wmk_model_verify(&found, f->victim.model, key, &options));
    wmk_evidence evidence = found.evidence;
    wmk_verification_free(&found);
    return evidence;
}

static bool has_other_sizes(const forger *f, const forger_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        const forger_item *item = &plan->item[i];
        if (item->tensor != FORGER_ABSENT && item->size != f->victim.tensor[item->tensor].size) return true;
    }
    return false;
}

static wmk_evidence read_victim(const forger *f, const forger_plan *plan, const wmk_key *key)
{
    static wmk_tensor_view views[FORGER_ITEMS_MAX];
    wmk_evidence evidence;
    if (has_other_sizes(f, plan)) return read_file(f, key);
    forger_views(f, plan, key, views);
    forger_must(wmk_mark_verify(&evidence, NULL, key, views, 1, WMK_THRESHOLD_BITS_DEFAULT, 1));
    return evidence;
}

double forger_judge(forger *f, const forger_plan *plan)
{
    wmk_key *key = forger_key(f, plan);
    bool quick = plan->scheme == WMK_SCHEME_RANDOM && plan->T == 1;
    double bits = quick ? quick_bits(f, plan, key) : 0;
    if (quick && f->tries > 0 && bits <= f->best.evidence_bits) {
        wmk_key_free(key);
        f->tries++;
        return bits;
    }
    wmk_evidence evidence = read_victim(f, plan, key);
    wmk_key_free(key);
    if (quick && fabs(evidence.evidence_bits - bits) > 1e-4 * (1 + bits))
        forger_fail(f, "the library reads %.6f bits where the formula gives %.6f", evidence.evidence_bits, bits);
    forger_take(f, &evidence, plan);
    return evidence.evidence_bits;
}

void forger_confirm(forger *f)
{
    if (!f->has_plan) return;
    wmk_key *key = forger_key(f, &f->best_plan);
    double bits = read_file(f, key).evidence_bits;
    wmk_key_free(key);
    if (fabs(bits - f->best.evidence_bits) > 1e-6 * (1 + bits))
        forger_fail(f, "the victim's file gives %.6f bits, its tensors gave %.6f", bits, f->best.evidence_bits);
}

/* ---- what a column is worth ---- */

void forger_gains(const wmk_key *key, uint64_t column, size_t count, float *e)
{
    enum { RUN = 4096 };
    static uint8_t b[WMK_BITS_MAX];
    static uint16_t row[RUN];
    static int8_t sign[RUN];
    wmk_key_bits(key, b);
    if (wmk_key_scheme(key) == WMK_SCHEME_RANDOM) {
        forger_must(wmk_key_x(key, 0, column, count, e));
        for (size_t i = 0; i < count && !b[0]; i++) e[i] = -e[i];
        return;
    }
    for (size_t at = 0; at < count; at += RUN) {
        size_t n = count - at < RUN ? count - at : RUN;
        forger_must(wmk_key_partition(key, column + at, n, row, sign));
        for (size_t i = 0; i < n; i++) e[at + i] = b[row[i]] ? sign[i] : -(float)sign[i];
    }
}
