/* SPDX-License-Identifier: MIT */
/*
 * Handles of objects whose layout was declared without.
 *
 * expect-exit: 0
 * expect-stderr: EINVAL: attr\.weak is CUBBY_WEAK_RCU, but layout 'truck' is without weak handles: declare it with CUBBY_WEAK_LAYOUT
 * expect-stderr: EINVAL: attr\.weak is CUBBY_WEAK_STRONG, but layout 'truck' is without weak handles: declare it with CUBBY_WEAK_LAYOUT
 * expect-stderr: EINVAL: attr\.weak is CUBBY_WEAK_REUSE, but layout 'truck' is without weak handles: declare it with CUBBY_WEAK_LAYOUT
 * expect-stderr: EINVAL: attr\.weak is CUBBY_WEAK_REUSE, but layout '\?' is without weak handles: declare it with CUBBY_WEAK_LAYOUT
 */
#include "weak_flavor.h"

#define TRUCK_SLOTS(SLOT) SLOT(long, number, "on its plate")
CUBBY_LAYOUT(truck, TRUCK_SLOTS);

static void
abuse_create_truck(const struct cubby_cache_attr *attr)
{
	struct cubby_cache *trucks = NULL;

	abuse_say(truck_cache_create(&trucks, attr));
	ABUSE_ASSERT(trucks == NULL);
}

int
main(void)
{
	struct rcu_flavor_struct flavor = FLAVOR;
	struct cubby_layout nameless = truck_layout;
	struct cubby_cache *trucks = NULL;

	abuse_create_truck(
		&CUBBY_CACHE_ATTR(.weak = CUBBY_WEAK_RCU, .rcu = &flavor));
	abuse_create_truck(&CUBBY_CACHE_ATTR(.weak = CUBBY_WEAK_STRONG));
	abuse_create_truck(&CUBBY_CACHE_ATTR(.weak = CUBBY_WEAK_REUSE));
	nameless.names = NULL;
	abuse_say(cubby_cache_create(
		&trucks, &nameless,
		&CUBBY_CACHE_ATTR(.name = "truck", .weak = CUBBY_WEAK_REUSE)));
	ABUSE_ASSERT(trucks == NULL);
	return 0;
}
