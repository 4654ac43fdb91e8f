/* SPDX-License-Identifier: MIT */
/*
 * An expiry callback frees the object that expires, in CUBBY_WEAK_STRONG.
 *
 * env: CUBBY_OPTIONS=front=none
 * expect-signal: SIGABRT
 * expect-stderr: expired
 * expect-stderr: cubby: double-free: cache 'truck': object 0x[0-9a-f]+ \(cell 0\) was freed already, and exists by 1 reference, which cubby_ref_put\(\) ends; it was freed twice, or freed through a stale pointer
 */
#include "weak_cache.h"

static void
free_again(struct cubby_cache *cache, void *object, uint64_t handle,
	   void *context)
{
	(void)handle;
	(void)context;
	fputs("expired\n", stderr);
	cubby_free(cache, object);
}

int
main(void)
{
	struct cubby_cache *trucks;
	void *truck;

	abuse_must(cubby_cache_create_sized(
		&trucks, "truck", 100, 0,
		&CUBBY_CACHE_ATTR(.weak = CUBBY_WEAK_STRONG, .dtor = say_dtor,
				  .on_expire = free_again)));
	truck = cubby_alloc(trucks);
	ABUSE_ASSERT(cubby_weak_of(trucks, truck) != CUBBY_WEAK_NULL);
	cubby_free(trucks, truck);
	return 0;
}
