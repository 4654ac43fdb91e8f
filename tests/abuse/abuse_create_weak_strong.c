/* SPDX-License-Identifier: MIT */
/*
 * References besides borrows, where nothing is borrowed.
 *
 * expect-exit: 0
 * expect-stderr: EINVAL: attr\.is_strong is 1 and attr\.weak is CUBBY_WEAK_NONE: it adds references to CUBBY_WEAK_RCU only; leave it 0, or take CUBBY_WEAK_STRONG
 * expect-stderr: EINVAL: attr\.is_strong is 1 and attr\.weak is CUBBY_WEAK_REUSE: it adds references to CUBBY_WEAK_RCU only; leave it 0, or take CUBBY_WEAK_STRONG
 * expect-stderr: EINVAL: attr\.is_strong is 1 and attr\.weak is CUBBY_WEAK_STRONG: it adds references to CUBBY_WEAK_RCU only; leave it 0, objects are counted without it
 */
#include "weak_flavor.h"

int
main(void)
{
	struct rcu_flavor_struct flavor = FLAVOR;

	ABUSE_CREATE_WITH(.is_strong = 1);
	ABUSE_CREATE_WITH(.is_strong = 1, .rcu = &flavor);
	ABUSE_CREATE_WITH(.weak = CUBBY_WEAK_REUSE, .is_strong = 1);
	ABUSE_CREATE_WITH(.weak = CUBBY_WEAK_STRONG, .is_strong = 1);
	return 0;
}
