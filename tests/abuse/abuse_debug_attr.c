/* SPDX-License-Identifier: MIT */
/*
 * Attributes watch as the environment does; a hook gets the report.
 *
 * expect-exit: 3
 * expect-stderr: cubby: red-zone: cache 'truck': 1 byte behind object 0x[0-9a-f]+ \(cell 0, 24 bytes\) was written: 0x41, not 0xcc, at offset 39; found at its free; the object, or its neighbour, was written beyond its end
 * expect-stderr: cubby:   (before|object|after ) 0x[0-9a-f]+:( [0-9a-f]{2}){1,16} +[ -~]{1,16}
 */
#include "abuse.h"

static void
leave(const struct cubby_misuse *misuse, void *context)
{
	(void)context;
	ABUSE_ASSERT(misuse->code == CUBBY_MISUSE_RED_ZONE);
	ABUSE_ASSERT(strcmp(misuse->cache, "truck") == 0);
	exit(3);
}

int
main(void)
{
	struct cubby_cache *trucks;
	char *truck;

	cubby_misuse_set_hook(leave, NULL);
	abuse_must(cubby_cache_create_sized(
		&trucks, "truck", 24, 0,
		&CUBBY_CACHE_ATTR(.debug = CUBBY_DEBUG_RED_ZONE)));
	truck = cubby_alloc(trucks);
	truck[39] = 'A';
	cubby_free(trucks, truck);
	return 0;
}
