/* tests/mark/kernels.h - the inner loops of src/mark as a table, so that one test runs each form of them. */
#ifndef WMK_TESTS_KERNELS_H
#define WMK_TESTS_KERNELS_H

#include "mark/carrier_kernel.h"
#include "mark/edit_kernel.h"
#include "mark/lane_kernel.h"

typedef struct kernels {
    const char *name;
    void (*deal_row)(double (*)[2], const double *, wmk_factor, const uint16_t *, size_t);
    void (*deal_count)(double (*)[4], const double *, wmk_factor, bool, const uint16_t *, size_t);
    wmk_change (*deal_change)(float *, const float *, float, bool, const float (*)[2], const uint16_t *, size_t);
    void (*deal_turn)(uint16_t *, size_t, const uint16_t *const *, size_t, size_t);
    void (*edit_divide)(float *, const double *, wmk_factor, size_t);
    void (*edit_apply)(double *, const double *, wmk_factor, const float *, float, size_t);
    void (*edit_divide_bf16)(float *, const void *, float, const float *, size_t);
    void (*edit_apply_bf16)(void *, const void *, float, const float *, const float *, float, size_t, double *, double *);
    double (*dot_row)(const float *, const double *, size_t);
    double (*dot)(const double *, const double *, size_t);
    void (*add_rows)(double *, const float *, size_t, const double *, size_t, size_t);
    double (*squares_row)(const void *, size_t);
    double (*squares_bf16)(const void *, size_t);
    double (*squares_f64)(const double *, size_t);
    void (*compare_row)(const double *, const double *, size_t, double *, double *);
    double (*squares_scaled)(double *, const double *, const double *, size_t);
    void (*add_scaled)(double *, const double *, double, size_t);
    void (*widen_row)(double *, const void *, size_t);
    void (*count_lanes)(const int16_t *, size_t, const int16_t *, size_t, const int16_t *, int16_t *);
    size_t (*count_row)(const int16_t *, const int16_t *, size_t, int16_t);
} kernels;

#define KERNELS(name, prefix)                                                                                                                        \
    {                                                                                                                                                \
        name, prefix##deal_row, prefix##deal_count, prefix##deal_change, prefix##deal_turn, prefix##edit_divide, prefix##edit_apply,                 \
            prefix##edit_divide_bf16, prefix##edit_apply_bf16, prefix##dot_row, prefix##dot, prefix##add_rows, prefix##squares_row,                  \
            prefix##squares_bf16, prefix##squares_f64, prefix##compare_row, prefix##squares_scaled, prefix##add_scaled, prefix##widen_row,           \
            prefix##count_lanes, prefix##count_row                                                                                                   \
    }

/* What a processor without AVX2 runs (kernels_plain.c). */
extern const kernels kernels_plain;

#endif
