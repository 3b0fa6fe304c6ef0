/* mark/carrier_balance.h - the factors of carrier `balanced`: what each input channel and each filter of a weight tensor is
 * divided by, so that rescaling either moves nothing (docs/spec.md, "Carriers and reading"). */
#ifndef WMK_MARK_CARRIER_BALANCE_H
#define WMK_MARK_CARRIER_BALANCE_H

#include "mark/carrier.h"

/* Targets with more weights per filter are read as `weights`, which needs no memory per position. */
#define WMK_BALANCE_FILTER_MAX ((uint64_t)1 << 22)

/* How many input channels have a factor of their own: place->extent[WMK_AXIS_I], or 1 for such a target. */
uint64_t wmk_balance_channels(const wmk_place *place);

/* Weight (p, o) of channel i counts as W channel[i] inverse[o]. channel, channel_rms [channels]; rms, inverse [filters].
 * channel_rms[i] is 1 / channel[i] and rms[o] is 1 / inverse[o]; 0 stands for 1 / 0.
 * *lost: weights that are no numbers, or of filters whose squares overflow; they count as 0. MEMORY. */
wmk_status wmk_view_balance(const wmk_tensor_view *view, const wmk_place *place, double *channel, double *channel_rms,
                            double *rms, double *inverse, uint64_t *lost, const wmk_traffic *traffic);

#endif
