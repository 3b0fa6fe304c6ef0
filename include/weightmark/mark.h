/* weightmark/mark.h - the watermark itself: keys, projection, regularizer, reading, evidence, embedding. Works on weights in
 * memory, wherever they come from; only keys touch files.
 *
 * Words are the paper's (Uchida et al. 2017, arXiv 1701.04082): T bits b in {0,1}^T, carrier vector w in R^M, secret matrix X [T][M],
 * E_R, lambda, BER. docs/spec.md states every derivation so that a stranger can write a second implementation.
 */
#ifndef WEIGHTMARK_MARK_H
#define WEIGHTMARK_MARK_H

#include <weightmark/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- keys -------------------------------------------------------------------------------------------------------------------- */

typedef enum wmk_scheme {                          /* what a row of X looks like (paper section 3.2.2; the last is ours) */
                          WMK_SCHEME_DIRECT = 1,   /* one +1; distinct columns, so T <= M */
                          WMK_SCHEME_DIFF = 2,     /* one +1 and one -1; distinct columns, so 2T <= M */
                          WMK_SCHEME_RANDOM = 3,   /* every element N(0,1) */
                          WMK_SCHEME_PARTITION = 4 /* every column belongs to one row, with a secret sign there */
} wmk_scheme;

typedef enum wmk_carrier {                          /* which vector w the bits are read from */
                           WMK_CARRIER_MEAN = 1,    /* mean over filters of a layer; raw for one target, each over its own RMS for several */
                           WMK_CARRIER_WEIGHTS = 2, /* every weight of every target, over the RMS of its own filter */
                           WMK_CARRIER_BALANCED = 3 /* the same, with input channels brought to one size too, so that
                                                       rescaling a hidden channel moves nothing */
} wmk_carrier;

#define WMK_SEED_BYTES 32
#define WMK_KEY_ID_CHARS 64 /* lower-case hexadecimal BLAKE2b-256, without the NUL */
#define WMK_ORIGINAL_BYTES 32
#define WMK_BITS_MAX 16384 /* T */
#define WMK_TARGETS_MAX 65536

/* One weight tensor that a key marks. */
typedef struct wmk_target {
    const char *name;
    wmk_layout layout; /* valid and with an O: see weightmark/tensor.h */
    uint32_t rank;
    uint64_t shape[WMK_RANK_MAX];
} wmk_target;

typedef struct wmk_key wmk_key; /* immutable once made; may be shared between threads; secrets in locked, wiped memory */

typedef struct wmk_key_options {
    size_t struct_size;
    wmk_scheme scheme;
    wmk_carrier carrier;
    uint32_t bits;             /* T, 1 to WMK_BITS_MAX */
    bool ones;                 /* b = 1...1, the paper's experiments; else b is drawn from the seed */
    const uint8_t *seed;       /* [WMK_SEED_BYTES]; NULL: drawn from the system */
    int64_t created;           /* seconds since 1970, UTC; 0: now */
    const uint8_t *original;   /* [WMK_ORIGINAL_BYTES] digest of the model to be marked (wmk_mark_original); NULL: none yet */
    const wmk_target *targets; /* [target_count], copied */
    size_t target_count;
} wmk_key_options;
#define WMK_KEY_OPTIONS_INIT                                                                                                                         \
    {                                                                                                                                                \
        sizeof(wmk_key_options), WMK_SCHEME_RANDOM, WMK_CARRIER_MEAN, 256, false, NULL, 0, NULL, NULL, 0                                             \
    }

/* Makes a key. ARGUMENT: an option outside its range, no target, a name twice, an empty or invalid layout, an axis of 0;
 * MISMATCH: T > M for direct, 2T > M for diff (the message gives both numbers); MEMORY; SYSTEM: no entropy. */
WMK_EXPORT wmk_status wmk_key_create(wmk_key **out, const wmk_key_options *options);

/* Reads a key file. The file may be hostile. `passphrase` may be NULL (and is ignored for a plain key); a sealed key then gives SECRET with a message that says so, and so does
 * a wrong one. MISSING/SYSTEM: no such file; INPUT: not a key, damaged (the stored id is checked), over 64 MiB;
 * UNSUPPORTED: format version this library does not know. */
