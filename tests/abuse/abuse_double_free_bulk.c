/* SPDX-License-Identifier: MIT */
/*
 * One bulk call is given the same object twice.
 *
 * env: CUBBY_OPTIONS=front=none
 * expect-signal: SIGABRT
 * expect-stderr: cubby: double-free: cache 'truck': object 0x[0-9a-f]+ \(cell 1\) is already free; it was freed twice, or freed through a stale pointer
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	void *objects[3];

	abuse_must(cubby_alloc_bulk(trucks, 3, objects));
	objects[2] = objects[1];
	cubby_free_bulk(trucks, 3, objects);
	return 0;
}
