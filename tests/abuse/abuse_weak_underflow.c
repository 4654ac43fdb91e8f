/* SPDX-License-Identifier: MIT */
/*
 * dtor puts a reference that nobody has taken.
 *
 * expect-signal: SIGABRT
 * expect-stderr: cubby: ref-underflow: cache 'truck': object 0x[0-9a-f]+ \(cell 0\) is dead, and its references are put already; put each reference once
 */
#include "weak_cache.h"

static struct cubby_cache *trucks;

static void
put_again(void *object, void *context)
{
	(void)context;
	cubby_ref_put(trucks, object);
}

int
main(void)
{
	trucks = abuse_weak_cache("truck", CUBBY_WEAK_STRONG, put_again);
	cubby_free(trucks, cubby_alloc(trucks));
	return 0;
}
