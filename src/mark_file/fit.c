/* mark_file/fit.c - axes of a tensor against axes of a target, by letter or by order.
 *
 * Some containers know which axis is what, others only have an order, and a key made from one of those holds a guess too (PyTorch's [out, in] for every matrix, which GPT-2's Conv1D
 * is not). A shape that fits in one way only decides the matter, and then says something about the other matrices of the same model: wmk_fit.vote. */
#include "mark_file/fit.h"

#include <string.h>

/* A shape without its axes of extent 1, or whole. */
typedef struct axes {
    uint32_t rank;
    uint64_t extent[WMK_RANK_MAX];
    char letter[WMK_RANK_MAX + 1]; /* "": the layout is none */
} axes;

static axes axes_of(const uint64_t *shape, uint32_t rank, const char *layout, bool whole)
{
    axes a = {0};
    bool lettered = wmk_layout_is_valid(layout, rank);
    for (uint32_t i = 0; i < rank; i++) {
        if (shape[i] == 1 && !whole) continue;
        a.extent[a.rank] = shape[i];
        if (lettered) a.letter[a.rank] = layout[i];
        a.rank++;
    }
    return a;
}

static bool fits_along(const axes *have, const axes *want)
{
    return have->rank == want->rank && memcmp(have->extent, want->extent, have->rank * sizeof have->extent[0]) == 0;
}

static bool fits_across(const axes *have, const axes *want)
{
    return have->rank == 2 && want->rank == 2 && have->extent[0] == want->extent[1] && have->extent[1] == want->extent[0];
}

static bool fits_letters(const axes *have, const axes *want)
{
    if (have->rank != want->rank) return false;
    for (uint32_t i = 0; i < have->rank; i++) {
        const char *place = have->letter[i] ? strchr(want->letter, have->letter[i]) : NULL;
        if (!place || want->extent[place - want->letter] != have->extent[i]) return false;
    }
    return true;
}

static wmk_fit fit_matrix(const axes *have, const axes *want, bool known)
{
    wmk_fit fit = {.way = WMK_WAY_NONE};
    bool along = fits_along(have, want), across = fits_across(have, want);
    bool same = have->letter[0] == want->letter[0] && have->letter[1] == want->letter[1];
    fit.turned = have->letter[0] == want->letter[1] && have->letter[1] == want->letter[0];
    fit.square = along && across;
    if (fit.square)
        fit.way = fit.turned && known ? WMK_WAY_ACROSS : WMK_WAY_ALONG;
    else if (along || across) {
        fit.way = along ? WMK_WAY_ALONG : WMK_WAY_ACROSS;
        bool nothing = along && same && !known; /* one guess made twice */
        if ((same || fit.turned) && !nothing) fit.vote = fit.turned == across ? 1 : -1;
    }
    return fit;
}

wmk_fit wmk_fit_of(const wmk_model_tensor *tensor, const wmk_target *target)
{
    const wmk_tensor_view *view = &tensor->view;
    wmk_fit fit = {.way = WMK_WAY_NONE};
    if (view->rank > WMK_RANK_MAX) return fit;
    axes have = axes_of(view->shape, view->rank, view->layout, false), want = axes_of(target->shape, target->rank, target->layout, false);
    if (have.rank == 2 && want.rank == 2) return fit_matrix(&have, &want, tensor->layout_known);
    bool along = fits_along(&have, &want), letters = have.rank > 2 && fits_letters(&have, &want);
    if (letters && (tensor->layout_known || !along))
        fit.way = WMK_WAY_LETTERS;
    else if (along)
        fit.way = WMK_WAY_ALONG;
    if (fit.way == WMK_WAY_LETTERS && !along) fit.vote = 1;
    return fit;
}

/* ---- other sizes ---- */

/* The weights that both have where axis a of the tensor is axis order[a] of the target. */
static double common(const axes *have, const axes *want, const uint32_t *order)
{
    double weights = 1;
    for (uint32_t a = 0; a < have->rank; a++) {
        uint64_t x = have->extent[a], y = want->extent[order[a]];
        weights *= (double)(x < y ? x : y);
    }
    return weights;
}

/* 0 where the letters are not the same. */
static double common_by_letters(const axes *have, const axes *want)
{
    uint32_t order[WMK_RANK_MAX];
    for (uint32_t a = 0; a < have->rank; a++) {
        const char *place = have->letter[a] ? strchr(want->letter, have->letter[a]) : NULL;
        if (!place) return 0;
        order[a] = (uint32_t)(place - want->letter);
    }
    return common(have, want, order);
}

wmk_fit wmk_fit_overlap(const wmk_model_tensor *tensor, const wmk_target *target)
{
    static const uint32_t in_order[WMK_RANK_MAX] = {0, 1, 2, 3, 4, 5, 6, 7}, exchanged[2] = {1, 0};
    const wmk_tensor_view *view = &tensor->view;
    wmk_fit fit = {.way = WMK_WAY_NONE};
    if (view->rank > WMK_RANK_MAX) return fit;
    bool whole = view->rank == target->rank;
    axes have = axes_of(view->shape, view->rank, view->layout, whole), want = axes_of(target->shape, target->rank, target->layout, whole);
    if (have.rank != want.rank) return fit;
    double along = common(&have, &want, in_order), other = 0;
    if (!(along > 0)) return fit; /* the tensor has no weights */
    fit.partial = true;
    fit.way = WMK_WAY_ALONG;
    if (have.rank == 2) {
        other = common(&have, &want, exchanged);
        fit.turned = have.letter[0] == want.letter[1] && have.letter[1] == want.letter[0];
        fit.square = along == other;
        if (other > along || (fit.square && fit.turned && tensor->layout_known)) fit.way = WMK_WAY_ACROSS;
    } else if (have.rank > 2) {
        other = common_by_letters(&have, &want);
        if (other > along || (other > 0 && tensor->layout_known)) fit.way = WMK_WAY_LETTERS;
    }
    return fit;
}

/* ---- views ---- */

bool wmk_fit_apply(wmk_tensor_view *view, const wmk_target *target, wmk_way way, bool partial)
{
    bool all_axes = partial && view->rank == target->rank;
    axes have = axes_of(view->shape, view->rank, view->layout, all_axes), want = axes_of(target->shape, target->rank, target->layout, all_axes);
    if (way == WMK_WAY_LETTERS) return false;
    bool whole = !partial && view->rank == target->rank && memcmp(view->shape, target->shape, view->rank * sizeof view->shape[0]) == 0;
    if (way == WMK_WAY_ALONG && whole) {
        memcpy(view->layout, target->layout, sizeof view->layout);
        return false;
    }
    if (way == WMK_WAY_ACROSS) {
        char first = want.letter[0];
        want.letter[0] = want.letter[1];
        want.letter[1] = first;
    }
    memset(view->layout, 0, sizeof view->layout);
    if (have.rank == view->rank && strchr(want.letter, 'O')) {
        memcpy(view->layout, want.letter, have.rank);
        return false;
    }
    uint32_t rank = 0;
    if (!strchr(want.letter, 'O')) { /* a single filter still has its axis */
        view->shape[rank] = 1;
        view->layout[rank++] = 'O';
    }
    for (uint32_t i = 0; i < have.rank; i++, rank++) {
        view->shape[rank] = have.extent[i];
        view->layout[rank] = want.letter[i];
    }
    view->rank = rank;
    return true;
}
