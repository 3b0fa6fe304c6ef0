/* forger.h - a forger, as a test: somebody with the source who looks for a key that reads a mark in
 * a model which nobody marked. Each lever is one thing that he may choose.
 *
 * Every lever is played twice. Against "format 1", where X and b follow from the seed alone: there
 * gains add up, and the attack must reach its known strength, or else it is no attack. And against
 * the library, where X and b follow from the key's id: there every choice must be a random search,
 * whose best evidence is about log2 of the number of tries. */
#ifndef WMK_TESTS_FORGER_H
#define WMK_TESTS_FORGER_H

#include <weightmark/mark_file.h>

/* How X and b follow from a key. */
typedef enum forger_format {
    FORGER_FORMAT_1 = 1, /* from the seed alone; re-implemented in forger_key.c */
    FORGER_LIBRARY = 2   /* as the library has it */
} forger_format;

/* The two ways in which a key can name the axes of one tensor. */
typedef enum forger_form {
    FORGER_PLAIN = 0, /* [n] "O", [a, b] "OI" */
    FORGER_OTHER = 1  /* [1, n] "OI", [a, b] "IO" */
} forger_form;

/* A tensor of the victim: of one or two axes, f32. */
typedef struct forger_tensor {
    const wmk_model_tensor *in_file;
    uint64_t rows, columns; /* of one axis: 1 and its length */
    size_t size;
    float *w[2]; /* by form: the columns of carrier `weights`; NULL until they are asked for */
} forger_tensor;

typedef struct forger_victim {
    wmk_model *model;
    forger_tensor *tensor;
    size_t count;
} forger_victim;

#define FORGER_ITEMS_MAX 160
#define FORGER_ABSENT SIZE_MAX

/* One target: a tensor of the victim, or one that the victim lacks and that only takes columns. */
typedef struct forger_item {
    size_t tensor; /* FORGER_ABSENT: none */
    uint64_t size; /* columns; of one axis it may be more than the tensor has */
    forger_form form;
} forger_item;

/* All that is chosen about one key of carrier `weights`. */
typedef struct forger_plan {
    wmk_scheme scheme;
    uint32_t T;
    uint8_t seed[WMK_SEED_BYTES];
    const uint8_t *original; /* NULL: none */
    size_t count;
    forger_item item[FORGER_ITEMS_MAX];
} forger_plan;

typedef struct forger forger;

typedef struct forger_lever {
    const char *name;
    void (*play)(forger *f);
    uint64_t tries_format_1; /* against format 1: tries, those that are computed included */
    uint64_t tries_short;    /* against the library in the short run */
    double least;            /* bits that it must give against format 1, before they are paid for */
    bool open;               /* the library cannot see this choice */
    const char *what;
} forger_lever;

/* The state of a run, and what the lever at hand has given so far. */
struct forger {
    forger_victim victim;
    forger_format format;
    double minutes; /* of search per lever; 0: the short run, which counts tries */
    unsigned failures;

    const forger_lever *lever;
    uint64_t random;       /* state of forger_random */
    double started;        /* forger_now */
    double search_started; /* the same at the first forger_goes_on; 0: not yet */
    uint64_t tries;        /* what was judged and is not paid for in its evidence */
    wmk_evidence best;
    bool has_plan; /* best_plan is the key of `best` */
    forger_plan best_plan;
};

/* ---- forger.c ---- */

