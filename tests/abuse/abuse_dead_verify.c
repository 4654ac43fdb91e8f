/* SPDX-License-Identifier: MIT */
/*
 * cubby_cache_verify() on a cache that was destroyed.
 *
 * expect-signal: SIGABRT
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_cache_verify\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_dead_cache("truck");

	(void)!cubby_cache_verify(trucks);
	return 0;
}
