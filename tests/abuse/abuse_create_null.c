/* SPDX-License-Identifier: MIT */
/*
 * NULL where the cache or the layout should be.
 *
 * expect-exit: 0
 * expect-stderr: EINVAL: ret_cache is NULL
 * expect-stderr: EINVAL: layout is NULL
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = NULL;

	abuse_say(cubby_cache_create_sized(NULL, "truck", 64, 0, NULL));
	abuse_say(cubby_cache_create(&trucks, NULL, NULL));
	ABUSE_ASSERT(trucks == NULL);
	return 0;
}
