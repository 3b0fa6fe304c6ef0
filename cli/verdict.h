/* cli/verdict.h - a verification in words and in JSON. */
#ifndef WMK_CLI_VERDICT_H
#define WMK_CLI_VERDICT_H

#include <weightmark/mark_file.h>

#include "key_date.h"

/* The keys of verify --json, in this order: verdict bits bit_errors ber z log10_p evidence_bits tries tensors key_id model matched
 * dated dated_by share_read tensors_partial weights_lost tensors_missing reason. date: of the key; NULL: not looked at, here and below. */
json_t *verdict_json(const wmk_key *key, const wmk_verification *verification, const char *path, const key_date *date);
json_t *tries_json(uint64_t tries, double log10_tries);
/* As verdict_json, where nothing could be read, by the message of the library call that just failed: verdict (null) error key_id model. */
json_t *verdict_error_json(const wmk_key *key, const char *path);
void verdict_print(const wmk_key *key, const wmk_verification *verification, const char *path, const key_date *date);

/* A row of several, and the line above them. key_width: of the names of the keys. message: why there is no verification, or NULL. */
void verdict_row_head(int key_width);
void verdict_row(const wmk_verification *verification, const char *message, const char *key_name, int key_width, const char *path);

/* "10^-63.2", "0.31": p as people read it. */
void probability_text(double log10_p, char *text, size_t size);
/* "the mark is there", ... */
const char *verdict_words(const wmk_verification *verification);

#endif
