/* SPDX-License-Identifier: MIT */
/*
 * A pointer into a destroyed cache is freed after somebody asked for a cache
 * that can never fit: that must not cost what is known of destroyed ones.
 *
 * env: CUBBY_OPTIONS=front=none,budget=64G
 * expect-signal: SIGABRT
 * expect-stderr: cubby: foreign-free: cache 'bus': 0x[0-9a-f]+ was in cache 'truck', which was destroyed; free what cubby_alloc\(\) returned, once, before its cache is destroyed
 */
#include "abuse.h"

#define TOO_MANY 1000000 /* MiB */

int
main(void)
{
	struct cubby_cache *buses = abuse_cache("bus");
	struct cubby_cache *trucks = abuse_cache("truck");
	struct cubby_cache *giants = NULL;
	struct cubby_cache_attr attr;
	void *truck = cubby_alloc(trucks);

	abuse_must(cubby_cache_destroy_force(trucks));
	cubby_cache_attr_init(&attr);
	attr.max_objects = TOO_MANY;
	ABUSE_ASSERT(cubby_cache_create_sized(&giants, "giant", 1 << 20, 0,
					      &attr) == -ENOMEM);
	cubby_free(buses, truck);
	return 0;
}
