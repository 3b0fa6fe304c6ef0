/* forger.c - plays every lever against format 1 and against the library, and prints what each gives.
 *
 *   forger [--model FILE] [--lever NAME]... [--minutes N] [--csv FILE] [--markdown FILE]
 *
 * Without --minutes a fixed number of tries is made per lever, so that a run can be repeated. With
 * it each lever searches for N minutes against the library; rows are appended to --csv as they are
 * done, and what stands there already is left out. Exit status 1: a lever gives too much against the
 * library, or too little against format 1, so that it is no attack. */
#include "forger.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <omp.h>

#define LIMIT_BITS 3.0 /* that a random search of tries may exceed log2(tries) by */
#define PATIENCE 4     /* times the search is made longer while it is over the limit */

/* tries against format 1, tries in the short run, least bits against format 1 */
const forger_lever forger_levers[] = {
    {"padding", forger_play_padding, 4, 3000, 300, false,
     "sizes of missing targets before each vector"},
    {"padding-matrices", forger_play_padding_matrices, 3, 40, 150, false,
     "the same before each square matrix"},
    {"order", forger_play_order, 4, 4000, 100, false,
     "order of the vectors, optimal by assignment"},
    {"order-matrices", forger_play_order_matrices, 3, 40, 40, false,
     "order of the square matrices, optimal by assignment"},
    {"greedy", forger_play_greedy, 3, 40, 60, false,
     "matrices in greedy order, vectors between them as padding"},
    {"swaps", forger_play_swaps, 10000, 6000, 60, false, "order of the vectors, by swaps of two"},
    {"layouts", forger_play_layouts, 4, 4000, 0, false, "letters of the axes of each tensor"},
    {"bits", forger_play_bits, 1000, 1000, 0, false, "T and the scheme"},
    {"seed", forger_play_seed, 1 << 16, 1 << 20, 0, false, "the seed"},
    {"created", forger_play_created, 1 << 16, 1 << 20, 0, false, "the time of creation"},
    {"original", forger_play_original, 1 << 16, 1 << 20, 0, false, "the 32 bytes of `original`"},
    {"names", forger_play_names, 1 << 16, 1 << 20, 0, false, "the name of a missing target"},
    {"axes", forger_play_axes, 1 << 16, 1 << 19, 0, false, "axes of size 1"},
    {"map", forger_play_map, 1, 2, 8, false, "an honest key, tensors of one shape exchanged by a map"},
    {"any-tensor", forger_play_any_tensor, 2, 6, 5, false,
     "an honest key of 1000 targets, any tensor"},
    {"pairs", forger_play_pairs, 4, 16, 0, false, "16 models by 16 honest keys, `tries` 256"},
    {"aligned-by-original", forger_play_aligned_by_original, 1, 300, 0, false,
     "an honest key; units aligned to the original in its id by weights alone"},
    {"aligned-by-key", forger_play_aligned_by_key, 1, 1, 1000, true,
     "an honest key; units of the file ordered by the key"},
};
const size_t forger_lever_count = sizeof forger_levers / sizeof forger_levers[0];

/* ---- one lever ---- */

