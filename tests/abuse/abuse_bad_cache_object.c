/* SPDX-License-Identifier: MIT */
/*
 * An object is passed for its cache.
 *
 * env: CUBBY_OPTIONS=front=none
 * expect-signal: SIGABRT
 * expect-stderr: cubby: bad-cache: cubby_alloc\(\) on 0x[0-9a-f]+, which is not a cache; pass what cubby_cache_create\(\) wrote
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	void *truck = cubby_alloc(trucks);

	return cubby_alloc(truck) == NULL;
}
