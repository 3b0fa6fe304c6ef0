/* report/report.c - one self-contained HTML page: headings, paragraphs, verdicts, tables, figures. */
#include "report/report.h"

#include <math.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

static const char style[] =
    "body{font:16px/1.5 system-ui,sans-serif;color:#1c2530;background:#fff;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "h1{font-size:1.7rem}h2{font-size:1.25rem;margin-top:2rem;border-bottom:1px solid #d5dbe1}"
    ".verdict{padding:.7rem 1rem;border-left:.4rem solid #8a949e;background:#f2f4f6}.verdict.good{border-color:#1a7f37;background:#e9f6ec}"
    ".table{overflow-x:auto}table{border-collapse:collapse}th,td{padding:.25rem .8rem;text-align:right;border-bottom:1px solid #d5dbe1}"
    "th:first-child,td:first-child{text-align:left}td,th{white-space:nowrap;font-size:.92rem}figure{margin:1.2rem 0}figure "
    "img{width:100%;max-width:46rem}";

wmk_status wmk_report_create(wmk_report **out, const char *title)
{
    wmk_report *report;
    WMK_TRY(wmk_alloc(&report, 1, sizeof *report));
    wmk_status status = wmk_strdup(&report->title, title);
    if (status != WMK_OK)
        wmk_report_free(report);
    else
        *out = report;
    return status;
}

void wmk_report_free(wmk_report *report)
{
    if (!report) return;
    wmk_buffer_free(&report->body);
    free(report->title);
    free(report);
}

static wmk_status append(wmk_buffer *out, const char *text) { return wmk_buffer_append(out, text, strlen(text)); }

wmk_status wmk_html_escape(wmk_buffer *out, const char *text)
{
    for (; *text; text++) {
        const char *entity = *text == '&' ? "&amp;" : *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : *text == '"' ? "&quot;" : NULL;
        WMK_TRY(entity ? append(out, entity) : wmk_buffer_append(out, text, 1));
    }
    return WMK_OK;
}

static wmk_status element(wmk_report *report, const char *open, const char *text, const char *close)
{
    WMK_TRY(append(&report->body, open));
    WMK_TRY(wmk_html_escape(&report->body, text));
    return append(&report->body, close);
}

wmk_status wmk_report_heading(wmk_report *report, const char *text) { return element(report, "<h2>", text, "</h2>\n"); }

wmk_status wmk_report_paragraph(wmk_report *report, const char *text) { return element(report, "<p>", text, "</p>\n"); }

wmk_status wmk_report_verdict(wmk_report *report, bool good, const char *text)
{
    return element(report, good ? "<p class=\"verdict good\">" : "<p class=\"verdict\">", text, "</p>\n");
}

wmk_status wmk_report_table(wmk_report *report, const char *const *cells, size_t rows, size_t columns)
{
    WMK_TRY(append(&report->body, "<div class=\"table\"><table>\n"));
    for (size_t r = 0; r < rows; r++) {
        WMK_TRY(append(&report->body, "<tr>"));
        for (size_t c = 0; c < columns; c++) WMK_TRY(element(report, r ? "<td>" : "<th>", cells[r * columns + c], r ? "</td>" : "</th>"));
        WMK_TRY(append(&report->body, "</tr>\n"));
    }
    return append(&report->body, "</table></div>\n");
}

/* As an image of its own, so that names inside one SVG never meet those of another. */
static wmk_status append_image(wmk_buffer *body, const wmk_buffer *svg, const char *title)
{
    size_t size = sodium_base64_encoded_len(svg->size, sodium_base64_VARIANT_ORIGINAL);
    char *base64;
    WMK_TRY(wmk_alloc(&base64, size, 1));
    sodium_bin2base64(base64, size, svg->data, svg->size, sodium_base64_VARIANT_ORIGINAL);
    wmk_status status;
    WMK_TRY_GOTO(status, append(body, "<figure><img alt=\""), done);
    WMK_TRY_GOTO(status, wmk_html_escape(body, title), done);
    WMK_TRY_GOTO(status, append(body, "\" src=\"data:image/svg+xml;base64,"), done);
    WMK_TRY_GOTO(status, append(body, base64), done);
    status = append(body, "\"></figure>\n");
done:
    free(base64);
    return status;
}

wmk_status wmk_report_figure(wmk_report *report, const wmk_figure *figure)
{
    wmk_buffer svg = {0};
    wmk_status status = wmk_figure_svg(&svg, figure);
    if (status == WMK_OK) status = append_image(&report->body, &svg, figure->title);
    wmk_buffer_free(&svg);
    return status;
}

static wmk_status page(wmk_buffer *out, const wmk_report *report)
{
    WMK_TRY(append(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                        "<meta name=\"viewport\" content=\"width=device-width\"><title>"));
    WMK_TRY(wmk_html_escape(out, report->title));
    WMK_TRY(append(out, "</title><style>"));
    WMK_TRY(append(out, style));
    WMK_TRY(append(out, "</style></head><body>\n<h1>"));
    WMK_TRY(wmk_html_escape(out, report->title));
    WMK_TRY(append(out, "</h1>\n"));
    WMK_TRY(wmk_buffer_append(out, report->body.data, report->body.size));
    return wmk_buffer_printf(out, "<p><small>weightmark %s</small></p>\n</body></html>\n", wmk_version());
}

wmk_status wmk_report_write(const wmk_report *report, const char *path, bool replace)
{
    wmk_buffer html = {0};
    wmk_output *output = NULL;
    wmk_status status;
    WMK_TRY_GOTO(status, page(&html, report), done);
    WMK_TRY_GOTO(status, wmk_output_begin(&output, path, 0666, replace), done);
    WMK_TRY_GOTO(status, wmk_output_write(output, html.data, html.size), done);
    status = wmk_output_commit(output);
    output = NULL;
done:
    wmk_output_abort(output);
    wmk_buffer_free(&html);
    return status;
}

void wmk_histogram(const double *values, size_t count, double low, double high, size_t bin_count, double *x, double *y)
{
    double width = (high - low) / (double)bin_count;
    size_t total = 0;
    for (size_t b = 0; b < bin_count; b++) {
        x[b] = low + width * (double)b;
        y[b] = 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (isnan(values[i])) continue;
        double place = (values[i] - low) / width;
        size_t bin = !(place > 0) ? 0 : place >= (double)bin_count ? bin_count - 1 : (size_t)place; /* NaN where all is one value */
        y[bin]++;
        total++;
    }
    for (size_t b = 0; b < bin_count && total > 0; b++) y[b] /= (double)total;
}
