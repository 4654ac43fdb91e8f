/* SPDX-License-Identifier: MIT */
/*
 * Clearing every object, and init to set its cell up.
 *
 * expect-exit: 0
 * expect-stderr: EINVAL: CUBBY_CACHE_ZERO would destroy what init set up: use ctor instead of init, or do not clear
 */
#include "abuse.h"

static int
accept(void *object, void *context)
{
	(void)object;
	(void)context;
	return 0;
}

int
main(void)
{
	abuse_create("truck", 64, 0,
		     &CUBBY_CACHE_ATTR(.flags = CUBBY_CACHE_ZERO,
				       .init = accept));
	return 0;
}
