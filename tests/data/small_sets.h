/* tests/data/small_sets.h - small data sets in the exact published formats, made on the spot. Any failure to write ends the test program. */
#ifndef WMK_TESTS_SMALL_SETS_H
#define WMK_TESTS_SMALL_SETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A fresh folder under $TMPDIR or /tmp. The caller frees the name, after small_remove. */
char *small_folder(void);
void small_remove(const char *folder); /* with all it holds */
/* "<folder>/<file>", static, good until the third next call. */
const char *small_path(const char *folder, const char *file);
void small_write(const char *folder, const char *file, const void *bytes, size_t size, bool gzip);

/* The pixel of example `index` of class `label`: a pattern of its class with noise, so that a network can learn it. */
uint8_t small_pixel(size_t index, unsigned label, unsigned channel, unsigned y, unsigned x);

/* MNIST's four files; labels 0..9 in turn. */
void small_idx(const char *folder, uint32_t train_count, uint32_t test_count, uint32_t side, bool gzip);
/* Five training batches and the test batch, `per_file` records each; labels 0..9 in turn. */
void small_cifar10(const char *folder, size_t per_file);
/* Fine label index % 100, coarse label of no meaning. */
void small_cifar100(const char *folder, size_t train_count, size_t test_count);

#endif
