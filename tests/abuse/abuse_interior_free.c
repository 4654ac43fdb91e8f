/* SPDX-License-Identifier: MIT */
/*
 * A pointer to the middle of an object is freed.
 *
 * env: CUBBY_OPTIONS=front=none
 * expect-signal: SIGABRT
 * expect-stderr: cubby: interior-free: cache 'truck': 0x[0-9a-f]+ is 8 bytes into object 0x[0-9a-f]+ \(cell 1\); free the pointer that cubby_alloc\(\) returned
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	char *objects[2];

	abuse_must(cubby_alloc_bulk(trucks, 2, (void **)objects));
	cubby_free(trucks, objects[1] + 8);
	return 0;
}
