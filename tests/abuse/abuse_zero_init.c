/* SPDX-License-Identifier: MIT */
/*
 * Cleared objects from a cache whose cells init has set up.
 *
 * expect-signal: SIGABRT
 * expect-stderr: cubby: zero-init: cache 'truck': cubby_zalloc\(\) on a cache with init; use cubby_alloc\(\): clearing would destroy what init set up
 */
#include "abuse.h"

static int
accept(void *object, void *context)
{
	(void)object;
	(void)context;
	return 0;
}

int
main(void)
{
	struct cubby_cache *trucks;

	abuse_must(cubby_cache_create_sized(
		&trucks, "truck", 100, 0, &CUBBY_CACHE_ATTR(.init = accept)));
	return cubby_zalloc(trucks) == NULL;
}
