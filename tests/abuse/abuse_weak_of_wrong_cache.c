/* SPDX-License-Identifier: MIT */
/*
 * The handle of an object, asked of another cache.
 *
 * env: CUBBY_OPTIONS=front=none
 * expect-signal: SIGABRT
 * expect-stderr: cubby: wrong-cache: cache 'truck': 0x[0-9a-f]+ belongs to cache 'bus'; free it there, or with cubby_free_any\(\)
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
