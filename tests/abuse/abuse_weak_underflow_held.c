/* SPDX-License-Identifier: MIT */
/*
 * The same by who has put the last reference of a dead object.
 *
 * expect-signal: SIGABRT
 * expect-stderr: freed
 * expect-stderr: dtor
 * expect-stderr: cubby: ref-underflow: cache 'truck': object 0x[0-9a-f]+ \(cell 0\) is dead, and its references are put already; put each reference once
 */
#include "weak_cache.h"

static struct cubby_cache *trucks;

static void
put_again(void *object, void *context)
{
	(void)context;
	fputs("dtor\n", stderr);
	cubby_ref_put(trucks, object);
}

int
main(void)
{
	void *truck;

	trucks = abuse_weak_cache("truck", CUBBY_WEAK_STRONG, put_again);
	truck = cubby_alloc(trucks);
	ABUSE_ASSERT(cubby_ref_get(trucks, truck) == truck);
	cubby_free(trucks, truck);
	fputs("freed\n", stderr);
	cubby_ref_put(trucks, truck);
	return 0;
}
