/* SPDX-License-Identifier: MIT */
/*
 * An address that nothing is mapped at, as a cache.
 *
 * expect-signal: SIGABRT
 * expect-stderr: cubby: bad-cache: cubby_alloc\(\) on 0x123456789a, which is not a cache; pass what cubby_cache_create\(\) wrote
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *garbage = (struct cubby_cache *)0x123456789a;

	return cubby_alloc(garbage) == NULL;
}
