/* SPDX-License-Identifier: MIT */
/*
 * Freed twice in a cache with dtor, which runs once.
 *
 * env: CUBBY_OPTIONS=front=none
 * expect-signal: SIGABRT
 * expect-stderr: dtor
 * expect-stderr: cubby: double-free: cache 'truck': object 0x[0-9a-f]+ \(cell 0\) is already free; it was freed twice, or freed through a stale pointer
 */
#include "abuse.h"

static void
say_dtor(void *object, void *context)
{
	(void)object;
	(void)context;
	fputs("dtor\n", stderr);
}

int
main(void)
{
	struct cubby_cache *trucks;
	void *truck;

	abuse_must(
		cubby_cache_create_sized(&trucks, "truck", 100, 0,
					 &CUBBY_CACHE_ATTR(.dtor = say_dtor)));
	truck = cubby_alloc(trucks);
	cubby_free(trucks, truck);
	cubby_free(trucks, truck);
	return 0;
}