WMK_EXPORT wmk_status wmk_key_read(wmk_key **out, const char *path, const char *passphrase, size_t passphrase_bytes);

/* Writes a key file with mode 0600, whole or not at all. passphrase NULL: plain; else sealed by Argon2id + XChaCha20-Poly1305.
 * ARGUMENT: an empty passphrase; EXISTS unless `replace`; SYSTEM; MEMORY. */
WMK_EXPORT wmk_status wmk_key_write(const wmk_key *key, const char *path, const char *passphrase, size_t passphrase_bytes, bool replace);

WMK_EXPORT void wmk_key_free(wmk_key *key);

WMK_EXPORT wmk_scheme wmk_key_scheme(const wmk_key *key);
WMK_EXPORT wmk_carrier wmk_key_carrier(const wmk_key *key);
WMK_EXPORT uint32_t wmk_key_bit_count(const wmk_key *key); /* T */
WMK_EXPORT uint64_t wmk_key_m(const wmk_key *key);         /* M over all targets */
WMK_EXPORT bool wmk_key_ones(const wmk_key *key);
WMK_EXPORT int64_t wmk_key_created(const wmk_key *key); /* what the key's maker wrote; it proves no date */
/* The digest of the unmarked weights that the key was made for; false: it has none, and *original is all zeros. */
WMK_EXPORT bool wmk_key_original(const wmk_key *key, uint8_t original[WMK_ORIGINAL_BYTES]);
WMK_EXPORT size_t wmk_key_target_count(const wmk_key *key);
WMK_EXPORT const wmk_target *wmk_key_target(const wmk_key *key, size_t index); /* borrowed; NULL when out of range */
/* BLAKE2b of the canonical content: commits to key and bits, reveals neither. */
WMK_EXPORT void wmk_key_id(const wmk_key *key, char id[WMK_KEY_ID_CHARS + 1]);
/* b [T], one byte each, 0 or 1. Secret. */
WMK_EXPORT void wmk_key_bits(const wmk_key *key, uint8_t *b);
/* The same targets, scheme, carrier, T, original, `ones` and creation time, with another seed (NULL: drawn): a stranger's key of the same kind, for
 * null distributions and demonstrations. `key` may be freed first. MEMORY. */
WMK_EXPORT wmk_status wmk_key_redraw(wmk_key **out, const wmk_key *key, const uint8_t *seed);

/* The digest of the weights that `views` [wmk_key_target_count(key)] hold, for wmk_key_options.original: the same for every
 * layout and for every type that holds the values exactly (docs/spec.md, "Original"). Of the key only its targets count.
 * MISSING: a view without data; MISMATCH, UNSUPPORTED: as wmk_mark_read; MEMORY. Threads: all of OpenMP's. */
WMK_EXPORT wmk_status wmk_mark_original(uint8_t original[WMK_ORIGINAL_BYTES], const wmk_key *key, const wmk_tensor_view *views);

WMK_EXPORT const char *wmk_scheme_name(wmk_scheme scheme);    /* "direct" ...; "unknown" */
WMK_EXPORT const char *wmk_carrier_name(wmk_carrier carrier); /* "mean", "weights", "balanced"; "unknown" */
/* ARGUMENT with the list of names when `name` is none. */
WMK_EXPORT wmk_status wmk_scheme_parse(wmk_scheme *out, const char *name);
WMK_EXPORT wmk_status wmk_carrier_parse(wmk_carrier *out, const char *name);

/* ---- time stamps ---------------------------------------------------------------------------- */

/* A time stamp proves that a key existed at a time: an authority signs a hash of the key's statement
 * together with the time (RFC 3161; docs/spec.md, "Commitment"). The token may lie in the key file;
 * the key id does not cover it. A stored token proves something only when it is checked against
 * authorities that the verifier trusts. Checking needs a build with OpenSSL's libcrypto; requests,
 * and keys with a stored token, work in every build. */

