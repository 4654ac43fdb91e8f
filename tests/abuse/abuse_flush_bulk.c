/* SPDX-License-Identifier: MIT */
/*
 * misuse=continue: what was wrong in a bulk free is found by shrink, and the
 * others are free.
 *
 * env: CUBBY_OPTIONS=misuse=continue
 * expect-exit: 0
 * expect-stderr: cubby: double-free: cache 'truck': object 0x[0-9a-f]+ \(cell 0\) is already free \(freed earlier; with CUBBY_DEBUG=checks it is found in the call\); it was freed twice, or freed through a stale pointer
 * expect-stderr: cubby: foreign-free: cache 'truck': 0x[0-9a-f]+ lies in no cache \(freed earlier; with CUBBY_DEBUG=checks it is found in the call\); free what cubby_alloc\(\) returned, once, before its cache is destroyed
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };
	void *objects[6];

	abuse_must(cubby_alloc_bulk(trucks, 4, objects));
	objects[4] = &stats;
	objects[5] = objects[0];
	cubby_free_bulk(trucks, 6, objects);
	abuse_must(cubby_cache_shrink(trucks, NULL));
	ABUSE_ASSERT(cubby_misuse_count() == 2);
	abuse_must(cubby_cache_stats_snapshot(trucks, &stats));
	ABUSE_ASSERT(stats.n_live == 0 && stats.n_slabs_empty == 0);
	abuse_must(cubby_cache_destroy(trucks));
	return 0;
}
