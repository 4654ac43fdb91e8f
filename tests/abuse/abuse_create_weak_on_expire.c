/* SPDX-License-Identifier: MIT */
/*
 * Asked to be told of the end of handles, where there are none.
 *
 * expect-exit: 0
 * expect-stderr: EINVAL: attr\.on_expire is set and attr\.weak is CUBBY_WEAK_NONE, so that there are no handles to expire: leave it NULL, or choose a mode
 */
#include "weak_flavor.h"

static void
on_expire(struct cubby_cache *cache, void *object, uint64_t handle,
	  void *context)
{
	(void)cache;
	(void)object;
	(void)handle;
	(void)context;
}

int
main(void)
{
	struct rcu_flavor_struct flavor = FLAVOR;

	ABUSE_CREATE_WITH(.on_expire = on_expire);
	ABUSE_CREATE_WITH(.on_expire = on_expire, .rcu = &flavor);
	return 0;
}
