/* Reports: the page is read back as text, its images are decoded with libsodium's base64 and read as SVG. */
#include "cmocka_wmk.h"

#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <weightmark/report.h>

static char folder[] = "/tmp/wmk-report-XXXXXX";
static char page_path[64];

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder) || chdir(folder) != 0) return -1;
    snprintf(page_path, sizeof page_path, "%s/page.html", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(page_path);
    return rmdir(folder); /* fails when anything else was left behind */
}

/* The page's text; the caller frees. */
static char *finish(wmk_report *report)
{
    assert_int_equal(wmk_report_write(report, page_path, true), WMK_OK);
    wmk_report_free(report);
    FILE *file = fopen(page_path, "rb");
    assert_non_null(file);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    size_t size = fread(text, 1, (1 << 20) - 1, file);
    assert_in_range(size, 1, (1 << 20) - 2);
    fclose(file);
    return text;
}

static wmk_report *begin(const char *title)
{
    wmk_report *report;
    assert_int_equal(wmk_report_create(&report, title), WMK_OK);
    return report;
}

static void text_is_escaped(void **state)
{
    (void)state;
    const char *cells[] = {"a<b", "c&d", "\"e\"", "f"};
    wmk_report *report = begin("<script>alert(1)</script>");
    assert_int_equal(wmk_report_heading(report, "1 < 2"), WMK_OK);
    assert_int_equal(wmk_report_paragraph(report, "x & y"), WMK_OK);
    assert_int_equal(wmk_report_verdict(report, true, "found"), WMK_OK);
    assert_int_equal(wmk_report_verdict(report, false, "not found"), WMK_OK);
    assert_int_equal(wmk_report_table(report, cells, 2, 2), WMK_OK);
    char *page = finish(report);
    assert_null(strstr(page, "<script"));
    assert_non_null(strstr(page, "<h1>&lt;script&gt;alert(1)&lt;/script&gt;</h1>"));
    assert_non_null(strstr(page, "<h2>1 &lt; 2</h2>"));
    assert_non_null(strstr(page, "<p>x &amp; y</p>"));
    assert_non_null(strstr(page, "<p class=\"verdict good\">found</p>"));
    assert_non_null(strstr(page, "<p class=\"verdict\">not found</p>"));
    assert_non_null(strstr(page, "<tr><th>a&lt;b</th><th>c&amp;d</th></tr>\n<tr><td>&quot;e&quot;</td><td>f</td></tr>"));
    assert_non_null(strstr(page, "</html>"));
    free(page);
}

/* The first image of a page as text; the caller frees. */
static char *first_svg(const char *page)
{
    static const char prefix[] = "src=\"data:image/svg+xml;base64,";
    const char *start = strstr(page, prefix);
    assert_non_null(start);
    start += sizeof prefix - 1;
    size_t length = strcspn(start, "\""), size;
    char *svg = calloc(1, length + 1);
    assert_non_null(svg);
    assert_int_equal(sodium_base642bin((unsigned char *)svg, length, start, length, NULL, &size, NULL, sodium_base64_VARIANT_ORIGINAL), 0);
    return svg;
}

static void figures_are_drawn(void **state)
{
    (void)state;
    double x[] = {0, 1, 2, 3}, y[] = {1, NAN, 4, 9};
    wmk_series series[] = {{"squares", x, y, 4}, {"again", x, y, 4}};
    wmk_figure line = {"Growth & more", "n", "n^2_x", series, 2, false, false, 0, 0};
    wmk_figure log = {"Log", "n", "y", series, 1, true, false, 0, 0};
    wmk_figure bars = {"Bars", "n", "y", series, 2, false, true, 0, 0};
    wmk_report *report = begin("figures");
    assert_int_equal(wmk_report_figure(report, &line), WMK_OK);
    assert_int_equal(wmk_report_figure(report, &log), WMK_OK);
    assert_int_equal(wmk_report_figure(report, &bars), WMK_OK);
    char *page = finish(report), *svg = first_svg(page);
    assert_non_null(strstr(page, "alt=\"Growth &amp; more\""));
    assert_non_null(strstr(svg, "<svg"));
    assert_non_null(strstr(svg, "</svg>"));
    assert_non_null(strstr(svg, "squares"));
    assert_non_null(strstr(svg, "again"));
    assert_non_null(strstr(svg, "n^2_x")); /* no markup is read into labels */
    assert_null(strstr(svg, "<script"));
    free(svg);
    free(page);
}

/* gnuplot must take labels as text: no command, no file, no quote that ends them. */
static void hostile_labels_are_text(void **state)
{
    (void)state;
    double x[] = {0, 1}, y[] = {1, 2};
    wmk_series series = {"it's `touch pwned1`\nsystem('touch pwned2')", x, y, 2};
    wmk_figure figure = {"$(touch pwned3) '; system('touch pwned4'); '", "@x", "\\", &series, 1, false, false, 0, 0};
    wmk_report *report = begin("hostile");
    assert_int_equal(wmk_report_figure(report, &figure), WMK_OK);
    char *page = finish(report), *svg = first_svg(page);
    assert_non_null(strstr(svg, "touch pwned1"));
    for (char name[] = "pwned1"; name[5] <= '4'; name[5]++) assert_int_equal(access(name, F_OK), -1);
    free(svg);
    free(page);
}

