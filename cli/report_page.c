/* cli/report_page.c - the page's words and table. */
#include "report_page.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verdict.h"

enum { TEXT_BYTES = 1024 };

static wmk_status say_verdict(wmk_report *report, const report_run *run)
{
    const wmk_evidence *evidence = &run->found.evidence;
    char text[2 * TEXT_BYTES], p[64], id[WMK_KEY_ID_CHARS + 1], phrase[KEY_DATE_CHARS], caution[160] = "";
    key_date_phrase(&run->date, phrase);
    if (run->date.state != KEY_DATED && evidence->verdict != WMK_NOT_FOUND)
        snprintf(caution, sizeof caution, " Nothing proves that the key is older than the model: who tries N keys on it reaches log2 N bits%s.",
                 evidence->evidence_bits < UNDATED_BITS ? ", so an undated key should have 100 bits" : "");
    probability_text(evidence->log10_p, p, sizeof p);
    wmk_key_id(run->key, id);
    snprintf(text, sizeof text,
             "%s: %s: %s. %u of %u bits are wrong (BER %.4f), z = %.1f. The probability that a model made without the key looks so marked is %s %s: "
             "%.0f bits of "
             "evidence. Key %s, %s.%s",
             run->label, wmk_verdict_name(evidence->verdict), verdict_words(&run->found), evidence->bit_errors, evidence->bits, evidence->ber,
             evidence->z, evidence->soft_is_bound || evidence->empirical ? "at most" : "about", p, evidence->evidence_bits, id, phrase, caution);
    return wmk_report_verdict(report, evidence->verdict == WMK_FOUND, text);
}

static wmk_status say_errors(wmk_report *report, const run_comparison *comparison)
{
    char text[TEXT_BYTES];
    if (!comparison->twin || isnan(comparison->marked->test_error) || isnan(comparison->twin->test_error)) return WMK_OK;
    double with = 100 * comparison->marked->test_error, without = 100 * comparison->twin->test_error;
    snprintf(text, sizeof text, "%s: test error %.2f %% with the mark, %.2f %% without (%s): a difference of %+.2f points.",
             comparison->marked->label, with, without, comparison->twin->label, with - without);
    return wmk_report_paragraph(report, text);
}

static wmk_status say_strangers(wmk_report *report, const run_comparison *comparison)
{
    char text[TEXT_BYTES];
    const wmk_evidence *wrong = &comparison->wrong_found.evidence, *twin = &comparison->twin_found.evidence;
    int used = snprintf(text, sizeof text, "A stranger's key of the same kind on %s: %s (BER %.3f, %.1f bits of evidence).",
                        comparison->marked->label, wmk_verdict_name(wrong->verdict), wrong->ber, wrong->evidence_bits);
    if (comparison->twin)
        snprintf(text + used, sizeof text - (size_t)used, " The key of %s on %s, which is unmarked: %s (BER %.3f, %.1f bits of evidence).",
                 comparison->marked->label, comparison->twin->label, wmk_verdict_name(twin->verdict), twin->ber, twin->evidence_bits);
    return wmk_report_paragraph(report, text);
}

wmk_status page_words(wmk_report *report, const run_comparison *comparison)
{
    wmk_status status = say_verdict(report, comparison->marked);
    if (status == WMK_OK) status = say_errors(report, comparison);
    return status == WMK_OK ? say_strangers(report, comparison) : status;
}

/* ---- the table ---- */

enum { TABLE_COLUMNS = 9, CELL_BYTES = 96 };
typedef struct cell_table {
    char (*text)[CELL_BYTES];
    size_t rows;
} cell_table;

static char *cell(cell_table *table, size_t column) { return table->text[table->rows * TABLE_COLUMNS + column]; }

static void percent_cell(char *out, double share)
{
    isnan(share) ? snprintf(out, CELL_BYTES, "–") : snprintf(out, CELL_BYTES, "%.2f %%", 100 * share);
}

static void add_reading_row(cell_table *table, const char *model, const char *whose, const wmk_key *key, const wmk_verification *found,
                            double test_error)
{
    const wmk_evidence *evidence = &found->evidence;
    snprintf(cell(table, 0), CELL_BYTES, "%s", model);
    snprintf(cell(table, 1), CELL_BYTES, "%s", whose);
    snprintf(cell(table, 2), CELL_BYTES, "%s, %s, T %u, M %llu", wmk_scheme_name(wmk_key_scheme(key)), wmk_carrier_name(wmk_key_carrier(key)),
             wmk_key_bit_count(key), (unsigned long long)wmk_key_m(key));
    percent_cell(cell(table, 3), test_error);
    snprintf(cell(table, 4), CELL_BYTES, "%.3g", mean_e_r(key, found->reading));
    snprintf(cell(table, 5), CELL_BYTES, "%.4f", evidence->ber);
    snprintf(cell(table, 6), CELL_BYTES, "%.2f", evidence->z);
    snprintf(cell(table, 7), CELL_BYTES, "%.1f", evidence->evidence_bits);
    snprintf(cell(table, 8), CELL_BYTES, "%s", wmk_verdict_name(evidence->verdict));
    table->rows++;
}

static void add_unmarked_row(cell_table *table, const report_run *run)
{
    for (size_t c = 0; c < TABLE_COLUMNS; c++) snprintf(cell(table, c), CELL_BYTES, "–");
    snprintf(cell(table, 0), CELL_BYTES, "%s", run->label);
    percent_cell(cell(table, 3), run->test_error);
    table->rows++;
}

wmk_status page_table(wmk_report *report, const report_run *runs, size_t run_count, const run_comparison *comparisons, size_t count)
{
    static const char *const head[TABLE_COLUMNS] = {"model", "key", "mark", "test error", "mean E_R", "BER", "z", "evidence bits", "verdict"};
    size_t rows_max = 1 + run_count + 3 * count;
    cell_table table = {calloc(rows_max * TABLE_COLUMNS, CELL_BYTES), 0};
    const char **cells = calloc(rows_max * TABLE_COLUMNS, sizeof *cells);
    wmk_status status = table.text && cells ? WMK_OK : WMK_ERROR_MEMORY;
    if (status == WMK_OK) {
        for (size_t c = 0; c < TABLE_COLUMNS; c++) snprintf(cell(&table, c), CELL_BYTES, "%s", head[c]);
        table.rows = 1;
        for (size_t i = 0; i < count; i++) {
            const run_comparison *one = &comparisons[i];
            add_reading_row(&table, one->marked->label, "its own", one->marked->key, &one->marked->found, one->marked->test_error);
            add_reading_row(&table, one->marked->label, "a stranger's", one->stranger, &one->wrong_found, NAN);
            if (one->twin) add_reading_row(&table, one->twin->label, one->marked->label, one->marked->key, &one->twin_found, NAN);
        }
        for (size_t i = 0; i < run_count; i++)
            if (!runs[i].key) add_unmarked_row(&table, &runs[i]);
        for (size_t i = 0; i < table.rows * TABLE_COLUMNS; i++) cells[i] = table.text[i];
        status = wmk_report_table(report, cells, table.rows, TABLE_COLUMNS);
    }
    free(cells);
    free(table.text);
    return status;
}
