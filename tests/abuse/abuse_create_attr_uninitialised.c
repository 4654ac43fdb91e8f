/* SPDX-License-Identifier: MIT */
/*
 * Attributes whose size nobody has set.
 *
 * expect-exit: 0
 * expect-stderr: EINVAL: attr_bytes is 0: initialise the attributes with CUBBY_CACHE_ATTR\(\) or cubby_cache_attr_init\(\)
 * expect-stderr: EINVAL: attr_bytes is 15: initialise the attributes with CUBBY_CACHE_ATTR\(\) or cubby_cache_attr_init\(\)
 * expect-stderr: EINVAL: attr_bytes is 6510615555426900570: initialise the attributes with CUBBY_CACHE_ATTR\(\) or cubby_cache_attr_init\(\)
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache_attr attr = { .max_objects = 10 };

	abuse_create("truck", 64, 0, &attr);
	attr.attr_bytes = 15;
	abuse_create("truck", 64, 0, &attr);
	/* What a stack may hold: no size that a future version could have. */
	memset(&attr, 0x5a, sizeof(attr));
	abuse_create("truck", 64, 0, &attr);
	return 0;
}