double forger_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void forger_must(wmk_status status)
{
    if (status == WMK_OK) return;
    fprintf(stderr, "forger: %s\n", wmk_error_message());
    exit(2);
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

double forger_excess(const forger *f)
{
    return f->best.evidence_bits - log2((double)(f->tries > 0 ? f->tries : 1));
}

/* A search that is over the limit goes on for some time: luck then stays behind log2(tries), and
 * what is more than luck does not. */
bool forger_goes_on(const forger *f)
{
    if (f->format == FORGER_FORMAT_1) return f->tries < f->lever->tries_format_1;
    unsigned stretch = forger_excess(f) > LIMIT_BITS ? PATIENCE : 1;
    if (f->minutes > 0) return forger_now() - f->started < 60 * f->minutes * stretch;
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

static void judge_lever(forger *f)
{
    double unpaid = unpaid_bits(&f->best);
    if (f->format == FORGER_FORMAT_1 && unpaid < f->lever->least)
        forger_fail(f, "%.1f bits, it is known to give %.0f: the attack is not what it was", unpaid,
                    f->lever->least);
    if (f->format == FORGER_LIBRARY && f->lever->open && unpaid < f->lever->least)
        forger_fail(f, "%.1f bits: is a file that is ordered by the key seen now?", unpaid);
    if (f->format == FORGER_LIBRARY && !f->lever->open && forger_excess(f) > LIMIT_BITS)
        forger_fail(f, "%.1f bits beyond log2(tries), at most %.0f may be luck", forger_excess(f),
                    LIMIT_BITS);
}

static void play_lever(forger *f, const forger_lever *lever)
{
    f->lever = lever;
    f->random = (uint64_t)(lever - forger_levers) * 1000;
    f->tries = 0;
    f->best = (wmk_evidence){0};
    f->has_plan = false;
    f->started = forger_now();
    lever->play(f);
    forger_confirm(f);
}

/* ---- rows ---- */

static void print_row(const forger *f, double seconds)
{
    printf("%-20s %d %8.1f %10llu %9.0f %7.1f %9.1f %9.1f %8.1f%s\n", f->lever->name,
           (int)f->format, seconds, (unsigned long long)f->tries, (double)f->tries / seconds,
           log2((double)f->tries), unpaid_bits(&f->best), f->best.evidence_bits, forger_excess(f),
           f->lever->open ? "  see below" : "");
    fflush(stdout);
}

static FILE *open_file(const char *path, const char *mode)
{
    FILE *file = fopen(path, mode);
    if (file == NULL) {
        fprintf(stderr, "forger: %s: %s\n", path, strerror(errno));
        exit(2);
    }
    return file;
}

static void append_row(const char *path, const forger *f, double seconds)
{
    FILE *file = open_file(path, "a");
    if (ftell(file) == 0)
        fprintf(file, "lever,format,seconds,tries,log2_tries,best_bits,excess\n");
    fprintf(file, "%s,%d,%.1f,%llu,%.2f,%.2f,%.2f\n", f->lever->name, (int)f->format, seconds,
            (unsigned long long)f->tries, log2((double)f->tries), f->best.evidence_bits,
            forger_excess(f));
    if (fclose(file) != 0) exit(2);
}

typedef struct row {
    double seconds, tries, log2_tries, bits, excess;
} row;

/* The row of a lever and a format in the file, if it has one. */
static bool find_row(row *out, const char *path, const char *lever, forger_format format)
{
    FILE *file = path != NULL ? fopen(path, "r") : NULL;
    char line[256], name[64];
    bool found = false;
    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL) {
        int number;
        found = sscanf(line, "%63[^,],%d,%lf,%lf,%lf,%lf,%lf", name, &number, &out->seconds,
                       &out->tries, &out->log2_tries, &out->bits, &out->excess) == 7 &&
                strcmp(name, lever) == 0 && number == (int)format;
    }
    if (file != NULL) fclose(file);
    return found;
}

static void write_markdown(const char *path, const char *csv)
{
    FILE *file = open_file(path, "w");
    fprintf(file, "| lever | what is chosen | format 1: bits (tries) | the library: tries | "
                  "log2(tries) | best bits | excess |\n|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < forger_lever_count; i++) {
        const forger_lever *lever = &forger_levers[i];
        row one, two;
        if (!find_row(&one, csv, lever->name, FORGER_FORMAT_1)) continue;
        if (!find_row(&two, csv, lever->name, FORGER_LIBRARY)) continue;
        fprintf(file, "| %s | %s | %.0f (%.0f) | %.0f | %.1f | %.1f | %.1f%s |\n", lever->name,
                lever->what, one.bits, one.tries, two.tries, two.log2_tries, two.bits, two.excess,
                lever->open ? " (*)" : "");
    }
    fprintf(file, "\n(*) The library cannot see that a file was put into an order that suits a key. "
                  "What protects is that the verifier aligns, by weights alone and to the original "
                  "that the key's id binds, and never the claimant (aligned-by-original).\n");
    if (fclose(file) != 0) exit(2);
}

/* ---- the run ---- */

typedef struct settings {
    const char *model, *csv, *markdown, *lever[32];
    size_t levers;
} settings;

static bool is_chosen(const settings *s, const char *lever)
{
    for (size_t i = 0; i < s->levers; i++)
        if (strcmp(s->lever[i], lever) == 0) return true;
    return s->levers == 0;
}

static void play_all(forger *f, const settings *s)
{
    printf("%-20s %s %8s %10s %9s %7s %9s %9s %8s\n", "lever", "f", "seconds", "tries", "tries/s",
           "log2", "unpaid", "bits", "excess");
    for (size_t i = 0; i < forger_lever_count; i++) {
        for (int format = FORGER_FORMAT_1; format <= FORGER_LIBRARY; format++) {
            row done;
            f->format = (forger_format)format;
            if (!is_chosen(s, forger_levers[i].name)) continue;
            if (find_row(&done, s->csv, forger_levers[i].name, f->format)) continue;
            play_lever(f, &forger_levers[i]);
            double seconds = fmax(1e-3, forger_now() - f->started);
            print_row(f, seconds);
            judge_lever(f);
            if (s->csv != NULL) append_row(s->csv, f, seconds);
        }
    }
    printf("f: 1, X and b from the seed alone (re-implemented), 2, the library. unpaid: bits before "
           "the library's own `tries`.\n"
           "aligned-by-key: the library cannot see that a file was put into an order that suits a "
           "key. What protects\nis that the verifier aligns, by weights alone and to the original "
           "that the key's id binds, and never the\nclaimant: aligned-by-original. No aligner "
           "exists yet: until then a file that was re-ordered proves nothing.\n");
}

static void usage(void)
{
    fprintf(stderr, "usage: forger [--model FILE] [--lever NAME]... [--minutes N] [--csv FILE] "
                    "[--markdown FILE]\n");
    exit(2);
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
        else if (strcmp(argv[i], "--lever") == 0 && s->levers < sizeof s->lever / sizeof *s->lever)
            s->lever[s->levers++] = value;
        else
            usage();
    }
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
    if (s.markdown != NULL && s.csv != NULL) write_markdown(s.markdown, s.csv);
    forger_victim_close(&f.victim);
    printf("%u failed\n", f.failures);
    return f.failures > 0;
}
