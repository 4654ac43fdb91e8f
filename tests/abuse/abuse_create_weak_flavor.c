/* SPDX-License-Identifier: MIT */
/*
 * A mode without the flavour that it needs, or with one that it does not.
 *
 * expect-exit: 0
 * expect-stderr: EINVAL: attr\.weak is CUBBY_WEAK_RCU and attr\.rcu is NULL: give the flavour of your read sections, for example &urcu_memb_flavor; without any, take CUBBY_WEAK_STRONG, or cubby_rcu_flavor\(\) of libcubby-rcu
 * expect-stderr: EINVAL: attr\.rcu is set and attr\.weak is CUBBY_WEAK_STRONG, which waits for no grace period: leave it NULL, or take CUBBY_WEAK_RCU with is_strong = 1
 * expect-stderr: EINVAL: attr\.rcu is set and attr\.weak is CUBBY_WEAK_REUSE, which waits for no grace period: leave it NULL, or take CUBBY_WEAK_RCU
 */
#include "weak_flavor.h"

int
main(void)
{
	struct rcu_flavor_struct flavor = FLAVOR;

	ABUSE_CREATE_WITH(.weak = CUBBY_WEAK_RCU);
	ABUSE_CREATE_WITH(.weak = CUBBY_WEAK_RCU, .is_strong = 1);
	for (uint64_t reclaim = 0; reclaim <= CUBBY_RECLAIM_POLL; reclaim++) {
		ABUSE_CREATE_WITH(.weak = CUBBY_WEAK_STRONG, .rcu = &flavor,
				  .reclaim = reclaim);
		ABUSE_CREATE_WITH(.weak = CUBBY_WEAK_REUSE, .rcu = &flavor,
				  .reclaim = reclaim);
	}
	return 0;
}
