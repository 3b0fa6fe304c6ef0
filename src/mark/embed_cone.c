/* mark/embed_cone.c - one bit with a support of its own: its smallest change in closed form. */
#include <math.h>

#include "mark/embed.h"

/* In the plane of w and the row's unit vector u the cone is a wedge about u; w outside it goes to the nearest point of the wedge's edge. */
bool wmk_cone_project(wmk_cone *out, double dot, double squares, double count, double margin)
{
    *out = (wmk_cone){1, 0};
    double root = sqrt(count), length = sqrt(squares);
    if (!(squares > 0) || !(count > 0) || margin > root * 1.0001) return false;
    if (dot >= margin * length) return true;
    double along = dot / root, across = sqrt(fmax(0, squares - along * along)); /* w = along u + across e */
    double cosine = fmin(1, margin / root), sine = sqrt(1 - cosine * cosine);
    double edge = fmax(along * cosine + across * sine, WMK_EMBED_LEAST * length); /* the cone's tip itself is no mark */
    out->scale = across > 1e-12 * length ? edge * sine / across : 0;
    out->add = (edge * cosine - out->scale * along) / root;
    return true;
}
