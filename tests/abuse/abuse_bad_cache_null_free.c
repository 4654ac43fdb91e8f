/* SPDX-License-Identifier: MIT */
/*
 * An object is freed to NULL as a cache.
 *
 * env: CUBBY_OPTIONS=front=none
 * expect-signal: SIGABRT
 * expect-stderr: cubby: bad-cache: cubby_free\(\) on NULL, which is not a cache; pass what cubby_cache_create\(\) wrote
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	void *truck = cubby_alloc(trucks);

	cubby_free(NULL, truck);
	return 0;
}
