/* mark_file/first.c - who was first, as far as dates and originals say (docs/spec.md, "Commitment"). */
#include <weightmark/mark_file.h>

enum { SECOND = 1000000 };

const char *wmk_first_reason_name(wmk_first_reason reason)
{
    static const char *const names[] = {"known", "no-date", "same-date", "no-original", "other-mark", "own-mark"};
    return (unsigned)reason < sizeof names / sizeof names[0] ? names[reason] : "unknown";
}

/* Whether a is older than b for certain. */
static bool is_older(const wmk_claim *a, const wmk_claim *b)
{
    if (!a->dated) return false;
    if (!b->dated) return true;
    /* Times are cut to whole seconds, and authorities keep to a second where they do not say (ETSI EN 319 421). */
    int64_t a_off = a->accuracy_microseconds < 0 ? SECOND : a->accuracy_microseconds;
    int64_t b_off = b->accuracy_microseconds < 0 ? SECOND : b->accuracy_microseconds;
    return ((double)b->seconds - (double)a->seconds - 1) * SECOND > (double)a_off + (double)b_off;
}

wmk_first_reason wmk_claims_first(size_t *oldest, const wmk_claim *claims, size_t count, const wmk_verdict *verdicts)
{
    size_t first = count;
    for (size_t k = 0; k < count; k++)
        if (claims[k].dated && (first == count || claims[k].seconds < claims[first].seconds)) first = k;
    *oldest = first;
    if (first == count) return WMK_FIRST_NO_DATE;
    for (size_t k = 0; k < count; k++)
        if (k != first && !is_older(&claims[first], &claims[k])) return WMK_FIRST_SAME_DATE;
    if (!claims[first].original) return WMK_FIRST_NO_ORIGINAL;
    for (size_t k = 0; k < count; k++)
        if (k != first && verdicts[k * count + first] != WMK_NOT_FOUND) return WMK_FIRST_OTHER_MARK;
    return verdicts[first * count + first] == WMK_NOT_FOUND ? WMK_FIRST_KNOWN : WMK_FIRST_OWN_MARK;
}
