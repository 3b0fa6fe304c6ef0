/* tests/fuzz/fuzz.h - what a fuzz target may assume. A broken property ends the process, which libFuzzer and driver.c both report. */
#ifndef WMK_TESTS_FUZZ_H
#define WMK_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define FUZZ_CHECK(property)                                                                                                                         \
    do {                                                                                                                                             \
        if (!(property)) {                                                                                                                           \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #property);                                                            \
            abort();                                                                                                                                 \
        }                                                                                                                                            \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
