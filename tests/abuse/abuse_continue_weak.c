/* SPDX-License-Identifier: MIT */
/*
 * misuse=continue: what is wrong about handles and references is reported, and
 * leaves everything as it was.
 *
 * env: CUBBY_OPTIONS=front=none,misuse=continue
 * expect-exit: 0
 * expect-stderr: cubby: double-free: cache 'truck': object 0x[0-9a-f]+ \(cell 1\) was freed already, and exists by 1 reference, which cubby_ref_put\(\) ends; it was freed twice, or freed through a stale pointer
 * expect-stderr: cubby: not-an-object: cache 'truck': cubby_weak_of\(\): 0x[0-9a-f]+ is 4 bytes into object 0x[0-9a-f]+ \(cell 0\); pass the first byte of an object of this cache; cubby_cache_of\(\) tells whose an address is
 * expect-stderr: cubby: not-an-object: cache 'truck': cubby_weak_of\(\): 0x[0-9a-f]+ is in cache 'bus'; pass the first byte of an object of this cache; cubby_cache_of\(\) tells whose an address is
 * expect-stderr: cubby: not-an-object: cache 'truck': cubby_ref_get\(\): 0x[0-9a-f]+ is in no cell of it; pass the first byte of an object of this cache; cubby_cache_of\(\) tells whose an address is
 * expect-stderr: cubby: interior-free: cache 'truck': 0x[0-9a-f]+ is 4 bytes into object 0x[0-9a-f]+ \(cell 0\); free the pointer that cubby_alloc\(\) returned
 * expect-stderr: cubby: foreign-free: cache 'truck': 0x[0-9a-f]+ lies in no cache; free what cubby_alloc\(\) returned, once, before its cache is destroyed
 * expect-stderr: cubby: weak-mode: cache 'bus': cubby_ref_put\(\) on a cache of CUBBY_WEAK_REUSE: take cubby_weak_copy\(\); see the table of modes in cubby/weak\.h
 */
#include "weak_cache.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_weak_cache("truck",
						      CUBBY_WEAK_STRONG, NULL);
	struct cubby_cache *buses = abuse_weak_cache("bus", CUBBY_WEAK_REUSE,
						     NULL);
	char *truck = cubby_alloc(trucks), *dead = cubby_alloc(trucks);
	char *bus = cubby_alloc(buses);
	cubby_weak handle = cubby_weak_of(trucks, truck);
	uint64_t room[2] = { 7, 8 };

	memset(truck, 0x5a, 100);
	ABUSE_ASSERT(cubby_ref_get(trucks, dead) == dead);
	cubby_free(trucks, dead);
	errno = EXDEV;
	cubby_free(trucks, dead);
	ABUSE_ASSERT(cubby_weak_of(trucks, truck + 4) == CUBBY_WEAK_NULL);
	ABUSE_ASSERT(cubby_weak_of(trucks, bus) == CUBBY_WEAK_NULL);
	ABUSE_ASSERT(cubby_ref_get(trucks, &room[1]) == NULL);
	cubby_ref_put(buses, bus);
	cubby_free(trucks, truck + 4);
	cubby_free(trucks, &room[1]);
	ABUSE_ASSERT(errno == EXDEV);
	ABUSE_ASSERT(cubby_misuse_count() == 7);
	ABUSE_ASSERT(room[0] == 7 && room[1] == 8);
	for (int i = 0; i < 100; i++)
		ABUSE_ASSERT(truck[i] == 0x5a);
	ABUSE_ASSERT(cubby_weak_is_live(trucks, handle) == 1);
	ABUSE_ASSERT(cubby_weak_upgrade(trucks, handle) == truck);
	ABUSE_ASSERT(cubby_cache_verify(trucks) == 0);
	cubby_ref_put(trucks, truck);
	cubby_ref_put(trucks, truck);
	ABUSE_ASSERT(cubby_weak_is_live(trucks, handle) == 0);
	cubby_ref_put(trucks, dead);
	cubby_free(buses, bus);
	return cubby_cache_destroy(trucks) || cubby_cache_destroy(buses);
}