#define WMK_KEY_STATEMENT_CHARS (19 + WMK_KEY_ID_CHARS)
#define WMK_TIMESTAMP_BYTES_MAX 65536 /* of a token in DER */

/* What a checked time stamp says. */
typedef struct wmk_timestamp {
    int64_t seconds;               /* the authority's time since 1970, UTC, less its fraction */
    int64_t accuracy_microseconds; /* the time is right to within this, says the authority; -1: it
                                      does not say */
    char signer[192];              /* CN and O of the signer's certificate: printable UTF-8 */
    char serial[65];               /* the stamp's number at the authority, hexadecimal */
    char policy[128];              /* object identifier with dots */
} wmk_timestamp;

/* The text that is stamped, "weightmark key id <id>\n". ARGUMENT: id is not 64 digits 0-9a-f. */
WMK_EXPORT wmk_status wmk_key_statement(char statement[WMK_KEY_STATEMENT_CHARS + 1], const char *id);

/* Writes a TimeStampReq over the statement of `id` (DER; SHA-256, nonce, certificates asked for),
 * whole or not at all. Send it to an authority as application/timestamp-query.
 * ARGUMENT: id as above; EXISTS unless `replace`; INPUT, MISSING, SYSTEM: the place; MEMORY. */
WMK_EXPORT wmk_status wmk_timestamp_request(const char *id, const char *path, bool replace);

/* The certificates of the authorities that a verifier trusts. Immutable; threads may share it. */
typedef struct wmk_authorities wmk_authorities;

/* Reads certificates in PEM form, up to 16 MiB. Trust begins at the self-signed ones; others serve as
 * links of a chain. MISSING, SYSTEM: no such file; INPUT: a damaged certificate, or none at all;
 * MEMORY; UNSUPPORTED: a build without libcrypto. */
WMK_EXPORT wmk_status wmk_authorities_read(wmk_authorities **out, const char *path);
WMK_EXPORT void wmk_authorities_free(wmk_authorities *authorities);

/* Checks an authority's answer over the statement of `id`: a TimeStampResp or a bare TimeStampToken,
 * DER or PEM, which may be hostile. The hash must be that of the statement (SHA-256, SHA-384 or
 * SHA-512), the signature valid, and a chain of certificates must lead from the signer to an
 * authority; the signer's certificate must be for time stamping and nothing else (critical EKU).
 * Certificates must be valid at the stamped time, not today: a date outlives its certificates.
 * Revocation is not looked up: it needs the network. So whoever holds an authority's key, also an
 * expired one, can make dates; whom to trust is the verifier's choice.
 * The request's nonce is not compared: an old answer over the same id is a proof as well.
 * INPUT: malformed, over 128 KiB (token: 64 KiB), a refusal by the authority, a signature that does
 * not fit; MISMATCH: over another statement, or no chain to an authority; UNSUPPORTED: another hash
 * or an unknown critical extension, or a build without libcrypto; ARGUMENT: id as above; MEMORY,
 * though libcrypto may take an allocation that it was refused for a certificate that does not fit. */
WMK_EXPORT wmk_status wmk_timestamp_check(wmk_timestamp *out, const char *id, const void *answer, size_t bytes, const wmk_authorities *authorities);

/* The token that was stored in the key's file (DER, unchecked), [*bytes]; borrowed. NULL: none. */
WMK_EXPORT const uint8_t *wmk_key_timestamp(const wmk_key *key, size_t *bytes);

/* The key's date: its stored token, checked (wmk_timestamp_check, with its statuses).
 * MISSING: no token is stored. */
WMK_EXPORT wmk_status wmk_key_date(wmk_timestamp *out, const wmk_key *key, const wmk_authorities *authorities);

/* The id of the key in a file; a sealed key needs no passphrase here. A plain key's id is checked; a
 * sealed key's is what the file states. Statuses as wmk_key_read. */
WMK_EXPORT wmk_status wmk_key_file_id(char id[WMK_KEY_ID_CHARS + 1], const char *path);

