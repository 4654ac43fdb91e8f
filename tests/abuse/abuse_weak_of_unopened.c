/* SPDX-License-Identifier: MIT */
/*
 * The handle of a cell that was never opened.
 *
 * env: CUBBY_OPTIONS=front=none
 * expect-signal: SIGABRT
 * expect-stderr: cubby: not-an-object: cache 'truck': cubby_weak_of\(\): 0x[0-9a-f]+ \(cell 5000\) was never allocated; pass the first byte of an object of this cache; cubby_cache_of\(\) tells whose an address is
 */
#include "weak_cache.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_weak_cache("truck",
						      CUBBY_WEAK_REUSE, NULL);
	char *truck = cubby_alloc(trucks);

	return cubby_weak_of(trucks,
			     truck + 5000 * cubby_cache_cell_bytes(trucks)) !=
	       CUBBY_WEAK_NULL;
}
