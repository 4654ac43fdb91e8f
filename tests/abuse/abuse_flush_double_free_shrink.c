/* SPDX-License-Identifier: MIT */
/*
 * Freed twice into a magazine: found by shrink, which empties it.
 *
 * expect-signal: SIGABRT
 * expect-stderr: cubby: double-free: cache 'truck': object 0x[0-9a-f]+ \(cell 0\) is already free \(freed earlier; with CUBBY_DEBUG=checks it is found in the call\); it was freed twice, or freed through a stale pointer
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	void *truck = cubby_alloc(trucks);

	cubby_free(trucks, truck);
	cubby_free(trucks, truck);
	return cubby_cache_shrink(trucks, NULL);
}