/* The highest bar of a histogram stands in its last bin: the drawing must reach its right edge (where a step plot of left edges would end early). */
static void last_bar_is_drawn(void **state)
{
    (void)state;
    double x[] = {0, 1, 2, 3}, y[] = {0, 0, 0, 5};
    wmk_series series = {"bars", x, y, 4};
    wmk_figure figure = {"Bars", "n", "y", &series, 1, false, true, 0, 0};
    wmk_report *report = begin("bars");
    assert_int_equal(wmk_report_figure(report, &figure), WMK_OK);
    char *page = finish(report), *svg = first_svg(page);
    const char *shape = strstr(svg, "<polygon");
    double low = INFINITY, high = -INFINITY;
    assert_non_null(shape);
    for (; shape; shape = strstr(shape + 1, "<polygon")) { /* the widest polygon that is no background */
        const char *points = strstr(shape, "points = '");
        assert_non_null(points);
        points += strlen("points = '");
        double left = INFINITY, right = -INFINITY, px, py;
        int used;
        while (sscanf(points, " %lf,%lf%n", &px, &py, &used) == 2) {
            left = fmin(left, px);
            right = fmax(right, px);
            points += used;
        }
        if (left > 0 && right - left > 100 && right - left < 700) {
            low = fmin(low, left);
            high = fmax(high, right);
        }
    }
    assert_true(high - low > 450); /* 4 bars of 5 units' width across 650 pixels, not 3 */
    free(svg);
    free(page);
}

static void histogram_by_hand(void **state)
{
    (void)state;
    double values[] = {-5, 0, 0.24, 0.25, 0.5, 0.99, 1, 7, NAN, 0.6}, x[4], y[4];
    static const double edges[] = {0, 0.25, 0.5, 0.75}, shares[] = {3.0 / 9, 1.0 / 9, 2.0 / 9, 3.0 / 9};
    wmk_histogram(values, 10, 0, 1, 4, x, y);
    for (int i = 0; i < 4; i++) {
        assert_true(x[i] == edges[i]);
        assert_true(fabs(y[i] - shares[i]) < 1e-15);
    }
    wmk_histogram(values, 0, 0, 1, 4, x, y);
    assert_true(y[0] == 0 && y[3] == 0);
    double zeros[] = {0, 0}, huge[] = {-1.7e308, 1.7e308};
    wmk_histogram(zeros, 2, 0, 0, 4, x, y); /* all weights pruned: no width */
    assert_true(y[0] == 1 && y[1] == 0 && y[2] == 0 && y[3] == 0);
    wmk_histogram(huge, 2, -1.7e308, 1.7e308, 4, x, y); /* a width beyond the doubles */
    assert_true(y[0] == 1 && y[3] == 0);
}

static void what_cannot_be_drawn(void **state)
{
    (void)state;
    double x[] = {INFINITY, NAN, 1}, y[] = {1, 2, -1};
    wmk_series series = {"s", x, y, 3};
    wmk_figure figure = {"Nothing", "x", "y", &series, 1, true, false, 0, 0};
    wmk_report *report = begin("gaps");
    assert_int_equal(wmk_report_figure(report, &figure), WMK_ERROR_ARGUMENT); /* -1 on a logarithmic axis */
    assert_non_null(strstr(wmk_error_message(), "Nothing"));
    figure.log_y = false;
    assert_int_equal(wmk_report_figure(report, &figure), WMK_OK); /* one point is left */
    free(finish(report));
}

static void without_gnuplot(void **state)
{
    (void)state;
    char *path = strdup(getenv("PATH"));
    double x[] = {0, 1};
    wmk_series series = {"s", x, x, 2};
    wmk_figure figure = {"t", "x", "y", &series, 1, false, false, 0, 0};
    wmk_report *report = begin("none");
    setenv("PATH", folder, 1);
    assert_int_equal(wmk_report_figure(report, &figure), WMK_ERROR_UNSUPPORTED);
    assert_non_null(strstr(wmk_error_message(), "gnuplot"));
    setenv("PATH", path, 1);
    wmk_report_free(report);
    free(path);
}

static void an_existing_page_is_kept(void **state)
{
    (void)state;
    wmk_report *report = begin("first");
    assert_int_equal(wmk_report_write(report, page_path, true), WMK_OK);
    assert_int_equal(wmk_report_write(report, page_path, false), WMK_ERROR_EXISTS);
    assert_int_equal(wmk_report_write(report, "/dev/full", true), WMK_ERROR_INPUT);
    assert_int_equal(wmk_report_write(report, "no/such/folder/page.html", true), WMK_ERROR_MISSING);
    wmk_report_free(report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_escaped),   cmocka_unit_test(figures_are_drawn),        cmocka_unit_test(hostile_labels_are_text),
        cmocka_unit_test(last_bar_is_drawn), cmocka_unit_test(what_cannot_be_drawn),     cmocka_unit_test(histogram_by_hand),
        cmocka_unit_test(without_gnuplot),   cmocka_unit_test(an_existing_page_is_kept),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
