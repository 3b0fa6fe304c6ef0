/* tests/interop/dump.h - what the programs of this folder share: they compute with weightmark and write everything into one safetensors file, which
 * Python then compares with PyTorch. */
#ifndef WMK_INTEROP_DUMP_H
#define WMK_INTEROP_DUMP_H

#include <weightmark/train.h>

/* Ends the program with the library's message when a call fails: 1. */
#define MUST(call) must((call), #call)
void must(wmk_status status, const char *call);

/* Copies of tensors and texts, to be written together. Zeroed: empty. */
typedef struct dump {
    wmk_tensor_view *tensors;
    size_t count;
    wmk_metadata *metadata;
    size_t metadata_count;
} dump;

/* Row-major elements under the name "<prefix><name>". */
void dump_add(dump *d, const char *prefix, const char *name, wmk_dtype dtype, uint32_t rank, const int64_t *dims, const void *data);
/* All parameters of a graph with their present values, in their own shapes. */
void dump_parameters(dump *d, const char *prefix, const wmk_graph *graph);
__attribute__((format(printf, 3, 4))) void dump_text(dump *d, const char *name, const char *format, ...);
/* Writes the file (over an existing one) and frees everything. */
void dump_write(dump *d, const char *path);

void *take(size_t count, size_t size); /* calloc that ends the program */

/* How a test marks a host. "none", or scheme random on conv2 ("random") or on all three second convolutions ("spread"), carrier mean; or scheme partition
 * on all weights, carrier weights ("partition") or balanced ("balanced"). The key has a fixed seed. */
typedef struct marking {
    wmk_key *key; /* NULL: none */
    wmk_regularizer *regularizer;
    wmk_tensor_view *weights; /* [targets] over the graph's own data */
    float **gradients;        /* [targets] the plan's */
    size_t targets;
    double kappa, lambda;
} marking;
void marking_create(marking *m, const char *kind, uint32_t bits, double lambda, const char *host_name, const wmk_host *host, wmk_plan *plan);
void marking_free(marking *m);
/* X or (row, sign), b, kappa, lambda, the carrier and the targets' names. */
void dump_marking(dump *d, const marking *m);

#endif
