/* tests/train/training.h - small trainings for tests. */
#ifndef WMK_TESTS_TRAINING_H
#define WMK_TESTS_TRAINING_H

#include <weightmark/train.h>

/* Options for a few seconds' training of `host` on the data in `folder`; output "<folder>/<output>". */
wmk_train_options small_training(const char *folder, const char *host, const char *output);
/* A key of `bits` bits, scheme random, carrier mean, for one of the host's tensors; seed bytes all `seed`. Ends the program when it cannot. */
wmk_key *small_key(const char *host, const char *target, uint32_t bits, uint8_t seed);
/* Are two files the same, byte for byte? */
bool same_files(const char *a, const char *b);

#endif
