/* forger.c - plays every lever against format 1 and against the library, and prints what it gives.
 *
 *   forger [--model FILE] [--lever NAME]... [--minutes N] [--csv FILE] [--markdown FILE]
 *
 * Without --minutes a fixed number of tries is made per lever, so that a run can be repeated. With
 * it each lever searches for N minutes against the library. --csv: rows are appended as they are
 * done, and a lever whose row is there is not played again. --markdown: the table of the rows in
 * --csv. Exit status 1: a lever gives too much against the library, or too little against format 1,
 * so that it is no attack; 2: usage, or a failure. */
#include "forger.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <omp.h>

#include "base/secret.h"

#define LIMIT_BITS 3.0 /* that a random search of tries may exceed log2(tries) by */
#define PATIENCE 4     /* times the search is made longer while it is over the limit */

/* tries against format 1, tries in the short run, least bits against format 1 */
const forger_lever forger_levers[] = {
    {"padding", forger_play_padding, 4, 3000, 300, false, "sizes of missing targets before each vector"},
    {"padding-matrices", forger_play_padding_matrices, 3, 20, 150, false, "the same before each square matrix"},
    {"sizes", forger_play_sizes, 4, 3000, 300, false, "the vectors' sizes in the key, larger than in the file"},
    {"order", forger_play_order, 4, 4000, 100, false, "order of the vectors, optimal by assignment"},
    {"order-matrices", forger_play_order_matrices, 3, 20, 40, false, "order of the square matrices, optimal by assignment"},
    {"greedy", forger_play_greedy, 3, 20, 60, false, "matrices in greedy order, vectors between them as padding"},
    {"swaps", forger_play_swaps, 10000, 6000, 60, false, "order of the vectors, by swaps of two"},
    {"layouts", forger_play_layouts, 4, 4000, 0, false, "letters of the axes of each tensor"},
    {"bits", forger_play_bits, 1000, 1000, 0, false, "T and the scheme"},
    {"seed", forger_play_seed, 1 << 16, 1 << 20, 0, false, "the seed"},
    {"created", forger_play_created, 1 << 16, 1 << 20, 0, false, "the time of creation"},
    {"original", forger_play_original, 1 << 16, 1 << 20, 0, false, "the 32 bytes of `original`"},
    {"names", forger_play_names, 1 << 16, 1 << 20, 0, false, "the name of a missing target"},
    {"axes", forger_play_axes, 1 << 16, 1 << 19, 0, false, "axes of size 1"},
    {"map", forger_play_map, 1, 2, 8, false, "an honest key, tensors of one shape exchanged by a map"},
    {"any-tensor", forger_play_any_tensor, 2, 6, 5, false, "an honest key of 1000 targets, any tensor"},
    {"pairs", forger_play_pairs, 2, 8, 0, false, "the best of 16 models by 16 honest keys"},
    {"aligned-by-original", forger_play_aligned_by_original, 1, 100, 0, false,
     "an honest key; units aligned to the original in its id by weights alone"},
    {"aligned-by-key", forger_play_aligned_by_key, 1, 1, 1000, true, "an honest key; units of the file ordered by the key"},
};
const size_t forger_lever_count = sizeof forger_levers / sizeof forger_levers[0];

/* ---- one lever ---- */

double forger_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void forger_stop(const char *what, const char *which)
{
    fprintf(stderr, "forger: %s%s%s\n", what, which != NULL ? " " : "", which != NULL ? which : "");
    exit(2);
}

void forger_must(wmk_status status)
{
    if (status != WMK_OK) forger_stop(wmk_error_message(), NULL);
}

void forger_fail(forger *f, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("FAILED %s, format %d: ", f->lever ? f->lever->name : "-", (int)f->format);
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
    f->failures++;
}

double forger_excess(const forger *f) { return f->best.evidence_bits - log2((double)(f->tries > 0 ? f->tries : 1)); }

/* A search that is over the limit goes on for some time: luck then stays behind log2(tries), and
 * what is more than luck does not. */
bool forger_goes_on(forger *f)
{
    if (f->format == FORGER_FORMAT_1) return f->tries < f->lever->tries_format_1;
    unsigned stretch = forger_excess(f) > LIMIT_BITS ? PATIENCE : 1;
    if (f->search_started == 0) f->search_started = forger_now();
    if (f->minutes > 0) return forger_now() - f->search_started < 60 * f->minutes * stretch;
    return f->tries < f->lever->tries_short * stretch;
}

void forger_take(forger *f, const wmk_evidence *evidence, const forger_plan *plan)
{
    bool first = f->tries++ == 0;
    if (!first && evidence->evidence_bits <= f->best.evidence_bits) return;
    f->best = *evidence;
    f->has_plan = plan != NULL;
    if (plan != NULL) f->best_plan = *plan;
}

