/* weightmark/report.h - figures and one self-contained HTML page. Knows numbers and words only. */
#ifndef WEIGHTMARK_REPORT_H
#define WEIGHTMARK_REPORT_H

#include <stdbool.h>
#include <weightmark/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct wmk_report wmk_report;
WMK_EXPORT wmk_status wmk_report_create(wmk_report **out, const char *title);
WMK_EXPORT void wmk_report_free(wmk_report *report);

/* Text is escaped; a paragraph is plain text. */
WMK_EXPORT wmk_status wmk_report_heading(wmk_report *report, const char *text);
WMK_EXPORT wmk_status wmk_report_paragraph(wmk_report *report, const char *text);
/* A verdict in words, set apart; good: in green, else in grey. */
WMK_EXPORT wmk_status wmk_report_verdict(wmk_report *report, bool good, const char *text);
/* cells [rows][columns], the first row is the head. */
WMK_EXPORT wmk_status wmk_report_table(wmk_report *report, const char *const *cells, size_t rows, size_t columns);

typedef struct wmk_series {
    const char *label;
    const double *x, *y; /* [count]; NaN, and what no axis can hold (1e100; 0 on a logarithmic one), leaves a gap */
    size_t count;
} wmk_series;
typedef struct wmk_figure {
    const char *title, *x_label, *y_label;
    const wmk_series *series;
    size_t series_count;
    bool log_y;
    bool steps;          /* histogram: each y is a bar beginning at x, filled and translucent */
    double y_min, y_max; /* both 0: chosen */
} wmk_figure;
/* Draws an SVG with gnuplot and puts it inline. ARGUMENT: there is no point to draw; UNSUPPORTED: gnuplot is not installed (the message says which
 * package). */
WMK_EXPORT wmk_status wmk_report_figure(wmk_report *report, const wmk_figure *figure);
/* Writes the page, whole or not at all. */
WMK_EXPORT wmk_status wmk_report_write(const wmk_report *report, const char *path, bool replace);

/* Counts of values [count] in bins [bin_count] over [low, high]; values outside go to the end bins; NaN is left out. x [bin_count]: left edges; y [bin_count]: share of all. */
WMK_EXPORT void wmk_histogram(const double *values, size_t count, double low, double high, size_t bin_count, double *x, double *y);

#ifdef __cplusplus
}
#endif
#endif
