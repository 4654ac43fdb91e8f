/* SPDX-License-Identifier: MIT */
/*
 * The handle of an object, asked of another cache.
 *
 * env: CUBBY_OPTIONS=front=none
 * expect-signal: SIGABRT
 * expect-stderr: cubby: not-an-object: cache 'truck': cubby_weak_of\(\): 0x[0-9a-f]+ is in cache 'bus'; pass the first byte of an object of this cache; cubby_cache_of\(\) tells whose an address is
 */
#include "weak_cache.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_weak_cache("truck",
						      CUBBY_WEAK_REUSE, NULL);
	void *truck = cubby_alloc(abuse_cache("bus"));

	return cubby_weak_of(trucks, truck) != CUBBY_WEAK_NULL;
}
