/* SPDX-License-Identifier: MIT */
/*
 * misuse=continue: bad frees are reported and leave everything as it was.
 *
 * env: CUBBY_OPTIONS=front=none,misuse=continue
 * expect-exit: 0
 * expect-stderr: cubby: double-free: cache 'truck': object 0x[0-9a-f]+ \(cell 1\) is already free; it was freed twice, or freed through a stale pointer
 * expect-stderr: cubby: interior-free: cache 'truck': 0x[0-9a-f]+ is 4 bytes into object 0x[0-9a-f]+ \(cell 0\); free the pointer that cubby_alloc\(\) returned
 * expect-stderr: cubby: foreign-free: cache 'truck': 0x[0-9a-f]+ lies in no cache; free what cubby_alloc\(\) returned, once, before its cache is destroyed
 * expect-stderr: cubby: foreign-free: 0x[0-9a-f]+ lies in no cache; free what cubby_alloc\(\) returned, once, before its cache is destroyed
 * expect-stderr: cubby: wrong-cache: cache 'truck': 0x[0-9a-f]+ belongs to cache 'bus'; free it there, or with cubby_free_any\(\)
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	struct cubby_cache *buses = abuse_cache("bus");
	void *bus = cubby_alloc(buses);
	char *objects[2];

	abuse_must(cubby_alloc_bulk(trucks, 2, (void **)objects));
	memset(objects[0], 0x5a, 100);
	cubby_free(trucks, objects[1]);
	errno = EXDEV;
	cubby_free(trucks, objects[1]);
	cubby_free(trucks, objects[0] + 4);
	cubby_free(trucks, &objects);
	cubby_free_any(&objects);
	cubby_free(trucks, bus);
	ABUSE_ASSERT(errno == EXDEV);
	ABUSE_ASSERT(cubby_misuse_count() == 5);
	ABUSE_ASSERT(cubby_is_live(trucks, objects[0]));
	ABUSE_ASSERT(!cubby_is_live(trucks, objects[1]));
	ABUSE_ASSERT(cubby_is_live(buses, bus));
	for (int i = 0; i < 100; i++)
		ABUSE_ASSERT(objects[0][i] == 0x5a);
	ABUSE_ASSERT(cubby_cache_verify(trucks) == 0);
	cubby_free(trucks, objects[0]);
	abuse_must(cubby_cache_destroy(trucks));
	return 0;
}
