/* SPDX-License-Identifier: MIT */
/*
 * A callback of cubby_cache_for_each() destroys its cache.
 *
 * expect-exit: 0
 * expect-stderr: EBUSY: cache 'truck': cubby_cache_for_each\(\) is at it
 */
#include "abuse.h"

static int
destroy_it(struct cubby_cache *cache, void *context)
{
	(void)context;
	abuse_say(cubby_cache_destroy(cache));
	return 0;
}

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");

	cubby_cache_for_each(destroy_it, NULL);
	abuse_must(cubby_cache_destroy(trucks));
	return 0;
}
