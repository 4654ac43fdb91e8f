/* SPDX-License-Identifier: MIT */
/*
 * A cache that is not destroyed, for objects are live, tells who allocated them.
 *
 * env: CUBBY_DEBUG=U,truck
 * expect-exit: 0
 * expect-stderr: cubby: cache 'truck': 3 live objects of 100 bytes, 300 bytes in all
 * expect-stderr: cubby:   [12] objects?, [12]00 bytes, [0-9]+ to [0-9]+ ms old, the first at 0x[0-9a-f]+, allocated at
 * expect-stderr: cubby:     (/[^ ]+\+0x[0-9a-f]+|0x[0-9a-f]+)
 */
#include "abuse.h"

static __attribute__((noinline)) void *
allocate_two(struct cubby_cache *trucks, void **ret_other)
{
	void *one = cubby_alloc(trucks);

	*ret_other = cubby_alloc(trucks);
	return one;
}

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	struct cubby_cache *others = abuse_cache("other");
	void *objects[4];

	objects[0] = allocate_two(trucks, &objects[1]);
	objects[2] = cubby_alloc(trucks);
	objects[3] = cubby_alloc(others);
	if (cubby_cache_destroy(others) != -CUBBY_ELIVE || /* in silence */
	    cubby_cache_destroy(trucks) != -CUBBY_ELIVE)
		return 1;
	for (int i = 0; i < 3; i++)
		cubby_free(trucks, objects[i]);
	cubby_free(others, objects[3]);
	return cubby_cache_destroy(trucks) != 0 ||
	       cubby_cache_destroy(others) != 0;
}
