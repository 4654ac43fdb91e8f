/* SPDX-License-Identifier: MIT */
/*
 * A pointer into a cache's descriptor.
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

	return cubby_alloc((struct cubby_cache *)((char *)trucks + 8)) == NULL;
}
