/* SPDX-License-Identifier: MIT */
/*
 * What is said about waiting for grace periods, where nothing waits for any.
 *
 * expect-exit: 0
 * expect-stderr: EINVAL: attr\.(reclaim|soft_deferred_objects|soft_deferred_bytes|max_deferred_objects|max_deferred_bytes|on_stall|stall_ms) is set and attr\.rcu is NULL, so that no object waits for a grace period: leave it 0, or give a flavour
 * expect-stderr: EINVAL: attr\.reclaim is .*
 * expect-stderr: EINVAL: attr\.soft_deferred_objects is .*
 * expect-stderr: EINVAL: attr\.soft_deferred_bytes is .*
 * expect-stderr: EINVAL: attr\.max_deferred_objects is .*
 * expect-stderr: EINVAL: attr\.max_deferred_bytes is .*
 * expect-stderr: EINVAL: attr\.on_stall is .*
 * expect-stderr: EINVAL: attr\.stall_ms is .*
 */
#include "weak_flavor.h"

static void
on_stall(struct cubby_cache *cache, const struct cubby_stall *stall,
	 void *context)
{
	(void)cache;
	(void)stall;
	(void)context;
}

int
main(void)
{
	static const uint64_t modes[] = { CUBBY_WEAK_NONE, CUBBY_WEAK_STRONG,
					  CUBBY_WEAK_REUSE };

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		uint64_t weak = modes[i];

		ABUSE_CREATE_WITH(.weak = weak, .reclaim = CUBBY_RECLAIM_POLL);
		ABUSE_CREATE_WITH(.weak = weak, .soft_deferred_objects = 1);
		ABUSE_CREATE_WITH(.weak = weak, .soft_deferred_bytes = 1);
		ABUSE_CREATE_WITH(.weak = weak, .max_deferred_objects = 1);
		ABUSE_CREATE_WITH(.weak = weak, .max_deferred_bytes = 1);
		ABUSE_CREATE_WITH(.weak = weak, .on_stall = on_stall);
		ABUSE_CREATE_WITH(.weak = weak, .stall_ms = 1);
	}
	return 0;
}
