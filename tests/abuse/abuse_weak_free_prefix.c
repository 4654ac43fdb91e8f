/* SPDX-License-Identifier: MIT */
/*
 * The word in front of a counted object, freed.
 *
 * env: CUBBY_OPTIONS=front=none
 * expect-signal: SIGABRT
 * expect-stderr: cubby: interior-free: cache 'truck': 0x[0-9a-f]+ is -8 bytes into object 0x[0-9a-f]+ \(cell 0\); free the pointer that cubby_alloc\(\) returned
 */
#include "weak_cache.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_weak_cache("truck",
						      CUBBY_WEAK_STRONG, NULL);
	char *truck = cubby_alloc(trucks);

	cubby_free(trucks, truck - 8);
	return 0;
}