/* Of one evidence: bits before `tries` were paid. */
static double unpaid_bits(const wmk_evidence *e)
{
    double least = fmin(e->log10_p_soft, e->log10_p_hard);
    return fmax(0, -(least + log10(2)) / log10(2));
}

/* What one lever gave against one format. */
typedef struct row {
    double seconds, tries, log2_tries, bits, excess, unpaid;
} row;

static row row_of(const forger *f)
{
    double tries = (double)f->tries;
    return (row){.seconds = fmax(0.01, forger_now() - f->started),
                 .tries = tries,
                 .log2_tries = log2(tries),
                 .bits = f->best.evidence_bits,
                 .excess = forger_excess(f),
                 .unpaid = unpaid_bits(&f->best)};
}

static void judge_row(forger *f, const row *r)
{
    bool library = f->format == FORGER_LIBRARY, open = f->lever->open;
    if (!library && r->unpaid < f->lever->least)
        forger_fail(f, "%.1f bits, it is known to give %.0f: the attack is not what it was", r->unpaid, f->lever->least);
    if (library && open && r->unpaid < f->lever->least) forger_fail(f, "%.1f bits: is a file that is ordered by the key seen now?", r->unpaid);
    if (library && !open && r->excess > LIMIT_BITS) forger_fail(f, "%.1f bits beyond log2(tries), at most %.0f may be luck", r->excess, LIMIT_BITS);
}

/* Of its name (FNV-1a), so that a lever's tries do not depend on which others there are. */
static uint64_t first_random(const char *name)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *name; name++) hash = (hash ^ (uint8_t)*name) * 0x100000001b3u;
    return hash;
}

static void play_hidden(void *f) { ((forger *)f)->lever->play(f); }

/* The whole lever in one wmk_secret_call: those of the library cost little within it. */
static row play_lever(forger *f)
{
    const forger_lever *lever = f->lever;
    f->random = first_random(lever->name);
    f->tries = 0;
    f->best = (wmk_evidence){0};
    f->has_plan = false;
    f->started = forger_now();
    f->search_started = 0;
    wmk_secret_call(play_hidden, f);
    forger_confirm(f);
    return row_of(f);
}

/* ---- rows ---- */

static void print_row(const forger *f, const row *r)
{
    printf("%-20s %d %8.1f %10.0f %9.0f %7.1f %9.1f %9.1f %8.1f%s\n", f->lever->name, (int)f->format, r->seconds, r->tries, r->tries / r->seconds,
           r->log2_tries, r->unpaid, r->bits, r->excess, f->lever->open ? "  see below" : "");
    fflush(stdout);
}

static FILE *open_file(const char *path, const char *mode)
{
    FILE *file = fopen(path, mode);
    if (file == NULL) forger_stop("cannot open", path);
    return file;
}

static void append_row(const char *path, const forger *f, const row *r)
{
    FILE *file = open_file(path, "a");
    if (ftell(file) == 0) fprintf(file, "lever,format,seconds,tries,log2_tries,best_bits,excess,unpaid_bits\n");
    fprintf(file, "%s,%d,%.2f,%.0f,%.2f,%.2f,%.2f,%.2f\n", f->lever->name, (int)f->format, r->seconds, r->tries, r->log2_tries, r->bits, r->excess,
            r->unpaid);
    if (fclose(file) != 0) forger_stop("cannot write to", path);
}

/* The row of a lever and a format in the file, if it has one. */
static bool find_row(row *out, const char *path, const char *lever, forger_format format)
{
    FILE *file = path != NULL ? fopen(path, "r") : NULL;
    char line[256], name[64];
    bool found = false;
    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
        int number;
        found = sscanf(line, "%63[^,],%d,%lf,%lf,%lf,%lf,%lf,%lf", name, &number, &out->seconds, &out->tries, &out->log2_tries, &out->bits,
                       &out->excess, &out->unpaid) == 8 &&
                strcmp(name, lever) == 0 && number == (int)format;
    }
    if (file != NULL) fclose(file);
    return found;
}

static const char markdown_head[] = "# A forger's table\n\n"
                                    "Made by `tests/mark/forger.c` from `forger.csv`: a forger with the source looks for a key "
                                    "that "
                                    "reads a mark in a\nmodel which nobody marked. Against format 1, where X and b followed from "
                                    "the "
                                    "seed alone, each lever shows\nwhat it can do. Against the library every choice draws all of X "
                                    "and b anew, so that evidence is about\nlog2(tries). Where p is exact, luck alone gives 3 bits "
                                    "more in one of 16 searches; a search that is over 3 bits goes\non for up to four times as "
                                    "long. Bits before payment do not count what `tries` in the verdict takes away.\n\n"
                                    "| lever | what is chosen | format 1: bits before payment | tries | the library: seconds | "
                                    "tries "
                                    "| log2(tries) | bits before payment | bits | excess |\n"
                                    "|---|---|---|---|---|---|---|---|---|---|\n";

