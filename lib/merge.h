/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: merge - of two magazines the low half stays, the high half goes
 *
 * depot.c says why: what is kept wanders down, and the top of the range empties.
 */
#ifndef CUBBY__MERGE_H
#define CUBBY__MERGE_H

#include "cache.h"

/*
 * Give about half of the cells of two magazines, which are in nobody's hands, back to
 * the slabs: how many.  Called under the slab lock.
 * @second: 0: there is one only.
 * @ret_kept: the magazine that has the others now, or 0; the other is empty, and
 *	among the empty ones.
 */
uint32_t cubby__merge(struct cubby_cache *cache, uint32_t first,
		      uint32_t second, uint32_t *ret_kept,
		      struct faults *faults);

/* Give all of one back; it is empty then, and among the empty ones. */
uint32_t cubby__merge_flush(struct cubby_cache *cache, uint32_t number,
			    struct faults *faults);

#endif /* CUBBY__MERGE_H */
