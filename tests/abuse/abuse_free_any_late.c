/* SPDX-License-Identifier: MIT */
/*
 * cubby_free_any() is given a pointer into a destroyed cache.
 *
 * env: CUBBY_OPTIONS=budget=64G
 * expect-signal: SIGABRT
 * expect-stderr: cubby: foreign-free: 0x[0-9a-f]+ was in cache 'truck', which was destroyed; free what cubby_alloc\(\) returned, once, before its cache is destroyed
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	void *truck = cubby_alloc(trucks);

	abuse_must(cubby_cache_destroy_force(trucks));
	cubby_free_any(truck);
	return 0;
}