static const char markdown_foot[] = "\n(*) The library cannot see that a file was put into an "
                                    "order that suits a key. What protects "
                                    "is that the verifier\naligns, by weights alone and to the "
                                    "original that the key's id binds, and "
                                    "never the claimant: aligned-by-original.\n";

static void write_markdown(const char *path, const char *csv)
{
    FILE *file = open_file(path, "w");
    fputs(markdown_head, file);
    for (size_t i = 0; i < forger_lever_count; i++) {
        const forger_lever *lever = &forger_levers[i];
        row one, two;
        if (!find_row(&one, csv, lever->name, FORGER_FORMAT_1)) continue;
        if (!find_row(&two, csv, lever->name, FORGER_LIBRARY)) continue;
        fprintf(file, "| %s | %s | %.1f | %.0f | %.0f | %.0f | %.1f | %.1f | %.1f | %.1f%s |\n", lever->name, lever->what, one.unpaid, one.tries,
                two.seconds, two.tries, two.log2_tries, two.unpaid, two.bits, two.excess, lever->open ? " (*)" : "");
    }
    fputs(markdown_foot, file);
    if (fclose(file) != 0) forger_stop("cannot write to", path);
}

/* ---- the run ---- */

enum { LEVERS_MAX = 32 };

typedef struct settings {
    const char *model, *csv, *markdown, *lever[LEVERS_MAX];
    size_t levers;
} settings;

static bool is_chosen(const settings *s, const char *lever)
{
    for (size_t i = 0; i < s->levers; i++)
        if (strcmp(s->lever[i], lever) == 0) return true;
    return s->levers == 0;
}

/* The lever and the format at hand: played, or found in the file. */
static void play_row(forger *f, const char *csv)
{
    row r;
    bool done = find_row(&r, csv, f->lever->name, f->format);
    if (!done) r = play_lever(f);
    print_row(f, &r);
    judge_row(f, &r);
    if (!done && csv != NULL) append_row(csv, f, &r);
}

static void play_all(forger *f, const settings *s)
{
    printf("%-20s %s %8s %10s %9s %7s %9s %9s %8s\n", "lever", "f", "seconds", "tries", "tries/s", "log2", "unpaid", "bits", "excess");
    for (size_t i = 0; i < forger_lever_count; i++) {
        f->lever = &forger_levers[i];
        if (!is_chosen(s, f->lever->name)) continue;
        f->format = FORGER_FORMAT_1;
        play_row(f, s->csv);
        f->format = FORGER_LIBRARY;
        play_row(f, s->csv);
    }
    puts("f: 1, X and b from the seed alone (re-implemented); 2, the library.\n"
         "unpaid: bits before the library's own `tries`.\n"
         "aligned-by-key: the library cannot see that a file was put into an order that suits a\n"
         "key. What protects is that the verifier aligns, by weights alone and to the original\n"
         "that the key's id binds, and never the claimant: aligned-by-original. No aligner exists\n"
         "yet: until then a file that was re-ordered proves nothing.");
}

static void usage(void)
{
    fprintf(stderr, "usage: forger [--model FILE] [--lever NAME]... [--minutes N] [--csv FILE "
                    "[--markdown FILE]]\nlevers:\n");
    for (size_t i = 0; i < forger_lever_count; i++) fprintf(stderr, "  %-20s %s\n", forger_levers[i].name, forger_levers[i].what);
    exit(2);
}

static bool is_lever(const char *name)
{
    bool found = false;
    for (size_t i = 0; i < forger_lever_count; i++) found |= strcmp(forger_levers[i].name, name) == 0;
    return found;
}

static void parse(settings *s, forger *f, int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        const char *value = argv[i + 1];
        if (i + 1 == argc) usage();
        if (strcmp(argv[i], "--model") == 0)
            s->model = value;
        else if (strcmp(argv[i], "--csv") == 0)
            s->csv = value;
        else if (strcmp(argv[i], "--markdown") == 0)
            s->markdown = value;
        else if (strcmp(argv[i], "--minutes") == 0 && atof(value) > 0)
            f->minutes = atof(value);
        else if (strcmp(argv[i], "--lever") == 0 && is_lever(value) && s->levers < LEVERS_MAX)
            s->lever[s->levers++] = value;
        else
            usage();
    }
    if (s->markdown != NULL && s->csv == NULL) usage();
}

int main(int argc, char **argv)
{
    static forger f;
    settings s = {0};
    parse(&s, &f, argc, argv);
    omp_set_num_threads(1); /* tries are small: threads would only wait for each other */
    forger_math_check(&f);
    forger_victim_open(&f.victim, s.model);
    play_all(&f, &s);
    if (s.markdown != NULL) write_markdown(s.markdown, s.csv);
    forger_victim_close(&f.victim);
    printf("%u failed\n", f.failures);
    return f.failures > 0;
}
