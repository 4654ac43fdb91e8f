/* SPDX-License-Identifier: MIT */
/*
 * Each call about handles, on a cache that has none.
 *
 * env: CUBBY_OPTIONS=misuse=continue
 * expect-exit: 0
 * expect-stderr: cubby: weak-mode: cache 'truck': cubby_weak_of\(\) on a cache without handles; see the table of modes in cubby/weak\.h
 * expect-stderr: cubby: weak-mode: cache 'truck': cubby_weak_known\(\) on a cache without handles; see the table of modes in cubby/weak\.h
 * expect-stderr: cubby: weak-mode: cache 'truck': cubby_weak_get\(\) on a cache without handles; see the table of modes in cubby/weak\.h
 * expect-stderr: cubby: weak-mode: cache 'truck': cubby_weak_is_live\(\) on a cache without handles; see the table of modes in cubby/weak\.h
 * expect-stderr: cubby: weak-mode: cache 'truck': cubby_weak_free\(\) on a cache without handles; see the table of modes in cubby/weak\.h
 * expect-stderr: cubby: weak-mode: cache 'truck': cubby_weak_upgrade\(\) on a cache without handles; see the table of modes in cubby/weak\.h
 * expect-stderr: cubby: weak-mode: cache 'truck': cubby_ref_get\(\) on a cache without handles; see the table of modes in cubby/weak\.h
 * expect-stderr: cubby: weak-mode: cache 'truck': cubby_ref_put\(\) on a cache without handles; see the table of modes in cubby/weak\.h
 * expect-stderr: cubby: weak-mode: cache 'truck': cubby_weak_copy\(\) on a cache without handles; see the table of modes in cubby/weak\.h
 * expect-stderr: cubby: weak-mode: cache 'truck': cubby_weak_seal\(\) on a cache without handles; see the table of modes in cubby/weak\.h
 * expect-stderr: cubby: weak-mode: cache 'truck': cubby_weak_unseal\(\) on a cache without handles; see the table of modes in cubby/weak\.h
 * expect-stderr: cubby: weak-mode: cache 'truck': cubby_free_rcu\(\) on a cache without a flavour of RCU; see the table of modes in cubby/weak\.h
 * expect-stderr: EINVAL: cache 'truck' has no handles: create it with a weak mode
 */
#include "weak_cache.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	cubby_watch watch = 0;
	void *truck = cubby_alloc(trucks);
	char byte = 42;

	errno = EXDEV;
	ABUSE_ASSERT(cubby_weak_of(trucks, truck) == CUBBY_WEAK_NULL);
	ABUSE_ASSERT(cubby_weak_known(trucks, truck) == CUBBY_WEAK_NULL);
	ABUSE_ASSERT(cubby_weak_get(trucks, 1) == NULL);
	ABUSE_ASSERT(cubby_weak_is_live(trucks, 1) == 0);
	ABUSE_ASSERT(cubby_weak_free(trucks, 1) == -ESTALE);
	ABUSE_ASSERT(cubby_weak_upgrade(trucks, 1) == NULL);
	ABUSE_ASSERT(cubby_ref_get(trucks, truck) == NULL);
	cubby_ref_put(trucks, truck);
	ABUSE_ASSERT(cubby_weak_copy(trucks, 1, &byte, 0, 1) == -ESTALE);
	ABUSE_ASSERT(byte == 42);
	ABUSE_ASSERT(cubby_weak_seal(trucks, 1) == 0);
	ABUSE_ASSERT(cubby_weak_unseal(trucks, 1) == CUBBY_WEAK_NULL);
	cubby_free_rcu(trucks, truck);
	ABUSE_ASSERT(errno == EXDEV);
	abuse_say(cubby_weak_watch(trucks, 1, ignore_expiry, NULL, 0, &watch));
	ABUSE_ASSERT(cubby_weak_unwatch(trucks, watch) == -ESTALE);
	ABUSE_ASSERT(cubby_is_live(trucks, truck) == 1);
	ABUSE_ASSERT(cubby_rcu_barrier(trucks) == 0);
	cubby_free(trucks, truck);
	return cubby_cache_destroy(trucks);
}
