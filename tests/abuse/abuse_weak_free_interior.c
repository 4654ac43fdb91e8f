/* SPDX-License-Identifier: MIT */
/*
 * A byte inside of an object with a handle, freed.
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

	cubby_free(trucks, truck + 4);
	return 0;
}
