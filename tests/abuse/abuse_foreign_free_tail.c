/* SPDX-License-Identifier: MIT */
/*
 * An address is freed that is in the range but behind its last cell.
 *
 * env: CUBBY_OPTIONS=front=none
 * expect-signal: SIGABRT
 * expect-stderr: cubby: foreign-free: cache 'truck': 0x[0-9a-f]+ lies in this cache's range, but in no cell of it; free what cubby_alloc\(\) returned, once, before its cache is destroyed
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };
	struct cubby_cache *trucks;
	char *truck;

	abuse_must(cubby_cache_create_sized(
		&trucks, "truck", 100, 0,
		&CUBBY_CACHE_ATTR(.max_objects = 1000)));
	truck = cubby_alloc(trucks);
	abuse_must(cubby_cache_stats_snapshot(trucks, &stats));
	cubby_free(trucks, truck + stats.reserved_bytes - 1);
	return 0;
}
