/* report/report.h - a page in the making. */
#ifndef WMK_REPORT_REPORT_H
#define WMK_REPORT_REPORT_H

#include "base/memory.h"
#include <weightmark/report.h>

struct wmk_report {
    wmk_buffer body; /* HTML after the title */
    char *title;
};

/* Text with & < > " escaped. */
wmk_status wmk_html_escape(wmk_buffer *out, const char *text);
/* gnuplot's SVG of a figure. */
wmk_status wmk_figure_svg(wmk_buffer *svg, const wmk_figure *figure);

#endif
