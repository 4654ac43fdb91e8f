/* SPDX-License-Identifier: MIT */
/*
 * misuse=continue: a refused cubby_zalloc() returns NULL.
 *
 * env: CUBBY_OPTIONS=misuse=continue
 * expect-exit: 0
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
	errno = 0;
	ABUSE_ASSERT(cubby_zalloc(trucks) == NULL && errno == ENOMEM);
	ABUSE_ASSERT(cubby_misuse_count() == 1);
	abuse_must(cubby_cache_destroy(trucks));
	return 0;
}
