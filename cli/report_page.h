/* cli/report_page.h - the page: words, tables and figures about runs. */
#ifndef WMK_CLI_REPORT_PAGE_H
#define WMK_CLI_REPORT_PAGE_H

#include <weightmark/report.h>

#include "report_data.h"

/* A marked run beside the unmarked one it is compared with, and what two keys read where they should find nothing. */
typedef struct run_comparison {
    const report_run *marked;
    const report_run *twin;       /* NULL: none given */
    wmk_verification twin_found;  /* the key on the twin; empty without one */
    wmk_key *stranger;            /* a key of the same kind with another seed */
    wmk_verification wrong_found; /* the stranger's key on the marked model */
} run_comparison;

wmk_status page_words(wmk_report *report, const run_comparison *comparison);
wmk_status page_table(wmk_report *report, const report_run *runs, size_t run_count, const run_comparison *comparisons, size_t count);
/* Paper figure 1: test error and loss over the epochs, for every run with a history. */
wmk_status page_curves(wmk_report *report, const report_run *runs, size_t run_count);
/* Paper figure 2: y_j through the sigmoid: marked, unmarked, wrong key. */
wmk_status page_bits(wmk_report *report, const run_comparison *comparison);
/* Paper figure 3: the distribution of W, for all runs that mark the same tensors as comparisons[first], with their twins. */
wmk_status page_weights(wmk_report *report, const run_comparison *comparisons, size_t count, size_t first);
/* True when an earlier comparison marks the same tensors, so that its figure 3 shows this one too. */
bool page_weights_done(const run_comparison *comparisons, size_t index);
/* Paper figure 5: E_R, BER and evidence against the pruning rate. */
wmk_status page_pruning(wmk_report *report, const report_run *run);

#endif
