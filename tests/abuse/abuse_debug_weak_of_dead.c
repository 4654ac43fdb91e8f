/* SPDX-License-Identifier: MIT */
/*
 * A handle is made of an object that is free: found in the call, which makes none.
 *
 * env: CUBBY_DEBUG=F,truck
 * expect-signal: SIGABRT
 * expect-stderr: cubby: weak-of-dead: cache 'truck': a handle was to be made of object 0x[0-9a-f]+ \(cell 0\) after its free; who does not own an object asks cubby_weak_known\(\)
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks;
	void *truck;

	abuse_must(cubby_cache_create_sized(
		&trucks, "truck", 100, 0,
		&CUBBY_CACHE_ATTR(.weak = CUBBY_WEAK_REUSE)));
	truck = cubby_alloc(trucks);
	cubby_free(trucks, truck);
	return cubby_weak_of(trucks, truck) != CUBBY_WEAK_NULL;
}
