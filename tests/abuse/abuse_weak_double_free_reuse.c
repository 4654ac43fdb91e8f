/* SPDX-License-Identifier: MIT */
/*
 * An object with a handle freed twice, in CUBBY_WEAK_REUSE.
 *
 * env: CUBBY_OPTIONS=front=none
 * expect-signal: SIGABRT
 * expect-stderr: dtor 1
 * expect-stderr: cubby: double-free: cache 'truck': object 0x[0-9a-f]+ \(cell 0\) is already free; it was freed twice, or freed through a stale pointer
 */
#include "weak_cache.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_weak_cache(
		"truck", CUBBY_WEAK_REUSE, say_dtor);
	void *truck = cubby_alloc(trucks);

	ABUSE_ASSERT(cubby_weak_of(trucks, truck) != CUBBY_WEAK_NULL);
	cubby_free(trucks, truck);
	cubby_free(trucks, truck);
	return 0;
}
