/* mark/carrier_balance.h - the factors of carrier `balanced`: what each input channel and each filter of a weight tensor is
 * divided by, so that rescaling either moves nothing (docs/spec.md, "Carriers and reading"). */
#ifndef WMK_MARK_CARRIER_BALANCE_H
#define WMK_MARK_CARRIER_BALANCE_H

#include "mark/carrier.h"

/* Targets with more weights per filter are read as `weights`, which needs no memory per position. */
#define WMK_BALANCE_FILTER_MAX ((uint64_t)1 << 22)

/* And so are those with fewer weights per input channel: dividing them would leave little but signs. */
#define WMK_BALANCE_CHANNEL_LEAST 8

/* Whether a target is none of these. */
bool wmk_balance_applies(const wmk_place *place);
/* How many input channels have a factor of their own: place->extent[WMK_AXIS_I], or 1 for such a target. */
uint64_t wmk_balance_channels(const wmk_place *place);

/* Working memory for one target, which may be used again when its weights have changed. view and place are borrowed.
 * wmk_balance_applies is true. MEMORY. */
typedef struct wmk_balance wmk_balance;
wmk_status wmk_balance_create(wmk_balance **out, const wmk_tensor_view *view, const wmk_place *place);
/* Weight (p, o) of channel i counts as W channel[i] inverse[o]. channel, channel_rms [channels]; rms, inverse [filters].
 * channel_rms[i] (may be NULL) is 1 / channel[i] and rms[o] is 1 / inverse[o]; 0 stands for 1 / 0. Returns how many weights are no
 * numbers, or of filters whose squares overflow; they count as 0. The result does not depend on the number of threads.
 * traffic may be NULL. */
uint64_t wmk_balance_compute(wmk_balance *balance, double *channel, double *channel_rms, double *rms, double *inverse, const wmk_traffic *traffic);
void wmk_balance_free(wmk_balance *balance); /* NULL allowed */

#endif
