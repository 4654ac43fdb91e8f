/* SPDX-License-Identifier: MIT */
/*
 * An object is freed to another cache.
 *
 * env: CUBBY_OPTIONS=front=none
 * expect-signal: SIGABRT
 * expect-stderr: cubby: wrong-cache: cache 'truck': 0x[0-9a-f]+ belongs to cache 'bus'; free it there, or with cubby_free_any\(\)
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	struct cubby_cache *buses = abuse_cache("bus");
	void *bus = cubby_alloc(buses);

	cubby_free(trucks, bus);
	return 0;
}
