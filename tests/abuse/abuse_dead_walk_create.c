/* SPDX-License-Identifier: MIT */
/*
 * cubby_walk_create() on a cache that was destroyed.
 *
 * expect-signal: SIGABRT
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_walk_create\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_dead_cache("truck");
	struct cubby_walk *walk;

	(void)!cubby_walk_create(&walk, trucks);
	return 0;
}
