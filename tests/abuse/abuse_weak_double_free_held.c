/* SPDX-License-Identifier: MIT */
/*
 * A counted object that others hold, freed twice.
 *
 * env: CUBBY_OPTIONS=front=none
 * expect-signal: SIGABRT
 * expect-stderr: freed
 * expect-stderr: cubby: double-free: cache 'truck': object 0x[0-9a-f]+ \(cell 0\) was freed already, and exists by 1 reference, which cubby_ref_put\(\) ends; it was freed twice, or freed through a stale pointer
 */
#include "weak_cache.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_weak_cache(
		"truck", CUBBY_WEAK_STRONG, say_dtor);
	void *truck = cubby_alloc(trucks);
	cubby_weak handle = cubby_weak_of(trucks, truck);

	ABUSE_ASSERT(cubby_weak_upgrade(trucks, handle) == truck);
	cubby_free(trucks, truck);
	fputs("freed\n", stderr);
	cubby_free(trucks, truck);
	return 0;
}
