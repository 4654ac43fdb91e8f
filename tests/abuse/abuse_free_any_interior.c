/* SPDX-License-Identifier: MIT */
/*
 * cubby_free_any() is given the second byte of an object.
 *
 * env: CUBBY_OPTIONS=front=none
 * expect-signal: SIGABRT
 * expect-stderr: cubby: interior-free: cache 'truck': 0x[0-9a-f]+ is 1 bytes into object 0x[0-9a-f]+ \(cell 0\); free the pointer that cubby_alloc\(\) returned
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	char *truck = cubby_alloc(trucks);

	cubby_free_any(truck + 1);
	return 0;
}
