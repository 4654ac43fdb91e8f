/* SPDX-License-Identifier: MIT */
/*
 * Freed with its cache, then without.
 *
 * env: CUBBY_OPTIONS=front=none
 * expect-signal: SIGABRT
 * expect-stderr: cubby: double-free: cache 'truck': object 0x[0-9a-f]+ \(cell 0\) is already free; it was freed twice, or freed through a stale pointer
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	void *truck = cubby_alloc(trucks);

	cubby_free(trucks, truck);
	cubby_free_any(truck);
	return 0;
}
