/* SPDX-License-Identifier: MIT */
/*
 * Values that no enum has, and a flavour that is none.
 *
 * expect-exit: 0
 * expect-stderr: EINVAL: attr\.weak is 4, which is no mode: take CUBBY_WEAK_NONE, _RCU, _STRONG or _REUSE
 * expect-stderr: EINVAL: attr\.weak is 18446744073709551615, which is no mode: .*
 * expect-stderr: EINVAL: attr\.is_strong is 2: it is 0 or 1
 * expect-stderr: EINVAL: attr\.reclaim is 2, which is no back end: take CUBBY_RECLAIM_THREAD or CUBBY_RECLAIM_POLL
 * expect-stderr: EINVAL: attr\.rcu points to a flavour without read_ongoing: give a flavour of liburcu as it is, for example &urcu_memb_flavor
 * expect-stderr: EINVAL: attr\.rcu points to a flavour without update_call_rcu: give .*
 * expect-stderr: EINVAL: attr\.rcu points to a flavour without update_synchronize_rcu: give .*
 * expect-stderr: EINVAL: attr\.rcu points to a flavour without register_thread or unregister_thread: give .*
 * expect-stderr: EINVAL: attr\.rcu points to a flavour without thread_offline or thread_online: give .*
 */
#include "weak_flavor.h"

int
main(void)
{
	static const int wanted[] = { FLAVOR_READ_ONGOING, FLAVOR_CALL_RCU,
				      FLAVOR_SYNCHRONIZE,  FLAVOR_REGISTER,
				      FLAVOR_REGISTER + 1, FLAVOR_OFFLINE,
				      FLAVOR_OFFLINE + 1 };
	struct rcu_flavor_struct whole = FLAVOR, zeroes = { { NULL } };

	ABUSE_CREATE_WITH(.weak = CUBBY_WEAK_REUSE + 1);
	ABUSE_CREATE_WITH(.weak = UINT64_MAX);
	ABUSE_CREATE_WITH(.weak = CUBBY_WEAK_RCU, .rcu = &whole,
			  .is_strong = 2);
	ABUSE_CREATE_WITH(.rcu = &whole, .reclaim = CUBBY_RECLAIM_POLL + 1);
	ABUSE_CREATE_WITH(.rcu = &zeroes);
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		struct rcu_flavor_struct flavor = flavor_without(wanted[i]);

		ABUSE_CREATE_WITH(.weak = CUBBY_WEAK_RCU, .rcu = &flavor);
	}
	return 0;
}