/* Checks the answer in the file `answer` and stores its token in the key file `path`, which is
 * replaced whole or not at all, with mode 0600. A sealed key stays sealed and needs no passphrase:
 * every other byte of the file stays. A token that is stored already is kept (EXISTS) unless
 * `replace`: the older date is worth more. Statuses as wmk_key_read, wmk_timestamp_check,
 * wmk_key_write. */
WMK_EXPORT wmk_status wmk_key_file_stamp(wmk_timestamp *out, const char *path, const char *answer, const wmk_authorities *authorities, bool replace);

/* ---- X ------------------------------------------------------------------------------------------------------------------------ */

/* Elements X[row][column .. column + count) as float, any scheme, computed from the seed (docs/spec.md, "X"); dense, zeros included. Secret.
 * ARGUMENT: outside [T][M]. */
WMK_EXPORT wmk_status wmk_key_x(const wmk_key *key, uint32_t row, uint64_t column, size_t count, float *x);
/* Scheme partition: row[i] in [0, T) and sign[i] (+1 or -1) of columns [column, column + count). ARGUMENT: another scheme, out of range. */
WMK_EXPORT wmk_status wmk_key_partition(const wmk_key *key, uint64_t column, size_t count, uint16_t *row, int8_t *sign);

/* ---- reading ------------------------------------------------------------------------------------------------------------------ */

/* What a key reads from weights. */
typedef struct wmk_reading {
    uint32_t T;
    double *y;     /* [T] X_j . w, over ||w restricted to row j's support|| for normalised carriers, raw for a single-target mean (paper eq. 2) */
    double *score; /* [T] y in units of its deviation in a model made without the key: y itself when normalised; when raw, y_j over ||w restricted to
                        row j's support|| (random, partition) or over the RMS of w times ||X_j|| (direct, diff) */
    uint8_t *bit;  /* [T] 1 when y >= 0 */
    uint8_t *erased; /* [T] 1 when row j's support holds nothing but zeros, missing weights or f64 values too small to square: it says nothing */
    uint64_t weights_read;
    uint64_t weights_missing; /* weights of targets whose data was NULL (carriers weights and balanced) */
    uint64_t weights_lost;    /* of weights_read: no numbers, or of filters whose squares overflow; they counted as 0 */
} wmk_reading;

/* Reads T values from `views[wmk_key_target_count(key)]`, in the key's order of targets. A view's shape, taken axis by axis through the
 * layouts, must be its target's (MISMATCH otherwise; the message gives both); the view's layout may differ from the key's. data NULL:
 * missing: an erasure for carrier weights and several-target mean (MISSING when all are, or for a single-target mean). Values may be hostile: what is no number counts as 0 and is
 * counted (weights_lost); INPUT when nothing else is there, naming tensor and index. UNSUPPORTED: a dtype that is no float. Threads: all of OpenMP's; result independent of their number.
 * MEMORY. The caller frees *out with wmk_reading_free. */
WMK_EXPORT wmk_status wmk_mark_read(wmk_reading **out, const wmk_key *key, const wmk_tensor_view *views);
WMK_EXPORT void wmk_reading_free(wmk_reading *reading);

/* ---- evidence ------------------------------------------------------------------------------------------------------------------ */

typedef enum wmk_verdict { WMK_NOT_FOUND = 0, WMK_INCONCLUSIVE = 1, WMK_FOUND = 2 } wmk_verdict;
WMK_EXPORT const char *wmk_verdict_name(wmk_verdict verdict); /* "not-found", "inconclusive", "found" */

#define WMK_THRESHOLD_BITS_DEFAULT 64.0
#define WMK_INCONCLUSIVE_BITS 20.0

