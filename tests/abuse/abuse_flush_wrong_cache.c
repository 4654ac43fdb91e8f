/* SPDX-License-Identifier: MIT */
/*
 * An object is put into a magazine of another cache: found by shrink.
 *
 * expect-signal: SIGABRT
 * expect-stderr: cubby: wrong-cache: cache 'truck': 0x[0-9a-f]+ belongs to cache 'bus' \(freed earlier; with CUBBY_DEBUG=checks it is found in the call\); free it there, or with cubby_free_any\(\)
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	struct cubby_cache *buses = abuse_cache("bus");

	cubby_free(trucks, cubby_alloc(trucks));
	cubby_free(trucks, cubby_alloc(buses));
	return cubby_cache_shrink(trucks, NULL);
}
