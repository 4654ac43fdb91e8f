/* SPDX-License-Identifier: MIT */
/*
 * Limits that contradict a cache or each other.
 *
 * expect-exit: 0
 * expect-stderr: E2BIG: max_objects is 2147483649: a cache holds at most 2147483648
 * expect-stderr: EINVAL: max_bytes is 63: a cell alone is 64
 * expect-stderr: EINVAL: prefault_objects is 11: more than the cache may hold
 * expect-stderr: EINVAL: prefault_objects is 2147483649: more than the cache may hold
 */
#include "abuse.h"

int
main(void)
{
	abuse_create("truck", 64, 0,
		     &CUBBY_CACHE_ATTR(.max_objects = (1ull << 31) + 1));
	abuse_create("truck", 64, 0, &CUBBY_CACHE_ATTR(.max_bytes = 63));
	abuse_create("truck", 64, 0,
		     &CUBBY_CACHE_ATTR(.max_objects = 10,
				       .prefault_objects = 11));
	abuse_create("truck", 64, 0,
		     &CUBBY_CACHE_ATTR(.prefault_objects = (1ull << 31) + 1));
	return 0;
}
