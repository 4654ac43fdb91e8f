/* SPDX-License-Identifier: MIT */
/*
 * Freed again when its page has gone back to the kernel.
 *
 * env: CUBBY_OPTIONS=front=none
 * expect-signal: SIGABRT
 * expect-stderr: cubby: double-free: cache 'truck': object 0x[0-9a-f]+ \(cell 0\) is already free; it was freed twice, or freed through a stale pointer
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	void *truck = cubby_alloc(trucks);
	uint64_t bytes;

	cubby_free(trucks, truck);
	abuse_must(cubby_cache_shrink(trucks, &bytes));
	ABUSE_ASSERT(bytes > 0);
	cubby_free(trucks, truck);
	return 0;
}
