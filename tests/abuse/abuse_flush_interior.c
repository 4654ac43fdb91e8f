/* SPDX-License-Identifier: MIT */
/*
 * A pointer into an object is put into a magazine: found by shrink.
 *
 * expect-signal: SIGABRT
 * expect-stderr: cubby: interior-free: cache 'truck': 0x[0-9a-f]+ is 8 bytes into object 0x[0-9a-f]+ \(cell 0\) \(freed earlier; with CUBBY_DEBUG=checks it is found in the call\); free the pointer that cubby_alloc\(\) returned
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	char *truck = cubby_alloc(trucks);

	cubby_free(trucks, truck + 8);
	return cubby_cache_shrink(trucks, NULL);
}
