/* mark_file/fit.h - in which ways the bytes of a tensor can be a target's weights. */
#ifndef WMK_MARK_FILE_FIT_H
#define WMK_MARK_FILE_FIT_H

#include <weightmark/mark.h>
#include <weightmark/model.h>

/* How the axes of a tensor are a target's; axes of extent 1 do not count where sizes are the same. */
typedef enum wmk_way {
    WMK_WAY_NONE,    /* the shapes do not fit */
    WMK_WAY_ALONG,   /* in the target's order */
    WMK_WAY_ACROSS,  /* of two axes: in the other order */
    WMK_WAY_LETTERS, /* of more: each is what the tensor's own layout says */
} wmk_way;

typedef struct wmk_fit {
    wmk_way way;  /* of a square matrix: the one to expect */
    bool square;  /* both orders of the axes fit, or overlap as much */
    bool turned;  /* of a matrix: the letters of the two layouts say that the order of its axes was changed */
    bool partial; /* the sizes are others: wmk_fit_overlap */
    int vote;     /* what its shape says of the letters, which may be guesses in the key or in the model: 1 they are right, -1 wrong, 0 nothing */
} wmk_fit;

/* Shapes and layouts only; whether there are values is not looked at. */
wmk_fit wmk_fit_of(const wmk_model_tensor *tensor, const wmk_target *target);
/* The same where the sizes do not fit and the number of axes is the target's (also without the axes of
 * extent 1): the order of axes in which tensor and target have more weights in common. Letters that the
 * container knows go first for more than two axes. */
wmk_fit wmk_fit_overlap(const wmk_model_tensor *tensor, const wmk_target *target);

/* Gives *view the layout that reads it as the target in a way that fits, or overlaps. True: axes of extent 1 had to go, so that a codec must be shown the view as it was. */
bool wmk_fit_apply(wmk_tensor_view *view, const wmk_target *target, wmk_way way, bool partial);

#endif