typedef struct wmk_evidence {
    wmk_verdict verdict;
    uint32_t bits; /* T less erased bits */
    uint32_t erased;
    uint32_t bit_errors; /* among `bits` */
    double ber;          /* bit_errors / bits; 0.5 when bits is 0 */
    double z;            /* soft score: sum_j s_j score_j / sqrt(bits), s_j = 2 b_j - 1; direct and diff: over sqrt(sum_j score_j^2) instead, since
                             only the bits' signs are random there */
    double log10_p_soft; /* 0 where the soft score proves nothing */
    double log10_p_hard;
    bool soft_is_bound;   /* log10_p_soft is an upper bound (Hoeffding), not exact */
    bool empirical;       /* fixed b with direct or diff: p comes from redrawn keys, floor 1/(N+1) */
    uint64_t tries;       /* what p was multiplied by: tensors, keys, alignments looked at; 2^64 - 1 also for more */
    double log10_tries;   /* its logarithm, without that end */
    double log10_p;       /* of both, corrected: min(0, log10(2 min(p_soft, p_hard)) + log10_tries) */
    double evidence_bits; /* -log2 p, >= 0 */
} wmk_evidence;

/* Judges a reading (docs/spec.md, "Evidence"). tries >= 1; threshold_bits > 0 is where `found` begins, `inconclusive` begins at
 * min(20, threshold_bits). A key with fixed bits and direct or diff proves nothing here (log10_p is 0): see wmk_mark_verify. ARGUMENT. */
WMK_EXPORT wmk_status wmk_evidence_judge(wmk_evidence *out, const wmk_key *key, const wmk_reading *reading, uint64_t tries, double threshold_bits);
/* The same for keys whose null is not a fair coin (--ones with direct or diff): `redraws` stranger keys are read from the same views.
 * Strangers' seeds follow from the key's, so a verdict can be repeated. For other keys it is wmk_mark_read + wmk_evidence_judge. reading may be NULL when the values are not wanted; else the
 * caller frees it. Statuses as theirs. */
WMK_EXPORT wmk_status wmk_mark_verify(wmk_evidence *out, wmk_reading **reading, const wmk_key *key, const wmk_tensor_view *views, uint64_t tries,
                                      double threshold_bits, uint32_t redraws);
#define WMK_REDRAWS_DEFAULT 9999
/* Multiplies p by `factor` too, for a choice among that many that was made before this reading, and gives the verdict anew. ARGUMENT: factor 0, a threshold as above. */
WMK_EXPORT wmk_status wmk_evidence_pay(wmk_evidence *evidence, uint64_t factor, double threshold_bits);

/* log10 of the upper tail of N(0,1) at z (Q(z)), and of P(Bin(n, 1/2) >= k); accurate to 1e-12 relative in the logarithm over all arguments. */
WMK_EXPORT double wmk_log10_normal_tail(double z);
WMK_EXPORT double wmk_log10_binomial_tail(uint32_t n, uint32_t k);

/* ---- the regularizer ----------------------------------------------------------------------------------------------------------- */

/* E_R of a key over weights that a training loop owns (paper eq. 4-5; sum over bits). Holds what the steps need, so a step allocates nothing. */
typedef struct wmk_regularizer wmk_regularizer;

/* `weights` [target_count]: F32 views (UNSUPPORTED otherwise), all with data (MISSING), aligned to their elements (ARGUMENT), whose bytes the training loop keeps changing in
 * place; they and the key are borrowed for the life of the regularizer, the array of views is not.
 * kappa > 0 (ARGUMENT) scales y inside E_R for normalised carriers; for a raw mean it is 1 whatever is given: E_R = -sum_j b_j log sigma(kappa y_j) + ... .
 * Other statuses as wmk_mark_read. */
WMK_EXPORT wmk_status wmk_regularizer_create(wmk_regularizer **out, const wmk_key *key, const wmk_tensor_view *weights, double kappa);
/* One evaluation at the present weights. gradients: NULL, or [target_count] float arrays in each view's layout and shape, to which factor * dE_R/dW is
 * added; RMS and lengths that normalise y are constants in it. sum: E_R (sum over T); errors: bits read wrongly now; either may be NULL. NUMERIC: a weight is not finite.
 * Deterministic for any number of threads. */
WMK_EXPORT wmk_status wmk_regularizer_step(wmk_regularizer *regularizer, double factor, float *const *gradients, double *sum, uint32_t *errors);
WMK_EXPORT void wmk_regularizer_free(wmk_regularizer *regularizer);

