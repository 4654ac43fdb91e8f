/* SPDX-License-Identifier: MIT */
/*
 * Calls about handles on a cache that was destroyed.
 *
 * env: CUBBY_OPTIONS=misuse=continue
 * expect-exit: 0
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_weak_of\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_weak_known\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_weak_get\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_weak_is_live\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_weak_free\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_weak_upgrade\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_ref_get\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_ref_put\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_weak_copy\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_free_rcu\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_weak_watch\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: CUBBY_ENOCACHE: cubby_weak_watch\(\) on what is not a live cache of this copy of Cubby
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_weak_unwatch\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_rcu_barrier\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: CUBBY_ENOCACHE: cubby_rcu_barrier\(\) on what is not a live cache of this copy of Cubby
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_rcu_poll\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: CUBBY_ENOCACHE: cubby_rcu_poll\(\) on what is not a live cache of this copy of Cubby
 */
#include "weak_cache.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_weak_cache("truck",
						      CUBBY_WEAK_STRONG, NULL);
	char *truck = cubby_alloc(trucks);
	cubby_weak handle = cubby_weak_of(trucks, truck);
	cubby_watch watch = 0;
	char byte = 42;

	cubby_free(trucks, truck);
	abuse_must(cubby_cache_destroy(trucks));
	ABUSE_ASSERT(cubby_weak_of(trucks, truck) == CUBBY_WEAK_NULL);
	ABUSE_ASSERT(cubby_weak_known(trucks, truck) == CUBBY_WEAK_NULL);
	ABUSE_ASSERT(cubby_weak_get(trucks, handle) == NULL);
	ABUSE_ASSERT(cubby_weak_is_live(trucks, handle) == 0);
	ABUSE_ASSERT(cubby_weak_free(trucks, handle) == -ESTALE);
	ABUSE_ASSERT(cubby_weak_upgrade(trucks, handle) == NULL);
	ABUSE_ASSERT(cubby_ref_get(trucks, truck) == NULL);
	cubby_ref_put(trucks, truck);
	ABUSE_ASSERT(cubby_weak_copy(trucks, handle, &byte, 0, 1) == -ESTALE);
	ABUSE_ASSERT(byte == 42);
	cubby_free_rcu(trucks, truck);
	abuse_say(cubby_weak_watch(trucks, handle, ignore_expiry, NULL, 0,
				   &watch));
	ABUSE_ASSERT(cubby_weak_unwatch(trucks, 1) == -ESTALE);
	abuse_say(cubby_rcu_barrier(trucks));
	abuse_say((int)cubby_rcu_poll(trucks));
	return 0;
}
