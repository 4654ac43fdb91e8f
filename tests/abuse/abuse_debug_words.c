/* SPDX-License-Identifier: MIT */
/*
 * Words that are not understood are said once each, and the rest holds.
 *
 * env: CUBBY_DEBUG=Z+poisn+quarantine=x,truck;QX;F,red-zone
 * expect-exit: 0
 * expect-stderr: cubby: CUBBY_DEBUG: 'poisn' is ignored; known are the letters FZPUTO-, and checks red-zone poison user trace all order off quarantine=N fail-nth=N fail-every=N fail-ppm=N guard=N
 * expect-stderr: cubby: CUBBY_DEBUG: 'quarantine=x' is ignored; known are the letters FZPUTO-, and checks red-zone poison user trace all order off quarantine=N fail-nth=N fail-every=N fail-ppm=N guard=N
 * expect-stderr: cubby: CUBBY_DEBUG: 'QX' is ignored; known are the letters FZPUTO-, and checks red-zone poison user trace all order off quarantine=N fail-nth=N fail-every=N fail-ppm=N guard=N
 * expect-stderr: cubby: CUBBY_DEBUG: 'red-zone' behind a comma is the name of a cache; words are joined by \+
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };
	struct cubby_cache *trucks = abuse_cache("truck");

	abuse_must(cubby_cache_stats_snapshot(trucks, &stats));
	ABUSE_ASSERT(stats.debug ==
		     (CUBBY_DEBUG_CHECKS | CUBBY_DEBUG_RED_ZONE));
	(void)abuse_cache("other");
	return 0;
}