/* ---- embedding without training ------------------------------------------------------------------------------------------------- */

typedef struct wmk_embed_options {
    size_t struct_size;
    double margin;    /* every bit ends with s_j score_j >= margin; > 0 */
    bool fill_zeros;  /* weights that are 0 are marked too; else they stay 0, so that a sparse model stays sparse */
    bool other_model; /* wmk_model_embed only: also a model that is not the key's original. One key in two models can be removed
                         from either: whoever has both sides of one model subtracts them from the other */
    bool eq6;         /* instead: minimise 1/2 ||w - w0||^2 + lambda * mean-per-bit E_R(w) (paper eq. 6); carrier mean, one target */
    double lambda;    /* for eq6, > 0 */
    bool
        unbalanced; /* scheme partition over single weights: the very smallest change; else every kernel also keeps its sum (of a 1 x 1 window or a linear
                        layer: every filter), which keeps what it answers to the mean of its input and with it the network's accuracy */
    /* wmk_model_embed only; NULL, or told, by any thread, of weights' bytes that were read: three times all of them, or five where filters are neighbours in memory. */
    void (*walked)(void *payload, uint64_t bytes);
    void *walked_payload;
} wmk_embed_options;
#define WMK_EMBED_OPTIONS_INIT                                                                                                                       \
    {                                                                                                                                                \
        sizeof(wmk_embed_options), 8.0, false, false, false, 10.0, false, NULL, NULL                                                                 \
    }

typedef struct wmk_embed_summary {
    double relative_change; /* ||dW|| / ||W|| over all targets, as written (rounding included) */
    double z_before, z_after;
    uint32_t errors_before, errors_after;
    double margin_reached; /* min_j s_j score_j after */
    double rounding_z;     /* what the rounding to the stored types cost in z */
    double eq6_distance;   /* 1/2 ||w - w0||^2 (eq6 only) */
    double eq6_e_r;        /* mean-per-bit E_R at the end (eq6 only) */
} wmk_embed_summary;

/* The smallest change of the weights (in the carrier's normalised norm) that makes every bit right with a margin; for partition in closed form, bit by bit;
 * for the others a convex problem of T unknowns. `views` are read (all present: MISSING otherwise); `outputs[i]` receives target i's new values in the view's dtype, shape and layout, and may be
 * the view's own data (a copy of which is then held meanwhile). For a view with a codec it holds a copy of the view's bytes before, laid out as they are. What is stored is read back; where rounding broke a margin the bit's target is raised, a bounded number of times.
 * Statuses as wmk_mark_read; ARGUMENT: margin or lambda not above 0, an output that is NULL, eq6 for another carrier than one tensor's mean or for partition;
 * UNSUPPORTED: a view that cannot be written, or in units that cross its filters; NUMERIC: the margin cannot be met (for example a bit whose support is all zeros, or T > M for a dense scheme), or not within what the dtype holds.
 * Outputs are unspecified after a failure. summary may be NULL. */
WMK_EXPORT wmk_status wmk_mark_embed(const wmk_key *key, const wmk_tensor_view *views, void *const *outputs, const wmk_embed_options *options,
                                     wmk_embed_summary *summary);

/* The change ||dW|| / ||W|| that a margin is expected to cost, scheme partition over `weights` single weights and `bits` bits, in a model made without the key: about
 * margin sqrt(bits / weights). What every kernel's sum (wmk_embed_options.unbalanced) and rounding to narrow types cost comes on top: a factor sqrt(k / (k - 1)) for windows of k positions.
 * 0 for a margin that is not above 0, infinity for one that no change can give. */
WMK_EXPORT double wmk_mark_cost(uint64_t weights, uint32_t bits, double margin);
/* The same for the model at hand, from what the key reads there now; weights that are missing count as not there. */
WMK_EXPORT double wmk_mark_cost_now(const wmk_key *key, const wmk_reading *present, double margin);

#ifdef __cplusplus
}
#endif
#endif
