/* SPDX-License-Identifier: MIT */
/*
 * The handle of something on the stack.
 *
 * env: CUBBY_OPTIONS=front=none
 * expect-signal: SIGABRT
 * expect-stderr: cubby: foreign-free: cache 'truck': 0x[0-9a-f]+ lies in no cache; free what cubby_alloc\(\) returned, once, before its cache is destroyed
 */
#include "weak_cache.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_weak_cache("truck",
						      CUBBY_WEAK_REUSE, NULL);
	int truck = 0;

	return cubby_weak_of(trucks, &truck) != CUBBY_WEAK_NULL;
}
