/* SPDX-License-Identifier: MIT */
/*
 * dtor frees its own object: the call that runs it finds it free.
 *
 * env: CUBBY_OPTIONS=front=none
 * expect-signal: SIGABRT
 * expect-stderr: cubby: double-free: cache 'truck': object 0x[0-9a-f]+ \(cell 0\) is already free; it was freed twice, or freed through a stale pointer
 */
#include "abuse.h"

/* Once only: what counts is that the outer free notices. */
static void
free_again(void *object, void *context)
{
	static int depth;

	(void)context;
	if (depth++ == 0)
		cubby_free_any(object);
}

int
main(void)
{
	struct cubby_cache *trucks;

	abuse_must(cubby_cache_create_sized(
		&trucks, "truck", 100, 0,
		&CUBBY_CACHE_ATTR(.dtor = free_again)));
	cubby_free(trucks, cubby_alloc(trucks));
	return 0;
}
