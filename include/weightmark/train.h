/* weightmark/train.h - host networks and the training loop that carries marks into them (the paper's three situations, Table 2). */
#ifndef WEIGHTMARK_TRAIN_H
#define WEIGHTMARK_TRAIN_H

#include <weightmark/data.h>
#include <weightmark/mark.h>
#include <weightmark/mark_file.h>
#include <weightmark/nn.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- hosts -------------------------------------------------------------------------------------------------------------------- */

typedef struct wmk_host { /* a network with its ends */
    wmk_graph *graph;     /* owned */
    wmk_value images;     /* input F32 [batch][3][32][32] */
    wmk_value labels;     /* input I32 [batch] */
    wmk_value targets;    /* input F32 [batch][classes]: soft targets */
    wmk_value logits;     /* [batch][classes] */
    wmk_value loss;       /* scalar, mean over the batch, against labels */
    wmk_value soft_loss;  /* scalar, mean over the batch, against targets */
    uint32_t classes;
} wmk_host;

/* Builds a host by name: "wrn-D-k" (wide residual network, D = 6N + 4; parameters named as a PyTorch state_dict: conv1.weight, conv2.0.bn1.weight,
 * conv2.0.conv2.weight, conv2.0.shortcut.weight, ..., bn.running_mean, fc.weight, fc.bias). Weights are drawn from `seed` (He normal, fan-out, as the WRN paper's code; BN 1 and 0; fc uniform as PyTorch).
 * "wrn-ref-D-k": the same in the form of the watermark paper's code (convolution-BN-ReLU, sum after the ReLU, 1x1 linear shortcuts, max pooling, biases). "mlp-D-W": D hidden layers of W units.
 * MISSING: no such host (the message lists them); ARGUMENT: D not 6N + 4, sizes out of range. */
WMK_EXPORT wmk_status wmk_host_create(wmk_host *out, const char *name, uint32_t classes, uint64_t seed);
WMK_EXPORT void wmk_host_free(wmk_host *host); /* frees the contents */
/* Its weight tensors a mark can go into (convolutions OIHW, linear OI), for wmk_targets_select. */
WMK_EXPORT wmk_status wmk_host_targets(wmk_targets *out, const char *name);
/* Rebuilds a host from a model file that weightmark trained (metadata "weightmark.host", "weightmark.classes") with its parameters. classes: 0 as in the file; another number
 * replaces `fc` by a fresh one from `seed`. MISMATCH/INPUT/MISSING as the defect is. */
WMK_EXPORT wmk_status wmk_host_read(wmk_host *out, const wmk_model *model, uint32_t classes, uint64_t seed);

/* ---- training ------------------------------------------------------------------------------------------------------------------ */

typedef struct wmk_train_progress {
    uint64_t step, steps; /* steps done, in all */
    double epoch, epochs;
    double loss; /* E_0 of this step */
    double e_r;  /* mean per bit over all keys; NaN without a key */
    double ber;  /* NaN without a key */
    double rate; /* learning rate */
    double images_per_second, seconds_left;
} wmk_train_progress;
/* Called after every step; non-zero asks to stop: the checkpoint is written (when one is named) and training returns INTERRUPTED. */
typedef int (*wmk_train_progress_fn)(const wmk_train_progress *progress, void *payload);

typedef struct wmk_train_options {
    size_t struct_size;
    const char *host;           /* train from scratch; or NULL */
    const char *init;           /* model to go on from (fine-tune); or NULL */
    const char *teacher;        /* model whose predictions are the targets: no label is read (distil); may be NULL */
    const char *data;           /* name or folder */
    const wmk_key *const *keys; /* [key_count] marks to embed, borrowed */
    size_t key_count;
    double epochs; /* > 0; fractions allowed */
    uint64_t batch;
    double rate;          /* peak (onecycle), initial (others) */
    const char *schedule; /* "paper" (times 0.2 at 30, 60, 80 % of the steps: epochs 60, 120, 160 of 200), "onecycle", "cosine", "constant" */
    double momentum, weight_decay;
    wmk_augmentation augmentation;
    double lambda; /* weight of the keys' summed E_R in the loss, >= 0 and finite (paper eq. 1); 0.01 in the paper */
    double kappa;  /* for normalised carriers: see wmk_regularizer_create */
    wmk_precision precision;
    uint64_t seed;
    int threads;        /* 0: as many as there are cores */
    const char *output; /* model file (safetensors) */
    bool replace;
    const char *history; /* CSV, a row every 1 % of the steps and at each epoch's end: step, epoch, rate, loss (mean E_0 since the row before), e_r,
                                   ber, images_per_second, test_error (epochs' ends); may be NULL */
    const char *checkpoint;    /* may be NULL. Removed once the model is written. One that exists gives EXISTS unless `resume` or `replace` */
    double checkpoint_seconds; /* how often; written atomically */
    bool resume; /* go on from `checkpoint` (MISSING: there is none; MISMATCH: it belongs to another run, the message says what differs. The number of
                                   threads may differ, but then the bits may too) */
    wmk_train_progress_fn progress; /* may be NULL */
    void *payload;
} wmk_train_options;
#define WMK_TRAIN_OPTIONS_INIT                                                                                                                       \
    {                                                                                                                                                \
        sizeof(wmk_train_options), NULL, NULL, NULL, NULL, NULL, 0, 0, 64, 0.1, "onecycle", 0.9, 5e-4, WMK_AUGMENT_CROP_FLIP, 0.01, 1.0,             \
            WMK_PRECISION_F32, 1, 0, NULL, false, NULL, NULL, 60, false, NULL, NULL                                                                  \
    }

typedef struct wmk_train_result {
    uint64_t steps;
    double seconds; /* of training in this call */
    double images_per_second;
    double train_loss; /* mean E_0 over the last epoch or part of it */
    double test_error; /* share of test images classified wrongly, 0 to 1 */
    double test_loss;
    double e_r, ber; /* at the end; NaN without a key */
} wmk_train_result;

/* Trains and writes `output` (and `history`) whole or not at all. Metadata of the model: weightmark.host, .classes, .data, .mean, .deviation (the normalisation, which wmk_eval uses). Everything is checked before the first step: output and checkpoint places too.
 * ARGUMENT, MISSING, INPUT, MISMATCH, UNSUPPORTED, EXISTS as the defect is; INTERRUPTED; NUMERIC: the loss left the finite numbers (message: at which step; the last good
 * checkpoint stays). Same options, threads and machine give the same file bit for bit, also across a kill and `resume`. */
WMK_EXPORT wmk_status wmk_train(const wmk_train_options *options, wmk_train_result *result);

typedef struct wmk_eval_result {
    double test_error, loss;
    uint64_t examples;
} wmk_eval_result;
/* Test error of a model that weightmark trained, or of a checkpoint. batch: images at a time, the whole set at most; 0: a good number. threads as in
 * wmk_train_options. Statuses of wmk_host_read and wmk_dataset_open; MISMATCH: another number of classes; NUMERIC: an output that is not finite. */
WMK_EXPORT wmk_status wmk_eval(const wmk_model *model, const char *data, uint64_t batch, int threads, wmk_eval_result *out);

#ifdef __cplusplus
}
#endif
#endif
