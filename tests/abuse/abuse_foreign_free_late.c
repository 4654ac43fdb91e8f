/* SPDX-License-Identifier: MIT */
/*
 * A pointer into a destroyed cache is freed to another cache.
 *
 * env: CUBBY_OPTIONS=front=none,budget=64G
 * expect-signal: SIGABRT
 * expect-stderr: cubby: foreign-free: cache 'bus': 0x[0-9a-f]+ was in cache 'truck', which was destroyed; free what cubby_alloc\(\) returned, once, before its cache is destroyed
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *buses = abuse_cache("bus");
	struct cubby_cache *trucks = abuse_cache("truck");
	void *truck = cubby_alloc(trucks);

	abuse_must(cubby_cache_destroy_force(trucks));
	cubby_free(buses, truck);
	return 0;
}
