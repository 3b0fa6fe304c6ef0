/* tests/secret/search.h - many byte strings, each at least 8 bytes long, looked for at every place of a memory. */
#ifndef WMK_TESTS_SECRET_SEARCH_H
#define WMK_TESTS_SECRET_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct search search;

/* Called for every string that is found, `at` bytes after the begin of what was searched. */
typedef void (*search_found)(void *payload, unsigned kind, unsigned key, size_t at);

search *search_new(void);
/* A copy is taken. kind and key are what search_found is told. */
void search_add(search *s, const void *bytes, size_t size, unsigned kind, unsigned key);
/* Every stretch of `window` bytes that begins at a multiple of `step`. */
void search_add_all(search *s, const void *bytes, size_t size, size_t window, size_t step, unsigned kind, unsigned key);
/* Strings that begin in bytes [0, count) of memory [size]. */
void search_run(const search *s, const unsigned char *memory, size_t count, size_t size, search_found found, void *payload);
void search_free(search *s);

#endif
