/* SPDX-License-Identifier: MIT */
/*
 * The handle of a byte inside of an object.
 *
 * env: CUBBY_OPTIONS=front=none
 * expect-signal: SIGABRT
 * expect-stderr: cubby: interior-free: cache 'truck': 0x[0-9a-f]+ is 4 bytes into object 0x[0-9a-f]+ \(cell 0\); free the pointer that cubby_alloc\(\) returned
 */
#include "weak_cache.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_weak_cache("truck",
						      CUBBY_WEAK_REUSE, NULL);
	char *truck = cubby_alloc(trucks);

	return cubby_weak_of(trucks, truck + 4) != CUBBY_WEAK_NULL;
}
