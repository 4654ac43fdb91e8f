/* SPDX-License-Identifier: MIT */
/*
 * A cache is destroyed while the program holds objects.
 *
 * expect-exit: 0
 * expect-stderr: CUBBY_ELIVE: cache 'truck' still has 1 live object: 0x[0-9a-f]+
 * expect-stderr: CUBBY_ELIVE: cache 'truck' still has 18 live objects: (0x[0-9a-f]+, ){16}\.\.\.; cubby_cache_report_live\(\) names them all
 * expect-stderr: success: .*
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	void *truck = cubby_alloc(trucks);
	void *more[17];

	abuse_say(cubby_cache_destroy(trucks));
	abuse_must(cubby_alloc_bulk(trucks, 17, more));
	abuse_say(cubby_cache_destroy(trucks));
	cubby_free_bulk(trucks, 17, more);
	cubby_free(trucks, truck);
	abuse_say(cubby_cache_destroy(trucks));
	return 0;
}
