/* mark/evidence.h - the soft score, for the files of this room. */
#ifndef WMK_MARK_EVIDENCE_H
#define WMK_MARK_EVIDENCE_H

#include <weightmark/mark.h>

/* Counts and z of a reading, and no p: bits, erased, bit_errors, ber, z. b [T] the bits that should be there. *ties: right bits whose y is exactly 0. */
void wmk_evidence_count(wmk_evidence *out, const wmk_key *key, const uint8_t *b, const wmk_reading *reading, uint32_t *ties);

#endif