extern const forger_lever forger_levers[];
extern const size_t forger_lever_count;
double forger_now(void);               /* seconds on a clock that only goes forward */
double forger_excess(const forger *f); /* evidence bits beyond log2(tries) */
bool forger_goes_on(forger *f);        /* whether the lever at hand may try again */
/* Takes the evidence of one more try. plan: NULL, or the key's. */
void forger_take(forger *f, const wmk_evidence *evidence, const forger_plan *plan);
void forger_must(wmk_status status); /* ends the program with the message of a failure */
void forger_stop(const char *what, const char *which) __attribute__((noreturn));
void forger_fail(forger *f, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- forger_victim.c ---- */

/* path NULL: a file of random weights in the shapes of a sentence encoder (MiniLM's, without the
 * words' embedding) is made in the working folder, opened, and removed. */
void forger_victim_open(forger_victim *out, const char *path);
void forger_victim_close(forger_victim *victim);
/* The columns of a tensor, [size]; borrowed. */
const float *forger_columns(forger_victim *victim, size_t tensor, forger_form form);
/* The same of weights elsewhere: value [rows][columns]; rank 1 or 2. */
void forger_columns_of(float *w, const float *value, uint64_t rows, uint64_t columns, uint32_t rank, forger_form form);
/* found [FORGER_ITEMS_MAX] = the tensors of so many rows and columns, in file order; their count.
 * */
size_t forger_select(const forger_victim *victim, uint64_t rows, uint64_t columns, size_t *found);
void forger_read(const forger_victim *victim, size_t tensor, float *value); /* [size] */

/* ---- forger_key.c ---- */

void forger_seed(forger *f, uint8_t seed[WMK_SEED_BYTES]); /* the next seed of this lever */
void forger_plan_begin(forger *f, forger_plan *plan, wmk_scheme scheme, uint32_t T);
void forger_plan_add(forger *f, forger_plan *plan, size_t tensor, forger_form form);
void forger_plan_add_absent(forger_plan *plan, uint64_t columns);
wmk_key *forger_key(const forger *f, const forger_plan *plan);
wmk_key *forger_key_of(const forger *f, const wmk_key_options *options);
/* views [plan->count] of the victim's tensors, those that are absent without data. */
void forger_views(const forger *f, const forger_plan *plan, const wmk_key *key, wmk_tensor_view *views);
/* Reads the plan's key from the victim, takes what it gives, and returns the evidence bits. What
 * one bit of scheme random gives is computed by the formula, and read by the library where it is
 * the best so far. */
double forger_judge(forger *f, const forger_plan *plan);
/* The evidence of the best plan once more, through the victim's file. */
void forger_confirm(forger *f);

/* Of a key of scheme random and one bit: z is dot / sqrt(squares), summed over runs of columns. */
typedef struct forger_sum {
    double dot, squares;
} forger_sum;
void forger_dot_add(forger_sum *sum, const wmk_key *key, uint64_t column, const float *w, size_t count);
double forger_bits_of_z(double z); /* -log2 of 2 Q(z), at least 0 */

/* e [count]: what a column adds to z sqrt(M) per unit of w. Scheme partition, or random with T = 1.
 */
void forger_gains(const wmk_key *key, uint64_t column, size_t count, float *e);
/* A key whose columns are those that format 1 gives any key of this scheme, T and seed. */
wmk_key *forger_format_1_columns(const forger_plan *plan);

/* ---- forger_math.c ---- */

uint64_t forger_random(uint64_t *state); /* splitmix64 */
double forger_normal(uint64_t *state);
double forger_dot(const float *a, const float *b, size_t count);
/* out[lag] = sum over i of e[lag + i] w[i], lag in [0, lags); e [lags + count]. */
void forger_correlate(double *out, size_t lags, const float *e, const float *w, size_t count);
/* to [n]: each row's column, all different, with the greatest sum of gain [n][n]. */
void forger_assign(size_t *to, const float *gain, size_t n);
void forger_math_check(forger *f); /* the two above against plain loops */

/* ---- the levers: forger_order.c, forger_grind.c, forger_fixed.c ---- */

void forger_play_padding(forger *f);
void forger_play_padding_matrices(forger *f);
void forger_play_sizes(forger *f);
void forger_play_order(forger *f);
void forger_play_order_matrices(forger *f);
void forger_play_greedy(forger *f);
void forger_play_swaps(forger *f);
void forger_play_layouts(forger *f);
void forger_play_bits(forger *f);
void forger_play_seed(forger *f);
void forger_play_created(forger *f);
void forger_play_original(forger *f);
void forger_play_names(forger *f);
void forger_play_axes(forger *f);
void forger_play_map(forger *f);
void forger_play_any_tensor(forger *f);
void forger_play_pairs(forger *f);
void forger_play_aligned_by_original(forger *f);
void forger_play_aligned_by_key(forger *f);

#endif
