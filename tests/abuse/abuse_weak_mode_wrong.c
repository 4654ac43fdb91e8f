/* SPDX-License-Identifier: MIT */
/*
 * Calls of another mode than the cache has.
 *
 * env: CUBBY_OPTIONS=misuse=continue
 * expect-exit: 0
 * expect-stderr: cubby: weak-mode: cache 'counted': cubby_weak_get\(\) on a cache of CUBBY_WEAK_STRONG: take cubby_weak_upgrade\(\) and cubby_ref_put\(\); see the table of modes in cubby/weak\.h
 * expect-stderr: cubby: weak-mode: cache 'copied': cubby_weak_get\(\) on a cache of CUBBY_WEAK_REUSE: take cubby_weak_copy\(\); see the table of modes in cubby/weak\.h
 * expect-stderr: cubby: weak-mode: cache 'copied': cubby_weak_upgrade\(\) on a cache of CUBBY_WEAK_REUSE: take cubby_weak_copy\(\); see the table of modes in cubby/weak\.h
 * expect-stderr: cubby: weak-mode: cache 'copied': cubby_ref_get\(\) on a cache of CUBBY_WEAK_REUSE: take cubby_weak_copy\(\); see the table of modes in cubby/weak\.h
 * expect-stderr: cubby: weak-mode: cache 'copied': cubby_ref_put\(\) on a cache of CUBBY_WEAK_REUSE: take cubby_weak_copy\(\); see the table of modes in cubby/weak\.h
 * expect-stderr: cubby: weak-mode: cache 'counted': cubby_free_rcu\(\) on a cache without a flavour of RCU; see the table of modes in cubby/weak\.h
 * expect-stderr: cubby: weak-mode: cache 'copied': cubby_free_rcu\(\) on a cache without a flavour of RCU; see the table of modes in cubby/weak\.h
 */
#include "weak_cache.h"

int
main(void)
{
	struct cubby_cache *counted = abuse_weak_cache(
		"counted", CUBBY_WEAK_STRONG, NULL);
	struct cubby_cache *copied = abuse_weak_cache("copied",
						      CUBBY_WEAK_REUSE, NULL);
	void *truck = cubby_alloc(counted), *bus = cubby_alloc(copied);
	cubby_weak to_truck = cubby_weak_of(counted, truck);
	cubby_weak to_bus = cubby_weak_of(copied, bus);

	ABUSE_ASSERT(cubby_weak_get(counted, to_truck) == NULL);
	ABUSE_ASSERT(cubby_weak_get(copied, to_bus) == NULL);
	ABUSE_ASSERT(cubby_weak_upgrade(copied, to_bus) == NULL);
	ABUSE_ASSERT(cubby_ref_get(copied, bus) == NULL);
	cubby_ref_put(copied, bus);
	cubby_free_rcu(counted, truck);
	cubby_free_rcu(copied, bus);
	ABUSE_ASSERT(cubby_weak_is_live(counted, to_truck) == 1);
	ABUSE_ASSERT(cubby_weak_is_live(copied, to_bus) == 1);
	cubby_free(counted, truck);
	cubby_free(copied, bus);
	return cubby_cache_destroy(counted) || cubby_cache_destroy(copied);
}
