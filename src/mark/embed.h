/* mark/embed.h - the parts of embedding without training (docs/spec.md, "Embedding"). */
#ifndef WMK_MARK_EMBED_H
#define WMK_MARK_EMBED_H

#include "mark/carrier.h"
#include "mark/read.h"

#define WMK_EMBED_ROUNDS 12       /* how often targets are raised after reading back */
#define WMK_EMBED_FIRST 1.000001  /* the first target over the margin asked for: room for single precision */
#define WMK_EMBED_LEAST (1. / 16) /* the smallest length a support is shrunk to, of what it had */

/* The smallest change of one support: w'_i = scale * w_i + add * s_j X_ji. */
typedef struct wmk_cone {
    double scale, add;
} wmk_cone;
/* dot = s_j X_j . w, squares = ||w restricted||^2, count = columns of the support that can change; entries of X_j are +1 or -1.
 * Projects w onto the cone { w' : s_j X_j . w' >= margin ||w'|| }. False when it holds no vector to project on. */
bool wmk_cone_project(wmk_cone *out, double dot, double squares, double count, double margin);

/* What all ways of embedding share. */
typedef struct wmk_embedding {
    const wmk_key *key;
    const wmk_tensor_view *views;
    void *const *outputs;
    const wmk_embed_options *options;
    const wmk_traffic *traffic;  /* may be NULL */
    wmk_vector vector;           /* of views */
    wmk_reading *before, *after; /* after: when it is done */
    double *sign;                /* [T] s_j */
    double *margin;              /* [T] present targets */
    wmk_cone *cone;              /* [T] */
    wmk_embed_summary summary;
} wmk_embedding;

/* wmk_mark_embed for outputs that are no memory which stays: bytes that were written are not looked at again but to read them back. Only partition over single weights tells of its
 * traffic, which may be NULL. stored: NULL, or what was read back; the caller frees it. */
wmk_status wmk_mark_embed_into(const wmk_key *key, const wmk_tensor_view *views, void *const *outputs, const wmk_embed_options *options,
                               const wmk_traffic *traffic, wmk_embed_summary *summary, wmk_reading **stored);

/* NUMERIC, naming it: a vector of stored weights holds what is no number. */
wmk_status wmk_embed_fits(const wmk_key *key, const wmk_vector *vector);
/* z and errors of `before`; NUMERIC: a bit that cannot be marked. */
wmk_status wmk_embed_check_before(wmk_embedding *e);
/* z and errors of what was stored. Takes `after`. */
wmk_status wmk_embed_judge(wmk_embedding *e, wmk_reading *after);
/* Raises the targets of the bits whose score_j s_j fell short, more in later rounds; true when none did. *least: the smallest s_j score_j. */
bool wmk_embed_raise(wmk_embedding *e, const double *score, int round, double *least);
/* NUMERIC: bit j cannot have its margin. */
wmk_status wmk_embed_impossible(const wmk_embedding *e, uint32_t j, double most);
/* UNSUPPORTED: target t's codec writes units that cannot be cut from it. */
wmk_status wmk_embed_not_written(const wmk_embedding *e, size_t t);
/* ||dW|| / ||W|| over all targets, of the outputs as they are. */
double wmk_embed_change(const wmk_embedding *e);
wmk_status wmk_embed_short(const wmk_embedding *e, double least);

/* Partition over single weights, whatever their number: passes over the views, nothing of their size in memory. */
wmk_status wmk_embed_stream(wmk_embedding *e);

/* Rows of X that share columns: a problem of T unknowns. */
typedef struct wmk_dual {
    uint32_t T;
    uint64_t m;
    bool diagonal;      /* rows share no columns (direct, diff): gram is [T], else [T][T] */
    double *gram;       /* X_j . X_k, signed by s_j s_k */
    double *dot;        /* [T] s_j X_j . w0 */
    double squares;     /* ||w0||^2 */
    double unit;        /* score_j = X_j . w / (unit * ||w||) */
    double *multiplier; /* [T] w = scale * (w0 + sum_j multiplier_j s_j X_j) */
    double scale;
    double *work; /* [T][T] or [T] */
} wmk_dual;
wmk_status wmk_dual_open(wmk_dual *out, const wmk_embedding *e, const double *w0);
void wmk_dual_close(wmk_dual *dual);
/* Smallest change with s_j score_j >= margin_j. NUMERIC. */
wmk_status wmk_dual_margin(wmk_dual *dual, const double *margin);
/* Paper eq. 6. */
wmk_status wmk_dual_eq6(wmk_dual *dual, double lambda, double *distance, double *mean_e_r);
/* w [m] = w0 changed. */
wmk_status wmk_dual_apply(const wmk_dual *dual, const wmk_embedding *e, const double *w0, double *w);

/* gram [T][T] of scheme random. */
wmk_status wmk_gram_random(double *gram, const wmk_key *key);

#endif
