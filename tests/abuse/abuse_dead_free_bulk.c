/* SPDX-License-Identifier: MIT */
/*
 * cubby_free_bulk() on a cache that was destroyed.
 *
 * expect-signal: SIGABRT
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_free_bulk\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_dead_cache("truck");
	void *object = NULL;

	cubby_free_bulk(trucks, 1, &object);
	return 0;
}
