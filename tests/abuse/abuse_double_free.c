/* SPDX-License-Identifier: MIT */
/*
 * An object is freed twice in a row.
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

	cubby_free(trucks, truck);
	cubby_free(trucks, truck);
	return 0;
}
