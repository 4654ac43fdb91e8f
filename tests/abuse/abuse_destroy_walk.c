/* SPDX-License-Identifier: MIT */
/*
 * A cache is destroyed, forcibly even, or shrunk during a walk.
 *
 * expect-exit: 0
 * expect-stderr: EBUSY: cache 'truck': a walk of it is open
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	struct cubby_walk *walk;

	abuse_must(cubby_walk_create(&walk, trucks));
	abuse_say(cubby_cache_destroy(trucks));
	abuse_say(cubby_cache_destroy_force(trucks));
	abuse_say(cubby_cache_shrink(trucks, NULL));
	cubby_walk_destroy(walk);
	abuse_must(cubby_cache_destroy(trucks));
	return 0;
}
