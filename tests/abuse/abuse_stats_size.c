/* SPDX-License-Identifier: MIT */
/*
 * A snapshot whose size nobody has set.
 *
 * expect-exit: 0
 * expect-stderr: EINVAL: ret_stats is NULL
 * expect-stderr: EINVAL: stats_bytes is 0: set it to sizeof\(struct cubby_cache_stats\) before the call
 * expect-stderr: EINVAL: stats_bytes is 7: set it to sizeof\(struct cubby_cache_stats\) before the call
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	struct cubby_cache_stats stats = { 0 };

	abuse_say(cubby_cache_stats_snapshot(trucks, NULL));
	abuse_say(cubby_cache_stats_snapshot(trucks, &stats));
	stats.stats_bytes = 7;
	abuse_say(cubby_cache_stats_snapshot(trucks, &stats));
	return 0;
}
