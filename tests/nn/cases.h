/* nn/cases.h - the operators' cases, a line each in net_build's language, ended by NULL. */
#ifndef WMK_TESTS_NN_CASES_H
#define WMK_TESTS_NN_CASES_H

extern const char *const cases_small[];  /* every operator and attribute, small enough to differentiate element by element */
extern const char *const cases_shapes[]; /* sizes that reach the fast kernels' different paths: odd, grouped, dilated, one image, 1 to 67 channels */

#endif
