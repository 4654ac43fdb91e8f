/* SPDX-License-Identifier: MIT */
/*
 * NULL as a cache.
 *
 * expect-signal: SIGABRT
 * expect-stderr: cubby: bad-cache: cubby_alloc\(\) on NULL, which is not a cache; pass what cubby_cache_create\(\) wrote
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *none = NULL;

	return cubby_alloc(none) == NULL;
}
