/* SPDX-License-Identifier: MIT */
/*
 * A pointer to the stack is put into a magazine: found by shrink.
 *
 * expect-signal: SIGABRT
 * expect-stderr: cubby: foreign-free: cache 'truck': 0x[0-9a-f]+ lies in no cache \(freed earlier; with CUBBY_DEBUG=checks it is found in the call\); free what cubby_alloc\(\) returned, once, before its cache is destroyed
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	void *truck = cubby_alloc(trucks);

	cubby_free(trucks, &truck);
	return cubby_cache_shrink(trucks, NULL);
}
