/* SPDX-License-Identifier: MIT */
/*
 * Soft limits above the hard ones.
 *
 * expect-exit: 0
 * expect-stderr: EINVAL: attr\.soft_deferred_objects is 11 and attr\.max_deferred_objects is 10: make the soft limit the lower one, or leave it 0
 * expect-stderr: EINVAL: attr\.soft_deferred_bytes is 4097 and attr\.max_deferred_bytes is 4096: make the soft limit the lower one, or leave it 0
 */
#include "weak_flavor.h"

int
main(void)
{
	struct rcu_flavor_struct flavor = FLAVOR;

	for (uint64_t weak = CUBBY_WEAK_NONE; weak <= CUBBY_WEAK_RCU; weak++) {
		ABUSE_CREATE_WITH(.weak = weak, .rcu = &flavor,
				  .soft_deferred_objects = 11,
				  .max_deferred_objects = 10);
		ABUSE_CREATE_WITH(.weak = weak, .rcu = &flavor,
				  .soft_deferred_bytes = 4097,
				  .max_deferred_bytes = 4096);
	}
	return 0;
}
